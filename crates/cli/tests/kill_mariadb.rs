//! The worker is killed (SIGKILL) again and again while rows of a real MariaDB change, and what arrived at the queue is
//! counted: nothing lost, nothing invented, the order of each key kept.

#[path = "it/common.rs"]
mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};
use serde_json::{Value, json};
use testkit::ledger::{Event, Ledger};

use common::{Home, until};

const KILLS: u64 = 20;
const KEYS: u32 = 50;
/// Rows a transaction changes.
const ROWS: u64 = 20;
/// Between transactions, so that the load lasts and does not starve the rest of the machine.
const PAUSE: Duration = Duration::from_millis(10);

/// A database of its own on the shared server, with one row for each key.
struct Db {
    name: String,
    opts: Opts,
}

impl Db {
    async fn new() -> Self {
        let server = testkit::services::mariadb();
        let opts: Opts = OptsBuilder::default()
            .ip_or_hostname(server.host.clone())
            .tcp_port(server.port)
            .user(Some(server.user.clone()))
            .pass(Some(server.password.clone()))
            .into();
        let db = Self { name: format!("oms_kill_{}", std::process::id()), opts };
        let mut conn = db.connect().await;
        conn.query_drop(format!("CREATE DATABASE {}", db.name)).await.expect("a database");
        conn.query_drop(format!(
            "CREATE TABLE {}.changes (id INT PRIMARY KEY, number BIGINT, pad VARCHAR(200))",
            db.name
        ))
        .await
        .expect("a table");
        let rows: Vec<String> = (0..KEYS).map(|key| format!("({key}, -1, '')")).collect();
        conn.query_drop(format!("INSERT INTO {}.changes VALUES {}", db.name, rows.join(",")))
            .await
            .expect("rows");
        conn.disconnect().await.expect("disconnected");
        db
    }

    async fn connect(&self) -> Conn {
        Conn::new(self.opts.clone()).await.expect("MariaDB")
    }

    /// Changes rows until it is told to stop, and gives what was committed.
    async fn load(&self, stop: Arc<AtomicBool>) -> Vec<Event> {
        let mut conn = self.connect().await;
        let mut written = Vec::new();
        let mut number = 0;
        while !stop.load(Ordering::Relaxed) {
            let events = Event::series(number, ROWS, KEYS);
            number += ROWS;
            conn.query_drop("BEGIN").await.expect("begun");
            for Event { key, number } in &events {
                let sql = format!(
                    "UPDATE {}.changes SET number = {number}, pad = REPEAT('x', 150) WHERE id = {key}",
                    self.name
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

#[test]
fn nothing_is_lost_when_the_worker_is_killed_twenty_times() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads");
    let db = Arc::new(runtime.block_on(Db::new()));
    let home = Home::new();
    let server = testkit::services::mariadb();
    let mut worker = home.worker(&["--log-level", "info"]);
    worker.create(
        "ledger",
        &json!({
            "connector.class": "io.openmessaging.mysql.connector.MysqlConnector",
            "mysqlAddr": server.host,
            "mysqlPort": server.port.to_string(),
            "mysqlUsername": server.user,
            "mysqlPassword": server.password,
            "whiteDataBase": db.name,
            "queue.partitions": "3",
            "value.converter": "PlainJsonConverter",
            "offset.flush.interval.ms": "100",
        }),
    );
    let stop = Arc::new(AtomicBool::new(false));
    let load = runtime.spawn({
        let (db, stop) = (db.clone(), stop.clone());
        async move { db.load(stop).await }
    });
    // From right after the start to a while later, in an order that is the same in every run.
    for kill in 0..KILLS {
        std::thread::sleep(Duration::from_millis(kill * 7919 % 1500));
        worker.process.kill();
        worker = home.worker(&[]);
    }
    stop.store(true, Ordering::Relaxed);
    let mut ledger = Ledger::new();
    let written = runtime.block_on(load).expect("the load");
    let last = written.last().copied().expect("changes");
    ledger.written(written);
    let arrived = arrived(&home, &worker.url, last);
    worker.stop();
    ledger.arrived(arrived);
    let report = ledger.report();
    println!("{KILLS} kills: {report}");
    runtime.block_on(async {
        let mut conn = db.connect().await;
        conn.query_drop(format!("DROP DATABASE {}", db.name)).await.expect("dropped");
        conn.disconnect().await.expect("disconnected");
    });
    report.assert_at_least_once();
    assert!(report.written > 2000, "the load was a load: {report}");
}

/// Everything in the queue, once its end has not moved for two seconds after the last change of its partition was seen.
fn arrived(home: &Home, url: &str, last: Event) -> Vec<Event> {
    let count = || -> u64 {
        let queue = home.run(&["queues", "describe", "changes", "--json", "--worker", url]).json();
        queue["partitions"]
            .as_array()
            .expect("partitions")
            .iter()
            .filter_map(|partition| partition["end"].as_u64())
            .sum()
    };
    let mut seen = (0, Instant::now());
    let total = until("the queue has settled", || {
        let now = count();
        if now != seen.0 {
            seen = (now, Instant::now());
        }
        std::thread::sleep(Duration::from_millis(200));
        (now > 0 && seen.1.elapsed() > Duration::from_secs(2)).then_some(now)
    });
    let limit = total.to_string();
    let messages = home.run(&[
        "tap",
        "changes",
        "--from",
        "begin",
        "--limit",
        &limit,
        "--timeout",
        "60",
        "--json",
        "--worker",
        url,
    ]);
    let events: Vec<Event> = messages.json_lines().iter().map(event).collect();
    assert!(events.contains(&last), "the last change, {last}, arrived");
    events
}

fn event(message: &Value) -> Event {
    let value: Value = serde_json::from_str(message["value"].as_str().expect("text")).expect("JSON");
    let after = |name: &str| value["after"][name].as_u64().unwrap_or_else(|| panic!("no {name} in {value}"));
    Event::new(u32::try_from(after("id")).expect("a key"), after("number"))
}
