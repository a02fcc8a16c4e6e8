//! What the source makes of what programs do with SQLite.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use connectors::sqlite;
use openmessaging_connector::registry::Factory;
use openmessaging_connector::{EntryType, Schema, Value};
use testkit::block_on;
use testkit::child;
use testkit::collect::Record;
use testkit::ledger::{Event, Ledger};
use testkit::memory::MemoryState;
use testkit::source::{Run, SourceFixture};

use super::fixture::{Database, config};

type Positions =
    std::collections::HashMap<openmessaging_connector::SourcePartition, openmessaging_connector::Position>;

/// `op queue key: before -> after`, with rows as their values.
fn shown(record: &Record) -> String {
    let row = |value: Option<&Value<'static>>| match value {
        Some(Value::Struct(_, values)) => values.iter().map(plain).collect::<Vec<_>>().join(","),
        _ => "-".to_owned(),
    };
    let (before, after) = (row(record.at(&["before"])), row(record.at(&["after"])));
    format!("{} {} {}: {before} -> {after}", record.entry.op(), record.queue, row(record.key.as_ref()))
}

fn plain(value: &Value<'static>) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::I64(number) => number.to_string(),
        Value::F64(number) => format!("{number:?}"),
        Value::Bool(value) => value.to_string(),
        Value::Str(text) => text.to_string(),
        Value::Bytes(bytes) => format!("{bytes:02x?}"),
        other => format!("{other:?}"),
    }
}

/// What came since the last call.
async fn take(run: &mut Run) -> Vec<String> {
    run.settle().await;
    run.out.records.drain(..).map(|record| shown(&record)).collect()
}

async fn started(database: &Database) -> Run {
    Run::first(database, &Arc::default()).await
}

/// The `sqlite3` tool: another process, another build of SQLite.
fn tool(database: &Database, sql: &str) {
    let done = Command::new("sqlite3")
        .arg("-bail")
        .arg(database.path())
        .arg(sql)
        .output()
        .expect("the sqlite3 tool");
    assert!(done.status.success(), "{sql}: {}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn changes_of_another_program() {
    block_on(async {
        let database = Database::new();
        database.run("CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT)");
        let mut run = started(&database).await;
        tool(&database, "INSERT INTO items VALUES (1, 'hammer'), (2, 'nail')");
        tool(
            &database,
            "BEGIN; UPDATE items SET name = 'saw' WHERE id = 1; DELETE FROM items WHERE id = 2; COMMIT",
        );
        tool(&database, "BEGIN; INSERT INTO items VALUES (3, 'never'); ROLLBACK");
        assert_eq!(
            take(&mut run).await,
            [
                "c items 1: - -> 1,hammer",
                "c items 2: - -> 2,nail",
                "u items 1: 1,hammer -> 1,saw",
                "d items 2: 2,nail -> -",
            ]
        );
        run.stop().await;
    });
}

#[test]
fn every_value_comes_as_it_is() {
    block_on(async {
        let database = Database::new();
        database.run(
            "CREATE TABLE kinds (i INTEGER, r REAL, t TEXT, b BLOB, n NUMERIC, f BOOLEAN);
             CREATE TABLE pairs (b BLOB, a TEXT COLLATE NOCASE, v, PRIMARY KEY (a, b)) WITHOUT ROWID;
             CREATE TABLE \"odd \"\"name\" (\"select\" INT PRIMARY KEY, \"x y\" TEXT)",
        );
        let mut run = started(&database).await;
        database.run(
            "INSERT INTO kinds VALUES (9223372036854775807, -0.1, 'h\u{e4}, \u{1f600}', x'00ff', 12, 1);
             INSERT INTO kinds VALUES (NULL, 1e300, '', x'', 1.5, 0);
             INSERT INTO kinds VALUES ('no number', 9e999, x'fe', 'text', 'n', 7);
             UPDATE kinds SET i = 5 WHERE rowid = 3;
             INSERT INTO pairs VALUES (x'01', 'a', 1.0), (x'02', 'a', NULL);
             UPDATE pairs SET v = 'changed' WHERE b = x'02';
             INSERT INTO \"odd \"\"name\" VALUES (1, 'it''s \"quoted\"')",
        );
        let came = take(&mut run).await;
        assert_eq!(
            came,
            [
                "c kinds 1: - -> 9223372036854775807,-0.1,h\u{e4}, \u{1f600},[00, ff],12.0,true",
                "c kinds 2: - -> null,1e300,,[],1.5,false",
                "c kinds 3: - -> no number,inf,[fe],text,n,7",
                "u kinds 3: no number,inf,[fe],text,n,7 -> 5,inf,[fe],text,n,7",
                "c pairs a,[01]: - -> [01],a,1.0",
                "c pairs a,[02]: - -> [02],a,null",
                "u pairs a,[02]: [02],a,null -> [02],a,changed",
                "c odd \"name 1: - -> 1,it's \"quoted\"",
            ]
        );
        run.stop().await;
    });
}

#[test]
fn the_envelope_is_debeziums() {
    block_on(async {
        let database = Database::new();
        let mut run = started(&database).await;
        tool(&database, "INSERT INTO events VALUES (7, 70, 'x')");
        run.until(&database, 1, 10).await;
        let record = run.out.records[0].clone();
        let schema = record.value_schema.as_ref().expect("a schema");
        assert!(schema.is_envelope());
        let names: Vec<_> = schema.fields().iter().map(|field| field.name.to_string()).collect();
        assert_eq!(names, ["before", "after", "source", "op", "ts_ms"]);
        assert_eq!((&*record.queue, record.entry), ("events", EntryType::Create));
        assert_eq!(record.at(&["op"]), Some(&Value::str("c")));
        assert_eq!(record.at(&["source", "db"]).and_then(Value::as_str), Some(database.text().as_str()));
        assert_eq!(record.at(&["source", "table"]), Some(&Value::str("events")));
        assert_eq!(record.at(&["source", "snapshot"]), Some(&Value::str("false")));
        let key = record.key_schema.as_ref().expect("a key");
        assert_eq!(key.fields().iter().map(|field| &*field.name).collect::<Vec<_>>(), ["key"]);
        let row: &Arc<Schema> = &schema.fields()[1].schema;
        assert_eq!(row.fields()[1].source_type.as_deref(), Some("INTEGER"));
        assert!(row.fields()[2].schema.optional && !row.fields()[1].schema.optional);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("now").as_millis()
            as i64;
        assert!((now - record.timestamp_ms).abs() < 60_000, "{} is not about now", record.timestamp_ms);
        run.stop().await;
    });
}

#[test]
fn another_key_is_a_delete_and_a_create() {
    block_on(async {
        let mut database = Database::new();
        database.run("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'a')");
        let state = Arc::default();
        let mut run = Run::first(&database, &state).await;
        tool(&database, "UPDATE t SET id = 2; UPDATE t SET v = 'b'");
        run.settle().await;
        let texts: Vec<_> = run.out.records.iter().map(shown).collect();
        assert_eq!(texts, ["d t 1: 1,a -> -", "c t 2: - -> 2,a", "u t 2: 2,a -> 2,b"]);
        // S10, between the two records of one change.
        let between = run.out.records[0].clone();
        run.stop().await;
        let from = Positions::from([(between.partition, between.position)]);
        let mut run = Run::from(&database, from, &state).await;
        assert_eq!(take(&mut run).await, texts[1..]);
        run.commit().await;
        assert_eq!(database.held().await, Some(0));
        run.stop().await;
    });
}

#[test]
fn rows_that_a_replace_deletes() {
    block_on(async {
        let database = Database::new();
        database.run("CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT UNIQUE, v INT)");
        database.run("INSERT INTO t VALUES (1, 'a', 0), (2, 'b', 0), (3, 'c', 0)");
        let mut run = started(&database).await;
        for sql in [
            "INSERT OR REPLACE INTO t VALUES (1, 'a', 1)",
            "INSERT OR REPLACE INTO t VALUES (9, 'b', 2)",
            "INSERT OR IGNORE INTO t VALUES (3, 'x', 3)",
            "INSERT INTO t VALUES (3, 'c', 0) ON CONFLICT (id) DO UPDATE SET v = 4",
            "UPDATE OR REPLACE t SET u = 'a' WHERE id = 3",
            "PRAGMA recursive_triggers = ON; INSERT OR REPLACE INTO t VALUES (3, 'z', 5)",
        ] {
            tool(&database, sql);
        }
        assert_eq!(
            take(&mut run).await,
            [
                "u t 1: 1,a,0 -> 1,a,1",
                "d t 2: 2,b,0 -> -",
                "c t 9: - -> 9,b,2",
                "u t 3: 3,c,0 -> 3,c,4",
                "d t 1: 1,a,1 -> -",
                "u t 3: 3,c,4 -> 3,a,4",
                "d t 3: 3,a,4 -> -",
                "c t 3: - -> 3,z,5",
            ]
        );
        run.stop().await;
    });
}

#[test]
fn tables_that_change_under_way() {
    block_on(async {
        let database = Database::new();
        database.run("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t VALUES (1, 'old')");
        let mut run = started(&database).await;
        tool(&database, "INSERT INTO t VALUES (2, 'two')");
        assert_eq!(take(&mut run).await, ["c t 2: - -> 2,two"]);
        // In one go: the first insert is recorded by triggers that do not know the new column.
        tool(
            &database,
            "INSERT INTO t VALUES (3, 'three'); ALTER TABLE t ADD COLUMN b INT DEFAULT 5; \
             INSERT INTO t VALUES (4, 'four', 44); INSERT INTO t (id, a) VALUES (5, 'five')",
        );
        assert_eq!(
            take(&mut run).await,
            [
                "c t 3: - -> 3,three",
                "c t 4: - -> 4,four",
                "c t 5: - -> 5,five",
                "u t 4: 4,four,5 -> 4,four,44"
            ]
        );
        tool(&database, "UPDATE t SET b = 6 WHERE id = 1");
        assert_eq!(take(&mut run).await, ["u t 1: 1,old,5 -> 1,old,6"]);
        tool(&database, "ALTER TABLE t RENAME COLUMN a TO c");
        run.settle().await;
        tool(&database, "UPDATE t SET c = 'new' WHERE id = 1");
        run.settle().await;
        let names = |record: &Record| match record.at(&["after"]) {
            Some(Value::Struct(schema, _)) => {
                schema.fields().iter().map(|field| field.name.to_string()).collect()
            }
            _ => Vec::new(),
        };
        assert_eq!(names(run.out.records.last().expect("a record")), ["id", "c", "b"]);
        assert_eq!(take(&mut run).await, ["u t 1: 1,old,6 -> 1,new,6"]);
        tool(&database, "ALTER TABLE t RENAME TO t2");
        run.settle().await;
        tool(&database, "DELETE FROM t2 WHERE id = 5");
        assert_eq!(take(&mut run).await, ["d t2 5: 5,five,5 -> -"]);
        tool(&database, "CREATE TABLE fresh (x); INSERT INTO fresh VALUES (1)");
        assert_eq!(take(&mut run).await, ["r fresh 1: - -> 1"]);
        tool(&database, "INSERT INTO fresh VALUES (2); DROP TABLE t2");
        assert_eq!(take(&mut run).await, ["c fresh 2: - -> 2"]);
        run.stop().await;
    });
}

#[test]
fn a_table_that_was_rebuilt_is_sent_whole() {
    block_on(async {
        let database = Database::new();
        database.run("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b); INSERT INTO t VALUES (1, 'x', 'y')");
        let mut run = started(&database).await;
        tool(
            &database,
            "BEGIN; CREATE TABLE new_t (id INTEGER PRIMARY KEY, a); INSERT INTO new_t SELECT id, a FROM t; DROP TABLE t; \
             ALTER TABLE new_t RENAME TO t; INSERT INTO t VALUES (2, 'z'); COMMIT",
        );
        assert_eq!(take(&mut run).await, ["r t 1: - -> 1,x", "r t 2: - -> 2,z"]);
        assert_eq!(run.reporter.warned("sqlite.capture_interrupted"), 1);
        tool(&database, "UPDATE t SET a = 'w' WHERE id = 2");
        assert_eq!(take(&mut run).await, ["u t 2: 2,z -> 2,w"]);
        run.stop().await;
    });
}

#[test]
fn what_changed_while_stopped_comes() {
    block_on(async {
        let database = Database::new();
        database.run("CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
        let state = Arc::default();
        let mut run = Run::first(&database, &state).await;
        run.settle().await;
        let stored = run.commit().await;
        run.stop().await;
        tool(&database, "INSERT INTO t VALUES (1, 'a'); ALTER TABLE t ADD COLUMN b; UPDATE t SET b = 'b'");
        tool(&database, "CREATE TABLE t2 (x); INSERT INTO t2 VALUES (1)");
        let mut run = Run::from(&database, stored, &state).await;
        assert_eq!(
            take(&mut run).await,
            ["c t 1: - -> 1,a", "u t 1: 1,a -> 1,a", "u t 1: 1,a,null -> 1,a,b", "r t2 1: - -> 1"]
        );
        run.stop().await;
    });
}

#[test]
fn a_snapshot_under_load_ends_in_the_same_state() {
    block_on(async {
        let mut database = Database::new();
        database.run("CREATE TABLE t (id INTEGER PRIMARY KEY, v INT)");
        database.run("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9000) INSERT INTO t SELECT i, 0 FROM n");
        let mut config = database.config();
        config.insert("snapshot.mode".to_owned(), "initial".to_owned());
        let state = Arc::new(MemoryState::default());
        let mut copy = std::collections::BTreeMap::new();
        let mut versions = std::collections::HashMap::new();
        let mut positions = Positions::new();
        let mut round = 0i64;
        for life in 0..6 {
            let mut run =
                Run::start(&sqlite::source().clone(), &config, positions, &state).await.expect("started");
            for _ in 0..if life == 5 { 60 } else { 6 } {
                round += 1;
                if round < 60 {
                    database.run(&format!(
                        "UPDATE t SET v = {round} WHERE id % 97 = {m}; DELETE FROM t WHERE id = {d}; INSERT INTO t VALUES ({n}, {round})",
                        m = round % 97, d = round * 131, n = 10_000 + round
                    ));
                }
                run.poll(500, Duration::from_millis(5)).await.expect("a poll");
            }
            if life == 5 {
                run.settle().await;
            }
            for record in &run.out.records {
                let Some(Value::Struct(_, key)) = &record.key else { panic!("no key") };
                let Value::I64(key) = key[0] else { panic!("{key:?}") };
                match record.at(&["after", "v"]) {
                    Some(Value::I64(v)) => {
                        // S9: within one life, what was read is never older than what came before it.
                        let newest = versions.insert((life, key), *v).unwrap_or(-1);
                        assert!(newest <= *v, "row {key} went from {newest} back to {v}");
                        copy.insert(key, *v);
                    }
                    _ => drop(copy.remove(&key)),
                }
            }
            positions = run.commit().await;
            if life == 5 {
                run.stop().await
            } else {
                run.kill()
            };
        }
        let mut statement = database.sql.prepare("SELECT id, v FROM t").expect("prepared");
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
        let there: std::collections::BTreeMap<i64, i64> = rows.map(|row| row.expect("a row")).collect();
        assert!(copy == there, "the copy differs from the table");
        drop(statement);
        assert_eq!(database.held().await, Some(0));
    });
}

#[test]
fn only_the_tables_asked_for() {
    block_on(async {
        let database = Database::new();
        database.run("CREATE TABLE a (x); CREATE TABLE b (x); CREATE VIRTUAL TABLE f USING fts5(x)");
        let mut config = database.config();
        config.insert("tables".to_owned(), "A, events".to_owned());
        let state = Arc::default();
        let mut run =
            Run::start(&sqlite::source(), &config, Positions::new(), &state).await.expect("started");
        database.run("INSERT INTO a VALUES (1); INSERT INTO b VALUES (1); INSERT INTO f VALUES ('x')");
        assert_eq!(take(&mut run).await, ["c a 1: - -> 1"]);
        run.stop().await;
        // All tables, but no virtual ones and nothing of what is behind them.
        let run = Run::first(&database, &state).await;
        let sql =
            "SELECT group_concat(DISTINCT tbl_name) FROM sqlite_schema WHERE type = 'trigger' ORDER BY 1";
        let on: String = database.sql.query_row(sql, [], |row| row.get(0)).expect("tables");
        let mut on: Vec<_> = on.split(',').collect();
        on.sort_unstable();
        assert_eq!(on, ["a", "b", "events"]);
        run.stop().await;
    });
}

#[test]
fn deleting_the_connector_takes_the_triggers_away() {
    block_on(async {
        let database = Database::new();
        let run = started(&database).await;
        run.stop().await;
        let ours = "SELECT count(*) FROM sqlite_schema WHERE name LIKE '\\_oms\\_%' ESCAPE '\\'";
        let count = || database.sql.query_row(ours, [], |row| row.get::<_, i64>(0)).expect("a count");
        assert!(count() > 0);
        let Factory::Source(make) = sqlite::source().factory else { panic!("no source") };
        let mut keep = database.config();
        keep.insert("remove.triggers.on.delete".to_owned(), "false".to_owned());
        make().deleted("conformance", &keep).await.expect("deleted");
        assert!(count() > 0);
        make().deleted("another", &database.config()).await.expect("deleted");
        assert!(count() > 0);
        make().deleted("conformance", &database.config()).await.expect("deleted");
        assert_eq!(count(), 0);
        database.run("INSERT INTO events VALUES (1, 1, NULL)");
    });
}

#[test]
fn a_database_put_in_the_place_of_another_is_read_anew() {
    block_on(async {
        let mut database = Database::new();
        let mut run = testkit_warm(&mut database).await;
        database.sql = rusqlite::Connection::open_in_memory().expect("a database");
        std::fs::remove_file(database.path()).expect("removed");
        database.sql = rusqlite::Connection::open(database.path()).expect("a database");
        database.run("CREATE TABLE events (key INTEGER PRIMARY KEY, number INTEGER NOT NULL); INSERT INTO events VALUES (5, 50)");
        tokio::time::sleep(Duration::from_millis(600)).await;
        run.out.records.clear();
        run.until(&database, 1, 10).await;
        assert_eq!(shown(&run.out.records[0]), "r events 5: - -> 5,50");
        assert_eq!(run.reporter.warned("sqlite.position_lost"), 1);
        run.stop().await;
    });
}

async fn testkit_warm(database: &mut Database) -> Run {
    let mut run = started(database).await;
    database.write(&[Event::new(0, 0)]).await;
    run.until(database, 1, 10).await;
    run
}

#[test]
fn a_locked_database_is_told() {
    block_on(async {
        let database = Database::new();
        let holder = rusqlite::Connection::open(database.path()).expect("a connection");
        holder.execute_batch("BEGIN EXCLUSIVE").expect("a lock");
        let begun = std::time::Instant::now();
        let state = Arc::default();
        let started = Run::start(&sqlite::source(), &database.config(), Positions::new(), &state).await;
        let error = started.err().expect("a locked database");
        assert!(error.is_retriable() && error.code == "sqlite.locked", "{error}");
        assert!(error.to_string().contains(&database.text()), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(8));
        // Validation has nothing against it: the lock is the work of a moment.
        let Factory::Source(make) = sqlite::source().factory else { panic!("no source") };
        holder.execute_batch("COMMIT; BEGIN IMMEDIATE").expect("a lock");
        assert!(make().validate(&database.config()).await.is_empty());
        holder.execute_batch("COMMIT").expect("unlocked");
        started_and_stopped(&database).await;
    });
}

async fn started_and_stopped(database: &Database) {
    started(database).await.stop().await;
}

/// In a small file system of its own, made in a mount namespace, so that it is gone with the process.
#[test]
fn a_full_disk_and_a_read_only_one_are_told() {
    const TEST: &str = "source::a_full_disk_and_a_read_only_one_are_told";
    let Some(folder) = child::role("small") else {
        let folder = tempfile::tempdir().expect("a folder");
        return child::mounted(TEST, "small", folder.path(), "128k");
    };
    let folder = std::path::Path::new(&folder);
    let (file, ballast) = (folder.join("shop.db"), folder.join("ballast"));
    let sql = rusqlite::Connection::open(&file).expect("a database");
    sql.execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, a)").expect("made");
    std::fs::write(&ballast, vec![0; 200 << 10]).expect_err("a full disk");
    let config = config(&[("file", &file.display().to_string())]);
    block_on(async {
        let state = Arc::default();
        let plugin = sqlite::source();
        let start = || Run::start(&plugin, &config, Positions::new(), &state);
        let error = start().await.err().expect("a full disk");
        assert!(error.is_retriable() && error.code == "sqlite.disk_full", "{error}");
        assert!(error.to_string().contains("shop.db"), "{error}");
        std::fs::remove_file(&ballast).expect("removed");
        let mut run = start().await.expect("started");
        sql.execute_batch("INSERT INTO t VALUES (1, 'a')").expect("written");
        // What the connector gives up fits on no full disk either: it waits, and loses nothing.
        std::fs::write(&ballast, vec![0; 200 << 10]).expect_err("a full disk");
        assert_eq!(take(&mut run).await, ["c t 1: - -> 1,a"]);
        run.stop().await;
        std::fs::remove_file(&ballast).expect("removed");
        drop(sql);
        let done = Command::new("mount").args(["-o", "remount,ro"]).arg(folder).status().expect("mount");
        assert!(done.success());
        let error = start().await.err().expect("a read-only file system");
        assert_eq!(error.code, "sqlite.read_only", "{error}");
        assert!(error.to_string().contains("shop.db") && error.remedy.is_some(), "{error}");
        let Factory::Source(make) = sqlite::source().factory else { panic!("no source") };
        let errors = make().validate(&config).await;
        assert!(errors.len() == 1 && errors[0].code == "sqlite.read_only", "{errors:?}");
    });
}

/// S11 with real processes: a writer of its own and a reader that is killed again and again. What the reader has given
/// and committed is in a file, a line for each event.
#[test]
fn nothing_is_lost_when_the_reader_is_killed() {
    if let Some(folder) = child::role("reader") {
        return block_on(read_until_killed(&folder));
    }
    let database = Database::wal();
    let folder = database.path().parent().expect("a folder").display().to_string();
    let mut ledger = Ledger::new();
    let mut next = 0;
    for round in 0..12u64 {
        let mut reader = child::spawn("source::nothing_is_lost_when_the_reader_is_killed", "reader", &folder);
        let started = std::time::Instant::now();
        // Capture begins with the first start: what was there before is not asked for.
        while !std::path::Path::new(&folder).join("position").exists() {
            assert!(
                reader.is_running() && started.elapsed() < Duration::from_secs(20),
                "the reader does not start"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        while started.elapsed() < Duration::from_millis(250 + 37 * round) {
            let events = Event::series(next, 40, 8);
            next += 40;
            let sql: String = events
                .iter()
                .map(|e| {
                    format!(
                        "INSERT INTO events VALUES ({}, {}, NULL) ON CONFLICT DO UPDATE SET number = {};",
                        e.key, e.number, e.number
                    )
                })
                .collect();
            tool(&database, &format!("PRAGMA busy_timeout = 5000; BEGIN IMMEDIATE; {sql} COMMIT"));
            ledger.written(events);
        }
        assert!(reader.is_running(), "the reader ended by itself");
        reader.kill();
    }
    let mut reader = child::spawn("source::nothing_is_lost_when_the_reader_is_killed", "reader", &folder);
    let given = std::path::Path::new(&folder).join("given");
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        let text = std::fs::read_to_string(&given).unwrap_or_default();
        let mut ledger = ledger.clone();
        ledger.arrived(text.lines().filter_map(|line| line.parse::<Event>().ok()));
        let report = ledger.report();
        if report.lost.is_empty() || std::time::Instant::now() > deadline {
            report.assert_at_least_once();
            assert!(report.written > 500, "{report}");
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    reader.kill();
}

async fn read_until_killed(folder: &str) {
    use std::io::Write;
    let folder = std::path::Path::new(folder);
    let config = config(&[("file", &folder.join("shop.db").display().to_string())]);
    let stored = std::fs::read_to_string(folder.join("position")).ok();
    let partition = openmessaging_connector::SourcePartition::of("file", config["file"].clone());
    let parse = |text: String| {
        let object = serde_json::from_str(&text).expect("a position");
        (partition.clone(), openmessaging_connector::Position::from_object(object).expect("a position"))
    };
    let positions: Positions = stored.map(parse).into_iter().collect();
    let mut run = Run::start(&sqlite::source(), &config, positions, &Arc::default()).await.expect("started");
    let mut given =
        std::fs::OpenOptions::new().append(true).create(true).open(folder.join("given")).expect("a file");
    loop {
        run.poll(7, Duration::from_millis(50)).await.expect("a poll");
        let mut lines = String::new();
        for record in run.out.records.drain(..) {
            if let (Some(Value::I64(key)), Some(Value::I64(number))) =
                (record.at(&["after", "key"]), record.at(&["after", "number"]))
            {
                lines += &format!("{key}-{number}\n");
            }
        }
        given.write_all(lines.as_bytes()).expect("written");
        for (partition, position) in run.out.positions() {
            let text = serde_json::to_string(&position.to_object()).expect("text");
            std::fs::write(folder.join("position.new"), text).expect("written");
            std::fs::rename(folder.join("position.new"), folder.join("position")).expect("renamed");
            run.task.committed(&partition, &position).await.expect("committed");
        }
    }
}
