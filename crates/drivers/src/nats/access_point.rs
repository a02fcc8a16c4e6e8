//! An open access point: one connection for what is asked, and one for each producer and consumer.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use openmessaging::{
    AccessPointUrl, Capabilities, ConsumerOptions, Diagnosis, KeyValueStore, MessagingAccessPoint, Producer,
    ProducerOptions, Properties, PullConsumer, ResourceManager, Result, StatusCode,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::admin::NatsResources;
use super::api::JetStream;
use super::config::Config;
use super::consumer::NatsConsumer;
use super::error;
use super::health::Health;
use super::key_value::{NatsStore, StoreState};
use super::link::Link;
use super::positions::Positions;
use super::producer::NatsProducer;
use crate::common::deadline::CONNECT;
use crate::common::runtime::on_own;

/// What everything that was made through an access point shares.
pub(super) struct Handle {
    pub url: AccessPointUrl,
    pub config: Arc<Config>,
    pub js: JetStream,
    pub positions: Positions,
    pub closed: CancellationToken,
    health: Arc<Health>,
    stores: tokio::sync::Mutex<std::collections::HashMap<String, Arc<StoreState>>>,
}

impl Handle {
    /// Connects, and looks whether there is JetStream.
    pub async fn open(url: AccessPointUrl, properties: &Properties) -> Result<Self> {
        let config = Arc::new(Config::parse(&url, properties)?);
        let health = Arc::new(Health::new(&config.server));
        let begin = Instant::now();
        let (own, seen) = (config.clone(), health.clone());
        // The second is for what is asked behind it.
        let limit = (CONNECT - Duration::from_secs(1)).min(config.timeout);
        let link = on_own(async move { Link::open(own, seen, limit).await }).await?;
        let js = JetStream { link: Arc::new(link) };
        match js.account(begin + CONNECT.min(config.timeout)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error.into_error(&config.server, "looking at JetStream")),
            // A user who may only send or read.
            Err(error) if error.status == StatusCode::Forbidden => {}
            Err(error) => return Err(error),
        }
        let closed = CancellationToken::new();
        let positions = Positions::new(config.space.positions());
        Ok(Self { url, config, js, positions, closed, health, stores: Default::default() })
    }

    /// # Errors
    /// `Closed`.
    pub fn check(&self) -> Result<()> {
        if self.closed.is_cancelled() { Err(error::closed(&self.config.server)) } else { Ok(()) }
    }

    /// Another connection.
    pub async fn link(&self) -> Result<Link> {
        self.check()?;
        let (config, health, limit) =
            (self.config.clone(), self.health.clone(), self.config.timeout.min(CONNECT));
        on_own(async move { Link::open(config, health, limit).await }).await
    }

    pub fn deadline(&self) -> Instant {
        self.js.deadline()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}

pub(super) struct NatsAccessPoint(pub Arc<Handle>);

#[async_trait]
impl MessagingAccessPoint for NatsAccessPoint {
    fn url(&self) -> &AccessPointUrl {
        &self.0.url
    }

    fn capabilities(&self) -> Capabilities {
        let config = &self.0.config;
        // What a message's own headers take is part of the payload.
        let server = self.0.js.link.max_payload().saturating_sub(super::HEADER_ROOM);
        super::capabilities(config.max_message_bytes.min(server), config.ordered)
    }

    async fn producer(&self, options: ProducerOptions) -> Result<Box<dyn Producer>> {
        self.0.check()?;
        Ok(Box::new(NatsProducer::open(self.0.clone(), &options).await?))
    }

    async fn pull_consumer(&self, options: ConsumerOptions) -> Result<Box<dyn PullConsumer>> {
        self.0.check()?;
        Ok(Box::new(NatsConsumer::open(self.0.clone(), options).await?))
    }

    fn resources(&self) -> Arc<dyn ResourceManager> {
        Arc::new(NatsResources { handle: self.0.clone() })
    }

    async fn key_value_store(&self, name: &str) -> Result<Arc<dyn KeyValueStore>> {
        self.0.check()?;
        crate::store::table::check_name(name)?;
        let mut stores = self.0.stores.lock().await;
        let state = match stores.get(name) {
            Some(state) => state.clone(),
            None => {
                let state = Arc::new(StoreState::open(&self.0, name).await?);
                stores.insert(name.to_owned(), state.clone());
                state
            }
        };
        Ok(Arc::new(NatsStore { handle: self.0.clone(), state }))
    }

    async fn diagnose(&self) -> Result<Diagnosis> {
        self.0.check()?;
        super::diagnose::diagnose(&self.0).await
    }

    async fn close(&self) -> Result<()> {
        self.0.closed.cancel();
        self.0.js.link.close();
        Ok(())
    }
}
