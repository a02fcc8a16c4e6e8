//! `oms:local:///path`: the embedded broker, a folder on this machine. It needs no server, and one process has it at a
//! time; within the process everybody who connects to the folder shares it.
//!
//! ```text
//! path/LOCK                                who has the folder
//! path/meta.redb                           queues, positions, key/value stores: see `meta`
//! path/queues/<name>.<id>/<partition>/     files of messages, named by their first offset: see `segment` and `frame`
//! ```
//!
//! Why it is made like this, with figures: `docs/adr/0001-local-storage.md`. Times of storing, by which
//! `StartAt::Timestamp` and `retention.ms` go, are those of the clock here, and never go back within a partition; the
//! timestamps that messages bring are kept and not looked at.

mod access_point;
mod admin;
mod appender;
mod catalog;
mod config;
mod consumer;
mod error;
mod frame;
mod housekeeping;
mod key_value;
mod lock;
mod log;
mod meta;
mod producer;
mod reader;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use openmessaging::{
    AccessPointUrl, Capabilities, Delivery, Driver, Error, MessagingAccessPoint, Properties, Result, Setting,
    StatusCode, Terms,
};
use percent_encoding::percent_decode_str;

use access_point::{Handle, LocalAccessPoint, blocking};

/// The driver. Its properties are described at `config::Config`.
#[derive(Debug, Default)]
pub struct LocalDriver;

fn capabilities(max_message_bytes: usize) -> Capabilities {
    Capabilities {
        // The answer of a write cannot get lost but with the process.
        delivery: Delivery::AtLeastOnce,
        partitions: true,
        offsets: true,
        seek_by_timestamp: true,
        broker_positions: true,
        ordered_failures: true,
        null_bodies: true,
        binary_headers: true,
        retention: true,
        transactions: false,
        shared: false,
        max_message_bytes: Some(max_message_bytes),
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

#[async_trait]
impl Driver for LocalDriver {
    fn name(&self) -> &'static str {
        "local"
    }

    fn capabilities(&self) -> Capabilities {
        capabilities(config::DEFAULT_MAX_MESSAGE_BYTES)
    }

    fn settings(&self) -> &'static [Setting] {
        &config::SETTINGS
    }

    fn terms(&self) -> Terms {
        Terms {
            broker: "the embedded queue",
            versions: "in the program",
            default_port: 0,
            queue: "a folder of files",
            partition: "a folder in it",
            region: "none: the URL is a path",
            namespace: "none: another folder",
            positions: "in the folder",
            stores: "in the folder",
            durable: "synced to the disk",
        }
    }

    async fn connect(
        &self,
        url: &AccessPointUrl,
        properties: &Properties,
    ) -> Result<Arc<dyn MessagingAccessPoint>> {
        let path = folder(url)?;
        let (own_url, properties) = (url.clone(), properties.clone());
        let opened = blocking(move || Handle::open(own_url, &path, &properties));
        match tokio::time::timeout(CONNECT_TIMEOUT, opened).await {
            Ok(handle) => Ok(Arc::new(LocalAccessPoint(Arc::new(handle?)))),
            // When it is opened after all, nobody holds it and it is closed again.
            Err(_) => {
                let message = format!("{url:?} was not open after {} s", CONNECT_TIMEOUT.as_secs());
                Err(Error::new(StatusCode::Timeout, message)
                    .with_remedy("look at the load of that disk, and try again"))
            }
        }
    }
}

fn folder(url: &AccessPointUrl) -> Result<PathBuf> {
    let bad = |what: &str| {
        Error::new(StatusCode::BadUrl, format!("{url:?}: {what}")).with_remedy("write oms:local:///path")
    };
    let path = url.path().ok_or_else(|| bad("the local driver takes a folder, not a server"))?;
    let path = percent_decode_str(path).decode_utf8().map_err(|_| bad("the path is not UTF-8"))?;
    if path.contains('\0') {
        return Err(bad("the path holds a zero byte"));
    }
    Ok(PathBuf::from(path.as_ref()))
}
