//! Batches on their way to the broker: sent in order, acknowledged in order, sent again in order.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use openmessaging::{MessageBatch, Producer, SendFuture, SendReport, StatusCode};
use openmessaging_connector::{Position, Result, SourcePartition};
use tokio::sync::OwnedSemaphorePermit;

use super::marks::Marks;
use super::queues::{Queues, broker_error};

/// The longest wait before a batch is sent again.
const MAX_BACKOFF: Duration = Duration::from_secs(2);
/// How many emptied batches are kept for reuse.
const SPARE: usize = 4;

/// A batch that was sent and is not acknowledged.
struct Sent {
    /// `None`: there is nothing to send, only positions to move in turn.
    future: Option<SendFuture>,
    marks: Marks,
    records: usize,
    bytes: usize,
    /// What the batch holds of the worker's memory, until it is acknowledged.
    permit: Option<OwnedSemaphorePermit>,
}

/// The batches in flight of one task.
///
/// Positions come out only for acknowledged prefixes (invariant 1), and after a failed send everything behind the last
/// acknowledged record is sent again before anything new, so nothing overtakes it (invariant 3).
pub struct Flight {
    producer: Box<dyn Producer>,
    queues: Queues,
    sent: VecDeque<Sent>,
    bytes: usize,
    spare: Vec<MessageBatch>,
    /// The positions that may be committed.
    durable: HashMap<SourcePartition, Position>,
    acknowledged: usize,
    backoff: Duration,
    /// When sending began to fail, and how often it did since.
    failing: Option<(Instant, u32)>,
}

impl Flight {
    pub fn new(producer: Box<dyn Producer>, queues: Queues) -> Self {
        Self {
            producer,
            queues,
            sent: VecDeque::new(),
            bytes: 0,
            spare: Vec::new(),
            durable: HashMap::new(),
            acknowledged: 0,
            backoff: Duration::from_millis(100),
            failing: None,
        }
    }

    /// What is in flight, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// An empty batch to fill.
    pub fn spare(&mut self) -> MessageBatch {
        self.spare.pop().unwrap_or_default()
    }

    /// Sends a batch behind those in flight.
    ///
    /// # Errors
    /// A queue could not be looked up or made. The batch is dropped, its positions do not count: end the attempt.
    pub async fn send(
        &mut self,
        mut batch: MessageBatch,
        marks: Marks,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Result<()> {
        if batch.is_empty() {
            if self.sent.is_empty() {
                self.durable.extend(marks.all());
            } else if !marks.is_empty() {
                self.sent.push_back(Sent { future: None, marks, records: 0, bytes: 0, permit: None });
            }
            self.recycle(batch);
            return Ok(());
        }
        self.queues.prepare(&mut batch).await.map_err(broker_error)?;
        let (records, bytes) = (batch.len(), batch.memory());
        self.bytes += bytes;
        let future = Some(self.producer.send(batch));
        self.sent.push_back(Sent { future, marks, records, bytes, permit });
        Ok(())
    }

    /// Waits for what became of the oldest batch, forever where there is none. Cancel-safe; the report must go to
    /// [`take_in`](Self::take_in).
    pub async fn next_report(&mut self) -> SendReport {
        match self.sent.front_mut().and_then(|sent| sent.future.as_mut()) {
            Some(future) => future.await,
            None => std::future::pending().await,
        }
    }

    /// Waits until nothing is in flight.
    pub async fn drained(&mut self) -> Result<()> {
        while !self.is_empty() {
            let report = self.next_report().await;
            self.take_in(report).await?;
        }
        Ok(())
    }

    /// The positions that became durable since the last call, and how many records were acknowledged.
    pub fn take_durable(&mut self) -> (Vec<(SourcePartition, Position)>, usize) {
        (self.durable.drain().collect(), std::mem::take(&mut self.acknowledged))
    }

    /// Whether positions wait to be committed.
    pub fn has_durable(&self) -> bool {
        !self.durable.is_empty()
    }

    pub async fn close(&mut self) {
        if let Err(error) = self.producer.close().await {
            tracing::warn!(%error, "closing the producer");
        }
    }

    /// Takes in what became of the oldest batch. Not to be cancelled while the task goes on.
    ///
    /// # Errors
    /// The broker refused a record for good. Positions before it are durable; nothing behind it is in flight any more.
    pub async fn take_in(&mut self, report: SendReport) -> Result<()> {
        let Some(error) = report.error else {
            self.settle_front();
            self.recycle(report.batch);
            self.backoff = Duration::from_millis(100);
            if let Some((since, times)) = self.failing.take() {
                let milliseconds = since.elapsed().as_millis() as u64;
                tracing::info!(times, milliseconds, "sending works again");
            }
            return Ok(());
        };
        let again = self.gather(report.batch, report.acknowledged.prefix()).await?;
        let gone = error.status == StatusCode::NotFound;
        if !error.is_retriable() && !gone {
            return Err(broker_error(error));
        }
        if gone {
            self.queues.forget();
        }
        match &mut self.failing {
            // One line for an outage, however long it is.
            Some((_, times)) => *times += 1,
            None => {
                self.failing = Some((Instant::now(), 1));
                tracing::warn!(%error, batches = again.len(), "sending again, from the first record that is not acknowledged, until it works");
            }
        }
        tokio::time::sleep(self.backoff).await;
        self.backoff = (self.backoff * 2).min(MAX_BACKOFF);
        self.send_again(again).await
    }

    /// Everything in flight is acknowledged up to here: positions move, memory is given back.
    fn settle_front(&mut self) {
        if let Some(sent) = self.sent.pop_front() {
            self.durable.extend(sent.marks.all());
            self.acknowledged += sent.records;
            self.bytes -= sent.bytes;
            drop(sent.permit);
        }
        while matches!(self.sent.front(), Some(Sent { future: None, .. })) {
            let marks = self.sent.pop_front().map(|sent| sent.marks.all());
            self.durable.extend(marks.unwrap_or_default());
        }
    }

    /// After the front failed: takes everything out of flight, in order, without what is durable.
    async fn gather(
        &mut self,
        mut front: MessageBatch,
        prefix: usize,
    ) -> Result<Vec<(MessageBatch, Marks, Option<OwnedSemaphorePermit>)>> {
        let mut again = Vec::with_capacity(self.sent.len());
        if let Some(mut sent) = self.sent.pop_front() {
            self.durable.extend(sent.marks.at(prefix));
            self.acknowledged += prefix;
            sent.marks.drop_front(prefix);
            front.drop_front(prefix);
            again.push((front, sent.marks, sent.permit));
        }
        // What stands behind the failed record was refused unwritten; a driver that cannot refuse it may have written
        // some, which then comes twice but never too early.
        while let Some(sent) = self.sent.pop_front() {
            let batch = match sent.future {
                Some(future) => future.await.batch,
                None => MessageBatch::new(),
            };
            again.push((batch, sent.marks, sent.permit));
        }
        self.bytes = 0;
        self.producer.recover().await.map_err(broker_error)?;
        Ok(again)
    }

    async fn send_again(
        &mut self,
        again: Vec<(MessageBatch, Marks, Option<OwnedSemaphorePermit>)>,
    ) -> Result<()> {
        for (batch, marks, permit) in again {
            self.send(batch, marks, permit).await?;
        }
        Ok(())
    }

    fn recycle(&mut self, mut batch: MessageBatch) {
        if self.spare.len() < SPARE {
            batch.clear(4 << 20);
            self.spare.push(batch);
        }
    }
}
