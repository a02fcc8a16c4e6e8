//! What the throughput workloads have in common: one source connector, from its creation until everything has arrived.

use std::time::Instant;

use serde_json::Value;

use super::figure::{CPU, Figure, PEAK, RATE, Target};
use super::worker::{Queues, Worker};
use super::{Context, Outcome, arrival};
use crate::Result;

/// A source, and what it is to bring.
pub struct Source<'a> {
    pub name: &'static str,
    pub config: &'a Value,
    pub queue: &'a str,
    pub records: u64,
    /// The broker of the tests, or the embedded queue.
    pub broker: Option<&'static str>,
}

/// What it should reach; none where nothing was promised.
pub struct Targets {
    pub rate: Option<f64>,
    pub cpu: Option<f64>,
    pub peak: Option<f64>,
}

/// Starts a worker and measures that source in it.
///
/// The clock runs from the request that creates the connector until the queue has the last record; so does the CPU time.
/// The peak of memory is that of the whole life of the process.
pub fn measure(context: &Context, source: &Source, targets: &Targets, work: &str) -> Result<Outcome> {
    let queues = Queues::of(source.broker)?;
    let worker = Worker::start(context.binary()?, &context.folder.join(source.name), &queues)?;
    worker.rest.delete_queue(source.queue)?;
    let before = worker.usage()?;
    let begin = Instant::now();
    worker.rest.create_connector(source.name, source.config)?;
    arrival::wait_for(source.records, source.queue, &worker.rest, source.name)?;
    let seconds = begin.elapsed().as_secs_f64();
    let after = worker.usage()?;
    arrival::check_no_more(source.records, source.queue, &worker.rest)?;
    if source.broker.is_some() {
        worker.rest.delete_queue(source.queue)?;
    }
    worker.stop()?;
    let cpu = (after.cpu - before.cpu).as_secs_f64();
    Ok(Outcome {
        workload: source.name,
        work: work.into(),
        figures: vec![
            Figure::new(RATE, source.records as f64 / seconds, targets.rate.map(Target::at_least)),
            Figure::new(CPU, cpu * 1e6 / source.records.max(1) as f64, targets.cpu.map(Target::at_most)),
            Figure::new(PEAK, after.peak as f64, targets.peak.map(Target::below)),
        ],
    })
}
