//! Push consumers: a listener called with what a pull consumer yields. The clauses cited are those of
//! `docs/specs/driver.md`.

use std::time::Duration;

use async_trait::async_trait;

use crate::consumer::{ConsumedBatch, PullConsumer, StartAt};
use crate::error::Result;

/// Takes batches as they come.
#[async_trait]
pub trait BatchListener: Send {
    /// Called with one batch after the other. When it returns `Ok`, the batch's positions may be committed; after an
    /// error the same messages come again (D30).
    async fn on_batch(&mut self, batch: ConsumedBatch) -> Result<()>;
}

/// A pull consumer that drives a listener, on any driver.
pub struct PushConsumer<L> {
    consumer: Box<dyn PullConsumer>,
    listener: L,
    max_bytes: usize,
    commit: bool,
}

impl<L: BatchListener> PushConsumer<L> {
    /// `consumer` must be assigned. With `commit` the position behind each batch is committed at the broker once the
    /// listener took it: at-least-once.
    pub fn new(consumer: Box<dyn PullConsumer>, listener: L, max_bytes: usize, commit: bool) -> Self {
        Self { consumer, listener, max_bytes, commit }
    }

    /// Calls the listener once if a batch comes within `wait`; says whether one did. Cancelling between the listener
    /// and the commit delivers the batch again after a restart.
    pub async fn step(&mut self, wait: Duration) -> Result<bool> {
        let Some(batch) = self.consumer.poll(self.max_bytes, wait).await? else { return Ok(false) };
        let partition = batch.partition.clone();
        let (first, last) = (batch.offsets.first().copied(), batch.offsets.last().copied());
        if let Err(error) = self.listener.on_batch(batch).await {
            if let Some(first) = first {
                self.consumer.seek(&partition, StartAt::Offset(first)).await?;
            }
            return Err(error);
        }
        if let Some(last) = last.filter(|_| self.commit) {
            self.consumer.commit(&[(partition, last + 1)]).await?;
        }
        Ok(true)
    }

    /// Calls the listener until it or the consumer fails, or the future is dropped.
    pub async fn run(&mut self) -> Result<()> {
        loop {
            self.step(Duration::from_secs(1)).await?;
        }
    }

    /// The pull consumer below, to pause, resume and seek.
    pub fn consumer(&mut self) -> &mut dyn PullConsumer {
        &mut *self.consumer
    }
}
