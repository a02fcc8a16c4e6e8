//! Which file it is, and how far it was read: what a position says.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use openmessaging_connector::{Error, Position, Result};
use serde_json::{Map, Value as Json, json};

/// A file beyond its name: a renamed file keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId {
    pub device: u64,
    pub inode: u64,
}

impl FileId {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

const WINDOW: usize = 256;

/// What was read of a file, remembered by its first and its last bytes, by which a file that was replaced, or cut
/// and written anew, is told from one that has grown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    head: Vec<u8>,
    tail: Vec<u8>,
    /// Bytes from the file's start.
    pub length: u64,
}

impl Seen {
    /// The next bytes were read.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = WINDOW - self.head.len();
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() >= WINDOW {
            self.tail.clear();
        } else {
            let excess = (self.tail.len() + bytes.len()).saturating_sub(WINDOW);
            self.tail.drain(..excess);
        }
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(WINDOW)..]);
        self.length += bytes.len() as u64;
    }

    /// What a reader of the first `length` bytes of the file would remember; `None` where it has fewer.
    pub(super) fn load(file: &File, length: u64) -> io::Result<Option<Self>> {
        if file.metadata()?.len() < length {
            return Ok(None);
        }
        let window = length.min(WINDOW as u64);
        let read = |from: u64| {
            let mut bytes = vec![0; window as usize];
            file.read_exact_at(&mut bytes, from).map(|()| bytes)
        };
        match (read(0), read(length - window)) {
            (Ok(head), Ok(tail)) => Ok(Some(Self { head, tail, length })),
            // Cut between the two calls.
            (Err(error), _) | (_, Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    /// What tells the file from others: its first bytes, of which `next` may have more than was seen, and the last ones
    /// seen. The number of first bytes, and the checksum (CRC-32C) of both.
    pub(super) fn fingerprint(&self, next: &[u8]) -> String {
        let more =
            if self.length < WINDOW as u64 { &next[..next.len().min(WINDOW - self.head.len())] } else { &[] };
        let first = crc32c::crc32c_append(crc32c::crc32c(&self.head), more);
        let sum = crc32c::crc32c_append(first, &self.tail);
        format!("{}:{sum:08x}", self.head.len() + more.len())
    }
}

/// A stored position, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    /// Where the bytes that the fingerprint is of end.
    pub base: u64,
    /// Where reading goes on.
    pub offset: u64,
    /// Absent in a position that a user set by hand, or that Kafka's connector wrote.
    pub id: Option<FileId>,
    pub fingerprint: Option<String>,
}

/// The text of a position at `seen.length` bytes, behind which the bytes `next` were read: the member that Kafka's
/// connector writes, and ours.
pub(super) fn render(id: FileId, seen: &Seen, next: &[u8]) -> String {
    let fingerprint = seen.fingerprint(next);
    json!({"position": seen.length, "device": id.device, "inode": id.inode, "fingerprint": fingerprint})
        .to_string()
}

/// # Errors
/// `file.bad_position`, where it is not one of ours nor of Kafka's connector.
pub(super) fn parse(position: &Position) -> Result<Stored> {
    let bad = |what: &str| {
        Error::fatal("file.bad_position", format!("the stored position {} {what}", position.base))
            .with_remedy("set it to {\"position\": BYTES}, or reset the connector's offsets")
    };
    let object: Map<String, Json> =
        serde_json::from_str(&position.base).map_err(|_| bad("is no JSON object"))?;
    let number = |name: &str| object.get(name).and_then(Json::as_u64);
    let base = number("position").ok_or_else(|| bad("has no whole number `position`"))?;
    let offset = base.checked_add(position.step).ok_or_else(|| bad("is beyond any file"))?;
    let id = number("device").zip(number("inode")).map(|(device, inode)| FileId { device, inode });
    let fingerprint = object.get("fingerprint").and_then(Json::as_str).map(str::to_owned);
    Ok(Stored { base, offset, id, fingerprint })
}

impl Stored {
    /// Whether the file is the one that this is a position in, as far as its bytes tell.
    pub(super) fn fits(&self, file: &File) -> io::Result<bool> {
        if file.metadata()?.len() < self.offset {
            return Ok(false);
        }
        let Some(fingerprint) = &self.fingerprint else { return Ok(true) };
        // It cannot ask for more bytes than it ever has.
        let first =
            fingerprint.split(':').next().and_then(|count| count.parse().ok()).unwrap_or(0).min(WINDOW);
        let Some(seen) = Seen::load(file, self.base)? else { return Ok(false) };
        let mut next = vec![0; first.saturating_sub(seen.head.len())];
        match file.read_exact_at(&mut next, self.base) {
            Ok(()) => Ok(seen.fingerprint(&next) == *fingerprint),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_pushed_is_what_is_loaded(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..700), 0..6)) {
            let mut file = tempfile::tempfile().expect("a file");
            let mut seen = Seen::default();
            for part in &parts {
                file.write_all(part).expect("written");
                seen.push(part);
            }
            prop_assert_eq!(Seen::load(&file, seen.length).expect("read"), Some(seen.clone()));
            prop_assert_eq!(Seen::load(&file, seen.length + 1).expect("read"), None);
        }

        #[test]
        fn any_stored_text_is_read_or_refused(text in ".{0,80}", step in any::<u64>()) {
            let _ = parse(&Position { base: text.into(), step });
        }
    }

    #[test]
    fn positions_come_back() {
        let mut seen = Seen::default();
        seen.push(b"hello\n");
        let id = FileId { device: 3, inode: u64::MAX };
        let stored =
            parse(&Position { base: render(id, &seen, b"next").into(), step: 4 }).expect("a position");
        assert_eq!((stored.base, stored.offset, stored.id), (6, 10, Some(id)));
        assert_eq!(stored.fingerprint, Some(seen.fingerprint(b"next")));
        let kafka = parse(&Position::new("{\"position\":30}")).expect("Kafka's position");
        assert_eq!((kafka.offset, kafka.id, kafka.fingerprint), (30, None, None));
    }
}
