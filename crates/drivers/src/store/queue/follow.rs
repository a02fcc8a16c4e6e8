//! Reads the queue of a store, folds it, tells who waits, and has snapshots written.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openmessaging::{ConsumedBatch, Error, PullConsumer, QueuePartition, Result, StartAt};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::append::{Request, Write};
use super::fold::{Applied, Fold, Stored, no_base};
use super::{Shared, Snapshots};
use crate::store::watch::Event;

const POLL_BYTES: usize = 1024 * 1024;
const POLL_WAIT: Duration = Duration::from_millis(500);
const BACKOFF: Duration = Duration::from_millis(200);

/// Records since the last snapshot, at least, before another is written.
const SNAPSHOT_AFTER: u64 = 4_000;

/// Bytes of values in one record of a snapshot.
const SNAPSHOT_BYTES: usize = 128 * 1024;

pub(super) struct Follower {
    pub shared: Arc<Shared>,
    pub consumer: Box<dyn PullConsumer>,
    pub fold: Fold,
    pub snapshots: Snapshots,
}

impl Follower {
    pub async fn run(mut self) {
        let closed = self.shared.closed.clone();
        let ended = tokio::select! {
            () = closed.cancelled() => None,
            error = self.follow() => Some(error),
        };
        if let Some(error) = ended {
            tracing::error!(queue = %self.shared.queue, %error, "a key/value store cannot be read any more");
            self.shared.fail(error);
        }
        let _ = tokio::time::timeout(Duration::from_secs(1), self.consumer.close()).await;
    }

    /// Ends with an error that no waiting mends.
    async fn follow(&mut self) -> Error {
        loop {
            match self.consumer.poll(POLL_BYTES, POLL_WAIT).await {
                Ok(Some(batch)) => {
                    if let Err(error) = self.take(&batch).await {
                        return error;
                    }
                }
                Ok(None) if !self.fold.is_known() => {
                    if let Err(error) = self.find_base().await {
                        return error;
                    }
                }
                Ok(None) => self.snapshot_if_due(),
                Err(error) if error.is_retriable() => tokio::time::sleep(BACKOFF).await,
                Err(error) => return error,
            }
        }
    }

    async fn take(&mut self, batch: &ConsumedBatch) -> Result<()> {
        let behind = self.consumer.position(&batch.partition).unwrap_or(0);
        let begin = if self.fold.leaves_out(&batch.offsets) { begin(&self.shared).await? } else { 0 };
        let stored = batch.messages.iter().zip(&batch.offsets);
        let stored = stored
            .map(|(message, offset)| Stored { offset: *offset, body: message.body.unwrap_or_default() });
        let Applied { outcomes, events, snapshot, rebased } = self.fold.apply(stored, behind, begin)?;
        let shared = &self.shared;
        if self.fold.is_known() {
            shared.last_version.store(behind, Ordering::Release);
        }
        if rebased {
            shared.feed.tell(Event::restart(behind));
        }
        events.into_iter().for_each(|event| shared.feed.tell(event));
        for (id, outcome) in outcomes.iter().filter(|(id, _)| id.writer == shared.writer) {
            shared.waiters.answer(id.count, outcome);
        }
        if snapshot.is_some() {
            self.snapshots.last = Instant::now();
        }
        self.snapshot_if_due();
        Ok(())
    }

    /// Nothing more comes, and the state is not known: unless the queue has more, the snapshot that is being read was never
    /// ended.
    async fn find_base(&mut self) -> Result<()> {
        let shared = self.shared.clone();
        let Ok((begin, end)) = shared.bounds().await else { return Ok(()) };
        if begin == end || self.fold.next() < end {
            return Ok(());
        }
        if !self.fold.try_next_snapshot() {
            return Err(no_base(&shared.queue, shared.source.server()));
        }
        let place = QueuePartition::new(shared.queue.clone(), 0);
        self.consumer.assign(&[(place, StartAt::Begin)]).await
    }

    fn snapshot_if_due(&mut self) {
        let Snapshots { last, every, running, .. } = &self.snapshots;
        if !self.fold.is_known() || running.load(Ordering::Acquire) {
            return;
        }
        let jitter = 8 + self.shared.writer % 4;
        let many = self.fold.since_snapshot * 8 > SNAPSHOT_AFTER.max(self.fold.live * 2) * jitter;
        let old = every.is_some_and(|every| last.elapsed() > every);
        if !many && !old {
            return;
        }
        running.store(true, Ordering::Release);
        let (shared, covers, snapshots) = (self.shared.clone(), self.fold.next(), self.snapshots.clone());
        self.snapshots.last = Instant::now();
        // What is read is as it is now, whatever is written meanwhile.
        let reading = shared.scratch.reading();
        tokio::spawn(async move {
            let written = match reading {
                Ok(reading) => write_snapshot(&shared, &reading, covers).await,
                Err(error) => Err(error),
            };
            match written {
                Ok(()) => {
                    let previous = snapshots.covered.swap(covers, Ordering::AcqRel);
                    // Not up to this one: who is slow has until the next.
                    if previous > 0
                        && let Err(error) = shared.source.trim(&shared.queue, previous).await
                    {
                        tracing::warn!(queue = %shared.queue, %error, "what a snapshot covers cannot be removed");
                    }
                }
                Err(error) => tracing::warn!(queue = %shared.queue, %error, "no snapshot was written"),
            }
            snapshots.running.store(false, Ordering::Release);
        });
    }
}

/// The offset of the oldest message.
async fn begin(shared: &Shared) -> Result<u64> {
    loop {
        match shared.bounds().await {
            Ok((begin, _)) => return Ok(begin),
            Err(error) if error.is_retriable() => tokio::time::sleep(BACKOFF).await,
            Err(error) => return Err(error),
        }
    }
}

async fn write_snapshot(shared: &Shared, reading: &redb::ReadTransaction, covers: u64) -> Result<()> {
    append(shared, Write::SnapshotBegin { covers }).await?;
    let (mut entries, mut after) = (0, None::<String>);
    loop {
        let page = shared.table.list(reading, "", after.as_deref(), 500).map_err(super::unreadable)?;
        let (mut part, mut bytes) = (Vec::new(), 0);
        for entry in page.entries {
            entries += 1;
            bytes += entry.value.len() + entry.key.len();
            part.push(entry);
            if bytes >= SNAPSHOT_BYTES {
                append(shared, Write::SnapshotEntries(std::mem::take(&mut part))).await?;
                bytes = 0;
            }
        }
        if !part.is_empty() {
            append(shared, Write::SnapshotEntries(part)).await?;
        }
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    append(shared, Write::SnapshotEnd { entries }).await
}

async fn append(shared: &Shared, write: Write) -> Result<()> {
    let (reply, answer) = oneshot::channel();
    let deadline = Instant::now() + shared.source.timeout();
    if shared.requests.send(Request { write, reply, deadline }).await.is_err() {
        return Err(super::closed());
    }
    answer.await.map_err(|_| super::closed())?.map(|_| ())
}
