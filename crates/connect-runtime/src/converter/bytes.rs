//! `org.apache.kafka.connect.converters.ByteArrayConverter`: bytes as they are.

use std::sync::Arc;

use openmessaging_connector::converter::Decoded;
use openmessaging_connector::record::RecordHead;
use openmessaging_connector::{
    Config, ConfigDef, Converter, Decoder, Encoder, Error, Result, Scalar, Schema, Type, Value, Visitor,
};

pub(super) fn config_def() -> ConfigDef {
    ConfigDef::new()
}

pub(super) fn converter(_options: &Config, _is_key: bool) -> Result<Arc<dyn Converter>> {
    Ok(Arc::new(ByteArray { schema: Schema::new(Type::Bytes).optional().shared() }))
}

struct ByteArray {
    schema: Arc<Schema>,
}

impl Converter for ByteArray {
    fn encoder(&self) -> Box<dyn Encoder> {
        Box::new(BytesEncoder::default())
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(BytesDecoder { schema: self.schema.clone() })
    }
}

/// What has come of the value.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Seen {
    #[default]
    Nothing,
    Bytes,
    Null,
    /// Something else, which has this name.
    Wrong(&'static str),
}

#[derive(Default)]
struct BytesEncoder {
    out: Vec<u8>,
    start: usize,
    seen: Seen,
}

impl BytesEncoder {
    fn see(&mut self, seen: Seen) {
        self.seen = match self.seen {
            Seen::Nothing => seen,
            Seen::Wrong(what) => Seen::Wrong(what),
            _ => Seen::Wrong("more than one value"),
        };
    }
}

impl Visitor for BytesEncoder {
    #[inline]
    fn scalar(&mut self, value: Scalar<'_>) {
        let seen = match value {
            Scalar::Bytes(bytes) => {
                self.out.extend_from_slice(bytes);
                Seen::Bytes
            }
            Scalar::Null | Scalar::Absent => Seen::Null,
            Scalar::Str(_) => Seen::Wrong("text"),
            Scalar::Bool(_) => Seen::Wrong("a boolean"),
            Scalar::I64(_) | Scalar::U64(_) | Scalar::F32(_) | Scalar::F64(_) | Scalar::Decimal(_) => {
                Seen::Wrong("a number")
            }
            Scalar::Date(_) | Scalar::Time(_) | Scalar::Timestamp(_) | Scalar::TimestampTz(_) => {
                Seen::Wrong("a date or time")
            }
        };
        self.see(seen);
    }

    fn begin_struct(&mut self, _schema: &Arc<Schema>) {
        self.see(Seen::Wrong("a struct"));
    }

    fn end_struct(&mut self) {}

    fn begin_array(&mut self, _length: usize) {
        self.see(Seen::Wrong("an array"));
    }

    fn end_array(&mut self) {}

    fn begin_map(&mut self, _length: usize) {
        self.see(Seen::Wrong("a map"));
    }

    fn end_map(&mut self) {}
}

impl Encoder for BytesEncoder {
    fn start(&mut self, _head: &RecordHead<'_>, _schema: Option<&Arc<Schema>>, out: Vec<u8>) {
        self.start = out.len();
        self.out = out;
        self.seen = Seen::Nothing;
    }

    fn finish(&mut self) -> (Vec<u8>, Result<bool>) {
        let mut out = std::mem::take(&mut self.out);
        let result = match self.seen {
            Seen::Bytes => Ok(true),
            Seen::Null => Ok(false),
            Seen::Nothing => {
                Err(Error::record("converter.incomplete", "the value was not visited to its end"))
            }
            Seen::Wrong(what) => Err(Error::record(
                "converter.not_bytes",
                format!("ByteArrayConverter writes nothing but bytes, and this value is {what}"),
            )
            .with_remedy("use StringConverter or JsonConverter")),
        };
        if !matches!(result, Ok(true)) {
            out.truncate(self.start);
        }
        (out, result)
    }
}

struct BytesDecoder {
    schema: Arc<Schema>,
}

impl Decoder for BytesDecoder {
    fn decode<'a>(&mut self, bytes: Option<&'a [u8]>) -> Result<Decoded<'a>> {
        let value = bytes.map_or(Value::Null, |bytes| Value::Bytes(bytes.into()));
        Ok(Decoded { schema: Some(self.schema.clone()), value })
    }
}
