//! Producers. The clauses cited are those of `docs/specs/driver.md`.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use async_trait::async_trait;

use crate::error::{Error, Result};
use crate::message::MessageBatch;

/// How a producer is to behave.
#[derive(Debug, Clone, Default)]
pub struct ProducerOptions {
    /// A name that the broker may show and, where it has transactions or fencing, fences by.
    pub name: String,
    /// How long a batch may take until it counts as failed with `Timeout`; `None`: the driver's default, 30 s.
    pub timeout: Option<std::time::Duration>,
}

/// The acknowledgement of a batch, when it comes. It is driven by the driver: a future that is dropped does not
/// cancel the send, it only loses the answer (D12).
pub type SendFuture = Pin<Box<dyn Future<Output = SendReport> + Send>>;

/// What became of a batch. The batch itself comes back, to be cleared and used again, or sent again.
pub struct SendReport {
    pub batch: MessageBatch,
    pub acknowledged: Acknowledged,
    /// Why the first message that is not acknowledged is not; `None` exactly when all are.
    pub error: Option<Error>,
}

/// Which messages of a batch are durable at the broker (D10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acknowledged {
    /// This many from the front.
    Prefix(usize),
    /// Each by itself; in a queue that keeps no order.
    Each(Vec<bool>),
}

impl Acknowledged {
    /// How many messages from the front are durable.
    pub fn prefix(&self) -> usize {
        match self {
            Acknowledged::Prefix(count) => *count,
            Acknowledged::Each(each) => each.iter().take_while(|durable| **durable).count(),
        }
    }
}

impl SendReport {
    pub fn all(batch: MessageBatch) -> Self {
        Self { acknowledged: Acknowledged::Prefix(batch.len()), batch, error: None }
    }

    pub fn failed(batch: MessageBatch, acknowledged: Acknowledged, error: Error) -> Self {
        Self { batch, acknowledged, error: Some(error) }
    }
}

impl fmt::Debug for SendReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendReport")
            .field("messages", &self.batch.len())
            .field("acknowledged", &self.acknowledged)
            .field("error", &self.error)
            .finish()
    }
}

/// Sends batches of messages. One caller at a time; any number of producers may work in parallel.
#[async_trait]
pub trait Producer: Send {
    /// Takes a batch and starts to send it; never blocks. Messages of one batch go to their queues and partitions in
    /// its order, and behind those of earlier batches (D8). Several batches may be in flight: the caller bounds them.
    ///
    /// The future ends when every message is durable, or at the first that failed (D10, D11). After a failure every
    /// batch sent later, in flight or not, fails with `Aborted` and nothing of it is written, until
    /// [`recover`](Self::recover) (D9): so nothing overtakes the message that failed.
    fn send(&mut self, batch: MessageBatch) -> SendFuture;

    /// Waits until every batch sent before has ended, and lets sending go on after a failure.
    async fn recover(&mut self) -> Result<()>;

    /// Waits until every batch sent before has ended, then lets go of what the producer holds.
    async fn close(&mut self) -> Result<()>;
}
