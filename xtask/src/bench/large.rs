//! One transaction of millions of rows: it must not be held in memory.

use super::source::{self, Source, Targets};
use super::text::grouped;
use super::{Context, Outcome, Workload, mysql};
use crate::Result;

pub struct Large;

pub const ROWS: u64 = 5_000_000;

impl Workload for Large {
    fn name(&self) -> &'static str {
        "large"
    }

    fn about(&self) -> &'static str {
        "one transaction of 5,000,000 rows in the binlog -> the embedded queue"
    }

    fn run(&self, context: &Context) -> Result<Outcome> {
        context.orders()?;
        let database = context.database()?;
        let loaded = database.large_transaction(ROWS)?;
        if !loaded.time.is_zero() {
            println!("one transaction of {ROWS} rows, made in {:.1} s", loaded.time.as_secs_f64());
        }
        let config = mysql::from_file(mysql::source(database, "large"), loaded.first()?);
        let source =
            Source { name: self.name(), config: &config, queue: "large", records: ROWS, broker: None };
        let targets = Targets { rate: None, cpu: None, peak: Some(100e6) };
        source::measure(context, &source, &targets, &format!("a transaction of {} rows", grouped(ROWS)))
    }
}
