//! How the original runtime wrote values (fastjson's text), and the names it had for types.

use openmessaging_connector::{Error, Field, Logical, Scalar, Schema, Type};

use crate::converter::json::kind::Kind;
use crate::converter::json::writer::Format;
use crate::converter::text::date::{self, Fraction};
use crate::converter::text::escape::{Original, push_nested_string, push_string};
use crate::converter::text::{decimal, number};

/// For values inside others: arrays, maps, structs.
#[derive(Debug, Clone, Copy)]
pub(super) struct OriginalFormat;

impl Format for OriginalFormat {
    fn scalar(&self, out: &mut Vec<u8>, kind: Kind, value: Scalar<'_>) -> Result<(), Box<Error>> {
        push_scalar(out, kind, value);
        Ok(())
    }

    fn string(&self, out: &mut Vec<u8>, text: &str) {
        push_string::<Original>(out, text);
    }

    fn is_tombstone(&self, _schema: Option<&std::sync::Arc<Schema>>) -> bool {
        false
    }
}

/// Appends a value as JSON.
pub(super) fn push_scalar(out: &mut Vec<u8>, kind: Kind, value: Scalar<'_>) {
    match value {
        Scalar::Str(text) => push_string::<Original>(out, text),
        other => push_other(out, b"\"", kind, other),
    }
}

/// Appends a value as JSON that stands inside a JSON string.
#[inline]
pub(super) fn push_nested_scalar(out: &mut Vec<u8>, kind: Kind, value: Scalar<'_>, scratch: &mut Vec<u8>) {
    match value {
        Scalar::Str(text) => push_nested_string::<Original>(out, text, scratch),
        Scalar::I64(value) => number::push_i64(out, value),
        other => push_other(out, b"\\\"", kind, other),
    }
}

/// Values whose text has nothing to escape but their quotes.
fn push_other(out: &mut Vec<u8>, quote: &[u8], kind: Kind, value: Scalar<'_>) {
    let quoted = |out: &mut Vec<u8>, write: &dyn Fn(&mut Vec<u8>)| {
        out.extend_from_slice(quote);
        write(out);
        out.extend_from_slice(quote);
    };
    match value {
        Scalar::Null | Scalar::Absent | Scalar::Str(_) => out.extend_from_slice(b"null"),
        Scalar::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Scalar::I64(value) => number::push_i64(out, value),
        Scalar::U64(value) => number::push_u64(out, value),
        Scalar::F64(value) if value.is_finite() => number::push_java_f64(out, value),
        Scalar::F32(value) if value.is_finite() => number::push_java_f32(out, value),
        // a decimal column of PostgreSQL can hold them too
        Scalar::F64(_) | Scalar::F32(_) => out.extend_from_slice(b"null"),
        Scalar::Decimal(text) if decimal::is_plain(text) => decimal::push_java(out, text),
        Scalar::Decimal(_) => out.extend_from_slice(b"null"),
        Scalar::Bytes(bytes) => quoted(out, &|out| number::push_base64(out, bytes)),
        Scalar::Date(days) => quoted(out, &|out| {
            date::push_date(out, i64::from(days));
            out.extend_from_slice(b" 00:00:00");
        }),
        Scalar::Time(micros) => number::push_i64(out, micros / 1000),
        Scalar::Timestamp(micros) | Scalar::TimestampTz(micros) => {
            let fraction = match kind {
                Kind::Fraction(digits) => Fraction::Digits(digits),
                _ => Fraction::Shortest,
            };
            quoted(out, &|out| date::push_timestamp(out, micros, b' ', fraction));
        }
    }
}

/// The original's name of a column's type: by the type's name in MySQL where that is known. `None` is left out, as for
/// ENUM and SET.
pub(super) fn field_type(field: &Field) -> Option<&'static str> {
    let source = field.source_type.as_deref().unwrap_or_default();
    let word = source.split([' ', '(']).next().unwrap_or_default();
    match word {
        "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" => Some("INT32"),
        "BIGINT" => Some("BIG_INTEGER"),
        "DECIMAL" | "FLOAT" | "DOUBLE" | "BIT" => Some("BYTES"),
        "CHAR" | "VARCHAR" | "TINYTEXT" | "TEXT" | "MEDIUMTEXT" | "LONGTEXT" | "JSON" => Some("STRING"),
        "DATE" | "DATETIME" | "TIMESTAMP" | "TIME" | "YEAR" => Some("DATETIME"),
        "ENUM" | "SET" => None,
        "BINARY" | "VARBINARY" | "TINYBLOB" | "BLOB" | "MEDIUMBLOB" | "LONGBLOB" => Some("BYTES"),
        _ => schema_type(&field.schema),
    }
}

/// The name of a type that is no MySQL column.
pub(super) fn schema_type(schema: &Schema) -> Option<&'static str> {
    if let Some(logical) = &schema.logical {
        return match logical {
            Logical::Decimal { .. } | Logical::Geometry | Logical::Bits { .. } => Some("BYTES"),
            Logical::Date
            | Logical::Time { .. }
            | Logical::Timestamp { .. }
            | Logical::TimestampTz { .. }
            | Logical::Year => Some("DATETIME"),
            Logical::Uuid | Logical::Json => Some("STRING"),
            Logical::Enum { .. } | Logical::Set { .. } => None,
            Logical::Envelope => Some("MAP"),
        };
    }
    Some(match schema.ty {
        Type::Boolean => "BOOLEAN",
        Type::Int8 | Type::Int16 | Type::Int32 => "INT32",
        Type::Int64 => "INT64",
        Type::UInt64 => "BIG_INTEGER",
        Type::Float32 => "FLOAT32",
        Type::Float64 => "FLOAT64",
        Type::String => "STRING",
        Type::Bytes => "BYTES",
        Type::Array(_) => "ARRAY",
        Type::Map(..) | Type::Struct(_) => "MAP",
    })
}

/// The name of a value's type where there is no schema at all.
pub(super) fn scalar_type(value: Scalar<'_>) -> Option<&'static str> {
    Some(match value {
        Scalar::Null | Scalar::Absent => return None,
        Scalar::Bool(_) => "BOOLEAN",
        Scalar::I64(_) => "INT64",
        Scalar::U64(_) => "BIG_INTEGER",
        Scalar::F32(_) => "FLOAT32",
        Scalar::F64(_) => "FLOAT64",
        Scalar::Str(_) => "STRING",
        Scalar::Bytes(_) | Scalar::Decimal(_) => "BYTES",
        Scalar::Date(_) | Scalar::Time(_) | Scalar::Timestamp(_) | Scalar::TimestampTz(_) => "DATETIME",
    })
}
