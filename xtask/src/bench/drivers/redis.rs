//! `redis-benchmark`: XADD in pipelines, and XREAD of entries from all over the stream. From one place, again and again, it
//! would read what the processor's caches hold, which no consumer does.

use std::process::Command;
use std::time::Duration;

use super::{BYTES, Broker, Rival, number_before};
use crate::{Result, run};

pub struct Redis;

/// Entries an XREAD of the tool asks for.
const COUNT: u64 = 200;

/// Ids count from 0-1, so that one can be named by chance. The tool puts a number below that of `-r` in.
const FIRST: &str = "0-*";
const ANYWHERE: &str = "0-__rand_int__";

impl Rival for Redis {
    fn driver(&self) -> &'static str {
        "redis"
    }

    fn workload(&self) -> &'static str {
        "driver-redis"
    }

    fn tool(&self) -> &'static str {
        "beside redis-benchmark (XADD of the same fields in pipelines of 200 over one connection; XREAD of 200 entries from anywhere in the stream)"
    }

    fn messages(&self) -> u64 {
        400_000
    }

    /// One run lasts 1 to 3 seconds, and so depends on what else the machine does.
    fn turns(&self) -> usize {
        10
    }

    /// Redis rewrites its file whenever that has doubled, in a process beside it: one more that wants the machine, at
    /// moments of its own, in the tool's turn or in ours. So it does that between turns.
    fn install(&self, broker: &Broker) -> Result<()> {
        cli(broker, &["CONFIG", "SET", "auto-aof-rewrite-percentage", "0"]).map(|_| ())
    }

    fn settle(&self, broker: &Broker) -> Result<()> {
        cli(broker, &["BGREWRITEAOF"])?;
        for _ in 0..300 {
            std::thread::sleep(Duration::from_millis(100));
            let state = cli(broker, &["INFO", "persistence"])?;
            if state.contains("aof_rewrite_in_progress:0") && state.contains("aof_rewrite_scheduled:0") {
                return Ok(());
            }
        }
        Err("redis does not end rewriting its file".into())
    }

    fn produce(&self, broker: &Broker, queue: &str) -> Result<f64> {
        let body = "x".repeat(BYTES as usize);
        let messages = broker.messages.to_string();
        let mut tool = benchmark(broker);
        tool.args(["-c", "1", "-P", "200", "-n", &messages, "XADD", queue, FIRST]);
        // The same entry as ours.
        let time = "1700000000000";
        tool.args(["stored", time, "timestamp", time, "body", &body]);
        number_before(&run::output(&mut tool)?, " requests per second")
    }

    fn consume(&self, broker: &Broker, queue: &str) -> Result<f64> {
        let (requests, messages) = ((broker.messages / COUNT).to_string(), broker.messages.to_string());
        let mut tool = benchmark(broker);
        tool.args(["-c", "1", "-n", &requests, "-r", &messages]);
        tool.args(["XREAD", "COUNT", &COUNT.to_string(), "STREAMS", queue, ANYWHERE]);
        Ok(number_before(&run::output(&mut tool)?, " requests per second")? * COUNT as f64)
    }
}

fn cli(broker: &Broker, command: &[&str]) -> Result<String> {
    let mut cli = Command::new("redis-cli");
    cli.args(["-h", &broker.entry.host, "-p", &broker.entry.port.to_string()]);
    run::output(cli.args(command))
}

fn benchmark(broker: &Broker) -> Command {
    let mut command = Command::new("redis-benchmark");
    command.args(["-h", &broker.entry.host, "-p", &broker.entry.port.to_string(), "-q"]);
    command
}
