//! The keys that the runtime gives to every connector.

use openmessaging_connector::config::{KeyType, Validator};
use openmessaging_connector::{ConfigDef, Importance, Key};

use crate::cluster::ConnectorKind;

pub const NAME: &str = "name";
pub const CLASS: &str = "connector.class";
/// The original runtime's name of [`CLASS`].
pub const CLASS_ORIGINAL: &str = "connector-class";
pub const TASKS_MAX: &str = "tasks.max";
pub const KEY_CONVERTER: &str = "key.converter";
pub const VALUE_CONVERTER: &str = "value.converter";
/// The original runtime's name of [`VALUE_CONVERTER`].
pub const VALUE_CONVERTER_ORIGINAL: &str = "source-record-converter";
pub const DRIVER_URL: &str = "oms-driver-url";
/// What begins with this is a property of the driver of [`DRIVER_URL`].
pub const DRIVER_PREFIX: &str = "driver.";
pub const FLUSH_INTERVAL: &str = "offset.flush.interval.ms";
pub const BATCH_BYTES: &str = "batch.max.bytes";
pub const IN_FLIGHT_BYTES: &str = "in.flight.max.bytes";
pub const QUEUE_PARTITIONS: &str = "queue.partitions";
pub const TOPICS: &str = "topics";
pub const START: &str = "consumer.start";

/// The converter that is used where neither connector nor worker names one.
pub const DEFAULT_CONVERTER: &str = "io.openmessaging.connect.runtime.converter.PlainJsonConverter";

const COMMON: &str = "Common";
const DELIVERY: &str = "Delivery";

/// The framework's keys for a connector of that kind.
pub fn framework(kind: ConnectorKind) -> ConfigDef {
    let common = ConfigDef::new()
        .key(
            Key::new(NAME, KeyType::String, "Name of the connector, unique in the group.")
                .required()
                .group(COMMON)
                .validator(Validator::Check(check_name))
                .display_name("Connector name"),
        )
        .key(
            Key::new(CLASS, KeyType::String, "The connector: full class name, simple name or alias.")
                .required()
                .aliases(&[CLASS_ORIGINAL])
                .group(COMMON)
                .display_name("Connector class"),
        )
        .key(
            Key::new(TASKS_MAX, KeyType::Int, "The most tasks that the connector may split into.")
                .default("1")
                .range(1, 10_000)
                .importance(Importance::High)
                .group(COMMON)
                .display_name("Tasks max"),
        )
        .key(
            Key::new(KEY_CONVERTER, KeyType::Class, "The converter of record keys. Options of the converter stand behind it: `key.converter.schemas.enable`.")
                .default(DEFAULT_CONVERTER)
                .importance(Importance::Low)
                .group(COMMON)
                .display_name("Key converter class"),
        )
        .key(
            Key::new(VALUE_CONVERTER, KeyType::Class, "The converter of record values. Options of the converter stand behind the name that was used: `value.converter.schemas.enable`.")
                .default(DEFAULT_CONVERTER)
                .aliases(&[VALUE_CONVERTER_ORIGINAL])
                .importance(Importance::Low)
                .group(COMMON)
                .display_name("Value converter class"),
        )
        .key(
            Key::new(DRIVER_URL, KeyType::String, "The message queue: an OpenMessaging access point URL. The worker's own where it is not set.")
                .validator(Validator::Check(check_url))
                .group(COMMON)
                .display_name("OMS driver URL"),
        )
        .key(
            Key::new(FLUSH_INTERVAL, KeyType::Long, "How often positions are committed, in milliseconds. After a crash at most this much is delivered again.")
                .default("1000")
                .range(1, 86_400_000)
                .importance(Importance::Low)
                .group(DELIVERY)
                .display_name("Position commit interval"),
        )
        .key(
            Key::new(BATCH_BYTES, KeyType::Int, "The size at which a batch is full, in bytes. One larger record still makes a batch.")
                .default("1048576")
                .range(1024, 64 << 20)
                .importance(Importance::Low)
                .group(DELIVERY)
                .display_name("Batch size"),
        )
        .prefix(DRIVER_PREFIX)
        .prefix("key.converter.")
        .prefix("value.converter.")
        .prefix("source-record-converter.");
    match kind {
        ConnectorKind::Source => common
            .key(
                Key::new(
                    IN_FLIGHT_BYTES,
                    KeyType::Int,
                    "How many bytes may be sent and not yet acknowledged. Reading waits beyond it.",
                )
                .default("8388608")
                .range(1024, 1 << 30)
                .importance(Importance::Low)
                .group(DELIVERY)
                .display_name("Bytes in flight"),
            )
            .key(
                Key::new(
                    QUEUE_PARTITIONS,
                    KeyType::Int,
                    "Partitions of a queue that the connector makes. Queues that exist stay as they are.",
                )
                .default("1")
                .range(1, 100_000)
                .aliases(&["topic.creation.default.partitions"])
                .group(DELIVERY)
                .display_name("Queue partitions"),
            ),
        ConnectorKind::Sink => common
            .key(
                Key::new(TOPICS, KeyType::List, "The queues to read, separated by commas.")
                    .required()
                    .aliases(&["queueNames", "queueName"])
                    .validator(Validator::NonEmpty)
                    .group(COMMON)
                    .display_name("Queues"),
            )
            .key(
                Key::new(START, KeyType::String, "Where a queue is read from that has no stored position.")
                    .default("begin")
                    .one_of(&["begin", "end"])
                    .importance(Importance::Low)
                    .group(DELIVERY)
                    .display_name("First position"),
            ),
    }
}

/// Whether a key is the runtime's, whatever the kind; none of these is a secret.
pub fn is_framework(name: &str) -> bool {
    [ConnectorKind::Source, ConnectorKind::Sink].iter().any(|kind| framework(*kind).find(name).is_some())
}

fn check_name(name: &str) -> Result<(), String> {
    if name.trim().is_empty() {
        return Err("Connector name may not be empty".to_owned());
    }
    if name.len() > 200 {
        return Err("Connector name may not be longer than 200 bytes".to_owned());
    }
    match name.chars().find(|c| c.is_control() || "/\\%{}?#;".contains(*c)) {
        Some(bad) => Err(format!("Connector name may not contain {bad:?}")),
        None => Ok(()),
    }
}

fn check_url(url: &str) -> Result<(), String> {
    url.parse::<openmessaging::AccessPointUrl>().map(|_| ()).map_err(|error| error.to_string())
}
