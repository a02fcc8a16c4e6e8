//! A table of a real MariaDB whose rows change all the time, and a count of what was committed.

// Each test program uses its own part of this.
#![allow(dead_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use mysql_async::prelude::Queryable;
use serde_json::{Value, json};
use testkit::ledger::Event;
use testkit::services::Server;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::database::{connect, sql};

/// Rows a transaction changes.
const ROWS: u64 = 20;
/// Between transactions, so that the load lasts and does not starve the rest of the machine.
const PAUSE: Duration = Duration::from_millis(10);

/// A database of its own on the shared server, whose table `changes` has one row for each key, and the load on it.
pub struct Changes {
    runtime: Runtime,
    load: Arc<Load>,
    running: Option<JoinHandle<Vec<Event>>>,
}

struct Load {
    server: Server,
    database: String,
    keys: u32,
    stop: AtomicBool,
    /// Of the next change.
    next: AtomicU64,
}

impl Changes {
    pub fn new(database: String, keys: u32) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("threads");
        let (stop, next) = (AtomicBool::new(false), AtomicU64::new(0));
        let load = Arc::new(Load { server: testkit::services::mariadb(), database, keys, stop, next });
        let changes = Self { runtime, load, running: None };
        let rows: Vec<String> = (0..keys).map(|key| format!("({key}, -1, '')")).collect();
        let name = &changes.load.database;
        sql(
            &changes.load.server,
            &[
                format!("CREATE DATABASE {name}"),
                format!("CREATE TABLE {name}.changes (id INT PRIMARY KEY, number BIGINT, pad VARCHAR(200))"),
                format!("INSERT INTO {name}.changes VALUES {}", rows.join(",")),
            ],
        );
        changes
    }

    /// A source of its changes.
    pub fn source(&self) -> Value {
        let Load { server, database, .. } = &*self.load;
        json!({
            "connector.class": "io.openmessaging.mysql.connector.MysqlConnector",
            "mysqlAddr": server.host,
            "mysqlPort": server.port.to_string(),
            "mysqlUsername": server.user,
            "mysqlPassword": server.password,
            "whiteDataBase": database,
            "queue.partitions": "3",
            "value.converter": "PlainJsonConverter",
            "offset.flush.interval.ms": "100",
        })
    }

    /// Begins to change rows.
    pub fn begin(&mut self) {
        let load = self.load.clone();
        self.running = Some(self.runtime.spawn(async move { load.run().await }));
    }

    /// The number that the next change has.
    pub fn next(&self) -> u64 {
        self.load.next.load(Ordering::Relaxed)
    }

    /// Ends it, and answers what was committed.
    pub fn end(&mut self) -> Vec<Event> {
        self.load.stop.store(true, Ordering::Relaxed);
        let running = self.running.take().expect("it was begun");
        self.runtime.block_on(running).expect("the load")
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.load.stop.store(true, Ordering::Relaxed);
        sql(&self.load.server, &[format!("DROP DATABASE {}", self.load.database)]);
    }
}

impl Load {
    async fn run(&self) -> Vec<Event> {
        let mut conn = connect(&self.server).await;
        let mut written = Vec::new();
        while !self.stop.load(Ordering::Relaxed) {
            let events = Event::series(self.next.fetch_add(ROWS, Ordering::Relaxed), ROWS, self.keys);
            conn.query_drop("BEGIN").await.expect("begun");
            for Event { key, number } in &events {
                let sql = format!(
                    "UPDATE {}.changes SET number = {number}, pad = REPEAT('x', 150) WHERE id = {key}",
                    self.database
                );
                conn.query_drop(sql).await.expect("changed");
            }
            conn.query_drop("COMMIT").await.expect("committed");
            written.extend(events);
            tokio::time::sleep(PAUSE).await;
        }
        conn.disconnect().await.expect("disconnected");
        written
    }
}

/// The change that a message is of.
pub fn event(value: &str) -> Event {
    let value: Value = serde_json::from_str(value).expect("JSON");
    let after = |name: &str| value["after"][name].as_u64().unwrap_or_else(|| panic!("no {name} in {value}"));
    Event::new(u32::try_from(after("id")).expect("a key"), after("number"))
}
