//! Drivers and the access points they open.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use crate::capability::Capabilities;
use crate::consumer::{ConsumerOptions, PullConsumer};
use crate::diagnosis::Diagnosis;
use crate::error::Result;
use crate::key_value::KeyValueStore;
use crate::producer::{Producer, ProducerOptions};
use crate::resource::ResourceManager;
use crate::setting::{Setting, Terms};
use crate::url::AccessPointUrl;

/// Settings of a driver beside its URL, secrets resolved: never log the values.
pub type Properties = BTreeMap<String, String>;

/// Makes one kind of broker speak this API.
#[async_trait]
pub trait Driver: Send + Sync {
    /// The name in the URL: `oms:<name>://`.
    fn name(&self) -> &'static str;

    fn capabilities(&self) -> Capabilities;

    /// The properties that [`connect`](Self::connect) takes; every other one is refused, except those that begin with
    /// `client.` where the driver passes such on to its broker's client.
    fn settings(&self) -> &'static [Setting];

    fn terms(&self) -> Terms;

    /// Opens an access point; fails within 10 s with an error that names the server (or folder) and the remedy (D1).
    async fn connect(
        &self,
        url: &AccessPointUrl,
        properties: &Properties,
    ) -> Result<Arc<dyn MessagingAccessPoint>>;
}

/// An open connection to a broker, shared by everything in the process that uses the same URL. All calls may be made in
/// parallel, and from any tokio runtime of the process.
#[async_trait]
pub trait MessagingAccessPoint: Send + Sync {
    fn url(&self) -> &AccessPointUrl;

    fn capabilities(&self) -> Capabilities;

    async fn producer(&self, options: ProducerOptions) -> Result<Box<dyn Producer>>;

    async fn pull_consumer(&self, options: ConsumerOptions) -> Result<Box<dyn PullConsumer>>;

    fn resources(&self) -> Arc<dyn ResourceManager>;

    /// The store of that name (letters, digits, `-`, `_`), made when it is first used.
    async fn key_value_store(&self, name: &str) -> Result<Arc<dyn KeyValueStore>>;

    /// Looks at the broker: version, permissions, settings that lose messages. What cannot be looked at is a finding, not
    /// an error (D40).
    async fn diagnose(&self) -> Result<Diagnosis>;

    /// Lets go of everything: the folder, the connections. What was acknowledged stays. Calls after it are `Closed`.
    async fn close(&self) -> Result<()>;
}
