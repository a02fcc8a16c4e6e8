//! An open connection to a server, and what is made through it.

use std::sync::Arc;

use async_trait::async_trait;
use openmessaging::{
    AccessPointUrl, Capabilities, ConsumerOptions, Diagnosis, Error, KeyValueStore, MessagingAccessPoint,
    Producer, ProducerOptions, Properties, PullConsumer, ResourceManager, Result, StatusCode,
};
use tokio::time::Instant;

use super::super::common::{deadline, runtime};
use super::admin::RedisResources;
use super::catalog::Catalog;
use super::client::Client;
use super::config::Config;
use super::connection::Connection;
use super::consumer::RedisConsumer;
use super::key_value::{RedisStore, Store};
use super::link::Link;
use super::producer::RedisProducer;
use super::server_info::ServerInfo;
use super::{diagnose, error, retention};

pub(super) struct RedisAccessPoint {
    url: AccessPointUrl,
    catalog: Arc<Catalog>,
}

impl RedisAccessPoint {
    /// # Errors
    /// Of the first look at the server: it cannot be reached, does not let us in, is too old.
    pub async fn connect(url: &AccessPointUrl, properties: &Properties) -> Result<Self> {
        let config = Arc::new(Config::parse(url, properties)?);
        let server = config.server.clone();
        let opened = runtime::on_own(async move {
            let connection = open(&config).await?;
            Client::start(Arc::new(Link::new(config)), connection)
        });
        let client = deadline::within(deadline::CONNECT, &server, "connecting", opened).await?;
        let catalog = Arc::new(Catalog::new(Arc::new(client)));
        runtime::handle()?.spawn(retention::keep(catalog.clone()));
        Ok(Self { url: url.clone(), catalog })
    }

    fn link(&self) -> &Link {
        &self.catalog.client.link
    }
}

/// The first connection. A server that still loads its data is waited for.
async fn open(config: &Config) -> Result<Connection> {
    let begin = Instant::now();
    loop {
        let opened = async {
            let mut connection = Connection::open(config).await?;
            ServerInfo::ask(&mut connection).await?.check(&config.server)?;
            Ok(connection)
        };
        match opened.await {
            Err(error) if is_loading(&error) && begin.elapsed() < deadline::CONNECT * 3 / 4 => {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            result => return result,
        }
    }
}

fn is_loading(error: &Error) -> bool {
    error.status == StatusCode::Unavailable && error.message.contains("LOADING")
}

impl Drop for RedisAccessPoint {
    fn drop(&mut self) {
        self.link().closed.cancel();
    }
}

#[async_trait]
impl MessagingAccessPoint for RedisAccessPoint {
    fn url(&self) -> &AccessPointUrl {
        &self.url
    }

    fn capabilities(&self) -> Capabilities {
        super::capabilities(self.link().config.max_message_bytes)
    }

    async fn producer(&self, options: ProducerOptions) -> Result<Box<dyn Producer>> {
        self.link().check()?;
        Ok(Box::new(RedisProducer::start(self.catalog.clone(), &options)?))
    }

    async fn pull_consumer(&self, options: ConsumerOptions) -> Result<Box<dyn PullConsumer>> {
        self.link().check()?;
        Ok(Box::new(RedisConsumer::new(self.catalog.clone(), options)))
    }

    fn resources(&self) -> Arc<dyn ResourceManager> {
        Arc::new(RedisResources { catalog: self.catalog.clone() })
    }

    async fn key_value_store(&self, name: &str) -> Result<Arc<dyn KeyValueStore>> {
        self.link().check()?;
        let store = Store::new(self.catalog.client.clone(), &self.catalog.keys, name)?;
        Ok(Arc::new(RedisStore(Arc::new(store))))
    }

    async fn diagnose(&self) -> Result<Diagnosis> {
        self.link().check()?;
        diagnose::diagnose(&self.catalog).await
    }

    async fn close(&self) -> Result<()> {
        if self.link().closed.is_cancelled() {
            return Err(error::closed(self.link().server()));
        }
        self.link().closed.cancel();
        Ok(())
    }
}
