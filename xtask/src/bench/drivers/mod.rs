//! Each driver beside its broker's own performance tool, in the same run: messages of 1 KiB, one queue of one partition,
//! produced and consumed. The tool and the driver take turns (A B B A), the median of each counts.

mod kafka;
mod nats;
mod rabbitmq;
mod redis;
mod rocketmq;

use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;

use super::figure::{CPU, Figure, Metric, PEAK, Target, Unit};
use super::{Context, Outcome, Workload};
use crate::services::{Entry, Place, Session};
use crate::{Result, run, workspace};

const BYTES: u64 = 1024;

/// What every driver should reach of its broker's own tool, and the memory it may take.
const SHARE: f64 = 90.0;
const MEMORY: f64 = 60e6;

const PRODUCE: Metric = Metric { name: "produce", unit: Unit::PerSecond };
const PRODUCE_TOOL: Metric = Metric { name: "produce, the tool", unit: Unit::PerSecond };
const PRODUCE_SHARE: Metric = Metric { name: "produce, of the tool", unit: Unit::Percent };
const CONSUME: Metric = Metric { name: "consume", unit: Unit::PerSecond };
const CONSUME_TOOL: Metric = Metric { name: "consume, the tool", unit: Unit::PerSecond };
const CONSUME_SHARE: Metric = Metric { name: "consume, of the tool", unit: Unit::Percent };
const CONSUME_CPU: Metric = Metric { name: "CPU per million consumed", unit: Unit::Seconds };

/// A broker's own performance tool.
pub trait Rival {
    /// The driver and the service.
    fn driver(&self) -> &'static str;

    /// The name of the workload.
    fn workload(&self) -> &'static str;

    /// The tool, for the table.
    fn tool(&self) -> &'static str;

    fn messages(&self) -> u64;

    /// How often both are run.
    fn turns(&self) -> usize {
        4
    }

    /// Properties of our driver, where the tool's settings are not its defaults.
    fn properties(&self) -> &'static [&'static str] {
        &[]
    }

    /// Installs the tool. Quick when it is there.
    fn install(&self, broker: &Broker) -> Result<()>;

    /// Called behind each turn, when its queue is deleted: what the broker does about that is not part of the next one.
    fn settle(&self, _broker: &Broker) -> Result<()> {
        Ok(())
    }

    /// Messages per second into a new queue of that name.
    fn produce(&self, broker: &Broker, queue: &str) -> Result<f64>;

    /// Messages per second out of the queue that `produce` filled.
    fn consume(&self, broker: &Broker, queue: &str) -> Result<f64>;
}

/// A broker that is up.
pub struct Broker {
    pub entry: Entry,
    pub place: Place,
    pub messages: u64,
}

impl Broker {
    pub fn address(&self) -> String {
        format!("{}:{}", self.entry.host, self.entry.port)
    }

    /// Something that its service noted.
    pub fn more(&self, name: &str) -> Result<&str> {
        let found = self.entry.more.get(name).map(String::as_str);
        found.ok_or_else(|| format!("the service says no {name}"))
    }
}

/// The broker of the tests, up.
pub fn up(name: &'static str) -> Result<Entry> {
    let session = Session::open();
    session.up(&[name.to_string()])?;
    session.state()?.remove(name).ok_or_else(|| format!("{name} is not up"))
}

pub fn all() -> Vec<Box<dyn Workload>> {
    let rivals: Vec<Box<dyn Rival>> = vec![
        Box::new(kafka::Kafka),
        Box::new(rocketmq::RocketMq),
        Box::new(rabbitmq::RabbitMq),
        Box::new(nats::Nats),
        Box::new(redis::Redis),
    ];
    rivals.into_iter().map(|rival| Box::new(Beside(rival)) as Box<dyn Workload>).collect()
}

/// A driver beside its rival.
struct Beside(Box<dyn Rival>);

/// What `broker_bench` prints.
#[derive(Debug, Deserialize)]
struct Run {
    messages: u64,
    seconds: f64,
    user: f64,
    system: f64,
    peak: u64,
}

impl Run {
    fn rate(&self) -> f64 {
        self.messages as f64 / self.seconds
    }

    fn cpu_per_million(&self) -> f64 {
        (self.user + self.system) * 1e6 / self.messages.max(1) as f64
    }
}

impl Workload for Beside {
    fn name(&self) -> &'static str {
        self.0.workload()
    }

    fn about(&self) -> &'static str {
        self.0.tool()
    }

    fn run(&self, _context: &Context) -> Result<Outcome> {
        let rival = &*self.0;
        let program = build()?;
        let entry = up(rival.driver())?;
        let place = Place::of(&workspace::services(), rival.driver());
        let broker = Broker { entry, place, messages: rival.messages() };
        rival.install(&broker)?;
        let (mut produced, mut consumed) = (Vec::new(), Vec::new());
        let (mut tool_produced, mut tool_consumed) = (Vec::new(), Vec::new());
        for turn in 0..rival.turns() {
            let queue = format!("bench-{}-{turn}", std::process::id());
            let (theirs, ours) = (format!("{queue}-tool"), format!("{queue}-ours"));
            // Each finds the broker without what the other wrote, and is the first one in its turn.
            for tool in [turn % 2 == 0, turn % 2 == 1] {
                if tool {
                    tool_produced.push(rival.produce(&broker, &theirs)?);
                    tool_consumed.push(rival.consume(&broker, &theirs)?);
                    delete(&broker, rival, &theirs, &program)?;
                } else {
                    produced.push(ours_run(&program, "produce", rival, &broker, &ours)?);
                    consumed.push(ours_run(&program, "consume", rival, &broker, &ours)?);
                    delete(&broker, rival, &ours, &program)?;
                }
                rival.settle(&broker)?;
            }
        }
        let rates = |runs: &[Run]| median(runs.iter().map(Run::rate).collect());
        let (produce, consume) = (rates(&produced), rates(&consumed));
        let (tool_produce, tool_consume) = (median(tool_produced), median(tool_consumed));
        let peak = produced.iter().chain(&consumed).map(|run| run.peak).max().unwrap_or(0);
        let cpu = |runs: &[Run]| median(runs.iter().map(Run::cpu_per_million).collect());
        Ok(Outcome {
            workload: rival.workload(),
            work: rival.tool().into(),
            figures: vec![
                Figure::new(PRODUCE, produce, None),
                Figure::new(PRODUCE_TOOL, tool_produce, None),
                Figure::new(PRODUCE_SHARE, produce * 100.0 / tool_produce, Some(Target::at_least(SHARE))),
                Figure::new(CPU, cpu(&produced), None),
                Figure::new(CONSUME, consume, None),
                Figure::new(CONSUME_TOOL, tool_consume, None),
                Figure::new(CONSUME_SHARE, consume * 100.0 / tool_consume, Some(Target::at_least(SHARE))),
                Figure::new(CONSUME_CPU, cpu(&consumed), None),
                Figure::new(PEAK, peak as f64, Some(Target::below(MEMORY))),
            ],
        })
    }
}

fn ours_run(program: &PathBuf, what: &str, rival: &dyn Rival, broker: &Broker, queue: &str) -> Result<Run> {
    let url = format!("oms:{}://{}/default", rival.driver(), broker.address());
    let mut command = Command::new(program);
    command.args([what, &url, queue, &broker.messages.to_string(), &BYTES.to_string()]);
    let text = run::output(command.args(rival.properties()))?;
    serde_json::from_str(text.trim()).map_err(|error| format!("broker_bench printed {text:?}: {error}"))
}

fn delete(broker: &Broker, rival: &dyn Rival, queue: &str, program: &PathBuf) -> Result<()> {
    let url = format!("oms:{}://{}/default", rival.driver(), broker.address());
    let mut command = Command::new(program);
    command.args(["delete", &url, queue, "0", "0"]);
    run::output(command.args(rival.properties())).map(|_| ())
}

/// `broker_bench`, an example of the drivers.
fn build() -> Result<PathBuf> {
    println!("building broker_bench (release)");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args([
        "build",
        "--quiet",
        "--release",
        "--locked",
        "--package",
        "drivers",
        "--example",
        "broker_bench",
    ]);
    let status = command.current_dir(workspace::root()).status();
    let status = status.map_err(|error| format!("cannot run cargo: {error}"))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let program = workspace::root().join(target).join("release/examples/broker_bench");
    match status.success() && program.is_file() {
        true => Ok(program),
        false => Err(format!("broker_bench does not build ({status})")),
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// The number in front of `unit` in a text: `123,456.7 records/sec` for `records/sec`.
pub fn number_before(text: &str, unit: &str) -> Result<f64> {
    let found = text.rmatch_indices(unit).find_map(|(at, _)| {
        let before = text[..at].trim_end();
        let start =
            before.rfind(|c: char| !c.is_ascii_digit() && c != '.' && c != ',').map_or(0, |at| at + 1);
        before[start..].replace(',', "").parse().ok()
    });
    found.ok_or_else(|| format!("no number before {unit:?} in: {}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found() {
        let text =
            "1000 records sent, 12.5 records/sec (1 MB/sec)\n2000 records sent, 263,000.25 records/sec (2)";
        assert_eq!(number_before(text, " records/sec"), Ok(263_000.25));
        assert!(number_before(text, "msgs/sec").is_err());
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
    }
}
