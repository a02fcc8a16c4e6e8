//! A database with the capture in it: opened, installed, started at a position, emptied, taken away. All of this
//! blocks, so it runs on a thread of its own.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use openmessaging_connector::{Error, Result};
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, params};

use super::config::Settings;
use super::install::Installed;
use super::position::Place;
use super::table::quoted;
use super::triggers::Names;
use super::{error, schema};

/// How long a lock of another process is waited for.
const BUSY: Duration = Duration::from_millis(500);
const BUSY_AT_START: Duration = Duration::from_secs(3);
/// Changes are given up in transactions of this many, so that no writer waits long for one.
const RELEASE: usize = 5000;

#[derive(Debug)]
pub(super) struct Capture {
    pub connection: Connection,
    pub installed: Installed,
    /// For [`read`](super::read): the file's version when all of it was read, and when its name was looked at.
    pub read_at: Option<i64>,
    pub looked_at: Instant,
    file: (u64, u64),
}

impl Capture {
    /// Opens the database, installs what is missing, and answers where reading starts.
    pub(super) fn start(settings: Settings, connector: &str, stored: Option<Place>) -> Result<(Self, Place)> {
        let (connection, file) = open(&settings.path)?;
        let installed = Installed::new(settings, Names::new(connector));
        let mut capture = Self { connection, installed, read_at: None, looked_at: Instant::now(), file };
        let place = capture.begin(stored)?;
        Ok((capture, place))
    }

    pub(super) fn path(&self) -> &Path {
        &self.installed.settings.path
    }

    /// Whether the file of that name is another one now.
    pub(super) fn is_replaced(&self) -> Result<bool> {
        Ok(id(self.path())? != self.file)
    }

    /// Where reading starts (again). Without a stored position it is where the configuration says (S1).
    pub(super) fn begin(&mut self, stored: Option<Place>) -> Result<Place> {
        if self.is_replaced()? {
            (self.connection, self.file) = open(self.path())?;
        }
        self.read_at = None;
        self.write("install the capture in", BUSY_AT_START, |transaction, installed| {
            installed.begin(transaction, stored)
        })
    }

    /// Brings the triggers in step with a changed schema. Changes up to `cursor` were read.
    pub(super) fn adapt(&mut self, cursor: i64) -> Result<()> {
        self.read_at = None;
        self.write("follow the tables of", BUSY, |transaction, installed| {
            installed.adapt(transaction, cursor, true)
        })
    }

    fn write<T>(
        &mut self,
        doing: &str,
        patience: Duration,
        act: impl FnOnce(&Transaction<'_>, &mut Installed) -> Result<T>,
    ) -> Result<T> {
        let path = self.installed.settings.path.clone();
        let sql = |e| error::sql(doing, &path, e);
        self.connection.busy_timeout(patience).map_err(sql)?;
        let transaction =
            Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate).map_err(sql)?;
        let done = act(&transaction, &mut self.installed)?;
        transaction.commit().map_err(sql)?;
        self.connection.busy_timeout(BUSY).map_err(sql)?;
        Ok(done)
    }

    /// Gives up the changes that are committed (S7); those of snapshots under way stay, as their tables are not
    /// whole yet. `false`: the database is locked, and it is to be tried again.
    pub(super) fn release(&mut self, committed: &Place) -> Result<bool> {
        if committed.capture != self.installed.token {
            return Ok(true);
        }
        let changes = quoted(&self.installed.names.changes());
        let marker = committed.snapshot.as_ref().map_or(i64::MAX, |snapshot| snapshot.marker);
        let sql = format!(
            "DELETE FROM {changes} WHERE n IN (SELECT n FROM {changes} WHERE n <= ?1 AND (op <> 's' OR n < ?2) LIMIT {RELEASE})"
        );
        loop {
            let deleted = self
                .connection
                .prepare_cached(&sql)
                .and_then(|mut s| s.execute(params![committed.change, marker]));
            match deleted {
                Ok(count) if count < RELEASE => return Ok(true),
                Ok(_) => {}
                Err(e) if is_busy(&e) => return Ok(false),
                Err(e) => return Err(error::sql("empty the change table of", self.path(), e)),
            }
        }
    }
}

/// Takes everything of the connector out of the database. A file that is not there holds nothing.
pub(super) fn remove(settings: &Settings, connector: &str) -> Result<()> {
    if !settings.path.exists() {
        return Ok(());
    }
    let (connection, _) = open(&settings.path)?;
    let names = Names::new(connector);
    let act = || {
        connection.busy_timeout(BUSY_AT_START)?;
        let transaction = Transaction::new_unchecked(&connection, TransactionBehavior::Immediate)?;
        for (trigger, _) in schema::triggers(&transaction, &names.prefix())? {
            transaction.execute_batch(&schema::drop_trigger(&trigger))?;
        }
        for table in [names.changes(), names.tables()] {
            transaction.execute_batch(&format!("DROP TABLE IF EXISTS {}", quoted(&table)))?;
        }
        transaction.commit()
    };
    act().map_err(|e| error::sql("remove the capture from", &settings.path, e))
}

/// What stands in the way of capturing, before anything is installed.
pub(super) fn check(settings: &Settings) -> Result<()> {
    let (connection, _) = open(&settings.path)?;
    let installed = Installed::new(settings.clone(), Names::new(""));
    installed.check_tables(&connection)?;
    match Transaction::new_unchecked(&connection, TransactionBehavior::Immediate) {
        Ok(transaction) => transaction.rollback().map_err(|e| error::sql("write to", &settings.path, e)),
        // Somebody writes to it: so can we.
        Err(e) if is_busy(&e) => Ok(()),
        Err(e) => Err(error::sql("write to", &settings.path, e)),
    }
}

pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
    matches!(error.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked))
}

fn id(path: &Path) -> Result<(u64, u64)> {
    match std::fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => Err(error::not_a_file(path)),
        Ok(metadata) => Ok((metadata.dev(), metadata.ino())),
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            Err(error::no_file(path))
        }
        Err(e) => {
            let message = format!("cannot look at {}: {e}", path.display());
            Err(Error::retriable("sqlite.cannot_open", message)
                .with_remedy("give the user that runs the worker the right to the file and its folder")
                .with_source(e))
        }
    }
}

fn open(path: &Path) -> Result<(Connection, (u64, u64))> {
    let file = id(path)?;
    let sql = |e| error::sql("open", path, e);
    // Never makes a file, and takes a name for a name, not for a URI.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(sql)?;
    // Where it may not write, SQLite opens a file for reading alone and says so only when something is written.
    if connection.is_readonly("main").map_err(sql)? {
        return Err(error::read_only(path));
    }
    connection.busy_timeout(BUSY).map_err(sql)?;
    // Opening alone reads nothing: this finds out whether it is a database.
    match schema::version(&connection) {
        Ok(_) => {}
        Err(e) if is_busy(&e) => {}
        Err(e) => return Err(sql(e)),
    }
    Ok((connection, file))
}
