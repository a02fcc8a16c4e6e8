//! Key/value stores: one table of the metadata file for each.

use std::sync::Arc;

use async_trait::async_trait;
use openmessaging::{Changes, KeyValue, KeyValueStore, Page, Result};
use redb::WriteTransaction;
use tokio_util::sync::CancellationToken;

use super::access_point::Handle;
use super::meta;
use crate::store::table::{self, Newer, StoreTable};
use crate::store::watch::{self, Event, Feed, Watched};

/// A store, shared by all that use it in this process.
pub(super) struct StoreState {
    table: StoreTable,
    feed: Feed,
}

impl StoreState {
    /// # Errors
    /// `BadParameter` for a name that is not letters, digits, `-` and `_`.
    pub fn new(name: &str) -> Result<Self> {
        table::check_name(name)?;
        Ok(Self { table: StoreTable::new(format!("kv/{name}")), feed: Feed::default() })
    }
}

/// One store through one handle.
#[derive(Clone)]
pub(super) struct LocalStore {
    pub handle: Arc<Handle>,
    pub state: Arc<StoreState>,
}

impl LocalStore {
    /// `expected` is `None` where any version will do.
    async fn write(&self, key: &str, value: &[u8], expected: Option<Option<u64>>) -> Result<u64> {
        self.handle.check()?;
        table::check_key(key)?;
        table::check_value(key, value)?;
        let (state, name, stored) = (self.state.clone(), key.to_owned(), value.to_vec());
        let write = move |transaction: &WriteTransaction| {
            if let Some(expected) = expected {
                let found = state.table.current(transaction, &name)?;
                if found != expected {
                    return Ok(Err(table::conflict(&name, expected, found)));
                }
            }
            let version = meta::next_version(transaction)?;
            state.table.insert(transaction, &name, &stored, version)?;
            Ok(Ok(version))
        };
        let (state, name, value) = (self.state.clone(), key.to_owned(), Event::value(value));
        let tell = move |version: &u64| state.feed.tell(Event { key: name, version: *version, value });
        self.handle.shared.meta.write(write, tell).await
    }
}

impl Watched for LocalStore {
    fn feed(&self) -> &Feed {
        &self.state.feed
    }

    fn closed(&self) -> &CancellationToken {
        &self.handle.closed
    }

    fn last_version(&self) -> Result<u64> {
        self.handle.shared.meta.read(meta::last_version)
    }

    fn get(&self, key: &str) -> Result<Option<KeyValue>> {
        self.handle.shared.meta.read(|reading| self.state.table.get(reading, key))
    }

    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page> {
        self.handle.shared.meta.read(|reading| self.state.table.list(reading, prefix, after, limit))
    }

    fn newer(&self, prefix: &str, after: Option<&str>, version: u64, limit: usize) -> Result<Newer> {
        self.handle.shared.meta.read(|reading| self.state.table.newer(reading, prefix, after, version, limit))
    }
}

#[async_trait]
impl KeyValueStore for LocalStore {
    async fn get(&self, key: &str) -> Result<Option<KeyValue>> {
        self.handle.check()?;
        table::check_key(key)?;
        Watched::get(self, key)
    }

    async fn put(&self, key: &str, value: &[u8]) -> Result<u64> {
        self.write(key, value, None).await
    }

    async fn put_if_version(&self, key: &str, value: &[u8], expected: Option<u64>) -> Result<u64> {
        self.write(key, value, Some(expected)).await
    }

    async fn delete(&self, key: &str) -> Result<bool> {
        self.handle.check()?;
        table::check_key(key)?;
        let (state, name) = (self.state.clone(), key.to_owned());
        let write = move |transaction: &WriteTransaction| {
            if !state.table.remove(transaction, &name)? {
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
        table::check_limit(limit)?;
        let (store, prefix, after) = (self.clone(), prefix.to_owned(), after.map(str::to_owned));
        super::access_point::blocking(move || Watched::list(&store, &prefix, after.as_deref(), limit)).await
    }

    async fn watch(&self, prefix: &str) -> Result<Changes> {
        self.handle.check()?;
        watch::watch(Arc::new(self.clone()), prefix)
    }
}
