//! A sink task: reads queues, decodes, puts, and commits positions once the destination is durable.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use openmessaging::{
    ConsumedBatch, ConsumerOptions, MessagingAccessPoint, PullConsumer, QueuePartition, StartAt, StatusCode,
};
use openmessaging_connector::{
    Decoder, Error, ErrorKind, QueuePartition as SinkPartition, Result, SinkBatch, SinkHeader, SinkRecord,
    SinkTask, SinkTaskContext,
};

use super::isolate::limited;
use super::plugin::{AnyTask, source_or_sink};
use super::queues::broker_error;
use super::report::TaskReport;
use super::source::{fenced, framework};
use super::spec::{TaskSpec, trace_of};
use crate::cluster::{ConnectorKind, TargetState};
use crate::config::keys;
use crate::config::secrets::{Scrubber, resolve_config};
use crate::storage::{KeyedTaskState, SinkPositions};

const POLL_WAIT: Duration = Duration::from_millis(500);
/// How often queues are looked at for new ones and new partitions.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Runs the task until it is stopped (`Ok`) or fails. What was flushed is committed in both cases.
pub async fn attempt(spec: &TaskSpec, scrubber: &mut Scrubber, backoff: &mut Duration) -> Result<()> {
    let def = keys::framework(ConnectorKind::Sink).extend((spec.plugin.config_def)());
    let resolved = resolve_config(&spec.config, &def)?;
    *scrubber = resolved.scrubber.clone();
    let report = spec.reports.open(&spec.id, resolved.scrubber);
    let settings = framework(spec, ConnectorKind::Sink)?;
    let key = spec.converter(keys::KEY_CONVERTER, &resolved.config)?.decoder();
    let value = spec.converter(keys::VALUE_CONVERTER, &resolved.config)?.decoder();
    let (store, stored) =
        SinkPositions::claim(spec.store.clone(), &spec.id, spec.epoch).await.map_err(fenced)?;
    let state = KeyedTaskState::claim(spec.store.clone(), &spec.id, spec.epoch).await.map_err(fenced)?;
    let options = ConsumerOptions { group: spec.id.connector.clone(), prefetch_bytes: None };
    let access_point = spec.access_point(&resolved.config).await?;
    let consumer = access_point.pull_consumer(options).await.map_err(broker_error)?;
    let AnyTask::Sink(mut task) = source_or_sink(&spec.plugin)? else {
        return Err(Error::fatal("plugin.not_a_sink", format!("{} is no sink", spec.plugin.class)));
    };
    let context = SinkTaskContext {
        connector: spec.id.connector.as_str().into(),
        task: spec.id.task,
        config: resolved.config.clone(),
        state: Arc::new(state),
        reporter: report.clone(),
    };
    let first = if settings.str(keys::START) == "end" { StartAt::End } else { StartAt::Begin };
    let mut drain = Drain {
        spec,
        has_offsets: access_point.capabilities().offsets,
        access_point,
        consumer,
        key,
        value,
        store,
        report,
        queues: settings.list(keys::TOPICS).into_iter().map(str::to_owned).collect(),
        first,
        batch_bytes: settings.int(keys::BATCH_BYTES) as usize,
        flush_every: settings.millis(keys::FLUSH_INTERVAL),
        flushed: Instant::now(),
        stored,
        put: HashMap::new(),
        assigned: BTreeSet::new(),
        looked: None,
        missing: BTreeSet::new(),
    };
    let outcome = match limited("the start of the task", spec.call_timeout, task.start(context)).await {
        Ok(()) => {
            spec.report_running();
            drain.run(&mut *task, backoff).await
        }
        Err(error) => Err(error),
    };
    let closed = drain.close(&mut *task, outcome.is_ok()).await;
    let _ = limited("the stop of the task", spec.call_timeout, async {
        task.stop().await;
        Ok(())
    })
    .await;
    outcome.and(closed)
}

struct Drain<'a> {
    spec: &'a TaskSpec,
    access_point: Arc<dyn MessagingAccessPoint>,
    consumer: Box<dyn PullConsumer>,
    key: Box<dyn Decoder>,
    value: Box<dyn Decoder>,
    store: SinkPositions,
    report: Arc<TaskReport>,
    queues: Vec<String>,
    /// Positions are ours to keep; otherwise the broker keeps what was not committed.
    has_offsets: bool,
    /// Where a queue partition without position is read from.
    first: StartAt,
    batch_bytes: usize,
    flush_every: Duration,
    flushed: Instant,
    /// Committed positions.
    stored: HashMap<QueuePartition, u64>,
    /// Positions behind what was put and not yet flushed.
    put: HashMap<QueuePartition, u64>,
    assigned: BTreeSet<QueuePartition>,
    looked: Option<Instant>,
    missing: BTreeSet<String>,
}

impl Drain<'_> {
    async fn run(&mut self, task: &mut dyn SinkTask, backoff: &mut Duration) -> Result<()> {
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
            if paused {
                self.flush(task).await?;
                tokio::select! {
                    () = self.spec.stop.cancelled() => return Ok(()),
                    _ = target.changed() => {}
                }
                continue;
            }
            if self.looked.is_none_or(|at| at.elapsed() >= LOOK_AGAIN) {
                self.look(task).await?;
            }
            if !self.put.is_empty() && self.flushed.elapsed() >= self.flush_every {
                self.flush(task).await?;
            }
            let wait = POLL_WAIT.min(self.flush_every);
            let batch = tokio::select! {
                () = self.spec.stop.cancelled() => return Ok(()),
                _ = target.changed() => continue,
                batch = next(&mut *self.consumer, self.batch_bytes, wait, self.assigned.is_empty()) => batch?,
            };
            if let Some(batch) = batch {
                self.put(task, batch, backoff).await?;
            }
        }
    }

    /// Finds the queues' partitions and takes this task's share of them.
    async fn look(&mut self, task: &mut dyn SinkTask) -> Result<()> {
        self.looked = Some(Instant::now());
        let resources = self.access_point.resources();
        let mut all = BTreeSet::new();
        for queue in self.queues.clone() {
            match resources.describe_queue(&queue).await {
                Ok(found) => {
                    self.missing.remove(&queue);
                    all.extend(
                        found.partitions.iter().map(|p| QueuePartition::new(queue.as_str(), p.partition)),
                    );
                }
                Err(error) if error.status == StatusCode::NotFound => {
                    if self.missing.insert(queue.clone()) {
                        let text = format!("the queue {queue} does not exist yet: waiting for it");
                        openmessaging_connector::Reporter::warning(
                            &*self.report,
                            "sink.queue_missing",
                            &text,
                        );
                    }
                    self.looked = Instant::now().checked_sub(LOOK_AGAIN - Duration::from_secs(1));
                }
                Err(error) => return Err(broker_error(error)),
            }
        }
        let (task_number, tasks) = (self.spec.id.task as usize, self.spec.tasks.max(1) as usize);
        let mine: BTreeSet<_> = all
            .into_iter()
            .enumerate()
            .filter(|(index, _)| index % tasks == task_number)
            .map(|(_, partition)| partition)
            .collect();
        if mine != self.assigned {
            self.reassign(task, mine).await?;
        }
        Ok(())
    }

    async fn reassign(&mut self, task: &mut dyn SinkTask, mine: BTreeSet<QueuePartition>) -> Result<()> {
        self.flush(task).await?;
        let (gone, new): (Vec<_>, Vec<_>) = (
            self.assigned.difference(&mine).map(sink_partition).collect(),
            mine.difference(&self.assigned).map(sink_partition).collect(),
        );
        let limit = self.spec.call_timeout;
        if !gone.is_empty() {
            limited("close", limit, task.close(&gone)).await?;
        }
        if !new.is_empty() {
            limited("open", limit, task.open(&new)).await?;
        }
        // A queue without offsets knows itself what was not taken yet.
        let start = |partition: &QueuePartition| match self.stored.get(partition) {
            _ if !self.has_offsets => StartAt::Committed,
            Some(at) => StartAt::Offset(*at),
            None => self.first,
        };
        let places: Vec<_> = mine.iter().map(|partition| (partition.clone(), start(partition))).collect();
        self.consumer.assign(&places).await.map_err(broker_error)?;
        self.assigned = mine;
        Ok(())
    }

    /// Puts a batch, again and again while the sink says that it may help (K3).
    async fn put(
        &mut self,
        task: &mut dyn SinkTask,
        batch: ConsumedBatch,
        backoff: &mut Duration,
    ) -> Result<()> {
        let records = decode(&batch, &mut *self.key, &mut *self.value)?;
        loop {
            match limited("a put", self.spec.call_timeout, task.put(&records)).await {
                Ok(()) => break,
                Err(error) if error.kind == ErrorKind::Retriable && *backoff <= Duration::from_secs(8) => {
                    tracing::warn!(task = %self.spec.id, retry_in_ms = backoff.as_millis() as u64, "{}", trace_of(&error));
                    tokio::select! {
                        () = self.spec.stop.cancelled() => return Err(error),
                        () = tokio::time::sleep(*backoff) => {}
                    }
                    *backoff *= 2;
                }
                Err(error) => return Err(error),
            }
        }
        *backoff = Duration::from_millis(500);
        self.report.count(batch.offsets.len());
        if let Some(last) = batch.offsets.last() {
            self.put.insert(batch.partition, last + 1);
        }
        Ok(())
    }

    /// Makes everything durable at the destination and then commits positions (invariant 2).
    async fn flush(&mut self, task: &mut dyn SinkTask) -> Result<()> {
        self.flushed = Instant::now();
        if self.put.is_empty() {
            return Ok(());
        }
        limited("a flush", self.spec.call_timeout, task.flush()).await?;
        let positions: Vec<_> = self.put.drain().collect();
        if self.has_offsets {
            self.store.commit(&positions).await.map_err(fenced)?;
            self.stored.extend(positions);
        } else {
            self.consumer.commit(&positions).await.map_err(broker_error)?;
        }
        Ok(())
    }

    async fn close(&mut self, task: &mut dyn SinkTask, graceful: bool) -> Result<()> {
        if graceful {
            self.flush(task).await?;
            let open: Vec<_> = self.assigned.iter().map(sink_partition).collect();
            limited("close", self.spec.call_timeout, task.close(&open)).await?;
        }
        if let Err(error) = self.consumer.close().await {
            tracing::warn!(%error, "closing the consumer");
        }
        Ok(())
    }
}

async fn next(
    consumer: &mut dyn PullConsumer,
    max_bytes: usize,
    wait: Duration,
    nothing_assigned: bool,
) -> Result<Option<ConsumedBatch>> {
    if nothing_assigned {
        tokio::time::sleep(wait).await;
        return Ok(None);
    }
    consumer.poll(max_bytes, wait).await.map_err(broker_error)
}

fn sink_partition(partition: &QueuePartition) -> SinkPartition {
    SinkPartition { queue: partition.queue.clone(), partition: partition.partition }
}

/// The batch as records, borrowed from it.
fn decode<'a>(
    batch: &'a ConsumedBatch,
    key: &mut dyn Decoder,
    value: &mut dyn Decoder,
) -> Result<SinkBatch<'a>> {
    let mut records = Vec::with_capacity(batch.offsets.len());
    for (message, offset) in batch.messages.iter().zip(&batch.offsets) {
        let place = |error: Error| Error {
            message: format!("{} at offset {offset}: {}", batch.partition, error.message),
            ..error
        };
        let decoded_key = key.decode(message.key).map_err(place)?;
        let decoded = value.decode(message.body).map_err(place)?;
        let header = |header: openmessaging::Header<'a>| SinkHeader {
            name: Cow::Borrowed(header.name),
            value: header.value.map(Cow::Borrowed),
        };
        records.push(SinkRecord {
            offset: *offset,
            timestamp_ms: message.timestamp,
            key_schema: decoded_key.schema,
            key: decoded_key.value,
            value_schema: decoded.schema,
            value: decoded.value,
            headers: message.headers.into_iter().map(header).collect(),
        });
    }
    Ok(SinkBatch { partition: sink_partition(&batch.partition), records })
}
