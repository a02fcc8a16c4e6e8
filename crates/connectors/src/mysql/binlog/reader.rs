//! Brings the events of a server's binary log, one after the other, as their raw bytes.
//!
//! # What `mysql_async` 0.37 gives, and what is done about it
//!
//! Connection, authentication and TLS are the library's; so is its `BinlogStream`, the only public way to raw events.
//! It hands out each event taken apart: the header's fields, the body, and four bytes of checksum where the format
//! description announced one. No byte is lost, MariaDB's compressed events (165 to 171, whose *parsed* form it lacks)
//! included, so the event is put together again here, and nothing of the library's own parsing is used. Of that
//! parsing these traits remain:
//!
//! - It verifies no checksum: [`Event::parse`](super::Event::parse) does.
//! - It sets `@master_binlog_checksum` to `ALL` itself; servers take that as "send what the file has".
//! - Before the first format description it knows of no checksum, so that of the made-up rotate event stays in its
//!   body: put together, the bytes are whole all the same.
//! - It inflates transaction payloads as a whole and then hands out the events inside, too. They are skipped here
//!   (the [payload](super::TransactionPayload) is read in bounded memory by its own decoder), but for as long as that
//!   lasts the library holds the inflated transaction in memory.
//! - It panics on an event that is longer than its packet. The panic is caught and becomes an error.
//! - It takes the server's `max_allowed_packet` for its own unless its options name one, though the log has larger
//!   events (an update holds a row twice): [`Reader::start`] opens a connection again that was made without the
//!   largest.
//! - File positions of a request are cut to 32 bits by the protocol itself.

use std::panic::AssertUnwindSafe;
use std::task::Poll;
use std::time::Duration;

use futures::{Stream, StreamExt};
use mysql_async::binlog::BinlogChecksumAlg;
use mysql_async::binlog::events::Event as LibraryEvent;
use mysql_async::prelude::Queryable;
use mysql_async::{BinlogStream, BinlogStreamRequest, Conn, OptsBuilder};
use openmessaging_connector::{Error, Result};

use super::{Header, MAX_EVENT_BYTES, TransactionPayload, event_type, gtid_set, malformed, server_error};

/// Where to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// At a position of a file, which must be the beginning of an event; 4 is the first.
    File { file: String, position: u64 },
    /// MySQL: behind all transactions of this set, as `@@gtid_executed` prints it, tags included.
    MySqlGtids(String),
    /// MariaDB: behind the last identifier of each domain, as `@@gtid_binlog_pos` prints it.
    MariaDbGtids(String),
}

/// How to read.
#[derive(Debug, Clone)]
pub struct ReaderOptions {
    /// As a replica: not 0, and different from that of every other replica and of the server itself.
    pub server_id: u32,
    pub start: Start,
    /// How often an idle server tells that it is alive. Rounded to milliseconds, at least one.
    pub heartbeat: Duration,
    /// What the server shows for this replica in its list; no secret.
    pub hostname: String,
}

/// Reads events. Ends with its connection; begin a new one to go on after an error.
pub struct Reader {
    stream: BinlogStream,
    event: Vec<u8>,
    /// How many bytes of a transaction payload's events the library still hands out.
    skip: u64,
    failed: bool,
}

impl Reader {
    /// Asks for the log on a connection of its own, which it consumes. Make it with `max_allowed_packet` of
    /// [`MAX_EVENT_BYTES`], or it is closed and opened again with it.
    ///
    /// # Errors
    /// `mysql.binlog_off`: the server writes no log; `mysql.binlog_purged` (mostly by the first
    /// [`next_event`](Self::next_event)): the start is not there any more; `mysql.access_denied`: REPLICATION SLAVE is
    /// missing; `mysql.connection` is worth trying again; `mysql.gtid_malformed`.
    pub async fn start(conn: Conn, options: ReaderOptions) -> Result<Self> {
        let mut conn = with_largest_packets(conn).await?;
        demand_log(&mut conn).await?;
        let mariadb = matches!(options.start, Start::MariaDbGtids(_)) || is_mariadb(&mut conn).await?;
        prepare(&mut conn, &options, mariadb).await?;
        let hostname = options.hostname.as_bytes();
        let request = BinlogStreamRequest::new(options.server_id).with_hostname(hostname);
        let request = match &options.start {
            Start::File { file, position } => request.with_filename(file.as_bytes()).with_pos(*position),
            Start::MySqlGtids(set) => request.with_gtid().with_pos(4).with_gtid_set(gtid_set::sids(set)?),
            Start::MariaDbGtids(_) => request.with_pos(4),
        };
        let stream = conn.get_binlog_stream(request).await.map_err(server_error::map)?;
        Ok(Self { stream, event: Vec::new(), skip: 0, failed: false })
    }

    /// The next event's bytes, as the server sent them; `None` when the server ended the stream.
    ///
    /// Waits for as long as nothing comes; a heartbeat comes at least every [`heartbeat`](ReaderOptions::heartbeat),
    /// so wait a few of them and then take the connection for dead. Cancelling it loses nothing: the next call goes
    /// on.
    ///
    /// # Errors
    /// As [`start`](Self::start); `mysql.binlog_malformed`. The stream is over after an error.
    pub async fn next_event(&mut self) -> Result<Option<&[u8]>> {
        if self.failed {
            return Err(Error::retriable("mysql.connection", "the binlog stream has failed before"));
        }
        match self.read().await {
            Ok(true) => Ok(Some(&self.event)),
            Ok(false) => Ok(None),
            Err(error) => {
                self.failed = true;
                Err(error)
            }
        }
    }

    async fn read(&mut self) -> Result<bool> {
        loop {
            let Some(event) = next_caught(&mut self.stream).await? else { return Ok(false) };
            if self.skip > 0 {
                self.skip = skipped(self.skip, &event)?;
                continue;
            }
            put_together(&event, &mut self.event)?;
            if event.header().event_type_raw() == event_type::TRANSACTION_PAYLOAD {
                self.skip = TransactionPayload::parse(event.data())?.handed_out_size();
            }
            return Ok(true);
        }
    }

    /// Ends the connection in order.
    pub async fn close(self) {
        // The server closes its side all the same.
        let _ = self.stream.close().await;
    }
}

async fn with_largest_packets(conn: Conn) -> Result<Conn> {
    if conn.opts().max_allowed_packet() == Some(MAX_EVENT_BYTES) {
        return Ok(conn);
    }
    let opts = OptsBuilder::from_opts(conn.opts().clone()).max_allowed_packet(Some(MAX_EVENT_BYTES));
    // The server ends the old one by itself if this fails.
    let _ = conn.disconnect().await;
    Conn::new(opts).await.map_err(server_error::map)
}

async fn is_mariadb(conn: &mut Conn) -> Result<bool> {
    let version: Option<String> = conn.query_first("SELECT VERSION()").await.map_err(server_error::map)?;
    Ok(version.is_some_and(|version| version.contains("MariaDB")))
}

async fn demand_log(conn: &mut Conn) -> Result<()> {
    let on: Option<bool> = conn.query_first("SELECT @@GLOBAL.log_bin").await.map_err(server_error::map)?;
    match on {
        Some(true) => Ok(()),
        _ => Err(server_error::binlog_off()),
    }
}

/// Sets the session variables by which the server knows what this replica understands.
async fn prepare(conn: &mut Conn, options: &ReaderOptions, mariadb: bool) -> Result<()> {
    let heartbeat = options.heartbeat.max(Duration::from_millis(1)).as_nanos().min(4_294_967_000_000_000);
    let mut statements = vec![format!(
        // Without the checksum variables the server refuses to send a log that has checksums.
        "SET @master_binlog_checksum = 'CRC32', @source_binlog_checksum = 'CRC32', \
         @master_heartbeat_period = {heartbeat}, @source_heartbeat_period = {heartbeat}, \
         @slave_uuid = UUID(), @replica_uuid = @slave_uuid"
    )];
    if mariadb {
        // 4: GTID events, and no dummies instead of events that older replicas do not know.
        statements.push("SET @mariadb_slave_capability = 4".into());
        if let Start::MariaDbGtids(position) = &options.start {
            gtid_set::check_mariadb(position)?;
            statements.push(format!("SET @slave_connect_state = '{position}'"));
            // A position that this server never had is an error, not a silent start behind the gap.
            statements.push("SET @slave_gtid_strict_mode = 1, @slave_gtid_ignore_duplicates = 0".into());
        }
    }
    for statement in statements {
        conn.query_drop(statement).await.map_err(server_error::map)?;
    }
    Ok(())
}

/// The library's next event; its panics become errors.
async fn next_caught(stream: &mut BinlogStream) -> Result<Option<LibraryEvent>> {
    let next = std::future::poll_fn(|context| {
        std::panic::catch_unwind(AssertUnwindSafe(|| stream.poll_next_unpin(context)))
            .unwrap_or_else(|_| Poll::Ready(Some(Err(mysql_async::Error::Other("panic".into())))))
    });
    match next.await {
        None => Ok(None),
        Some(Ok(event)) => Ok(Some(event)),
        Some(Err(mysql_async::Error::Other(_))) => {
            Err(malformed("the length of an event is not that of its packet"))
        }
        Some(Err(error)) => Err(server_error::map(error)),
    }
}

/// The event as it was on the wire.
fn put_together(event: &LibraryEvent, bytes: &mut Vec<u8>) -> Result<()> {
    let header = event.header();
    // One large event does not keep its memory for ever.
    if bytes.capacity() > 1 << 20 {
        *bytes = Vec::new();
    }
    bytes.clear();
    bytes.reserve(Header::LENGTH + event.data().len() + 5);
    bytes.extend(header.timestamp().to_le_bytes());
    bytes.push(header.event_type_raw());
    bytes.extend(header.server_id().to_le_bytes());
    bytes.extend(header.event_size().to_le_bytes());
    bytes.extend(header.log_pos().to_le_bytes());
    bytes.extend(header.flags_raw().to_le_bytes());
    bytes.extend_from_slice(event.data());
    let missing = (header.event_size() as usize).checked_sub(bytes.len());
    match (missing, event.checksum()) {
        (Some(0), _) => {}
        (Some(4), Some(checksum)) => bytes.extend(checksum),
        // A format description, of which the library also takes the algorithm apart.
        (Some(5), Some(checksum)) => {
            bytes.push(match event.footer().get_checksum_alg() {
                Ok(Some(BinlogChecksumAlg::BINLOG_CHECKSUM_ALG_CRC32)) => 1,
                Ok(_) => 0,
                Err(unknown) => unknown.0,
            });
            bytes.extend(checksum);
        }
        _ => return Err(malformed("the length of an event is not that of its packet")),
    }
    Ok(())
}

/// What is left to skip after an event from inside a payload.
fn skipped(skip: u64, event: &LibraryEvent) -> Result<u64> {
    let size = u64::from(event.header().event_size());
    match skip.checked_sub(size) {
        Some(rest) if size >= Header::LENGTH as u64 => Ok(rest),
        _ => Err(malformed("transaction payload event: its events are longer than it says")),
    }
}

const _: fn() = || {
    fn send<T: Send>() {}
    send::<Reader>();
    fn stream<T: Stream + Unpin>() {}
    stream::<BinlogStream>();
};
