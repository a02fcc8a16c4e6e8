//! Watching a store: a task with a connection of its own, which reads the stream of changes. Versions have no gaps, so
//! where one is missing the stream was cut before this watcher got there: then the store itself says what is newer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use openmessaging::{Change, Changes, KeyValue, Result, StatusCode};
use tokio::sync::mpsc::{Sender, channel};

use super::super::common::runtime;
use super::client::Again;
use super::connection::Connection;
use super::entry::Field;
use super::key_value::Store;
use super::offset;
use super::resp::{Reply, command};

/// So many changes wait for who watches.
const AHEAD: usize = 16;

/// How many changes are read at once.
const COUNT: &str = "64";

/// How long the server waits for a change until it answers that there is none.
const BLOCK: Duration = Duration::from_secs(5);

/// How long until it is tried again what failed.
const AGAIN: Duration = Duration::from_millis(200);

const PAGE: usize = 100;

pub(super) fn start(store: Arc<Store>, prefix: &str) -> Result<Changes> {
    let (sender, receiver) = channel(AHEAD);
    let watcher = Watcher { store, prefix: prefix.to_owned(), sender, last: 0, ahead: HashMap::new() };
    runtime::handle()?.spawn(watcher.run());
    let step = |mut receiver: tokio::sync::mpsc::Receiver<Result<Change>>| async move {
        receiver.recv().await.map(|change| (change, receiver))
    };
    Ok(futures::stream::unfold(receiver, step).boxed())
}

struct Watcher {
    store: Arc<Store>,
    prefix: String,
    sender: Sender<Result<Change>>,
    /// The last version that was looked at.
    last: u64,
    /// Newer versions that were told already, with what was there at first.
    ahead: HashMap<String, u64>,
}

/// Nobody watches any more, or who does was told why it cannot go on.
struct Gone;

type Step<T> = std::result::Result<T, Gone>;

/// One entry of the stream of changes.
struct Entry {
    version: u64,
    key: String,
    /// `None`: too large for the stream, or a deletion.
    value: Option<Vec<u8>>,
    deleted: bool,
}

/// What reading the stream came to.
enum Read {
    Entries(Vec<Entry>),
    Broken,
}

impl Watcher {
    async fn run(mut self) {
        let closed = self.store.client.link.closed.clone();
        let sender = self.sender.clone();
        tokio::select! {
            () = closed.cancelled() => {}
            () = sender.closed() => {}
            _ = self.watch() => {}
        }
    }

    /// Ends only when nobody watches.
    async fn watch(&mut self) -> Step<()> {
        self.begin().await?;
        loop {
            let link = self.store.client.link.clone();
            let mut connection = link.connect().await;
            // A server that lost data begins with lower versions.
            if self.newest().await? < self.last {
                self.last = 0;
                self.ahead.clear();
                self.catch_up().await?;
            }
            while let Read::Entries(entries) = self.read(&mut connection).await {
                self.tell(entries).await?;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// What is there.
    async fn begin(&mut self) -> Step<()> {
        self.last = self.newest().await?;
        let mut after = None::<String>;
        loop {
            let page = self.page(after.as_deref(), true).await?;
            after = page.1;
            for entry in page.0 {
                if entry.version > self.last {
                    self.ahead.insert(entry.key.clone(), entry.version);
                }
                self.send(Change::Put(entry)).await?;
            }
            if after.is_none() {
                return self.send(Change::Current).await;
            }
        }
    }

    /// Tells changes that follow each other; where some are missing, what is newer instead.
    async fn tell(&mut self, entries: Vec<Entry>) -> Step<()> {
        for entry in entries {
            if entry.version > self.last + 1 {
                return self.catch_up().await;
            }
            self.last = entry.version;
            if !entry.key.starts_with(&self.prefix)
                || self.ahead.get(&entry.key).is_some_and(|told| *told >= entry.version)
            {
                continue;
            }
            if entry.deleted {
                self.send(Change::Deleted { key: entry.key, version: entry.version }).await?;
                continue;
            }
            match entry.value {
                Some(value) => {
                    let put = KeyValue { key: entry.key, value, version: entry.version };
                    self.send(Change::Put(put)).await?;
                }
                // Another version has a change of its own.
                None => self.tell_value(entry.key, entry.version).await?,
            }
        }
        self.ahead.retain(|_, version| *version > self.last);
        Ok(())
    }

    /// Tells the value of that version, if it is still there.
    async fn tell_value(&mut self, key: String, version: u64) -> Step<()> {
        let store = self.store.clone();
        let found = self.patiently(|| store.read(&key)).await?;
        match found.filter(|found| found.version == version) {
            Some(found) => self.send(Change::Put(found)).await,
            None => Ok(()),
        }
    }

    /// Tells what is newer than the last version, up to the newest of now.
    async fn catch_up(&mut self) -> Step<()> {
        let newest = self.newest().await?;
        let mut newer: Vec<(u64, String, bool)> = Vec::new();
        let mut after = None::<String>;
        loop {
            let (entries, next) = self.page(after.as_deref(), false).await?;
            let fresh = entries.into_iter().filter(|entry| (self.last + 1..=newest).contains(&entry.version));
            newer.extend(fresh.map(|entry| (entry.version, entry.key, false)));
            after = next;
            if after.is_none() {
                break;
            }
        }
        newer.extend(self.deleted(newest).await?.into_iter().map(|(version, key)| (version, key, true)));
        newer.sort_unstable();
        for (version, key, deleted) in newer {
            if self.ahead.get(&key).is_some_and(|told| *told >= version) {
                continue;
            }
            match deleted {
                true => self.send(Change::Deleted { key, version }).await?,
                // A newer version comes with the stream.
                false => self.tell_value(key, version).await?,
            }
        }
        self.last = newest;
        self.ahead.retain(|_, version| *version > newest);
        Ok(())
    }

    /// Keys that were deleted after the last version, and not written again.
    async fn deleted(&self, newest: u64) -> Step<Vec<(u64, String)>> {
        let store = &self.store;
        let what = store.what("watching");
        let (from, to) = (format!("({}", self.last), newest.to_string());
        let key = store.keys.deleted.as_bytes();
        let asked = command(&[b"ZRANGEBYSCORE", key, from.as_bytes(), to.as_bytes(), b"WITHSCORES"]);
        let read = || store.client.call(&what, asked.clone(), Again::Yes);
        let items = self.patiently(read).await?.array().unwrap_or_default();
        let pair = |pair: &[Reply]| {
            let version = pair[1].text()?.parse::<f64>().ok()? as u64;
            Some((version, pair[0].text()?.to_owned()))
        };
        let all = items.chunks_exact(2).filter_map(pair);
        Ok(all.filter(|(_, key)| key.starts_with(&self.prefix)).collect())
    }

    /// The newest version of the store.
    async fn newest(&self) -> Step<u64> {
        let store = &self.store;
        let what = store.what("watching");
        let asked = command(&[b"GET", store.keys.counter.as_bytes()]);
        let reply = self.patiently(|| store.client.call(&what, asked.clone(), Again::Yes)).await?;
        Ok(reply.integer().and_then(|version| u64::try_from(version).ok()).unwrap_or_default())
    }

    /// A page, and where the next one begins.
    async fn page(&self, after: Option<&str>, values: bool) -> Step<(Vec<KeyValue>, Option<String>)> {
        let page = self.patiently(|| self.store.page(&self.prefix, after, PAGE, values)).await?;
        let next = page.entries.last().filter(|_| page.more).map(|last| last.key.clone());
        Ok((page.entries, next))
    }

    /// Until it works; what will not work by itself is told instead.
    async fn patiently<T, F: Future<Output = Result<T>>>(&self, mut call: impl FnMut() -> F) -> Step<T> {
        loop {
            match call().await {
                Ok(done) => return Ok(done),
                Err(error) if error.is_retriable() => {
                    tracing::debug!(store = self.store.name, %error, "a watch goes on when the server can be asked again");
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => {
                    if error.status != StatusCode::Closed {
                        let _ = self.sender.send(Err(error)).await;
                    }
                    return Err(Gone);
                }
            }
        }
    }

    async fn send(&self, change: Change) -> Step<()> {
        self.sender.send(Ok(change)).await.map_err(|_| Gone)
    }

    async fn read(&self, connection: &mut Connection) -> Read {
        let block = BLOCK.as_millis().to_string();
        // Behind the last version: ids are `version-0`.
        let from = format!("{}-0", self.last);
        let key = self.store.keys.changes.as_bytes();
        let asked: [&[u8]; 8] = [
            b"XREAD",
            b"COUNT",
            COUNT.as_bytes(),
            b"BLOCK",
            block.as_bytes(),
            b"STREAMS",
            key,
            from.as_bytes(),
        ];
        let limit = BLOCK + self.store.client.link.config.timeout;
        let what = self.store.what("watching");
        match tokio::time::timeout(limit, connection.call(&what, &asked)).await {
            Ok(Ok(Reply::Nil)) => Read::Entries(Vec::new()),
            Ok(Ok(reply)) => entries(reply).map_or(Read::Broken, Read::Entries),
            _ => Read::Broken,
        }
    }
}

fn entries(reply: Reply) -> Option<Vec<Entry>> {
    let stream = reply.array()?.into_iter().next()?.array()?;
    let entries = stream.into_iter().nth(1)?.array()?;
    entries.into_iter().map(entry).collect()
}

fn entry(reply: Reply) -> Option<Entry> {
    let [id, fields] = <[Reply; 2]>::try_from(reply.array()?).ok()?;
    let (version, _) = offset::parts(&id.bytes()?)?;
    let parts: Vec<Vec<u8>> = fields.array()?.into_iter().filter_map(Reply::bytes).collect();
    let fields: Vec<Field<'_>> = parts.chunks_exact(2).map(|pair| (&pair[0][..], &pair[1][..])).collect();
    let find = |name: &[u8]| fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value.to_vec());
    let key = String::from_utf8(find(b"key")?).ok()?;
    Some(Entry { version, key, value: find(b"value"), deleted: find(b"deleted").is_some() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read() {
        let bytes = |text: &str| Reply::Bytes(text.as_bytes().to_vec());
        let entry = |id: &str, fields: &[&str]| {
            Reply::Array(vec![bytes(id), Reply::Array(fields.iter().map(|field| bytes(field)).collect())])
        };
        let list = Reply::Array(vec![
            entry("7-0", &["key", "a", "value", ""]),
            entry("8-0", &["key", "a", "deleted", "1"]),
            entry("9-0", &["key", "b"]),
        ]);
        let reply = Reply::Array(vec![Reply::Array(vec![bytes("s"), list])]);
        let read = entries(reply).expect("well formed");
        let told: Vec<_> =
            read.iter().map(|entry| (entry.version, entry.value.is_some(), entry.deleted)).collect();
        assert_eq!(told, [(7, true, false), (8, false, true), (9, false, false)]);
        assert!(entries(Reply::Array(Vec::new())).is_none());
    }
}
