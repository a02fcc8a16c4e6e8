//! The control log as a queue of the broker: one partition, read from its head by every worker of the group.

use std::sync::Arc;
use std::time::Duration;

use openmessaging::{
    ConsumerOptions, KeyValueStore, MessageBatch, MessagingAccessPoint, Producer, ProducerOptions,
    PullConsumer, QueuePartition, QueueSpec, Result, StartAt, StatusCode,
};
use tokio::sync::Mutex;

use super::apply::apply;
use super::entry::Entry;
use super::state::State;

/// Where the newest snapshot is.
const SNAPSHOT: &str = "control/snapshot";
/// How much of the log is kept; snapshots are written far more often.
const RETENTION_BYTES: u64 = 64 << 20;
/// A snapshot is written after this many entries.
const SNAPSHOT_EVERY: u64 = 1000;

/// Appends to the log. Cheap to share.
pub struct ControlLog {
    queue: Arc<str>,
    producer: Mutex<Box<dyn Producer>>,
    store: Arc<dyn KeyValueStore>,
}

impl ControlLog {
    /// Opens the log of `group`, making it where there is none, and a reader of it.
    pub async fn open(
        access_point: &Arc<dyn MessagingAccessPoint>,
        group: &str,
        store: Arc<dyn KeyValueStore>,
    ) -> Result<(Arc<Self>, ControlReader)> {
        let queue: Arc<str> = format!("omsconnect-{group}-control").into();
        // By size alone: a log that is quiet for weeks must not lose its configurations to a broker's default.
        // Where the broker alone says how long messages are kept, the snapshots of a running worker come often enough.
        let mut spec = QueueSpec::new(&*queue, 1);
        if access_point.capabilities().retention {
            (spec.retention_bytes, spec.retention_ms) = (Some(RETENTION_BYTES), Some(u64::MAX));
        }
        match access_point.resources().create_queue(&spec).await {
            Err(error) if error.status != StatusCode::AlreadyExists => return Err(error),
            _ => {}
        }
        let producer =
            access_point.producer(ProducerOptions { name: queue.to_string(), timeout: None }).await?;
        let consumer = access_point.pull_consumer(ConsumerOptions::default()).await?;
        let log =
            Arc::new(Self { queue: queue.clone(), producer: Mutex::new(producer), store: store.clone() });
        let partition = QueuePartition { queue, partition: 0 };
        Ok((log, ControlReader { partition, consumer, store, since_snapshot: 0 }))
    }

    /// Appends one entry; it is durable when this returns. Tried again while the broker says that it may help.
    pub async fn append(&self, entry: &Entry) -> Result<()> {
        let mut producer = self.producer.lock().await;
        let mut batch = MessageBatch::new();
        batch.start().finish(&self.queue, Some(0), now_ms(), Some(&entry.encode()));
        let mut wait = Duration::from_millis(50);
        loop {
            let report = producer.send(batch).await;
            let Some(error) = report.error else { return Ok(()) };
            producer.recover().await?;
            if !error.is_retriable() || wait > Duration::from_secs(10) {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
            batch = report.batch;
        }
    }

    /// Writes what all entries up to now came to, so that a start-up reads little.
    pub async fn write_snapshot(&self, state: &State) -> Result<()> {
        let up_to = state.next.saturating_sub(1);
        self.append(&Entry::Snapshot { up_to, state: Box::new(state.clone()) }).await?;
        // The snapshot stands at or behind `next`; a reader looks for it from there.
        self.store.put(SNAPSHOT, state.next.to_string().as_bytes()).await.map(|_| ())
    }
}

/// Reads the log and folds it.
pub struct ControlReader {
    partition: QueuePartition,
    consumer: Box<dyn PullConsumer>,
    store: Arc<dyn KeyValueStore>,
    since_snapshot: u64,
}

impl ControlReader {
    /// The state at the end of the log as it is now: the newest snapshot and what follows it.
    pub async fn catch_up(&mut self, access_point: &Arc<dyn MessagingAccessPoint>) -> Result<State> {
        let description = access_point.resources().describe_queue(&self.partition.queue).await?;
        let end = description.partitions.first().map_or(0, |partition| partition.end);
        let mut state = State::default();
        if let Some(found) = self.snapshot(end).await? {
            state = found;
        }
        let start = if state.next == 0 { StartAt::Begin } else { StartAt::Offset(state.next) };
        self.consumer.assign(&[(self.partition.clone(), start)]).await?;
        while self.consumer.position(&self.partition).unwrap_or(0) < end {
            match self.next(&state, Duration::from_secs(5)).await? {
                Some(next) => state = next,
                None => break,
            }
        }
        Ok(state)
    }

    async fn snapshot(&mut self, end: u64) -> Result<Option<State>> {
        let Some(stored) = self.store.get(SNAPSHOT).await? else { return Ok(None) };
        let text = String::from_utf8_lossy(&stored.value).into_owned();
        let Some(at) = text.parse::<u64>().ok().filter(|at| *at < end) else { return Ok(None) };
        self.consumer.assign(&[(self.partition.clone(), StartAt::Offset(at))]).await?;
        while self.consumer.position(&self.partition).unwrap_or(0) < end {
            let Some(batch) = self.consumer.poll(1 << 20, Duration::from_secs(5)).await? else { break };
            for message in batch.messages.iter() {
                if let Some(Ok(Entry::Snapshot { state, .. })) = message.body.map(Entry::decode) {
                    return Ok(Some(*state));
                }
            }
        }
        Ok(None)
    }

    /// Waits up to `wait` for entries and folds them onto `state`; `None` when none came.
    /// Cancel-safe.
    pub async fn next(&mut self, state: &State, wait: Duration) -> Result<Option<State>> {
        let Some(batch) = self.consumer.poll(1 << 20, wait).await? else { return Ok(None) };
        let mut state = state.clone();
        for (message, offset) in batch.messages.iter().zip(&batch.offsets) {
            match message.body.map(Entry::decode) {
                Some(Ok(entry)) => {
                    self.since_snapshot += 1;
                    state = apply(state, entry, *offset);
                }
                Some(Err(error)) => tracing::error!(offset, %error, "control log"),
                None => {}
            }
        }
        Ok(Some(state))
    }

    /// Whether it is time for a snapshot; asking resets the count.
    pub fn snapshot_due(&mut self) -> bool {
        let due = self.since_snapshot >= SNAPSHOT_EVERY;
        if due {
            self.since_snapshot = 0;
        }
        due
    }
}

/// This machine's clock, milliseconds since the epoch.
pub fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
