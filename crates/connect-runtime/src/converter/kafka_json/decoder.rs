//! Messages of Kafka Connect's JSON, with schema and without.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use openmessaging_connector::converter::Decoded;
use openmessaging_connector::{Decoder, Error, Result};
use serde::de::{Deserializer as _, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::payload::{ROOM, Rules, read_payload};
use super::schema_reader::{Reading, read_schema};
use crate::converter::json::reader::{self, Text};

/// How many bytes of schema text are kept parsed; what is made of them takes some ten times as much.
const MAX_KEPT: usize = 2 << 20;

pub(super) struct KafkaDecoder {
    schemas: bool,
    defaults: bool,
    /// How many schemas are kept.
    cache: usize,
    last: Option<(Box<str>, Option<Arc<Reading>>)>,
    kept: HashMap<Box<str>, Option<Arc<Reading>>>,
    kept_bytes: usize,
}

impl Decoder for KafkaDecoder {
    fn decode<'a>(&mut self, bytes: Option<&'a [u8]>) -> Result<Decoded<'a>> {
        let Some(bytes) = bytes else { return Ok(Decoded::null()) };
        let bytes = reader::without_bom(bytes);
        if self.schemas {
            return self.with_schema(bytes);
        }
        if bytes.trim_ascii().is_empty() {
            return Ok(Decoded::null());
        }
        Ok(Decoded { schema: None, value: reader::read_first(bytes)? })
    }
}

impl KafkaDecoder {
    pub fn new(schemas: bool, defaults: bool, cache: usize) -> Self {
        Self { schemas, defaults, cache, last: None, kept: HashMap::new(), kept_bytes: 0 }
    }

    fn with_schema<'a>(&mut self, bytes: &'a [u8]) -> Result<Decoded<'a>> {
        let message = serde_json::Deserializer::from_slice(bytes).deserialize_any(EnvelopeVisitor);
        let message = message.map_err(|error| match error.classify() {
            Category::Data => no_envelope(),
            _ if bytes.trim_ascii().is_empty() => no_envelope(),
            _ => reader::not_json(error),
        })?;
        let reading = self.reading(message.schema.get())?;
        let room = Cell::new(ROOM);
        let rules = Rules { defaults: self.defaults, room: &room };
        let value = read_payload(message.payload.get(), reading.as_deref(), rules).map_err(|error| {
            match error.classify() {
                Category::Data => Error::record(
                    "converter.schema_mismatch",
                    format!("the payload does not fit the schema that it came with: {error}"),
                ),
                _ => reader::not_json(error),
            }
        })?;
        Ok(Decoded { schema: reading.map(|reading| reading.schema.clone()), value })
    }

    fn reading(&mut self, text: &str) -> Result<Option<Arc<Reading>>> {
        if let Some((last, reading)) = &self.last
            && **last == *text
        {
            return Ok(reading.clone());
        }
        let reading = match self.kept.get(text) {
            Some(reading) => reading.clone(),
            None => {
                let reading = parse(text, self.defaults)?.map(Arc::new);
                self.keep(text, &reading);
                reading
            }
        };
        self.last = Some((text.into(), reading.clone()));
        Ok(reading)
    }

    fn keep(&mut self, text: &str, reading: &Option<Arc<Reading>>) {
        if self.kept.len() >= self.cache || self.kept_bytes + text.len() > MAX_KEPT {
            self.kept.clear();
            self.kept_bytes = 0;
        }
        if self.cache > 0 && text.len() <= MAX_KEPT {
            self.kept_bytes += text.len();
            self.kept.insert(text.into(), reading.clone());
        }
    }
}

fn parse(text: &str, defaults: bool) -> Result<Option<Reading>> {
    let json = serde_json::from_str(text).map_err(reader::not_json)?;
    let rules = Rules { defaults, room: &Cell::new(ROOM) };
    read_schema(&json, rules).map_err(|problem| {
        Error::record(
            "converter.bad_schema",
            format!("the message's schema is not a Connect schema: {problem}"),
        )
    })
}

fn no_envelope() -> Error {
    Error::record(
        "converter.no_schema",
        "with schemas.enable a message is an object with \"schema\" and \"payload\" and no other fields",
    )
    .with_remedy("set schemas.enable=false to read plain JSON")
}

struct Envelope<'a> {
    schema: &'a RawValue,
    payload: &'a RawValue,
}

struct EnvelopeVisitor;

impl<'de> Visitor<'de> for EnvelopeVisitor {
    type Value = Envelope<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with schema and payload")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Envelope<'de>, A::Error> {
        let (mut schema, mut payload, mut others) = (None, None, false);
        while let Some(name) = members.next_key_seed(Text)? {
            match &*name {
                "schema" => schema = Some(members.next_value()?),
                "payload" => payload = Some(members.next_value()?),
                _ => {
                    others = true;
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        match (schema, payload) {
            (Some(schema), Some(payload)) if !others => Ok(Envelope { schema, payload }),
            _ => Err(A::Error::custom("not an envelope")),
        }
    }
}
