//! Wire formats: between values and the bytes of a message, one module each. `docs/reference/converters.md` is what
//! users read about them.
//!
//! All of them are visitors that write as they are driven; [`json`] is the machinery behind those that write JSON,
//! [`text`] how single values look as text.

mod bytes;
mod json;
mod kafka_json;
mod original_json;
mod plain_json;
mod string;
mod text;
mod visit;

use openmessaging_connector::config::Parsed;
use openmessaging_connector::registry::Factory;
use openmessaging_connector::{Config, ConfigDef, PluginInfo, Registry, Result};

/// The options of a converter. One error, the first, is enough here: validation shows all of them.
fn parse(def: &ConfigDef, options: &Config) -> Result<Parsed> {
    def.parse(options).map_err(|errors| match errors.into_iter().next() {
        Some(error) => error,
        None => openmessaging_connector::Error::config("config.invalid", "", "the options cannot be read"),
    })
}

/// Adds the converters. A short name belongs to the first that answers to it, so `JsonConverter` is Kafka Connect's.
pub fn register(registry: &mut Registry) {
    let mut add = |class, aliases, doc, config_def, factory| {
        let factory = Factory::Converter(factory);
        registry.register(PluginInfo {
            class,
            aliases,
            version: env!("CARGO_PKG_VERSION"),
            doc,
            config_def,
            factory,
        });
    };
    add(
        "org.apache.kafka.connect.json.JsonConverter",
        &["kafka-json"],
        "Kafka Connect's JSON, with schema or without; logical types as Debezium has them.",
        kafka_json::config_def,
        kafka_json::converter,
    );
    add(
        "io.openmessaging.connect.runtime.converter.PlainJsonConverter",
        &["json"],
        "Plain JSON without schema, as one would write it by hand.",
        plain_json::config_def,
        plain_json::converter,
    );
    add(
        "io.openmessaging.connect.runtime.converter.JsonConverter",
        &["oms-json"],
        "The messages of the original OpenMessaging Connect runtime, byte for byte.",
        original_json::config_def,
        original_json::converter,
    );
    add(
        "org.apache.kafka.connect.storage.StringConverter",
        &["string"],
        "The text of a value.",
        string::config_def,
        string::converter,
    );
    add(
        "org.apache.kafka.connect.converters.ByteArrayConverter",
        &["bytes"],
        "Bytes as they are.",
        bytes::config_def,
        bytes::converter,
    );
}
