//! RocketMQ's own Java client: batches of 32 messages from eight threads, and pulls. Its benchmark programs report every ten
//! seconds and do not end; `Bench.java` does what they do, and ends.

use std::process::Command;

use super::{BYTES, Broker, Rival};
use crate::{Result, run, workspace};

pub struct RocketMq;

impl Rival for RocketMq {
    fn driver(&self) -> &'static str {
        "rocketmq"
    }

    fn workload(&self) -> &'static str {
        "driver-rocketmq"
    }

    fn tool(&self) -> &'static str {
        "beside RocketMQ's Java client (batches of 32 from eight threads; pulls)"
    }

    fn messages(&self) -> u64 {
        320_000
    }

    fn install(&self, _broker: &Broker) -> Result<()> {
        Ok(())
    }

    fn produce(&self, broker: &Broker, queue: &str) -> Result<f64> {
        java(broker, "produce", queue)
    }

    fn consume(&self, broker: &Broker, queue: &str) -> Result<f64> {
        java(broker, "consume", queue)
    }
}

fn java(broker: &Broker, what: &str, queue: &str) -> Result<f64> {
    let classes = format!("{}/*", broker.more("jars")?);
    let source = workspace::root().join("xtask/src/bench/drivers/Bench.java");
    let mut command = Command::new("java");
    command.args(["-Xmx512m", "-cp", &classes]).arg(source);
    command.args([what, &broker.address(), queue, &broker.messages.to_string(), &BYTES.to_string()]);
    let text = run::output(&mut command)?;
    let rate = text.lines().find_map(|line| line.strip_prefix("rate ")?.parse().ok());
    rate.ok_or_else(|| format!("no rate in: {}", text.trim()))
}
