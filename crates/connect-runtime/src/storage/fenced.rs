//! Values that only their present owner can write.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use openmessaging::{KeyValueStore, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::worker::lock;

/// The version of the stored form (invariant 7).
const VERSION: u32 = 1;

/// Why a write was not made.
#[derive(Debug)]
pub enum Fenced {
    /// Somebody with a newer epoch has this work now.
    Newer {
        key: String,
        epoch: u64,
        newer: u64,
    },
    Store(openmessaging::Error),
}

impl fmt::Display for Fenced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fenced::Newer { key, epoch, newer } => {
                write!(f, "{key} belongs to epoch {newer} now, this task has epoch {epoch}")
            }
            Fenced::Store(error) => error.fmt(f),
        }
    }
}

impl From<openmessaging::Error> for Fenced {
    fn from(error: openmessaging::Error) -> Self {
        Fenced::Store(error)
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    v: u32,
    epoch: u64,
    value: Json,
}

/// The values below one prefix, written under one epoch.
///
/// Opening it writes the epoch into every value below the prefix (and a mark where there is none), by comparing
/// versions: an older owner's next write finds another version there, reads the newer epoch and is refused. A value that
/// an older owner makes afresh afterwards has its older epoch behind the mark, and is not read.
pub struct FencedStore {
    store: Arc<dyn KeyValueStore>,
    prefix: String,
    epoch: u64,
    versions: Mutex<HashMap<String, u64>>,
}

impl FencedStore {
    /// Takes the prefix over.
    ///
    /// # Errors
    /// [`Fenced::Newer`] when somebody with a newer epoch has it already.
    pub async fn claim(store: Arc<dyn KeyValueStore>, prefix: String, epoch: u64) -> Result<Self, Fenced> {
        let this = Self { store, prefix, epoch, versions: Mutex::default() };
        this.put("", &Json::Null).await?;
        for (name, value) in this.read_all("").await? {
            this.put(&name, &value).await?;
        }
        Ok(this)
    }

    async fn read_all(&self, start: &str) -> Result<Vec<(String, Json)>, Fenced> {
        let read = read_all(&self.store, &self.key(start)).await?;
        let mut versions = lock(&self.versions);
        let named = read.into_iter().filter_map(|read| {
            let name = read.key.strip_prefix(&self.prefix).filter(|name| !name.is_empty())?.to_owned();
            versions.insert(name.clone(), read.version);
            Some((name, read.value))
        });
        Ok(named.collect())
    }

    /// The value of a name, unless an older owner wrote it after this one took over.
    pub async fn get(&self, name: &str) -> Result<Option<Json>, Fenced> {
        let Some(entry) = self.store.get(&self.key(name)).await? else { return Ok(None) };
        let stored = serde_json::from_slice::<Stored>(&entry.value).ok();
        lock(&self.versions).insert(name.to_owned(), entry.version);
        Ok(stored.filter(|stored| stored.epoch >= self.epoch).map(|stored| stored.value))
    }

    /// Writes a value; durable when it returns.
    ///
    /// # Errors
    /// [`Fenced::Newer`] when the work has gone to a newer epoch: stop.
    pub async fn put(&self, name: &str, value: &Json) -> Result<(), Fenced> {
        let key = self.key(name);
        let stored = Stored { v: VERSION, epoch: self.epoch, value: value.clone() };
        let bytes = serde_json::to_vec(&stored).unwrap_or_default();
        loop {
            let expected = lock(&self.versions).get(name).copied();
            match self.store.put_if_version(&key, &bytes, expected).await {
                Ok(version) => {
                    lock(&self.versions).insert(name.to_owned(), version);
                    return Ok(());
                }
                Err(error) if error.status == StatusCode::Conflict => self.yield_to_newer(name, &key).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub async fn delete(&self, name: &str) -> Result<(), Fenced> {
        self.store.delete(&self.key(name)).await?;
        lock(&self.versions).remove(name);
        Ok(())
    }

    /// Names below the prefix that start with `start`, in order.
    pub async fn names(&self, start: &str) -> Result<Vec<String>, Fenced> {
        Ok(self.read_all(start).await?.into_iter().map(|(name, _)| name).collect())
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Another version is there: a newer epoch's is an error, an older one's is taken over by the next try.
    async fn yield_to_newer(&self, name: &str, key: &str) -> Result<(), Fenced> {
        let found = self.store.get(key).await?;
        let mut versions = lock(&self.versions);
        let Some(entry) = found else {
            versions.remove(name);
            return Ok(());
        };
        let newer = serde_json::from_slice::<Stored>(&entry.value).map_or(0, |stored| stored.epoch);
        if newer > self.epoch {
            return Err(Fenced::Newer { key: key.to_owned(), epoch: self.epoch, newer });
        }
        versions.insert(name.to_owned(), entry.version);
        Ok(())
    }
}

/// A stored value as anybody may read it.
pub struct ReadValue {
    pub key: String,
    pub version: u64,
    pub value: Json,
}

/// Every value below a prefix, whoever owns it.
pub async fn read_all(store: &Arc<dyn KeyValueStore>, prefix: &str) -> openmessaging::Result<Vec<ReadValue>> {
    let mut values = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = store.list(prefix, after.as_deref(), 500).await?;
        for entry in page.entries {
            match serde_json::from_slice::<Stored>(&entry.value) {
                Ok(stored) => {
                    values.push(ReadValue { key: entry.key, version: entry.version, value: stored.value });
                }
                Err(error) => tracing::error!(key = entry.key, %error, "unreadable stored value, left alone"),
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(values);
        }
    }
}
