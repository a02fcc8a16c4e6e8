//! `oms:nats://[account@]host[:port][,host[:port]...]/region[:namespace]`: NATS JetStream, server 2.9 or later.
//!
//! # What a queue is
//!
//! Each partition is a stream of its own, on disk, whose only subject is the queue's name; what the names are is told at
//! [`names`]. So offsets are the stream's sequences, without gaps but where somebody deletes messages, partitions do not wait for
//! each other, and other clients read and write a queue of one partition as the stream and the subject of its plain name. A
//! stream that others made is a queue too: it is read whole, whatever its subjects; what is sent goes to the queue's own
//! name where the stream takes that, else to its only subject. A stream of wildcards, a mirror, and a sealed stream cannot
//! be sent to.
//!
//! Properties of a queue: `replicas` (wins over that of the access point), `storage` (`file` or `memory`), `discard` (`old`
//! removes the oldest messages at a limit, `new` refuses new ones, which is `Full`), `max_msgs`. A retention in bytes is the
//! stream's `max_bytes`, one in time its `max_age` (100 ms at least).
//!
//! # What is promised, and how
//!
//! - A message is acknowledged when the stream's leader (with replicas: a majority) has it. The server syncs to its disk
//!   every two minutes unless `sync_interval` says otherwise: what was acknowledged outlives the end of the server, not of
//!   the machine, unless there are replicas.
//! - Each message has an id (`Nats-Msg-Id`). What the driver sends again by itself, the server recognises within the
//!   stream's duplicate window (2 minutes): delivery is idempotent.
//! - Many messages are on their way at once, and each names the one before it (`Nats-Expected-Last-Msg-Id`), so that nothing
//!   is stored behind one that was refused: [`lane`]. Where several producers send to the same partition at once they get in
//!   each other's way by that, which costs speed and never order; `ordered = false` does without.
//! - Key, timestamp and headers lie in headers: [`headers`]. All of them together are at most 64 KiB, a limit of the server.
//! - Reading leaves nothing at the server: consumers without names, which are gone by themselves. Positions of groups are in
//!   a bucket: [`positions`].
//!
//! The client is this driver's own ([`wire`], [`dial`], [`link`]): the order of what is sent over a broken connection, and
//! what is fetched ahead, must be known to the byte.

mod access_point;
mod admin;
mod answers;
mod api;
mod auth;
mod bucket;
mod catalog;
mod config;
mod consumer;
mod diagnose;
mod dial;
mod encode;
mod entries;
mod error;
mod headers;
mod health;
mod index;
mod job;
mod key_value;
mod lane;
mod link;
mod names;
mod positions;
mod producer;
mod progress;
mod pull;
mod sender;
mod wire;

use std::sync::Arc;

use async_trait::async_trait;
use openmessaging::{
    AccessPointUrl, Capabilities, Delivery, Driver, MessagingAccessPoint, Properties, Result, Setting, Terms,
};

use crate::common::deadline::{CONNECT, within};
use access_point::{Handle, NatsAccessPoint};

/// The driver. Its properties are listed at `config`.
#[derive(Debug, Default)]
pub struct NatsDriver;

/// What is left of the server's `max_payload` for the headers that this driver adds to a message.
const HEADER_ROOM: usize = 4096;

fn capabilities(max_message_bytes: usize, ordered: bool) -> Capabilities {
    Capabilities {
        delivery: Delivery::Idempotent,
        partitions: true,
        offsets: true,
        seek_by_timestamp: true,
        broker_positions: true,
        ordered_failures: ordered,
        null_bodies: true,
        binary_headers: true,
        retention: true,
        transactions: false,
        shared: true,
        max_message_bytes: Some(max_message_bytes),
    }
}

#[async_trait]
impl Driver for NatsDriver {
    fn name(&self) -> &'static str {
        config::DRIVER
    }

    fn capabilities(&self) -> Capabilities {
        capabilities(config::DEFAULT_MAX_MESSAGE_BYTES, true)
    }

    fn settings(&self) -> &'static [Setting] {
        &config::SETTINGS
    }

    fn terms(&self) -> Terms {
        Terms {
            broker: "NATS JetStream",
            versions: "2.9, 2.10, 2.11",
            default_port: config::DEFAULT_PORT,
            queue: "the streams of its partitions; with one partition, the stream and the subject of its name",
            partition: "a stream",
            region: "the first word of subjects, and a part of the names of streams",
            namespace: "the second word",
            positions: "in the bucket omsconnect-positions",
            stores: "in buckets named omsconnect-store-<name>",
            durable: "stored by the stream's leader, and with replicas by a majority",
        }
    }

    async fn connect(
        &self,
        url: &AccessPointUrl,
        properties: &Properties,
    ) -> Result<Arc<dyn MessagingAccessPoint>> {
        let opened = Handle::open(url.clone(), properties);
        let server = url.redacted();
        let handle = within(CONNECT, &server, "connecting", opened).await?;
        Ok(Arc::new(NatsAccessPoint(Arc::new(handle))))
    }
}
