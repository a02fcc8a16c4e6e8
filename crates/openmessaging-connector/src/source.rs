//! Source connectors and their tasks. The clauses cited are those of `docs/specs/source.md`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::position::{Position, SourcePartition};
use crate::record::RecordSink;

/// A configured source: checks its configuration and splits the work into tasks. It moves no data.
#[async_trait]
pub trait SourceConnector: Send {
    /// Looks beyond the ConfigDef: keys that depend on each other, a system that cannot be reached, privileges that
    /// are missing. Every problem found, at once; empty when it can run. Takes at most some seconds.
    async fn validate(&mut self, _config: &Config) -> Vec<Error> {
        Vec::new()
    }

    /// Called once before [`task_configs`](Self::task_configs). An error makes the connector FAILED.
    async fn start(&mut self, config: &Config) -> Result<()>;

    /// One configuration for each task, at most `max_tasks`, at least one.
    fn task_configs(&self, max_tasks: usize) -> Result<Vec<Config>>;

    /// A task, not yet started.
    fn task(&self) -> Box<dyn SourceTask>;

    async fn stop(&mut self) {}

    /// The connector of that name is deleted for good: takes away what it installed at the system (triggers, a
    /// replication slot). Called on a fresh connector, after the tasks of the deleted one have stopped. An error is
    /// told to the user and keeps nothing from being deleted.
    async fn deleted(&mut self, _connector: &str, _config: &Config) -> Result<()> {
        Ok(())
    }
}

/// What a poll came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polled {
    /// There may be more at once.
    Ready,
    /// Nothing more for now.
    Idle,
    /// The source has ended for good (`initial_only`): the task is not polled again and stays RUNNING.
    Finished,
}

/// Reads one share of a source. One thread of its own calls it, one call at a time.
#[async_trait]
pub trait SourceTask: Send {
    /// Opens the source and finds the stored positions (S1, S2). An error makes the task FAILED; a retriable one is
    /// tried again with backoff, on a new task.
    async fn start(&mut self, context: SourceTaskContext) -> Result<()>;

    /// Drives records into `out` until it is [`Full`](crate::Flow::Full) or nothing more is at hand, and waits at
    /// most about `wait` for the first one (S3). Must not block the thread (S4). Dropped only when the task is
    /// ended for good (S5). On a retriable error, records already ended in `out` stay and the next poll goes on
    /// behind them (S6).
    async fn poll(&mut self, out: &mut dyn RecordSink, wait: Duration) -> Result<Polled>;

    /// Tells that every record up to `position` is durable at the broker and the position is stored (S7): the source
    /// may let go of what is before it.
    async fn committed(&mut self, _partition: &SourcePartition, _position: &Position) -> Result<()> {
        Ok(())
    }

    /// Closes the source. Called after the last poll, also when `start` failed.
    async fn stop(&mut self) {}
}

/// What a source task is given at its start.
#[derive(Clone)]
pub struct SourceTaskContext {
    pub connector: Arc<str>,
    pub task: u32,
    /// The task's configuration, secrets resolved.
    pub config: Config,
    /// The positions stored for this connector.
    pub positions: HashMap<SourcePartition, Position>,
    pub state: Arc<dyn TaskState>,
    pub reporter: Arc<dyn Reporter>,
}

/// Small durable facts of a connector beside its positions (a schema history), kept in the broker's key/value
/// operations under the epoch of the task: a stale owner's write is refused. Values up to 1 MiB, names up to 200
/// characters of `A-Z a-z 0-9 . _ -`.
#[async_trait]
pub trait TaskState: Send + Sync {
    async fn get(&self, name: &str) -> Result<Option<Vec<u8>>>;
    /// Durable when it returns.
    async fn put(&self, name: &str, value: &[u8]) -> Result<()>;
    async fn delete(&self, name: &str) -> Result<()>;
    /// Names that start with `prefix`, in order.
    async fn names(&self, prefix: &str) -> Result<Vec<String>>;
}

/// How far a long phase is: shown in the task's status and its log.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Progress {
    /// `snapshot`, `streaming`.
    pub phase: String,
    /// The table or file at hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    pub rows: u64,
    /// All rows expected, an estimate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimated_rows: Option<u64>,
    pub rows_per_second: f64,
}

/// Takes what a task has to say beside records.
pub trait Reporter: Send + Sync {
    fn progress(&self, progress: Progress);
    /// Something the user should know, said once: logged and shown in the status.
    fn warning(&self, code: &'static str, message: &str);
}
