//! `rabbitmq-perf-test`, from Maven Central.

use std::path::PathBuf;
use std::process::Command;

use super::{BYTES, Broker, Rival, number_before};
use crate::services::maven;
use crate::{Result, run};

pub struct RabbitMq;

const VERSION: &str = "2.22.1";

impl Rival for RabbitMq {
    fn driver(&self) -> &'static str {
        "rabbitmq"
    }

    fn workload(&self) -> &'static str {
        "driver-rabbitmq"
    }

    fn tool(&self) -> &'static str {
        "beside rabbitmq-perf-test over AMQP (a stream, one producer with 1,000 unconfirmed; one consumer)"
    }

    fn messages(&self) -> u64 {
        200_000
    }

    fn install(&self, broker: &Broker) -> Result<()> {
        maven::jars(
            &format!("rabbitmq-perf-test {VERSION}"),
            &pom(),
            &broker.place.dist.join("perf-test"),
            &libs(broker),
        )
    }

    fn produce(&self, broker: &Broker, queue: &str) -> Result<f64> {
        let mut tool = perf_test(broker, queue);
        tool.args([
            "--producers",
            "1",
            "--consumers",
            "0",
            "--size",
            &BYTES.to_string(),
            "--confirm",
            "1000",
        ]);
        tool.args(["--pmessages", &broker.messages.to_string()]);
        rate(&run::output(&mut tool)?, "sending rate avg:")
    }

    fn consume(&self, broker: &Broker, queue: &str) -> Result<f64> {
        let mut tool = perf_test(broker, queue);
        tool.args(["--producers", "0", "--consumers", "1", "--qos", "1000", "--multi-ack-every", "100"]);
        tool.args(["--stream-consumer-offset", "first", "--cmessages", &broker.messages.to_string()]);
        rate(&run::output(&mut tool)?, "receiving rate avg:")
    }
}

fn libs(broker: &Broker) -> PathBuf {
    broker.place.dist.join(format!("perf-test/{VERSION}"))
}

fn perf_test(broker: &Broker, queue: &str) -> Command {
    let mut command = Command::new("java");
    command.args(["-Xmx512m", "-cp", &format!("{}/*", libs(broker).display()), "com.rabbitmq.perf.PerfTest"]);
    command.args(["--uri", &format!("amqp://guest:guest@{}", broker.address())]);
    command.args(["--stream-queue", "--queue", queue]);
    command
}

/// `id: ..., sending rate avg: 12345 msg/s`
fn rate(text: &str, what: &str) -> Result<f64> {
    let line = text.lines().rev().find(|line| line.contains(what));
    number_before(line.ok_or_else(|| format!("no {what:?} in: {}", text.trim()))?, " msg/s")
}

fn pom() -> String {
    format!(
        "<project><modelVersion>4.0.0</modelVersion><groupId>bench</groupId><artifactId>perf-test</artifactId>\
         <version>1</version><dependencies><dependency><groupId>com.rabbitmq</groupId><artifactId>perf-test</artifactId>\
         <version>{VERSION}</version></dependency></dependencies></project>\n"
    )
}
