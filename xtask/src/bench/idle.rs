//! A worker that has nothing to do: how soon it answers, and what it costs to keep.

use std::time::Duration;

use super::figure::{Figure, Metric, Target, Unit};
use super::worker::{Queues, Worker};
use super::{Context, Outcome, Workload};
use crate::Result;

pub struct Idle;

const FIRST_ANSWER: Metric = Metric { name: "first answer", unit: Unit::Milliseconds };
const SLOWEST: Metric = Metric { name: "slowest of 5", unit: Unit::Milliseconds };
const MEMORY: Metric = Metric { name: "memory", unit: Unit::Bytes };
/// Of one core.
const CPU: Metric = Metric { name: "CPU", unit: Unit::Percent };

const IDLE: Duration = Duration::from_secs(10);

impl Workload for Idle {
    fn name(&self) -> &'static str {
        "idle"
    }

    fn about(&self) -> &'static str {
        "a worker without connectors: time to its first answer over REST, memory and CPU of 10 s"
    }

    fn run(&self, context: &Context) -> Result<Outcome> {
        let folder = context.folder.join(self.name());
        let mut starts = Vec::new();
        for _ in 0..4 {
            let worker = Worker::start(context.binary()?, &folder, &Queues::Embedded)?;
            starts.push(worker.first_answer);
            worker.stop()?;
        }
        let worker = Worker::start(context.binary()?, &folder, &Queues::Embedded)?;
        starts.push(worker.first_answer);
        starts.sort();
        let before = worker.usage()?;
        std::thread::sleep(IDLE);
        let (after, memory) = (worker.usage()?, worker.resident()?);
        worker.stop()?;
        let millis = |time: Option<&Duration>| time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e3);
        let busy = (after.cpu - before.cpu).as_secs_f64() / IDLE.as_secs_f64();
        Ok(Outcome {
            workload: self.name(),
            work: "idle worker".into(),
            figures: vec![
                Figure::new(FIRST_ANSWER, millis(starts.get(starts.len() / 2)), Some(Target::below(100.0))),
                Figure::new(SLOWEST, millis(starts.last()), None),
                Figure::new(MEMORY, memory as f64, Some(Target::below(30e6))),
                Figure::new(CPU, busy * 100.0, None),
            ],
        })
    }
}
