//! What went wrong on the disk, in terms of the OpenMessaging API.

use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::path::Path;

use openmessaging::{Error, StatusCode};

/// The remedy for a full disk.
const MAKE_ROOM: &str =
    "make room on that disk, or set retention.ms or retention.bytes on queues; sending can go on after that";

/// An I/O error at `path` while doing `what` ("cannot write").
pub(super) fn io(what: impl Display, path: &Path, error: io::Error) -> Error {
    let message = format!("{what} {}: {error}", path.display());
    let made = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            Error::new(StatusCode::Full, message).with_remedy(MAKE_ROOM)
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            Error::new(StatusCode::Forbidden, message).with_remedy("give this user the right to write there")
        }
        _ => Error::new(StatusCode::ServerError, message).with_remedy("look at the state of that disk"),
    };
    made.with_source(error)
}

/// Bytes of `path` at `at` are not what was written.
pub(super) fn corrupt(path: &Path, at: u64, why: impl Display) -> Error {
    Error::new(StatusCode::Corrupt, format!("{} is damaged at byte {at}: {why}", path.display()))
        .with_remedy("restore the file from a copy; or, to give up what is behind that byte, seek behind it")
}

pub(super) fn closed(folder: &Path) -> Error {
    Error::new(StatusCode::Closed, format!("the access point at {} is closed", folder.display()))
        .with_remedy("connect again")
}

pub(super) fn no_queue(name: &str) -> Error {
    Error::new(StatusCode::NotFound, format!("there is no queue \"{name}\"")).with_remedy("create it first")
}

pub(super) fn no_partition(name: &str, partition: u32, partitions: u32) -> Error {
    let message = format!("queue \"{name}\" has no partition {partition}: it has {partitions}, from 0");
    Error::new(StatusCode::PartitionNotFound, message)
}

pub(super) fn bad_parameter(message: impl Into<String>) -> Error {
    Error::new(StatusCode::BadParameter, message)
}

/// An error a second time, for another caller that it hits. (Sources are not carried over: the text names the cause.)
pub(super) fn again(error: &Error) -> Error {
    Error {
        status: error.status,
        message: error.message.clone(),
        remedy: error.remedy.clone(),
        retriable: error.retriable,
        source: None,
    }
}
