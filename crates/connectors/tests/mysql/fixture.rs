//! The conformance suite's way to a server: a database, a user and a relay of its own.

use async_trait::async_trait;
use mysql_async::prelude::Queryable;
use openmessaging_connector::{Config, PluginInfo, Value};
use testkit::collect::Record;
use testkit::ledger::Event;
use testkit::services::Kind;
use testkit::source::{SourceFixture, Start, Wrong};

use super::proxy::Proxy;
use super::support::{Db, unique};

pub const PASSWORD: &str = "secret-of-test";

pub struct Fixture {
    db: Db,
    user: String,
    proxy: Proxy,
}

impl Fixture {
    pub async fn new(kind: Kind) -> Self {
        let mut db = Db::new(kind).await;
        db.run(&["CREATE TABLE events (k INT UNSIGNED PRIMARY KEY, number BIGINT UNSIGNED NOT NULL)"]).await;
        let monitor = if db.mariadb() { "BINLOG MONITOR" } else { "REPLICATION CLIENT" };
        let user = db.user(&format!("SELECT, REPLICATION SLAVE, {monitor}")).await;
        let proxy = Proxy::to(db.server.address()).await;
        Self { db, user, proxy }
    }

    fn config_with(&self, more: &[(&str, &str)]) -> Config {
        let port = self.proxy.port.to_string();
        let mut config = self.db.config(more);
        let mut set = |key: &str, value: &str| {
            if !more.iter().any(|(given, _)| *given == key) {
                config.insert(key.to_owned(), value.to_owned());
            }
        };
        set("mysqlAddr", "127.0.0.1");
        set("mysqlPort", &port);
        set("mysqlUsername", &self.user);
        set("mysqlPassword", PASSWORD);
        config
    }
}

#[async_trait]
impl SourceFixture for Fixture {
    fn plugin(&self) -> PluginInfo {
        connectors::mysql::plugin()
    }

    fn config(&self) -> Config {
        self.config_with(&[])
    }

    async fn write(&mut self, events: &[Event]) {
        self.db.run(&["BEGIN"]).await;
        for Event { key, number } in events {
            let sql = format!(
                "INSERT INTO events VALUES ({key}, {number}) ON DUPLICATE KEY UPDATE number = {number}"
            );
            self.db.run(&[&sql]).await;
        }
        self.db.run(&["COMMIT"]).await;
    }

    fn event(&self, record: &Record) -> Option<Event> {
        if &*record.queue != "events" {
            return None;
        }
        let number = |column: &str| match record.at(&["after", column])? {
            Value::I64(number) => u64::try_from(*number).ok(),
            Value::U64(number) => Some(*number),
            _ => None,
        };
        Some(Event::new(u32::try_from(number("k")?).ok()?, number("number")?))
    }

    fn starts(&self) -> Vec<Start> {
        let start = |mode: &str, sees_existing| Start {
            name: format!("snapshot.mode={mode}"),
            config: self.config_with(&[("snapshot.mode", mode), ("snapshot.fetch.size", "3")]),
            sees_existing,
        };
        vec![start("never", false), start("initial", true), start("when_needed", true)]
    }

    async fn interrupt(&mut self) {
        self.proxy.interrupt();
    }

    async fn restore(&mut self) {
        self.proxy.restore();
    }

    async fn left_open(&mut self) -> Vec<String> {
        let sql = format!(
            "SELECT CONCAT(id, ' ', command) FROM information_schema.processlist WHERE user = '{}'",
            self.user
        );
        self.db.conn.query(sql).await.expect("the connections")
    }

    async fn write_every_kind(&mut self) -> usize {
        let mariadb = self.db.mariadb();
        super::support::every_kind(&mut self.db, mariadb).await
    }

    async fn write_bulk(&mut self, bytes: usize) -> usize {
        let rows = bytes / 1000;
        self.db.run(&["CREATE TABLE bulk (id BIGINT PRIMARY KEY, payload VARCHAR(2000))", "BEGIN"]).await;
        for chunk in (0..rows).collect::<Vec<_>>().chunks(500) {
            let values: Vec<_> = chunk.iter().map(|id| format!("({id}, REPEAT('x', 950))")).collect();
            self.db.run(&[&format!("INSERT INTO bulk VALUES {}", values.join(","))]).await;
        }
        self.db.run(&["COMMIT"]).await;
        rows
    }

    fn unstartable(&self) -> Config {
        self.config_with(&[("mysqlPassword", "wrong-secret")])
    }

    async fn wrong(&mut self) -> Vec<Wrong> {
        let address = format!("127.0.0.1:{}", self.proxy.port);
        let mut without = self.config();
        without.shift_remove("mysqlAddr");
        let database = format!("{}.evnts", self.db.name);
        let absent = unique("nodb");
        let no_slave = self.db.user("SELECT").await;
        let case = |name: &str, more: &[(&str, &str)], code, names: &[&str]| {
            Wrong::new(name, self.config_with(more), code, names).with_secret(PASSWORD)
        };
        let unused = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            listener.local_addr().expect("its address").port().to_string()
        };
        vec![
            Wrong::new("no address", without, "config.invalid", &["mysqlAddr"]).with_secret(PASSWORD),
            case("a wrong type", &[("mysqlPort", "many")], "config.invalid", &["mysqlPort", "many"]),
            case("a wrong mode", &[("snapshot.mode", "sometimes")], "config.invalid", &["snapshot.mode"]),
            case(
                "nobody listens",
                &[("mysqlPort", &unused)],
                "mysql.unreachable",
                &[&format!("127.0.0.1:{unused}")],
            ),
            case(
                "a wrong password",
                &[("mysqlPassword", "wrong-secret")],
                "mysql.access_denied",
                &[&address, &self.user],
            )
            .with_secret("wrong-secret"),
            case(
                "an absent table",
                &[("whiteTable", &database)],
                "mysql.absent",
                &["whiteTable", "evnts", "did you mean"],
            ),
            case(
                "an absent database",
                &[("whiteDataBase", &absent)],
                "mysql.absent",
                &["whiteDataBase", &absent],
            ),
            case(
                "a file that is gone",
                &[("startType", "SPECIFIED"), ("binlogFilename", "bin.999999")],
                "mysql.binlog_purged",
                &["binlogFilename", "bin.999999"],
            ),
            case(
                "no privilege",
                &[("mysqlUsername", &no_slave)],
                "mysql.missing_privilege",
                &[&no_slave, "GRANT"],
            ),
            case(
                "no authority's file",
                &[("database.ssl.mode", "verify_ca"), ("database.ssl.ca", "/nonexistent.pem")],
                "config.invalid",
                &["database.ssl.ca"],
            ),
        ]
    }
}
