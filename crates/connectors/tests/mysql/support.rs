//! A database of a test's own, and tasks that read it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use connectors::mysql::plugin;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use openmessaging_connector::{Config, EntryType, Position, Result, Value};
use testkit::collect::Record;
use testkit::memory::MemoryState;
use testkit::services::{self, Kind, Server};
use testkit::source::Run;

pub const BOTH: [Kind; 2] = [Kind::MariaDb, Kind::MySql];

/// A connection of the user who may do everything.
pub async fn admin(server: &Server) -> Conn {
    let opts = OptsBuilder::default()
        .ip_or_hostname(server.host.clone())
        .tcp_port(server.port)
        .user(Some(server.user.clone()))
        .pass(Some(server.password.clone()))
        .prefer_socket(false);
    Conn::new(opts).await.unwrap_or_else(|error| panic!("{}: {error}", server.address()))
}

/// A new name, unlike that of any other test and process.
pub fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let time =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_micros();
    format!("t_{what}_{}_{}_{}", std::process::id(), time % 1_000_000, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A database that is dropped with this.
pub struct Db {
    pub server: Server,
    pub name: String,
    pub conn: Conn,
    /// Users to drop too.
    pub users: Vec<String>,
}

impl Db {
    pub async fn new(kind: Kind) -> Self {
        Self::on(services::shared(kind)).await
    }

    pub async fn on(server: Server) -> Self {
        let mut conn = admin(&server).await;
        let name = unique("db");
        conn.query_drop(format!("CREATE DATABASE {name} CHARACTER SET utf8mb4")).await.expect("a database");
        conn.query_drop(format!("USE {name}")).await.expect("the database");
        Self { server, name, conn, users: Vec::new() }
    }

    pub fn mariadb(&self) -> bool {
        self.server.kind == Kind::MariaDb
    }

    /// Runs statements, one after the other.
    pub async fn run(&mut self, statements: &[&str]) {
        for sql in statements {
            self.conn.query_drop(*sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
    }

    /// File and offset where the binlog ends now.
    pub async fn end_of_log(&mut self) -> (String, u64) {
        let statement = if self.mariadb() { "SHOW MASTER STATUS" } else { "SHOW BINARY LOG STATUS" };
        let row: Option<mysql_async::Row> = self.conn.query_first(statement).await.expect(statement);
        let row = row.expect("a binlog");
        (row.get("File").expect("File"), row.get("Position").expect("Position"))
    }

    /// Purges every file of the binlog but the last. A file that a reader still holds stays, so readers are waited for.
    pub async fn purge(&mut self) {
        let (file, _) = self.end_of_log().await;
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            self.run(&[&format!("PURGE BINARY LOGS TO '{file}'")]).await;
            let files: Vec<mysql_async::Row> = self.conn.query("SHOW BINARY LOGS").await.expect("the files");
            if files.len() == 1 {
                return;
            }
            assert!(Instant::now() < deadline, "{} files are left", files.len());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Connects anew after the server was restarted.
    pub async fn reconnect(&mut self) {
        self.conn = admin(&self.server).await;
        let name = self.name.clone();
        self.run(&[&format!("USE {name}")]).await;
    }

    /// A user with these privileges on `*.*`; the password is `secret-of-test`.
    pub async fn user(&mut self, privileges: &str) -> String {
        let user = unique("u");
        self.run(&[&format!("CREATE USER '{user}'@'%' IDENTIFIED BY 'secret-of-test'")]).await;
        if !privileges.is_empty() {
            self.run(&[&format!("GRANT {privileges} ON *.* TO '{user}'@'%'")]).await;
        }
        self.users.push(user.clone());
        user
    }

    pub fn config(&self, more: &[(&str, &str)]) -> Config {
        let port = self.server.port.to_string();
        let given = [
            ("mysqlAddr", self.server.host.as_str()),
            ("mysqlPort", port.as_str()),
            ("mysqlUsername", self.server.user.as_str()),
            ("mysqlPassword", self.server.password.as_str()),
            ("whiteDataBase", self.name.as_str()),
            ("heartbeat.interval.ms", "500"),
        ];
        given.iter().chain(more).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        let (server, name, users) = (self.server.clone(), self.name.clone(), std::mem::take(&mut self.users));
        // The runtime of the test cannot be waited for from here.
        let cleaning = std::thread::spawn(move || {
            testkit::block_on(async {
                if std::net::TcpStream::connect(server.address()).is_err() {
                    return;
                }
                let mut conn = admin(&server).await;
                let _ = conn.query_drop(format!("DROP DATABASE IF EXISTS {name}")).await;
                for user in users {
                    let _ = conn.query_drop(format!("DROP USER IF EXISTS '{user}'@'%'")).await;
                }
                let _ = conn.disconnect().await;
            });
        });
        let _ = cleaning.join();
    }
}

/// A task under test, with the state and the position that outlive it.
pub struct Source {
    pub run: Run,
    pub config: Config,
    pub state: Arc<MemoryState>,
}

impl Source {
    pub async fn start(config: Config) -> Self {
        Self::try_start(config).await.unwrap_or_else(|error| panic!("the task does not start: {error}"))
    }

    pub async fn try_start(config: Config) -> Result<Self> {
        let state = Arc::new(MemoryState::default());
        let run = Run::start(&plugin(), &config, Default::default(), &state).await?;
        Ok(Self { run, config, state })
    }

    /// A new task from this record's position, with the state of this one.
    pub async fn resume_at(&self, record: &Record) -> Self {
        self.resume_from(&record.position.clone(), self.config.clone()).await
    }

    pub async fn resume_from(&self, position: &Position, config: Config) -> Self {
        self.try_resume(position, config)
            .await
            .unwrap_or_else(|error| panic!("no start at {position:?}: {error}"))
    }

    pub async fn try_resume(&self, position: &Position, config: Config) -> Result<Self> {
        // Stored positions make the way through JSON text.
        let text = serde_json::to_string(&position.to_object()).expect("a position as text");
        let object = serde_json::from_str(&text).expect("a position from text");
        let position = Position::from_object(object).expect("a position from its object");
        let partition = openmessaging_connector::SourcePartition::of("server", self.logical_name());
        let run = Run::start(&plugin(), &config, [(partition, position)].into(), &self.state).await?;
        Ok(Self { run, config, state: self.state.clone() })
    }

    fn logical_name(&self) -> String {
        self.config.get("topic.prefix").cloned().unwrap_or_else(|| "conformance".to_owned())
    }

    /// The position of the last record or advance.
    pub fn position(&self) -> Position {
        self.run.out.positions().into_values().next().expect("a position")
    }

    /// Polls until that many records have come in all, and a little longer to see that no more do.
    pub async fn records(&mut self, count: usize) -> Vec<Record> {
        self.until(count, 1000).await;
        self.quiet().await;
        assert_eq!(self.run.out.records.len(), count, "{:#?}", self.lines());
        self.run.out.records.clone()
    }

    pub async fn until(&mut self, count: usize, limit: usize) {
        let mut deadline = Instant::now() + Duration::from_secs(30);
        let mut seen = 0;
        while self.run.out.total() < count {
            if self.run.out.total() > seen {
                seen = self.run.out.total();
                deadline = Instant::now() + Duration::from_secs(30);
            }
            assert!(Instant::now() < deadline, "{seen} of {count} records came: {:#?}", self.lines());
            self.poll(limit).await;
        }
    }

    pub async fn poll(&mut self, limit: usize) {
        if let Err(error) = self.run.poll(limit, Duration::from_millis(200)).await {
            assert!(error.is_retriable(), "poll failed for good: {error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Polls twice more.
    pub async fn quiet(&mut self) {
        for _ in 0..2 {
            self.poll(1000).await;
        }
    }

    /// The error that ends polling.
    pub async fn fails(&mut self) -> openmessaging_connector::Error {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            assert!(Instant::now() < deadline, "no error came: {:#?}", self.lines());
            match self.run.poll(1000, Duration::from_millis(200)).await {
                Err(error) if !error.is_retriable() => return error,
                _ => {}
            }
        }
    }

    /// The records so far, a line each.
    pub fn lines(&self) -> Vec<String> {
        self.run.out.records.iter().take(50).map(line).collect()
    }

    pub async fn stop(self) {
        self.run.stop().await;
    }
}

/// `c t key {id:1} null -> {id:1,a:x}`
pub fn line(record: &Record) -> String {
    let part = |name: &str| record.at(&[name]).map_or_else(|| "-".to_owned(), text);
    let key = record.key.as_ref().map_or_else(|| "-".to_owned(), text);
    format!("{} {} {key}: {} -> {}", op(record), record.queue, part("before"), part("after"))
}

pub fn op(record: &Record) -> &'static str {
    match record.entry {
        EntryType::Create => "c",
        EntryType::Update => "u",
        EntryType::Delete => "d",
        EntryType::Read => "r",
        EntryType::Truncate => "t",
    }
}

/// A value in a short form.
pub fn text(value: &Value<'_>) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Absent => "absent".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::I64(value) => value.to_string(),
        Value::U64(value) => value.to_string(),
        Value::F32(value) => value.to_string(),
        Value::F64(value) => value.to_string(),
        Value::Str(value) | Value::Decimal(value) => value.to_string(),
        Value::Bytes(value) => format!("{value:02x?}"),
        Value::Date(value) => format!("date {value}"),
        Value::Time(value) => format!("time {value}"),
        Value::Timestamp(value) | Value::TimestampTz(value) => format!("ts {value}"),
        Value::Struct(schema, values) => {
            let fields = schema.fields().iter().zip(values);
            let fields: Vec<_> =
                fields.map(|(field, value)| format!("{}:{}", field.name, text(value))).collect();
            format!("{{{}}}", fields.join(","))
        }
        other => format!("{other:?}"),
    }
}

/// The number in a record's image.
pub fn number(record: &Record, image: &str, column: &str) -> Option<i64> {
    match record.at(&[image, column])? {
        Value::I64(number) => Some(*number),
        Value::U64(number) => i64::try_from(*number).ok(),
        _ => None,
    }
}

/// A table with a column of every kind: a row of the least values, one of the greatest, one of nulls. Answers how many rows.
pub async fn every_kind(db: &mut Db, mariadb: bool) -> usize {
    let mut columns = vec![
        ("tinyint", "-128", "127"),
        ("tinyint unsigned", "0", "255"),
        ("smallint", "-32768", "32767"),
        ("smallint unsigned", "0", "65535"),
        ("mediumint", "-8388608", "8388607"),
        ("mediumint unsigned", "0", "16777215"),
        ("int", "-2147483648", "2147483647"),
        ("int unsigned zerofill", "0", "4294967295"),
        ("bigint", "-9223372036854775808", "9223372036854775807"),
        ("bigint unsigned", "0", "18446744073709551615"),
        ("float", "-3.4e38", "1.5"),
        ("double", "-1.7976931348623157e308", "2.5e-300"),
        ("decimal(65,30)", "-99999999999999999999999999999999999.999999999999999999999999999999", "0"),
        ("decimal(5,0)", "-99999", "1"),
        ("bit(1)", "b'0'", "b'1'"),
        ("bit(64)", "0", "18446744073709551615"),
        ("char(5)", "''", "'é€ß'"),
        ("varchar(20) character set latin1", "''", "'é'"),
        ("varchar(20) character set gbk", "''", "'中'"),
        ("text", "''", "'𝄞'"),
        ("binary(4)", "x'00'", "x'ffff0000'"),
        ("varbinary(9)", "x''", "x'ff00'"),
        ("longblob", "x''", "x'00ff'"),
        ("enum('a','b,c','it''s')", "'a'", "'it''s'"),
        ("set('x','y','z')", "''", "'x,z'"),
        ("date", "'1000-01-01'", "'9999-12-31'"),
        ("datetime(6)", "'1000-01-01'", "'9999-12-31 23:59:59.999999'"),
        ("datetime", "'1000-01-01'", "'2024-02-29 12:00:00'"),
        ("timestamp(3) null", "'1970-01-02 00:00:01'", "'2038-01-01 00:00:00.999'"),
        ("time(6)", "'-838:59:58.999999'", "'838:59:58.999999'"),
        ("time", "'-00:00:01'", "'00:00:01'"),
        ("year", "1901", "2155"),
        ("json", "'{\"a\": [1, null]}'", "'\"x\"'"),
        ("geometry", "ST_GeomFromText('POINT(1 2)')", "ST_GeomFromText('LINESTRING(0 0,1 1)')"),
    ];
    if mariadb {
        columns.push((
            "uuid",
            "'00000000-0000-0000-0000-000000000001'",
            "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
        ));
        columns.push(("inet6", "'::'", "'2001:db8::1'"));
    }
    let defined: Vec<_> = columns.iter().enumerate().map(|(at, (ty, ..))| format!("c{at} {ty}")).collect();
    let list = |pick: fn(&(&'static str, &'static str, &'static str)) -> &'static str| {
        columns.iter().map(pick).collect::<Vec<_>>().join(", ")
    };
    let create = format!("CREATE TABLE every_kind (id INT PRIMARY KEY, {})", defined.join(", "));
    let nulls = "INSERT INTO every_kind (id) VALUES (3)";
    let least = format!("INSERT INTO every_kind VALUES (1, {})", list(|column| column.1));
    let greatest = format!("INSERT INTO every_kind VALUES (2, {})", list(|column| column.2));
    db.run(&["SET time_zone = '+00:00'", &create, &least, &greatest, nulls]).await;
    3
}

impl Source {
    /// Ends the task; what outlives it stays for the next.
    pub async fn stop_keeping(&mut self) {
        self.run.task.stop().await;
    }

    /// Another task with the same state and no position, as after a kill before anything was committed.
    pub async fn again(&self) -> Self {
        let run = Run::start(&plugin(), &self.config, Default::default(), &self.state).await;
        let run = run.unwrap_or_else(|error| panic!("the task does not start: {error}"));
        Self { run, config: self.config.clone(), state: self.state.clone() }
    }
}
