//! The keys of the SQLite source.

use std::path::PathBuf;
use std::time::Duration;

use openmessaging_connector::config::{KeyType, Validator};
use openmessaging_connector::{Config, ConfigDef, Error, Importance, Key};

pub(super) fn def() -> ConfigDef {
    ConfigDef::new()
        .key(
            Key::new("file", KeyType::String, "Path of the database file. It must be there and be writable, for the triggers.")
                .required()
                .validator(Validator::NonEmpty)
                .aliases(&["database", "sqliteFile"])
                .importance(Importance::High)
                .group("Database"),
        )
        .key(
            Key::new(
                "tables",
                KeyType::List,
                "Names of the tables to capture. Without a value it is every table, also those that are made later.",
            )
            .default("")
            .importance(Importance::Medium)
            .group("Database"),
        )
        .key(
            Key::new(
                "snapshot.mode",
                KeyType::String,
                "`never` begins with the changes made from the first start on; `initial` sends every row once before. A \
                 table made later is always sent whole.",
            )
            .default("never")
            .one_of(&["never", "initial"])
            .importance(Importance::Medium)
            .group("Database"),
        )
        .key(
            Key::new(
                "poll.interval.ms",
                KeyType::Int,
                "How often the file is asked for changes, in milliseconds. After ten seconds without a change it is \
                 every 50 ms, or this where it is longer.",
            )
            .default("10")
            .range(1, 60_000)
            .group("Database"),
        )
        .key(
            Key::new(
                "remove.triggers.on.delete",
                KeyType::Boolean,
                "Whether the triggers and the change table are removed from the file when the connector is deleted. \
                 Left there, they go on recording.",
            )
            .default("true")
            .group("Database"),
        )
}

/// The connector's configuration.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// As it was written, which is how positions name the database.
    pub name: String,
    pub path: PathBuf,
    /// Empty: all.
    pub tables: Vec<String>,
    pub snapshot: bool,
    pub interval: Duration,
    pub remove: bool,
}

impl Settings {
    /// # Errors
    /// The first value that is wrong.
    pub(super) fn parse(config: &Config) -> Result<Self, Error> {
        let parsed = def().parse(config).map_err(|errors| {
            let unknown = || Error::config("config.invalid", "file", "the configuration cannot be read");
            errors.into_iter().next().unwrap_or_else(unknown)
        })?;
        Ok(Self {
            name: parsed.str("file").to_owned(),
            path: PathBuf::from(parsed.str("file")),
            tables: parsed.list("tables").into_iter().map(str::to_owned).collect(),
            snapshot: parsed.str("snapshot.mode").eq_ignore_ascii_case("initial"),
            interval: parsed.millis("poll.interval.ms"),
            remove: parsed.bool("remove.triggers.on.delete"),
        })
    }

    /// Whether the table is to be captured. SQLite compares names without regard to ASCII case.
    pub(super) fn wants(&self, table: &str) -> bool {
        self.tables.is_empty() || self.tables.iter().any(|name| name.eq_ignore_ascii_case(table))
    }
}
