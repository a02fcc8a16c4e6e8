//! How Kafka Connect's JSON writes its parts.

use std::sync::Arc;

use openmessaging_connector::{Error, Scalar, Schema, Type};

use super::schema_writer::push_schema;
use crate::converter::json::kind::{Kind, geometry, single_bit};
use crate::converter::json::writer::{Format, Keys, OnNull};
use crate::converter::plain_json::{push_bool, quoted};
use crate::converter::text::date::{Fraction, push_timestamp};
use crate::converter::text::escape::{Jackson, push_string};
use crate::converter::text::{decimal, number};

#[derive(Debug, Clone, Copy)]
pub(super) struct KafkaFormat {
    pub schemas: bool,
    pub numeric_decimals: bool,
    pub defaults: bool,
}

impl Format for KafkaFormat {
    #[inline(always)]
    fn scalar(&self, out: &mut Vec<u8>, kind: Kind, value: Scalar<'_>) -> Result<(), Box<Error>> {
        match value {
            Scalar::Str(text) => push_string::<Jackson>(out, text),
            Scalar::I64(value) => number::push_i64(out, value),
            Scalar::Null | Scalar::Absent => out.extend_from_slice(b"null"),
            Scalar::Bool(value) => push_bool(out, value),
            Scalar::U64(value) => number::push_u64(out, value),
            Scalar::F64(value) if value.is_finite() => number::push_java_f64(out, value),
            Scalar::F64(value) => push_string::<Jackson>(out, number::not_finite(value)),
            Scalar::F32(value) if value.is_finite() => number::push_java_f32(out, value),
            Scalar::F32(value) => push_string::<Jackson>(out, number::not_finite(f64::from(value))),
            Scalar::Decimal(text) => return self.decimal(out, kind, text),
            Scalar::Bytes(bytes) => push_bytes(out, kind, bytes),
            Scalar::Date(days) => number::push_i64(out, i64::from(days)),
            Scalar::Time(micros) => number::push_i64(out, micros),
            Scalar::Timestamp(micros) => {
                number::push_i64(out, if in_millis(kind) { micros.div_euclid(1000) } else { micros })
            }
            Scalar::TimestampTz(micros) => quoted(out, |out| {
                push_timestamp(out, micros, b'T', Fraction::Shortest);
                out.push(b'Z');
            }),
        }
        Ok(())
    }

    #[inline]
    fn string(&self, out: &mut Vec<u8>, text: &str) {
        push_string::<Jackson>(out, text);
    }

    fn null(&self, schema: &Schema) -> OnNull {
        match schema.default {
            Some(_) if self.defaults => OnNull::Default(Box::default()),
            // a message without schema promises nothing that a null would break
            _ if schema.optional || !self.schemas => OnNull::Write,
            _ => OnNull::Refuse,
        }
    }

    fn keys(&self, keys: Option<&Schema>) -> Keys {
        match keys.map(|schema| &schema.ty) {
            Some(Type::String) => Keys::Object,
            Some(_) => Keys::Pairs,
            None => Keys::AsFound,
        }
    }

    fn bare(&self) -> Self {
        Self { schemas: false, defaults: false, ..*self }
    }

    fn header(&self, schema: Option<&Arc<Schema>>, out: &mut Vec<u8>) {
        if !self.schemas {
            return;
        }
        out.extend_from_slice(b"{\"schema\":");
        match schema {
            Some(schema) => push_schema(self, out, schema, None),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"payload\":");
    }

    fn trailer(&self) -> &'static [u8] {
        if self.schemas { b"}" } else { b"" }
    }

    fn is_tombstone(&self, schema: Option<&Arc<Schema>>) -> bool {
        schema.is_none()
    }
}

impl KafkaFormat {
    fn decimal(&self, out: &mut Vec<u8>, kind: Kind, text: &str) -> Result<(), Box<Error>> {
        if !decimal::is_plain(text) {
            return Err(no_decimal(text, "it is no finite number"));
        }
        match kind {
            Kind::Decimal { scale } if !self.numeric_decimals => {
                out.push(b'"');
                decimal::push_unscaled(out, text, scale).ok_or_else(|| {
                    no_decimal(text, &format!("it has more than {scale} digits behind the point"))
                })?;
                out.push(b'"');
            }
            // without schema nobody could tell what the bytes mean
            _ => decimal::push_java(out, text),
        }
        Ok(())
    }
}

fn no_decimal(text: &str, why: &str) -> Box<Error> {
    let shown: String = text.chars().take(40).collect();
    Box::new(
        Error::record(
            "converter.not_decimal",
            format!("{shown} cannot be written as a Connect Decimal: {why}"),
        )
        .with_remedy("read the column as a string or a double"),
    )
}

/// Whether Debezium has timestamps of this precision in milliseconds.
pub(super) fn in_millis(kind: Kind) -> bool {
    matches!(kind, Kind::Fraction(0..=3))
}

fn push_bytes(out: &mut Vec<u8>, kind: Kind, bytes: &[u8]) {
    match (kind, geometry(bytes)) {
        (Kind::Bits { length: 1 }, _) => push_bool(out, single_bit(bytes)),
        (Kind::Bits { .. }, _) => {
            // up to 64 bits in the systems that we know, so this rarely allocates
            let mut few = [0; 8];
            let many: Vec<u8>;
            let little_endian = match few.get_mut(..bytes.len()) {
                Some(few) => {
                    few.copy_from_slice(bytes);
                    few.reverse();
                    few
                }
                None => {
                    many = bytes.iter().rev().copied().collect();
                    many.as_slice()
                }
            };
            quoted(out, |out| number::push_base64(out, little_endian));
        }
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
