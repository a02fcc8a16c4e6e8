//! Plain JSON.

use openmessaging_connector::{EntryType, Field, Logical, Schema, Type, Value};

use crate::support::*;

fn plain(schema: Option<&std::sync::Arc<Schema>>, value: &Value<'_>) -> Option<String> {
    encode(&converter(PLAIN, &[]), schema, value)
}

#[test]
fn a_row_looks_as_one_would_write_it() {
    let row = row_schema();
    let wanted = "{\"id\":9007199254740993,\"qty\":-3,\"tiny\":300,\"i8\":-1,\"state\":\"a,b\",\"tags\":\"x,y\",\
                  \"price\":-12345.60,\"ratio\":10000000.0,\"ratio32\":0.1,\"flag\":true,\
                  \"note\":\"a \\\"b\\\" \\\\ / é 😀 \\n\",\"blob\":\"AAH/Aw==\",\"doc\":{\"a\": [1, 2]},\
                  \"uid\":\"6f1c2e7a-0b1d-4c3e-9f00-000000000001\",\"d\":\"2020-01-02\",\"t\":\"-12:03:04.5\",\
                  \"ts3\":\"2020-01-02T03:04:05.678\",\"ts6\":\"2020-01-02T03:04:05.678901\",\
                  \"tz\":\"2020-01-02T03:04:05.678Z\",\"y\":2020,\"bit1\":true,\"bits\":\"Crw=\",\
                  \"geo\":{\"wkb\":\"AQEAAAA=\",\"srid\":4326}}";
    assert_eq!(plain(Some(&row), &full_row(&row)).as_deref(), Some(wanted));
    assert_eq!(plain(None, &full_row(&row)).as_deref(), Some(wanted));
}

#[test]
fn a_change_has_its_images_source_and_op() {
    let row = Schema::structure(
        "r",
        vec![Field::new("id", of(Type::Int64)), Field::new("s", optional(Type::String))],
    );
    let row = row.shared();
    let envelope = envelope_schema(&row);
    // the source may visit the image with the row's own schema
    let image = Value::Struct(row, vec![Value::I64(1), Value::Absent]);
    let value = change(&envelope, Value::Null, image, EntryType::Create);
    let wanted = "{\"before\":null,\"after\":{\"id\":1},\"source\":{\"db\":\"db\",\"table\":\"orders\"},\
                  \"op\":\"c\",\"ts_ms\":1577934245678}";
    assert_eq!(plain(Some(&envelope), &value).as_deref(), Some(wanted));
}

#[test]
fn scalars_and_the_numbers_that_json_has_not() {
    let cases = [
        (Value::str("line"), "\"line\""),
        (Value::I64(i64::MIN), "-9223372036854775808"),
        (Value::U64(u64::MAX), "18446744073709551615"),
        (Value::F64(f64::NAN), "null"),
        (Value::F32(f32::INFINITY), "null"),
        (Value::F64(1e-7), "1e-7"),
        (decimal("12345678901234567890.00"), "12345678901234567890.00"),
        (decimal("NaN"), "\"NaN\""),
        (Value::Time(1_500_000), "\"00:00:01.5\""),
        (Value::Timestamp(-1), "\"1969-12-31T23:59:59.999999\""),
        (Value::Date(-1), "\"1969-12-31\""),
        (bytes(b""), "\"\""),
    ];
    for (value, wanted) in cases {
        assert_eq!(plain(None, &value).as_deref(), Some(wanted));
    }
    assert_eq!(plain(None, &Value::Null), None);
    assert_eq!(plain(Some(&optional(Type::Int64)), &Value::Null), None);
    let whole = logical(Type::Int64, Logical::Timestamp { precision: 0 });
    assert_eq!(plain(Some(&whole), &Value::Timestamp(0)).as_deref(), Some("\"1970-01-01T00:00:00\""));
}

#[test]
fn a_broken_document_becomes_a_string() {
    let json = logical(Type::String, Logical::Json);
    let cases = [("{\"a\":1}", true), (" [1] ", true), ("{\"a\":", false), ("", false), ("1 2", false)];
    for (text, embedded) in cases {
        let written = plain(Some(&json), &Value::str(text)).expect("bytes");
        assert_eq!(written == text, embedded, "{text}");
        serde_json::from_str::<serde_json::Value>(&written).expect("valid all the same");
    }
    let deep = "[".repeat(101) + &"]".repeat(101);
    let written = plain(Some(&json), &Value::str(&deep)).expect("bytes");
    assert_eq!(written, format!("\"{deep}\""));
    let brackets = format!("\"{}\"", "[".repeat(200));
    assert_eq!(plain(Some(&json), &Value::str(&brackets)), Some(brackets));
}

#[test]
fn map_keys_become_text() {
    let map = Value::Map(vec![
        (Value::str("a"), Value::I64(1)),
        (Value::I64(2), Value::Bool(true)),
        (Value::Null, Value::Absent),
    ]);
    assert_eq!(plain(None, &map).as_deref(), Some("{\"a\":1,\"2\":true,\"null\":null}"));
    let map = Value::Map(vec![(Value::Array(Vec::new()), Value::Null)]);
    let error = encode_with(&mut *converter(PLAIN, &[]).encoder(), ORDERS, None, &map).expect_err("refused");
    assert_eq!(error.code, "converter.misshapen");
}

#[test]
fn a_value_that_does_not_fit_its_schema_is_refused_with_its_place() {
    let row = Schema::structure("r", vec![Field::new("id", of(Type::Int64))]).shared();
    let envelope = envelope_schema(&row);
    let image = |values| Value::Struct(envelope.fields()[1].schema.clone(), values);
    let encoder = &mut *converter(PLAIN, &[]).encoder();
    for values in [vec![], vec![Value::I64(1), Value::I64(2)]] {
        let value = change(&envelope, Value::Null, image(values), EntryType::Create);
        let error = encode_with(encoder, ORDERS, Some(&envelope), &value).expect_err("refused").to_string();
        assert!(error.contains("converter.misshapen") && error.contains("after"), "{error}");
    }
    let value = change(&envelope, Value::Null, image(vec![Value::I64(1)]), EntryType::Create);
    assert!(encode_with(encoder, ORDERS, Some(&envelope), &value).is_ok(), "the next value is written again");
}

#[test]
fn json_is_read_without_schema() {
    let plain = converter(PLAIN, &[]);
    let decoded = decode(&plain, "\u{feff}{\"a\":[1,-2.5,true,null,\"x\"]}".as_bytes()).expect("JSON");
    let list = vec![Value::I64(1), Value::F64(-2.5), Value::Bool(true), Value::Null, Value::str("x")];
    assert_eq!(decoded.value, Value::Map(vec![(Value::str("a"), Value::Array(list))]));
    assert_eq!(decoded.schema, None);
    assert_eq!(decode(&plain, b"").expect("nothing").value, Value::Null);
    for wrong in ["{", "1 2", "{\"a\":1,}", "\"\\ud800\"", "\u{1}"] {
        let error = decode(&plain, wrong.as_bytes()).expect_err("refused").to_string();
        assert!(error.contains("converter.not_json"), "{error}");
    }
    assert!(decode(&plain, b"\"\xff\"").is_err());
}
