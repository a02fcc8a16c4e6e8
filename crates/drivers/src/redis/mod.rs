//! `oms:redis://host:port/region:namespace`: Redis Streams, also of Valkey. Works with Redis 6.2 and later.
//!
//! | here | in Redis |
//! |---|---|
//! | queue of one partition | a stream of that name; those that others made with `XADD` are such queues |
//! | queue of several | the streams `{name}:0`, `{name}:1`, ... and a hash that says how many: see `keys` |
//! | message | an entry, with a field for each part: see `entry` |
//! | offset | the entry's id, as one number: see `offset` |
//! | region, namespace | what every key begins with, `region:namespace:`, so that an ACL can grant a region (`~eu:*`) |
//! | positions of a group | a consumer group of the stream |
//! | store | hashes, a sorted set and a stream of changes: see `key_value` |
//!
//! Ids. Entries written here are numbered without gaps, so that offsets count messages, as they do on other brokers: how
//! far a consumer is behind is a subtraction. The price is that ids are no times; the time of storing is the field
//! `stored`, and what is to be found by time is found by halving. Others may write to the same stream with `XADD *`:
//! their ids are larger, and what is written behind them goes on from there.
//!
//! Sending. Messages are not added by `XADD` from here, but by a script that gets a few hundred at once (`scripts::PRODUCE`).
//! Only so does a refusal in the middle (memory full, a queue deleted) stop what is behind it, and only so is a part that
//! is sent again because its answer was lost stored once. It costs the server about
//! a tenth more than as many `XADD` of the same fields in a pipeline, and a third more than `XADD` of a body alone:
//! Lua hashes every byte of what it is given. (Redis 7.0, 130 messages of 1 KiB a call; twice as many cost the same.)
//!
//! Reading. Redis limits what it answers by entries and not by bytes; so an answer is taken apart while it comes, and what
//! a consumer has no room for is passed over and read again. That is also why the protocol is spoken here and not by a
//! client library, which would hold each answer as a whole, every field of it allocated.
//!
//! Durable. With `appendonly yes` a write is in the server's file before it is answered, and so survives the end of the
//! process; when it is on the disk is for `appendfsync` to say. Where there are replicas, one of them has it too
//! (`wait.replicas`). Stores and positions do not wait for replicas.

mod access_point;
mod admin;
mod catalog;
mod client;
mod config;
mod connection;
mod consumer;
mod diagnose;
mod entry;
mod error;
mod fetched;
mod fetcher;
mod job;
mod key_value;
mod keys;
mod link;
mod offset;
mod parts;
mod positions;
mod producer;
mod resp;
mod retention;
mod scripts;
mod sender;
mod server_info;
mod session;
mod watch;

use std::sync::Arc;

use async_trait::async_trait;
use openmessaging::{
    AccessPointUrl, Capabilities, Delivery, Driver, MessagingAccessPoint, Properties, Result, Setting, Terms,
};

use access_point::RedisAccessPoint;

/// The driver. Its properties are described at `config::SETTINGS`.
#[derive(Debug, Default)]
pub struct RedisDriver;

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
impl Driver for RedisDriver {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn capabilities(&self) -> Capabilities {
        capabilities(config::DEFAULT_MAX_MESSAGE_BYTES)
    }

    fn settings(&self) -> &'static [Setting] {
        &config::SETTINGS
    }

    fn terms(&self) -> Terms {
        Terms {
            broker: "Redis",
            versions: "7.0",
            default_port: config::DEFAULT_PORT,
            queue: "a stream of that name, or one for each of several partitions",
            partition: "a stream, `{name}:0` and so on",
            region: "what every key begins with, `region:`",
            namespace: "what every key begins with behind the region, `namespace:`",
            positions: "as consumer groups of the stream",
            stores: "in hashes that begin with `omsconnect-store-`",
            durable: "written to the append-only file, and by a replica where there is one",
        }
    }

    async fn connect(
        &self,
        url: &AccessPointUrl,
        properties: &Properties,
    ) -> Result<Arc<dyn MessagingAccessPoint>> {
        Ok(Arc::new(RedisAccessPoint::connect(url, properties).await?))
    }
}
