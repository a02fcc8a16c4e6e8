//! Watching a key/value store: first what is there, then each change as it is committed. Changes go to all watchers
//! through one bounded channel; a watcher that falls behind reads the newest values from the store instead.
//! Whatever keeps its values in a table can be watched: see [`Watched`].

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use openmessaging::{Change, Changes, Error, KeyValue, Page, Result, StatusCode};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::table::Newer;
use crate::lock;

/// A store that can be watched. What its [`Feed`] is told must be in the table already, and `last_version` must be at
/// least the version of everything that was told.
pub(crate) trait Watched: Send + Sync + 'static {
    fn feed(&self) -> &Feed;

    /// Cancelled when the store is closed.
    fn closed(&self) -> &CancellationToken;

    /// The version of the last write that is in the table.
    fn last_version(&self) -> Result<u64>;

    fn get(&self, key: &str) -> Result<Option<KeyValue>>;

    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page>;

    fn newer(&self, prefix: &str, after: Option<&str>, version: u64, limit: usize) -> Result<Newer>;
}

/// Watches the keys with that prefix.
pub(crate) fn watch<S: Watched>(store: Arc<S>, prefix: &str) -> Result<Changes> {
    let watcher = Watcher::new(store, prefix)?;
    let step = |mut watcher: Watcher<S>| async move {
        let change: Option<Result<Change>> = watcher.next().await;
        change.map(|change| (change, watcher))
    };
    Ok(futures::stream::unfold(watcher, step).boxed())
}

/// So many changes a watcher may be behind before it reads from the store.
const CHANNEL: usize = 1024;

/// Larger values are not kept for watchers: each reads them itself.
const INLINE_VALUE: usize = 4096;

/// So many deletions are remembered for watchers that fell behind.
const DELETIONS: usize = 65_536;

/// How many entries are read at a time.
const PAGE: usize = 128;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Inline(Arc<[u8]>),
    /// Too large to keep: it is in the store, unless it was overwritten.
    Stored,
    Deleted,
    /// Not a change: watchers may have missed some, and must begin anew.
    Restart,
}

/// A committed change.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub key: String,
    pub version: u64,
    pub value: Value,
}

impl Event {
    pub fn value(value: &[u8]) -> Value {
        if value.len() <= INLINE_VALUE { Value::Inline(value.into()) } else { Value::Stored }
    }

    pub fn deletion(key: String, version: u64) -> Self {
        Self { key, version, value: Value::Deleted }
    }

    /// Ends every watch with an error that says to begin anew.
    #[cfg(feature = "queue-store")]
    pub fn restart(version: u64) -> Self {
        Self { key: String::new(), version, value: Value::Restart }
    }
}

/// Where a store's changes go, in the order of their commits.
pub(crate) struct Feed {
    changes: broadcast::Sender<Arc<Event>>,
    deletions: Mutex<Deletions>,
}

/// What was deleted while somebody watched.
#[derive(Default)]
struct Deletions {
    keys: BTreeMap<u64, String>,
    /// Deletions up to this version may be missing.
    forgotten: u64,
    /// The version of the last event.
    told: u64,
}

impl Default for Feed {
    fn default() -> Self {
        Self { changes: broadcast::Sender::new(CHANNEL), deletions: Mutex::default() }
    }
}

impl Feed {
    /// Called by the thread that commits; never waits.
    pub fn tell(&self, event: Event) {
        let mut deletions = lock(&self.deletions);
        deletions.told = event.version;
        if self.changes.receiver_count() == 0 {
            deletions.keys.clear();
            deletions.forgotten = event.version;
            return;
        }
        if event.value == Value::Deleted {
            deletions.keys.insert(event.version, event.key.clone());
            if deletions.keys.len() > DELETIONS
                && let Some((version, _)) = deletions.keys.pop_first()
            {
                deletions.forgotten = version;
            }
        }
        // That the last watcher has gone meanwhile is no failure.
        let _ = self.changes.send(Arc::new(event));
    }
}

/// One watch.
struct Watcher<S> {
    store: Arc<S>,
    prefix: String,
    events: broadcast::Receiver<Arc<Event>>,
    phase: Phase,
    /// Changes up to this version were seen.
    seen: u64,
    /// Keys that the scan met with a version behind `seen`: their events are still to come and are skipped.
    ahead: HashMap<String, u64>,
    ready: VecDeque<Change>,
}

enum Phase {
    /// Reads what is there, behind this key.
    Scan(Option<String>),
    /// Reads what was missed, in the order of versions.
    CatchUp(VecDeque<(u64, String, bool)>),
    Live,
    Ended,
}

impl<S: Watched> Watcher<S> {
    fn new(store: Arc<S>, prefix: &str) -> Result<Self> {
        // What is committed from here on is in the channel; what was before is in the store.
        let events = store.feed().changes.subscribe();
        let seen = store.last_version()?;
        Ok(Self {
            store,
            prefix: prefix.to_owned(),
            events,
            phase: Phase::Scan(None),
            seen,
            ahead: HashMap::new(),
            ready: VecDeque::new(),
        })
    }

    /// The next change; `None` when the store is closed. After an error the watch has ended.
    async fn next(&mut self) -> Option<Result<Change>> {
        loop {
            if self.store.closed().is_cancelled() {
                return None;
            }
            if let Some(change) = self.ready.pop_front() {
                return Some(Ok(change));
            }
            let step = match &mut self.phase {
                Phase::Ended => return None,
                Phase::Scan(after) => {
                    let after = after.take();
                    self.scan(after.as_deref())
                }
                Phase::CatchUp(missed) => match missed.pop_front() {
                    None => {
                        self.phase = Phase::Live;
                        continue;
                    }
                    Some((version, key, true)) => {
                        self.ready.push_back(Change::Deleted { key, version });
                        Ok(())
                    }
                    Some((version, key, false)) => self.fetch(&key, version),
                },
                Phase::Live => {
                    let closed = self.store.closed().clone();
                    let event = tokio::select! {
                        event = self.events.recv() => event,
                        () = closed.cancelled() => return None,
                    };
                    match event {
                        Ok(event) => self.take(&event),
                        Err(RecvError::Lagged(_)) => self.fall_back().await,
                        Err(RecvError::Closed) => return None,
                    }
                }
            };
            if let Err(error) = step {
                self.phase = Phase::Ended;
                return (!self.store.closed().is_cancelled()).then_some(Err(error));
            }
        }
    }

    fn scan(&mut self, after: Option<&str>) -> Result<()> {
        let Page { entries, next } = self.store.list(&self.prefix, after, PAGE)?;
        for entry in entries {
            if entry.version > self.seen {
                self.ahead.insert(entry.key.clone(), entry.version);
            }
            self.ready.push_back(Change::Put(entry));
        }
        self.phase = match next {
            Some(last) => Phase::Scan(Some(last)),
            None => {
                self.ready.push_back(Change::Current);
                Phase::Live
            }
        };
        Ok(())
    }

    fn take(&mut self, event: &Event) -> Result<()> {
        let Event { key, version, value } = event;
        if *value == Value::Restart {
            return Err(too_slow(&self.prefix));
        }
        if *version <= self.seen {
            return Ok(());
        }
        self.seen = *version;
        if !key.starts_with(&self.prefix) {
            return Ok(());
        }
        if let Some(met) = self.ahead.get(key) {
            if met >= version {
                return Ok(());
            }
            self.ahead.remove(key);
        }
        match value {
            Value::Inline(value) => {
                let change = KeyValue { key: key.clone(), value: value.to_vec(), version: *version };
                self.ready.push_back(Change::Put(change));
                Ok(())
            }
            Value::Deleted => {
                self.ready.push_back(Change::Deleted { key: key.clone(), version: *version });
                Ok(())
            }
            Value::Stored => self.fetch(key, *version),
            Value::Restart => Ok(()),
        }
    }

    /// Takes a value from the store, unless it was overwritten: a newer event will come then.
    fn fetch(&mut self, key: &str, version: u64) -> Result<()> {
        let found = self.store.get(key)?;
        self.ready.extend(found.filter(|found| found.version == version).map(Change::Put));
        Ok(())
    }

    /// Drops the channel's content and gathers what changed since from the store.
    async fn fall_back(&mut self) -> Result<()> {
        const KEYS: usize = 4096;
        let (until, mut missed): (u64, Vec<(u64, String, bool)>) = {
            // Nothing is told meanwhile: what is told later comes through the channel.
            let deletions = lock(&self.store.feed().deletions);
            self.events = self.store.feed().changes.subscribe();
            if deletions.forgotten > self.seen {
                return Err(too_slow(&self.prefix));
            }
            let since = deletions.keys.range(self.seen + 1..);
            let own = since.filter(|(_, key)| key.starts_with(&self.prefix));
            (deletions.told, own.map(|(version, key)| (*version, key.clone(), true)).collect())
        };
        let mut after: Option<String> = None;
        loop {
            let (found, next) = self.store.newer(&self.prefix, after.as_deref(), self.seen, KEYS)?;
            missed.extend(found.into_iter().map(|(version, key)| (version, key, false)));
            match next {
                Some(last) => after = Some(last),
                None => break,
            }
            tokio::task::yield_now().await;
        }
        // What came behind `until` is in the channel too.
        missed.retain(|(version, ..)| *version <= until);
        missed.sort_unstable();
        self.seen = until.max(self.seen);
        self.phase = Phase::CatchUp(missed.into());
        Ok(())
    }
}

fn too_slow(prefix: &str) -> Error {
    let message = format!("the watch of \"{prefix}\" fell too far behind");
    Error::new(StatusCode::Unavailable, message).with_remedy("watch again from the start")
}
