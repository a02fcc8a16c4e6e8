//! Kafka Connect's JSON against what Kafka's own converter makes of the same values (`tests/data/kafka-json`).

use std::collections::HashMap;
use std::sync::Arc;

use openmessaging_connector::{Converter, EntryType, Field, Logical, Schema, Type, Value};

use crate::support::*;

const ENCODED: &str = include_str!("../data/kafka-json/encode.tsv");
const DECODED: &str = include_str!("../data/kafka-json/decode.tsv");

/// The cases of `encode.tsv`; each is asked for once, and none may be left over.
struct Golden {
    cases: HashMap<&'static str, (&'static str, &'static str)>,
    with: Arc<dyn Converter>,
    without: Arc<dyn Converter>,
}

impl Golden {
    fn new() -> Self {
        let line = |line: &'static str| {
            let mut parts = line.splitn(3, '\t');
            Some((parts.next()?, (parts.next()?, parts.next()?)))
        };
        Self {
            cases: ENCODED.split_terminator('\n').map(|text| line(text).expect("three columns")).collect(),
            with: converter(KAFKA, &[]),
            without: converter(KAFKA, &[("schemas.enable", "false")]),
        }
    }

    fn take(&mut self, name: &str) -> (&'static str, &'static str) {
        self.cases.remove(name).unwrap_or_else(|| panic!("no case {name}"))
    }

    fn check(
        &mut self,
        name: &str,
        converter: &Arc<dyn Converter>,
        schema: Option<&Arc<Schema>>,
        value: &Value<'_>,
    ) {
        let (outcome, wanted) = self.take(name);
        assert_eq!(outcome, "ok", "{name}");
        let written = encode(converter, schema, value);
        assert_eq!(written.as_deref().unwrap_or("(no bytes)"), wanted, "{name}");
    }

    fn both(&mut self, name: &str, schema: Option<&Arc<Schema>>, value: &Value<'_>) {
        let (with, without) = (self.with.clone(), self.without.clone());
        self.check(&format!("{name}.with"), &with, schema, value);
        self.check(&format!("{name}.without"), &without, schema, value);
    }
}

fn numeric() -> Arc<dyn Converter> {
    converter(KAFKA, &[("schemas.enable", "false"), ("decimal.format", "numeric")])
}

#[test]
fn bytes_are_those_of_kafkas_converter() {
    let mut golden = Golden::new();
    rows(&mut golden);
    scalars(&mut golden);
    maps_and_arrays(&mut golden);
    defaults(&mut golden);
    texts(&mut golden);
    let (_, schema) = golden.take("envelope.schema");
    assert!(schema.contains("\"version\":2}"), "an envelope's version is Debezium's");
    assert_eq!(golden.cases.keys().collect::<Vec<_>>(), Vec::<&&str>::new(), "cases nobody asked for");
}

fn rows(golden: &mut Golden) {
    let row = row_schema();
    let full = full_row(&row);
    golden.both("row.full", Some(&row), &full);
    golden.both("row.empty", None, &empty_row(&row, 0));
    golden.check("row.numeric", &numeric(), Some(&row), &full);
    let envelope = envelope_schema(&row);
    let value = change(&envelope, empty_row(&row, 0), full, EntryType::Update);
    golden.both("envelope", Some(&envelope), &value);
}

fn scalars(golden: &mut Golden) {
    let cases = [
        ("INT8", Type::Int8, Value::I64(-128)),
        ("INT16", Type::Int16, Value::I64(32767)),
        ("INT32", Type::Int32, Value::I64(i32::MIN.into())),
        ("INT64", Type::Int64, Value::I64(i64::MAX)),
        ("FLOAT32", Type::Float32, Value::F32(f32::MAX)),
        ("FLOAT64", Type::Float64, Value::F64(1.0e-4)),
        ("BOOLEAN", Type::Boolean, Value::Bool(false)),
        ("STRING", Type::String, Value::str("s")),
        ("BYTES", Type::Bytes, bytes(&[1, 2])),
    ];
    for (name, ty, value) in cases {
        golden.both(&format!("scalar.{name}"), Some(&of(ty.clone())), &value);
        golden.both(&format!("scalar.{name}.null"), Some(&optional(ty)), &Value::Null);
    }
    golden.both("none", None, &Value::Null);
    golden.both("schemaless", None, &Value::str("x"));
    for (name, wall) in [("05Z", 5_000_000), ("05.6Z", 5_600_000), ("05.678901Z", 5_678_901)] {
        let (_, wanted) = golden.take(&format!("zoned.2020-01-02T03:04:{name}"));
        let schema = logical(Type::String, Logical::TimestampTz { precision: 6 });
        let value = Value::TimestampTz(1_577_934_240_000_000 + wall);
        let written = encode(&golden.without.clone(), Some(&schema), &value);
        assert_eq!(written, Some(format!("\"{wanted}\"")));
    }
}

fn maps_and_arrays(golden: &mut Golden) {
    let numbers = of(Type::Array(optional(Type::Int32)));
    golden.both("array", Some(&numbers), &Value::Array(vec![Value::I64(1), Value::Null, Value::I64(3)]));
    let schema = of(Type::Map(of(Type::String), optional(Type::String)));
    let entries = vec![(Value::str("a"), Value::str("1")), (Value::str("b\""), Value::Null)];
    golden.both("map.text", Some(&schema), &Value::Map(entries));
    let schema = of(Type::Map(of(Type::Int32), optional(Type::String)));
    let entries = vec![(Value::I64(1), Value::str("1")), (Value::I64(2), Value::Null)];
    golden.both("map.int", Some(&schema), &Value::Map(entries));
    let schema = of(Type::Map(of(Type::Int32), of(Type::String)));
    golden.both("map.empty", Some(&schema), &Value::Map(Vec::new()));
    let entries = vec![
        (Value::str("a"), Value::I64(1)),
        (Value::str("b"), Value::Array(vec![Value::Bool(true)])),
        (Value::str("c"), Value::Map(vec![(Value::str("d"), Value::F64(1.5))])),
    ];
    golden.both("map.schemaless", None, &Value::Map(entries));
    let entries = vec![
        (Value::str("a"), Value::I64(1)),
        (Value::I64(2), Value::str("x")),
        (Value::Bool(true), Value::Array(Vec::new())),
    ];
    golden.both("map.schemaless.pairs", None, &Value::Map(entries));
}

fn with_default(schema: Schema, default: Value<'static>) -> Schema {
    Schema { default: Some(default), ..schema }
}

fn defaults(golden: &mut Golden) {
    let int = with_default(Schema::new(Type::Int32).optional(), Value::I64(7));
    let list = Schema::new(Type::Array(of(Type::String))).optional();
    let price = Schema::logical(Type::Bytes, Logical::Decimal { precision: 0, scale: 3 }).optional();
    let fields = vec![
        Field::new("i", Schema { doc: Some("seven".into()), ..int }.shared()),
        Field::new("s", with_default(Schema::new(Type::String), Value::str("x")).shared()),
        Field::new("m", with_default(list, Value::Array(vec![Value::str("p")])).shared()),
        Field::new("p", with_default(price, decimal("1.500")).shared()),
    ];
    let schema =
        Schema { version: Some(3), doc: Some("a \"doc\"".into()), ..Schema::structure("n", fields) }.shared();
    let value = Value::Struct(schema.clone(), vec![Value::Null, Value::str("y"), Value::Null, Value::Null]);
    golden.both("defaults", Some(&schema), &value);
    golden.check(
        "defaults.keep",
        &converter(KAFKA, &[("replace.null.with.default", "false")]),
        Some(&schema),
        &value,
    );

    let required = Schema::new(Type::Struct(vec![Field::new("i", of(Type::Int32))])).shared();
    let value = Value::Struct(required.clone(), vec![Value::Null]);
    assert_eq!(golden.take("required.null.with").0, "error");
    let mut encoder = golden.with.encoder();
    let error = encode_with(&mut *encoder, ORDERS, Some(&required), &value).expect_err("refused").to_string();
    assert!(error.contains("converter.null_in_required") && error.contains("field i"), "{error}");
    // without schema a null breaks no promise: ours writes it, where Kafka's fails
    assert_eq!(golden.take("required.null.without").0, "error");
    assert_eq!(encode(&golden.without.clone(), Some(&required), &value).as_deref(), Some("{\"i\":null}"));
}

fn texts(golden: &mut Golden) {
    let without = golden.without.clone();
    let mut text: String = (0..0x101_u32).filter_map(char::from_u32).collect();
    text.push_str("\u{2027}\u{2028}\u{2029}\u{202a}\u{feff}\u{ffff}😀");
    golden.check("escapes", &without, Some(&of(Type::String)), &Value::str(&text));
    let doubles = [
        0.0,
        -0.0,
        1.0,
        -1.5,
        100.0,
        9999999.0,
        1.0e7,
        12345678.9,
        0.001,
        9.99e-4,
        1.0e-4,
        123456789012.0,
        f64::MAX,
        5e-324,
        1.0e21,
        1.234e-10,
        std::f64::consts::PI,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ];
    let values = Value::Array(doubles.into_iter().map(Value::F64).collect());
    golden.check("doubles", &without, Some(&of(Type::Array(of(Type::Float64)))), &values);
    let floats = [
        0.0,
        -0.0,
        1.0,
        0.1,
        1.0e7,
        9999999.0,
        0.001,
        9.99e-4,
        f32::MAX,
        1e-45,
        16777216.0,
        f32::NAN,
        f32::NEG_INFINITY,
    ];
    let values = Value::Array(floats.into_iter().map(Value::F32).collect());
    golden.check("floats", &without, Some(&of(Type::Array(of(Type::Float32)))), &values);
    let decimals: Vec<_> =
        golden.cases.keys().filter_map(|name| name.strip_prefix("decimal.base64.")).collect();
    assert_eq!(decimals.len(), 19);
    for text in decimals {
        let scale = text.split_once('.').map_or(0, |(_, fraction)| fraction.len() as u32);
        let schema = logical(Type::Bytes, Logical::Decimal { precision: 0, scale });
        golden.check(&format!("decimal.base64.{text}"), &without, Some(&schema), &decimal(text));
        golden.check(&format!("decimal.numeric.{text}"), &numeric(), Some(&schema), &decimal(text));
    }
}

/// A value as `Golden.java` shows it.
fn show(schema: Option<&Schema>, value: &Value<'_>) -> String {
    let ty = schema.map(|schema| &schema.ty);
    match value {
        Value::Null => "null".to_owned(),
        Value::Absent => "absent".to_owned(),
        Value::Bool(value) => format!("Boolean:{value}"),
        Value::I64(value) => match ty {
            Some(Type::Int8) => format!("Byte:{value}"),
            Some(Type::Int16) => format!("Short:{value}"),
            Some(Type::Int32) => format!("Integer:{value}"),
            _ => format!("Long:{value}"),
        },
        Value::U64(value) => format!("unsigned {value}"),
        Value::F32(value) => format!("Float:{value:?}").replace("inf", "Infinity"),
        Value::F64(value) => format!("Double:{value:?}").replace("inf", "Infinity"),
        Value::Str(text) => format!("String:{text}"),
        Value::Bytes(bytes) => format!("bytes{bytes:?}"),
        Value::Decimal(text) => format!("BigDecimal:{text}"),
        Value::Date(days) => format!("Date:{days}"),
        Value::Struct(schema, values) => {
            let member = |(field, value): (&Field, &Value<'_>)| {
                format!("{}={};", field.name, show(Some(&field.schema), value))
            };
            format!("{{{}}}", schema.fields().iter().zip(values).map(member).collect::<String>())
        }
        Value::Array(values) => {
            format!("ArrayList:[{}]", values.iter().map(bare).collect::<Vec<_>>().join(", "))
        }
        Value::Map(entries) => {
            let entry = |(key, value): &(Value<'_>, Value<'_>)| format!("{}={}", bare(key), bare(value));
            format!("HashMap:{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        other => format!("{other:?}"),
    }
}

fn bare(value: &Value<'_>) -> String {
    let text = show(None, value);
    text.split_once(':').map_or(text.clone(), |(_, text)| text.to_owned())
}

/// Where ours reads something else than Kafka's, which loses it or fails without need.
const BETTER: [(&str, &str); 14] = [
    // numbers beyond 64 bits, and unsigned ones of ours
    ("null,true,99999999999999999999]}}", "ok\tHashMap:{a=[1, 2.5, x, null, true, 1e20]}"),
    ("18446744073709551615", "ok\tunsigned 18446744073709551615"),
    (
        "{\"schema\":{\"type\":\"int64\"},\"payload\":18446744073709551615}",
        "ok\tunsigned 18446744073709551615",
    ),
    // what Kafka's writes itself, and then reads as 0
    ("{\"type\":\"float\"},\"payload\":\"NaN\"}", "ok\tFloat:NaN"),
    ("{\"type\":\"double\"},\"payload\":\"NaN\"}", "ok\tDouble:NaN"),
    // no array is no empty array
    ("{\"type\":\"int32\",\"optional\":true}},\"payload\":1}", "error"),
    ("{\"type\":\"int32\",\"optional\":true}},\"payload\":{\"a\":1}}", "error"),
    ("{\"type\":\"int32\",\"optional\":true}},\"payload\":\"x\"}", "error"),
    // a member that is not there is not null
    ("\"field\":\"b\"}]},\"payload\":{\"a\":1}}", "ok\t{a=Integer:1;b=absent;}"),
    ("\"field\":\"b\"}]},\"payload\":{\"b\":\"x\"}}", "ok\t{a=absent;b=String:x;}"),
    // a decimal has the scale of its schema
    ("\"scale\":\"2\"}},\"payload\":1.5}", "ok\tBigDecimal:1.50"),
    ("\"scale\":\"2\"}},\"payload\":1}", "ok\tBigDecimal:1.00"),
    ("\"scale\":\"2\"}},\"payload\":1e3}", "ok\tBigDecimal:1000.00"),
    // the same day, shown in another way
    ("connect.data.Date\"},\"payload\":1}", "ok\tDate:1"),
];

#[test]
fn messages_are_read_as_kafkas_converter_does() {
    let (with, without) = (converter(KAFKA, &[]), converter(KAFKA, &[("schemas.enable", "false")]));
    let (mut read, mut used) = (0, std::collections::HashSet::new());
    for line in DECODED.split_terminator('\n') {
        let parts: Vec<_> = line.split('\t').collect();
        let [name, input, outcome, wanted] = parts[..] else { panic!("four columns: {line}") };
        let converter = if name == "read.without" { &without } else { &with };
        let ours = match decode(converter, input.as_bytes()) {
            Ok(decoded) => format!("ok\t{}", show(decoded.schema.as_deref(), &decoded.value)),
            Err(_) => "error".to_owned(),
        };
        let kafkas = if outcome == "ok" { format!("ok\t{wanted}") } else { "error".to_owned() };
        let better = BETTER.iter().find(|(end, _)| input.ends_with(end));
        used.extend(better.map(|(end, _)| *end));
        let wanted = better.map_or(kafkas, |(_, better)| (*better).to_owned());
        assert_eq!(ours, wanted, "{input}");
        read += 1;
    }
    assert_eq!((read, used.len()), (146, BETTER.len()));
    assert_eq!(with.decoder().decode(None).expect("a tombstone").value, Value::Null);
}

#[test]
fn errors_say_what_is_wrong_and_where() {
    let with = converter(KAFKA, &[]);
    let error = |text: &str| decode(&with, text.as_bytes()).expect_err("wrong").to_string();
    let text = error("{\"a\":1}");
    assert!(text.contains("converter.no_schema") && text.contains("schemas.enable=false"), "{text}");
    let text = error("{\"schema\":{\"type\":\"int33\"},\"payload\":1}");
    assert!(text.contains("converter.bad_schema") && text.contains("Unknown schema type: int33"), "{text}");
    let inner = "{\"type\":\"struct\",\"field\":\"s\",\"fields\":[{\"type\":\"int32\",\"field\":\"a\"}]}";
    let text = error(&format!(
        "{{\"schema\":{{\"type\":\"struct\",\"fields\":[{inner}]}},\"payload\":{{\"s\":{{\"a\":null}}}}}}"
    ));
    assert!(text.contains("field s: field a: Invalid null value for required INT32 field"), "{text}");
    let text = error("{\"schema\":");
    assert!(text.contains("converter.not_json"), "{text}");
    let decimal_of = |text| {
        let schema = logical(Type::Bytes, Logical::Decimal { precision: 0, scale: 1 });
        encode_with(&mut *with.encoder(), ORDERS, Some(&schema), &decimal(text))
            .expect_err("wrong")
            .to_string()
    };
    assert!(decimal_of("NaN").contains("converter.not_decimal"));
    assert!(decimal_of("1.25").contains("more than 1 digits behind the point"));
}

#[test]
fn what_is_written_with_schema_is_read_back_whole() {
    let with = converter(KAFKA, &[]);
    let row = row_schema();
    let envelope = envelope_schema(&row);
    let image = envelope.fields()[1].schema.clone();
    let value = change(&envelope, empty_row(&image, 0), full_row(&image), EntryType::Update);
    let text = encode(&with, Some(&envelope), &value).expect("bytes");
    let mut decoder = with.decoder();
    for _ in 0..2 {
        let decoded = decoder.decode(Some(text.as_bytes())).expect("decoded");
        let schema = decoded.schema.expect("a schema");
        assert!(schema.is_envelope());
        assert_eq!(schema.name, envelope.name);
        let row = schema.fields()[1].schema.clone();
        let kept = |name: &str| {
            row.fields().iter().find(|field| &*field.name == name).expect("a field").schema.clone()
        };
        assert_eq!(kept("price").logical, Some(Logical::Decimal { precision: 10, scale: 2 }));
        assert_eq!(kept("ts3").logical, Some(Logical::Timestamp { precision: 3 }));
        assert_eq!(kept("geo").ty, Type::Bytes);
        let Some(Value::Struct(_, read)) = decoded.value.field("after") else {
            panic!("{:?}", decoded.value)
        };
        let Value::Struct(_, mut written) = full_row(&image) else { panic!() };
        // the one bit is a boolean in Debezium
        written[20] = Value::Bool(true);
        assert_eq!(*read, written);
    }
}

#[test]
fn an_absent_member_is_left_out_and_read_as_absent() {
    let with = converter(KAFKA, &[]);
    let schema =
        Schema::structure("s", vec![Field::new("a", of(Type::Int32)), Field::new("b", of(Type::Int32))])
            .shared();
    let value = Value::Struct(schema.clone(), vec![Value::Absent, Value::I64(2)]);
    let text = encode(&with, Some(&schema), &value).expect("bytes");
    assert!(text.ends_with("\"payload\":{\"b\":2}}"), "{text}");
    assert_eq!(decode(&with, text.as_bytes()).expect("decoded").value, value);
}

#[test]
fn schemas_are_kept_only_as_many_as_asked() {
    let few = converter(KAFKA, &[("schemas.cache.size", "2")]);
    let mut decoder = few.decoder();
    for round in 0..3 {
        for n in 0..10 {
            let text = format!("{{\"schema\":{{\"type\":\"int32\",\"name\":\"n{n}\"}},\"payload\":{round}}}");
            let decoded = decoder.decode(Some(text.as_bytes())).expect("decoded");
            let name = decoded.schema.and_then(|schema| schema.name.clone());
            assert_eq!((name.as_deref(), decoded.value), (Some(&*format!("n{n}")), Value::I64(round)));
        }
    }
}
