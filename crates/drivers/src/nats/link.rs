//! One connection that is kept up: requests and their answers, subscriptions, and what is written. When it breaks, it is made
//! again for as long as somebody holds the [`Link`]; what was asked meanwhile fails or waits, as its caller says.
//!
//! What is received goes to the [`Sink`] of its subscription in runs of messages, on the connection's own task: no message
//! is handed from task to task by itself.

mod pump;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openmessaging::url::Endpoint;
use openmessaging::{Error, Result};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::config::Config;
use super::dial::{ServerInfo, dial, refused};
use super::error::{self, forbidden, unavailable, violated_subject};
use super::health::Health;
use super::wire::{self, Frame, Op};
use crate::lock;

/// Takes the messages of a subscription. Called on the connection's task: it must not wait.
pub(super) trait Sink: Send {
    fn messages(&mut self, buffer: &[u8], frames: &[Frame]);

    /// The user may not publish to this subject (which may be anybody's).
    fn forbidden(&mut self, _subject: &str, _error: &Error) {}
}

/// An answer. A status (`NATS/1.0 503`) is in the headers.
#[derive(Debug, Default)]
pub(super) struct Reply {
    pub headers: Vec<u8>,
    pub payload: Vec<u8>,
}

impl Reply {
    /// Nobody listens to the subject: no JetStream, no such stream.
    pub fn is_nobody(&self) -> bool {
        self.payload.is_empty() && wire::status(&self.headers).is_some_and(|(code, _)| code == 503)
    }
}

/// Why there is no answer.
pub(super) enum Unanswered {
    /// The connection broke: it may have been done or not.
    Lost(Error),
    /// Nothing came in time: the same.
    Late,
    Failed(Error),
}

pub(super) struct Link {
    inner: Arc<Inner>,
}

struct Inner {
    config: Arc<Config>,
    health: Arc<Health>,
    id: u64,
    /// What the subjects of this connection's own subscriptions begin with.
    inbox: String,
    state: Mutex<State>,
    outgoing: Mutex<Outgoing>,
    written: Notify,
    /// The generation of the connection, 0 while there is none.
    up: watch::Sender<u64>,
    reset: Notify,
    closed: CancellationToken,
    heard: AtomicBool,
    /// Of this connection: how often the server was asked, and how often it answered.
    pings: AtomicU64,
    pongs: AtomicU64,
}

#[derive(Default)]
struct State {
    generations: u64,
    info: ServerInfo,
    why: Option<Error>,
    /// The user may not subscribe to answers: nothing can be asked.
    deaf: Option<Error>,
    next: u64,
    subscriptions: HashMap<u64, (String, Arc<Mutex<dyn Sink>>)>,
    pending: HashMap<u64, Pending>,
}

struct Pending {
    subject: String,
    answer: oneshot::Sender<std::result::Result<Reply, Unanswered>>,
}

#[derive(Default)]
struct Outgoing {
    generation: u64,
    bytes: Vec<u8>,
}

/// A text that nobody else has.
pub(super) fn unique() -> String {
    let number = |seed: u8| RandomState::new().hash_one(seed);
    format!("{:016x}{:016x}", number(1), number(2))
}

impl Link {
    /// Connects, and keeps connected. Must be called on the drivers' runtime.
    pub async fn open(config: Arc<Config>, health: Arc<Health>, limit: Duration) -> Result<Self> {
        let each = limit / config.endpoints.len().max(1) as u32;
        let dialled = dial(&config, &config.endpoints, each).await?;
        let inbox = format!("{}.{}", config.inbox, unique());
        let inner = Arc::new(Inner {
            id: health.number(),
            config,
            health,
            inbox,
            state: Mutex::default(),
            outgoing: Mutex::default(),
            written: Notify::new(),
            up: watch::Sender::new(0),
            reset: Notify::new(),
            closed: CancellationToken::new(),
            heard: AtomicBool::new(true),
            pings: AtomicU64::new(0),
            pongs: AtomicU64::new(0),
        });
        inner.begin(&dialled.info);
        tokio::spawn(pump::run(inner.clone(), dialled));
        Ok(Self { inner })
    }

    pub fn config(&self) -> &Arc<Config> {
        &self.inner.config
    }

    /// Of the server that is connected, or was last.
    pub fn info(&self) -> ServerInfo {
        lock(&self.inner.state).info.clone()
    }

    pub fn max_payload(&self) -> usize {
        lock(&self.inner.state).info.max_payload
    }

    /// Where the generation of the connection is seen: it grows with each one, 0 is none.
    pub fn up(&self) -> watch::Receiver<u64> {
        self.inner.up.subscribe()
    }

    /// Why the connection was lost last.
    pub fn why(&self) -> Error {
        self.inner.why()
    }

    /// Asks the server behind everything that was written: once [`answered`](Self::answered) says yes to the number, the
    /// server has read all of it.
    pub fn ping(&self) -> u64 {
        self.inner.ping()
    }

    pub fn answered(&self, ping: u64) -> bool {
        self.inner.pongs.load(Ordering::Relaxed) >= ping
    }

    /// Gives the connection up, with what was written and not sent, and makes a new one.
    pub fn reset(&self) {
        self.inner.reset.notify_one();
    }

    pub fn close(&self) {
        self.inner.closed.cancel();
    }

    /// Appends to what is sent, unless there is another connection now than the caller thinks.
    pub fn write(&self, generation: u64, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        self.inner.write(generation, write)
    }

    /// A subject for answers to a subscription of one's own.
    pub fn own_subject(&self) -> String {
        let number = lock(&self.inner.state).number();
        format!("{}.s{number}", self.inner.inbox)
    }

    /// Subscribes, on this connection and each that follows it. The number is for [`unsubscribe`](Self::unsubscribe).
    pub fn subscribe(&self, subject: String, sink: Arc<Mutex<dyn Sink>>) -> u64 {
        let (number, generation) = {
            let mut state = lock(&self.inner.state);
            let number = state.number();
            state.subscriptions.insert(number, (subject.clone(), sink));
            (number, *self.inner.up.borrow())
        };
        self.inner.write(generation, |out| wire::subscribe(out, &subject, number));
        number
    }

    pub fn unsubscribe(&self, number: u64) {
        if lock(&self.inner.state).subscriptions.remove(&number).is_some() {
            let generation = *self.inner.up.borrow();
            self.inner.write(generation, |out| wire::unsubscribe(out, number));
        }
    }

    /// Sends without an answer, if there is a connection.
    pub fn publish(&self, subject: &str, payload: &[u8]) {
        let generation = *self.inner.up.borrow();
        self.inner.write(generation, |out| wire::publish(out, subject.as_bytes(), b"", b"", payload));
    }

    /// Asks, and waits for the answer until `deadline`; while there is no connection, waits for one.
    pub async fn request(
        &self,
        subject: &str,
        headers: &[u8],
        payload: &[u8],
        deadline: Instant,
    ) -> std::result::Result<Reply, Unanswered> {
        let inner = &self.inner;
        let server = &inner.config.server;
        let generation = {
            let mut up = inner.up.subscribe();
            let connected =
                async { up.wait_for(|generation| *generation > 0).await.map(|generation| *generation) };
            tokio::select! {
                () = inner.closed.cancelled() => return Err(Unanswered::Failed(error::closed(server))),
                generation = tokio::time::timeout_at(deadline, connected) => match generation {
                    Ok(Ok(generation)) => generation,
                    Ok(Err(_)) => return Err(Unanswered::Failed(error::closed(server))),
                    Err(_) => return Err(Unanswered::Failed(inner.why())),
                },
            }
        };
        let (answer, answered) = oneshot::channel();
        let number = {
            let mut state = lock(&inner.state);
            if let Some(error) = &state.deaf {
                return Err(Unanswered::Failed(error::again(error)));
            }
            let number = state.number();
            state.pending.insert(number, Pending { subject: subject.to_owned(), answer });
            number
        };
        let _forget = Forget { inner, number };
        let reply = format!("{}.{number}", inner.inbox);
        if !inner.write(generation, |out| {
            wire::publish(out, subject.as_bytes(), reply.as_bytes(), headers, payload)
        }) {
            return Err(Unanswered::Lost(inner.why()));
        }
        tokio::select! {
            () = inner.closed.cancelled() => Err(Unanswered::Failed(error::closed(server))),
            answer = tokio::time::timeout_at(deadline, answered) => match answer {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(Unanswered::Lost(inner.why())),
                Err(_) => Err(Unanswered::Late),
            },
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.inner.closed.cancel();
    }
}

/// A request that is waited for no more.
struct Forget<'a> {
    inner: &'a Inner,
    number: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(&self.inner.state).pending.remove(&self.number);
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// The subscription of the answers to requests.
const ANSWERS: u64 = 0;

impl Inner {
    fn why(&self) -> Error {
        let state = lock(&self.state);
        state
            .why
            .as_ref()
            .map_or_else(|| unavailable(&self.config.server, &"the connection is lost"), error::again)
    }

    fn ping(&self) -> u64 {
        let generation = *self.up.borrow();
        self.write(generation, |out| out.extend_from_slice(b"PING\r\n"));
        self.pings.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn write(&self, generation: u64, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut outgoing = lock(&self.outgoing);
        if generation == 0 || outgoing.generation != generation {
            return false;
        }
        write(&mut outgoing.bytes);
        drop(outgoing);
        self.written.notify_one();
        true
    }

    /// There is a connection: everything is subscribed on it before anything else is sent.
    fn begin(&self, info: &ServerInfo) {
        let mut state = lock(&self.state);
        state.info = info.clone();
        state.deaf = None;
        state.generations += 1;
        let mut bytes = Vec::new();
        wire::subscribe(&mut bytes, &format!("{}.*", self.inbox), ANSWERS);
        for (number, (subject, _)) in &state.subscriptions {
            wire::subscribe(&mut bytes, subject, *number);
        }
        self.pings.store(0, Ordering::Relaxed);
        self.pongs.store(0, Ordering::Relaxed);
        *lock(&self.outgoing) = Outgoing { generation: state.generations, bytes };
        self.up.send_replace(state.generations);
        drop(state);
        self.written.notify_one();
        self.health.works(self.id);
    }

    /// There is none any more.
    fn end(&self, why: Error) {
        self.up.send_replace(0);
        *lock(&self.outgoing) = Outgoing::default();
        let pending = {
            let mut state = lock(&self.state);
            state.why = Some(error::again(&why));
            std::mem::take(&mut state.pending)
        };
        for (_, request) in pending {
            // Whoever asked may have gone.
            let _ = request.answer.send(Err(Unanswered::Lost(error::again(&why))));
        }
        self.health.failed(self.id, &why);
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        let mut endpoints = self.config.endpoints.clone();
        for url in &lock(&self.state).info.connect_urls {
            let Some((host, port)) = url.rsplit_once(':') else { continue };
            let host = host.trim_matches(['[', ']']).to_owned();
            let found = Endpoint { host, port: port.parse().ok() };
            if found.port.is_some() && !endpoints.contains(&found) {
                endpoints.push(found);
            }
        }
        endpoints
    }

    /// Hands a run of messages of one subscription over.
    fn deliver(&self, buffer: &[u8], frames: &[Frame]) {
        let Some(first) = frames.first() else { return };
        if first.subscription != ANSWERS {
            let sink = lock(&self.state).subscriptions.get(&first.subscription).map(|(_, sink)| sink.clone());
            if let Some(sink) = sink {
                lock(&sink).messages(buffer, frames);
            }
            return;
        }
        let mut state = lock(&self.state);
        for frame in frames {
            let number =
                buffer[frame.subject.clone()].rsplit(|byte| *byte == b'.').next().and_then(wire::number);
            let Some(pending) = number.and_then(|number| state.pending.remove(&number)) else { continue };
            let copy = |range: &std::ops::Range<usize>| buffer[range.clone()].to_vec();
            let _ = pending
                .answer
                .send(Ok(Reply { headers: copy(&frame.headers), payload: copy(&frame.payload) }));
        }
    }

    /// What is not a message; an error where the connection ends with it.
    fn told(&self, buffer: &[u8], op: Op) -> Option<Error> {
        match op {
            Op::Ping => {
                let generation = *self.up.borrow();
                self.write(generation, |out| out.extend_from_slice(b"PONG\r\n"));
            }
            Op::Info(range) => {
                if let Ok(info) = serde_json::from_slice(&buffer[range]) {
                    lock(&self.state).info = info;
                }
            }
            Op::Err(range) => {
                let text = String::from_utf8_lossy(&buffer[range]);
                if violated_subject(&text).is_none() {
                    return Some(refused(&self.config.server, &text));
                }
                self.complained(&text);
            }
            Op::Pong => {
                self.pongs.fetch_add(1, Ordering::Relaxed);
            }
            Op::Ok | Op::Message(_) => {}
        }
        None
    }

    /// Something that the user may not do. The connection goes on.
    fn complained(&self, text: &str) {
        let Some((publishing, subject)) = violated_subject(text) else { return };
        let error = forbidden(&self.config.server, text);
        let mut state = lock(&self.state);
        // Without the right to subscribe no answer comes at all.
        if !publishing && subject.starts_with(&self.inbox) {
            state.deaf = Some(error::again(&error));
        }
        let hit: Vec<u64> = state
            .pending
            .iter()
            .filter(|(_, pending)| !publishing || pending.subject == subject)
            .map(|(number, _)| *number)
            .collect();
        for pending in hit.into_iter().filter_map(|number| state.pending.remove(&number)) {
            let _ = pending.answer.send(Err(Unanswered::Failed(error::again(&error))));
        }
        let sinks: Vec<_> = state.subscriptions.values().map(|(_, sink)| sink.clone()).collect();
        drop(state);
        for sink in sinks {
            lock(&sink).forbidden(subject, &error);
        }
    }
}
