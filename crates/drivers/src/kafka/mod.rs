//! `oms:kafka://host:port[,host:port...]/region:namespace`: Apache Kafka, from 2.1 on.
//!
//! The client is this driver's own: requests and answers in `protocol`, record batches in `records`. Batches of messages go
//! straight into the bytes of a request and out of those of an answer; that, and that a failure stops what is behind it at
//! once (D9), is what it is for.
//!
//! - A queue is a topic. Region and namespace, unless `default`, are a prefix of its name: `region.namespace.queue`.
//! - A message is durable when every replica in sync has it (`acks=all`), with at least `min.insync.replicas` of them.
//! - Producers are idempotent: a request that is repeated is stored once.
//! - Consumers assign their partitions themselves; positions are committed to groups as `kafka-consumer-groups` shows them,
//!   and go the way that `offsets.retention.minutes` of the broker says (7 days without a commit).
//! - Only messages of committed transactions are read (`client.isolation.level`).
//! - A queue that is deleted takes the groups' positions with it: the broker sees to that.
//! - Times are those that messages bring, and Kafka's retention by time goes by them: messages with old timestamps may be
//!   removed early.
//!
//! Settings of Kafka's clients are taken under `client.`; `config::CLIENT_SETTINGS` has those that are known.

mod access_point;
mod admin;
mod cluster;
mod config;
mod connection;
mod consumer;
mod diagnose;
mod error;
mod positions;
mod producer;
mod protocol;
mod records;
mod sasl;
mod store;
mod wire;

use std::sync::Arc;

use async_trait::async_trait;
use openmessaging::{
    AccessPointUrl, Capabilities, Delivery, Driver, MessagingAccessPoint, Properties, Result, Setting, Terms,
};

use self::access_point::KafkaAccessPoint;
use self::cluster::Cluster;
use self::config::Config;
use crate::common::{deadline, runtime};

/// The driver. Its properties are described at `config::SETTINGS`.
#[derive(Debug, Default)]
pub struct KafkaDriver;

fn capabilities(max_message_bytes: usize) -> Capabilities {
    Capabilities {
        delivery: Delivery::Idempotent,
        partitions: true,
        offsets: true,
        seek_by_timestamp: true,
        broker_positions: true,
        ordered_failures: true,
        null_bodies: true,
        binary_headers: true,
        retention: true,
        transactions: false,
        shared: true,
        max_message_bytes: Some(max_message_bytes),
    }
}

#[async_trait]
impl Driver for KafkaDriver {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn capabilities(&self) -> Capabilities {
        capabilities(config::DEFAULT_MAX_MESSAGE_BYTES)
    }

    fn settings(&self) -> &'static [Setting] {
        &config::SETTINGS
    }

    fn terms(&self) -> Terms {
        Terms {
            broker: "Apache Kafka",
            versions: "4.1 (protocol of 2.1 and newer)",
            default_port: config::DEFAULT_PORT,
            queue: "a topic",
            partition: "a partition",
            region: "a prefix of topics: `region.`",
            namespace: "a prefix of topics: `namespace.`, behind the region's",
            positions: "committed offsets of the consumer group, in `__consumer_offsets`",
            stores: "topics `omsconnect-store-*` of one partition",
            durable: "on all replicas in sync (acks=all)",
        }
    }

    async fn connect(
        &self,
        url: &AccessPointUrl,
        properties: &Properties,
    ) -> Result<Arc<dyn MessagingAccessPoint>> {
        let config = Config::parse(url, properties)?;
        let cluster = Arc::new(Cluster::new(config));
        let (server, own) = (cluster.server.clone(), cluster.clone());
        let opened = runtime::on_own(async move { own.meet().await });
        deadline::within(deadline::CONNECT, &server, "connecting", opened).await?;
        Ok(Arc::new(KafkaAccessPoint::new(url.clone(), cluster)))
    }
}
