//! Global transaction identifiers: the events that begin a transaction and those that list what a file follows.

use openmessaging_connector::Result;

use super::{Cursor, malformed};

/// MySQL's: the event that begins a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gtid<'a> {
    pub uuid: [u8; 16],
    /// Of a tagged identifier (`uuid:tag:number`, MySQL 8.3 and later); empty otherwise.
    pub tag: &'a str,
    pub number: u64,
    /// Commit time on the server where the transaction began, microseconds since the epoch; 0 where not known.
    pub original_commit_us: u64,
    /// Length of the whole transaction in the log, this event included; 0 where not known.
    pub transaction_length: u64,
}

impl Gtid<'_> {
    /// `3e11fa47-71ca-11e1-9e33-c80aa9429562`.
    pub fn uuid_text(&self) -> String {
        super::super::decode::uuid_text(&self.uuid)
    }

    /// The identifier as the server prints it: `uuid:number` or `uuid:tag:number`.
    pub fn text(&self) -> String {
        match self.tag {
            "" => format!("{}:{}", self.uuid_text(), self.number),
            tag => format!("{}:{tag}:{}", self.uuid_text(), self.number),
        }
    }
}

/// Numbers `start..end` of one server (and tag).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GtidInterval {
    pub uuid: [u8; 16],
    pub tag: String,
    pub start: u64,
    /// Not included.
    pub end: u64,
}

/// MariaDB's `domain-server-sequence`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MariaDbGtid {
    pub domain: u32,
    pub server: u32,
    pub sequence: u64,
}

impl std::fmt::Display for MariaDbGtid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}-{}", self.domain, self.server, self.sequence)
    }
}

/// MariaDB's event that begins a transaction (and stands for its `BEGIN`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MariaDbGtidEvent {
    pub gtid: MariaDbGtid,
    pub flags: u8,
}

impl MariaDbGtidEvent {
    /// One statement follows and no COMMIT or XID event ends it: DDL.
    pub fn is_standalone(&self) -> bool {
        self.flags & 1 != 0
    }

    pub fn is_transactional(&self) -> bool {
        self.flags & 4 != 0
    }

    pub fn is_ddl(&self) -> bool {
        self.flags & 32 != 0
    }

    /// An XA transaction is prepared by this group, not committed.
    pub fn is_prepared_xa(&self) -> bool {
        self.flags & 64 != 0
    }

    /// This group commits or rolls back an XA transaction that was prepared before.
    pub fn is_completed_xa(&self) -> bool {
        self.flags & 128 != 0
    }

    pub(super) fn parse(body: &[u8], server: u32) -> Result<Self> {
        let mut cursor = Cursor::new(body, "MariaDB GTID event");
        let sequence = cursor.u64()?;
        let domain = cursor.u32()?;
        let flags = cursor.u8()?;
        Ok(Self { gtid: MariaDbGtid { domain, server, sequence }, flags })
    }
}

/// MariaDB's list of the last identifiers before a file.
pub(super) fn parse_mariadb_list(body: &[u8]) -> Result<Vec<MariaDbGtid>> {
    let mut cursor = Cursor::new(body, "MariaDB GTID list event");
    // The upper four bits are flags.
    let count = cursor.u32()? & 0x0fff_ffff;
    let mut list = Vec::new();
    for _ in 0..count {
        list.push(MariaDbGtid { domain: cursor.u32()?, server: cursor.u32()?, sequence: cursor.u64()? });
    }
    Ok(list)
}

/// MySQL's GTID_LOG_EVENT and ANONYMOUS_GTID_LOG_EVENT (`Gtid_event` of `control_events.h`).
pub(super) fn parse_gtid(body: &[u8]) -> Result<Gtid<'_>> {
    let mut cursor = Cursor::new(body, "GTID event");
    cursor.u8()?;
    let uuid = uuid(&mut cursor)?;
    let number = cursor.u64()?;
    let mut gtid = Gtid { uuid, tag: "", number, original_commit_us: 0, transaction_length: 0 };
    // What follows came with 5.7 and 8.0: a logical clock, commit times, the transaction's length.
    const LOGICAL_CLOCK: u8 = 2;
    if cursor.rest().first() != Some(&LOGICAL_CLOCK) {
        return Ok(gtid);
    }
    cursor.take(17)?;
    if cursor.len() >= 7 {
        const HAS_ORIGINAL: u64 = 1 << 55;
        let immediate = cursor.uint(7)?;
        gtid.original_commit_us = if immediate & HAS_ORIGINAL != 0 { cursor.uint(7)? } else { immediate };
        if !cursor.is_empty() {
            gtid.transaction_length = cursor.lenenc()?;
        }
    }
    Ok(gtid)
}

/// MySQL's GTID_TAGGED_LOG_EVENT, in the format of its serialization library: a version, the message's size, the last
/// field that may not be ignored, then fields as id and value.
pub(super) fn parse_tagged_gtid(body: &[u8]) -> Result<Gtid<'_>> {
    let mut cursor = Cursor::new(body, "tagged GTID event");
    // The version is a variable-length number too: 2 for version 1.
    let version = varlen(&mut cursor)?;
    if version != 1 {
        return Err(cursor.wrong(format_args!("unknown format {version}")));
    }
    varlen(&mut cursor)?;
    let last_needed = varlen(&mut cursor)?;
    let mut gtid = Gtid { uuid: [0; 16], tag: "", number: 0, original_commit_us: 0, transaction_length: 0 };
    let mut immediate_us = 0;
    while !cursor.is_empty() {
        match varlen(&mut cursor)? {
            0 | 9 | 10 => drop(varlen(&mut cursor)?),
            1 => {
                for byte in &mut gtid.uuid {
                    *byte = u8::try_from(varlen(&mut cursor)?)
                        .map_err(|_| malformed("tagged GTID event: a byte of the UUID is beyond 255"))?;
                }
            }
            // Numbers with a sign have it in the lowest bit.
            2 => gtid.number = varlen(&mut cursor)? >> 1,
            3 => {
                let length = varlen(&mut cursor)?;
                gtid.tag = std::str::from_utf8(cursor.take_u64(length)?)
                    .map_err(|_| malformed("tagged GTID event: the tag is not text"))?;
            }
            4 | 5 | 11 => drop(varlen(&mut cursor)?),
            6 => immediate_us = varlen(&mut cursor)?,
            7 => gtid.original_commit_us = varlen(&mut cursor)?,
            8 => gtid.transaction_length = varlen(&mut cursor)?,
            field if field <= last_needed => {
                return Err(cursor.wrong(format_args!("field {field} is not known and must not be ignored")));
            }
            // Later fields come last and may be ignored: nothing that we need is behind them.
            _ => break,
        }
    }
    if gtid.original_commit_us == 0 {
        gtid.original_commit_us = immediate_us;
    }
    Ok(gtid)
}

/// MySQL's PREVIOUS_GTIDS_LOG_EVENT: what was executed before this file (`Gtid_set::encode`).
pub(super) fn parse_previous(body: &[u8]) -> Result<Vec<GtidInterval>> {
    let mut cursor = Cursor::new(body, "previous GTIDs event");
    let head = cursor.u64()?;
    let tagged = head >> 56 == 1;
    let count = if tagged { head >> 8 & 0xffff_ffff_ffff } else { head & 0x00ff_ffff_ffff_ffff };
    let mut intervals = Vec::new();
    for _ in 0..count {
        let uuid = uuid(&mut cursor)?;
        let mut tag = "";
        if tagged {
            let length = varlen(&mut cursor)?;
            tag = std::str::from_utf8(cursor.take_u64(length)?)
                .map_err(|_| malformed("previous GTIDs event: a tag is not text"))?;
        }
        let ranges = cursor.u64()?;
        for _ in 0..ranges {
            let (start, end) = (cursor.u64()?, cursor.u64()?);
            intervals.push(GtidInterval { uuid, tag: tag.to_owned(), start, end });
        }
    }
    Ok(intervals)
}

fn uuid(cursor: &mut Cursor<'_>) -> Result<[u8; 16]> {
    let mut uuid = [0; 16];
    uuid.copy_from_slice(cursor.take(16)?);
    Ok(uuid)
}

/// A variable-length number of MySQL's serialization library: as many trailing ones in the first byte as bytes follow.
fn varlen(cursor: &mut Cursor<'_>) -> Result<u64> {
    let Some(first) = cursor.rest().first() else { return Err(cursor.short()) };
    match first.trailing_ones() as usize {
        8 => {
            cursor.u8()?;
            cursor.u64()
        }
        more => {
            let value = cursor.uint(more + 1)?;
            Ok(value >> (more + 1))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_length_numbers() {
        for (bytes, value) in [(&[0b10u8][..], 1), (&[0b01, 1], 64), (&[0xff, 1, 0, 0, 0, 0, 0, 0, 0], 1)] {
            assert_eq!(varlen(&mut Cursor::new(bytes, "test")).unwrap(), value);
        }
        assert!(varlen(&mut Cursor::new(&[0xff, 1], "test")).is_err());
        assert!(varlen(&mut Cursor::new(&[], "test")).is_err());
    }

    #[test]
    fn mariadb_identifiers() {
        let mut body = 7u64.to_le_bytes().to_vec();
        body.extend(3u32.to_le_bytes());
        body.push(0b10_0001);
        body.extend([0; 6]);
        let event = MariaDbGtidEvent::parse(&body, 1).unwrap();
        assert_eq!(event.gtid.to_string(), "3-1-7");
        assert!(event.is_standalone() && event.is_ddl() && !event.is_transactional());
        assert!(parse_mariadb_list(&[255, 255, 255, 0x0f, 1]).is_err());
    }
}
