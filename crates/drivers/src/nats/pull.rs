//! Reading a stream: a consumer without a name at the server, which is asked for so many bytes at a time and is made again,
//! at the known place, after whatever happens to it.
//!
//! What arrives is handed to a [`Target`] on the connection's task; a task for each stream asks for more where there is room.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use openmessaging::{Error, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::api::JetStream;
use super::error::{self, STREAM_NOT_FOUND};
use super::link::{Link, Sink};
use super::progress::{Progress, Verdict};
use super::wire::Frame;
use crate::lock;

/// How long the server keeps a request that it has nothing for.
const EXPIRES: Duration = Duration::from_secs(30);

/// How often the server says meanwhile that it has nothing.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long to wait before a consumer is made that could not be.
const PAUSE: Duration = Duration::from_millis(100);

/// Bytes of a message as the server counts them are at least these: its subject, and where it is acknowledged.
const LEAST_BYTES: usize = 40;

/// A message of a stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delivered<'a> {
    pub sequence: u64,
    /// When it was stored, milliseconds since the epoch.
    pub time: i64,
    /// How many of the stream are behind it.
    pub pending: u64,
    pub subject: &'a [u8],
    pub headers: &'a [u8],
    pub payload: &'a [u8],
}

/// Where messages go.
#[async_trait]
pub(super) trait Target: Send + Sync + 'static {
    /// Messages in order. Must not wait.
    fn take(&self, delivered: &[Delivered<'_>]);

    /// A consumer was made, with so many messages before it.
    fn begins(&self, _pending: u64) {}

    /// Reading has ended, with this.
    fn fail(&self, error: Error);

    /// Waits until there are so many bytes of room (or all there is), and says how many; `None` when nothing is wanted any more.
    async fn room(&self, least: usize) -> Option<usize>;

    /// Waits until nothing is wanted any more.
    async fn ended(&self);
}

/// What is read: the part of a consumer's configuration that says where it starts, given the sequence to go on at; `None` at
/// first.
pub(super) struct Reading<T> {
    pub js: JetStream,
    /// The connection on which the server is told that a consumer is not needed any more: it outlives this reading.
    pub control: Arc<Link>,
    pub stream: String,
    /// When the stream was made, where another one of the same name is not wanted.
    pub created: Option<String>,
    pub from: u64,
    pub start: Box<dyn Fn(Option<u64>) -> Value + Send + Sync>,
    /// As an error names it: "queue orders".
    pub what: String,
    pub target: Arc<T>,
}

struct Shared {
    progress: Mutex<Progress>,
    changed: Notify,
}

struct PullSink<T> {
    shared: Arc<Shared>,
    target: Arc<T>,
    /// Of which consumer: what comes for an older one is dropped.
    consumer: u64,
}

impl<T: Target> Sink for PullSink<T> {
    fn messages(&mut self, buffer: &[u8], frames: &[Frame]) {
        let mut delivered = Vec::with_capacity(frames.len());
        let mut progress = lock(&self.shared.progress);
        if progress.consumer() != self.consumer {
            return;
        }
        for frame in frames {
            if let Some(message) = progress.take(buffer, frame) {
                delivered.push(message);
            }
        }
        if !delivered.is_empty() {
            self.target.take(&delivered);
        }
        drop(progress);
        self.shared.changed.notify_one();
    }
}

/// A subscription, ended when dropped.
struct Subscribed<'a> {
    link: &'a Link,
    number: u64,
}

impl Drop for Subscribed<'_> {
    fn drop(&mut self) {
        self.link.unsubscribe(self.number);
    }
}

impl<T: Target> Reading<T> {
    /// Reads until the target wants no more, or the stream is gone.
    pub async fn run(self) {
        let target = self.target.clone();
        let shared =
            Arc::new(Shared { progress: Mutex::new(Progress::new(self.from)), changed: Notify::new() });
        tokio::select! {
            () = target.ended() => {}
            error = self.read(&shared) => if let Some(error) = error { target.fail(error) },
        }
        if let Some(name) = lock(&shared.progress).name() {
            JetStream { link: self.control.clone() }.forget_consumer(&self.stream, name);
        }
    }

    /// `None`: nothing is wanted any more.
    async fn read(&self, shared: &Arc<Shared>) -> Option<Error> {
        let link = self.js.link.clone();
        let mut up = link.up();
        let mut first = true;
        loop {
            let Ok(generation) =
                up.wait_for(|generation| *generation > 0).await.map(|generation| *generation)
            else {
                return Some(error::closed(self.js.server()));
            };
            // Subscribed before there is a consumer, so that nothing is sent to nobody.
            let consumer = lock(&shared.progress).start();
            let sink = PullSink { shared: shared.clone(), target: self.target.clone(), consumer };
            let inbox = link.own_subject();
            let number = link.subscribe(inbox.clone(), Arc::new(Mutex::new(sink)));
            let _subscribed = Subscribed { link: &link, number };
            if !first && self.is_another().await {
                return Some(self.gone());
            }
            let next = (!first).then(|| lock(&shared.progress).next());
            let made = self.js.consumer(&self.stream, (self.start)(next), self.js.deadline()).await;
            match made {
                Ok(Ok(info)) => {
                    first = false;
                    self.target.begins(info.num_pending);
                    lock(&shared.progress).made(info.name);
                }
                Ok(Err(error)) if error.err_code == STREAM_NOT_FOUND => {
                    return Some(self.gone());
                }
                Ok(Err(error)) if error.status() != StatusCode::Unavailable => {
                    return Some(error.into_error(self.js.server(), &format!("reading {}", self.what)));
                }
                Err(error) if !error.is_retriable() => return Some(error),
                Ok(Err(_)) | Err(_) => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            }
            let changed = async { up.wait_for(|now| *now != generation).await.is_ok() };
            tokio::select! {
                _ = changed => {}
                more = self.ask(shared, &link, generation, &inbox) => match more {
                    Asked::Again => {}
                    Asked::Failed(error) => return Some(error),
                    Asked::Ended => return None,
                },
            }
        }
    }

    fn gone(&self) -> Error {
        Error::new(StatusCode::NotFound, format!("{} is gone at {}", self.what, self.js.server()))
            .with_remedy("create it again, and assign it again")
    }

    /// Whether the stream was deleted and made anew: its sequences are others.
    async fn is_another(&self) -> bool {
        let Some(created) = &self.created else { return false };
        let found = self.js.info(&self.stream, self.js.deadline()).await;
        matches!(found, Ok(Some(info)) if info.created != *created)
    }

    /// Asks for more where there is room, until the consumer must be made again.
    async fn ask(&self, shared: &Shared, link: &Link, generation: u64, inbox: &str) -> Asked {
        let Some(mut share) = self.target.room(1).await else { return Asked::Ended };
        let name = lock(&shared.progress).name().unwrap_or_default().to_owned();
        let subject = format!("{}.CONSUMER.MSG.NEXT.{}.{name}", link.config().api, self.stream);
        loop {
            let (verdict, asked) = {
                let progress = lock(&shared.progress);
                (progress.verdict(HEARTBEAT * 2 + Duration::from_secs(1)), progress.asked_bytes())
            };
            let alone = match verdict {
                Verdict::Again => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    return Asked::Again;
                }
                Verdict::Failed(text) => {
                    let message = format!("{} refused ({text}): reading {}", self.js.server(), self.what);
                    return Asked::Failed(
                        Error::new(StatusCode::ServerError, message)
                            .with_remedy("look into the server's log for the reason"),
                    );
                }
                Verdict::Alone => true,
                Verdict::Ok => false,
            };
            let part = (share / 4).max(1);
            let room = async {
                if !alone && asked + part > share {
                    return std::future::pending().await;
                }
                self.target.room(if alone { 1 } else { asked + part }).await
            };
            tokio::select! {
                biased;
                room = room => {
                    let Some(room) = room else { return Asked::Ended };
                    share = share.max(room);
                    let bytes = room.saturating_sub(asked).max(1);
                    let body = request(if alone { None } else { Some(bytes) });
                    lock(&shared.progress).asks(if alone { 0 } else { bytes }, alone);
                    let written = link.write(generation, |out| {
                        super::wire::publish(out, subject.as_bytes(), inbox.as_bytes(), b"", body.as_bytes());
                    });
                    if !written {
                        return Asked::Again;
                    }
                }
                () = shared.changed.notified() => {}
                () = tokio::time::sleep(HEARTBEAT) => {}
            }
        }
    }
}

enum Asked {
    Again,
    Failed(Error),
    Ended,
}

/// Asks for so many bytes, and as many messages as may be in them; or for one message, however large.
fn request(bytes: Option<usize>) -> String {
    let mut body = json!({
        "expires": EXPIRES.as_nanos() as u64,
        "idle_heartbeat": HEARTBEAT.as_nanos() as u64,
        "batch": bytes.map_or(1, |bytes| bytes / LEAST_BYTES + 1),
    });
    if let Some(bytes) = bytes {
        body["max_bytes"] = bytes.into();
    }
    body.to_string()
}

/// Reads a stream from a sequence on.
pub(super) fn from_sequence(sequence: u64) -> Value {
    json!({ "deliver_policy": "by_start_sequence", "opt_start_seq": sequence.max(1) })
}
