//! The worker's log: a bounded number of files of bounded size, or standard output.

mod files;

use std::io::IsTerminal;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use self::files::RotatingFiles;
use crate::failure::{Failure, Result};
use crate::settings::LogSettings;

/// How many lines may wait for a slow disk before further ones are dropped: the worker does not wait for its log.
const WAITING_LINES: usize = 8192;

/// Keeps the log being written; what waits is written when it is dropped.
pub struct Log {
    _files: Option<WorkerGuard>,
    /// What to say where the log is, for the user.
    pub place: String,
}

/// Starts the log of this process.
///
/// # Errors
/// `log.level`: the level cannot be read; `log.folder`: the folder cannot be written.
pub fn start(settings: &LogSettings) -> Result<Log> {
    let filter = EnvFilter::try_new(format!("lapin=off,{}", settings.level)).map_err(|error| {
        Failure::new("log.level", format!("logLevel: \"{}\" cannot be read: {error}", settings.level))
            .with_remedy("write error, warn, info, debug or trace, or by module: info,connect_runtime=debug")
    })?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter);
    let Some(folder) = &settings.folder else {
        let colour = std::io::stdout().is_terminal();
        let _ = subscriber.with_ansi(colour).with_writer(std::io::stdout).try_init();
        return Ok(Log { _files: None, place: "standard output".to_owned() });
    };
    let files = RotatingFiles::open(folder, settings.max_bytes, settings.files).map_err(|error| {
        Failure::new("log.folder", format!("logDir: cannot write the log in {}: {error}", folder.display()))
            .with_remedy("make the folder writable, name another with --log-dir, or log to standard output with --log-stdout")
    })?;
    let place = files.path().display().to_string();
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(WAITING_LINES)
        .thread_name("oms-log")
        .finish(files);
    let _ = subscriber.with_ansi(false).with_writer(writer).try_init();
    Ok(Log { _files: Some(guard), place })
}
