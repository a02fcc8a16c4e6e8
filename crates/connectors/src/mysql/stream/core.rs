//! The state of a stream that outlives its connection: where it stands, the tables there, what was delivered of the
//! transaction at hand; and what each event does to it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use openmessaging_connector::{Error, Position, RecordSink, Reporter, Result, SourcePartition};

use super::plans::{self, Plans};
use super::rows::RowCursor;
use super::statement::{Statement, opens_transaction};
use super::transaction::{Delivered, Transaction};
use crate::mysql::binlog::{Event, EventKind, Header, Query, RowsKind, TableMap};
use crate::mysql::config::Settings;
use crate::mysql::decode::Spans;
use crate::mysql::gtid::{GtidSet, TransactionId};
use crate::mysql::position::{BinlogPosition, Stored};
use crate::mysql::record::Shapes;
use crate::mysql::schema::History;
use crate::mysql::server::Server;

/// What a task knows all its life.
pub(in crate::mysql) struct Task {
    pub settings: Settings,
    /// The logical name in records: the prefix, or the connector's name.
    pub name: Arc<str>,
    pub partition: SourcePartition,
    pub reporter: Arc<dyn Reporter>,
    pub shapes: Shapes,
}

/// Where an event is in its file.
#[derive(Debug, Clone, Copy)]
pub(super) struct At {
    pub start: u64,
    pub end: u64,
}

/// What is left of a rows event when the batch was full.
#[derive(Debug, Default)]
pub(super) struct Rest {
    pub bytes: Vec<u8>,
    pub cursor: RowCursor,
    pub at_start: u64,
    pub in_payload: bool,
}

pub(in crate::mysql) struct Core {
    pub(super) server: Server,
    pub(super) history: History,
    /// Behind the last whole transaction: where the one at hand begins.
    pub(super) position: BinlogPosition,
    /// The file at hand, and where its next event begins.
    pub(super) file: Arc<str>,
    offset: u64,
    pub(super) delivered: Delivered,
    pub(super) transaction: Transaction,
    pub(super) plans: Plans,
    /// The base of positions in the transaction at hand.
    base: Option<Arc<str>>,
    /// The last position told, and when.
    told: Option<(Arc<str>, Instant)>,
    /// Records were written since a position between transactions was told.
    pub(super) wrote: bool,
    /// Records written in this poll.
    pub(super) written: u64,
    warned_statements: bool,
    pub(super) before: Spans,
    pub(super) after: Spans,
}

/// What comes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flowing {
    On,
    /// A rows event: for the caller to drive, since it may be left half-way.
    Rows,
    Full,
}

impl Core {
    pub(in crate::mysql) fn new(server: Server, history: History, stored: Stored) -> Self {
        let delivered = Delivered::read(stored.step, stored.transaction);
        Self {
            server,
            history,
            file: stored.binlog.file.clone(),
            offset: stored.binlog.offset,
            position: stored.binlog,
            delivered,
            transaction: Transaction::default(),
            plans: Plans::default(),
            base: None,
            told: None,
            wrote: false,
            written: 0,
            warned_statements: false,
            before: Spans::new(),
            after: Spans::new(),
        }
    }

    pub(in crate::mysql) fn history(&mut self) -> &mut History {
        &mut self.history
    }

    /// Makes ready for a new connection: it will send the transaction at hand again from its beginning.
    pub(super) fn restart(&mut self, rest: Option<&Rest>) {
        if self.transaction.open || self.transaction.events > 0 {
            let transaction = std::mem::take(&mut self.transaction);
            if transaction.foreign {
                // Of the other one what was delivered comes again: of two only one can be kept.
                self.delivered = Delivered::default();
            }
            self.delivered.id = transaction.id.or(self.delivered.id.take());
            self.delivered.reach(transaction.events, rest.map_or(0, |rest| rest.cursor.images));
        }
        self.transaction = Transaction::default();
        self.base = None;
        self.offset = self.position.offset;
    }

    /// Where the event is; moves on to its end.
    pub(super) fn locate(&mut self, header: &Header) -> At {
        if header.next_position == 0 || header.is_artificial() {
            return At { start: self.offset, end: self.offset };
        }
        // The header has the lower 32 bits only.
        const LOW: u64 = 0xffff_ffff;
        let mut end = self.offset & !LOW | u64::from(header.next_position);
        if end < self.offset && self.offset - end > LOW / 2 {
            end += LOW + 1;
        }
        self.offset = end;
        At { start: end.saturating_sub(u64::from(header.size)), end }
    }

    /// What the event does, but for rows events (see [`Core::rows`]) and payloads, which the caller opens.
    pub(super) async fn event(
        &mut self,
        task: &mut Task,
        event: &Event<'_>,
        at: At,
        out: &mut dyn RecordSink,
    ) -> Result<Flowing> {
        match &event.kind {
            EventKind::Rows(_) => return Ok(Flowing::Rows),
            EventKind::TableMap(map) => self.table_map(task, map, at).await?,
            EventKind::Xid(_) | EventKind::XaPrepare { .. } => self.end_transaction(at),
            EventKind::Gtid(gtid) => {
                let id = TransactionId::of(gtid);
                self.begin_transaction(Some(id), gtid.original_commit_us, at);
            }
            EventKind::AnonymousGtid(gtid) => {
                // What has no identifier is in no set.
                self.position.gtid = None;
                self.begin_transaction(None, gtid.original_commit_us, at);
            }
            EventKind::MariaDbGtid(begin) => {
                self.begin_transaction(Some(TransactionId::MariaDb(begin.gtid)), 0, at);
                self.transaction.standalone = begin.is_standalone();
            }
            EventKind::Query(query) => return self.query(task, query, event, at, out).await,
            EventKind::RowsQuery(text) if task.settings.include_query => {
                self.transaction.query = Some(text.clone().into_owned());
            }
            EventKind::Rotate { file, position } => self.rotate(file, *position, &event.header),
            EventKind::PreviousGtids(intervals) if self.position.gtid.is_none() && self.server.gtid => {
                self.position.gtid = Some(GtidSet::from_intervals(intervals));
                self.base = None;
            }
            _ => {}
        }
        Ok(Flowing::On)
    }

    fn begin_transaction(&mut self, id: Option<TransactionId>, commit_us: u64, at: At) {
        // One that never ended (the server died within it) is none.
        self.position.file = self.file.clone();
        self.position.offset = at.start;
        self.base = None;
        self.transaction = Transaction::begin(id, commit_us);
        let other = self.delivered.id.is_some() && self.delivered.id != self.transaction.id;
        if other && !self.delivered.is_none() {
            // Another server has another order: what is meant comes later.
            self.transaction.foreign = true;
        }
    }

    pub(super) fn end_transaction(&mut self, at: At) {
        if let (Some(executed), Some(id)) = (&mut self.position.gtid, &self.transaction.id) {
            executed.add(id);
        }
        self.position.file = self.file.clone();
        self.position.offset = at.end;
        self.base = None;
        if !self.transaction.foreign {
            self.delivered = Delivered::default();
        }
        self.transaction = Transaction::default();
    }

    /// Another file follows, or the server tells which one it reads.
    pub(super) fn rotate(&mut self, file: &str, position: u64, header: &Header) {
        if *self.file != *file {
            self.file = file.into();
        }
        self.offset = position;
        // By GTID the server begins at the head of some file: only the end of a file moves the position.
        let made_up = header.is_artificial() || header.next_position == 0;
        if !made_up && !self.transaction.open {
            self.position.file = self.file.clone();
            self.position.offset = position;
            self.base = None;
        }
    }

    /// The base of positions in the transaction at hand.
    pub(super) fn base(&mut self) -> Arc<str> {
        let id = if self.transaction.open { self.transaction.gtid.as_str() } else { "" };
        self.base.get_or_insert_with(|| self.position.base_in(id)).clone()
    }

    /// Tells the position between transactions, if it moved: at once behind records, else every heartbeat.
    pub(super) fn tell(&mut self, task: &Task, out: &mut dyn RecordSink) {
        if self.transaction.open {
            return;
        }
        let due = |(_, at): &(Arc<str>, Instant)| at.elapsed() >= task.settings.heartbeat;
        if !self.wrote && !self.told.as_ref().is_none_or(due) {
            return;
        }
        let base = self.base();
        if self.told.as_ref().is_none_or(|(told, _)| *told != base) {
            out.advance(&task.partition, Position::at(&base, 0));
        }
        self.told = Some((base, Instant::now()));
        self.wrote = false;
    }

    async fn table_map(&mut self, task: &mut Task, map: &TableMap<'_>, at: At) -> Result<()> {
        if self.plans.is_current(map) {
            return Ok(());
        }
        if !task.settings.filter.takes(map.database, map.name) {
            self.plans.put(map, None);
            return Ok(());
        }
        let mut known =
            self.history.tables().get(map.database, map.name).map(|tracked| tracked.table.clone());
        if known.is_none() && !map.has_full_metadata() {
            known = self.look_up(task, map.database, map.name).await?;
        }
        let planned = plans::plan(map, known.as_ref(), &mut task.shapes)
            .map_err(|error| self.located(error, at, &format!("{}.{}", map.database, map.name)))?;
        if planned.is_none() {
            return Err(self.unknown_table(map, at));
        }
        self.plans.put(map, planned);
        Ok(())
    }

    #[cold]
    fn unknown_table(&self, map: &TableMap<'_>, at: At) -> Error {
        let (table, file, start) = (format!("{}.{}", map.database, map.name), &self.file, at.start);
        Error::fatal(
            "mysql.schema_unknown",
            format!("rows of {table} come at {file}:{start}, and neither the stored schema history nor the catalog has the table as it was then"),
        )
        .with_remedy("SET GLOBAL binlog_row_metadata = 'FULL' and take a new snapshot (snapshot.mode=initial with reset offsets), or leave the table out by table.exclude.list")
    }

    /// Adds the table and the place to an error of decoding.
    #[cold]
    pub(super) fn located(&self, mut error: Error, at: At, table: &str) -> Error {
        let place = format!("{}:{}", self.file, at.start);
        if !error.message.contains(table) {
            error.message = format!("table {table}: {}", error.message);
        }
        error.message = format!("{} (at {place})", error.message);
        error.remedy.get_or_insert_with(|| "look at the event with mysqlbinlog; leave the table out by table.exclude.list to go on without it".to_owned());
        error
    }

    async fn query(
        &mut self,
        task: &mut Task,
        query: &Query<'_>,
        event: &Event<'_>,
        at: At,
        out: &mut dyn RecordSink,
    ) -> Result<Flowing> {
        self.transaction.thread = Some(query.thread_id);
        match Statement::of(&query.sql) {
            Statement::Begin => {
                if !self.transaction.open {
                    self.begin_transaction(None, 0, at);
                    self.transaction.thread = Some(query.thread_id);
                }
                self.transaction.begun = true;
            }
            Statement::End => self.end_transaction(at),
            Statement::Inside => {}
            Statement::Rows => {
                self.warn_of_statement(task, query, at);
                self.end_if_alone(at);
            }
            Statement::Other => {
                let flow = self.definition(task, query, &event.header, at, out).await?;
                if opens_transaction(&query.sql) {
                    self.transaction.begun = true;
                } else {
                    self.end_if_alone(at);
                }
                return Ok(flow);
            }
        }
        Ok(Flowing::On)
    }

    /// Ends the transaction behind a statement that no COMMIT follows.
    fn end_if_alone(&mut self, at: At) {
        let alone = match self.server.mariadb {
            true => self.transaction.standalone || !self.transaction.open,
            false => !self.transaction.begun,
        };
        if alone {
            self.end_transaction(at);
        }
    }

    fn warn_of_statement(&mut self, task: &Task, query: &Query<'_>, at: At) {
        if std::mem::replace(&mut self.warned_statements, true) {
            return;
        }
        let verb = query.sql.split_whitespace().next().unwrap_or_default();
        let message = format!(
            "{} at {}:{} was logged as a statement ({verb}), in database {}: its rows are not in the binlog, so their changes are missing. \
             Let no session set binlog_format to anything but ROW",
            task.settings.address.server(),
            self.file,
            at.start,
            query.database
        );
        task.reporter.warning("mysql.statement_logged", &message);
    }
}

/// Milliseconds since the epoch.
pub(in crate::mysql) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Row images that each row of an event of this kind has.
pub(super) fn images_of(kind: RowsKind) -> u32 {
    match kind {
        RowsKind::Update | RowsKind::PartialUpdate => 2,
        RowsKind::Write | RowsKind::Delete => 1,
    }
}
