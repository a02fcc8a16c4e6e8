//! The messages of a bucket, as they come: for watches, and for the index of a listing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use openmessaging::Error;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::access_point::Handle;
use super::api::JetStream;
use super::bucket::is_deletion;
use super::error;
use super::names::{bucket_prefix, bucket_stream, key_of};
use super::pull::{Delivered, Reading, Target, from_sequence};
use crate::lock;

/// What is fetched ahead of whoever takes it.
const AHEAD_BYTES: usize = 1024 * 1024;

#[derive(Debug)]
pub(super) enum Event {
    /// So many entries are there now.
    Begins(u64),
    Entry {
        key: String,
        sequence: u64,
        /// `None`: the key is not there any more.
        value: Option<Vec<u8>>,
        /// Entries behind it.
        pending: u64,
    },
    Failed(Error),
}

#[derive(Default)]
struct State {
    events: VecDeque<Event>,
    bytes: usize,
    ended: bool,
}

#[derive(Default)]
struct Buffer {
    prefix: usize,
    state: Mutex<State>,
    arrived: Notify,
    taken: Notify,
}

/// The entries of a bucket from a place on, without end. Reading ends when this is dropped.
pub(super) struct Entries(Arc<Buffer>);

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// With the newest entry of each key.
    Newest,
    Sequence(u64),
}

impl Entries {
    pub fn read(handle: &Handle, bucket: &str, from: From) -> openmessaging::Result<Self> {
        let prefix = bucket_prefix(bucket);
        let buffer = Arc::new(Buffer { prefix: prefix.len(), ..Buffer::default() });
        let filter = format!("{prefix}>");
        let start = move |next: Option<u64>| {
            let mut start = match (next, from) {
                (None, From::Newest) => json!({ "deliver_policy": "last_per_subject" }),
                (None, From::Sequence(sequence)) | (Some(sequence), _) => from_sequence(sequence),
            };
            start["filter_subject"] = Value::from(filter.as_str());
            start
        };
        let reading = Reading {
            js: JetStream { link: handle.js.link.clone() },
            control: handle.js.link.clone(),
            stream: bucket_stream(bucket),
            created: None,
            from: 0,
            start: Box::new(start),
            what: format!("bucket {bucket}"),
            target: buffer.clone(),
        };
        crate::common::runtime::handle()?.spawn(reading.run());
        Ok(Self(buffer))
    }

    /// What has come, at least one event. Cancel-safe.
    pub async fn next(&self) -> VecDeque<Event> {
        loop {
            let arrived = self.0.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            {
                let mut state = lock(&self.0.state);
                if !state.events.is_empty() {
                    state.bytes = 0;
                    let events = std::mem::take(&mut state.events);
                    drop(state);
                    self.0.taken.notify_waiters();
                    return events;
                }
            }
            arrived.await;
        }
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        lock(&self.0.state).ended = true;
        self.0.taken.notify_waiters();
    }
}

impl Buffer {
    fn push(&self, event: Event) {
        lock(&self.state).events.push_back(event);
        self.arrived.notify_waiters();
    }
}

#[async_trait]
impl Target for Buffer {
    fn take(&self, delivered: &[Delivered<'_>]) {
        let mut state = lock(&self.state);
        for message in delivered {
            let written = message.subject.get(self.prefix..).and_then(|key| std::str::from_utf8(key).ok());
            // One that others wrote under a name that is no key of ours still counts.
            let key = written.and_then(key_of).unwrap_or_default();
            let value = (!is_deletion(message.headers)).then(|| message.payload.to_vec());
            state.bytes += message.subject.len() + message.payload.len() + size_of::<Event>();
            let (sequence, pending) = (message.sequence, message.pending);
            state.events.push_back(Event::Entry { key, sequence, value, pending });
        }
        drop(state);
        self.arrived.notify_waiters();
    }

    fn begins(&self, pending: u64) {
        self.push(Event::Begins(pending));
    }

    fn fail(&self, error: Error) {
        self.push(Event::Failed(error));
    }

    async fn room(&self, least: usize) -> Option<usize> {
        loop {
            let taken = self.taken.notified();
            tokio::pin!(taken);
            taken.as_mut().enable();
            {
                let state = lock(&self.state);
                if state.ended {
                    return None;
                }
                let room = AHEAD_BYTES.saturating_sub(state.bytes);
                if room >= least.clamp(1, AHEAD_BYTES) {
                    return Some(room);
                }
            }
            taken.await;
        }
    }

    async fn ended(&self) {
        loop {
            let taken = self.taken.notified();
            tokio::pin!(taken);
            taken.as_mut().enable();
            if lock(&self.state).ended {
                return;
            }
            taken.await;
        }
    }
}

/// An error for a store whose access point was closed meanwhile.
pub(super) fn closed(handle: &Handle) -> Error {
    error::closed(&handle.config.server)
}
