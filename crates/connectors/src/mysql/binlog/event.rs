//! One event: the common header, the checksum, and the kind of what follows.

use std::borrow::Cow;

use openmessaging_connector::{Error, Result};

use super::format::{self, FormatDescription};
use super::gtid::{self, Gtid, GtidInterval, MariaDbGtid, MariaDbGtidEvent};
use super::{Cursor, Query, Rows, TableMap, TransactionPayload, malformed};

/// Type codes (`Log_event_type` of both servers).
pub mod event_type {
    pub const QUERY: u8 = 2;
    pub const STOP: u8 = 3;
    pub const ROTATE: u8 = 4;
    pub const FORMAT_DESCRIPTION: u8 = 15;
    pub const XID: u8 = 16;
    pub const TABLE_MAP: u8 = 19;
    pub const WRITE_ROWS_V1: u8 = 23;
    pub const UPDATE_ROWS_V1: u8 = 24;
    pub const DELETE_ROWS_V1: u8 = 25;
    pub const INCIDENT: u8 = 26;
    pub const HEARTBEAT: u8 = 27;
    pub const ROWS_QUERY: u8 = 29;
    pub const WRITE_ROWS_V2: u8 = 30;
    pub const UPDATE_ROWS_V2: u8 = 31;
    pub const DELETE_ROWS_V2: u8 = 32;
    pub const GTID: u8 = 33;
    pub const ANONYMOUS_GTID: u8 = 34;
    pub const PREVIOUS_GTIDS: u8 = 35;
    pub const XA_PREPARE: u8 = 38;
    pub const PARTIAL_UPDATE_ROWS: u8 = 39;
    pub const TRANSACTION_PAYLOAD: u8 = 40;
    pub const HEARTBEAT_V2: u8 = 41;
    pub const GTID_TAGGED: u8 = 42;
    // MariaDB.
    pub const ANNOTATE_ROWS: u8 = 160;
    pub const MARIADB_GTID: u8 = 162;
    pub const MARIADB_GTID_LIST: u8 = 163;
    pub const START_ENCRYPTION: u8 = 164;
    pub const QUERY_COMPRESSED: u8 = 165;
    pub const WRITE_ROWS_COMPRESSED_V1: u8 = 166;
    pub const UPDATE_ROWS_COMPRESSED_V1: u8 = 167;
    pub const DELETE_ROWS_COMPRESSED_V1: u8 = 168;
    pub const WRITE_ROWS_COMPRESSED_V2: u8 = 169;
    pub const UPDATE_ROWS_COMPRESSED_V2: u8 = 170;
    pub const DELETE_ROWS_COMPRESSED_V2: u8 = 171;
}

/// What every event begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Seconds since the epoch when the statement began; 0 in events that the server makes up for the connection.
    pub timestamp: u32,
    /// One of [`event_type`].
    pub event_type: u8,
    /// The server where the change was made first.
    pub server_id: u32,
    /// Length of the event, header and checksum included.
    pub size: u32,
    /// Where the next event begins in its file: the lower 32 bits of it, since files beyond 4 GiB wrap it; 0 in events
    /// that are in no file. Inside a transaction payload it means nothing.
    pub next_position: u32,
    pub flags: u16,
}

impl Header {
    pub const LENGTH: usize = 19;
    const BINLOG_IN_USE: u16 = 0x1;
    const ARTIFICIAL: u16 = 0x20;
    const IGNORABLE: u16 = 0x80;

    /// Made up by the server for this connection, and in no file.
    pub fn is_artificial(&self) -> bool {
        self.flags & Self::ARTIFICIAL != 0
    }

    /// Whether a reader that does not know the type may skip it.
    pub fn is_ignorable(&self) -> bool {
        self.flags & Self::IGNORABLE != 0
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        let mut cursor = Cursor::new(bytes, "event header");
        let header = Self {
            timestamp: cursor.u32()?,
            event_type: cursor.u8()?,
            server_id: cursor.u32()?,
            size: cursor.u32()?,
            next_position: cursor.u32()?,
            flags: cursor.u16()?,
        };
        if header.size as usize != bytes.len() {
            return Err(cursor.wrong(format_args!(
                "{} bytes came of an event of {}",
                bytes.len(),
                header.size
            )));
        }
        Ok(header)
    }
}

/// One event, borrowed from its bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Event<'a> {
    pub header: Header,
    pub kind: EventKind<'a>,
}

/// What an event says.
#[derive(Debug, Clone, PartialEq)]
pub enum EventKind<'a> {
    /// Holds for all events after it, until the next.
    FormatDescription(FormatDescription),
    /// The next events are in `file`, from `position` on. Where the header [is artificial](Header::is_artificial) it
    /// is the server telling where the stream stands; otherwise it ends its file.
    Rotate {
        file: Cow<'a, str>,
        position: u64,
    },
    /// MySQL: a transaction begins.
    Gtid(Gtid<'a>),
    /// MySQL without GTIDs: a transaction begins.
    AnonymousGtid(Gtid<'a>),
    PreviousGtids(Vec<GtidInterval>),
    /// MariaDB: a transaction or a standalone statement begins.
    MariaDbGtid(MariaDbGtidEvent),
    MariaDbGtidList(Vec<MariaDbGtid>),
    Query(Query<'a>),
    /// The transaction is committed.
    Xid(u64),
    /// Ends an XA transaction in its first phase; `one_phase` commits it at once.
    XaPrepare {
        one_phase: bool,
    },
    TableMap(TableMap<'a>),
    Rows(Rows<'a>),
    /// A whole transaction: its events are inside.
    TransactionPayload(TransactionPayload<'a>),
    /// The stream is alive and idle. The position is where the server's reader stands, where the event says it.
    Heartbeat {
        file: Cow<'a, str>,
        position: u64,
    },
    /// The statement that the rows after it come from.
    RowsQuery(Cow<'a, str>),
    /// The server has shut down in order; the next file follows.
    Stop,
    /// Of no use to a reader of rows.
    Ignored,
}

impl<'a> Event<'a> {
    /// Parses one whole event. `format` is the last format description that came on this connection,
    /// [`FormatDescription::initial`] before the first.
    ///
    /// # Errors
    /// `mysql.binlog_checksum` where the CRC32 is wrong; `mysql.binlog_malformed` where the bytes are not an event;
    /// `mysql.binlog_incident` where the server notes that changes are missing. Each names the type and the position
    /// where the event ends; the caller knows the file.
    pub fn parse(bytes: &'a [u8], format: &FormatDescription) -> Result<Self> {
        let header = Header::parse(bytes)?;
        let kind = body(bytes, &header, format)
            .and_then(|body| EventKind::parse(&header, body, format))
            .map_err(|error| at(error, &header))?;
        Ok(Self { header, kind })
    }
}

/// Adds where the event is.
#[cold]
fn at(mut error: Error, header: &Header) -> Error {
    error.message = format!(
        "{} (event type {}, {} bytes, ends at position {})",
        error.message, header.event_type, header.size, header.next_position
    );
    error
}

/// What is between header and checksum, after the checksum was verified.
fn body<'a>(bytes: &'a [u8], header: &Header, format: &FormatDescription) -> Result<&'a [u8]> {
    let whole = &bytes[Header::LENGTH..];
    let tail = match header.event_type {
        event_type::FORMAT_DESCRIPTION => format::checksum_tail(whole),
        // A made-up rotate event is written with the checksum that this connection asked for, or with that of the file
        // before or after: its own bytes tell.
        event_type::ROTATE if header.is_artificial() || header.next_position == 0 => {
            4 * usize::from(has_valid_checksum(bytes, header))
        }
        _ if format.checksum => 4,
        _ => 0,
    };
    let Some(length) = whole.len().checked_sub(tail) else {
        return Err(malformed("the event is too short for its checksum"));
    };
    // A format description says itself whether its four bytes are a checksum.
    let off = header.event_type == event_type::FORMAT_DESCRIPTION
        && tail != 0
        && length.checked_sub(1).and_then(|at| whole.get(at)) != Some(&1);
    if tail != 0 && !off && !has_valid_checksum(bytes, header) {
        return Err(Error::retriable("mysql.binlog_checksum", "the checksum of a binlog event is wrong")
            .with_remedy(
                "check the server's disk and network; read the log with mysqlbinlog --verify-binlog-checksum",
            ));
    }
    Ok(&whole[..length])
}

fn has_valid_checksum(bytes: &[u8], header: &Header) -> bool {
    let Some((signed, sum)) = bytes.split_last_chunk::<4>() else { return false };
    let mut hasher = crc32fast::Hasher::new();
    // The server clears this flag when it closes the file, and leaves it out of the sum.
    if header.event_type == event_type::FORMAT_DESCRIPTION && header.flags & Header::BINLOG_IN_USE != 0 {
        let (Some(before), Some(after)) = (signed.get(..17), signed.get(19..)) else { return false };
        hasher.update(before);
        hasher.update(&(header.flags & !Header::BINLOG_IN_USE).to_le_bytes());
        hasher.update(after);
    } else {
        hasher.update(signed);
    }
    hasher.finalize() == u32::from_le_bytes(*sum)
}

impl<'a> EventKind<'a> {
    fn parse(header: &Header, body: &'a [u8], format: &FormatDescription) -> Result<Self> {
        use event_type::*;
        Ok(match header.event_type {
            TABLE_MAP => Self::TableMap(TableMap::parse(body, format)?),
            WRITE_ROWS_V1..=DELETE_ROWS_V1
            | WRITE_ROWS_V2..=DELETE_ROWS_V2
            | PARTIAL_UPDATE_ROWS
            | WRITE_ROWS_COMPRESSED_V1..=DELETE_ROWS_COMPRESSED_V2 => {
                Self::Rows(Rows::parse(header.event_type, body, format)?)
            }
            XID => Self::Xid(Cursor::new(body, "xid event").u64()?),
            GTID => Self::Gtid(gtid::parse_gtid(body)?),
            ANONYMOUS_GTID => Self::AnonymousGtid(gtid::parse_gtid(body)?),
            GTID_TAGGED => Self::Gtid(gtid::parse_tagged_gtid(body)?),
            MARIADB_GTID => Self::MariaDbGtid(MariaDbGtidEvent::parse(body, header.server_id)?),
            QUERY => Self::Query(Query::parse(body, false)?),
            QUERY_COMPRESSED => Self::Query(Query::parse(body, true)?),
            FORMAT_DESCRIPTION => Self::FormatDescription(FormatDescription::parse(body)?),
            ROTATE => {
                let mut cursor = Cursor::new(body, "rotate event");
                let position = cursor.u64()?;
                Self::Rotate { file: String::from_utf8_lossy(cursor.rest()), position }
            }
            HEARTBEAT => Self::Heartbeat {
                file: String::from_utf8_lossy(body),
                position: u64::from(header.next_position),
            },
            HEARTBEAT_V2 => heartbeat(body)?,
            PREVIOUS_GTIDS => Self::PreviousGtids(gtid::parse_previous(body)?),
            MARIADB_GTID_LIST => Self::MariaDbGtidList(gtid::parse_mariadb_list(body)?),
            TRANSACTION_PAYLOAD => Self::TransactionPayload(TransactionPayload::parse(body)?),
            XA_PREPARE => Self::XaPrepare { one_phase: Cursor::new(body, "XA prepare event").u8()? != 0 },
            // The first byte of MySQL's is a length that cannot hold it; the text takes the rest.
            ROWS_QUERY => Self::RowsQuery(String::from_utf8_lossy(body.get(1..).unwrap_or_default())),
            ANNOTATE_ROWS => Self::RowsQuery(String::from_utf8_lossy(body)),
            STOP => Self::Stop,
            INCIDENT => return Err(incident(body)),
            // MariaDB tells that the file is encrypted on its disk, and sends what follows in the clear.
            START_ENCRYPTION => Self::Ignored,
            _ => Self::Ignored,
        })
    }
}

/// MySQL's HEARTBEAT_LOG_EVENT_V2: fields of type, length and value; it exists for positions beyond 4 GiB.
fn heartbeat<'a>(body: &'a [u8]) -> Result<EventKind<'a>> {
    const END: u64 = 0;
    const FILE: u64 = 1;
    const POSITION: u64 = 2;
    let mut cursor = Cursor::new(body, "heartbeat event");
    let (mut file, mut position) = (Cow::Borrowed(""), 0);
    loop {
        let field = cursor.lenenc()?;
        if field == END {
            return Ok(EventKind::Heartbeat { file, position });
        }
        let value = cursor.lenenc_bytes()?;
        match field {
            FILE => file = String::from_utf8_lossy(value),
            POSITION => position = Cursor::new(value, "heartbeat event").lenenc()?,
            _ => {}
        }
    }
}

#[cold]
fn incident(body: &[u8]) -> Error {
    let mut cursor = Cursor::new(body, "incident event");
    let note = cursor.u16().and_then(|_| cursor.u8()).and_then(|length| cursor.take(usize::from(length)));
    let note = note.map(String::from_utf8_lossy).unwrap_or_default();
    Error::fatal(
        "mysql.binlog_incident",
        format!("the server noted that changes are missing in its binary log: {note}"),
    )
    .with_remedy("take a new snapshot of the tables, then continue behind the incident")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(event_type: u8, flags: u16, body: &[u8], checksum: bool) -> Vec<u8> {
        let size = (Header::LENGTH + body.len() + if checksum { 4 } else { 0 }) as u32;
        let mut bytes = vec![1, 0, 0, 0, event_type, 9, 0, 0, 0];
        bytes.extend(size.to_le_bytes());
        bytes.extend(if flags & Header::ARTIFICIAL != 0 { [0; 4] } else { [77, 0, 0, 0] });
        bytes.extend(flags.to_le_bytes());
        bytes.extend(body);
        if checksum {
            let sum = crc32fast::hash(&bytes);
            bytes.extend(sum.to_le_bytes());
        }
        bytes
    }

    fn checked() -> FormatDescription {
        let mut format = FormatDescription::initial();
        format.checksum = true;
        format
    }

    #[test]
    fn a_wrong_checksum_names_the_position_and_may_be_retried() {
        let mut bytes = event(event_type::XID, 0, &[5, 0, 0, 0, 0, 0, 0, 0], true);
        assert_eq!(Event::parse(&bytes, &checked()).unwrap().kind, EventKind::Xid(5));
        bytes[20] ^= 1;
        let error = Event::parse(&bytes, &checked()).unwrap_err();
        assert_eq!((error.code, error.is_retriable()), ("mysql.binlog_checksum", true));
        assert!(error.message.contains("ends at position 77"), "{error}");
    }

    #[test]
    fn the_made_up_rotate_event_may_have_a_checksum_before_any_format_description() {
        let mut body = 4u64.to_le_bytes().to_vec();
        body.extend(b"bin.000001");
        let wanted = EventKind::Rotate { file: "bin.000001".into(), position: 4 };
        for checksum in [false, true] {
            let bytes = event(event_type::ROTATE, Header::ARTIFICIAL, &body, checksum);
            assert_eq!(Event::parse(&bytes, &FormatDescription::initial()).unwrap().kind, wanted);
            assert_eq!(Event::parse(&bytes, &checked()).unwrap().kind, wanted);
        }
    }

    #[test]
    fn the_length_must_be_that_of_the_header() {
        let bytes = event(event_type::XID, 0, &[0; 8], false);
        assert!(Event::parse(&bytes[..20], &FormatDescription::initial()).is_err());
        assert!(Event::parse(&bytes[..5], &FormatDescription::initial()).is_err());
        assert!(Event::parse(&[], &FormatDescription::initial()).is_err());
    }

    #[test]
    fn incidents_are_clear_errors() {
        let incident = event(event_type::INCIDENT, 0, &[1, 0, 3, b'g', b'a', b'p'], false);
        let error = Event::parse(&incident, &FormatDescription::initial()).unwrap_err();
        assert_eq!(error.code, "mysql.binlog_incident");
        assert!(error.message.contains("gap"), "{error}");
    }

    /// As MariaDB 10.11 sends it with `encrypt_binlog=ON`, before events in the clear.
    #[test]
    fn the_note_that_a_file_is_encrypted_is_no_error() {
        let bytes = event(
            event_type::START_ENCRYPTION,
            0,
            &[1, 1, 0, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9],
            true,
        );
        assert_eq!(Event::parse(&bytes, &checked()).unwrap().kind, EventKind::Ignored);
    }

    #[test]
    fn heartbeats_of_both_versions() {
        let plain = event(event_type::HEARTBEAT, 0, b"bin.000002", false);
        let wanted = EventKind::Heartbeat { file: "bin.000002".into(), position: 77 };
        assert_eq!(Event::parse(&plain, &FormatDescription::initial()).unwrap().kind, wanted);
        let v2 = event(event_type::HEARTBEAT_V2, 0, b"\x01\x0abin.000002\x02\x01\x4d\x00", false);
        assert_eq!(Event::parse(&v2, &FormatDescription::initial()).unwrap().kind, wanted);
    }

    #[test]
    fn unknown_types_are_ignored() {
        let bytes = event(240, 0, &[1, 2], false);
        assert_eq!(Event::parse(&bytes, &FormatDescription::initial()).unwrap().kind, EventKind::Ignored);
    }
}
