//! An open connection to a cluster.

use std::sync::Arc;

use async_trait::async_trait;
use openmessaging::{
    AccessPointUrl, Capabilities, ConsumerOptions, Diagnosis, KeyValueStore, MessagingAccessPoint, Producer,
    ProducerOptions, PullConsumer, ResourceManager, Result,
};

use super::admin::KafkaResources;
use super::cluster::Cluster;
use super::consumer::KafkaConsumer;
use super::diagnose;
use super::producer::KafkaProducer;
use super::store::StoreTopics;
use crate::common::{deadline, runtime};
use crate::store::queue::QueueStores;

pub(super) struct KafkaAccessPoint {
    url: AccessPointUrl,
    cluster: Arc<Cluster>,
    stores: Arc<QueueStores>,
}

impl KafkaAccessPoint {
    pub fn new(url: AccessPointUrl, cluster: Arc<Cluster>) -> Self {
        let stores = Arc::new(QueueStores::new(Arc::new(StoreTopics(cluster.clone()))));
        Self { url, cluster, stores }
    }
}

#[async_trait]
impl MessagingAccessPoint for KafkaAccessPoint {
    fn url(&self) -> &AccessPointUrl {
        &self.url
    }

    fn capabilities(&self) -> Capabilities {
        super::capabilities(self.cluster.config.max_message_bytes)
    }

    async fn producer(&self, options: ProducerOptions) -> Result<Box<dyn Producer>> {
        self.cluster.check()?;
        Ok(Box::new(KafkaProducer::new(self.cluster.clone(), &options)?))
    }

    async fn pull_consumer(&self, options: ConsumerOptions) -> Result<Box<dyn PullConsumer>> {
        self.cluster.check()?;
        Ok(Box::new(KafkaConsumer::new(self.cluster.clone(), options)?))
    }

    fn resources(&self) -> Arc<dyn ResourceManager> {
        Arc::new(KafkaResources(self.cluster.clone()))
    }

    async fn key_value_store(&self, name: &str) -> Result<Arc<dyn KeyValueStore>> {
        self.cluster.check()?;
        let (stores, name) = (self.stores.clone(), name.to_owned());
        runtime::on_own(async move { stores.store(&name).await }).await
    }

    async fn diagnose(&self) -> Result<Diagnosis> {
        self.cluster.check()?;
        let cluster = self.cluster.clone();
        let (limit, server) = (self.cluster.config.timeout, &self.cluster.server);
        let looked = runtime::on_own(async move { diagnose::diagnose(&cluster).await });
        deadline::within(limit, server, "looking at the cluster", looked).await
    }

    async fn close(&self) -> Result<()> {
        self.cluster.close().await;
        Ok(())
    }
}
