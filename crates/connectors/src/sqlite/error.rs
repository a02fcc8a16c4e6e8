//! What SQLite says, as errors that name the file and the remedy. Codes: <https://sqlite.org/rescode.html>.

use std::path::Path;

use openmessaging_connector::{Error, ErrorKind};
use rusqlite::ErrorCode;

/// Something that SQLite refused to do with the file.
pub(super) fn sql(doing: &str, path: &Path, error: rusqlite::Error) -> Error {
    use ErrorKind::{Config, Fatal, Retriable};
    let (kind, code, remedy) = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            Retriable,
            "sqlite.locked",
            "end the transaction that holds the lock; the task goes on by itself",
        ),
        Some(ErrorCode::NotADatabase) => {
            (Config, "sqlite.not_a_database", "name an SQLite database that is not encrypted")
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => return read_only(path).with_source(error),
        Some(ErrorCode::CannotOpen) => (
            Retriable,
            "sqlite.cannot_open",
            "give the user that runs the worker the right to the file and its folder",
        ),
        Some(ErrorCode::DiskFull) => (Retriable, "sqlite.disk_full", "make room; the task goes on by itself"),
        Some(ErrorCode::DatabaseCorrupt) => {
            (Fatal, "sqlite.corrupt", "check it with PRAGMA integrity_check and restore it from a backup")
        }
        Some(ErrorCode::SystemIoFailure) => {
            (Retriable, "sqlite.io", "look at the file system; the task tries again")
        }
        Some(ErrorCode::SchemaChanged | ErrorCode::OperationInterrupted) => {
            (Retriable, "sqlite.changed", "nothing: the task tries again")
        }
        _ => {
            (Fatal, "sqlite.failed", "restart the task; if it stays, report this with the table's definition")
        }
    };
    let made =
        Error::new(kind, code, format!("cannot {doing} {}: {error}", path.display())).with_remedy(remedy);
    let made = if kind == Config { made.with_key("file") } else { made };
    made.with_source(error)
}

/// The file may be read and not written.
pub(super) fn read_only(path: &Path) -> Error {
    let remedy = "give the user that runs the worker the right to write the file and its folder: capture needs triggers";
    Error::fatal("sqlite.read_only", format!("the database {} cannot be written", path.display()))
        .with_remedy(remedy)
}

pub(super) fn no_file(path: &Path) -> Error {
    Error::retriable("sqlite.no_file", format!("the database {} does not exist", path.display()))
        .with_key("file")
        .with_remedy("create it, or correct the path; a relative path starts at the worker's folder")
}

pub(super) fn not_a_file(path: &Path) -> Error {
    Error::config("sqlite.not_a_database", "file", format!("{} is no regular file", path.display()))
        .with_remedy("name an SQLite database")
}

/// A table that is asked for and not there.
pub(super) fn no_table(path: &Path, table: &str, near: Option<&str>) -> Error {
    let remedy = match near {
        Some(near) => format!("did you mean {near}?"),
        None => "create the table, or take it from the list".to_owned(),
    };
    let message = format!("the database {} has no table {table}", path.display());
    Error::config("sqlite.no_table", "tables", message).with_remedy(remedy)
}

/// A blocking call that never came back: it panicked, or the worker is going down.
pub(super) fn interrupted(error: tokio::task::JoinError) -> Error {
    Error::fatal("sqlite.interrupted", "reading the database was interrupted")
        .with_remedy("restart the task")
        .with_source(error)
}

pub(super) fn not_started() -> Error {
    Error::fatal("sqlite.not_started", "the task is not started").with_remedy("restart the task")
}
