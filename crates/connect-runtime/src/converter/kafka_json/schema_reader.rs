//! Schemas from Kafka Connect's JSON, with what is needed to read payloads by them. The errors are those of Kafka's
//! `JsonConverter.asConnectSchema`.

use std::sync::Arc;

use openmessaging_connector::{Field, Logical, Schema, Type, Value};
use serde_json::Value as Json;

use super::names;
use super::payload::{Rules, read_payload};
use crate::converter::text::decimal::MAX_DIGITS;

/// A schema, and how values of it are read.
#[derive(Debug)]
pub(super) struct Reading {
    pub schema: Arc<Schema>,
    pub how: How,
    /// About how many bytes a copy of the default takes.
    pub default_size: usize,
}

/// How the JSON of a value becomes one of ours.
#[derive(Debug)]
pub(super) enum How {
    Boolean,
    /// So many bits; more wrap.
    Whole(u32),
    Float32,
    Float64,
    Text,
    Bytes,
    Decimal {
        scale: i64,
    },
    Date {
        strict: bool,
    },
    Time {
        unit: Unit,
        strict: bool,
    },
    Timestamp {
        unit: Unit,
        strict: bool,
    },
    ZonedTimestamp,
    Bits {
        length: u32,
    },
    Geometry,
    Array(Box<Reading>),
    Map(Box<Reading>, Box<Reading>),
    Struct(Vec<Reading>),
}

/// What a time or timestamp counts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unit {
    Millis,
    Micros,
    Nanos,
}

impl Unit {
    pub fn micros(self, count: i64) -> Option<i64> {
        match self {
            Unit::Millis => count.checked_mul(1000),
            Unit::Micros => Some(count),
            Unit::Nanos => Some(count.div_euclid(1000)),
        }
    }

    fn digits(self) -> u8 {
        match self {
            Unit::Millis => 3,
            Unit::Micros | Unit::Nanos => 6,
        }
    }
}

/// Reads a schema; `Ok(None)` for `null`. The nesting of `json` is bounded by the parser that made it.
pub(super) fn read_schema(json: &Json, rules: Rules<'_>) -> Result<Option<Reading>, String> {
    if json.is_null() {
        return Ok(None);
    }
    let ty = text(json, "type").ok_or("Schema must contain 'type' field")?;
    let (ty, how) = base(json, ty, rules)?;
    let parameters = Parameters::of(json)?;
    let name = text(json, "name");
    let (logical, ty, how) = meaning(name, &parameters, ty, how)?;
    let known = logical.is_some();
    let version = json.get("version").and_then(Json::as_i64).map(|version| version as i32);
    let doc =
        text(json, "doc").filter(|doc| !(matches!(logical, Some(Logical::Geometry)) && *doc == "Geometry"));
    let schema = Schema {
        ty,
        logical,
        // names that only say what the logical type says are not kept
        name: name.filter(|_| !known).map(Arc::from),
        optional: json.get("optional") == Some(&Json::Bool(true)),
        version: version.filter(|version| !(known && *version == 1)),
        doc: doc.map(Arc::from),
        default: None,
    };
    let schema = as_envelope(schema);
    let mut reading = Reading { schema: schema.shared(), how, default_size: 0 };
    if let Some(default) = json.get("default") {
        let text = default.to_string();
        let default = read_payload(&text, Some(&reading), rules)
            .map_err(|error| format!("Invalid default: {error}"))?
            .into_owned();
        if !matches!(default, Value::Null | Value::Absent) {
            reading.default_size = text.len() * size_of::<Value<'_>>();
            reading.schema = Schema { default: Some(default), ..(*reading.schema).clone() }.shared();
        }
    }
    Ok(Some(reading))
}

fn text<'a>(json: &'a Json, name: &str) -> Option<&'a str> {
    json.get(name)?.as_str()
}

/// The type that the schema names, without what its own name makes of it.
fn base(json: &Json, ty: &str, rules: Rules<'_>) -> Result<(Type, How), String> {
    let part = |name: &str| match json.get(name) {
        None => Ok(None),
        Some(part) => read_schema(part, rules),
    };
    Ok(match ty {
        "boolean" => (Type::Boolean, How::Boolean),
        "int8" => (Type::Int8, How::Whole(8)),
        "int16" => (Type::Int16, How::Whole(16)),
        "int32" => (Type::Int32, How::Whole(32)),
        "int64" => (Type::Int64, How::Whole(64)),
        "float" => (Type::Float32, How::Float32),
        "double" => (Type::Float64, How::Float64),
        "string" => (Type::String, How::Text),
        "bytes" => (Type::Bytes, How::Bytes),
        "array" => {
            let items = part("items")?.ok_or("Array schema did not specify the element type")?;
            (Type::Array(items.schema.clone()), How::Array(Box::new(items)))
        }
        "map" => {
            let keys = part("keys")?.ok_or("Map schema did not specify the key type")?;
            let values = part("values")?.ok_or("Map schema did not specify the value type")?;
            let ty = Type::Map(keys.schema.clone(), values.schema.clone());
            (ty, How::Map(Box::new(keys), Box::new(values)))
        }
        "struct" => {
            let fields = json.get("fields").and_then(Json::as_array);
            let fields = fields.ok_or("Struct schema's \"fields\" argument is not an array.")?;
            let mut types = Vec::with_capacity(fields.len());
            let mut readings = Vec::with_capacity(fields.len());
            let mut seen = std::collections::HashSet::new();
            for field in fields {
                let name = text(field, "field").ok_or("Struct schema's field name not specified properly")?;
                if !seen.insert(name) {
                    return Err(format!("Cannot create field because of field name duplication {name}"));
                }
                let reading = read_schema(field, rules)?.ok_or("Schema must contain 'type' field")?;
                types.push(Field::new(name, reading.schema.clone()));
                readings.push(reading);
            }
            (Type::Struct(types), How::Struct(readings))
        }
        other => return Err(format!("Unknown schema type: {other}")),
    })
}

/// The parameters of a schema, all text.
struct Parameters<'a>(Option<&'a serde_json::Map<String, Json>>);

impl<'a> Parameters<'a> {
    fn of(json: &'a Json) -> Result<Self, String> {
        let object = json.get("parameters").and_then(Json::as_object);
        if object.is_some_and(|object| object.values().any(|value| !value.is_string())) {
            return Err("Schema parameters must have string values.".to_owned());
        }
        Ok(Self(object))
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.0?.get(name)?.as_str()
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.text(name)?.trim().parse().ok()
    }

    fn labels(&self) -> Arc<[Arc<str>]> {
        self.text(names::ALLOWED).unwrap_or_default().split(',').map(Arc::from).collect()
    }
}

/// What the schema's name makes of its type. A name on another type than its own is an ordinary name.
fn meaning(
    name: Option<&str>,
    parameters: &Parameters<'_>,
    ty: Type,
    how: How,
) -> Result<(Option<Logical>, Type, How), String> {
    let Some(name) = name else { return Ok((None, ty, how)) };
    let time = |unit: Unit, strict| {
        (Logical::Time { precision: unit.digits() }, Type::Int64, How::Time { unit, strict })
    };
    let timestamp = |unit: Unit, strict| {
        (Logical::Timestamp { precision: unit.digits() }, Type::Int64, How::Timestamp { unit, strict })
    };
    let (logical, ty, how) = match (name, &ty) {
        (names::DECIMAL, Type::Bytes) => {
            let scale: i64 = parameters
                .number(names::SCALE)
                .ok_or("Invalid Decimal schema: scale parameter not found, or no number.")?;
            if scale.unsigned_abs() > MAX_DIGITS as u64 {
                return Err(format!("Invalid Decimal schema: a scale of {scale} is beyond {MAX_DIGITS}."));
            }
            let precision = parameters.number(names::PRECISION).unwrap_or(0);
            let logical = Logical::Decimal { precision, scale: u32::try_from(scale).unwrap_or(0) };
            (logical, ty, How::Decimal { scale })
        }
        (names::CONNECT_DATE, Type::Int32) => (Logical::Date, ty, How::Date { strict: true }),
        (names::DATE, Type::Int32) => (Logical::Date, ty, How::Date { strict: false }),
        (names::CONNECT_TIME, Type::Int32) => time(Unit::Millis, true),
        (names::TIME, Type::Int32) => time(Unit::Millis, false),
        (names::MICRO_TIME, Type::Int64) => time(Unit::Micros, false),
        (names::NANO_TIME, Type::Int64) => time(Unit::Nanos, false),
        (names::CONNECT_TIMESTAMP, Type::Int64) => timestamp(Unit::Millis, true),
        (names::TIMESTAMP, Type::Int64) => timestamp(Unit::Millis, false),
        (names::MICRO_TIMESTAMP, Type::Int64) => timestamp(Unit::Micros, false),
        (names::NANO_TIMESTAMP, Type::Int64) => timestamp(Unit::Nanos, false),
        (names::ZONED_TIMESTAMP, Type::String) => {
            (Logical::TimestampTz { precision: 6 }, ty, How::ZonedTimestamp)
        }
        (names::YEAR, Type::Int32) => (Logical::Year, ty, how),
        (names::UUID, Type::String) => (Logical::Uuid, ty, how),
        (names::JSON, Type::String) => (Logical::Json, ty, how),
        (names::ENUM, Type::String) => (Logical::Enum { labels: parameters.labels() }, ty, how),
        (names::ENUM_SET, Type::String) => (Logical::Set { labels: parameters.labels() }, ty, how),
        (names::BITS, Type::Bytes) => {
            let length = parameters.number(names::LENGTH).unwrap_or(0);
            (Logical::Bits { length }, ty, How::Bits { length })
        }
        (names::GEOMETRY | names::GEOGRAPHY, Type::Struct(fields)) if is_geometry(fields) => {
            (Logical::Geometry, Type::Bytes, How::Geometry)
        }
        _ => return Ok((None, ty, how)),
    };
    Ok((Some(logical), ty, how))
}

fn is_geometry(fields: &[Field]) -> bool {
    fields.len() == 2 && &*fields[0].name == "wkb" && &*fields[1].name == "srid"
}

/// Marks a change's schema that has the shape of ours.
fn as_envelope(schema: Schema) -> Schema {
    const FIELDS: [&str; 5] = ["before", "after", "source", "op", "ts_ms"];
    let named = schema.name.as_deref().is_some_and(|name| name.ends_with(names::ENVELOPE));
    if named && schema.fields().iter().map(|field| &*field.name).eq(FIELDS) {
        return Schema {
            logical: Some(Logical::Envelope),
            version: schema.version.filter(|v| *v != 2),
            ..schema
        };
    }
    schema
}
