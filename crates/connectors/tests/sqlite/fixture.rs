//! One database in a folder of its own, changed through a connection that is not the connector's.

use std::path::PathBuf;

use async_trait::async_trait;
use connectors::sqlite;
use openmessaging_connector::{Config, PluginInfo, Value};
use rusqlite::{Connection, params};
use tempfile::TempDir;
use testkit::collect::Record;
use testkit::ledger::Event;
use testkit::source::{SourceFixture, Start, Wrong};

pub struct Database {
    root: TempDir,
    pub sql: Connection,
    wal: bool,
}

pub fn config(pairs: &[(&str, &str)]) -> Config {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

impl Database {
    pub fn new() -> Self {
        Self::with_journal("DELETE")
    }

    pub fn wal() -> Self {
        Self::with_journal("WAL")
    }

    fn with_journal(mode: &str) -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let sql = Connection::open(root.path().join("shop.db")).expect("a database");
        sql.pragma_update(None, "journal_mode", mode).expect("a journal");
        // Many small transactions: tests of durability are another matter.
        sql.pragma_update(None, "synchronous", "OFF").expect("set");
        sql.execute_batch(
            "CREATE TABLE events (key INTEGER PRIMARY KEY, number INTEGER NOT NULL, text TEXT)",
        )
        .expect("made");
        Self { root, sql, wal: mode == "WAL" }
    }

    pub fn path(&self) -> PathBuf {
        self.root.path().join("shop.db")
    }

    pub fn text(&self) -> String {
        self.path().display().to_string()
    }

    pub fn run(&self, sql: &str) {
        self.sql.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// Rows of the change table.
    pub fn changes(&self) -> usize {
        let count = self
            .sql
            .query_row("SELECT count(*) FROM _oms_changes_conformance", [], |row| row.get::<_, i64>(0));
        usize::try_from(count.expect("a change table")).expect("a count")
    }

    fn with(&self, key: &str, value: &str) -> Config {
        let mut config = self.config();
        config.insert(key.to_owned(), value.to_owned());
        config
    }
}

#[async_trait]
impl SourceFixture for Database {
    fn plugin(&self) -> PluginInfo {
        sqlite::source()
    }

    fn config(&self) -> Config {
        config(&[("file", &self.text())])
    }

    async fn write(&mut self, events: &[Event]) {
        let transaction = self.sql.transaction().expect("a transaction");
        for event in events {
            let sql = "INSERT INTO events (key, number) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET number = excluded.number";
            transaction.execute(sql, params![event.key, event.number as i64]).expect("written");
        }
        transaction.commit().expect("committed");
    }

    fn event(&self, record: &Record) -> Option<Event> {
        let (Value::I64(key), Value::I64(number)) =
            (record.at(&["after", "key"])?, record.at(&["after", "number"])?)
        else {
            return None;
        };
        Some(Event::new(u32::try_from(*key).ok()?, u64::try_from(*number).ok()?))
    }

    fn starts(&self) -> Vec<Start> {
        let start = |mode: &str, sees_existing| Start {
            name: format!("snapshot.mode={mode}"),
            config: self.with("snapshot.mode", mode),
            sees_existing,
        };
        vec![start("never", false), start("initial", true)]
    }

    async fn interrupt(&mut self) {
        // In WAL mode readers pass a writer, and only what the source writes has to wait.
        self.run(if self.wal { "BEGIN IMMEDIATE" } else { "BEGIN EXCLUSIVE" });
    }

    async fn restore(&mut self) {
        self.run("COMMIT");
    }

    async fn held(&mut self) -> Option<usize> {
        Some(self.changes())
    }

    async fn left_open(&mut self) -> Vec<String> {
        // SQLite closes a file only when no connection of the process has a lock on it, so ours goes first.
        self.sql = Connection::open_in_memory().expect("a database");
        let open = testkit::child::open_below(self.root.path());
        self.sql = Connection::open(self.path()).expect("a database");
        open
    }

    async fn write_every_kind(&mut self) -> usize {
        self.run(
            "CREATE TABLE kinds (i INTEGER, r REAL, t TEXT, b BLOB, n NUMERIC, f BOOLEAN, d DATE, x, \"a \"\"b\" INT NOT NULL DEFAULT 1);
             CREATE TABLE \"quoted \"\"name\" (\"group\" TEXT, \"or\"\"der\" BLOB, PRIMARY KEY (\"or\"\"der\", \"group\")) WITHOUT ROWID;
             INSERT INTO kinds DEFAULT VALUES;
             INSERT INTO kinds (i, r, t, b, n, f, d, x) VALUES
                (9223372036854775807, 1.7976931348623157e308, 'h\u{e4}, \u{1f600}', x'00ff', 12, 1, '2026-11-22', x''),
                (-9223372036854775808, 9e999, '', zeroblob(3000), 1.5, 0, 20779, 'text'),
                ('no number', 'nor this', x'fffe', 'text in blob', 'n', 7, 1.5, 3),
                (1.5, 9007199254740993, 5, 5, 9223372036854775807, 'x', NULL, 2.5);
             UPDATE kinds SET i = 'now text' WHERE rowid = 1;
             UPDATE kinds SET x = 1 WHERE rowid = 2;
             DELETE FROM kinds WHERE rowid = 3;
             INSERT INTO \"quoted \"\"name\" VALUES ('a', x'01'), ('b', 'text'), ('', 1);
             UPDATE \"quoted \"\"name\" SET \"group\" = 'c' WHERE \"group\" = 'b';",
        );
        // The tables are new: their rows as they are by now come, and changes that the triggers saw.
        7
    }

    async fn write_bulk(&mut self, bytes: usize) -> usize {
        let rows = bytes / 1000;
        let transaction = self.sql.transaction().expect("a transaction");
        for row in 0..rows {
            let sql = "INSERT INTO events (key, number, text) VALUES (?1, 0, ?2)";
            transaction.execute(sql, params![1_000_000 + row as i64, "x".repeat(1000)]).expect("written");
        }
        transaction.commit().expect("committed");
        rows
    }

    fn unstartable(&self) -> Config {
        self.with("file", &format!("{}-not-there", self.text()))
    }

    async fn wrong(&mut self) -> Vec<Wrong> {
        let absent = format!("{}-not-there", self.text());
        let garbage = self.root.path().join("garbage").display().to_string();
        std::fs::write(&garbage, "this is no database, however long it is. ".repeat(100)).expect("written");
        let folder = self.root.path().display().to_string();
        self.run("CREATE TABLE orders (id INTEGER PRIMARY KEY)");
        vec![
            Wrong::new(
                "an unknown key",
                self.with("tabels", "x"),
                "config.unknown_key",
                &["tabels", "tables"],
            ),
            Wrong::new(
                "no interval",
                self.with("poll.interval.ms", "0"),
                "config.invalid",
                &["poll.interval.ms"],
            ),
            Wrong::new(
                "a mode that is none",
                self.with("snapshot.mode", "x"),
                "config.invalid",
                &["snapshot.mode"],
            ),
            Wrong::new("no file", self.with("file", &absent), "sqlite.no_file", &["file", &absent]),
            Wrong::new(
                "no database",
                self.with("file", &garbage),
                "sqlite.not_a_database",
                &["file", &garbage],
            ),
            Wrong::new("a folder", self.with("file", &folder), "sqlite.not_a_database", &["file", &folder]),
            Wrong::new(
                "no table",
                self.with("tables", "events,order"),
                "sqlite.no_table",
                &["tables", "order", "orders"],
            ),
        ]
    }
}
