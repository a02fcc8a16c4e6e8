//! Converters: between values and the bytes of a message. Each is one wire format, made from configuration.

use std::borrow::Cow;
use std::sync::Arc;

use crate::config::Config;
use crate::error::Result;
use crate::record::RecordHead;
use crate::schema::Schema;
use crate::value::{Value, Visitor};

/// A configured wire format for keys or values.
pub trait Converter: Send + Sync {
    /// Whether messages with values of this format have no key unless a key converter is configured. Order is kept by
    /// the key all the same.
    fn leaves_out_keys(&self) -> bool {
        false
    }

    fn encoder(&self) -> Box<dyn Encoder>;
    fn decoder(&self) -> Box<dyn Decoder>;
}

/// Makes a converter. `options` are the keys behind the converter's own (`schemas.enable`), without that prefix.
pub type ConverterFactory = fn(options: &Config, is_key: bool) -> Result<Arc<dyn Converter>>;

/// Writes one value after another as bytes, driven as a [`Visitor`]. Kept by a task for all of its records, so what
/// it derives from a schema can be kept by the schema's pointer (holding its `Arc`, so that no other takes its place).
pub trait Encoder: Visitor + Send {
    /// Starts a value; its bytes are appended to `out`, which is handed back by [`finish`](Self::finish).
    fn start(&mut self, head: &RecordHead<'_>, schema: Option<&Arc<Schema>>, out: Vec<u8>);

    /// Ends the value. `Ok(false)`: the value has no bytes at all (a null that this format leaves out, a tombstone).
    /// On an error the buffer is cut back to what it was at the start.
    fn finish(&mut self) -> (Vec<u8>, Result<bool>);
}

/// A decoded value with its schema, where the format carries one.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded<'a> {
    pub schema: Option<Arc<Schema>>,
    pub value: Value<'a>,
}

/// Reads values from bytes.
pub trait Decoder: Send {
    /// `None` is a message without that part, a tombstone.
    fn decode<'a>(&mut self, bytes: Option<&'a [u8]>) -> Result<Decoded<'a>>;
}

impl<'a> Decoded<'a> {
    pub fn null() -> Self {
        Self { schema: None, value: Value::Null }
    }

    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self { schema: None, value: Value::Str(text.into()) }
    }
}
