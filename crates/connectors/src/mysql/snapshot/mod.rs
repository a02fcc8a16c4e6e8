//! Snapshots: every row of every table once, then the stream from where the snapshot began.
//!
//! A snapshot is read in one consistent view, in chunks by primary key. Its positions name the table and the key behind
//! which it goes on. When it is cut off, the view is gone: the rest is read in a later one, and the stream still begins
//! where the first one began. So changes made meanwhile come in the rows and again in the stream, which in the end leaves
//! every key as it is in the source, and loses nothing.

mod begin;
mod query;
mod reader;

use std::sync::Arc;
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row, Value};
use openmessaging_connector::{EntryType, Flow, Position, Progress, RecordSink, Result};

pub(in crate::mysql) use begin::{Beginning, begin, tail};

use self::query::{from_json, is_seekable, key_of, to_json};
use self::reader::{Message, Reading};
use crate::mysql::connect::connect;
use crate::mysql::error;
use crate::mysql::position::{BinlogPosition, SnapshotPosition};
use crate::mysql::record::{Change, Image, KeyFrom, Origin, Shape};
use crate::mysql::schema::{Tables, catalog};
use crate::mysql::server::Server;
use crate::mysql::stream::{Task, now_ms};
use crate::mysql::table::Table;

/// How often progress is told.
const PROGRESS: Duration = Duration::from_secs(2);

/// What a poll of the snapshot came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mysql) enum Snapshotted {
    Ready,
    Idle,
    /// Every row was delivered.
    Done,
}

pub(in crate::mysql) struct Snapshot {
    pub server: Server,
    /// Where the stream begins afterwards.
    binlog: BinlogPosition,
    /// What is left to read, the first being the one at hand.
    tables: Vec<Arc<Table>>,
    /// Key of the last row of the chunk before; positions go on behind it.
    after: Option<Vec<Value>>,
    /// Key of the last row that was delivered of the table at hand.
    last: Option<Vec<Value>>,
    reading: Option<Reading>,
    batch: std::vec::IntoIter<Row>,
    shape: Option<Arc<Shape>>,
    base: Arc<str>,
    step: u64,
    progress: Counting,
}

struct Counting {
    rows: u64,
    estimate: Option<u64>,
    began: Instant,
    told: Instant,
}

impl Snapshot {
    /// A new snapshot, in the view that was opened.
    pub(in crate::mysql) async fn new(beginning: Beginning, server: Server, task: &Task) -> Self {
        let Beginning { mut conn, position, tables } = beginning;
        let tables = taken(&tables, task);
        let estimate = estimate(&mut conn, &tables).await;
        let mut snapshot = Self::at(server, position, tables, None);
        snapshot.progress.estimate = estimate;
        snapshot.read(conn, task);
        snapshot
    }

    /// One that was cut off, from where it was. `tables` are those where it began.
    pub(in crate::mysql) fn resumed(
        server: Server,
        binlog: BinlogPosition,
        at: &SnapshotPosition,
        tables: &Tables,
        task: &Task,
    ) -> Self {
        let mut tables = taken(tables, task);
        tables.retain(|table| (&*table.database, &*table.name) >= (at.database.as_str(), at.table.as_str()));
        let same =
            tables.first().is_some_and(|table| *table.database == *at.database && *table.name == *at.table);
        let after = at.after.as_deref().filter(|_| same).and_then(from_json);
        Self::at(server, binlog, tables, after)
    }

    fn at(
        server: Server,
        binlog: BinlogPosition,
        tables: Vec<Arc<Table>>,
        after: Option<Vec<Value>>,
    ) -> Self {
        let now = Instant::now();
        let mut snapshot = Self {
            server,
            binlog,
            tables,
            last: after.clone(),
            after,
            reading: None,
            batch: Vec::new().into_iter(),
            shape: None,
            base: Arc::from("{}"),
            step: 0,
            progress: Counting { rows: 0, estimate: None, began: now, told: now },
        };
        snapshot.render();
        snapshot
    }

    /// Where the stream goes on when the snapshot is done.
    pub(in crate::mysql) fn binlog(&self) -> &BinlogPosition {
        &self.binlog
    }

    fn read(&mut self, conn: Conn, task: &Task) {
        let settings = &task.settings;
        let (address, after) = (settings.address.clone(), self.last.clone());
        self.reading = Some(Reading::start(conn, address, self.tables.clone(), after, settings.chunk_rows));
    }

    /// Goes on in a new view, with the tables as they are by now.
    async fn reopen(&mut self, task: &Task) -> Result<()> {
        let address = &task.settings.address;
        let mut other = connect(address).await?;
        let names: Vec<_> =
            self.tables.iter().map(|table| (table.database.clone(), table.name.clone())).collect();
        let mut conn = begin::session(address).await?;
        begin::open_view(&mut conn, address).await?;
        if !names.is_empty() {
            let now = catalog::read_tables(&mut other, &self.server, address, &names).await?;
            for table in &mut self.tables {
                if let Some(tracked) = now.get(&table.database, &table.name) {
                    *table = tracked.table.clone();
                }
            }
            self.progress.estimate = self.progress.estimate.or(estimate(&mut other, &self.tables).await);
        }
        other.disconnect().await.ok();
        // Without a key to go on behind, the table is read again from its beginning.
        let seekable = self.tables.first().is_some_and(|table| is_seekable(table));
        if !seekable {
            (self.last, self.after) = (None, None);
        }
        self.render();
        self.shape = None;
        self.read(conn, task);
        Ok(())
    }

    /// The base of the positions in the chunk at hand.
    fn render(&mut self) {
        self.step = 0;
        let Some(table) = self.tables.first() else { return };
        let at = SnapshotPosition {
            database: table.database.to_string(),
            table: table.name.to_string(),
            after: self.after.as_deref().map(to_json),
        };
        self.base = self.binlog.snapshot_base(&at);
    }

    /// As `SourceTask::poll`.
    pub(in crate::mysql) async fn poll(
        &mut self,
        task: &mut Task,
        out: &mut dyn RecordSink,
        wait: Duration,
    ) -> Result<Snapshotted> {
        if self.reading.is_none() && !self.tables.is_empty() {
            self.reopen(task).await?;
        }
        let end = Instant::now() + wait;
        let before = self.progress.rows;
        loop {
            if self.drain(task, out)? == Flow::Full {
                return Ok(Snapshotted::Ready);
            }
            self.tell_progress(task, false);
            if self.tables.is_empty() {
                self.tell_progress(task, true);
                return Ok(Snapshotted::Done);
            }
            let Some(reading) = &mut self.reading else { return Ok(Snapshotted::Idle) };
            let message = match self.progress.rows > before {
                true => match reading.messages.try_recv() {
                    Ok(message) => Some(message),
                    Err(tokio::sync::mpsc::error::TryRecvError::Empty) => return Ok(Snapshotted::Ready),
                    Err(_) => None,
                },
                false => {
                    let left = end.saturating_duration_since(Instant::now());
                    match tokio::time::timeout(left, reading.messages.recv()).await {
                        Ok(message) => message,
                        Err(_) => return Ok(Snapshotted::Idle),
                    }
                }
            };
            self.take(message, task, out)?;
        }
    }

    fn take(&mut self, message: Option<Message>, task: &Task, out: &mut dyn RecordSink) -> Result<()> {
        match message {
            Some(Message::Rows(rows)) => self.batch = rows.into_iter(),
            Some(Message::ChunkEnd(key)) => {
                self.after = Some(key);
                self.render();
                self.tell(task, out);
            }
            Some(Message::TableEnd) => self.next_table(task, out),
            Some(Message::TableGone) => {
                if let Some(table) = self.tables.first() {
                    let message = format!(
                        "table {}.{} was dropped before its snapshot was read",
                        table.database, table.name
                    );
                    task.reporter.warning("mysql.table_gone", &message);
                }
                self.next_table(task, out);
            }
            Some(Message::Failed(error)) => {
                self.reading = None;
                return Err(error);
            }
            None => {
                self.reading = None;
                return Err(error::unreachable(
                    &task.settings.address.server(),
                    "read the snapshot",
                    "its reader ended",
                ));
            }
        }
        Ok(())
    }

    fn next_table(&mut self, task: &Task, out: &mut dyn RecordSink) {
        let table = self.tables.remove(0);
        tracing::info!(table = %format_args!("{}.{}", table.database, table.name), rows = self.progress.rows, "snapshot of a table done");
        (self.after, self.last, self.shape) = (None, None, None);
        self.render();
        self.tell(task, out);
    }

    /// Everything before this chunk is done.
    fn tell(&mut self, task: &Task, out: &mut dyn RecordSink) {
        if !self.tables.is_empty() {
            out.advance(&task.partition, Position::at(&self.base, 0));
        }
    }

    /// Writes the rows at hand until the batch is full.
    fn drain(&mut self, task: &mut Task, out: &mut dyn RecordSink) -> Result<Flow> {
        let Some(table) = self.tables.first().cloned() else { return Ok(Flow::More) };
        if self.batch.as_slice().is_empty() {
            return Ok(Flow::More);
        }
        let shape = self.shape.get_or_insert_with(|| task.shapes.of(&table)).clone();
        let now = now_ms();
        let origin = Origin {
            partition: &task.partition,
            connector: self.server.connector(),
            name: &task.name,
            ts_ms: now,
            read_ms: now,
            snapshot: true,
            server_id: 0,
            gtid: None,
            file: &self.binlog.file,
            pos: self.binlog.offset,
            thread: None,
            query: None,
        };
        let seekable = is_seekable(&table);
        let mut written = Ok(Flow::More);
        let mut latest = None;
        for row in self.batch.by_ref() {
            self.step += 1;
            self.progress.rows += 1;
            let change = Change {
                shape: &shape,
                entry: EntryType::Read,
                key: KeyFrom::After,
                before: Image::None,
                after: Image::Row { table: &table, row: &row },
                row: 0,
            };
            written = change.write(&origin, task.settings.decimal, out, &self.base, self.step);
            latest = Some(row);
            if !matches!(written, Ok(Flow::More)) {
                break;
            }
        }
        if let Some(row) = latest.filter(|_| seekable) {
            self.last = key_of(&table, &row);
        }
        written
    }

    fn tell_progress(&mut self, task: &Task, done: bool) {
        let counting = &mut self.progress;
        if !done && counting.told.elapsed() < PROGRESS {
            return;
        }
        counting.told = Instant::now();
        let progress = Progress {
            phase: "snapshot".to_owned(),
            current: self.tables.first().map(|table| format!("{}.{}", table.database, table.name)),
            rows: counting.rows,
            estimated_rows: if done { Some(counting.rows) } else { counting.estimate },
            rows_per_second: counting.rows as f64 / counting.began.elapsed().as_secs_f64().max(0.001),
        };
        tracing::info!(
            rows = progress.rows,
            estimate = progress.estimated_rows,
            rate = progress.rows_per_second as u64,
            done,
            "snapshot"
        );
        task.reporter.progress(progress);
    }

    pub(in crate::mysql) async fn stop(&mut self) {
        if let Some(reading) = self.reading.take() {
            reading.stop().await;
        }
    }
}

/// The tables to read, by name.
fn taken(tables: &Tables, task: &Task) -> Vec<Arc<Table>> {
    let filter = &task.settings.filter;
    let mut taken: Vec<_> = tables
        .iter()
        .filter(|tracked| filter.takes(&tracked.table.database, &tracked.table.name))
        .map(|tracked| tracked.table.clone())
        .collect();
    taken.sort_by(|a, b| (&a.database, &a.name).cmp(&(&b.database, &b.name)));
    taken
}

/// The server's own guess of how many rows there are.
async fn estimate(conn: &mut Conn, tables: &[Arc<Table>]) -> Option<u64> {
    let rows: Vec<(String, String, Option<u64>)> = conn
        .query("SELECT table_schema, table_name, table_rows FROM information_schema.tables")
        .await
        .ok()?;
    let ours = |database: &str, name: &str| {
        tables.iter().any(|table| *table.database == *database && *table.name == *name)
    };
    let rows = rows.into_iter().filter(|(database, name, _)| ours(database, name));
    Some(rows.filter_map(|(_, _, rows)| rows).sum())
}
