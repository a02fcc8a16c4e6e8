//! Writes records to the queue, one batch after the other: what arrives while a batch is on its way goes together in the next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openmessaging::{Error, MessageBatch, Producer, Result, StatusCode};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::fold::Outcome;
use super::record::{Condition, Entry, Id, Record, encode};
use crate::lock;

/// So many records go into one batch.
const BATCH: usize = 256;

/// A batch is not filled beyond this.
const BATCH_BYTES: usize = 512 * 1024;

const BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_millis(500);

/// Something to write.
#[derive(Debug)]
pub(super) enum Write {
    Genesis,
    Put {
        condition: Condition,
        key: String,
        value: Vec<u8>,
    },
    Delete {
        key: String,
    },
    /// Several that wait are one record.
    Mark,
    SnapshotBegin {
        covers: u64,
    },
    SnapshotEntries(Vec<openmessaging::KeyValue>),
    SnapshotEnd {
        entries: u64,
    },
}

impl Write {
    fn encode(&self, id: Id) -> Vec<u8> {
        match self {
            Write::Genesis => encode(id, &Record::Genesis),
            Write::Put { condition, key, value } => {
                encode(id, &Record::Put { condition: *condition, key, value })
            }
            Write::Delete { key } => encode(id, &Record::Delete { key }),
            Write::Mark => encode(id, &Record::Mark),
            Write::SnapshotBegin { covers } => encode(id, &Record::SnapshotBegin { covers: *covers }),
            Write::SnapshotEntries(entries) => {
                let borrowed = entries.iter().map(|entry| Entry {
                    key: &entry.key,
                    value: &entry.value,
                    version: entry.version,
                });
                encode(id, &Record::SnapshotEntries(borrowed.collect()))
            }
            Write::SnapshotEnd { entries } => encode(id, &Record::SnapshotEnd { entries: *entries }),
        }
    }
}

type Reply = oneshot::Sender<Result<Outcome>>;

pub(super) struct Request {
    pub write: Write,
    pub reply: Reply,
    pub deadline: Instant,
}

/// Who waits for what became of a record, by its count.
#[derive(Default)]
pub(super) struct Waiters(Mutex<HashMap<u64, Vec<Reply>>>);

impl Waiters {
    pub fn answer(&self, count: u64, outcome: &Outcome) {
        for reply in lock(&self.0).remove(&count).unwrap_or_default() {
            // Who waited may have gone.
            let _ = reply.send(Ok(outcome.clone()));
        }
    }

    pub fn fail(&self, count: u64, error: &Error) {
        for reply in lock(&self.0).remove(&count).unwrap_or_default() {
            let _ = reply.send(Err(copy(error)));
        }
    }

    /// Nothing will be answered any more.
    pub fn fail_all(&self, error: &Error) {
        for reply in lock(&self.0).drain().flat_map(|(_, replies)| replies) {
            let _ = reply.send(Err(copy(error)));
        }
    }
}

/// The same error for several who wait.
pub(super) fn copy(error: &Error) -> Error {
    let Error { status, message, remedy, retriable, .. } = error;
    let (message, remedy) = (message.clone(), remedy.clone());
    Error { status: *status, message, remedy, retriable: *retriable, source: None }
}

pub(super) struct Appender {
    pub queue: Arc<str>,
    pub writer: u64,
    pub producer: Box<dyn Producer>,
    pub requests: mpsc::Receiver<Request>,
    pub waiters: Arc<Waiters>,
    pub closed: CancellationToken,
}

/// A record in the batch.
struct Pending {
    count: u64,
    deadline: Instant,
}

impl Appender {
    pub async fn run(mut self) {
        let mut count = 0;
        let closed = self.closed.clone();
        let work = async {
            while let Some(first) = self.requests.recv().await {
                let (batch, pending) = self.gather(first, &mut count);
                self.send(batch, pending).await;
            }
        };
        tokio::select! {
            () = closed.cancelled() => {}
            () = work => {}
        }
        let error = Error::new(StatusCode::Closed, "the access point is closed");
        self.requests.close();
        while let Ok(Request { reply, .. }) = self.requests.try_recv() {
            let _ = reply.send(Err(copy(&error)));
        }
        self.waiters.fail_all(&error);
        let _ = tokio::time::timeout(Duration::from_secs(1), self.producer.close()).await;
    }

    /// One batch of what waits.
    fn gather(&mut self, first: Request, count: &mut u64) -> (MessageBatch, Vec<Pending>) {
        let (mut batch, mut pending) = (MessageBatch::new(), Vec::new());
        let mut mark: Option<u64> = None;
        let mut next = Some(first);
        while let Some(Request { write, reply, deadline }) = next {
            match mark {
                Some(shared) if matches!(write, Write::Mark) => {
                    lock(&self.waiters.0).entry(shared).or_default().push(reply);
                }
                _ => {
                    *count += 1;
                    let body = write.encode(Id { writer: self.writer, count: *count });
                    if matches!(write, Write::Mark) {
                        mark = Some(*count);
                    }
                    lock(&self.waiters.0).insert(*count, vec![reply]);
                    batch.start().finish(&self.queue, Some(0), now(), Some(&body));
                    pending.push(Pending { count: *count, deadline });
                }
            }
            let full = pending.len() >= BATCH || batch.data_len() >= BATCH_BYTES;
            next = if full { None } else { self.requests.try_recv().ok() };
        }
        (batch, pending)
    }

    /// Until all of it is stored, or refused, or nobody waits for it any more.
    async fn send(&mut self, mut batch: MessageBatch, mut pending: Vec<Pending>) {
        let mut backoff = BACKOFF;
        loop {
            let report = self.producer.send(batch).await;
            let Some(error) = report.error else { return };
            let prefix = report.acknowledged.prefix();
            batch = report.batch;
            batch.drop_front(prefix);
            pending.drain(..prefix.min(pending.len()));
            let given_up = pending.iter().all(|pending| pending.deadline <= Instant::now());
            if !error.is_retriable() || given_up {
                pending.iter().for_each(|pending| self.waiters.fail(pending.count, &error));
            }
            if let Err(error) = self.producer.recover().await {
                pending.iter().for_each(|pending| self.waiters.fail(pending.count, &error));
                return;
            }
            if !error.is_retriable() || given_up {
                return;
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }
}

fn now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
