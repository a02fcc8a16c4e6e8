//! The keys of the file connectors.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openmessaging_connector::config::{KeyType, Validator};
use openmessaging_connector::{Config, ConfigDef, Error, Importance, Key};

const DEFAULT_MAX_LINE: &str = "1048576";

pub(super) fn source() -> ConfigDef {
    ConfigDef::new()
        .key(
            Key::new("file", KeyType::String, "Path of the file to read. It may appear later; its folder must be there.")
                .required()
                .validator(Validator::NonEmpty)
                .importance(Importance::High)
                .group("File"),
        )
        .key(
            Key::new("topic", KeyType::String, "Queue that the lines go to.")
                .required()
                .validator(Validator::NonEmpty)
                .aliases(&["queue", "queueName"])
                .importance(Importance::High)
                .group("File"),
        )
        .key(
            Key::new("start.from", KeyType::String, "Where reading starts without a stored position: `begin` or `end`.")
                .default("begin")
                .one_of(&["begin", "end"])
                .importance(Importance::Medium)
                .group("File"),
        )
        .key(
            Key::new(
                "batch.size",
                KeyType::Int,
                "The most lines taken in one go. Without a value it is as many as the worker's batch takes.",
            )
            .range(1, i32::MAX.into())
            .group("Reading"),
        )
        .key(
            Key::new(
                "poll.interval.ms",
                KeyType::Int,
                "How often the end of the file is looked at, in milliseconds. After ten seconds without a new line it is \
                 every 50 ms, or this where it is longer.",
            )
            .default("5")
            .range(1, 60_000)
            .group("Reading"),
        )
        .key(
            Key::new("max.line.bytes", KeyType::Int, "The longest line taken, in bytes without its end.")
                .default(DEFAULT_MAX_LINE)
                .range(16, 256 << 20)
                .group("Reading"),
        )
        .key(
            Key::new(
                "line.too.long",
                KeyType::String,
                "What becomes of a line over max.line.bytes: `fail` stops at it with an error, `truncate` keeps its \
                 beginning.",
            )
            .default("fail")
            .one_of(&["fail", "truncate"])
            .group("Reading"),
        )
        .key(
            Key::new(
                "rotate.wait.ms",
                KeyType::Int,
                "How long a file that was renamed must have been left alone before its successor is read, in \
                 milliseconds: a writer may go on with the old one for a moment.",
            )
            .default("500")
            .range(0, 3_600_000)
            .group("Reading"),
        )
}

pub(super) fn sink() -> ConfigDef {
    ConfigDef::new()
        .key(
            Key::new("file", KeyType::String, "Path of the file to append to. It is made when it is not there; its folder is not.")
                .required()
                .validator(Validator::NonEmpty)
                .importance(Importance::High)
                .group("File"),
        )
        .key(
            Key::new(
                "line.breaks",
                KeyType::String,
                "What becomes of line breaks within a text: `keep` writes them as they are, so that the record takes \
                 several lines; `escape` writes \\n, \\r and \\\\ for line feed, carriage return and backslash.",
            )
            .default("keep")
            .one_of(&["keep", "escape"])
            .group("File"),
        )
}

/// The source's configuration.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// As it was written, which is how positions name the file.
    pub name: String,
    pub path: PathBuf,
    pub queue: Arc<str>,
    pub from_end: bool,
    pub batch: usize,
    pub interval: Duration,
    pub max_line: usize,
    pub truncate: bool,
    pub rotate_wait: Duration,
}

impl Source {
    /// # Errors
    /// The first value that is wrong.
    pub(super) fn parse(config: &Config) -> Result<Self, Error> {
        let parsed = source().parse(config).map_err(first)?;
        Ok(Self {
            name: parsed.str("file").to_owned(),
            path: PathBuf::from(parsed.str("file")),
            queue: parsed.str("topic").into(),
            from_end: parsed.str("start.from").eq_ignore_ascii_case("end"),
            batch: parsed.get("batch.size").and_then(|text| text.parse().ok()).unwrap_or(usize::MAX),
            interval: parsed.millis("poll.interval.ms"),
            max_line: usize::try_from(parsed.int("max.line.bytes")).unwrap_or(usize::MAX),
            truncate: parsed.str("line.too.long").eq_ignore_ascii_case("truncate"),
            rotate_wait: parsed.millis("rotate.wait.ms"),
        })
    }
}

/// The sink's configuration.
#[derive(Debug, Clone)]
pub(super) struct Sink {
    pub path: PathBuf,
    pub escape: bool,
}

impl Sink {
    /// # Errors
    /// The first value that is wrong.
    pub(super) fn parse(config: &Config) -> Result<Self, Error> {
        let parsed = sink().parse(config).map_err(first)?;
        let escape = parsed.str("line.breaks").eq_ignore_ascii_case("escape");
        Ok(Self { path: PathBuf::from(parsed.str("file")), escape })
    }
}

fn first(errors: Vec<Error>) -> Error {
    let unknown = || Error::config("config.invalid", "file", "the configuration cannot be read");
    errors.into_iter().next().unwrap_or_else(unknown)
}
