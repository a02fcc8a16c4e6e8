//! Row changes, one by one.

use super::support::{BOTH, Db, Source, line, number};

#[test]
fn a_change_is_a_record_with_key_images_and_origin() {
    testkit::block_on(async {
        for kind in BOTH {
            let mut db = Db::new(kind).await;
            db.run(&["CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(9))"]).await;
            let mut source = Source::start(db.config(&[])).await;
            db.run(&[
                "INSERT INTO t VALUES (1, 'x'), (2, NULL)",
                "UPDATE t SET a = 'y' WHERE id = 1",
                "DELETE FROM t WHERE id = 2",
                "UPDATE t SET id = 9 WHERE id = 1",
                "TRUNCATE TABLE t",
            ])
            .await;
            let records = source.records(7).await;
            let lines: Vec<_> = records.iter().map(line).collect();
            assert_eq!(
                lines,
                [
                    "c t {id:1}: null -> {id:1,a:x}",
                    "c t {id:2}: null -> {id:2,a:null}",
                    "u t {id:1}: {id:1,a:x} -> {id:1,a:y}",
                    "d t {id:2}: {id:2,a:null} -> null",
                    "d t {id:1}: {id:1,a:y} -> null",
                    "c t {id:9}: null -> {id:9,a:y}",
                    "t t -: null -> null",
                ]
            );
            let source_of =
                |at: usize, name: &str| super::support::text(records[at].at(&["source", name]).expect(name));
            assert_eq!(source_of(0, "db"), db.name);
            assert_eq!(source_of(0, "table"), "t");
            assert_eq!((source_of(0, "row"), source_of(1, "row")), ("0".to_owned(), "1".to_owned()));
            assert_eq!(source_of(0, "snapshot"), "false");
            assert_ne!(source_of(0, "gtid"), source_of(2, "gtid"));
            assert!(source_of(0, "file").starts_with("bin."));
            assert_eq!(source_of(0, "connector"), if db.mariadb() { "mariadb" } else { "mysql" });
            assert!(
                number(&records[0], "source", "ts_ms")
                    .is_some_and(|ms| (records[0].timestamp_ms - ms) == 0 && ms > 1_600_000_000_000)
            );
            source.stop().await;
        }
    });
}

/// The original lost chunks of transactions over 100 rows.
#[test]
fn transactions_of_any_size_come_whole_and_in_order() {
    testkit::block_on(async {
        for kind in BOTH {
            let mut db = Db::new(kind).await;
            db.run(
                &[
                    "CREATE TABLE t (id INT PRIMARY KEY, pad CHAR(20))",
                    "SET SESSION max_recursive_iterations = 1000000",
                ][..1],
            )
            .await;
            let mut source = Source::start(db.config(&[])).await;
            db.run(&["BEGIN"]).await;
            for chunk in (0..200_000).collect::<Vec<i64>>().chunks(5000) {
                let values: Vec<_> = chunk.iter().map(|id| format!("({id},'x')")).collect();
                db.run(&[&format!("INSERT INTO t VALUES {}", values.join(","))]).await;
            }
            db.run(&["COMMIT"]).await;
            source.until(200_000, 7001).await;
            source.quiet().await;
            let ids: Vec<_> =
                source.run.out.records.iter().filter_map(|record| number(record, "after", "id")).collect();
            assert!(ids.iter().copied().eq(0..200_000), "{} rows", ids.len());
            source.stop().await;
        }
    });
}

/// The original waited for an XID event, which tables without transactions never get.
#[test]
fn tables_without_transactions_come_at_once() {
    testkit::block_on(async {
        for kind in BOTH {
            let mut db = Db::new(kind).await;
            db.run(&["CREATE TABLE t (id INT PRIMARY KEY) ENGINE=MyISAM"]).await;
            let mut source = Source::start(db.config(&[])).await;
            db.run(&["INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)"]).await;
            let records = source.records(2).await;
            // And the position is behind them.
            let mut again = source.resume_from(&source.position(), source.config.clone()).await;
            db.run(&["INSERT INTO t VALUES (3)"]).await;
            assert_eq!(number(&again.records(1).await[0], "after", "id"), Some(3));
            assert_eq!(records.len(), 2);
            again.stop().await;
            source.stop().await;
        }
    });
}

/// Values that the original got wrong, each in one row.
#[test]
fn values_that_the_original_got_wrong() {
    testkit::block_on(async {
        for kind in BOTH {
            let mut db = Db::new(kind).await;
            db.run(&[
                "CREATE TABLE t (id INT PRIMARY KEY, u INT UNSIGNED, b BIGINT UNSIGNED, s VARCHAR(9) CHARACTER SET utf8mb3, \
                 d DATETIME(6), e ENUM('a,b','it''s'), j JSON, bin BINARY(4), y YEAR, t TIME(3))",
            ])
            .await;
            let mut source = Source::start(db.config(&[])).await;
            db.run(&[
                "INSERT INTO t VALUES (1, 0, 0, 'é', '2024-02-29 01:02:03.000004', 'a,b', '{\"a\": 1}', x'0100', 0, '-01:00:00.5')",
            ])
            .await;
            let record = &source.records(1).await[0];
            let field = |name: &str| super::support::text(record.at(&["after", name]).expect(name));
            assert_eq!(
                (field("u"), field("b")),
                ("0".to_owned(), "0".to_owned()),
                "unsigned 0 became 2^bits"
            );
            assert_eq!(field("s"), "é", "utf8mb3 was unsupported");
            assert_eq!(field("d"), "ts 1709168523000004", "fractions were dropped");
            assert_eq!(field("e"), "a,b", "labels with commas broke");
            assert_eq!(field("j").replace(' ', ""), "{\"a\":1}", "JSON came as base64");
            assert_eq!(field("bin"), "[01, 00, 00, 00]", "trailing zero bytes were lost");
            assert_eq!((field("y"), field("t")), ("0".to_owned(), "time -3600500000".to_owned()));
            source.stop().await;
        }
    });
}

/// The original had server id 1001: a second connector threw out the first.
#[test]
fn two_connectors_read_one_server() {
    testkit::block_on(async {
        for kind in BOTH {
            let mut db = Db::new(kind).await;
            db.run(&["CREATE TABLE t (id INT PRIMARY KEY)"]).await;
            let mut one = Source::start(db.config(&[])).await;
            let mut other = Source::start(db.config(&[])).await;
            for id in 0..5 {
                db.run(&[&format!("INSERT INTO t VALUES ({id})")]).await;
                one.until(id + 1, 10).await;
                other.until(id + 1, 10).await;
            }
            one.stop().await;
            other.stop().await;
        }
    });
}

#[test]
fn images_that_are_not_full() {
    testkit::block_on(async {
        for kind in BOTH {
            let mut db = Db::new(kind).await;
            db.run(&[
                "CREATE TABLE t (a INT, b INT, c VARCHAR(9), d TEXT, PRIMARY KEY (a, b))",
                "INSERT INTO t VALUES (1, 1, 'x', 'y')",
            ])
            .await;
            for (image, expected) in [
                (
                    "MINIMAL",
                    [
                        "u t {a:1,b:1}: {a:1,b:1,c:absent,d:absent} -> {a:absent,b:absent,c:z,d:absent}",
                        "d t {a:1,b:1}: {a:1,b:1,c:absent,d:absent} -> null",
                        "c t {a:1,b:2}: null -> {a:absent,b:2,c:absent,d:absent}",
                        "d t {a:1,b:2}: {a:1,b:2,c:absent,d:absent} -> null",
                    ],
                ),
                (
                    "NOBLOB",
                    [
                        "u t {a:1,b:1}: {a:1,b:1,c:x,d:absent} -> {a:1,b:1,c:z,d:absent}",
                        "d t {a:1,b:1}: {a:1,b:1,c:z,d:absent} -> null",
                        "c t {a:1,b:2}: null -> {a:1,b:2,c:z,d:absent}",
                        "d t {a:1,b:2}: {a:1,b:2,c:z,d:absent} -> null",
                    ],
                ),
            ] {
                let mut source = Source::start(db.config(&[])).await;
                db.run(&[
                    &format!("SET SESSION binlog_row_image = '{image}'"),
                    "UPDATE t SET c = 'z'",
                    "UPDATE t SET b = 2",
                    "DELETE FROM t",
                    "SET SESSION binlog_row_image = 'FULL'",
                ])
                .await;
                let lines: Vec<_> = source.records(4).await.iter().map(line).collect();
                assert_eq!(lines, expected, "{image}");
                source.run.out.assert_clean();
                source.stop().await;
                db.run(&["INSERT INTO t VALUES (1, 1, 'x', 'y')"]).await;
            }
        }
    });
}

#[test]
fn names_filters_and_decimals_as_configured() {
    testkit::block_on(async {
        for kind in BOTH {
            let mut db = Db::new(kind).await;
            db.run(&[
                "CREATE TABLE t (id INT PRIMARY KEY, d DECIMAL(9,3))",
                "CREATE TABLE other (id INT PRIMARY KEY)",
            ])
            .await;
            let name = db.name.clone();
            let table = format!("{name}.t");
            let debezium = db.config(&[
                ("connector.class", "io.debezium.connector.mysql.MySqlConnector"),
                ("topic.prefix", "shop"),
                ("whiteTable", &table),
                ("decimal.handling.mode", "string"),
                ("include.query", "true"),
            ]);
            let mut one = Source::start(debezium).await;
            let regex = format!(r"{name}\.(t|x)");
            let mut two =
                Source::start(db.config(&[("whiteTable", &regex), ("decimal.handling.mode", "double")]))
                    .await;
            if kind == testkit::services::Kind::MySql {
                db.run(&["SET SESSION binlog_rows_query_log_events = ON"]).await;
            }
            db.run(&[
                "INSERT INTO other VALUES (1)",
                "INSERT INTO t VALUES (1, -1.5)",
                "INSERT INTO other VALUES (2)",
            ])
            .await;
            let record = &one.records(1).await[0];
            assert_eq!(&*record.queue, format!("shop.{name}.t"));
            assert_eq!(
                record.value_schema.as_ref().and_then(|s| s.name.as_deref()),
                Some(&*format!("shop.{name}.t.Envelope"))
            );
            assert_eq!(super::support::text(record.at(&["after", "d"]).expect("d")), "-1.500");
            assert_eq!(super::support::text(record.at(&["source", "name"]).expect("name")), "shop");
            if kind == testkit::services::Kind::MySql {
                let query = super::support::text(record.at(&["source", "query"]).expect("query"));
                assert!(query.starts_with("INSERT INTO t VALUES"), "{query}");
            }
            let record = &two.records(1).await[0];
            assert_eq!(&*record.queue, "t");
            assert_eq!(record.at(&["after", "d"]), Some(&openmessaging_connector::Value::F64(-1.5)));
            one.run.out.assert_clean();
            one.stop().await;
            two.stop().await;
        }
    });
}

#[test]
fn compressed_transactions_and_rows() {
    testkit::block_on(async {
        for kind in BOTH {
            let option = match kind {
                testkit::services::Kind::MariaDb => "--log-bin-compress=ON",
                testkit::services::Kind::MySql => "--binlog-transaction-compression=ON",
            };
            let server = testkit::services::PrivateServer::start(kind, &[option]);
            let mut db = Db::on(server.server().clone()).await;
            db.run(&["CREATE TABLE t (id INT PRIMARY KEY, pad VARCHAR(400))"]).await;
            let mut source = Source::start(db.config(&[])).await;
            db.run(&["BEGIN"]).await;
            for id in 0..300 {
                db.run(&[&format!("INSERT INTO t VALUES ({id}, REPEAT('abc', 100))")]).await;
            }
            db.run(&["COMMIT", "UPDATE t SET pad = 'x' WHERE id = 7"]).await;
            source.until(301, 11).await;
            source.quiet().await;
            let records = source.run.out.records.clone();
            assert_eq!(records.len(), 301);
            let ids: Vec<_> =
                records[..300].iter().filter_map(|record| number(record, "after", "id")).collect();
            assert!(ids.iter().copied().eq(0..300));
            for at in [0, 10, 11, 150, 299] {
                let mut again = source.resume_at(&records[at]).await;
                again.until(300 - at, 13).await;
                again.quiet().await;
                assert_eq!(again.run.out.records.len(), 300 - at, "resumed at {at}");
                again.run.out.assert_clean();
                assert_eq!(line(&again.run.out.records[0]), line(&records[at + 1]));
                again.stop().await;
            }
            source.stop().await;
        }
    });
}

/// A statement that was logged as such cannot be turned into rows: it must not pass unnoticed.
#[test]
fn statements_logged_as_such_are_warned_of() {
    testkit::block_on(async {
        for kind in BOTH {
            let mut db = Db::new(kind).await;
            db.run(&["CREATE TABLE t (id INT PRIMARY KEY)"]).await;
            let mut source = Source::start(db.config(&[])).await;
            db.run(&[
                "SET SESSION binlog_format = 'STATEMENT'",
                "INSERT INTO t VALUES (1)",
                "SET SESSION binlog_format = 'ROW'",
                "INSERT INTO t VALUES (2)",
            ])
            .await;
            let records = source.records(1).await;
            assert_eq!(number(&records[0], "after", "id"), Some(2));
            assert_eq!(source.run.reporter.warned("mysql.statement_logged"), 1);
            source.stop().await;
        }
    });
}
