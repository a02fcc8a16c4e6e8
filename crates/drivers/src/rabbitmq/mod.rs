//! RabbitMQ, by AMQP 0.9.1 (lapin), from version 3.9 on; tested with 3.10.
//!
//! What a queue is, the property `queue.type` of the access point says:
//!
//! - `stream` (default): one partition is a stream of the plain name; several are a super stream, laid out as RabbitMQ's own
//!   `rabbitmq-streams add_super_stream` does (see [`layout`]). Offsets are those of the stream.
//! - `quorum`: one quorum queue, without partitions and offsets. `commit` acknowledges what is before a position, and with it
//!   the broker forgets it; what was not comes again. Existing quorum and classic queues of others are read and written in
//!   the same way. The numbers that stand for offsets count what one consumer was given. After a lost connection what was not
//!   committed comes again in its order, up to 32,000 messages (see [`queue_feed`]).
//!
//! | of the API | at RabbitMQ |
//! |---|---|
//! | region, namespace | the virtual host `region.namespace`, with one of them `region` or `namespace`, with none `/`; it must exist |
//! | key, headers, time | see [`message`] |
//! | acknowledged | a publisher confirm: on the disk of a majority of the members; streams do not fsync, replicas are what keeps them through a power cut |
//! | positions, key/value stores | streams `omsconnect-store-<name>`, positions in `oms-positions`; with `queue.type=quorum` positions are what is acknowledged |
//! | what is fetched ahead | so many messages as fit by the size of the last ones; where large ones follow small ones, the connection is not read while there is no room (see [`intake`]), but for what a paused partition holds up of another |
//! | a time to start at | the broker finds the second, within it the time of sending that our producers write counts; chunks of others are taken whole |
//! | retention | `x-max-age` and `x-max-length-bytes`; the broker removes whole segments, at least 1 MB of size, when a new one begins |
//!
//! Listing queues, and most of the diagnosis, needs the plugin `rabbitmq_management`: AMQP has no such question.
//!
//! Sending is ordered: a failed batch is not overtaken (D9). A stream refuses nothing once it is there, and what was
//! published before a connection broke was taken in order. A quorum queue with a limit and `x-overflow=reject-publish` may
//! refuse one message and take the next: so with `queue.type=quorum` the capability `ordered_failures` says no.
//!
//! A message without a queue comes back before its confirm: it is published `mandatory`. lapin logs it when that happens.

mod access_point;
mod admin;
mod bounds;
mod config;
mod consumer;
mod diagnose;
mod error;
mod incoming;
mod intake;
mod layout;
mod link;
mod management;
mod message;
mod producer;
mod queue_feed;
mod socket;
mod store;
mod stream_feed;
mod window;

use std::sync::Arc;

use async_trait::async_trait;
use openmessaging::{
    AccessPointUrl, Capabilities, Delivery, Driver, MessagingAccessPoint, Properties, Result, Setting, Terms,
};
use tokio::time::Instant;

use self::access_point::{RabbitAccessPoint, Shared};
use self::config::{Config, QueueType};
use crate::common::deadline::CONNECT;
use crate::common::runtime;

/// `oms:rabbitmq://host:5672/default`
pub struct RabbitMqDriver;

fn capabilities(queues: QueueType, max_message_bytes: usize) -> Capabilities {
    let streams = queues == QueueType::Stream;
    Capabilities {
        delivery: Delivery::AtLeastOnce,
        partitions: streams,
        offsets: streams,
        seek_by_timestamp: streams,
        broker_positions: true,
        ordered_failures: streams,
        null_bodies: true,
        binary_headers: true,
        retention: streams,
        transactions: false,
        shared: true,
        max_message_bytes: Some(max_message_bytes),
    }
}

#[async_trait]
impl Driver for RabbitMqDriver {
    fn name(&self) -> &'static str {
        config::NAME
    }

    /// Those of streams, the default.
    fn capabilities(&self) -> Capabilities {
        capabilities(QueueType::Stream, 16 * 1024 * 1024)
    }

    fn settings(&self) -> &'static [Setting] {
        config::SETTINGS
    }

    fn terms(&self) -> Terms {
        Terms {
            broker: "RabbitMQ",
            versions: "3.10",
            default_port: config::PORT,
            queue: "a stream (queue.type=stream), or a quorum queue",
            partition: "a stream of a super stream",
            region: "the virtual host, or the first part of its name: region.namespace",
            namespace: "the virtual host, or the last part of its name: region.namespace",
            positions: "an internal stream; with queue.type=quorum, what is acknowledged is gone from the queue",
            stores: "internal streams, omsconnect-store-<name>",
            durable: "confirmed: written by a majority of the members of the stream or queue (streams do not fsync)",
        }
    }

    async fn connect(
        &self,
        url: &AccessPointUrl,
        properties: &Properties,
    ) -> Result<Arc<dyn MessagingAccessPoint>> {
        let shared = Shared::new(Config::read(url, properties)?)?;
        let point = Arc::new(RabbitAccessPoint::new(url.clone(), shared.clone()));
        runtime::on_own(async move { shared.link.connection(Instant::now() + CONNECT).await.map(|_| ()) })
            .await?;
        Ok(point)
    }
}
