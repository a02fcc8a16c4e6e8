//! `nats bench`, of the NATS command line, built by Go from its module.

use std::path::PathBuf;
use std::process::Command;

use super::{BYTES, Broker, Rival, number_before};
use crate::services::apt;
use crate::{Result, run};

pub struct Nats;

const VERSION: &str = "v0.2.4";

impl Rival for Nats {
    fn driver(&self) -> &'static str {
        "nats"
    }

    fn workload(&self) -> &'static str {
        "driver-nats"
    }

    fn tool(&self) -> &'static str {
        "beside `nats bench js` (asynchronous publishes in batches of 500; an ordered consumer)"
    }

    fn messages(&self) -> u64 {
        400_000
    }

    fn install(&self, broker: &Broker) -> Result<()> {
        if program(broker).is_file() {
            return Ok(());
        }
        if run::find_program("go").is_none() {
            apt::install(&["golang-go"])?;
        }
        let module = format!("github.com/nats-io/natscli/nats@{VERSION}");
        println!("building {module}");
        let mut go = Command::new("go");
        go.args(["install", &module])
            .env("GOBIN", folder(broker))
            .env("GOFLAGS", "-p=2")
            .env("GOSUMDB", "off");
        run::output(&mut go).map(|_| ())
    }

    fn produce(&self, broker: &Broker, queue: &str) -> Result<f64> {
        let mut create = tool(broker);
        create.args(["stream", "add", queue, "--subjects", queue, "--defaults", "--storage", "file"]);
        run::output(&mut create)?;
        let mut bench = tool(broker);
        bench.args(["bench", "js", "pub", queue, "--stream", queue, "--no-progress", "--batch", "500"]);
        bench.args(["--size", &BYTES.to_string(), "--msgs", &broker.messages.to_string()]);
        number_before(&run::output(&mut bench)?, " msgs/sec")
    }

    fn consume(&self, broker: &Broker, queue: &str) -> Result<f64> {
        let mut bench = tool(broker);
        bench.args(["bench", "js", "ordered", "--stream", queue, "--no-progress"]);
        bench.args(["--size", &BYTES.to_string(), "--msgs", &broker.messages.to_string()]);
        number_before(&run::output(&mut bench)?, " msgs/sec")
    }
}

fn folder(broker: &Broker) -> PathBuf {
    broker.place.dist.join(format!("natscli-{VERSION}"))
}

fn program(broker: &Broker) -> PathBuf {
    folder(broker).join("nats")
}

fn tool(broker: &Broker) -> Command {
    let mut command = Command::new(program(broker));
    command.args(["--server", &format!("nats://{}", broker.address())]);
    command
}
