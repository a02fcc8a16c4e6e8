//! The binlog of a loaded table, read from its beginning into the embedded queue.

use serde_json::json;

use super::source::{self, Source, Targets};
use super::{Context, Outcome, Workload, mysql};
use crate::Result;

/// Over plain TCP, or over TLS as a connector does by itself where the server offers it; into the embedded queue, or into a
/// Kafka, compressed with lz4 as its driver does by itself.
pub struct Drain {
    pub tls: bool,
    pub broker: Option<&'static str>,
}

impl Workload for Drain {
    fn name(&self) -> &'static str {
        match (self.tls, self.broker) {
            (_, Some(_)) => "drain-kafka",
            (true, None) => "drain-tls",
            (false, None) => "drain",
        }
    }

    fn about(&self) -> &'static str {
        match (self.tls, self.broker) {
            (_, Some(_)) => "the same into Kafka, with lz4",
            (false, None) => "the binlog of bench.orders -> the embedded queue, as Debezium envelopes",
            (true, None) => "the same over TLS",
        }
    }

    fn run(&self, context: &Context) -> Result<Outcome> {
        let loaded = context.orders()?;
        let config = mysql::source(context.database()?, "orders");
        let mut config = mysql::from_file(config, loaded.first()?);
        if self.tls {
            config = mysql::with(config, &json!({"database.ssl.mode": "required"}));
        }
        let source = Source {
            name: self.name(),
            config: &config,
            queue: "orders",
            records: context.rows,
            broker: self.broker,
        };
        // What was promised holds for plain TCP.
        let promised = |limit| (!self.tls).then_some(limit);
        let (rate, cpu) = if self.broker.is_some() { (200_000.0, 4.0) } else { (250_000.0, 3.0) };
        let targets = Targets { rate: promised(rate), cpu: promised(cpu), peak: Some(100e6) };
        let work = match (self.tls, self.broker) {
            (_, Some(_)) => "binlog drain to Kafka",
            (true, None) => "binlog drain over TLS",
            (false, None) => "binlog drain",
        };
        source::measure(context, &source, &targets, work)
    }
}
