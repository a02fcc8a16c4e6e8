//! Streaming the binlog: a connection that brings events, and the core that turns them into records and positions.

mod core;
mod definition;
mod plans;
mod rows;
mod statement;
mod transaction;

use std::time::{Duration, Instant};

use futures::FutureExt;
use openmessaging_connector::{Polled, RecordSink, Result};

use self::core::{At, Flowing, Rest};
pub(in crate::mysql) use self::core::{Core, Task, now_ms};
use self::rows::{RowCursor, RowsDone};
use crate::mysql::binlog::{
    Event, EventKind, FormatDescription, PayloadEvents, Reader, ReaderOptions, Start,
};
use crate::mysql::config::Address;
use crate::mysql::connect::connect;
use crate::mysql::error;
use crate::mysql::position::BinlogPosition;
use crate::mysql::server::Server;

/// How long a poll goes on after its first record when the batch does not fill: records must not wait for others.
const LINGER: Duration = Duration::from_millis(20);

/// How long the first event may take: the server answers a request with one at once.
const FIRST_EVENT: Duration = Duration::from_secs(30);

/// An open stream.
pub(in crate::mysql) struct Stream {
    core: Core,
    reader: Reader,
    format: FormatDescription,
    payload_format: FormatDescription,
    /// A compressed transaction, and where it is.
    payload: Option<(PayloadEvents<'static>, At)>,
    /// A rows event that did not fit into the batch.
    rest: Option<Rest>,
    /// Its memory, to use again.
    spare: Vec<u8>,
    heard: Instant,
    silence: Duration,
    /// An event was lost to an error: only a new connection brings it again.
    broken: bool,
}

impl Stream {
    /// Opens the stream at the core's position and waits for the first event, so that a position which the server does
    /// not have any more is an error here.
    ///
    /// # Errors
    /// With the core, to try again.
    pub(in crate::mysql) async fn open(
        mut core: Core,
        task: &Task,
    ) -> Result<Self, (Core, openmessaging_connector::Error)> {
        let address = &task.settings.address;
        let reader = match open_reader(&mut core, task).await {
            Ok(reader) => reader,
            Err(problem) => return Err((core, problem)),
        };
        let silence = (task.settings.heartbeat * 2).max(Duration::from_secs(30));
        let format = FormatDescription::initial();
        let mut stream = Self {
            core,
            reader,
            payload_format: format.inside_payload(),
            format,
            payload: None,
            rest: None,
            spare: Vec::new(),
            heard: Instant::now(),
            silence,
            broken: false,
        };
        let first = match tokio::time::timeout(FIRST_EVENT, stream.reader.next_event()).await {
            Err(_) => Err(error::unreachable(&address.server(), "read the binlog", "no event came")),
            Ok(Ok(None)) => {
                Err(error::unreachable(&address.server(), "read the binlog", "the server ended the stream"))
            }
            Ok(Err(problem)) => Err(error::from_reader(problem, address)),
            // It is the made-up rotate event, in any case no row and no statement.
            Ok(Ok(Some(bytes))) => Event::parse(bytes, &stream.format).map(|event| {
                if let EventKind::Rotate { file, position } = &event.kind {
                    stream.core.rotate(file, *position, &event.header);
                }
            }),
        };
        match first {
            Ok(()) => Ok(stream),
            Err(problem) => Err((stream.core, problem)),
        }
    }

    pub(in crate::mysql) fn core(&mut self) -> &mut Core {
        &mut self.core
    }

    /// Ends the connection; the core goes on from what was delivered last with the next one.
    pub(in crate::mysql) async fn close(mut self) -> Core {
        self.core.restart(self.rest.as_ref());
        // A server that does not answer must not hold up the end.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.reader.close()).await;
        self.core
    }

    /// As `SourceTask::poll`.
    ///
    /// # Errors
    /// The record at fault is passed, and the next poll goes on, unless the stream [is broken](Self::is_broken).
    pub(in crate::mysql) async fn poll(
        &mut self,
        task: &mut Task,
        out: &mut dyn RecordSink,
        wait: Duration,
    ) -> Result<Polled> {
        self.broken = true;
        self.core.written = 0;
        let polled = self.fill(task, out, wait).await;
        self.broken &= polled.is_err();
        self.core.tell(task, out);
        polled
    }

    /// Whether the stream must be [closed](Self::close) after an error.
    pub(in crate::mysql) fn is_broken(&self) -> bool {
        self.broken
    }

    async fn fill(&mut self, task: &mut Task, out: &mut dyn RecordSink, wait: Duration) -> Result<Polled> {
        let mut end = Instant::now() + wait;
        let (mut delivering, mut busy) = (false, false);
        loop {
            if self.go_on(task, out, end).await? == Flowing::Full {
                return Ok(Polled::Ready);
            }
            let now = Instant::now();
            if self.core.written > 0 && !delivering {
                delivering = true;
                end = end.min(now + LINGER);
            }
            if now >= end {
                return Ok(if delivering || busy { Polled::Ready } else { Polled::Idle });
            }
            let next = if delivering {
                tokio::task::unconstrained(self.reader.next_event()).now_or_never()
            } else {
                tokio::time::timeout(end - now, self.reader.next_event()).await.ok()
            };
            let bytes = match next {
                None if delivering => return Ok(Polled::Ready),
                None => {
                    self.check_silence(&task.settings.address)?;
                    return Ok(Polled::Idle);
                }
                Some(Ok(Some(bytes))) => bytes,
                Some(Ok(None)) => {
                    return Err(error::unreachable(
                        &task.settings.address.server(),
                        "read the binlog",
                        "the server ended the stream",
                    ));
                }
                Some(Err(problem)) => return Err(error::from_reader(problem, &task.settings.address)),
            };
            (self.heard, busy) = (now, true);
            let event = Event::parse(bytes, &self.format)
                .map_err(|problem| error::from_reader(problem, &task.settings.address))?;
            let at = self.core.locate(&event.header);
            match event.kind {
                EventKind::FormatDescription(format) => {
                    self.payload_format = format.inside_payload();
                    self.format = format;
                    continue;
                }
                EventKind::TransactionPayload(payload) => {
                    self.payload = Some((payload.owned_events()?, at));
                    continue;
                }
                _ => {}
            }
            match self.core.event(task, &event, at, out).await? {
                Flowing::On => {}
                Flowing::Full => return Ok(Polled::Ready),
                Flowing::Rows => {
                    let mut cursor = RowCursor::default();
                    let done = match &event.kind {
                        EventKind::Rows(rows) => {
                            self.core.rows(task, rows, &event.header, at, &mut cursor, out)
                        }
                        _ => Ok(RowsDone::Whole),
                    };
                    if !matches!(done, Ok(RowsDone::Whole)) {
                        keep(&mut self.rest, &mut self.spare, bytes, cursor, at, false);
                        self.broken = false;
                        done?;
                        return Ok(Polled::Ready);
                    }
                }
            }
        }
    }

    /// What was left over: the rest of a rows event, and of a compressed transaction.
    async fn go_on(&mut self, task: &mut Task, out: &mut dyn RecordSink, end: Instant) -> Result<Flowing> {
        if let Some(rest) = &mut self.rest {
            let format = if rest.in_payload { &self.payload_format } else { &self.format };
            let event = Event::parse(&rest.bytes, format)?;
            let at = At { start: rest.at_start, end: rest.at_start };
            if let EventKind::Rows(rows) = &event.kind {
                let done = self.core.rows(task, rows, &event.header, at, &mut rest.cursor, out);
                if !matches!(done, Ok(RowsDone::Whole)) {
                    self.broken = false;
                    return done.map(|_| Flowing::Full);
                }
            }
            self.spare = self.rest.take().map(|rest| rest.bytes).unwrap_or_default();
        }
        while let Some((events, at)) = &mut self.payload {
            if Instant::now() >= end {
                return Ok(Flowing::Full);
            }
            let at = *at;
            let Some(bytes) = events.next_event()? else {
                self.payload = None;
                break;
            };
            let event = Event::parse(bytes, &self.payload_format)?;
            match self.core.event(task, &event, at, out).await? {
                Flowing::On => {}
                Flowing::Full => return Ok(Flowing::Full),
                Flowing::Rows => {
                    let mut cursor = RowCursor::default();
                    let done = match &event.kind {
                        EventKind::Rows(rows) => {
                            self.core.rows(task, rows, &event.header, at, &mut cursor, out)
                        }
                        _ => Ok(RowsDone::Whole),
                    };
                    if !matches!(done, Ok(RowsDone::Whole)) {
                        keep(&mut self.rest, &mut self.spare, bytes, cursor, at, true);
                        self.broken = false;
                        done?;
                        return Ok(Flowing::Full);
                    }
                }
            }
        }
        Ok(Flowing::On)
    }

    fn check_silence(&self, address: &Address) -> Result<()> {
        if self.heard.elapsed() < self.silence {
            return Ok(());
        }
        let problem = format!("not even a heartbeat came for {} s", self.heard.elapsed().as_secs());
        Err(error::unreachable(&address.server(), "read the binlog", &problem))
    }
}

fn keep(
    rest: &mut Option<Rest>,
    spare: &mut Vec<u8>,
    bytes: &[u8],
    cursor: RowCursor,
    at: At,
    in_payload: bool,
) {
    let mut own = std::mem::take(spare);
    // One large event does not keep its memory for ever.
    if own.capacity() > 1 << 20 {
        own = Vec::new();
    }
    own.clear();
    own.extend_from_slice(bytes);
    *rest = Some(Rest { bytes: own, cursor, at_start: at.start, in_payload });
}

/// Connects and asks for the log behind the core's position.
async fn open_reader(core: &mut Core, task: &Task) -> Result<Reader> {
    let address = &task.settings.address;
    let mut conn = connect(address).await?;
    let server = Server::read(&mut conn, address).await?;
    if let Some(problem) = server.problems(address).into_iter().next() {
        return Err(problem);
    }
    let start = start_of(&core.position, &server, address)?;
    core.server = server;
    let options = ReaderOptions {
        server_id: task.settings.server_id.unwrap_or_else(random_server_id),
        start,
        heartbeat: task.settings.heartbeat,
        hostname: String::new(),
    };
    let opening = tokio::time::timeout(FIRST_EVENT, Reader::start(conn, options)).await;
    match opening {
        Ok(opened) => opened.map_err(|problem| error::from_reader(problem, address)),
        Err(_) => Err(error::unreachable(&address.server(), "read the binlog", "no answer came")),
    }
}

/// By GTID where the position and the server have them; by file where not, on the same server only.
pub(in crate::mysql) fn start_of(
    position: &BinlogPosition,
    server: &Server,
    address: &Address,
) -> Result<Start> {
    use crate::mysql::gtid::GtidSet;
    match position.gtid.as_ref().filter(|set| !set.is_empty()) {
        Some(set @ GtidSet::MariaDb(_)) if server.mariadb => return Ok(Start::MariaDbGtids(set.to_string())),
        Some(set @ GtidSet::MySql(_)) if !server.mariadb && server.gtid => {
            return Ok(Start::MySqlGtids(set.to_string()));
        }
        _ => {}
    }
    let same = position.server.as_ref().is_none_or(|identity| *identity == server.identity);
    if !same || position.file.is_empty() {
        return Err(error::other_server(&address.server(), position, server));
    }
    Ok(Start::File { file: position.file.to_string(), position: position.offset })
}

/// Any number that is unlikely to be another's: replicas and clients with the same id throw each other out.
pub(in crate::mysql) fn random_server_id() -> u32 {
    use std::hash::{BuildHasher, Hasher};
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    // Ids of servers are small numbers, or made from addresses.
    0x4000_0000 | (random as u32 & 0x3fff_ffff)
}
