//! The table of one store: key to the version (8 bytes, little-endian) and the value. And the limits of keys and values.

use std::ops::Bound;

use openmessaging::{Error, KeyValue, Page, Result, StatusCode};
use redb::{ReadTransaction, ReadableTable, TableDefinition, TableError, WriteTransaction};

const MAX_KEY: usize = 1000;
const MAX_VALUE: usize = 1024 * 1024;

/// A page ends when it holds so many bytes of values, whatever its limit.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

const VERSION_BYTES: usize = 8;

/// `Ok(None)` where nothing was ever written.
type Opened<'a, T> = std::result::Result<Option<T>, redb::Error>;

/// Versions and keys, and the key to go on behind.
pub(crate) type Newer = (Vec<(u64, String)>, Option<String>);

/// The table of that name.
#[derive(Debug)]
pub(crate) struct StoreTable {
    name: String,
}

impl StoreTable {
    pub fn new(name: String) -> Self {
        Self { name }
    }

    fn definition(&self) -> TableDefinition<'_, &'static str, &'static [u8]> {
        TableDefinition::new(&self.name)
    }

    fn open<'a>(
        &self,
        reading: &'a ReadTransaction,
    ) -> Opened<'a, redb::ReadOnlyTable<&'static str, &'static [u8]>> {
        match reading.open_table(self.definition()) {
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

    /// The version that the key has now.
    pub fn current(
        &self,
        writing: &WriteTransaction,
        key: &str,
    ) -> std::result::Result<Option<u64>, redb::Error> {
        let table = writing.open_table(self.definition())?;
        Ok(table.get(key)?.map(|stored| version_of(stored.value())))
    }

    pub fn insert(
        &self,
        writing: &WriteTransaction,
        key: &str,
        value: &[u8],
        version: u64,
    ) -> std::result::Result<(), redb::Error> {
        let mut stored = Vec::with_capacity(VERSION_BYTES + value.len());
        stored.extend_from_slice(&version.to_le_bytes());
        stored.extend_from_slice(value);
        writing.open_table(self.definition())?.insert(key, stored.as_slice())?;
        Ok(())
    }

    #[cfg(any(feature = "queue-store", feature = "nats"))]
    pub fn clear(&self, writing: &WriteTransaction) -> std::result::Result<(), redb::Error> {
        writing.delete_table(self.definition())?;
        Ok(())
    }

    /// Says whether it was there.
    pub fn remove(&self, writing: &WriteTransaction, key: &str) -> std::result::Result<bool, redb::Error> {
        Ok(writing.open_table(self.definition())?.remove(key)?.is_some())
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

fn bad_parameter(message: String) -> Error {
    Error::new(StatusCode::BadParameter, message)
}

/// # Errors
/// `BadParameter`: not 1 to 200 letters, digits, `-` and `_`.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if (1..=200).contains(&name.len()) && name.chars().all(allowed) {
        return Ok(());
    }
    let shown: String = name.chars().take(60).collect();
    Err(bad_parameter(format!("\"{shown}\" cannot be the name of a key/value store"))
        .with_remedy("use 1 to 200 letters, digits, \"-\" and \"_\""))
}

/// # Errors
/// `BadParameter`: an empty key, or one that is too long.
pub(crate) fn check_key(key: &str) -> Result<()> {
    if (1..=MAX_KEY).contains(&key.len()) {
        return Ok(());
    }
    let shown: String = key.chars().take(40).collect();
    Err(bad_parameter(format!("key \"{shown}\" has {} bytes", key.len()))
        .with_remedy(format!("use 1 to {MAX_KEY} bytes")))
}

/// # Errors
/// `MessageTooLarge`.
pub(crate) fn check_value(key: &str, value: &[u8]) -> Result<()> {
    if value.len() <= MAX_VALUE {
        return Ok(());
    }
    let message = format!("the value of key \"{key}\" has {} bytes; {MAX_VALUE} are allowed", value.len());
    Err(Error::new(StatusCode::MessageTooLarge, message).with_remedy("make it smaller"))
}

/// # Errors
/// `BadParameter`: a page of nothing.
pub(crate) fn check_limit(limit: usize) -> Result<()> {
    if limit == 0 {
        return Err(
            bad_parameter("a page of 0 entries was asked for".to_owned()).with_remedy("ask for 1 or more")
        );
    }
    Ok(())
}

pub(crate) fn conflict(key: &str, expected: Option<u64>, found: Option<u64>) -> Error {
    let version = |version: Option<u64>| version.map_or("no value".to_owned(), |v| format!("version {v}"));
    let message = format!("key \"{key}\" has {}, where {} was expected", version(found), version(expected));
    Error::new(StatusCode::Conflict, message).with_remedy("read it again, and decide again")
}
