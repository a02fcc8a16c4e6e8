//! What each converter costs: CPU seconds for a million changes of a table of twelve columns, about 900 bytes each.
//!
//! `cargo run --release -p connect-runtime --example converter_cost [converter [millions]]`

use std::sync::Arc;

use openmessaging_connector::registry::Factory;
use openmessaging_connector::{
    Config, Encoder, EntryType, Field, Logical, PluginKind, RecordHead, Registry, Scalar, Schema,
    SourcePartition, Type, Visitor,
};

const CASES: [(&str, &[(&str, &str)]); 6] = [
    ("json", &[]),
    ("kafka-json", &[("schemas.enable", "false")]),
    ("kafka-json", &[]),
    ("oms-json", &[]),
    ("string", &[]),
    ("none", &[]),
];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let only = arguments.next();
    let rounds = arguments.next().and_then(|text| text.parse::<f64>().ok()).unwrap_or(1.0) * 1_000_000.0;
    for (name, options) in
        CASES.into_iter().filter(|(name, _)| only.as_deref().is_none_or(|only| only == *name))
    {
        let options: Config = options.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let (bytes, seconds) = run(name, &options, rounds as u64);
        println!("{name:12} {options:?}: {bytes} bytes, {:.3} s per million", seconds * 1_000_000.0 / rounds);
    }
}

fn run(name: &str, options: &Config, rounds: u64) -> (usize, f64) {
    let schema = Schema::envelope("shop.bench.orders.Envelope", &row(), &source());
    let queue = Arc::from("shop.bench.orders");
    let partition = SourcePartition::of("server", "shop");
    let mut encoder: Option<Box<dyn Encoder>> = (name != "none").then(|| encoder(name, options));
    let mut out = Vec::with_capacity(1 << 16);
    let mut length = 0;
    let begin = cpu_seconds();
    for round in 0..rounds {
        let head = RecordHead {
            queue: &queue,
            queue_partition: None,
            sharding_key: None,
            entry: EntryType::Create,
            timestamp_ms: 1_577_934_245_678,
            source_partition: &partition,
        };
        match &mut encoder {
            Some(encoder) => {
                encoder.start(&head, Some(&schema), std::mem::take(&mut out));
                drive(&mut **encoder, &schema, round);
                let (buffer, result) = encoder.finish();
                result.expect("encoded");
                out = buffer;
            }
            None => drive(&mut Nothing(0), &schema, round),
        }
        length = out.len();
        out.clear();
    }
    (length, cpu_seconds() - begin)
}

fn encoder(name: &str, options: &Config) -> Box<dyn Encoder> {
    let mut registry = Registry::new();
    connect_runtime::converter::register(&mut registry);
    match registry.find(name, &[PluginKind::Converter]).expect("known").factory {
        Factory::Converter(make) => make(options, false).expect("configured").encoder(),
        _ => panic!("{name} is no converter"),
    }
}

/// What this process has used of a processor, as Linux counts it.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").expect("Linux");
    let nanoseconds = text.split_whitespace().next().and_then(|text| text.parse::<f64>().ok());
    nanoseconds.expect("nanoseconds") / 1e9
}

/// What driving alone costs.
struct Nothing(usize);

impl Visitor for Nothing {
    fn scalar(&mut self, value: Scalar<'_>) {
        self.0 += usize::from(matches!(std::hint::black_box(value), Scalar::Null));
    }
    fn begin_struct(&mut self, _schema: &Arc<Schema>) {}
    fn end_struct(&mut self) {}
    fn begin_array(&mut self, _length: usize) {}
    fn end_array(&mut self) {}
    fn begin_map(&mut self, _length: usize) {}
    fn end_map(&mut self) {}
}

fn drive(visitor: &mut dyn Visitor, schema: &Arc<Schema>, round: u64) {
    visitor.begin_struct(schema);
    visitor.scalar(Scalar::Null);
    visitor.begin_struct(&schema.fields()[1].schema);
    visitor.scalar(Scalar::U64(9_000_000_000 + round));
    visitor.scalar(Scalar::I64((round % 100_000) as i64));
    visitor.scalar(Scalar::Str("shipped"));
    visitor.scalar(Scalar::Decimal("12345.67"));
    visitor.scalar(Scalar::F64(round as f64 * 0.137));
    visitor.scalar(Scalar::I64(1));
    visitor.scalar(Scalar::Str("DE"));
    visitor.scalar(Scalar::Str(
        "a note of some length that somebody typed in while taking the order: please ring twice, the dog is kind (really)",
    ));
    visitor.scalar(Scalar::Str("{\"colour\": \"red\", \"size\": 42, \"tags\": [\"new\", \"sale\"]}"));
    visitor.scalar(Scalar::Date(18_263));
    visitor.scalar(Scalar::Timestamp(1_577_934_245_678_901 + round as i64));
    visitor.scalar(Scalar::TimestampTz(1_577_934_245_678_000));
    visitor.end_struct();
    visitor.begin_struct(&schema.fields()[2].schema);
    visitor.scalar(Scalar::Str("3.2.0"));
    visitor.scalar(Scalar::Str("binlog"));
    visitor.scalar(Scalar::Str("shop"));
    visitor.scalar(Scalar::I64(1_577_934_245_000));
    visitor.scalar(Scalar::Str("false"));
    visitor.scalar(Scalar::Str("bench"));
    visitor.scalar(Scalar::Str("orders"));
    visitor.scalar(Scalar::I64(1));
    visitor.scalar(Scalar::Str("0-1-123456"));
    visitor.scalar(Scalar::Str("binlog.000002"));
    visitor.scalar(Scalar::I64(123_456_789));
    visitor.scalar(Scalar::I64((round % 100) as i64));
    visitor.scalar(Scalar::Null);
    visitor.end_struct();
    visitor.scalar(Scalar::Str("c"));
    visitor.scalar(Scalar::I64(1_577_934_245_678));
    visitor.end_struct();
}

fn row() -> Arc<Schema> {
    let plain = |name: &str, ty| Field::new(name, Schema::new(ty).optional().shared());
    let logical =
        |name: &str, ty, logical| Field::new(name, Schema::logical(ty, logical).optional().shared());
    let labels: Arc<[Arc<str>]> = ["new", "paid", "shipped"].map(Arc::from).into();
    Schema::structure(
        "shop.bench.orders.Value",
        vec![
            plain("id", Type::UInt64),
            plain("customer_id", Type::Int64),
            logical("state", Type::String, Logical::Enum { labels }),
            logical("price", Type::Bytes, Logical::Decimal { precision: 12, scale: 2 }),
            plain("weight", Type::Float64),
            plain("express", Type::Int16),
            plain("country", Type::String),
            plain("note", Type::String),
            plain("attributes", Type::String),
            logical("ordered", Type::Int32, Logical::Date),
            logical("created_at", Type::Int64, Logical::Timestamp { precision: 6 }),
            logical("updated_at", Type::String, Logical::TimestampTz { precision: 3 }),
        ],
    )
    .shared()
}

fn source() -> Arc<Schema> {
    let names = [
        "version",
        "connector",
        "name",
        "ts_ms",
        "snapshot",
        "db",
        "table",
        "server_id",
        "gtid",
        "file",
        "pos",
        "row",
        "thread",
    ];
    let numbers = ["ts_ms", "server_id", "pos", "row", "thread"];
    let field = |name: &str| {
        let ty = if numbers.contains(&name) { Type::Int64 } else { Type::String };
        Field::new(name, Schema::new(ty).optional().shared())
    };
    Schema::structure("source", names.into_iter().map(field).collect()).shared()
}
