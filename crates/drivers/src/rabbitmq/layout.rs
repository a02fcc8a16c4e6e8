//! Which queues of the broker make up a queue of ours.
//!
//! One partition: a queue (or stream) of the plain name. Several: a super stream, as `rabbitmq-streams add_super_stream`
//! makes it: streams `name-0`, `name-1`, ... bound to the direct exchange `name` with the keys `0`, `1`, ... That has no
//! list of its streams that AMQP could ask for: they are counted from `name-0` on. So `name-0` is made last and deleted
//! first, and there is no moment at which half of them would be taken for all.

use std::collections::BTreeMap;
use std::sync::Arc;

use lapin::ExchangeKind;
use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use openmessaging::{Error, QueueSpec, Result, StatusCode};
use tokio::time::Instant;

use super::config::{Config, QueueType};
use super::error;
use super::link::Link;
use crate::common::names;
use crate::common::settings::bad_parameter;
use crate::store::queue::PREFIX;

/// More than any super stream has: the count ends somewhere.
const MOST: u32 = 10_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Layout {
    /// One queue of the plain name.
    Plain(ShortString),
    /// The streams of a super stream, by partition.
    Super(Arc<[ShortString]>),
}

impl Layout {
    pub fn partitions(&self) -> u32 {
        match self {
            Self::Plain(_) => 1,
            Self::Super(streams) => streams.len() as u32,
        }
    }

    /// The broker's queue of a partition.
    pub fn queue(&self, partition: u32) -> Option<&ShortString> {
        match self {
            Self::Plain(name) => (partition == 0).then_some(name),
            Self::Super(streams) => streams.get(partition as usize),
        }
    }

    pub fn queues(&self) -> Vec<ShortString> {
        match self {
            Self::Plain(name) => vec![name.clone()],
            Self::Super(streams) => streams.to_vec(),
        }
    }
}

pub(super) fn stream_name(queue: &str, partition: u32) -> String {
    format!("{queue}-{partition}")
}

/// A name that may be one of the broker's, which holds up to 255 bytes.
pub(super) fn short(name: &str) -> Result<ShortString> {
    ShortString::try_new(name).map_err(|error| bad_parameter(format!("\"{name}\": {error}")))
}

/// # Errors
/// `BadParameter`: no name of a queue, or one that is kept for the driver or the broker.
pub(super) fn check_name(name: &str) -> Result<()> {
    names::check_queue(name)?;
    for kept in [PREFIX, "amq."] {
        if name.starts_with(kept) {
            return Err(bad_parameter(format!("\"{name}\" cannot be the name of a queue: {kept} is kept"))
                .with_remedy("use another name"));
        }
    }
    Ok(())
}

/// # Errors
/// `NotFound`.
pub(super) async fn find(link: &Link, kind: QueueType, name: &str, deadline: Instant) -> Result<Layout> {
    names::check_queue(name)?;
    look(link, kind, name, deadline).await?.ok_or_else(|| error::no_queue(&link.config, name))
}

/// `None`: there is none.
pub(super) async fn look(
    link: &Link,
    kind: QueueType,
    name: &str,
    deadline: Instant,
) -> Result<Option<Layout>> {
    if messages(link, name, deadline).await?.is_some() {
        return Ok(Some(Layout::Plain(short(name)?)));
    }
    if kind == QueueType::Quorum || !exchange_exists(link, name, deadline).await? {
        return Ok(None);
    }
    let mut streams = Vec::new();
    while (streams.len() as u32) < MOST {
        let stream = stream_name(name, streams.len() as u32);
        if messages(link, &stream, deadline).await?.is_none() {
            break;
        }
        streams.push(short(&stream)?);
    }
    Ok((!streams.is_empty()).then(|| Layout::Super(streams.into())))
}

/// How many messages are ready in a queue of the broker, where there is one of that name.
pub(super) async fn messages(link: &Link, name: &str, deadline: Instant) -> Result<Option<u32>> {
    let counts = link.retry(deadline, || counts(link, name, deadline)).await?;
    Ok(counts.map(|(messages, _)| messages))
}

/// How many consumers a queue of the broker has.
pub(super) async fn consumers(link: &Link, name: &str, deadline: Instant) -> Result<u32> {
    let counts = link.retry(deadline, || counts(link, name, deadline)).await?;
    Ok(counts.map_or(0, |(_, consumers)| consumers))
}

/// Messages and consumers.
async fn counts(link: &Link, name: &str, deadline: Instant) -> Result<Option<(u32, u32)>> {
    let channel = link.channel(deadline).await?;
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let declared = channel.queue_declare(short(name)?, options, FieldTable::default());
    match link.call(&format!("looking for queue {name}"), deadline, declared).await {
        Ok(queue) => {
            close(channel);
            Ok(Some((queue.message_count(), queue.consumer_count())))
        }
        Err(error) if error.status == StatusCode::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

async fn exchange_exists(link: &Link, name: &str, deadline: Instant) -> Result<bool> {
    let channel = link.channel(deadline).await?;
    let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
    let declared =
        channel.exchange_declare(short(name)?, ExchangeKind::Direct, options, FieldTable::default());
    match link.call(&format!("looking for exchange {name}"), deadline, declared).await {
        Ok(()) => {
            close(channel);
            Ok(true)
        }
        Err(error) if error.status == StatusCode::NotFound => Ok(false),
        // There is one, of another kind.
        Err(error) if error.status == StatusCode::BadParameter => Ok(false),
        Err(error) => Err(error),
    }
}

/// Closes a channel; nobody waits for it.
pub(super) fn close(channel: lapin::Channel) {
    if let Ok(handle) = crate::common::runtime::handle() {
        handle.spawn(async move {
            let _ = channel.close(200, "done".into()).await;
        });
    }
}

/// The arguments with which the queues of a new queue are declared.
pub(super) fn arguments(config: &Config, spec: &QueueSpec) -> Result<FieldTable> {
    let mut arguments = BTreeMap::new();
    let mut put = |name: &str, value| {
        arguments.insert(short(name)?, value);
        Ok::<_, Error>(())
    };
    match config.queue_type {
        QueueType::Stream => {
            put("x-queue-type", text("stream"))?;
            if let Some(age) = spec.retention_ms {
                put("x-max-age", text(&format!("{}s", age.div_ceil(1000).max(1))))?;
            }
            if let Some(bytes) = spec.retention_bytes {
                put("x-max-length-bytes", number(bytes)?)?;
                // Only whole segments are removed.
                put("x-stream-max-segment-size-bytes", number((bytes / 4).clamp(1_000_000, 500_000_000))?)?;
            }
        }
        QueueType::Quorum => put("x-queue-type", text("quorum"))?,
    }
    for (name, value) in &spec.properties {
        if !name.starts_with("x-") {
            return Err(bad_parameter(format!("a queue of rabbitmq has no property \"{name}\""))
                .with_remedy("name an argument of queue.declare, such as x-max-length-bytes"));
        }
        let is_stream = config.queue_type == QueueType::Stream;
        if name == "x-queue-type" && (value == "stream") != is_stream {
            return Err(bad_parameter(format!("this access point has no queues of the type {value}"))
                .with_remedy("use an access point with the property queue.type=stream or quorum"));
        }
        match value.parse::<i64>() {
            Ok(value) => put(name, AMQPValue::LongLongInt(value))?,
            Err(_) => put(name, text(value))?,
        }
    }
    Ok(arguments.into())
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn number(value: u64) -> Result<AMQPValue> {
    let value = i64::try_from(value);
    value.map(AMQPValue::LongLongInt).map_err(|_| bad_parameter("the retention is larger than 2^63 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(properties: &[(&str, &str)]) -> Config {
        let given = properties.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        Config::read(&"oms:rabbitmq://h/default".parse().expect("a URL"), &given).expect("read")
    }

    #[test]
    fn retention_and_properties_become_arguments() {
        let mut spec = QueueSpec::new("q", 1);
        (spec.retention_ms, spec.retention_bytes) = (Some(1500), Some(40_000_000));
        spec.properties.insert("x-initial-cluster-size".into(), "3".into());
        let table = arguments(&config(&[]), &spec).expect("arguments");
        let get = |name: &str| table.inner().get(name).cloned();
        assert_eq!(get("x-queue-type"), Some(text("stream")));
        assert_eq!(get("x-max-age"), Some(text("2s")));
        assert_eq!(get("x-max-length-bytes"), Some(AMQPValue::LongLongInt(40_000_000)));
        assert_eq!(get("x-stream-max-segment-size-bytes"), Some(AMQPValue::LongLongInt(10_000_000)));
        assert_eq!(get("x-initial-cluster-size"), Some(AMQPValue::LongLongInt(3)));
        spec.properties = [("x-queue-type".to_owned(), "classic".to_owned())].into();
        assert!(arguments(&config(&[]), &spec).is_err());
        let quorum = config(&[("queue.type", "quorum")]);
        assert!(arguments(&quorum, &spec).is_ok());
        spec.properties = [("max-length".to_owned(), "5".to_owned())].into();
        assert!(arguments(&quorum, &spec).is_err());
    }

    #[test]
    fn partitions_have_queues() {
        let one = Layout::Plain("q".into());
        assert_eq!((one.partitions(), one.queue(0), one.queue(1)), (1, Some(&"q".into()), None));
        let two = Layout::Super(["q-0".into(), "q-1".into()].into());
        assert_eq!((two.partitions(), two.queue(1), two.queue(2)), (2, Some(&"q-1".into()), None));
        assert!(
            check_name("omsconnect-store-x").is_err()
                && check_name("amq.x").is_err()
                && check_name("q").is_ok()
        );
    }
}
