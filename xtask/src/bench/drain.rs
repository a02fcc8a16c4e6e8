//! The binlog of a loaded table, read from its beginning into the embedded queue.

use serde_json::json;

use super::source::{self, Source, Targets};
use super::{Context, Outcome, Workload, mysql};
use crate::Result;

/// Over plain TCP, or over TLS as a connector does by itself where the server offers it.
pub struct Drain {
    pub tls: bool,
}

impl Workload for Drain {
    fn name(&self) -> &'static str {
        if self.tls { "drain-tls" } else { "drain" }
    }

    fn about(&self) -> &'static str {
        match self.tls {
            false => "the binlog of bench.orders -> the embedded queue, as Debezium envelopes",
            true => "the same over TLS",
        }
    }

    fn run(&self, context: &Context) -> Result<Outcome> {
        let loaded = context.orders()?;
        let config = mysql::source(context.database()?, "orders");
        let mut config = mysql::from_file(config, loaded.first()?);
        if self.tls {
            config = mysql::with(config, &json!({"database.ssl.mode": "required"}));
        }
        let source = Source { name: self.name(), config: &config, queue: "orders", records: context.rows };
        // What was promised holds for plain TCP.
        let promised = |limit| (!self.tls).then_some(limit);
        let targets = Targets { rate: promised(250_000.0), cpu: promised(3.0), peak: Some(100e6) };
        let work = if self.tls { "binlog drain over TLS" } else { "binlog drain" };
        source::measure(context, &source, &targets, work)
    }
}
