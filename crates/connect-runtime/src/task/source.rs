//! A source task: polls, encodes, sends, and commits what is acknowledged.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openmessaging::ProducerOptions;
use openmessaging_connector::config::Parsed;
use openmessaging_connector::{
    Error, ErrorKind, Polled, Position, Result, SourcePartition, SourceTask, SourceTaskContext,
};
use tokio::sync::OwnedSemaphorePermit;

use super::batch::BatchSink;
use super::flight::Flight;
use super::isolate::{TIMED_OUT, limited};
use super::plugin::{AnyTask, source_or_sink};
use super::queues::{Queues, broker_error};
use super::report::TaskReport;
use super::spec::{TaskSpec, trace_of};
use crate::cluster::{ConnectorKind, TargetState};
use crate::config::keys;
use crate::config::secrets::{Scrubber, resolve_config};
use crate::storage::{Fenced, KeyedTaskState, SourcePositions};

/// How long a poll waits for a first record; what a pause may have to wait for.
const POLL_WAIT: Duration = Duration::from_millis(500);
/// How long a stop waits for what is in flight; beyond it the records come again after the restart.
const DRAIN: Duration = Duration::from_secs(5);

pub fn fenced(error: Fenced) -> Error {
    match error {
        Fenced::Newer { .. } => Error::fatal("task.fenced", error.to_string()),
        Fenced::Store(error) => broker_error(error),
    }
}

/// The framework's keys of the task, parsed.
pub fn framework(spec: &TaskSpec, kind: ConnectorKind) -> Result<Parsed> {
    let parsed = keys::framework(kind).parse(&spec.config);
    parsed.map_err(|errors| {
        errors.into_iter().next().unwrap_or_else(|| Error::fatal("config.invalid", "unknown"))
    })
}

/// Runs the task until it is stopped (`Ok`) or fails. Positions of acknowledged records are committed in both cases.
pub async fn attempt(spec: &TaskSpec, scrubber: &mut Scrubber, backoff: &mut Duration) -> Result<()> {
    let def = keys::framework(ConnectorKind::Source).extend((spec.plugin.config_def)());
    let resolved = resolve_config(&spec.config, &def)?;
    *scrubber = resolved.scrubber.clone();
    let report = spec.reports.open(&spec.id, resolved.scrubber);
    let settings = framework(spec, ConnectorKind::Source)?;
    let key = spec.converter(keys::KEY_CONVERTER, &resolved.config)?;
    let value = spec.converter(keys::VALUE_CONVERTER, &resolved.config)?;
    let keyless = value.leaves_out_keys() && !resolved.config.contains_key(keys::KEY_CONVERTER);
    let (store, positions) =
        SourcePositions::claim(spec.store.clone(), &spec.id, spec.epoch).await.map_err(fenced)?;
    let state = KeyedTaskState::claim(spec.store.clone(), &spec.id, spec.epoch).await.map_err(fenced)?;
    let access_point = spec.access_point(&resolved.config).await?;
    let name = format!("{}-{}", spec.id, spec.epoch);
    let producer =
        access_point.producer(ProducerOptions { name, timeout: None }).await.map_err(broker_error)?;
    let AnyTask::Source(mut task) = source_or_sink(&spec.plugin)? else {
        return Err(Error::fatal("plugin.not_a_source", format!("{} is no source", spec.plugin.class)));
    };
    let context = SourceTaskContext {
        connector: spec.id.connector.as_str().into(),
        task: spec.id.task,
        config: resolved.config.clone(),
        positions,
        state: Arc::new(state),
        reporter: report.clone(),
    };
    let queues = Queues::new(access_point, settings.int(keys::QUEUE_PARTITIONS) as u32);
    let mut stream = Stream {
        spec,
        flight: Flight::new(producer, queues),
        sink: BatchSink::new(&*key, &*value, keyless, settings.int(keys::BATCH_BYTES) as usize),
        store,
        report,
        batch_bytes: settings.int(keys::BATCH_BYTES) as usize,
        in_flight: settings.int(keys::IN_FLIGHT_BYTES) as usize,
        flush_every: settings.millis(keys::FLUSH_INTERVAL),
        flushed: Instant::now(),
        committed: HashMap::new(),
    };
    let outcome = match limited("the start of the task", spec.call_timeout, task.start(context)).await {
        Ok(()) => {
            spec.report_running();
            stream.run(&mut *task, backoff).await
        }
        Err(error) => Err(error),
    };
    let closed = stream.close(&mut *task, outcome.is_ok()).await;
    let _ = limited("the stop of the task", spec.call_timeout, async {
        task.stop().await;
        Ok(())
    })
    .await;
    outcome.and(closed)
}

struct Stream<'a> {
    spec: &'a TaskSpec,
    flight: Flight,
    sink: BatchSink,
    store: SourcePositions,
    report: Arc<TaskReport>,
    batch_bytes: usize,
    in_flight: usize,
    flush_every: Duration,
    flushed: Instant,
    /// Committed and not yet told to the source.
    committed: HashMap<SourcePartition, Position>,
}

/// What ended a poll.
enum Turn {
    Polled(Result<Polled>),
    Stopped,
}

impl Stream<'_> {
    async fn run(&mut self, task: &mut dyn SourceTask, backoff: &mut Duration) -> Result<()> {
        let mut finished = false;
        let mut target = self.spec.target.clone();
        let mut was_paused = false;
        loop {
            if self.spec.stop.is_cancelled() {
                return Ok(());
            }
            let paused = *target.borrow_and_update() != TargetState::Started;
            if paused != was_paused {
                was_paused = paused;
                self.spec.report_running();
            }
            if paused || finished || self.flight.bytes() >= self.in_flight {
                self.wait(&mut target).await?;
                continue;
            }
            let Some(permit) = self.memory(&mut target).await? else { continue };
            let polled = match self.poll(task).await? {
                Turn::Stopped => return Ok(()),
                Turn::Polled(polled) => polled,
            };
            // Records that were ended count, whatever the poll came to (S6).
            let empty = self.flight.spare();
            let (batch, marks) = self.sink.take(empty);
            self.flight.send(batch, marks, Some(permit)).await?;
            self.commit_if_due().await?;
            self.tell(task).await?;
            let polled = match (polled, self.sink.take_refused()) {
                (Ok(_), Some(why)) => Err(Error::record("record.refused", why)),
                (Err(error), Some(why)) if error.is_retriable() => Err(Error::record("record.refused", why)),
                (polled, _) => polled,
            };
            match polled {
                Ok(Polled::Finished) => finished = true,
                Ok(Polled::Ready | Polled::Idle) => *backoff = Duration::from_millis(500),
                Err(error) if error.kind == ErrorKind::Retriable => self.poll_again(error, backoff).await?,
                Err(error) => {
                    self.flight.drained().await?;
                    return Err(error);
                }
            }
        }
    }

    /// Polls while acknowledgements come in and positions are committed.
    async fn poll(&mut self, task: &mut dyn SourceTask) -> Result<Turn> {
        let limit = POLL_WAIT + self.spec.call_timeout;
        let (flight, sink) = (&mut self.flight, &mut self.sink);
        let poll = limited("a poll", limit, task.poll(sink, POLL_WAIT));
        tokio::pin!(poll);
        loop {
            let due = self.flushed + self.flush_every;
            tokio::select! {
                biased;
                () = self.spec.stop.cancelled() => return Ok(Turn::Stopped),
                report = flight.next_report() => flight.take_in(report).await?,
                // A poll that was given up half-way is not called again: the task starts afresh (S5).
                polled = &mut poll => return match polled {
                    Err(error) if error.code == TIMED_OUT => Err(error),
                    polled => Ok(Turn::Polled(polled)),
                },
                () = tokio::time::sleep_until(due.into()), if flight.has_durable() => {
                    commit(flight, &self.store, &self.report, &mut self.committed).await?;
                    self.flushed = Instant::now();
                }
            }
        }
    }

    /// The worker's memory for one more batch; `None` when something else has to be looked at first.
    async fn memory(
        &mut self,
        target: &mut tokio::sync::watch::Receiver<TargetState>,
    ) -> Result<Option<OwnedSemaphorePermit>> {
        let kib = (self.batch_bytes >> 10).max(1) as u32;
        let memory = self.spec.memory.clone();
        if let Ok(permit) = memory.clone().try_acquire_many_owned(kib) {
            return Ok(Some(permit));
        }
        tokio::select! {
            permit = memory.acquire_many_owned(kib) => return Ok(permit.ok()),
            () = self.spec.stop.cancelled() => {}
            report = self.flight.next_report() => self.flight.take_in(report).await?,
            _ = target.changed() => {}
        }
        Ok(None)
    }

    /// Waits for whatever happens next while nothing is polled.
    async fn wait(&mut self, target: &mut tokio::sync::watch::Receiver<TargetState>) -> Result<()> {
        let due = self.flushed + self.flush_every;
        tokio::select! {
            () = self.spec.stop.cancelled() => Ok(()),
            report = self.flight.next_report() => self.flight.take_in(report).await,
            _ = target.changed() => Ok(()),
            () = tokio::time::sleep_until(due.into()), if self.flight.has_durable() => self.commit_if_due().await,
        }
    }

    async fn commit_if_due(&mut self) -> Result<()> {
        if self.flight.has_durable() && self.flushed.elapsed() >= self.flush_every {
            commit(&mut self.flight, &self.store, &self.report, &mut self.committed).await?;
            self.flushed = Instant::now();
        }
        Ok(())
    }

    /// Tells the source which positions are committed.
    async fn tell(&mut self, task: &mut dyn SourceTask) -> Result<()> {
        for (partition, position) in self.committed.drain() {
            limited("committed", self.spec.call_timeout, task.committed(&partition, &position)).await?;
        }
        Ok(())
    }

    /// After a poll failed for now: says so once, waits, and goes on behind the last record.
    async fn poll_again(&mut self, error: Error, backoff: &mut Duration) -> Result<()> {
        // A task that fails again and again starts afresh: with a new connection, from the committed position.
        if *backoff > Duration::from_secs(4) {
            self.flight.drained().await?;
            return Err(error);
        }
        tracing::warn!(task = %self.spec.id, retry_in_ms = backoff.as_millis() as u64, "{}", trace_of(&error));
        let deadline = tokio::time::Instant::now() + *backoff;
        *backoff *= 2;
        loop {
            tokio::select! {
                () = self.spec.stop.cancelled() => return Ok(()),
                () = tokio::time::sleep_until(deadline) => return Ok(()),
                report = self.flight.next_report() => self.flight.take_in(report).await?,
            }
        }
    }

    /// Commits what is durable. A stop waits a little for what is in flight; after a failure only what is known counts.
    async fn close(&mut self, task: &mut dyn SourceTask, graceful: bool) -> Result<()> {
        if graceful {
            let (batch, marks) = self.sink.take(Default::default());
            let drain = async {
                self.flight.send(batch, marks, None).await?;
                self.flight.drained().await
            };
            if tokio::time::timeout(DRAIN, drain).await.is_err() {
                tracing::warn!(task = %self.spec.id, "stopped with records in flight: they come again after a restart");
            }
        }
        commit(&mut self.flight, &self.store, &self.report, &mut self.committed).await?;
        self.tell(task).await?;
        self.flight.close().await;
        Ok(())
    }
}

/// Stores the positions that are durable (invariant 1).
async fn commit(
    flight: &mut Flight,
    store: &SourcePositions,
    report: &TaskReport,
    committed: &mut HashMap<SourcePartition, Position>,
) -> Result<()> {
    let (positions, records) = flight.take_durable();
    report.count(records);
    if !positions.is_empty() {
        store.commit(&positions).await.map_err(fenced)?;
        committed.extend(positions);
    }
    Ok(())
}
