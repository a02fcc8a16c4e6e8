//! Taking changes and snapshot rows out of a database, in portions of bounded size. All of this blocks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use openmessaging_connector::Result;
use rusqlite::types::{Value as Datum, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params_from_iter};

use super::capture::{Capture, is_busy};
use super::error;
use super::install::{Definition, Installed};
use super::position::Snapshot;
use super::schema;
use super::table::quoted;

/// A portion ends at so many rows or bytes, whichever comes first.
const ROWS: usize = 2000;
const BYTES: usize = 1 << 20;
/// How often the file's name is looked at while nothing changes.
const LOOK: Duration = Duration::from_millis(500);

/// What the triggers recorded. The letters are those of the change table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Insert,
    Update,
    Delete,
    /// The table is to be sent whole.
    Snapshot,
    /// A row in the way of the statement whose change follows, if it is of this definition.
    Conflict,
}

/// One recorded change.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    pub n: i64,
    pub of: Arc<Definition>,
    pub op: Op,
    pub ts_ms: i64,
    pub old_rowid: Option<i64>,
    pub new_rowid: Option<i64>,
    /// Values by column; empty where there is no such image.
    pub old: Vec<Datum>,
    pub new: Vec<Datum>,
}

/// Some rows of a table as they were behind the change `watermark`: they come after it and before what follows.
#[derive(Debug, PartialEq)]
pub(super) struct Chunk {
    pub watermark: i64,
    pub of: Option<Arc<Definition>>,
    /// Each with the cursor to go on behind it.
    pub rows: Vec<(Vec<Datum>, Vec<Datum>)>,
    /// The table ends with these rows. Then the next snapshot that is due, by its marker.
    pub last: bool,
    pub next: Option<i64>,
}

/// What a [`step`] came to.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    Changes {
        changes: Vec<Change>,
        /// There were no more changes when these were read.
        head: bool,
        chunk: Option<Chunk>,
    },
    Nothing,
    /// Another process holds a lock.
    Busy,
    /// The file is another one: begin anew.
    Replaced,
}

/// Reads the changes behind `cursor`, up to `upto`; and, where a snapshot is wanted, its next rows.
pub(super) fn step(
    capture: &mut Capture,
    cursor: i64,
    upto: Option<i64>,
    snapshot: Option<&Snapshot>,
) -> Result<Step> {
    let version = match capture.connection.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0)) {
        Ok(version) => version,
        Err(e) if is_busy(&e) => return Ok(Step::Busy),
        Err(e) => return Err(error::sql("read", capture.path(), e)),
    };
    if capture.read_at == Some(version) && snapshot.is_none() {
        if capture.looked_at.elapsed() >= LOOK {
            capture.looked_at = Instant::now();
            if capture.is_replaced()? {
                return Ok(Step::Replaced);
            }
        }
        return Ok(Step::Nothing);
    }
    // The triggers follow the schema before anything is read that was recorded under another one; a program that
    // changes it again and again cannot keep us here.
    for _ in 0..3 {
        match portion(&capture.connection, &capture.installed, cursor, upto, snapshot) {
            Ok(Some(step)) => {
                let all = upto.is_none() && matches!(&step, Step::Changes { head: true, chunk: None, .. });
                capture.read_at = all.then_some(version);
                return Ok(step);
            }
            Ok(None) => match capture.adapt(cursor) {
                Err(error) if error.code == "sqlite.locked" => return Ok(Step::Busy),
                done => done?,
            },
            Err(e) if is_busy(&e) => return Ok(Step::Busy),
            Err(e) => return Err(error::sql("read the changes of", capture.path(), e)),
        }
    }
    Ok(Step::Busy)
}

/// `None`: the schema has changed.
fn portion(
    connection: &Connection,
    installed: &Installed,
    cursor: i64,
    upto: Option<i64>,
    snapshot: Option<&Snapshot>,
) -> rusqlite::Result<Option<Step>> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Deferred)?;
    if schema::version(&transaction)? != installed.schema_version {
        return Ok(None);
    }
    let chunk = snapshot.map(|snapshot| chunk(&transaction, installed, cursor, snapshot)).transpose()?;
    let upto = chunk.as_ref().map(|chunk| chunk.watermark).or(upto);
    let (changes, head) = changes(&transaction, installed, cursor, upto.unwrap_or(i64::MAX))?;
    Ok(Some(Step::Changes { changes, head, chunk }))
}

fn changes(
    connection: &Connection,
    installed: &Installed,
    cursor: i64,
    upto: i64,
) -> rusqlite::Result<(Vec<Change>, bool)> {
    let table = quoted(&installed.names.changes());
    let sql = format!("SELECT * FROM {table} WHERE n > ?1 AND n <= ?2 ORDER BY n");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([cursor, upto])?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        if found.len() >= ROWS || bytes >= BYTES {
            return Ok((found, false));
        }
        let d: i64 = row.get(1)?;
        // A definition that is gone has no meaning left for its changes; it is kept as long as there are any.
        let Some(of) = installed.definitions.get(&d) else { continue };
        let op = match row.get_ref(2)?.as_bytes()? {
            b"c" => Op::Insert,
            b"u" => Op::Update,
            b"d" => Op::Delete,
            b"s" => Op::Snapshot,
            b"x" => Op::Conflict,
            _ => continue,
        };
        let columns = if op == Op::Snapshot { 0 } else { of.table.columns.len() };
        let mut image = |offset: usize, there: bool| -> rusqlite::Result<Vec<Datum>> {
            let count = if there { columns } else { 0 };
            (0..count).map(|at| datum(row, 6 + 2 * at + offset, &mut bytes)).collect()
        };
        let old = image(0, op != Op::Insert)?;
        let new = image(1, matches!(op, Op::Insert | Op::Update))?;
        let ts_ms = row.get::<_, Option<i64>>(3)?.unwrap_or_default();
        let (old_rowid, new_rowid) = (row.get(4)?, row.get(5)?);
        found.push(Change { n: row.get(0)?, of: of.clone(), op, ts_ms, old_rowid, new_rowid, old, new });
    }
    Ok((found, true))
}

/// A value as it is; a text that is not UTF-8 with U+FFFD in the place of what is not.
fn datum(row: &Row<'_>, at: usize, bytes: &mut usize) -> rusqlite::Result<Datum> {
    let value = match row.get_ref(at)? {
        ValueRef::Null => Datum::Null,
        ValueRef::Integer(value) => Datum::Integer(value),
        ValueRef::Real(value) => Datum::Real(value),
        ValueRef::Text(text) => Datum::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(blob) => Datum::Blob(blob.to_vec()),
    };
    *bytes += 16
        + match &value {
            Datum::Text(text) => text.len(),
            Datum::Blob(blob) => blob.len(),
            _ => 0,
        };
    Ok(value)
}

/// The next rows of the table that the snapshot is of.
fn chunk(
    connection: &Connection,
    installed: &Installed,
    cursor: i64,
    snapshot: &Snapshot,
) -> rusqlite::Result<Chunk> {
    let changes = quoted(&installed.names.changes());
    let watermark: Option<i64> =
        connection.query_row(&format!("SELECT max(n) FROM {changes}"), [], |row| row.get(0))?;
    let watermark = watermark.unwrap_or(cursor).max(cursor);
    let sql = format!("SELECT d FROM {changes} WHERE n = ?1 AND op = 's'");
    let d: Option<i64> = connection.query_row(&sql, [snapshot.marker], |row| row.get(0)).optional()?;
    let of = d.and_then(|d| installed.definitions.get(&d)).filter(|of| installed.is_live(of.d)).cloned();
    let (rows, last) = match &of {
        Some(of) => table_rows(connection, of, snapshot)?,
        // Dropped since.
        None => (Vec::new(), true),
    };
    let sql = format!("SELECT min(n) FROM {changes} WHERE op = 's' AND n > ?1 AND n <= ?2");
    let next = match last {
        true => connection.query_row(&sql, [snapshot.marker, watermark], |row| row.get(0))?,
        false => None,
    };
    Ok(Chunk { watermark, of, rows, last, next })
}

type Rows = Vec<(Vec<Datum>, Vec<Datum>)>;

fn table_rows(
    connection: &Connection,
    of: &Definition,
    snapshot: &Snapshot,
) -> rusqlite::Result<(Rows, bool)> {
    let table = &of.table;
    let names = |of: &[&String]| of.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    let cursor: Vec<&String> = match &table.rowid {
        Some(rowid) => vec![rowid],
        None => table.key.iter().map(|at| &table.columns[*at].name).collect(),
    };
    if cursor.is_empty() {
        // All three names of the row id are names of columns: there is no order to go by.
        return Ok((Vec::new(), true));
    }
    let columns: Vec<&String> = table.columns.iter().map(|column| &column.name).collect();
    let behind = match &snapshot.after {
        Some(after) if after.len() == cursor.len() => {
            let marks = vec!["?"; cursor.len()].join(", ");
            format!(" WHERE ({}) > ({marks})", names(&cursor))
        }
        _ => String::new(),
    };
    let (key, width) = (names(&cursor), cursor.len());
    let sql =
        format!("SELECT {key}, {} FROM {}{behind} ORDER BY {key}", names(&columns), quoted(&table.name));
    let mut statement = connection.prepare_cached(&sql)?;
    let after = if behind.is_empty() { &[][..] } else { snapshot.after.as_deref().unwrap_or_default() };
    let mut rows = statement.query(params_from_iter(after))?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        if found.len() >= ROWS || bytes >= BYTES {
            return Ok((found, false));
        }
        let mut part = |from: usize, count: usize| -> rusqlite::Result<Vec<Datum>> {
            (from..from + count).map(|at| datum(row, at, &mut bytes)).collect()
        };
        let position = part(0, width)?;
        found.push((part(width, columns.len())?, position));
    }
    Ok((found, true))
}
