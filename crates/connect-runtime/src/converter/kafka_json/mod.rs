//! `org.apache.kafka.connect.json.JsonConverter`: the bytes of Kafka Connect 4.1, with logical types as Debezium 3.2 names
//! and represents them. What Kafka's own converter makes of the same values is checked in under
//! `tests/data/kafka-json`, and compared byte by byte.

mod decoder;
mod format;
mod names;
mod payload;
mod schema_reader;
mod schema_writer;

use std::sync::Arc;

use openmessaging_connector::config::{Importance, Key, KeyType};
use openmessaging_connector::record::RecordHead;
use openmessaging_connector::{Config, ConfigDef, Converter, Decoder, Encoder, Result, Schema};

use super::json::writer::JsonWriter;
use super::visit;
use decoder::KafkaDecoder;
use format::KafkaFormat;

const SCHEMAS: &str = "schemas.enable";
const CACHE: &str = "schemas.cache.size";
const DECIMALS: &str = "decimal.format";
const DEFAULTS: &str = "replace.null.with.default";

pub(super) fn config_def() -> ConfigDef {
    ConfigDef::new()
        .key(
            Key::new(
                SCHEMAS,
                KeyType::Boolean,
                "Whether each key and value carries its schema: {\"schema\":...,\"payload\":...}.",
            )
            .default("true")
            .importance(Importance::High)
            .group("Schemas")
            .display_name("Enable Schemas"),
        )
        .key(
            Key::new(CACHE, KeyType::Int, "How many schemas that were read are kept. Those written are kept by size.")
                .default("1000")
                .importance(Importance::High)
                .group("Schemas")
                .display_name("Schema Cache Size"),
        )
        .key(
            Key::new(
                DECIMALS,
                KeyType::String,
                "How decimals are written: BASE64 of their unscaled two's complement bytes, or as a JSON number \
                 (NUMERIC). Both are read.",
            )
            .default("BASE64")
            .one_of(&["BASE64", "NUMERIC"])
            .importance(Importance::Low)
            .group("Serialization")
            .display_name("Decimal Format"),
        )
        .key(
            Key::new(
                DEFAULTS,
                KeyType::Boolean,
                "Whether a null becomes the default of its schema, where that has one.",
            )
            .default("true")
            .importance(Importance::Low)
            .group("Serialization")
            .display_name("Replace null with default"),
        )
}

pub(super) fn converter(options: &Config, _is_key: bool) -> Result<Arc<dyn Converter>> {
    let options = super::parse(&config_def(), options)?;
    Ok(Arc::new(KafkaJson {
        schemas: options.bool(SCHEMAS),
        cache: usize::try_from(options.int(CACHE)).unwrap_or(0),
        numeric_decimals: options.str(DECIMALS).eq_ignore_ascii_case("NUMERIC"),
        defaults: options.bool(DEFAULTS),
    }))
}

/// The configured converter.
#[derive(Debug, Clone, Copy)]
struct KafkaJson {
    schemas: bool,
    cache: usize,
    numeric_decimals: bool,
    defaults: bool,
}

impl Converter for KafkaJson {
    fn encoder(&self) -> Box<dyn Encoder> {
        Box::new(KafkaEncoder(JsonWriter::new(KafkaFormat {
            schemas: self.schemas,
            numeric_decimals: self.numeric_decimals,
            defaults: self.defaults,
        })))
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(KafkaDecoder::new(self.schemas, self.defaults, self.cache))
    }
}

struct KafkaEncoder(JsonWriter<KafkaFormat>);

visit::forward_to_first_field!(KafkaEncoder);

impl Encoder for KafkaEncoder {
    fn start(&mut self, _head: &RecordHead<'_>, schema: Option<&Arc<Schema>>, out: Vec<u8>) {
        self.0.start(schema, out);
    }

    fn finish(&mut self) -> (Vec<u8>, Result<bool>) {
        self.0.finish()
    }
}
