//! Schemas as Kafka Connect's JSON: members in the order of its `JsonConverter.asJsonSchema`.

use std::borrow::Cow;
use std::sync::Arc;

use openmessaging_connector::{Field, Logical, Schema, Type};

use super::format::{KafkaFormat, in_millis};
use super::names;
use crate::converter::json::kind::Kind;
use crate::converter::json::writer::{Format, encode_default};
use crate::converter::plain_json::push_bool;
use crate::converter::text::number::push_i64;

/// What a logical type looks like in Kafka Connect.
struct Shown<'a> {
    ty: &'static str,
    name: Option<Cow<'a, str>>,
    version: Option<i32>,
    doc: Option<&'a str>,
    parameters: Vec<(&'static str, String)>,
}

/// Appends the schema; `field` is its name in a struct.
pub(super) fn push_schema(
    format: &KafkaFormat,
    out: &mut Vec<u8>,
    schema: &Arc<Schema>,
    field: Option<&str>,
) {
    let shown = show(schema);
    member(format, out, "{", "type", shown.ty);
    push_parts(format, out, schema);
    out.extend_from_slice(b",\"optional\":");
    push_bool(out, schema.optional);
    if let Some(name) = &shown.name {
        member(format, out, ",", "name", name);
    }
    if let Some(version) = shown.version {
        out.extend_from_slice(b",\"version\":");
        push_i64(out, i64::from(version));
    }
    if let Some(doc) = shown.doc {
        member(format, out, ",", "doc", doc);
    }
    if !shown.parameters.is_empty() {
        out.extend_from_slice(b",\"parameters\":");
        for (at, (name, value)) in shown.parameters.iter().enumerate() {
            member(format, out, if at == 0 { "{" } else { "," }, name, value);
        }
        out.push(b'}');
    }
    if schema.default.is_some() {
        out.extend_from_slice(b",\"default\":");
        out.extend_from_slice(&encode_default(format, schema));
    }
    if let Some(field) = field {
        member(format, out, ",", "field", field);
    }
    out.push(b'}');
}

fn member(format: &KafkaFormat, out: &mut Vec<u8>, before: &str, name: &str, value: &str) {
    out.extend_from_slice(before.as_bytes());
    format.string(out, name);
    out.push(b':');
    format.string(out, value);
}

/// The schemas inside a schema.
fn push_parts(format: &KafkaFormat, out: &mut Vec<u8>, schema: &Schema) {
    if matches!(schema.logical, Some(Logical::Geometry)) {
        let fields = [
            Field::new("wkb", Schema::new(Type::Bytes).shared()),
            Field::new("srid", Schema::new(Type::Int32).optional().shared()),
        ];
        return push_fields(format, out, &fields);
    }
    match &schema.ty {
        Type::Struct(fields) => push_fields(format, out, fields),
        Type::Array(items) => {
            out.extend_from_slice(b",\"items\":");
            push_schema(format, out, items, None);
        }
        Type::Map(keys, values) => {
            out.extend_from_slice(b",\"keys\":");
            push_schema(format, out, keys, None);
            out.extend_from_slice(b",\"values\":");
            push_schema(format, out, values, None);
        }
        _ => {}
    }
}

fn push_fields(format: &KafkaFormat, out: &mut Vec<u8>, fields: &[Field]) {
    out.extend_from_slice(b",\"fields\":[");
    for (at, field) in fields.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        push_schema(format, out, &field.schema, Some(&field.name));
    }
    out.push(b']');
}

fn show(schema: &Schema) -> Shown<'_> {
    let plain = Shown {
        ty: type_name(&schema.ty),
        name: schema.name.as_deref().map(Cow::Borrowed),
        version: schema.version,
        doc: schema.doc.as_deref(),
        parameters: Vec::new(),
    };
    let Some(logical) = &schema.logical else { return plain };
    let named = |ty, name, parameters| Shown {
        ty,
        name: Some(Cow::Borrowed(name)),
        version: Some(schema.version.unwrap_or(1)),
        doc: schema.doc.as_deref(),
        parameters,
    };
    match logical {
        Logical::Decimal { precision, scale } => {
            let mut parameters = vec![(names::SCALE, scale.to_string())];
            if *precision > 0 {
                parameters.push((names::PRECISION, precision.to_string()));
            }
            named("bytes", names::DECIMAL, parameters)
        }
        Logical::Date => named("int32", names::DATE, Vec::new()),
        Logical::Time { .. } => named("int64", names::MICRO_TIME, Vec::new()),
        Logical::Timestamp { .. } if in_millis(Kind::of(schema)) => {
            named("int64", names::TIMESTAMP, Vec::new())
        }
        Logical::Timestamp { .. } => named("int64", names::MICRO_TIMESTAMP, Vec::new()),
        Logical::TimestampTz { .. } => named("string", names::ZONED_TIMESTAMP, Vec::new()),
        Logical::Year => named("int32", names::YEAR, Vec::new()),
        Logical::Uuid => named("string", names::UUID, Vec::new()),
        Logical::Json => named("string", names::JSON, Vec::new()),
        Logical::Geometry => Shown {
            doc: schema.doc.as_deref().or(Some("Geometry")),
            ..named("struct", names::GEOMETRY, Vec::new())
        },
        Logical::Bits { length: 1 } => Shown { ty: "boolean", ..plain },
        Logical::Bits { length } => named("bytes", names::BITS, vec![(names::LENGTH, length.to_string())]),
        Logical::Enum { labels } => named("string", names::ENUM, vec![(names::ALLOWED, labels.join(","))]),
        Logical::Set { labels } => named("string", names::ENUM_SET, vec![(names::ALLOWED, labels.join(","))]),
        Logical::Envelope => {
            let name = schema.name.as_deref().map(|name| match name.ends_with(names::ENVELOPE) {
                true => Cow::Borrowed(name),
                false => Cow::Owned(format!("{name}{}", names::ENVELOPE)),
            });
            Shown { name, version: Some(schema.version.unwrap_or(2)), ..plain }
        }
    }
}

fn type_name(ty: &Type) -> &'static str {
    match ty {
        Type::Boolean => "boolean",
        Type::Int8 => "int8",
        Type::Int16 => "int16",
        Type::Int32 => "int32",
        Type::Int64 | Type::UInt64 => "int64",
        Type::Float32 => "float",
        Type::Float64 => "double",
        Type::String => "string",
        Type::Bytes => "bytes",
        Type::Array(_) => "array",
        Type::Map(..) => "map",
        Type::Struct(_) => "struct",
    }
}
