//! Sink connectors and their tasks. The clauses cited are those of `docs/specs/sink.md`.

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::schema::Schema;
use crate::source::{Reporter, TaskState};
use crate::value::Value;

/// A configured sink: checks its configuration and splits the work into tasks.
#[async_trait]
pub trait SinkConnector: Send {
    /// As for a source: every problem found, at once.
    async fn validate(&mut self, _config: &Config) -> Vec<Error> {
        Vec::new()
    }

    async fn start(&mut self, config: &Config) -> Result<()>;

    /// One configuration for each task, at most `max_tasks`, at least one. The runtime spreads the queue partitions.
    fn task_configs(&self, max_tasks: usize) -> Result<Vec<Config>>;

    fn task(&self) -> Box<dyn SinkTask>;

    async fn stop(&mut self) {}
}

/// One partition of a queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueuePartition {
    pub queue: Arc<str>,
    pub partition: u32,
}

/// A record as it comes from a queue, decoded by the configured converters, borrowed from the received batch.
#[derive(Debug, Clone, PartialEq)]
pub struct SinkRecord<'a> {
    pub offset: u64,
    /// Milliseconds since the epoch.
    pub timestamp_ms: i64,
    pub key_schema: Option<Arc<Schema>>,
    pub key: Value<'a>,
    pub value_schema: Option<Arc<Schema>>,
    /// [`Value::Null`] for a tombstone.
    pub value: Value<'a>,
    pub headers: Vec<SinkHeader<'a>>,
}

/// A header of a consumed record.
#[derive(Debug, Clone, PartialEq)]
pub struct SinkHeader<'a> {
    pub name: Cow<'a, str>,
    pub value: Option<Cow<'a, [u8]>>,
}

/// Records of one queue partition, in the order of their offsets.
#[derive(Debug, Clone, PartialEq)]
pub struct SinkBatch<'a> {
    pub partition: QueuePartition,
    pub records: Vec<SinkRecord<'a>>,
}

/// Writes records to a destination. One thread of its own calls it, one call at a time.
#[async_trait]
pub trait SinkTask: Send {
    async fn start(&mut self, context: SinkTaskContext) -> Result<()>;

    /// These partitions are the task's from now on; called before their first `put` (K1).
    async fn open(&mut self, _partitions: &[QueuePartition]) -> Result<()> {
        Ok(())
    }

    /// Takes a batch in order (K2). A retriable error: nothing of it counts, the same batch comes again (K3). It need
    /// not be durable when this returns.
    async fn put(&mut self, batch: &SinkBatch<'_>) -> Result<()>;

    /// Everything put before is durable when this returns (K4): only then are queue positions committed.
    async fn flush(&mut self) -> Result<()>;

    /// These partitions are not the task's any more; they were flushed.
    async fn close(&mut self, _partitions: &[QueuePartition]) -> Result<()> {
        Ok(())
    }

    async fn stop(&mut self) {}
}

/// What a sink task is given at its start.
#[derive(Clone)]
pub struct SinkTaskContext {
    pub connector: Arc<str>,
    pub task: u32,
    /// The task's configuration, secrets resolved.
    pub config: Config,
    pub state: Arc<dyn TaskState>,
    pub reporter: Arc<dyn Reporter>,
}
