//! What is in the queue of a store: the body of each message is one record.
//!
//! Format version 1, little-endian: the version (1 byte), the kind (1), the writer (8), its count (8), then by kind:
//!
//! | kind | | parts |
//! |---|---|---|
//! | 0 | genesis | |
//! | 1 | put | condition (1: 0 none, 1 absent, 2 version), version (8), key length (2), key, value |
//! | 2 | delete | key length (2), key |
//! | 3 | mark | |
//! | 4 | snapshot begins | covers (8): every record before this offset |
//! | 5 | entries of a snapshot | each: version (8), key length (2), key, value length (4), value |
//! | 6 | snapshot ends | entries in it (8) |
//!
//! Message keys and headers mean nothing.

use openmessaging::{Error, Result, StatusCode};

const FORMAT: u8 = 1;

/// Who wrote a record, and its how-manieth it was: a record that a broker stored twice is known by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Id {
    pub writer: u64,
    pub count: u64,
}

/// When a put counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    Always,
    /// The key has this version; `None`: it is not there.
    Version(Option<u64>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub key: &'a str,
    pub value: &'a [u8],
    pub version: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record<'a> {
    Genesis,
    Put { condition: Condition, key: &'a str, value: &'a [u8] },
    Delete { key: &'a str },
    Mark,
    SnapshotBegin { covers: u64 },
    SnapshotEntries(Vec<Entry<'a>>),
    SnapshotEnd { entries: u64 },
}

pub(super) fn encode(id: Id, record: &Record<'_>) -> Vec<u8> {
    let mut out = vec![FORMAT, kind(record)];
    out.extend_from_slice(&id.writer.to_le_bytes());
    out.extend_from_slice(&id.count.to_le_bytes());
    match record {
        Record::Genesis | Record::Mark => {}
        Record::Put { condition, key, value } => {
            let (tag, version) = match condition {
                Condition::Always => (0, 0),
                Condition::Version(None) => (1, 0),
                Condition::Version(Some(version)) => (2, *version),
            };
            out.push(tag);
            out.extend_from_slice(&version.to_le_bytes());
            text(&mut out, key);
            out.extend_from_slice(value);
        }
        Record::Delete { key } => text(&mut out, key),
        Record::SnapshotBegin { covers } => out.extend_from_slice(&covers.to_le_bytes()),
        Record::SnapshotEntries(entries) => {
            for Entry { key, value, version } in entries {
                out.extend_from_slice(&version.to_le_bytes());
                text(&mut out, key);
                out.extend_from_slice(&(value.len() as u32).to_le_bytes());
                out.extend_from_slice(value);
            }
        }
        Record::SnapshotEnd { entries } => out.extend_from_slice(&entries.to_le_bytes()),
    }
    out
}

fn kind(record: &Record<'_>) -> u8 {
    match record {
        Record::Genesis => 0,
        Record::Put { .. } => 1,
        Record::Delete { .. } => 2,
        Record::Mark => 3,
        Record::SnapshotBegin { .. } => 4,
        Record::SnapshotEntries(_) => 5,
        Record::SnapshotEnd { .. } => 6,
    }
}

/// Keys have at most 1,000 bytes.
fn text(out: &mut Vec<u8>, key: &str) {
    out.extend_from_slice(&(key.len() as u16).to_le_bytes());
    out.extend_from_slice(key.as_bytes());
}

/// # Errors
/// `UnsupportedVersion` for a newer format, `Corrupt` for bytes that are no record.
pub(super) fn decode(body: &[u8]) -> Result<(Id, Record<'_>)> {
    match body.first() {
        Some(&FORMAT) => {}
        Some(newer) => {
            let message =
                format!("a record of a key/value store has format {newer}; this program knows {FORMAT}");
            return Err(Error::new(StatusCode::UnsupportedVersion, message)
                .with_remedy("use the version of the program that wrote it, or a newer one"));
        }
        None => return Err(corrupt()),
    }
    let mut rest = Bytes(&body[1..]);
    parts(&mut rest).ok_or_else(corrupt)
}

fn corrupt() -> Error {
    Error::new(StatusCode::Corrupt, "a message in the queue of a key/value store is no record of one")
        .with_remedy(
            "nothing else may write to that queue; delete the queue to begin anew, without what was in it",
        )
}

fn parts<'a>(rest: &mut Bytes<'a>) -> Option<(Id, Record<'a>)> {
    let kind = rest.take(1)?[0];
    let id = Id { writer: rest.number()?, count: rest.number()? };
    let record = match kind {
        0 => Record::Genesis,
        1 => {
            let (tag, version) = (rest.take(1)?[0], rest.number()?);
            let condition = match tag {
                0 => Condition::Always,
                1 => Condition::Version(None),
                2 => Condition::Version(Some(version)),
                _ => return None,
            };
            let key = rest.text()?;
            Record::Put { condition, key, value: std::mem::take(&mut rest.0) }
        }
        2 => Record::Delete { key: rest.text()? },
        3 => Record::Mark,
        4 => Record::SnapshotBegin { covers: rest.number()? },
        5 => {
            let mut entries = Vec::new();
            while !rest.0.is_empty() {
                let (version, key) = (rest.number()?, rest.text()?);
                let length = u32::from_le_bytes(*rest.take(4)?.first_chunk()?);
                entries.push(Entry { key, value: rest.take(length as usize)?, version });
            }
            Record::SnapshotEntries(entries)
        }
        6 => Record::SnapshotEnd { entries: rest.number()? },
        _ => return None,
    };
    rest.0.is_empty().then_some((id, record))
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(*self.take(8)?.first_chunk()?))
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = u16::from_le_bytes(*self.take(2)?.first_chunk()?);
        std::str::from_utf8(self.take(length as usize)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn records_come_back_as_they_were() {
        let id = Id { writer: 7, count: u64::MAX };
        for record in [
            Record::Genesis,
            Record::Put { condition: Condition::Always, key: "k", value: b"" },
            Record::Put { condition: Condition::Version(None), key: "é", value: b"v" },
            Record::Put { condition: Condition::Version(Some(9)), key: "k", value: &[0, 255] },
            Record::Delete { key: "k" },
            Record::Mark,
            Record::SnapshotBegin { covers: 12 },
            Record::SnapshotEntries(vec![
                Entry { key: "a", value: b"1", version: 1 },
                Entry { key: "b", value: b"", version: 2 },
            ]),
            Record::SnapshotEnd { entries: 2 },
        ] {
            assert_eq!(decode(&encode(id, &record)).expect("a record"), (id, record));
        }
    }

    /// Bytes that version 1 wrote: they must be readable for ever.
    #[test]
    fn version_1_is_read() {
        let put = b"\x01\x01\x02\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x02\x05\0\0\0\0\0\0\0\x03\0keyvalue";
        let record = Record::Put { condition: Condition::Version(Some(5)), key: "key", value: b"value" };
        assert_eq!(decode(put).expect("a record"), (Id { writer: 2, count: 3 }, record));
        let entries = b"\x01\x05\x02\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x01\0k\x01\0\0\0v";
        let record = Record::SnapshotEntries(vec![Entry { key: "k", value: b"v", version: 9 }]);
        assert_eq!(decode(entries).expect("a record").1, record);
        assert_eq!(decode(b"\x02").expect_err("newer").status, StatusCode::UnsupportedVersion);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut body = body;
            if let Some(first) = body.first_mut() { *first = FORMAT; }
            if let Ok((id, record)) = decode(&body) {
                // Unused bytes of a condition are not kept.
                let written = encode(id, &record);
                prop_assert_eq!(decode(&written).expect("again"), (id, record));
            }
        }
    }
}
