//! Snapshots: every row once, then the stream; cut off anywhere; while rows change.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use openmessaging_connector::Polled;
use testkit::services::{Kind, PrivateServer};

use super::support::{BOTH, Db, Source, line, number, op, text};

#[test]
fn rows_of_every_kind_of_table_come_once_and_then_the_stream() {
    testkit::block_on(async {
        for kind in BOTH {
            let mut db = Db::new(kind).await;
            db.run(&[
                "CREATE TABLE a (x INT, y VARCHAR(5) CHARACTER SET latin1, z VARBINARY(4), PRIMARY KEY (y, x, z))",
                "INSERT INTO a VALUES (1,'é',x'ff'),(2,'é',x''),(2,'é',x'ff00'),(1,'b',x'00'),(3,'a',x'01'),(9,'',x'')",
                "CREATE TABLE b (d DATETIME(6) PRIMARY KEY, n INT)",
                "INSERT INTO b VALUES ('2024-01-01 00:00:00.000001',1),('2024-01-01 00:00:00.000002',2),('2024-01-01',3)",
                "CREATE TABLE c (n INT)",
                "INSERT INTO c VALUES (1),(1),(2)",
                "CREATE TABLE e (e ENUM('z','a') PRIMARY KEY)",
                "INSERT INTO e VALUES ('a'),('z')",
                "CREATE TABLE nothing (n INT PRIMARY KEY)",
                "CREATE VIEW v AS SELECT * FROM c",
            ])
            .await;
            for chunk in ["1", "2", "1000"] {
                let mut source =
                    Source::start(db.config(&[("snapshot.mode", "initial"), ("snapshot.fetch.size", chunk)]))
                        .await;
                source.until(14, 2).await;
                db.run(&["INSERT INTO c VALUES (5)"]).await;
                let records = source.records(15).await;
                assert!(records[..14].iter().all(|record| op(record) == "r"));
                let mut keys: Vec<_> =
                    records[..6].iter().map(|record| text(record.key.as_ref().expect("a key"))).collect();
                keys.dedup();
                assert_eq!(keys.len(), 6, "{keys:?}");
                assert_eq!(line(&records[14]), "c c -: null -> {n:5}");
                assert_eq!(text(records[0].at(&["source", "snapshot"]).expect("snapshot")), "true");
                source.run.out.assert_clean();
                let progress = source.run.reporter.progress();
                let last = progress.last().expect("progress");
                assert_eq!((last.phase.as_str(), last.rows), ("snapshot", 14));
                source.stop().await;
                db.run(&["DELETE FROM c WHERE n = 5"]).await;
            }
        }
    });
}

#[test]
fn initial_only_ends() {
    testkit::block_on(async {
        for kind in BOTH {
            let mut db = Db::new(kind).await;
            db.run(&["CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1), (2)"]).await;
            let config = db.config(&[("snapshot.mode", "initial_only")]);
            let mut source = Source::start(config.clone()).await;
            let deadline = Instant::now() + Duration::from_secs(20);
            while source.run.poll(10, Duration::from_millis(200)).await.expect("a poll") != Polled::Finished {
                assert!(Instant::now() < deadline);
            }
            assert_eq!(source.run.out.total(), 2);
            let mut again = source.resume_from(&source.position(), config).await;
            assert_eq!(
                again.run.poll(10, Duration::from_millis(200)).await.expect("a poll"),
                Polled::Finished
            );
            assert_eq!(again.run.out.total(), 0);
            again.stop().await;
            source.stop().await;
        }
    });
}

/// The last state of each key, as the records leave it.
fn state_of<'r>(records: impl Iterator<Item = &'r testkit::collect::Record>) -> BTreeMap<i64, i64> {
    let mut state = BTreeMap::new();
    for record in records {
        match (op(record), number(record, "after", "id"), number(record, "after", "n")) {
            ("d", ..) => drop(state.remove(&number(record, "before", "id").expect("an id"))),
            (_, Some(id), Some(n)) => drop(state.insert(id, n)),
            other => panic!("{other:?}"),
        }
    }
    state
}

/// Rows change while the snapshot is read, and the task is killed again and again: what arrived leaves every key as it is.
#[test]
fn a_snapshot_that_is_killed_while_rows_change_ends_in_the_same_state() {
    testkit::block_on(async {
        for kind in BOTH {
            let mut db = Db::new(kind).await;
            db.run(&["CREATE TABLE t (id INT PRIMARY KEY, n INT)"]).await;
            for chunk in (0..3000).collect::<Vec<i64>>().chunks(1000) {
                let values: Vec<_> = chunk.iter().map(|id| format!("({id},0)")).collect();
                db.run(&[&format!("INSERT INTO t VALUES {}", values.join(","))]).await;
            }
            let config = db.config(&[("snapshot.mode", "initial"), ("snapshot.fetch.size", "100")]);
            let mut source = Source::start(config.clone()).await;
            let mut records = Vec::new();
            for round in 1..=12i64 {
                for _ in 0..3 {
                    source.poll(90).await;
                }
                db.run(&[
                    &format!("UPDATE t SET n = {round} WHERE id % 17 = {round}"),
                    &format!("DELETE FROM t WHERE id % 211 = {round}"),
                    &format!("INSERT INTO t VALUES ({}, {round})", 10_000 + round),
                    &format!("UPDATE t SET id = id + 20000 WHERE id = {}", round * 200 + 3),
                ])
                .await;
                records.extend(source.run.out.records.iter().cloned());
                // Killed: nothing is told to the task, and a new one has what was committed.
                let position = source.position();
                let next = source.resume_from(&position, config.clone()).await;
                drop(std::mem::replace(&mut source, next));
            }
            let read = records.iter().filter(|record| op(record) == "r").count();
            assert!(read > 1500, "the snapshot is long over: {read}");
            let rows: Vec<(i64, i64)> =
                mysql_async::prelude::Queryable::query(&mut db.conn, "SELECT id, n FROM t")
                    .await
                    .expect("the rows");
            let expected: BTreeMap<_, _> = rows.into_iter().collect();
            let deadline = Instant::now() + Duration::from_secs(30);
            loop {
                source.poll(1000).await;
                let state = state_of(records.iter().chain(&source.run.out.records));
                if state == expected {
                    break;
                }
                assert!(
                    Instant::now() < deadline,
                    "{} keys arrived, {} are there",
                    state.len(),
                    expected.len()
                );
            }
            source.stop().await;
        }
    });
}

#[test]
fn a_table_altered_or_dropped_while_its_snapshot_is_cut_off() {
    testkit::block_on(async {
        for kind in BOTH {
            let mut db = Db::new(kind).await;
            db.run(&[
                "CREATE TABLE a (id INT PRIMARY KEY)",
                "INSERT INTO a VALUES (1), (2), (3), (4)",
                "CREATE TABLE b (id INT PRIMARY KEY)",
                "INSERT INTO b VALUES (1)",
            ])
            .await;
            let config = db.config(&[("snapshot.mode", "initial"), ("snapshot.fetch.size", "2")]);
            let mut source = Source::start(config.clone()).await;
            source.until(2, 1).await;
            source.poll(1).await;
            let position = source.position();
            source.stop_keeping().await;
            db.run(&["ALTER TABLE a ADD x INT DEFAULT 7", "DROP TABLE b"]).await;
            let mut again = source.resume_from(&position, config).await;
            again.until(2, 10).await;
            db.run(&["INSERT INTO a VALUES (5, 5)"]).await;
            again.until(3, 10).await;
            again.quiet().await;
            let lines: Vec<_> = again.run.out.records.iter().map(line).collect();
            assert_eq!(
                lines[lines.len() - 3..],
                [
                    "r a {id:3}: null -> {id:3,x:7}",
                    "r a {id:4}: null -> {id:4,x:7}",
                    "c a {id:5}: null -> {id:5,x:5}",
                ],
                "{lines:#?}"
            );
            assert_eq!(again.run.reporter.warned("mysql.table_gone"), 1);
            again.stop().await;
        }
    });
}

/// Without GTIDs the place of a view can only be had under a lock.
#[test]
fn a_snapshot_without_gtids() {
    testkit::block_on(async {
        let server =
            PrivateServer::start(Kind::MySql, &["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"]);
        let mut db = Db::on(server.server().clone()).await;
        db.run(&["CREATE TABLE t (id INT PRIMARY KEY, n INT)", "INSERT INTO t VALUES (1, 1)"]).await;
        let mut source = Source::start(db.config(&[("snapshot.mode", "initial")])).await;
        db.run(&["INSERT INTO t VALUES (2, 2)"]).await;
        let lines: Vec<_> = source.records(2).await.iter().map(line).collect();
        assert_eq!(lines, ["r t {id:1}: null -> {id:1,n:1}", "c t {id:2}: null -> {id:2,n:2}"]);
        source.stop().await;

        let user = db.user("SELECT, REPLICATION SLAVE, REPLICATION CLIENT").await;
        let config = db.config(&[
            ("snapshot.mode", "initial"),
            ("mysqlUsername", &user),
            ("mysqlPassword", "secret-of-test"),
        ]);
        let error = Source::try_start(config).await.err().expect("no RELOAD");
        assert_eq!(error.code, "mysql.missing_privilege", "{error}");
        assert!(error.to_string().contains("GRANT RELOAD"), "{error}");
    });
}
