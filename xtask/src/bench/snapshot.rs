//! All rows of a loaded table, read with SELECT into the embedded queue.

use serde_json::json;

use super::source::{self, Source, Targets};
use super::{Context, Outcome, Workload, mysql};
use crate::Result;

pub struct Snapshot;

impl Workload for Snapshot {
    fn name(&self) -> &'static str {
        "snapshot"
    }

    fn about(&self) -> &'static str {
        "the rows of bench.orders -> the embedded queue, as Debezium envelopes"
    }

    fn run(&self, context: &Context) -> Result<Outcome> {
        context.orders()?;
        let config = mysql::source(context.database()?, "orders");
        let config = mysql::with(config, &json!({"snapshot.mode": "initial_only"}));
        let source = Source {
            name: self.name(),
            config: &config,
            queue: "orders",
            records: context.rows,
            broker: None,
        };
        let targets = Targets { rate: Some(250_000.0), cpu: Some(3.0), peak: Some(100e6) };
        source::measure(context, &source, &targets, "snapshot")
    }
}
