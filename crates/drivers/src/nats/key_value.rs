//! Key/value stores: JetStream buckets. A key's version is the sequence of its newest message in the bucket's stream, which
//! only grows. Reads go to the stream's leader, so they see every write that was answered (D24).

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use openmessaging::{Change, Changes, Error, KeyValue, KeyValueStore, Page, Result, StatusCode};
use tokio::time::Instant;

use super::access_point::Handle;
use super::api::Stored;
use super::bucket::{self, Write, is_deletion};
use super::entries::{Entries, Event, From};
use super::error::STREAM_NOT_FOUND;
use super::index::Index;
use super::names::{bucket_prefix, bucket_stream, push_key};
use crate::common::deadline::late;
use crate::common::runtime::on_own;
use crate::store::table::{check_key, check_limit, check_value, conflict};

/// A store, shared by all that use it through one access point.
pub(super) struct StoreState {
    pub bucket: String,
    stream: String,
    prefix: String,
    index: tokio::sync::Mutex<Index>,
}

impl StoreState {
    /// Makes the bucket, unless it is there.
    pub async fn open(handle: &Handle, name: &str) -> Result<Self> {
        let bucket = handle.config.space.store(name);
        bucket::create(&handle.js, &bucket, handle.deadline()).await?;
        let (stream, prefix) = (bucket_stream(&bucket), bucket_prefix(&bucket));
        Ok(Self { bucket, stream, prefix, index: tokio::sync::Mutex::new(Index::new()?) })
    }
}

/// One store through one access point.
pub(super) struct NatsStore {
    pub handle: Arc<Handle>,
    pub state: Arc<StoreState>,
}

impl NatsStore {
    fn subject(&self, key: &str) -> String {
        let mut subject = self.state.prefix.clone();
        push_key(&mut subject, key);
        subject
    }

    /// The newest message of a key, also one that says that it was deleted.
    async fn last(&self, key: &str, deadline: Instant) -> Result<Option<Stored>> {
        let js = &self.handle.js;
        match js.last(&self.state.stream, &self.subject(key), deadline).await? {
            Ok(stored) => Ok(stored),
            Err(error) if error.err_code == STREAM_NOT_FOUND => Ok(None),
            Err(error) => Err(error.into_error(js.server(), &format!("reading key \"{key}\""))),
        }
    }

    /// `Err` inside: the key has changed meanwhile.
    async fn write(
        &self,
        key: &str,
        value: Option<&[u8]>,
        expected: Option<u64>,
        deadline: Instant,
    ) -> Result<std::result::Result<u64, ()>> {
        let (js, subject) = (&self.handle.js, self.subject(key));
        let what = format!("writing key \"{key}\" of bucket {}", self.state.bucket);
        let write = Write { subject: &subject, value, expected };
        match bucket::write(js, &self.state.bucket, write, deadline, &what).await? {
            Ok(version) => Ok(Ok(version)),
            Err(error) if error.status() == StatusCode::Conflict => Ok(Err(())),
            Err(error) => Err(error.into_error(js.server(), &what)),
        }
    }
}

/// The version of a key, by its newest message.
fn version(stored: Option<&Stored>) -> Option<u64> {
    stored.filter(|stored| !is_deletion(&stored.headers)).map(|stored| stored.sequence)
}

#[async_trait]
impl KeyValueStore for NatsStore {
    async fn get(&self, key: &str) -> Result<Option<KeyValue>> {
        self.handle.check()?;
        check_key(key)?;
        let stored = self.last(key, self.handle.deadline()).await?;
        let there = stored.filter(|stored| !is_deletion(&stored.headers));
        Ok(there.map(|stored| KeyValue { key: key.to_owned(), value: stored.data, version: stored.sequence }))
    }

    async fn put(&self, key: &str, value: &[u8]) -> Result<u64> {
        self.handle.check()?;
        check_key(key)?;
        check_value(key, value)?;
        let written = self.write(key, Some(value), None, self.handle.deadline()).await?;
        written.map_err(|()| conflict(key, None, None))
    }

    async fn put_if_version(&self, key: &str, value: &[u8], expected: Option<u64>) -> Result<u64> {
        self.handle.check()?;
        check_key(key)?;
        check_value(key, value)?;
        let deadline = self.handle.deadline();
        let stored = self.last(key, deadline).await?;
        let found = version(stored.as_ref());
        if found != expected {
            return Err(conflict(key, expected, found));
        }
        // A deletion is a message too: what is expected at the server is its sequence.
        let sequence = stored.map_or(0, |stored| stored.sequence);
        match self.write(key, Some(value), Some(sequence), deadline).await? {
            Ok(version) => Ok(version),
            Err(()) => {
                let found = self.last(key, deadline).await?;
                Err(conflict(key, expected, version(found.as_ref())))
            }
        }
    }

    async fn delete(&self, key: &str) -> Result<bool> {
        self.handle.check()?;
        check_key(key)?;
        let deadline = self.handle.deadline();
        while Instant::now() < deadline {
            let stored = self.last(key, deadline).await?;
            let Some(version) = version(stored.as_ref()) else { return Ok(false) };
            if self.write(key, None, Some(version), deadline).await?.is_ok() {
                return Ok(true);
            }
        }
        Err(late(
            self.handle.config.timeout,
            &self.handle.config.server,
            &format!("deleting key \"{key}\", which others write"),
        ))
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page> {
        self.handle.check()?;
        check_limit(limit)?;
        let (handle, state) = (self.handle.clone(), self.state.clone());
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        on_own(async move {
            let mut index = state.index.lock().await;
            index.catch_up(&handle, &state.bucket).await?;
            index.list(prefix, after, limit).await
        })
        .await
    }

    async fn watch(&self, prefix: &str) -> Result<Changes> {
        self.handle.check()?;
        let (js, deadline) = (&self.handle.js, self.handle.deadline());
        bucket::create(js, &self.state.bucket, deadline).await?;
        let last = js.info(&self.state.stream, deadline).await?.map_or(0, |info| info.state.last_seq);
        let watcher = Watcher {
            entries: Entries::read(&self.handle, &self.state.bucket, From::Newest)?,
            handle: self.handle.clone(),
            prefix: prefix.to_owned(),
            there: last,
            left: None,
            current: false,
            events: VecDeque::new(),
            ready: VecDeque::new(),
            ended: false,
        };
        let step = |mut watcher: Watcher| async move {
            let change: Option<Result<Change>> = watcher.next().await;
            change.map(|change| (change, watcher))
        };
        Ok(futures::stream::unfold(watcher, step).boxed())
    }
}

struct Watcher {
    entries: Entries,
    handle: Arc<Handle>,
    prefix: String,
    /// What is not newer was there when the watch began.
    there: u64,
    /// So many entries that were there have not come yet.
    left: Option<u64>,
    /// `Current` was told.
    current: bool,
    events: VecDeque<Event>,
    ready: VecDeque<Change>,
    ended: bool,
}

impl Watcher {
    async fn next(&mut self) -> Option<Result<Change>> {
        loop {
            if self.ended || self.handle.closed.is_cancelled() {
                return None;
            }
            if let Some(change) = self.ready.pop_front() {
                return Some(Ok(change));
            }
            let Some(event) = self.events.pop_front() else {
                self.events = tokio::select! {
                    () = self.handle.closed.cancelled() => return None,
                    events = self.entries.next() => events,
                };
                continue;
            };
            if let Err(error) = self.take(event) {
                self.ended = true;
                return Some(Err(error));
            }
        }
    }

    fn take(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Begins(pending) => {
                self.left = Some(pending);
                self.tell_current(pending);
            }
            Event::Failed(error) => return Err(lost(error)),
            Event::Entry { key, sequence, value, pending } => {
                let left = self.left.map_or(0, |left| left.saturating_sub(1));
                self.left = Some(left);
                if key.starts_with(&self.prefix) && !key.is_empty() {
                    match value {
                        Some(value) => {
                            self.ready.push_back(Change::Put(KeyValue { key, value, version: sequence }))
                        }
                        // A key that was gone when the watch began was never told.
                        None if sequence <= self.there => {}
                        None => self.ready.push_back(Change::Deleted { key, version: sequence }),
                    }
                }
                self.tell_current(left.min(pending));
            }
        }
        Ok(())
    }

    fn tell_current(&mut self, left: u64) {
        if left == 0 && !std::mem::replace(&mut self.current, true) {
            self.ready.push_back(Change::Current);
        }
    }
}

fn lost(error: Error) -> Error {
    if error.status == StatusCode::NotFound {
        return Error::new(StatusCode::NotFound, format!("the watched store is gone: {}", error.message))
            .with_remedy("watch again: the store is made anew when it is next used");
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deleted_key_has_no_version() {
        let stored = |headers: &[u8]| Stored { sequence: 9, headers: headers.to_vec(), data: Vec::new() };
        assert_eq!(version(Some(&stored(b""))), Some(9));
        assert_eq!(version(Some(&stored(b"NATS/1.0\r\nKV-Operation: DEL\r\n\r\n"))), None);
        assert_eq!(version(None), None);
    }
}
