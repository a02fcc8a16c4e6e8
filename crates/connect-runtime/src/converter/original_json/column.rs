//! A column's value from its JSON text and the original's name of its type.

use openmessaging_connector::{Logical, Schema, Type, Value};

use crate::converter::json::reader;
use crate::converter::text::date::read_timestamp;
use crate::converter::text::decimal::from_json_number;
use crate::converter::text::number::read_base64;

/// Reads one side of a column. The types are so coarse (BYTES is a number or base64) that only the value tells what a
/// column really is.
///
/// # Errors
/// The text is no JSON.
pub(super) fn read(ty: &str, json: &str) -> Result<(Schema, Value<'static>), serde_json::Error> {
    let json = json.trim();
    let number = json.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    let (schema, value) = match ty {
        _ if json == "null" => (of_null(ty), Value::Null),
        "BYTES" if number => decimal(json).unwrap_or_else(|| (Schema::new(Type::String), owned(json))),
        _ => {
            let value = reader::Any;
            let mut deserializer = serde_json::Deserializer::from_str(json);
            let value = serde::de::DeserializeSeed::deserialize(value, &mut deserializer)?;
            deserializer.end()?;
            of_value(ty, json, value)
        }
    };
    Ok((schema.optional(), value))
}

fn owned(text: &str) -> Value<'static> {
    Value::Str(text.to_owned().into())
}

fn of_null(ty: &str) -> Schema {
    match ty {
        "INT32" | "INT64" | "BIG_INTEGER" => Schema::new(Type::Int64),
        "FLOAT32" | "FLOAT64" => Schema::new(Type::Float64),
        "BOOLEAN" => Schema::new(Type::Boolean),
        "BYTES" => Schema::new(Type::Bytes),
        "DATETIME" => Schema::logical(Type::Int64, Logical::Timestamp { precision: 0 }),
        _ => Schema::new(Type::String),
    }
}

fn decimal(json: &str) -> Option<(Schema, Value<'static>)> {
    let text = from_json_number(json, 0)?;
    let scale = text.split_once('.').map_or(0, |(_, fraction)| fraction.len() as u32);
    let logical = Logical::Decimal { precision: 0, scale };
    Some((Schema::logical(Type::Bytes, logical), Value::Decimal(text.into())))
}

fn of_value(ty: &str, json: &str, value: Value<'_>) -> (Schema, Value<'static>) {
    match (ty, value) {
        ("BYTES", Value::Str(text)) => match read_base64(&text) {
            Some(bytes) => (Schema::new(Type::Bytes), Value::Bytes(bytes.into())),
            None => (Schema::new(Type::String), owned(&text)),
        },
        ("DATETIME", Value::Str(text)) => match read_timestamp(&text) {
            Some(moment) => {
                let logical = Logical::Timestamp { precision: moment.digits };
                (Schema::logical(Type::Int64, logical), Value::Timestamp(moment.wall))
            }
            None => (Schema::new(Type::String), owned(&text)),
        },
        (_, Value::Str(text)) => (Schema::new(Type::String), owned(&text)),
        (_, Value::Bool(value)) => (Schema::new(Type::Boolean), Value::Bool(value)),
        ("FLOAT32" | "FLOAT64", Value::I64(value)) => (Schema::new(Type::Float64), Value::F64(value as f64)),
        (_, Value::I64(value)) => (Schema::new(Type::Int64), Value::I64(value)),
        (_, Value::U64(value)) => (Schema::new(Type::UInt64), Value::U64(value)),
        (_, Value::F64(value)) => (Schema::new(Type::Float64), Value::F64(value)),
        // arrays and objects stay the JSON that they are
        _ => (Schema::logical(Type::String, Logical::Json), owned(json)),
    }
}
