//! Key/value stores. The keys of one, behind `{omsconnect-store-NAME}:`
//!
//! | key | what |
//! |---|---|
//! | `counter` | the last version; never goes back, so that no version is used twice |
//! | `versions`, `values` | hashes by key |
//! | `keys` | a sorted set of the keys, all of the same score, and so in byte order |
//! | `deleted` | a sorted set of keys that were deleted, by the version of that |
//! | `changes` | a stream of the last changes, whose ids are `version-0`, with values that are not large |

use std::sync::Arc;

use async_trait::async_trait;
use openmessaging::{Changes, Error, KeyValue, KeyValueStore, Page, Result, StatusCode};

use super::super::common::names;
use super::super::common::settings::bad_parameter;
use super::client::{Again, Client};
use super::keys::Keys;
use super::resp::Reply;
use super::{error, scripts, watch};

const MAX_KEY: usize = 1000;
const MAX_VALUE: usize = 1024 * 1024;

/// A page ends when it holds so many bytes of values, or so many entries, whatever its limit.
const PAGE_BYTES: &[u8] = b"4194304";
const PAGE_ENTRIES: usize = 1000;

/// So many changes are kept for watchers, with values up to this size; larger ones they read.
const CHANGES: &[u8] = b"4096";
const CHANGE_BYTES: &[u8] = b"4096";

/// So many deletions are remembered, for watchers that fell behind.
const DELETIONS: &[u8] = b"100000";

/// The names of one store's keys.
pub(super) struct StoreKeys {
    pub counter: String,
    pub versions: String,
    pub values: String,
    pub keys: String,
    pub deleted: String,
    pub changes: String,
}

impl StoreKeys {
    fn new(prefix: &str) -> Self {
        let key = |name: &str| format!("{prefix}{name}");
        Self {
            counter: key("counter"),
            versions: key("versions"),
            values: key("values"),
            keys: key("keys"),
            deleted: key("deleted"),
            changes: key("changes"),
        }
    }

    /// In the order that `PUT` and `REMOVE` take them.
    fn all(&self) -> [&[u8]; 6] {
        [&self.counter, &self.versions, &self.values, &self.keys, &self.deleted, &self.changes]
            .map(|key| key.as_bytes())
    }
}

pub(super) struct Store {
    pub client: Arc<Client>,
    pub name: String,
    pub keys: StoreKeys,
}

/// Keys and versions of a page, with values where they were asked for.
pub(super) struct Listed {
    pub entries: Vec<KeyValue>,
    pub more: bool,
}

impl Store {
    /// # Errors
    /// `BadParameter` for a name that is not letters, digits, `-` and `_`.
    pub fn new(client: Arc<Client>, keys: &Keys, name: &str) -> Result<Self> {
        names::check_store(name)?;
        Ok(Self { client, name: name.to_owned(), keys: StoreKeys::new(&keys.store(name)) })
    }

    pub fn what(&self, doing: &str) -> String {
        format!("{doing} key/value store {}", self.name)
    }

    pub fn unexpected(&self, what: &str) -> Error {
        error::unexpected(self.client.link.server(), what)
    }

    /// `expected` is `None` where any version will do. Answers the new version, or the one that is there instead.
    async fn write(
        &self,
        key: &str,
        value: &[u8],
        expected: Option<Option<u64>>,
    ) -> Result<std::result::Result<u64, Option<u64>>> {
        self.client.link.check()?;
        check_key(key)?;
        if value.len() > MAX_VALUE {
            let message =
                format!("the value of key \"{key}\" has {} bytes; {MAX_VALUE} are allowed", value.len());
            return Err(Error::new(StatusCode::MessageTooLarge, message).with_remedy("make it smaller"));
        }
        let condition = match expected {
            None => "*".to_owned(),
            Some(None) => String::new(),
            Some(Some(version)) => version.to_string(),
        };
        let arguments = [key.as_bytes(), value, condition.as_bytes(), CHANGES, CHANGE_BYTES];
        // Written twice is the same; but the second time a condition would meet what the first time wrote.
        let again = if expected.is_none() { Again::Yes } else { Again::No };
        let what = self.what("writing to");
        let reply = self.client.script(&what, scripts::PUT, &self.keys.all(), &arguments, again).await?;
        let parts = reply.array().unwrap_or_default();
        let version = parts.get(1).and_then(Reply::integer).and_then(|version| u64::try_from(version).ok());
        match parts.first().and_then(Reply::integer) {
            Some(1) => version.map(Ok).ok_or_else(|| self.unexpected(&what)),
            Some(0) => Ok(Err(version)),
            _ => Err(self.unexpected(&what)),
        }
    }

    pub async fn read(&self, key: &str) -> Result<Option<KeyValue>> {
        let what = self.what("reading from");
        let keys = [self.keys.versions.as_bytes(), self.keys.values.as_bytes()];
        let reply = self.client.script(&what, scripts::GET, &keys, &[key.as_bytes()], Again::Yes).await?;
        if reply == Reply::Nil {
            return Ok(None);
        }
        let read = || {
            let [version, value] = <[Reply; 2]>::try_from(reply.array()?).ok()?;
            let version = u64::try_from(version.integer()?).ok()?;
            Some(KeyValue { key: key.to_owned(), value: value.bytes()?, version })
        };
        read().map(Some).ok_or_else(|| self.unexpected(&what))
    }

    /// Entries behind `after` in byte order of keys.
    pub async fn page(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        values: bool,
    ) -> Result<Listed> {
        let what = self.what("listing");
        let (from, to) = bounds(prefix, after);
        let limit = limit.clamp(1, PAGE_ENTRIES).to_string();
        let values: &[u8] = if values { b"1" } else { b"0" };
        let keys = [&self.keys.versions, &self.keys.values, &self.keys.keys].map(|key| key.as_bytes());
        let arguments: [&[u8]; 5] = [&from, &to, limit.as_bytes(), PAGE_BYTES, values];
        let reply = self.client.script(&what, scripts::LIST, &keys, &arguments, Again::Yes).await?;
        let read = || {
            let mut parts = reply.array()?.into_iter();
            let more = parts.next()?.integer()? == 1;
            let mut entries = Vec::with_capacity(parts.len() / 3);
            while let (Some(key), Some(version), Some(value)) = (parts.next(), parts.next(), parts.next()) {
                let key = String::from_utf8(key.bytes()?).ok()?;
                let version = u64::try_from(version.integer()?).ok()?;
                entries.push(KeyValue { key, value: value.bytes()?, version });
            }
            Some(Listed { entries, more })
        };
        read().ok_or_else(|| self.unexpected(&what))
    }
}

/// The bounds of `ZRANGEBYLEX`. No UTF-8 holds the byte 0xff, so all keys with the prefix are before it.
fn bounds(prefix: &str, after: Option<&str>) -> (Vec<u8>, Vec<u8>) {
    let from = match after.filter(|after| *after >= prefix) {
        Some(after) => [b"(", after.as_bytes()].concat(),
        None => [b"[", prefix.as_bytes()].concat(),
    };
    (from, [b"[", prefix.as_bytes(), b"\xff"].concat())
}

/// One store through one access point.
pub(super) struct RedisStore(pub Arc<Store>);

#[async_trait]
impl KeyValueStore for RedisStore {
    async fn get(&self, key: &str) -> Result<Option<KeyValue>> {
        self.0.client.link.check()?;
        check_key(key)?;
        self.0.read(key).await
    }

    async fn put(&self, key: &str, value: &[u8]) -> Result<u64> {
        match self.0.write(key, value, None).await? {
            Ok(version) => Ok(version),
            Err(_) => Err(self.0.unexpected(&self.0.what("writing to"))),
        }
    }

    async fn put_if_version(&self, key: &str, value: &[u8], expected: Option<u64>) -> Result<u64> {
        let written = self.0.write(key, value, Some(expected)).await?;
        written.map_err(|found| conflict(key, expected, found))
    }

    async fn delete(&self, key: &str) -> Result<bool> {
        self.0.client.link.check()?;
        check_key(key)?;
        let what = self.0.what("deleting from");
        let arguments = [key.as_bytes(), CHANGES, DELETIONS];
        let keys = self.0.keys.all();
        let reply = self.0.client.script(&what, scripts::REMOVE, &keys, &arguments, Again::No).await?;
        reply.integer().map(|count| count == 1).ok_or_else(|| self.0.unexpected(&what))
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page> {
        self.0.client.link.check()?;
        if limit == 0 {
            return Err(bad_parameter("a page of 0 entries was asked for").with_remedy("ask for 1 at least"));
        }
        let Listed { entries, more } = self.0.page(prefix, after, limit, true).await?;
        let next = entries.last().filter(|_| more).map(|last| last.key.clone());
        Ok(Page { entries, next })
    }

    async fn watch(&self, prefix: &str) -> Result<Changes> {
        self.0.client.link.check()?;
        watch::start(self.0.clone(), prefix)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_all_keys_with_the_prefix() {
        assert_eq!(bounds("", None), (b"[".to_vec(), b"[\xff".to_vec()));
        assert_eq!(bounds("a/", Some("a/b")), (b"(a/b".to_vec(), b"[a/\xff".to_vec()));
        assert_eq!(bounds("b", Some("a")).0, b"[b");
    }
}
