//! `oms:rocketmq://host:9876/<cluster>[:<namespace>]`: Apache RocketMQ 5, through an own client of its remoting protocol.
//!
//! The endpoints of the URL are name servers. A queue is a topic; its partitions are the write queues of the topic, counted
//! over the master brokers in the order of their names. How a message is written, and how other clients can tell what a
//! property means, stands at [`message`]; names at [`name`].
//!
//! **Durability.** SEND_OK acknowledges. What it means is the broker's to say (`flushDiskType`, `brokerRole`): `diagnose`
//! tells. FLUSH_DISK_TIMEOUT, FLUSH_SLAVE_TIMEOUT and SLAVE_NOT_AVAILABLE are failures unless `accept.send.status` names them.
//!
//! **Order and delivery.** One request is under way for each partition, with as many messages as wait for it. RocketMQ does
//! not recognise a repeated send; so a send whose answer was lost fails, and whoever sends it again may store it twice.
//!
//! **Accounts.** `access.key` and `secret.key` (or `user` and `password`, or the account of the URL) sign each request as
//! RocketMQ's own clients do (HMAC-SHA1), for the ACL of versions 4 and 5.
//!
//! **Positions and stores.** RocketMQ writes its own table of positions every 5 s, which is too seldom to count as durable:
//! see [`positions`]. Stores are topics of one queue. RocketMQ removes messages older than `fileReservedTime` (72 h by default;
//! the newest file of its log apart), whatever topic they are in, and has no retention of a topic's own. So whoever uses a
//! store writes a snapshot of it every 6 h at least, and what is in use never gets old. What nobody used for longer than
//! `fileReservedTime`, less 6 h, is lost, once other topics have written enough for the log to go on to another file: the store
//! is then `Corrupt`, never taken for an empty one. Where all workers may be down for a month, set `fileReservedTime` to more
//! than that. `diagnose` tells where it is short.
//!
//! Topics with `cleanup.policy=COMPACTION` (5.1) would be kept for ever, and are no way out: they keep the last message of a
//! key, and a store's last message about a key may be a conditional put that lost. Tables of the broker that are kept for
//! ever (positions, attributes of topics, the key/value settings of name servers) hold numbers, or have no versions.

mod access_point;
mod admin;
mod bytes;
mod client;
mod codes;
mod compressed;
mod config;
mod connection;
mod consumer;
mod diagnose;
mod error;
mod frame;
mod lane;
mod message;
mod name;
mod offsets;
mod positions;
mod producer;
mod puller;
mod routes;
mod sender;
mod stored;
mod stores;

use std::sync::Arc;

use async_trait::async_trait;
use openmessaging::{
    AccessPointUrl, Capabilities, Delivery, Driver, MessagingAccessPoint, Properties, Result, Setting, Terms,
};

use access_point::RocketMqAccessPoint;

/// The usual port of a name server.
const PORT: u16 = 9876;

/// The driver. Its properties are described at `config`.
#[derive(Debug, Default)]
pub struct RocketMqDriver;

fn capabilities(max_message_bytes: usize) -> Capabilities {
    Capabilities {
        delivery: Delivery::AtLeastOnce,
        partitions: true,
        offsets: true,
        seek_by_timestamp: true,
        broker_positions: true,
        ordered_failures: true,
        null_bodies: true,
        binary_headers: true,
        // The broker has one for all topics.
        retention: false,
        transactions: false,
        shared: true,
        max_message_bytes: Some(max_message_bytes),
    }
}

#[async_trait]
impl Driver for RocketMqDriver {
    fn name(&self) -> &'static str {
        "rocketmq"
    }

    fn capabilities(&self) -> Capabilities {
        capabilities(config::DEFAULT_MAX_MESSAGE_BYTES)
    }

    fn settings(&self) -> &'static [Setting] {
        &config::SETTINGS
    }

    fn terms(&self) -> Terms {
        Terms {
            broker: "Apache RocketMQ",
            versions: "5.3.3",
            default_port: PORT,
            queue: "a topic; a `.` in its name is `|` there",
            partition: "a queue of the topic",
            region: "the cluster; `default`: whatever there is",
            namespace: "a prefix `namespace%` of topics and groups, RocketMQ's own convention",
            positions: "in the store `positions`, and told to the broker",
            stores: "a topic `omsconnect-store-<name>` of one queue each",
            durable: "answered with SEND_OK: on the disk where flushDiskType=SYNC_FLUSH, at a slave where brokerRole=SYNC_MASTER",
        }
    }

    async fn connect(
        &self,
        url: &AccessPointUrl,
        properties: &Properties,
    ) -> Result<Arc<dyn MessagingAccessPoint>> {
        Ok(Arc::new(RocketMqAccessPoint::open(url, properties).await?))
    }
}
