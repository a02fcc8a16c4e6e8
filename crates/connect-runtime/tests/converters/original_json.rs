//! The original runtime's messages, byte for byte: every row of the table of types, and the message around them.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openmessaging_connector::{EntryType, Field, Logical, Schema, Type, Value};

use crate::support::*;

/// A change of a table with one column: what it was, and what it is.
struct Column {
    source_type: &'static str,
    schema: Arc<Schema>,
}

fn column(source_type: &'static str, schema: Arc<Schema>) -> Column {
    Column { source_type, schema }
}

impl Column {
    fn envelope(&self) -> Arc<Schema> {
        let field = Field::new("c", self.schema.clone()).with_source_type(self.source_type);
        envelope_schema(&Schema::structure("row", vec![field]).shared())
    }

    fn message(
        &self,
        entry: EntryType,
        before: Option<Value<'static>>,
        after: Option<Value<'static>>,
    ) -> String {
        let envelope = self.envelope();
        let image = |value: Option<Value<'static>>| match value {
            Some(value) => Value::Struct(envelope.fields()[1].schema.clone(), vec![value]),
            None => Value::Null,
        };
        let value = change(&envelope, image(before), image(after), entry);
        let about = About { entry, ..ORDERS };
        let encoder = &mut *converter(ORIGINAL, &[]).encoder();
        let first = encode_with(encoder, about, Some(&envelope), &value).expect("encoded");
        assert_eq!(encode_with(encoder, about, None, &value).expect("encoded"), first);
        first.expect("bytes")
    }

    /// `type` of the field and the text of `[before,after]` of an insert.
    fn insert(&self, value: Value<'static>) -> (Option<String>, String) {
        let text = self.message(EntryType::Create, None, Some(value));
        let (message, payload) = open(&text);
        let field = &message["schema"]["fields"][0];
        assert_eq!((&field["index"], &field["name"]), (&0.into(), &"c".into()));
        (field.get("type").map(|ty| ty.as_str().expect("text").to_owned()), payload)
    }
}

/// The message, and the single string in its payload.
fn open(text: &str) -> (serde_json::Value, String) {
    let message: serde_json::Value = serde_json::from_str(text).expect("JSON");
    let inner = STANDARD.decode(message["payload"][0].as_str().expect("base64")).expect("base64");
    let columns: Vec<String> = serde_json::from_slice(&inner).expect("strings");
    assert_eq!(columns.len(), 1);
    (message, columns[0].clone())
}

const PAST: i64 = 1_577_934_245;

#[test]
fn every_type_is_written_as_the_table_says() {
    let int = |name| column(name, optional(Type::Int64));
    let text = |name| column(name, optional(Type::String));
    let blob = |name| column(name, optional(Type::Bytes));
    let stamp = |name, precision| column(name, logical(Type::Int64, Logical::Timestamp { precision }));
    let price = |scale| column("DECIMAL", logical(Type::Bytes, Logical::Decimal { precision: 65, scale }));
    let bits = |length| column("BIT", logical(Type::Bytes, Logical::Bits { length }));
    let time = |precision| column("TIME", logical(Type::Int64, Logical::Time { precision }));
    let set = |name| column(name, logical(Type::String, Logical::Set { labels: labels(&["a\"b", "c"]) }));
    let cases: Vec<(Column, Value<'static>, Option<&str>, &str)> = vec![
        // integers: unsigned 0 is 0, zerofill is unsigned
        (int("TINYINT"), Value::I64(-128), Some("INT32"), "-128"),
        (int("SMALLINT UNSIGNED"), Value::I64(0), Some("INT32"), "0"),
        (int("MEDIUMINT"), Value::I64(-70000), Some("INT32"), "-70000"),
        (int("INT UNSIGNED ZEROFILL"), Value::I64(4_294_967_295), Some("INT32"), "4294967295"),
        (int("BIGINT"), Value::I64(i64::MIN), Some("BIG_INTEGER"), "-9223372036854775808"),
        (
            column("BIGINT UNSIGNED", optional(Type::UInt64)),
            Value::U64(u64::MAX),
            Some("BIG_INTEGER"),
            "18446744073709551615",
        ),
        // numbers: BigDecimal.toString, and the shortest float in Java's notation
        (price(2), decimal("1.10"), Some("BYTES"), "1.10"),
        (price(30), decimal("0.000000000000000000000000000000"), Some("BYTES"), "0E-30"),
        (price(7), decimal("-0.0000001"), Some("BYTES"), "-1E-7"),
        (price(8), decimal("0.00000123"), Some("BYTES"), "0.00000123"),
        (price(9), decimal("0.000000123"), Some("BYTES"), "1.23E-7"),
        (column("DOUBLE", optional(Type::Float64)), Value::F64(1e7), Some("BYTES"), "1.0E7"),
        (column("DOUBLE", optional(Type::Float64)), Value::F64(1e-4), Some("BYTES"), "1.0E-4"),
        (column("DOUBLE", optional(Type::Float64)), Value::F64(f64::NAN), Some("BYTES"), "null"),
        (column("FLOAT", optional(Type::Float32)), Value::F32(0.1), Some("BYTES"), "0.1"),
        // bits: base64, where the original wrote {"empty":false}
        (bits(1), bytes(&[1]), Some("BYTES"), "\"AQ==\""),
        (bits(12), bytes(&[0x0a, 0xbc]), Some("BYTES"), "\"Crw=\""),
        (text("CHAR"), Value::str("a"), Some("STRING"), "\"a\""),
        (text("VARCHAR"), Value::str("é/日😀"), Some("STRING"), "\"é/日😀\""),
        (text("LONGTEXT"), Value::str("{\"a\":1}"), Some("STRING"), "\"{\\\"a\\\":1}\""),
        (
            column("JSON", logical(Type::String, Logical::Json)),
            Value::str("{\"a\": 1}"),
            Some("STRING"),
            "\"{\\\"a\\\": 1}\"",
        ),
        // dates: UTC, with a fraction where the column has one; a zero date is null
        (
            column("DATE", logical(Type::Int32, Logical::Date)),
            Value::Date(18_263),
            Some("DATETIME"),
            "\"2020-01-02 00:00:00\"",
        ),
        (column("DATE", logical(Type::Int32, Logical::Date)), Value::Null, Some("DATETIME"), "null"),
        (
            stamp("DATETIME", 0),
            Value::Timestamp(PAST * 1_000_000),
            Some("DATETIME"),
            "\"2020-01-02 03:04:05\"",
        ),
        (
            stamp("DATETIME(3)", 3),
            Value::Timestamp(PAST * 1_000_000 + 600_000),
            Some("DATETIME"),
            "\"2020-01-02 03:04:05.600\"",
        ),
        (
            column("TIMESTAMP", logical(Type::String, Logical::TimestampTz { precision: 6 })),
            Value::TimestampTz(PAST * 1_000_000 + 1),
            Some("DATETIME"),
            "\"2020-01-02 03:04:05.000001\"",
        ),
        // times: milliseconds, negative too
        (time(0), Value::Time(3_600_000_000), Some("DATETIME"), "3600000"),
        (time(3), Value::Time(-43_384_500_000), Some("DATETIME"), "-43384500"),
        (column("YEAR", logical(Type::Int32, Logical::Year)), Value::I64(0), Some("DATETIME"), "0"),
        (column("YEAR", logical(Type::Int32, Logical::Year)), Value::I64(2155), Some("DATETIME"), "2155"),
        // labels with quotes and commas; the empty set
        (
            column("ENUM", logical(Type::String, Logical::Enum { labels: labels(&["a,b\""]) })),
            Value::str("a,b\""),
            None,
            "\"a,b\\\"\"",
        ),
        (
            column("ENUM", logical(Type::String, Logical::Enum { labels: labels(&["a"]) })),
            Value::Null,
            None,
            "null",
        ),
        (set("SET"), Value::str("a\"b,c"), None, "\"a\\\"b,c\""),
        (set("SET"), Value::str(""), None, "\"\""),
        (blob("BLOB"), bytes(&[0, 0xff]), Some("BYTES"), "\"AP8=\""),
        (blob("BINARY"), bytes(&[1, 0, 0]), Some("BYTES"), "\"AQAA\""),
        (blob("VARBINARY"), bytes(&[]), Some("BYTES"), "\"\""),
        (
            column("GEOMETRY", logical(Type::Bytes, Logical::Geometry)),
            bytes(&[0xe6, 0x10, 0, 0, 1, 1, 0, 0, 0]),
            Some("BYTES"),
            "\"5hAAAAEBAAAA\"",
        ),
        (column("POINT", logical(Type::Bytes, Logical::Geometry)), Value::Null, Some("BYTES"), "null"),
    ];
    for (column, value, ty, wanted) in cases {
        let (written, payload) = column.insert(value);
        assert_eq!(written.as_deref(), ty, "{}", column.source_type);
        assert_eq!(payload, format!("[null,{wanted}]"), "{}", column.source_type);
    }
}

#[test]
fn types_of_other_systems_go_by_their_schema() {
    let cases = [
        (of(Type::Int16), Some("INT32")),
        (of(Type::Int64), Some("INT64")),
        (of(Type::UInt64), Some("BIG_INTEGER")),
        (of(Type::Boolean), Some("BOOLEAN")),
        (of(Type::Float32), Some("FLOAT32")),
        (of(Type::Float64), Some("FLOAT64")),
        (of(Type::String), Some("STRING")),
        (of(Type::Bytes), Some("BYTES")),
        (of(Type::Array(of(Type::Int32))), Some("ARRAY")),
        (logical(Type::String, Logical::Uuid), Some("STRING")),
        (logical(Type::String, Logical::Enum { labels: labels(&["a"]) }), None),
    ];
    for (schema, ty) in cases {
        assert_eq!(column("", schema.clone()).insert(Value::Null).0.as_deref(), ty, "{schema:?}");
        assert_eq!(column("INTEGER", schema.clone()).insert(Value::Null).0.as_deref(), ty, "{schema:?}");
    }
}

#[test]
fn text_is_escaped_twice() {
    let raw = "\"\\\u{8}\t\n\u{c}\r\u{0}\u{1b}\u{7e}\u{7f}\u{80}\u{9f}\u{a0}\u{2027}\u{2028}\u{2029}😀/";
    let wanted = "[null,\"\\\"\\\\\\b\\t\\n\\f\\r\\u0000\\u001B\u{7e}\\u007F\\u0080\\u009F\u{a0}\u{2027}\\u2028\\u2029😀/\"]";
    assert_eq!(column("TEXT", optional(Type::String)).insert(Value::str(raw)).1, wanted);
}

#[test]
fn whole_messages_are_the_originals_byte_for_byte() {
    let fields = vec![
        Field::new("id", of(Type::Int64)).with_source_type("INT"),
        Field::new("name", optional(Type::String)).with_source_type("VARCHAR"),
        Field::new("kind", logical(Type::String, Logical::Enum { labels: labels(&["x"]) }))
            .with_source_type("ENUM"),
    ];
    let envelope = envelope_schema(&Schema::structure("row", fields).shared());
    let image = |id, name: Value<'static>| {
        let schema = envelope.fields()[1].schema.clone();
        Value::Struct(schema, vec![Value::I64(id), name, Value::str("x")])
    };
    let encoder = &mut *converter(ORIGINAL, &[]).encoder();
    let mut message = |entry, sharding_key, before, after| {
        let value = change(&envelope, before, after, entry);
        let about = About { entry, sharding_key, ..ORDERS };
        encode_with(encoder, about, Some(&envelope), &value).expect("encoded").expect("bytes")
    };
    let wanted = |entry: &str, payload: &str, sharding: &str| {
        let payload = STANDARD.encode(payload);
        format!(
            "{{\"entryType\":\"{entry}\",\"payload\":[\"{payload}\"],\"queueName\":\"orders\",\"schema\":{{\"dataSource\":\"db\",\
             \"fields\":[{{\"index\":0,\"name\":\"id\",\"type\":\"INT32\"}},{{\"index\":1,\"name\":\"name\",\"type\":\"STRING\"}},\
             {{\"index\":2,\"name\":\"kind\"}}],\"name\":\"orders\"}},{sharding}\"timestamp\":1577934245678}}"
        )
    };
    let (one, two) = (image(1, Value::str("a")), image(2, Value::Null));
    let insert = "[\"[null,1]\",\"[null,\\\"a\\\"]\",\"[null,\\\"x\\\"]\"]";
    assert_eq!(message(EntryType::Create, None, Value::Null, one.clone()), wanted("CREATE", insert, ""));
    assert_eq!(message(EntryType::Read, None, Value::Null, one.clone()), wanted("CREATE", insert, ""));
    let update = "[\"[1,2]\",\"[\\\"a\\\",null]\",\"[\\\"x\\\",\\\"x\\\"]\"]";
    let sharding = "\"shardingKey\":\"k\\\"\",";
    assert_eq!(
        message(EntryType::Update, Some(b"k\""), one.clone(), two),
        wanted("UPDATE", update, sharding)
    );
    let delete = "[\"[1,null]\",\"[\\\"a\\\",null]\",\"[\\\"x\\\",null]\"]";
    assert_eq!(message(EntryType::Delete, None, one, Value::Null), wanted("DELETE", delete, ""));
    let truncate = "[\"[null,null]\",\"[null,null]\",\"[null,null]\"]";
    assert_eq!(
        message(EntryType::Truncate, None, Value::Null, Value::Null),
        wanted("TRUNCATE", truncate, "")
    );
}

#[test]
fn columns_with_parts_are_json_inside() {
    let tags = column("", of(Type::Array(optional(Type::String))));
    let value = Value::Array(vec![Value::str("a\"b"), Value::Null]);
    assert_eq!(tags.insert(value.clone()).1, "[null,[\"a\\\"b\",null]]");
    let text = tags.message(EntryType::Update, Some(value.clone()), Some(Value::Array(Vec::new())));
    assert_eq!(open(&text).1, "[[\"a\\\"b\",null],[]]");
    let inner = Schema::structure("i", vec![Field::new("x", of(Type::Int32))]).shared();
    let value = Value::Struct(inner.clone(), vec![Value::I64(1)]);
    assert_eq!(column("", inner).insert(value).1, "[null,{\"x\":1}]");
}

#[test]
fn what_is_no_change_is_one_value_a_field() {
    let original = converter(ORIGINAL, &[]);
    let message = |payload: &str, fields: &str, name: &str| {
        let payload = STANDARD.encode(payload);
        Some(format!(
            "{{\"entryType\":\"CREATE\",\"payload\":[\"{payload}\"],\"queueName\":\"orders\",\"schema\":{{\"fields\":[{fields}],\
             \"name\":\"{name}\"}},\"timestamp\":1577934245678}}"
        ))
    };
    let line = "{\"index\":0,\"name\":\"value\",\"type\":\"STRING\"}";
    assert_eq!(
        encode(&original, None, &Value::str("a \"line\"")),
        message("[\"a \\\"line\\\"\"]", line, "orders")
    );
    let fields = vec![Field::new("a", of(Type::Int32)), Field::new("b", of(Type::Array(of(Type::String))))];
    let schema = Schema::structure("plain", fields).shared();
    let value = Value::Struct(schema.clone(), vec![Value::I64(1), Value::Array(vec![Value::str("x")])]);
    let described =
        "{\"index\":0,\"name\":\"a\",\"type\":\"INT32\"},{\"index\":1,\"name\":\"b\",\"type\":\"ARRAY\"}";
    assert_eq!(encode(&original, Some(&schema), &value), message("[1,[\"x\"]]", described, "plain"));
    let list = "{\"index\":0,\"name\":\"value\",\"type\":\"ARRAY\"}";
    let value = Value::Array(vec![Value::I64(1), Value::I64(2)]);
    assert_eq!(encode(&original, None, &value), message("[[1,2]]", list, "orders"));
    assert_eq!(encode(&original, None, &Value::Null), None);
    assert_eq!(encode(&original, Some(&schema), &Value::Null), None);
    assert_eq!(decode(&original, b"").expect("nothing").value, Value::Null);
}

#[test]
fn a_key_is_plain_json() {
    let key = try_converter(ORIGINAL, &[], true).expect("a converter");
    let schema = Schema::structure("key", vec![Field::new("id", of(Type::Int64))]).shared();
    let value = Value::Struct(schema.clone(), vec![Value::I64(7)]);
    assert_eq!(encode(&key, Some(&schema), &value).as_deref(), Some("{\"id\":7}"));
}

#[test]
fn a_value_that_does_not_fit_is_refused() {
    let column = column("INT", of(Type::Int64));
    let envelope = column.envelope();
    let image = |values| Value::Struct(envelope.fields()[1].schema.clone(), values);
    let encoder = &mut *converter(ORIGINAL, &[]).encoder();
    for (before, after) in [
        (Value::Null, image(vec![])),
        (image(vec![]), image(vec![Value::I64(1)])),
        (Value::Null, image(vec![Value::I64(1), Value::I64(2)])),
        (Value::str("x"), image(vec![Value::I64(1)])),
    ] {
        let value = change(&envelope, before, after, EntryType::Update);
        let error = encode_with(encoder, ORDERS, Some(&envelope), &value).expect_err("refused");
        assert_eq!(error.code, "converter.misshapen");
    }
    let value = change(&envelope, Value::Null, image(vec![Value::I64(1)]), EntryType::Create);
    assert!(encode_with(encoder, ORDERS, Some(&envelope), &value).is_ok(), "the next value is written again");
}

/// A row in which every column can be told by its message alone.
fn telling_row() -> (Arc<Schema>, Vec<Value<'static>>) {
    let column = |name, ty: &str, schema| Field::new(name, schema).with_source_type(ty);
    let fields = vec![
        column("id", "BIGINT UNSIGNED", optional(Type::UInt64)),
        column("price", "DECIMAL", logical(Type::Bytes, Logical::Decimal { precision: 10, scale: 2 })),
        column("note", "VARCHAR", optional(Type::String)),
        column("raw", "BLOB", optional(Type::Bytes)),
        column("at", "DATETIME", logical(Type::Int64, Logical::Timestamp { precision: 3 })),
        column("kind", "ENUM", logical(Type::String, Logical::Enum { labels: labels(&["x"]) })),
    ];
    let values = vec![
        Value::U64(u64::MAX),
        decimal("1.10"),
        Value::str("a\"b"),
        bytes(&[0, 255]),
        Value::Timestamp(PAST * 1_000_000 + 5000),
        Value::str("x"),
    ];
    (Schema::structure("row", fields).shared(), values)
}

#[test]
fn a_sink_reads_the_row_or_the_change() {
    let (row, values) = telling_row();
    let envelope = envelope_schema(&row);
    let image =
        |values: &[Value<'static>]| Value::Struct(envelope.fields()[1].schema.clone(), values.to_vec());
    let message = |entry, before, after| {
        let value = change(&envelope, before, after, entry);
        let encoder = &mut *converter(ORIGINAL, &[]).encoder();
        encode_with(encoder, About { entry, ..ORDERS }, Some(&envelope), &value)
            .expect("encoded")
            .expect("bytes")
    };
    let nulls = vec![Value::Null; values.len()];
    let inserted = message(EntryType::Create, Value::Null, image(&values));
    let updated = message(EntryType::Update, image(&nulls), image(&values));
    let deleted = message(EntryType::Delete, image(&values), Value::Null);

    let rows = converter(ORIGINAL, &[]);
    let mut decoder = rows.decoder();
    let first = decoder.decode(Some(inserted.as_bytes())).expect("decoded");
    let Value::Struct(schema, read) = &first.value else { panic!("{first:?}") };
    assert_eq!((read, schema.name.as_deref()), (&values, Some("db.orders")));
    assert_eq!(schema.fields()[1].schema.logical, Some(Logical::Decimal { precision: 0, scale: 2 }));
    let again = decoder.decode(Some(updated.as_bytes())).expect("decoded");
    assert!(Arc::ptr_eq(schema, again.schema.as_ref().expect("a schema")), "a schema is made once");
    assert_eq!(decoder.decode(Some(deleted.as_bytes())).expect("decoded").value, Value::Null);

    let mut decoder = converter(ORIGINAL, &[("read.as", "envelope")]).decoder();
    for (text, op, had, has) in
        [(&inserted, "c", false, true), (&updated, "u", true, true), (&deleted, "d", true, false)]
    {
        let decoded = decoder.decode(Some(text.as_bytes())).expect("decoded");
        assert!(decoded.schema.expect("a schema").is_envelope());
        let value = decoded.value;
        assert_eq!(value.field("op"), Some(&Value::str(op)));
        assert_eq!(value.field("ts_ms"), Some(&Value::I64(ORDERS.timestamp_ms)));
        assert_eq!(
            value.field("source").and_then(|source| source.field("table")),
            Some(&Value::str("orders"))
        );
        let there = |name| matches!(value.field(name), Some(Value::Struct(..)));
        assert_eq!((there("before"), there("after")), (had, has), "{op}");
        if op == "d" {
            assert_eq!(value.field("before").and_then(|row| row.field("price")), Some(&decimal("1.10")));
        }
    }
}

#[test]
fn plain_messages_are_read_back() {
    let original = converter(ORIGINAL, &[]);
    let line = encode(&original, None, &Value::str("[1,2]")).expect("bytes");
    assert_eq!(decode(&original, line.as_bytes()).expect("decoded").value, Value::str("[1,2]"));
    let fields = vec![Field::new("a", of(Type::Int64)), Field::new("b", of(Type::Boolean))];
    let schema = Schema::structure("plain", fields).shared();
    let value = Value::Struct(schema.clone(), vec![Value::I64(1), Value::Bool(true)]);
    let text = encode(&original, Some(&schema), &value).expect("bytes");
    let decoded = decode(&original, text.as_bytes()).expect("decoded");
    assert_eq!(
        (decoded.value.field("a"), decoded.value.field("b")),
        (Some(&Value::I64(1)), Some(&Value::Bool(true)))
    );
    let message = |inner: &str| {
        format!(
            "{{\"payload\":[\"{}\"],\"schema\":{{\"dataSource\":\"d\",\"fields\":[{{\"name\":\"a\"}}]}}}}",
            STANDARD.encode(inner)
        )
    };
    assert!(decode(&original, message("[\"[null,1]\"]").as_bytes()).is_ok());
    for wrong in ["[]", "[\"[1]\"]", "[1]", "[\"x\"]", "{}", "[\"[1,2,3]\"]"] {
        let error = decode(&original, message(wrong).as_bytes()).expect_err(wrong).to_string();
        assert!(error.contains("converter.not_"), "{error}");
    }
    for wrong in ["{}", "[]", "{\"payload\":[\"%\"]}", "{\"payload\":[1]}", "{\"payload\":[]}", "x"] {
        assert!(decode(&original, wrong.as_bytes()).is_err(), "{wrong}");
    }
}
