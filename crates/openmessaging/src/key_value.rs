//! The key/value operations, in which a runtime keeps positions. The clauses cited are those of `docs/specs/driver.md`.

use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::error::Result;

/// A stored value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    pub key: String,
    pub value: Vec<u8>,
    /// Grows with every write of the store; never used twice, also not for a key that was deleted.
    pub version: u64,
}

/// One page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    pub entries: Vec<KeyValue>,
    /// Pass it as `after` for the next page; `None` on the last.
    pub next: Option<String>,
}

/// One change of a store, as a watch sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Put(KeyValue),
    Deleted {
        key: String,
        version: u64,
    },
    /// Everything that was there when the watch began has been seen.
    Current,
}

/// The changes of a watch, in order of their versions.
pub type Changes = BoxStream<'static, Result<Change>>;

/// A store of small values under text keys: 1 to 1,000 bytes of UTF-8, values up to 1 MiB. Calls may be made in
/// parallel, also by other processes where the broker is shared.
#[async_trait]
pub trait KeyValueStore: Send + Sync {
    /// The newest value (K/V reads see every write that was answered before they began: D24).
    async fn get(&self, key: &str) -> Result<Option<KeyValue>>;

    /// Writes whatever is there; durable when it returns the new version (D23).
    async fn put(&self, key: &str, value: &[u8]) -> Result<u64>;

    /// Writes only if the key's version is `expected`, `None` meaning that the key is not there; otherwise `Conflict`
    /// and nothing changes. Of several writers with the same expectation exactly one wins (D25).
    async fn put_if_version(&self, key: &str, value: &[u8], expected: Option<u64>) -> Result<u64>;

    /// Deletes the key if it is there; says whether it was (D26).
    async fn delete(&self, key: &str) -> Result<bool>;

    /// Up to `limit` entries whose keys start with `prefix`, in byte order of keys, behind `after` (D27).
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page>;

    /// The entries whose keys start with `prefix`, then `Current`, then every change of them in order (D28). A watcher
    /// that does not keep up slows nobody: it may miss versions that were overwritten meanwhile, never the newest of a
    /// key.
    async fn watch(&self, prefix: &str) -> Result<Changes>;
}
