//! What the operating system says, as errors that name the file and the remedy.

use std::io;
use std::path::Path;

use openmessaging_connector::{Error, ErrorKind};

/// What happened with a file.
pub(super) fn io(doing: &str, path: &Path, error: io::Error) -> Error {
    let shown = path.display();
    let (kind, code, remedy) = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            return no_folder(path).with_source(error);
        }
        io::ErrorKind::IsADirectory => return not_a_file(path),
        io::ErrorKind::PermissionDenied => (
            ErrorKind::Fatal,
            "file.permission_denied",
            "give the user that runs the worker the right to it and to its folder",
        ),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            (ErrorKind::Retriable, "file.disk_full", "make room; the task goes on by itself")
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            (ErrorKind::Fatal, "file.read_only", "choose a file on a file system that can be written")
        }
        io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput => {
            (ErrorKind::Config, "file.bad_path", "choose another path")
        }
        _ => (ErrorKind::Retriable, "file.io", "look at the file system; the task tries again"),
    };
    let made = Error::new(kind, code, format!("cannot {doing} {shown}: {error}")).with_remedy(remedy);
    let made = if kind == ErrorKind::Config { made.with_key("file") } else { made };
    made.with_source(error)
}

/// The folder of the file is not there. It may come: a mount, a program that makes it.
pub(super) fn no_folder(path: &Path) -> Error {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let message = format!("the folder {} of {} does not exist", folder.display(), path.display());
    Error::retriable("file.no_folder", message)
        .with_key("file")
        .with_remedy("create the folder, or correct the path; a relative path starts at the worker's folder")
}

pub(super) fn not_a_file(path: &Path) -> Error {
    Error::config("file.not_a_file", "file", format!("{} is no regular file", path.display()))
        .with_remedy("name a regular file")
}

/// A blocking call that never came back: it panicked, or the worker is going down.
pub(super) fn interrupted(error: tokio::task::JoinError) -> Error {
    Error::fatal("file.interrupted", "reading or writing the file was interrupted")
        .with_remedy("restart the task")
        .with_source(error)
}
