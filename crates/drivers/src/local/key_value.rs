//! Key/value stores: one table of the metadata file for each.

use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use openmessaging::{Change, Changes, Error, KeyValue, KeyValueStore, Page, Result, StatusCode};
use redb::{ReadTransaction, ReadableTable, TableDefinition, TableError, WriteTransaction};

use super::access_point::Handle;
use super::error::bad_parameter;
use super::meta;
use super::watch::{Event, Feed, Watcher};

const MAX_KEY: usize = 1000;
const MAX_VALUE: usize = 1024 * 1024;

/// A page ends when it holds so many bytes of values, whatever its limit.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

const VERSION_BYTES: usize = 8;

/// A store, shared by all that use it in this process.
pub(super) struct StoreState {
    /// The name of its table.
    table: String,
    pub feed: Feed,
}

/// `Ok(None)` where nothing was ever written.
type Opened<'a, T> = std::result::Result<Option<T>, redb::Error>;

/// Versions and keys, and the key to go on behind.
type Newer = (Vec<(u64, String)>, Option<String>);

fn definition(table: &str) -> TableDefinition<'_, &'static str, &'static [u8]> {
    TableDefinition::new(table)
}

impl StoreState {
    /// # Errors
    /// `BadParameter` for a name that is not letters, digits, `-` and `_`.
    pub fn new(name: &str) -> Result<Self> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if name.is_empty() || name.len() > 200 || !name.chars().all(allowed) {
            let shown: String = name.chars().take(60).collect();
            return Err(bad_parameter(format!("\"{shown}\" cannot be the name of a key/value store"))
                .with_remedy("use 1 to 200 letters, digits, \"-\" and \"_\""));
        }
        Ok(Self { table: format!("kv/{name}"), feed: Feed::default() })
    }

    fn open<'a>(
        &self,
        reading: &'a ReadTransaction,
    ) -> Opened<'a, redb::ReadOnlyTable<&'static str, &'static [u8]>> {
        match reading.open_table(definition(&self.table)) {
            Ok(table) => Ok(Some(table)),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub fn get(&self, reading: &ReadTransaction, key: &str) -> Opened<'_, KeyValue> {
        let Some(table) = self.open(reading)? else { return Ok(None) };
        Ok(table.get(key)?.map(|stored| decode(key, stored.value())))
    }

    /// Entries in the order of their keys; the page is shorter than `limit` where the values are large.
    pub fn list(
        &self,
        reading: &ReadTransaction,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> std::result::Result<Page, redb::Error> {
        let mut page = Page::default();
        let Some(table) = self.open(reading)? else { return Ok(page) };
        let mut bytes = 0;
        for entry in table.range::<&str>((first(prefix, after), Bound::Unbounded))? {
            let (key, stored) = entry?;
            if !key.value().starts_with(prefix) {
                break;
            }
            if page.entries.len() >= limit || bytes >= PAGE_BYTES {
                page.next = page.entries.last().map(|last| last.key.clone());
                break;
            }
            bytes += stored.value().len();
            page.entries.push(decode(key.value(), stored.value()));
        }
        Ok(page)
    }

    /// The keys with the prefix that were written after `version`, with their versions; up to `limit` keys are looked
    /// at, behind `after`. Says where to go on.
    pub fn newer(
        &self,
        reading: &ReadTransaction,
        prefix: &str,
        after: Option<&str>,
        version: u64,
        limit: usize,
    ) -> std::result::Result<Newer, redb::Error> {
        let mut found = Vec::new();
        let Some(table) = self.open(reading)? else { return Ok((found, None)) };
        for (index, entry) in table.range::<&str>((first(prefix, after), Bound::Unbounded))?.enumerate() {
            let (key, stored) = entry?;
            if !key.value().starts_with(prefix) {
                break;
            }
            let written = version_of(stored.value());
            if written > version {
                found.push((written, key.value().to_owned()));
            }
            if index + 1 >= limit {
                let last = key.value().to_owned();
                return Ok((found, Some(last)));
            }
        }
        Ok((found, None))
    }
}

fn first<'a>(prefix: &'a str, after: Option<&'a str>) -> Bound<&'a str> {
    match after.filter(|after| *after >= prefix) {
        Some(after) => Bound::Excluded(after),
        None => Bound::Included(prefix),
    }
}

fn version_of(stored: &[u8]) -> u64 {
    stored.first_chunk::<VERSION_BYTES>().map_or(0, |version| u64::from_le_bytes(*version))
}

fn decode(key: &str, stored: &[u8]) -> KeyValue {
    let value = stored.get(VERSION_BYTES..).unwrap_or_default().to_vec();
    KeyValue { key: key.to_owned(), value, version: version_of(stored) }
}

/// The version that the key has now.
fn current(
    transaction: &WriteTransaction,
    table: &str,
    key: &str,
) -> std::result::Result<Option<u64>, redb::Error> {
    let table = transaction.open_table(definition(table))?;
    Ok(table.get(key)?.map(|stored| version_of(stored.value())))
}

/// One store through one handle.
pub(super) struct LocalStore {
    pub handle: Arc<Handle>,
    pub state: Arc<StoreState>,
}

impl LocalStore {
    /// `expected` is `None` where any version will do.
    async fn write(&self, key: &str, value: &[u8], expected: Option<Option<u64>>) -> Result<u64> {
        self.handle.check()?;
        check_key(key)?;
        if value.len() > MAX_VALUE {
            let message =
                format!("the value of key \"{key}\" has {} bytes; {MAX_VALUE} are allowed", value.len());
            return Err(Error::new(StatusCode::MessageTooLarge, message).with_remedy("make it smaller"));
        }
        let mut stored = vec![0; VERSION_BYTES];
        stored.extend_from_slice(value);
        let (state, name) = (self.state.clone(), key.to_owned());
        let write = move |transaction: &WriteTransaction| {
            if let Some(expected) = expected {
                let found = current(transaction, &state.table, &name)?;
                if found != expected {
                    return Ok(Err(conflict(&name, expected, found)));
                }
            }
            let version = meta::next_version(transaction)?;
            stored[..VERSION_BYTES].copy_from_slice(&version.to_le_bytes());
            transaction.open_table(definition(&state.table))?.insert(name.as_str(), stored.as_slice())?;
            Ok(Ok(version))
        };
        let (state, name, value) = (self.state.clone(), key.to_owned(), Event::value(value));
        let tell = move |version: &u64| state.feed.tell(Event { key: name, version: *version, value });
        self.handle.shared.meta.write(write, tell).await
    }
}

#[async_trait]
impl KeyValueStore for LocalStore {
    async fn get(&self, key: &str) -> Result<Option<KeyValue>> {
        self.handle.check()?;
        check_key(key)?;
        self.handle.shared.meta.read(|reading| self.state.get(reading, key))
    }

    async fn put(&self, key: &str, value: &[u8]) -> Result<u64> {
        self.write(key, value, None).await
    }

    async fn put_if_version(&self, key: &str, value: &[u8], expected: Option<u64>) -> Result<u64> {
        self.write(key, value, Some(expected)).await
    }

    async fn delete(&self, key: &str) -> Result<bool> {
        self.handle.check()?;
        check_key(key)?;
        let (state, name) = (self.state.clone(), key.to_owned());
        let write = move |transaction: &WriteTransaction| {
            if transaction.open_table(definition(&state.table))?.remove(name.as_str())?.is_none() {
                return Ok(Ok(None));
            }
            meta::next_version(transaction).map(|version| Ok(Some(version)))
        };
        let (state, key) = (self.state.clone(), key.to_owned());
        let tell = move |version: &Option<u64>| {
            if let Some(version) = *version {
                state.feed.tell(Event::deletion(key, version));
            }
        };
        Ok(self.handle.shared.meta.write(write, tell).await?.is_some())
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page> {
        self.handle.check()?;
        if limit == 0 {
            return Err(bad_parameter("a page of 0 entries was asked for"));
        }
        let (handle, state) = (self.handle.clone(), self.state.clone());
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        super::access_point::blocking(move || {
            handle.shared.meta.read(|reading| state.list(reading, &prefix, after.as_deref(), limit))
        })
        .await
    }

    async fn watch(&self, prefix: &str) -> Result<Changes> {
        self.handle.check()?;
        let watcher = Watcher::new(self.handle.clone(), self.state.clone(), prefix)?;
        let step = |mut watcher: Watcher| async move {
            let change: Option<Result<Change>> = watcher.next().await;
            change.map(|change| (change, watcher))
        };
        Ok(futures::stream::unfold(watcher, step).boxed())
    }
}

fn check_key(key: &str) -> Result<()> {
    if (1..=MAX_KEY).contains(&key.len()) {
        return Ok(());
    }
    let shown: String = key.chars().take(40).collect();
    Err(bad_parameter(format!("key \"{shown}\" has {} bytes", key.len()))
        .with_remedy(format!("use 1 to {MAX_KEY} bytes")))
}

fn conflict(key: &str, expected: Option<u64>, found: Option<u64>) -> Error {
    let version = |version: Option<u64>| version.map_or("no value".to_owned(), |v| format!("version {v}"));
    let message = format!("key \"{key}\" has {}, where {} was expected", version(found), version(expected));
    Error::new(StatusCode::Conflict, message).with_remedy("read it again, and decide again")
}
