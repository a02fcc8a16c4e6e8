//! Key/value stores, over one topic each: see `store::queue`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use openmessaging::{
    ConsumerOptions, KeyValueStore, Producer, ProducerOptions, PullConsumer, ResourceManager, Result,
};
use tokio_util::sync::CancellationToken;

use super::admin::RocketMqResources;
use super::consumer::RocketMqConsumer;
use super::producer::RocketMqProducer;
use super::routes::Routes;
use crate::common::runtime;
use crate::store::queue::{QueueStores, StoreQueue};
use crate::store::table;

/// Brokers remove what is older than `fileReservedTime`, 72 h by default: see `mod`.
const SNAPSHOT: Duration = Duration::from_secs(6 * 3600);

pub(super) struct Stores {
    routes: Arc<Routes>,
    inner: Arc<QueueStores>,
}

impl Stores {
    pub fn new(routes: Arc<Routes>) -> Arc<Self> {
        let source = Arc::new(Source { routes: routes.clone() });
        Arc::new(Self { routes, inner: Arc::new(QueueStores::new(source)) })
    }

    pub async fn store(&self, name: &str) -> Result<Arc<dyn KeyValueStore>> {
        self.routes.client.check()?;
        table::check_name(name)?;
        let (inner, name) = (self.inner.clone(), name.to_owned());
        runtime::on_own(async move { inner.store(&name).await }).await
    }
}

/// The topics of stores.
struct Source {
    routes: Arc<Routes>,
}

impl Source {
    fn resources(&self) -> RocketMqResources {
        RocketMqResources { routes: self.routes.clone(), positions: None }
    }
}

#[async_trait]
impl StoreQueue for Source {
    fn server(&self) -> &str {
        &self.routes.client.servers
    }

    async fn create(&self, queue: &str) -> Result<()> {
        self.resources().create(queue, 1, "").await
    }

    fn resources(&self) -> Arc<dyn ResourceManager> {
        Arc::new(Source::resources(self))
    }

    async fn producer(&self) -> Result<Box<dyn Producer>> {
        Ok(Box::new(RocketMqProducer::new(self.routes.clone(), &ProducerOptions::default())?))
    }

    async fn consumer(&self) -> Result<Box<dyn PullConsumer>> {
        let options = ConsumerOptions::default();
        Ok(Box::new(RocketMqConsumer::new(self.routes.clone(), None, &options)?))
    }

    /// RocketMQ removes what is old by itself, and nothing else can.
    async fn trim(&self, _queue: &str, _before: u64) -> Result<()> {
        Ok(())
    }

    fn snapshot_every(&self) -> Option<Duration> {
        Some(SNAPSHOT)
    }

    fn timeout(&self) -> Duration {
        self.routes.client.config.request_timeout
    }

    fn closed(&self) -> &CancellationToken {
        &self.routes.client.closed
    }
}
