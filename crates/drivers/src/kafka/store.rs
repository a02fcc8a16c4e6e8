//! Key/value stores over topics of one partition. What snapshots cover is deleted from the front.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use openmessaging::{
    ConsumerOptions, Producer, ProducerOptions, PullConsumer, QueueSpec, ResourceManager, Result, StatusCode,
};
use tokio_util::sync::CancellationToken;

use super::admin::{self, KafkaResources};
use super::cluster::Cluster;
use super::consumer::KafkaConsumer;
use super::error::{self, code};
use super::producer::KafkaProducer;
use super::protocol::topics;
use super::wire::Reader;
use crate::store::queue::StoreQueue;

/// What a store may have fetched ahead: values are small, and there may be many stores.
const PREFETCH: usize = 2 * 1024 * 1024;

pub(super) struct StoreTopics(pub Arc<Cluster>);

#[async_trait]
impl StoreQueue for StoreTopics {
    fn server(&self) -> &str {
        &self.0.server
    }

    async fn create(&self, queue: &str) -> Result<()> {
        let mut spec = QueueSpec::new(queue, 1);
        for (name, value) in [
            ("retention.ms", "-1"),
            ("retention.bytes", "-1"),
            ("cleanup.policy", "delete"),
            // What is trimmed goes by whole segments: small ones keep little.
            ("segment.bytes", "16777216"),
        ] {
            spec.properties.insert(name.to_owned(), value.to_owned());
        }
        match admin::create(&self.0, &spec).await {
            Err(error) if error.status == StatusCode::AlreadyExists => Ok(()),
            result => result,
        }
    }

    fn resources(&self) -> Arc<dyn ResourceManager> {
        Arc::new(KafkaResources(self.0.clone()))
    }

    async fn producer(&self) -> Result<Box<dyn Producer>> {
        let options = ProducerOptions { name: "store".to_owned(), timeout: None };
        Ok(Box::new(KafkaProducer::new(self.0.clone(), &options)?))
    }

    async fn consumer(&self) -> Result<Box<dyn PullConsumer>> {
        let options = ConsumerOptions { group: String::new(), prefetch_bytes: Some(PREFETCH) };
        Ok(Box::new(KafkaConsumer::new(self.0.clone(), options)?))
    }

    async fn trim(&self, queue: &str, before: u64) -> Result<()> {
        let (cluster, topic) = (&*self.0, &self.0.topic_of(queue));
        let what = &format!("deleting the front of {topic}");
        cluster
            .attempts(what, |left, _| async move {
                let info = cluster.topic(topic, cluster.config.client.metadata_age).await?;
                let leader = info.leader(0).ok_or_else(|| error::of(code::LEADER_NOT_AVAILABLE, what))?;
                let connection = cluster.node(leader).await?;
                let timeout = left.as_millis() as i32;
                let request =
                    topics::delete_records(&cluster.config.client.id, topic, 0, before as i64, timeout);
                let answer = cluster.call(&connection, request, what, left).await?;
                match topics::delete_records_answer(Reader::new(&answer))? {
                    // Somebody else has deleted more.
                    code::NONE | code::OFFSET_OUT_OF_RANGE => Ok(()),
                    code => {
                        cluster.forget(topic);
                        Err(error::of(code, &format!("{}: {what}", connection.server())))
                    }
                }
            })
            .await
    }

    fn timeout(&self) -> Duration {
        self.0.config.timeout
    }

    fn closed(&self) -> &CancellationToken {
        &self.0.closed
    }
}
