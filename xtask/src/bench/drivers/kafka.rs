//! `kafka-producer-perf-test` and `kafka-consumer-perf-test`, from the broker's own jars.

use std::process::Command;

use super::{BYTES, Broker, Rival, number_before};
use crate::{Result, run};

pub struct Kafka;

impl Rival for Kafka {
    fn driver(&self) -> &'static str {
        "kafka"
    }

    fn workload(&self) -> &'static str {
        "driver-kafka"
    }

    fn tool(&self) -> &'static str {
        "beside kafka-producer-perf-test (256 KiB batches, lz4) and kafka-consumer-perf-test"
    }

    fn messages(&self) -> u64 {
        1_000_000
    }

    fn install(&self, _broker: &Broker) -> Result<()> {
        Ok(())
    }

    fn produce(&self, broker: &Broker, queue: &str) -> Result<f64> {
        create(broker, queue)?;
        let mut tool = java(broker, "org.apache.kafka.tools.ProducerPerformance")?;
        tool.args(["--topic", queue, "--num-records", &broker.messages.to_string(), "--throughput", "-1"])
            .args(["--record-size", &BYTES.to_string(), "--producer-props"])
            .arg(format!("bootstrap.servers={}", broker.address()))
            .args([
                "acks=all",
                "enable.idempotence=true",
                "batch.size=262144",
                "linger.ms=5",
                "compression.type=lz4",
            ]);
        number_before(&run::output(&mut tool)?, " records/sec")
    }

    fn consume(&self, broker: &Broker, queue: &str) -> Result<f64> {
        let mut tool = java(broker, "org.apache.kafka.tools.ConsumerPerformance")?;
        tool.args(["--bootstrap-server", &broker.address(), "--topic", queue]).args([
            "--messages",
            &broker.messages.to_string(),
            "--timeout",
            "60000",
        ]);
        let text = run::output(&mut tool)?;
        // start, end, MB, MB/s, messages, messages/s, rebalance ms, fetch ms, fetch MB/s, fetch messages/s: the last is
        // without joining the group, as ours does without one.
        let line = text.lines().rev().find(|line| line.contains(':') && line.contains(','));
        let last =
            line.and_then(|line| line.rsplit(',').next()).and_then(|number| number.trim().parse().ok());
        last.ok_or_else(|| format!("no rate in: {}", text.trim()))
    }
}

fn java(broker: &Broker, class: &str) -> Result<Command> {
    let mut command = Command::new("java");
    command.args(["-Xmx512m", "-cp", &format!("{}/*", broker.more("jars")?), class]);
    Ok(command)
}

fn create(broker: &Broker, queue: &str) -> Result<()> {
    let mut tool = java(broker, "org.apache.kafka.tools.TopicCommand")?;
    tool.args(["--bootstrap-server", &broker.address(), "--create", "--topic", queue]);
    tool.args(["--partitions", "1", "--replication-factor", "1"]);
    run::output(&mut tool).map(|_| ())
}
