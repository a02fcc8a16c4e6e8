//! Driving converters.

use std::sync::Arc;

use openmessaging_connector::converter::Decoded;
use openmessaging_connector::registry::Factory;
use openmessaging_connector::{
    Config, Converter, Encoder, EntryType, Error, Field, Logical, PluginKind, RecordHead, Registry, Schema,
    SourcePartition, Type, Value,
};

pub const KAFKA: &str = "org.apache.kafka.connect.json.JsonConverter";
pub const PLAIN: &str = "json";
pub const ORIGINAL: &str = "io.openmessaging.connect.runtime.converter.JsonConverter";

pub fn registry() -> Registry {
    let mut registry = Registry::new();
    connect_runtime::converter::register(&mut registry);
    registry
}

pub fn try_converter(
    name: &str,
    options: &[(&str, &str)],
    is_key: bool,
) -> Result<Arc<dyn Converter>, Error> {
    let plugin = registry().find(name, &[PluginKind::Converter])?;
    let options: Config = options.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    match plugin.factory {
        Factory::Converter(make) => make(&options, is_key),
        _ => panic!("{name} is no converter"),
    }
}

pub fn converter(name: &str, options: &[(&str, &str)]) -> Arc<dyn Converter> {
    try_converter(name, options, false).expect("a converter")
}

/// What a message is about.
#[derive(Clone, Copy)]
pub struct About<'a> {
    pub queue: &'a str,
    pub entry: EntryType,
    pub timestamp_ms: i64,
    pub sharding_key: Option<&'a [u8]>,
}

pub const ORDERS: About<'static> =
    About { queue: "orders", entry: EntryType::Create, timestamp_ms: 1_577_934_245_678, sharding_key: None };

/// Encodes with an encoder that may have been used before; the buffer has something in it already.
pub fn encode_with(
    encoder: &mut dyn Encoder,
    about: About<'_>,
    schema: Option<&Arc<Schema>>,
    value: &Value<'_>,
) -> Result<Option<String>, Error> {
    let queue = Arc::from(about.queue);
    let partition = SourcePartition::of("server", "test");
    let head = RecordHead {
        queue: &queue,
        queue_partition: None,
        sharding_key: about.sharding_key,
        entry: about.entry,
        timestamp_ms: about.timestamp_ms,
        source_partition: &partition,
    };
    encoder.start(&head, schema, b"before".to_vec());
    value.visit(encoder);
    let (out, result) = encoder.finish();
    let rest = out.strip_prefix(b"before").expect("the buffer is appended to");
    match result {
        Ok(true) => Ok(Some(String::from_utf8(rest.to_vec()).expect("UTF-8"))),
        Ok(false) => {
            assert!(rest.is_empty());
            Ok(None)
        }
        Err(error) => {
            assert!(rest.is_empty(), "an error cuts the buffer back");
            Err(error)
        }
    }
}

/// Encodes twice with the same encoder, the second time with everything cached.
pub fn encode(
    converter: &Arc<dyn Converter>,
    schema: Option<&Arc<Schema>>,
    value: &Value<'_>,
) -> Option<String> {
    let mut encoder = converter.encoder();
    let first = encode_with(&mut *encoder, ORDERS, schema, value).expect("encoded");
    let second = encode_with(&mut *encoder, ORDERS, schema, value).expect("encoded again");
    assert_eq!(first, second);
    first
}

pub fn decode<'a>(converter: &Arc<dyn Converter>, bytes: &'a [u8]) -> Result<Decoded<'a>, Error> {
    converter.decoder().decode(Some(bytes))
}

pub fn of(ty: Type) -> Arc<Schema> {
    Schema::new(ty).shared()
}

pub fn optional(ty: Type) -> Arc<Schema> {
    Schema::new(ty).optional().shared()
}

pub fn logical(ty: Type, logical: Logical) -> Arc<Schema> {
    Schema::logical(ty, logical).optional().shared()
}

pub fn labels(labels: &[&str]) -> Arc<[Arc<str>]> {
    labels.iter().map(|label| Arc::from(*label)).collect()
}

pub fn bytes(bytes: &[u8]) -> Value<'_> {
    Value::Bytes(bytes.into())
}

pub fn decimal(text: &str) -> Value<'_> {
    Value::Decimal(text.into())
}

/// A row with a column of every kind.
pub fn row_schema() -> Arc<Schema> {
    let fields = vec![
        Field::new("id", of(Type::Int64)),
        Field::new("qty", optional(Type::Int32)),
        Field::new("tiny", optional(Type::Int16)),
        Field::new("i8", optional(Type::Int8)),
        Field::new("state", logical(Type::String, Logical::Enum { labels: labels(&["new", "paid", "a,b"]) })),
        Field::new("tags", logical(Type::String, Logical::Set { labels: labels(&["x", "y"]) })),
        Field::new("price", logical(Type::Bytes, Logical::Decimal { precision: 10, scale: 2 })),
        Field::new("ratio", optional(Type::Float64)),
        Field::new("ratio32", optional(Type::Float32)),
        Field::new("flag", optional(Type::Boolean)),
        Field::new("note", optional(Type::String)),
        Field::new("blob", optional(Type::Bytes)),
        Field::new("doc", logical(Type::String, Logical::Json)),
        Field::new("uid", logical(Type::String, Logical::Uuid)),
        Field::new("d", logical(Type::Int32, Logical::Date)),
        Field::new("t", logical(Type::Int64, Logical::Time { precision: 1 })),
        Field::new("ts3", logical(Type::Int64, Logical::Timestamp { precision: 3 })),
        Field::new("ts6", logical(Type::Int64, Logical::Timestamp { precision: 6 })),
        Field::new("tz", logical(Type::String, Logical::TimestampTz { precision: 3 })),
        Field::new("y", logical(Type::Int32, Logical::Year)),
        Field::new("bit1", logical(Type::Bytes, Logical::Bits { length: 1 })),
        Field::new("bits", logical(Type::Bytes, Logical::Bits { length: 12 })),
        Field::new("geo", logical(Type::Bytes, Logical::Geometry)),
    ];
    Schema::structure("shop.db.orders.Value", fields).optional().shared()
}

pub fn full_row(schema: &Arc<Schema>) -> Value<'static> {
    let values = vec![
        Value::I64(9_007_199_254_740_993),
        Value::I64(-3),
        Value::I64(300),
        Value::I64(-1),
        Value::str("a,b"),
        Value::str("x,y"),
        decimal("-12345.60"),
        Value::F64(1.0e7),
        Value::F32(0.1),
        Value::Bool(true),
        Value::str("a \"b\" \\ / é 😀 \n"),
        bytes(&[0, 1, 0xff, 3]),
        Value::str("{\"a\": [1, 2]}"),
        Value::str("6f1c2e7a-0b1d-4c3e-9f00-000000000001"),
        Value::Date(18_263),
        Value::Time(-43_384_500_000),
        Value::Timestamp(1_577_934_245_678_000),
        Value::Timestamp(1_577_934_245_678_901),
        Value::TimestampTz(1_577_934_245_678_000),
        Value::I64(2020),
        bytes(&[1]),
        bytes(&[0x0a, 0xbc]),
        bytes(&[0xe6, 0x10, 0, 0, 1, 1, 0, 0, 0]),
    ];
    Value::Struct(schema.clone(), values)
}

pub fn empty_row(schema: &Arc<Schema>, id: i64) -> Value<'static> {
    let mut values = vec![Value::Null; schema.fields().len()];
    values[0] = Value::I64(id);
    Value::Struct(schema.clone(), values)
}

pub fn source_schema() -> Arc<Schema> {
    let fields = vec![Field::new("db", of(Type::String)), Field::new("table", optional(Type::String))];
    Schema::structure("io.debezium.connector.mysql.Source", fields).shared()
}

pub fn envelope_schema(row: &Arc<Schema>) -> Arc<Schema> {
    Schema::envelope("shop.db.orders.Envelope", row, &source_schema())
}

/// A change as a source makes it: the images with the schema of the envelope, or with the row's own.
pub fn change(
    schema: &Arc<Schema>,
    before: Value<'static>,
    after: Value<'static>,
    op: EntryType,
) -> Value<'static> {
    let source = schema.fields()[2].schema.clone();
    let source = Value::Struct(source, vec![Value::str("db"), Value::str("orders")]);
    let values = vec![before, after, source, Value::str(op.op()), Value::I64(1_577_934_245_678)];
    Value::Struct(schema.clone(), values)
}
