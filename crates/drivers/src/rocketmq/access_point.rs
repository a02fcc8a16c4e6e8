//! An open access point.

use std::sync::Arc;

use async_trait::async_trait;
use openmessaging::{
    AccessPointUrl, Capabilities, ConsumerOptions, Diagnosis, Error, KeyValueStore, MessagingAccessPoint,
    Producer, ProducerOptions, Properties, PullConsumer, ResourceManager, Result, StatusCode,
};

use super::admin::RocketMqResources;
use super::client::{Client, expect};
use super::config::Config;
use super::consumer::RocketMqConsumer;
use super::name::Names;
use super::positions::Positions;
use super::producer::RocketMqProducer;
use super::routes::Routes;
use super::stores::Stores;
use super::{PORT, capabilities, diagnose};

pub(super) struct RocketMqAccessPoint {
    url: AccessPointUrl,
    client: Arc<Client>,
    routes: Arc<Routes>,
    stores: Arc<Stores>,
    positions: Arc<Positions>,
}

impl RocketMqAccessPoint {
    /// Asks a name server for the brokers, and one of them whether we may be there.
    pub async fn open(url: &AccessPointUrl, properties: &Properties) -> Result<Self> {
        let config = Config::parse(url, properties)?;
        let names = Names::of(url)?;
        let client = Client::new(config, name_servers(url)?);
        let routes = Arc::new(Routes::new(client.clone(), names));
        let stores = Stores::new(routes.clone());
        let positions = Arc::new(Positions { routes: routes.clone(), stores: stores.clone() });
        let point = Self { url: url.clone(), client, routes, stores, positions };
        let limit = crate::common::deadline::CONNECT;
        let servers = point.client.servers.clone();
        let greeted = crate::common::deadline::within(limit, &servers, "connecting", point.greet()).await;
        if let Err(error) = greeted {
            point.client.close();
            return Err(error);
        }
        Ok(point)
    }

    /// One broker is enough: others may be back later.
    async fn greet(&self) -> Result<()> {
        let deadline = tokio::time::Instant::now() + crate::common::deadline::CONNECT;
        let mut problem = None;
        for (_, broker) in self.routes.masters(deadline).await? {
            match self.client.broker(&broker, &self.client.heart_beat(), deadline).await {
                Ok(answer) => return expect(&broker, "connecting", answer).map(|_| ()),
                Err(failure) => problem = Some(failure.error()),
            }
        }
        problem.map_or(Ok(()), Err)
    }
}

fn name_servers(url: &AccessPointUrl) -> Result<Vec<String>> {
    if url.endpoints().is_empty() {
        return Err(Error::new(StatusCode::BadUrl, "the rocketmq driver takes name servers, not a folder")
            .with_remedy("write oms:rocketmq://host:9876/default"));
    }
    let name = |endpoint: &openmessaging::url::Endpoint| {
        let port = endpoint.port.unwrap_or(PORT);
        if endpoint.host.contains(':') {
            format!("[{}]:{port}", endpoint.host)
        } else {
            format!("{}:{port}", endpoint.host)
        }
    };
    Ok(url.endpoints().iter().map(name).collect())
}

#[async_trait]
impl MessagingAccessPoint for RocketMqAccessPoint {
    fn url(&self) -> &AccessPointUrl {
        &self.url
    }

    fn capabilities(&self) -> Capabilities {
        capabilities(self.client.config.max_message_bytes)
    }

    async fn producer(&self, options: ProducerOptions) -> Result<Box<dyn Producer>> {
        self.client.check()?;
        Ok(Box::new(RocketMqProducer::new(self.routes.clone(), &options)?))
    }

    async fn pull_consumer(&self, options: ConsumerOptions) -> Result<Box<dyn PullConsumer>> {
        self.client.check()?;
        let positions = Some(self.positions.clone());
        Ok(Box::new(RocketMqConsumer::new(self.routes.clone(), positions, &options)?))
    }

    fn resources(&self) -> Arc<dyn ResourceManager> {
        Arc::new(RocketMqResources { routes: self.routes.clone(), positions: Some(self.positions.clone()) })
    }

    async fn key_value_store(&self, name: &str) -> Result<Arc<dyn KeyValueStore>> {
        self.stores.store(name).await
    }

    async fn diagnose(&self) -> Result<Diagnosis> {
        self.client.check()?;
        diagnose::diagnose(&self.routes).await
    }

    async fn close(&self) -> Result<()> {
        self.client.close();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_become_name_servers() {
        let url = "oms:rocketmq://a,b:1,[::1]:2/default".parse().expect("a URL");
        assert_eq!(name_servers(&url).expect("servers"), ["a:9876", "b:1", "[::1]:2"]);
        assert!(name_servers(&"oms:rocketmq:///folder".parse().expect("a URL")).is_err());
    }
}
