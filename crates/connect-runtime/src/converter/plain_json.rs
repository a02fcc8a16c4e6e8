//! Plain JSON for people and scripts: no schema, each value in the form in which one would write it by hand.

use std::sync::Arc;

use openmessaging_connector::record::RecordHead;
use openmessaging_connector::{
    Config, ConfigDef, Converter, Decoder, Encoder, Error, Result, Scalar, Schema, converter::Decoded,
};

use super::json::kind::{Kind, geometry, single_bit};
use super::json::reader;
use super::json::writer::{Format, JsonWriter};
use super::text::escape::{Plain, push_string};
use super::text::{date, decimal, number};
use super::visit;

pub(super) fn config_def() -> ConfigDef {
    ConfigDef::new()
}

pub(super) fn converter(_options: &Config, _is_key: bool) -> Result<Arc<dyn Converter>> {
    Ok(Arc::new(PlainJson))
}

/// The converter; it has no options.
pub(super) struct PlainJson;

impl Converter for PlainJson {
    fn encoder(&self) -> Box<dyn Encoder> {
        Box::new(PlainEncoder(JsonWriter::new(PlainFormat)))
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(PlainDecoder)
    }
}

struct PlainEncoder(JsonWriter<PlainFormat>);

visit::forward_to_first_field!(PlainEncoder);

impl Encoder for PlainEncoder {
    fn start(&mut self, _head: &RecordHead<'_>, schema: Option<&Arc<Schema>>, out: Vec<u8>) {
        self.0.start(schema, out);
    }

    fn finish(&mut self) -> (Vec<u8>, Result<bool>) {
        self.0.finish()
    }
}

/// How plain JSON writes its parts.
#[derive(Debug, Clone, Copy)]
pub(super) struct PlainFormat;

impl Format for PlainFormat {
    #[inline(always)]
    fn scalar(&self, out: &mut Vec<u8>, kind: Kind, value: Scalar<'_>) -> Result<(), Box<Error>> {
        match value {
            Scalar::Str(text) if kind == Kind::Json => push_embedded(out, text),
            Scalar::Str(text) => push_string::<Plain>(out, text),
            Scalar::I64(value) => number::push_i64(out, value),
            Scalar::Null | Scalar::Absent => out.extend_from_slice(b"null"),
            Scalar::Bool(value) => push_bool(out, value),
            Scalar::U64(value) => number::push_u64(out, value),
            Scalar::F64(value) => {
                number::push_float(out, value).unwrap_or_else(|| out.extend_from_slice(b"null"));
            }
            Scalar::F32(value) => {
                number::push_float32(out, value).unwrap_or_else(|| out.extend_from_slice(b"null"));
            }
            Scalar::Decimal(text) if decimal::is_plain(text) => out.extend_from_slice(text.as_bytes()),
            // what a system has beside numbers in a decimal column: NaN
            Scalar::Decimal(text) => push_string::<Plain>(out, text),
            Scalar::Bytes(bytes) => push_bytes(out, kind, bytes),
            Scalar::Date(days) => quoted(out, |out| date::push_date(out, i64::from(days))),
            Scalar::Time(micros) => quoted(out, |out| date::push_time(out, micros, kind.fraction())),
            Scalar::Timestamp(micros) => {
                quoted(out, |out| date::push_timestamp(out, micros, b'T', kind.fraction()));
            }
            Scalar::TimestampTz(micros) => quoted(out, |out| {
                date::push_timestamp(out, micros, b'T', kind.fraction());
                out.push(b'Z');
            }),
        }
        Ok(())
    }

    #[inline]
    fn string(&self, out: &mut Vec<u8>, text: &str) {
        push_string::<Plain>(out, text);
    }
}

#[inline]
pub(super) fn push_bool(out: &mut Vec<u8>, value: bool) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

#[inline]
pub(super) fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

fn push_bytes(out: &mut Vec<u8>, kind: Kind, bytes: &[u8]) {
    match (kind, geometry(bytes)) {
        (Kind::Bits { length: 1 }, _) => push_bool(out, single_bit(bytes)),
        (Kind::Geometry, Some((srid, wkb))) => {
            out.extend_from_slice(b"{\"wkb\":\"");
            number::push_base64(out, wkb);
            out.extend_from_slice(b"\",\"srid\":");
            number::push_i64(out, i64::from(srid));
            out.push(b'}');
        }
        _ => quoted(out, |out| number::push_base64(out, bytes)),
    }
}

/// The deepest nesting of an embedded document: with what is around it, readers with a limit of 128 still read it.
const MAX_EMBEDDED_DEPTH: usize = 100;

/// A JSON document inside ours. A system that lets a broken one through must not break the whole message: what does not
/// parse, or is too deep for its readers, becomes a string.
fn push_embedded(out: &mut Vec<u8>, json: &str) {
    let valid = serde_json::from_str::<serde::de::IgnoredAny>(json).is_ok();
    if valid && depth(json.as_bytes()) <= MAX_EMBEDDED_DEPTH {
        out.extend_from_slice(json.as_bytes());
    } else {
        push_string::<Plain>(out, json);
    }
}

/// How deep a valid document is nested.
fn depth(json: &[u8]) -> usize {
    let is_open = |byte: &&u8| matches!(byte, b'[' | b'{');
    if json.len() <= MAX_EMBEDDED_DEPTH || json.iter().filter(is_open).count() <= MAX_EMBEDDED_DEPTH {
        return 0;
    }
    let (mut now, mut most, mut text, mut escaped) = (0_usize, 0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => text = !text,
            b'[' | b'{' if !text => {
                now += 1;
                most = most.max(now);
            }
            b']' | b'}' if !text => now = now.saturating_sub(1),
            _ => {}
        }
    }
    most
}

struct PlainDecoder;

impl Decoder for PlainDecoder {
    fn decode<'a>(&mut self, bytes: Option<&'a [u8]>) -> Result<Decoded<'a>> {
        let bytes = reader::without_bom(bytes.unwrap_or_default());
        if bytes.is_empty() {
            return Ok(Decoded::null());
        }
        Ok(Decoded { schema: None, value: reader::read(bytes)? })
    }
}
