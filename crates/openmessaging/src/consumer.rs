//! Pull consumers. The clauses cited are those of `docs/specs/driver.md`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::error::Result;
use crate::message::MessageBatch;

/// One partition of a queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueuePartition {
    pub queue: Arc<str>,
    pub partition: u32,
}

impl QueuePartition {
    pub fn new(queue: impl Into<Arc<str>>, partition: u32) -> Self {
        Self { queue: queue.into(), partition }
    }
}

impl fmt::Display for QueuePartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.queue, self.partition)
    }
}

/// Where reading starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAt {
    /// The oldest message that is kept.
    Begin,
    /// Behind the newest message.
    End,
    /// The message at this offset, or the next one behind it that is kept.
    Offset(u64),
    /// The first message stored at or after this time, milliseconds since the epoch
    /// (`Capabilities::seek_by_timestamp`).
    Timestamp(i64),
    /// Where [`commit`](PullConsumer::commit) was last, else the oldest message (`Capabilities::broker_positions`).
    Committed,
}

/// How a consumer is to behave.
#[derive(Debug, Clone, Default)]
pub struct ConsumerOptions {
    /// Whose positions `commit` and `StartAt::Committed` mean.
    pub group: String,
    /// How many bytes may be fetched ahead, at least one message; `None`: the driver's default, 4 MiB (D20).
    pub prefetch_bytes: Option<usize>,
}

/// Messages of one queue partition in the order of their offsets. The caller owns it.
#[derive(Debug, Clone)]
pub struct ConsumedBatch {
    pub partition: QueuePartition,
    pub messages: MessageBatch,
    /// One for each message, growing, not always without gaps (retention, compaction, transactions).
    pub offsets: Vec<u64>,
}

/// Reads messages of assigned partitions. One caller at a time.
#[async_trait]
pub trait PullConsumer: Send {
    /// Reads exactly these partitions from now on, each from where it says (D14). A partition that does not exist is
    /// `NotFound` or `PartitionNotFound`, and the assignment stays what it was.
    async fn assign(&mut self, partitions: &[(QueuePartition, StartAt)]) -> Result<()>;

    /// The next messages of one partition; `None` when there were none for `wait`. At most `max_bytes` of bodies,
    /// keys and headers, but at least one message (D20). Partitions take turns (D18). Dropping the future loses
    /// nothing: the messages come with the next poll (D19).
    async fn poll(&mut self, max_bytes: usize, wait: Duration) -> Result<Option<ConsumedBatch>>;

    /// Goes on at another place; what was fetched ahead is dropped (D15).
    async fn seek(&mut self, partition: &QueuePartition, to: StartAt) -> Result<()>;

    /// Leaves these partitions out of `poll` until [`resume`](Self::resume), without losing place or connection (D17).
    fn pause(&mut self, partitions: &[QueuePartition]);

    fn resume(&mut self, partitions: &[QueuePartition]);

    /// The offset of the next message that `poll` would return for an assigned partition (D16); `None` where that is
    /// not known yet (`End` of a queue without messages has a position; a partition not assigned has none).
    fn position(&self, partition: &QueuePartition) -> Option<u64>;

    /// Stores positions (the offset of the next message to read) at the broker, for the group; durable when it returns
    /// (D21; `Capabilities::broker_positions`).
    async fn commit(&mut self, positions: &[(QueuePartition, u64)]) -> Result<()>;

    async fn committed(&mut self, partition: &QueuePartition) -> Result<Option<u64>>;

    async fn close(&mut self) -> Result<()>;
}
