//! Restarts: from every position, on another server, after a restart of the server, when the log is gone.

use std::time::Duration;

use openmessaging_connector::Position;
use testkit::services::{Kind, PrivateServer};

use super::support::{BOTH, Db, Source, line, number};

/// In the original every row of a transaction had the position of its end: a crash after the first lost the rest.
#[test]
fn a_restart_goes_on_at_every_record_of_a_transaction() {
    testkit::block_on(async {
        for kind in BOTH {
            let mut db = Db::new(kind).await;
            db.run(&[
                "CREATE TABLE t (id INT PRIMARY KEY, a INT)",
                "CREATE TABLE filtered (id INT PRIMARY KEY)",
                "CREATE TABLE nokey (a INT)",
                "INSERT INTO t VALUES (100, 0), (101, 0)",
            ])
            .await;
            let hidden = format!("{}.filtered", db.name);
            let config = db.config(&[("table.exclude.list", &hidden)]);
            let mut source = Source::start(config).await;
            db.run(&[
                "BEGIN",
                "INSERT INTO filtered VALUES (1), (2)",
                "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)",
                "UPDATE t SET id = id + 10 WHERE id IN (1, 2)",
                "INSERT INTO nokey VALUES (7), (7)",
                "INSERT INTO filtered VALUES (3)",
                "UPDATE t SET a = a + 1 WHERE id >= 100",
                "DELETE FROM t WHERE id = 3",
                "COMMIT",
                "INSERT INTO t VALUES (4, 4)",
            ])
            .await;
            let all = source.records(13).await;
            let lines: Vec<_> = all.iter().map(line).collect();
            assert_eq!(
                lines[3..7],
                [
                    "d t {id:1}: {id:1,a:1} -> null",
                    "c t {id:11}: null -> {id:11,a:1}",
                    "d t {id:2}: {id:2,a:2} -> null",
                    "c t {id:12}: null -> {id:12,a:2}",
                ]
            );
            for (at, record) in all.iter().enumerate() {
                for limit in [1, 100] {
                    let mut again = source.resume_at(record).await;
                    again.until(12 - at, limit).await;
                    again.quiet().await;
                    let rest: Vec<_> = again.run.out.records.iter().map(line).collect();
                    assert_eq!(rest, lines[at + 1..], "resumed at {at}: {:?}", record.position);
                    again.stop().await;
                }
            }
            // The filter may change at a restart inside a transaction: positions count what was filtered, too.
            let mut more = source.resume_from(&all[2].position, db.config(&[])).await;
            more.until(11, 100).await;
            more.quiet().await;
            let seen: Vec<_> = more.run.out.records.iter().map(|record| record.queue.to_string()).collect();
            assert_eq!(seen.iter().filter(|queue| **queue == "filtered").count(), 1, "{seen:?}");
            assert_eq!(seen.iter().filter(|queue| **queue == "t").count(), 8, "{seen:?}");
            more.stop().await;
            source.stop().await;
        }
    });
}

#[test]
fn without_gtids_a_restart_goes_by_file_and_offset() {
    testkit::block_on(async {
        let server =
            PrivateServer::start(Kind::MySql, &["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"]);
        let mut db = Db::on(server.server().clone()).await;
        db.run(&["CREATE TABLE t (id INT PRIMARY KEY)"]).await;
        let mut source = Source::start(db.config(&[])).await;
        db.run(&[
            "INSERT INTO t VALUES (1), (2)",
            "FLUSH BINARY LOGS",
            "INSERT INTO t VALUES (3)",
            "FLUSH BINARY LOGS",
            "INSERT INTO t VALUES (4)",
        ])
        .await;
        let all = source.records(4).await;
        assert!(!all[0].position.base.contains("gtid"), "{:?}", all[0].position);
        for (at, record) in all.iter().enumerate() {
            let mut again = source.resume_at(record).await;
            let ids: Vec<_> =
                again.records(3 - at).await.iter().filter_map(|r| number(r, "after", "id")).collect();
            assert!(ids.iter().copied().eq(at as i64 + 2..5), "{ids:?}");
            again.stop().await;
        }
        // The position of the end is in the last file, so that the others may be purged.
        assert!(
            source.position().base.contains(".000003") || !source.position().base.contains(".000001"),
            "{:?}",
            source.position()
        );
        source.stop().await;

        // Another server: the same file and offset mean something else there.
        let other = PrivateServer::start(Kind::MySql, &["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"]);
        let port = other.server().port.to_string();
        let config = db.config(&[("mysqlPort", &port)]);
        let source = Source::start(config.clone()).await;
        let error = source.try_resume(&all[1].position, config).await.err().expect("another server");
        assert_eq!(error.code, "mysql.other_server", "{error}");
        source.stop().await;
    });
}

#[test]
fn specified_start_and_the_originals_positions() {
    testkit::block_on(async {
        for kind in BOTH {
            let server = PrivateServer::start(kind, &[]);
            let mut db = Db::on(server.server().clone()).await;
            db.run(&["CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)"]).await;
            let (file, offset) = db.end_of_log().await;
            db.run(&["INSERT INTO t VALUES (2)", "INSERT INTO t VALUES (3)"]).await;
            let config = db.config(&[
                ("startType", "SPECIFIED"),
                ("binlogFilename", &file),
                ("nextPosition", &offset.to_string()),
            ]);
            let mut source = Source::start(config).await;
            let records = source.records(2).await;
            assert_eq!(number(&records[0], "after", "id"), Some(2));
            // As the original stored it.
            let original = Position::new(format!(r#"{{"binlogFilename":"{file}","nextPosition":{offset}}}"#));
            let mut again = source.resume_from(&original, db.config(&[])).await;
            assert_eq!(again.records(2).await.len(), 2);
            assert_eq!(again.run.reporter.warned("mysql.history_missing"), 0);
            again.stop().await;
            source.stop().await;
        }
    });
}

#[test]
fn a_purged_log_is_an_error_and_when_needed_reads_all_rows_again() {
    testkit::block_on(async {
        for kind in BOTH {
            for gtid in [true, false] {
                let options: &[&str] = match (kind, gtid) {
                    (Kind::MySql, false) => &["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"],
                    (Kind::MariaDb, false) => continue,
                    _ => &[],
                };
                let server = PrivateServer::start(kind, options);
                let mut db = Db::on(server.server().clone()).await;
                db.run(&["CREATE TABLE t (id INT PRIMARY KEY)"]).await;
                let mut source = Source::start(db.config(&[])).await;
                db.run(&["INSERT INTO t VALUES (1)"]).await;
                let first = source.records(1).await.remove(0);
                source.stop_keeping().await;
                db.run(&[
                    "INSERT INTO t VALUES (2)",
                    "FLUSH BINARY LOGS",
                    "INSERT INTO t VALUES (3)",
                    "FLUSH BINARY LOGS",
                ])
                .await;
                db.purge().await;
                let error = source.try_resume(&first.position, db.config(&[])).await.err().expect("purged");
                assert_eq!(error.code, "mysql.binlog_purged", "{error}");
                assert!(
                    error.to_string().contains("when_needed")
                        && error.to_string().contains(&db.server.address()),
                    "{error}"
                );
                let mut again = source
                    .try_resume(&first.position, db.config(&[("snapshot.mode", "when_needed")]))
                    .await
                    .expect("a snapshot");
                assert_eq!(again.run.reporter.warned("mysql.binlog_purged"), 1);
                again.until(3, 100).await;
                db.run(&["INSERT INTO t VALUES (4)"]).await;
                let lines: Vec<_> = again.records(4).await.iter().map(line).collect();
                assert_eq!(
                    lines,
                    [
                        "r t {id:1}: null -> {id:1}",
                        "r t {id:2}: null -> {id:2}",
                        "r t {id:3}: null -> {id:3}",
                        "c t {id:4}: null -> {id:4}",
                    ]
                );
                again.stop().await;
            }
        }
    });
}

#[test]
fn a_server_that_restarts_or_crashes_is_read_on() {
    testkit::block_on(async {
        for kind in BOTH {
            let mut server = PrivateServer::start(kind, &["--sync-binlog=1"]);
            let mut db = Db::on(server.server().clone()).await;
            db.run(&["CREATE TABLE t (id INT PRIMARY KEY)"]).await;
            let mut source = Source::start(db.config(&[])).await;
            db.run(&["INSERT INTO t VALUES (1), (2), (3)"]).await;
            source.until(2, 2).await;
            let handed = source.run.out.total();
            server.stop();
            let error = loop {
                if let Err(error) = source.run.poll(1, Duration::from_millis(100)).await {
                    break error;
                }
            };
            assert!(error.is_retriable() && error.to_string().contains(&db.server.address()), "{error}");
            assert!(handed >= 2);
            server.start_again();
            db.reconnect().await;
            db.run(&["INSERT INTO t VALUES (4)"]).await;
            source.until(4, 10).await;
            server.kill();
            server.start_again();
            db.reconnect().await;
            db.run(&["INSERT INTO t VALUES (5)"]).await;
            let ids: Vec<_> =
                source.records(5).await.iter().filter_map(|record| number(record, "after", "id")).collect();
            assert_eq!(ids, [1, 2, 3, 4, 5]);
            source.stop().await;
        }
    });
}

/// A server that holds the connection and says nothing is found out by its missing heartbeats; here only that a poll comes
/// back in time and nothing is lost.
#[test]
fn a_server_that_hangs_is_waited_for() {
    testkit::block_on(async {
        let server = PrivateServer::start(Kind::MariaDb, &[]);
        let mut db = Db::on(server.server().clone()).await;
        db.run(&["CREATE TABLE t (id INT PRIMARY KEY)"]).await;
        let mut source = Source::start(db.config(&[])).await;
        db.run(&["INSERT INTO t VALUES (1)"]).await;
        source.until(1, 10).await;
        server.signal("STOP");
        let began = std::time::Instant::now();
        let _ = source.run.poll(10, Duration::from_millis(300)).await;
        assert!(began.elapsed() < Duration::from_secs(2));
        server.signal("CONT");
        db.run(&["INSERT INTO t VALUES (2)"]).await;
        source.records(2).await;
        source.stop().await;
    });
}

/// By GTID the stream goes on at a replica, in the middle of a transaction too.
#[test]
fn failover_to_a_replica() {
    testkit::block_on(async {
        for kind in BOTH {
            let options: &[&str] = match kind {
                Kind::MariaDb => &["--log-slave-updates=ON"],
                Kind::MySql => &["--log-replica-updates=ON"],
            };
            let primary = PrivateServer::start(kind, options);
            let replica = PrivateServer::start(kind, options);
            let mut db = Db::on(primary.server().clone()).await;
            let mut second = super::support::admin(replica.server()).await;
            let (host, port) = (&primary.server().host, primary.server().port);
            let follow = match kind {
                Kind::MariaDb => format!(
                    "CHANGE MASTER TO MASTER_HOST='{host}', MASTER_PORT={port}, MASTER_USER='omstest', MASTER_PASSWORD='omstest', MASTER_USE_GTID=slave_pos"
                ),
                Kind::MySql => format!(
                    "CHANGE REPLICATION SOURCE TO SOURCE_HOST='{host}', SOURCE_PORT={port}, SOURCE_USER='omstest', SOURCE_PASSWORD='omstest', SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1"
                ),
            };
            use mysql_async::prelude::Queryable;
            let reset = if kind == Kind::MariaDb { "RESET MASTER" } else { "RESET BINARY LOGS AND GTIDS" };
            second.query_drop(reset).await.expect(reset);
            second.query_drop(&follow).await.expect("follow");
            second
                .query_drop(if kind == Kind::MariaDb { "START SLAVE" } else { "START REPLICA" })
                .await
                .expect("start");

            db.run(&["CREATE TABLE t (id INT PRIMARY KEY)"]).await;
            let mut source = Source::start(db.config(&[])).await;
            db.run(&[
                "INSERT INTO t VALUES (0)",
                "BEGIN",
                "INSERT INTO t VALUES (1)",
                "INSERT INTO t VALUES (2), (3)",
                "COMMIT",
                "INSERT INTO t VALUES (4)",
            ])
            .await;
            let all = source.records(5).await;
            let name = db.name.clone();
            let count = format!("SELECT COUNT(*) FROM {name}.t");
            for _ in 0..200 {
                if second.query_first::<u64, _>(&count).await.is_ok_and(|rows| rows == Some(5)) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            second
                .query_drop(if kind == Kind::MariaDb { "STOP SLAVE" } else { "STOP REPLICA" })
                .await
                .expect("stop");
            second.query_drop(format!("INSERT INTO {name}.t VALUES (5)")).await.expect("a row of its own");
            let port = replica.server().port.to_string();
            for (at, record) in all.iter().enumerate() {
                let mut moved =
                    source.resume_from(&record.position, db.config(&[("mysqlPort", &port)])).await;
                let ids: Vec<_> =
                    moved.records(5 - at).await.iter().filter_map(|r| number(r, "after", "id")).collect();
                assert!(ids.iter().copied().eq(at as i64 + 1..6), "{kind:?}, resumed at {at}: {ids:?}");
                moved.stop().await;
            }
            source.stop().await;
        }
    });
}

/// Positions move although nothing comes of them, so that an idle table does not hold on to old files.
#[test]
fn positions_move_while_other_tables_change() {
    testkit::block_on(async {
        for kind in BOTH {
            let mut db = Db::new(kind).await;
            db.run(&["CREATE TABLE t (id INT PRIMARY KEY)", "CREATE TABLE other (id INT PRIMARY KEY)"]).await;
            let table = format!("{}.t", db.name);
            let mut source =
                Source::start(db.config(&[("whiteTable", &table), ("heartbeat.interval.ms", "100")])).await;
            source.poll(10).await;
            let before = source.position();
            for id in 0..3 {
                db.run(&[&format!("INSERT INTO other VALUES ({id})")]).await;
                tokio::time::sleep(Duration::from_millis(120)).await;
                source.poll(10).await;
            }
            assert_ne!(source.position(), before, "nothing moved");
            assert_eq!(source.run.out.total(), 0);
            source.stop().await;
        }
    });
}

/// The tail is somewhere else a moment later: where it was at the first start counts until a position is committed.
#[test]
fn a_kill_before_the_first_commit_loses_nothing() {
    testkit::block_on(async {
        for kind in BOTH {
            let mut db = Db::new(kind).await;
            db.run(&["CREATE TABLE t (id INT PRIMARY KEY)"]).await;
            let source = Source::start(db.config(&[])).await;
            db.run(&["INSERT INTO t VALUES (1)"]).await;
            let mut again = source.again().await;
            db.run(&["INSERT INTO t VALUES (2)"]).await;
            assert_eq!(again.records(2).await.len(), 2);
            again.stop().await;
            source.stop().await;
        }
    });
}

#[test]
fn xa_transactions_come_at_their_prepare_and_restart_anywhere() {
    testkit::block_on(async {
        for kind in BOTH {
            let mut db = Db::new(kind).await;
            db.run(&["CREATE TABLE t (id INT PRIMARY KEY)"]).await;
            let (one, two) = (super::support::unique("x"), super::support::unique("y"));
            let mut source = Source::start(db.config(&[])).await;
            db.run(&[
                &format!("XA START '{one}'"),
                "INSERT INTO t VALUES (1)",
                "INSERT INTO t VALUES (2), (3)",
                &format!("XA END '{one}'"),
                &format!("XA PREPARE '{one}'"),
                &format!("XA COMMIT '{one}'"),
                &format!("XA START '{two}'"),
                "INSERT INTO t VALUES (4)",
                &format!("XA END '{two}'"),
                &format!("XA COMMIT '{two}' ONE PHASE"),
                "BEGIN",
                "INSERT INTO t VALUES (5)",
                "SAVEPOINT s",
                "INSERT INTO t VALUES (99)",
                "ROLLBACK TO s",
                "INSERT INTO t VALUES (6)",
                "COMMIT",
            ])
            .await;
            let all = source.records(6).await;
            for (at, record) in all.iter().enumerate() {
                let mut again = source.resume_at(record).await;
                let ids: Vec<_> =
                    again.records(5 - at).await.iter().filter_map(|r| number(r, "after", "id")).collect();
                assert!(ids.iter().copied().eq(at as i64 + 2..7), "{kind:?}, resumed at {at}: {ids:?}");
                again.stop().await;
            }
            source.stop().await;
        }
    });
}

/// MySQL 8.3 and later let transactions have a tag: sets of them restart as others do.
#[test]
fn tagged_gtids() {
    testkit::block_on(async {
        let server = PrivateServer::start(Kind::MySql, &[]);
        let mut db = Db::on(server.server().clone()).await;
        db.run(&["CREATE TABLE t (id INT PRIMARY KEY)"]).await;
        let mut source = Source::start(db.config(&[])).await;
        db.run(&[
            "SET gtid_next = 'AUTOMATIC:dev'",
            "INSERT INTO t VALUES (1)",
            "INSERT INTO t VALUES (2), (3)",
            "SET gtid_next = 'AUTOMATIC'",
            "INSERT INTO t VALUES (4)",
        ])
        .await;
        let all = source.records(4).await;
        assert!(all[3].position.base.contains(":dev:1-2"), "{:?}", all[3].position);
        for (at, record) in all.iter().enumerate() {
            let mut again = source.resume_at(record).await;
            assert_eq!(again.records(3 - at).await.len(), 3 - at);
            again.stop().await;
        }
        source.stop().await;
    });
}
