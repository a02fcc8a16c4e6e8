//! Whatever a source can hand over is written as JSON that another reader understands as the same.

use std::sync::Arc;

use openmessaging_connector::{EntryType, Field, Schema, Type, Value};
use proptest::prelude::*;
use serde_json::Value as Json;

use crate::support::*;

/// A value with the schema that describes it.
pub fn described(depth: u32) -> BoxedStrategy<(Arc<Schema>, Value<'static>)> {
    let leaf = prop_oneof![
        Just((optional(Type::String), Value::Null)),
        any::<bool>().prop_map(|value| (of(Type::Boolean), Value::Bool(value))),
        any::<i64>().prop_map(|value| (of(Type::Int64), Value::I64(value))),
        any::<u64>().prop_map(|value| (of(Type::UInt64), Value::U64(value))),
        any::<f64>().prop_map(|value| (of(Type::Float64), Value::F64(value))),
        ".{0,30}".prop_map(|text| (of(Type::String), Value::Str(text.into()))),
        "[\"\\\\\u{0}-\u{1f}a\u{7f}\u{85}é\u{2028}😀]{0,40}"
            .prop_map(|text| (of(Type::String), Value::Str(text.into()))),
        proptest::collection::vec(any::<u8>(), 0..20)
            .prop_map(|bytes| (of(Type::Bytes), Value::Bytes(bytes.into()))),
    ];
    leaf.prop_recursive(depth, 24, 5, |inner| {
        let members = proptest::collection::vec(("[a-z\"é\\\\]{1,5}", inner.clone()), 0..5);
        let structure = members.prop_map(|members| {
            let mut fields = Vec::new();
            let mut values = Vec::new();
            for (name, (schema, value)) in members {
                if fields.iter().all(|field: &Field| *field.name != *name) {
                    fields.push(Field::new(name, schema));
                    values.push(value);
                }
            }
            let schema = Schema::structure("s", fields).shared();
            (schema.clone(), Value::Struct(schema, values))
        });
        let array = (inner.clone(), 0_usize..4).prop_map(|((schema, value), length)| {
            (of(Type::Array(schema)), Value::Array(vec![value; length]))
        });
        let map = (inner, "[a-z]{0,3}").prop_map(|((schema, value), key)| {
            let entries = vec![(Value::Str(key.into()), value)];
            (of(Type::Map(of(Type::String), schema)), Value::Map(entries))
        });
        prop_oneof![structure, array, map]
    })
    .boxed()
}

/// What the JSON of a value must mean.
fn meant(value: &Value<'_>) -> Json {
    match value {
        Value::Bool(value) => Json::from(*value),
        Value::I64(value) => Json::from(*value),
        Value::U64(value) => Json::from(*value),
        Value::F64(value) => Json::from(*value),
        Value::Str(text) => Json::from(text.as_ref()),
        Value::Bytes(bytes) => {
            Json::from(base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes))
        }
        Value::Array(values) => values.iter().map(meant).collect(),
        Value::Struct(schema, values) => schema
            .fields()
            .iter()
            .zip(values)
            .map(|(field, value)| (field.name.to_string(), meant(value)))
            .collect(),
        Value::Map(entries) => entries
            .iter()
            .map(|(key, value)| (key.as_str().unwrap_or_default().to_owned(), meant(value)))
            .collect(),
        _ => Json::Null,
    }
}

fn without_nan(value: Value<'static>) -> Value<'static> {
    match value {
        Value::F64(number) if !number.is_finite() => Value::F64(0.5),
        Value::Array(values) => Value::Array(values.into_iter().map(without_nan).collect()),
        Value::Struct(schema, values) => Value::Struct(schema, values.into_iter().map(without_nan).collect()),
        Value::Map(entries) => {
            Value::Map(entries.into_iter().map(|(key, value)| (key, without_nan(value))).collect())
        }
        other => other,
    }
}

proptest! {
    #[test]
    fn json_means_the_value((schema, value) in described(4)) {
        let value = without_nan(value);
        for (name, options) in [(PLAIN, &[][..]), (KAFKA, &[("schemas.enable", "false")])] {
            let converter = converter(name, options);
            for schema in [Some(&schema), None] {
                let written = encode(&converter, schema, &value);
                let read: Json = serde_json::from_str(written.as_deref().unwrap_or("null")).expect("JSON");
                prop_assert_eq!(&read, &meant(&value), "{}", name);
                let decoded = decode(&converter, written.as_deref().unwrap_or("null").as_bytes()).expect("ours reads it");
                prop_assert_eq!(meant(&decoded.value), read);
            }
        }
    }

    #[test]
    fn kafkas_json_with_schema_comes_back((schema, value) in described(4)) {
        let kafka = converter(KAFKA, &[]);
        let written = encode(&kafka, Some(&schema), &value).expect("a schema is never without bytes");
        let decoded = decode(&kafka, written.as_bytes()).expect("ours reads it");
        let again = encode(&kafka, decoded.schema.as_ref(), &decoded.value).expect("bytes");
        prop_assert_eq!(written, again);
    }

    #[test]
    fn the_originals_payload_means_the_row((schema, value) in described(3), (_, other) in described(2)) {
        let (value, other) = (without_nan(value), without_nan(other));
        let original = converter(ORIGINAL, &[]);
        let row = Schema::structure("r", vec![Field::new("c", schema), Field::new("d", of(Type::String))]).shared();
        let envelope = envelope_schema(&row);
        let image = |value: &Value<'static>| Value::Struct(row.clone(), vec![value.clone(), Value::str("d")]);
        let change = change(&envelope, image(&other), image(&value), EntryType::Update);
        let text = encode(&original, Some(&envelope), &change).expect("bytes");
        let message: Json = serde_json::from_str(&text).expect("JSON");
        let payload = message["payload"][0].as_str().expect("base64");
        let payload = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, payload).expect("base64");
        let columns: Vec<String> = serde_json::from_slice(&payload).expect("strings");
        let pair: Json = serde_json::from_str(&columns[0]).expect("a pair");
        prop_assert_eq!(pair, Json::from(vec![meant(&other), meant(&value)]));
        let decoded = decode(&original, text.as_bytes()).expect("ours reads it");
        prop_assert_eq!(decoded.value.field("d"), Some(&Value::str("d")));
    }
}
