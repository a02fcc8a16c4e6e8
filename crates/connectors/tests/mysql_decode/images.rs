//! Row images that leave columns out, table maps that leave metadata out, and compression of the log.

use std::sync::Arc;

use connectors::mysql::binlog::{RowsKind, event_type};
use connectors::mysql::table::Table;
use openmessaging_connector::Value;
use testkit::services::Kind;

use super::harness::{COMPRESSED_ROWS, Server, assert_rows, decode, decode_full, saw};
use super::types;

const NULL: Value<'static> = Value::Null;
const ABSENT: Value<'static> = Value::Absent;

fn text(text: &'static str) -> Value<'static> {
    Value::str(text)
}

async fn minimal_images(server: &mut Server) {
    server.run("SET binlog_row_image = 'MINIMAL'").await;
    let events = server
        .events_of(&[
            "CREATE TABLE t (a INT, b VARCHAR(10), id INT NOT NULL PRIMARY KEY, c INT DEFAULT 7, d TEXT)",
            "INSERT INTO t (id, b) VALUES (1, 'one')",
            "UPDATE t SET a = 5, b = NULL WHERE id = 1",
            "UPDATE t SET id = 2",
            "DELETE FROM t",
        ])
        .await;
    let decoded = decode_full(&events, &[]);
    let changes = &decoded.changes;
    let kinds: Vec<_> = changes.iter().map(|change| change.kind).collect();
    assert_eq!(kinds, [RowsKind::Write, RowsKind::Update, RowsKind::Update, RowsKind::Delete]);
    let nothing = vec![ABSENT; 5];
    assert_eq!(changes[0].before, nothing);
    // The servers differ in which columns of an insert they log: what is logged is right.
    let insert = &changes[0].after;
    assert_eq!((&insert[1], &insert[2]), (&text("one"), &Value::I64(1)));
    assert!(insert[3] == ABSENT || insert[3] == Value::I64(7), "{insert:?}");
    assert_eq!(changes[0].key, [Value::I64(1)]);
    assert_eq!(changes[1].before, [ABSENT, ABSENT, Value::I64(1), ABSENT, ABSENT]);
    assert_eq!(changes[1].after, [Value::I64(5), NULL, ABSENT, ABSENT, ABSENT]);
    assert_eq!(changes[1].key, [ABSENT]);
    assert_eq!(changes[2].before, [ABSENT, ABSENT, Value::I64(1), ABSENT, ABSENT]);
    assert_eq!(changes[2].after, [ABSENT, ABSENT, Value::I64(2), ABSENT, ABSENT]);
    assert_eq!(changes[3].before, [ABSENT, ABSENT, Value::I64(2), ABSENT, ABSENT]);
    assert_eq!(changes[3].after, nothing);
    assert_eq!(changes[3].key, [Value::I64(2)]);

    server.run("SET binlog_row_image = 'NOBLOB'").await;
    server.run("INSERT INTO t VALUES (1, 'x', 3, 4, 'text')").await;
    let decoded = decode_full(&server.events_of(&["UPDATE t SET a = 2 WHERE id = 3"]).await, &[]);
    let change = &decoded.changes[0];
    assert_eq!(change.before, [Value::I64(1), text("x"), Value::I64(3), Value::I64(4), ABSENT]);
    assert_eq!(change.after, [Value::I64(2), text("x"), Value::I64(3), Value::I64(4), ABSENT]);
}

#[tokio::test]
async fn mariadb_minimal_images() {
    minimal_images(&mut Server::start(Kind::MariaDb, &["--binlog-row-metadata=FULL"]).await).await;
}

#[tokio::test]
async fn mysql_minimal_images() {
    minimal_images(&mut Server::start(Kind::MySql, &["--binlog-row-metadata=FULL"]).await).await;
}

/// A row of which no column is logged is a row all the same.
#[tokio::test]
async fn rows_without_columns() {
    for kind in [Kind::MariaDb, Kind::MySql] {
        let mut server =
            Server::start(kind, &["--binlog-row-metadata=FULL", "--binlog-row-image=MINIMAL"]).await;
        let events = server.events_of(&["CREATE TABLE t (a INT, b INT)", "INSERT INTO t () VALUES ()"]).await;
        let decoded = decode_full(&events, &[]);
        assert_eq!(decoded.changes.len(), 1, "{kind:?}");
    }
}

/// Columns that a `SELECT *` does not show, or that are computed: the log has all but those that stand for an index.
#[tokio::test]
async fn generated_and_invisible_columns() {
    for kind in [Kind::MariaDb, Kind::MySql] {
        let mut server = Server::start(kind, &["--binlog-row-metadata=FULL"]).await;
        let indexes = match server.mariadb {
            true => "",
            false => ", INDEX ((UPPER(s))), INDEX ((CAST(j->'$.a' AS UNSIGNED ARRAY)))",
        };
        let create = format!(
            "CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR(10), v INT AS (id * 2) VIRTUAL, p INT AS (id * 3) STORED, \
             h INT DEFAULT 5 INVISIBLE, j JSON{indexes}, `back``tick €` INT)"
        );
        let events = server
            .events_of(&[
                &create,
                "INSERT INTO t (id, s, h, j) VALUES (1, 'a', 7, '{\"a\": [1, 2]}'), (2, 'b', NULL, NULL)",
                "UPDATE t SET s = 'c', `back``tick €` = 4",
            ])
            .await;
        let decoded = decode_full(&events, &[]);
        let table = (*decoded.tables["t"]).clone();
        let names: Vec<&str> = table.columns.iter().map(|column| &*column.name).collect();
        assert_eq!(names, ["id", "s", "v", "p", "h", "j", "back`tick €"]);
        let after: Vec<_> = decoded.changes.iter().skip(2).map(|change| change.after.clone()).collect();
        assert_eq!(after[0][2..5], [Value::I64(2), Value::I64(3), Value::I64(7)], "{kind:?}");
        let ids: Vec<String> = after.iter().map(|row| format!("{:?}", row[0])).collect();
        assert_eq!(ids, ["I64(1)", "I64(2)"]);
    }
}

/// A primary key of prefixes and in another order than the columns; a table without one.
#[tokio::test]
async fn keys() {
    for kind in [Kind::MariaDb, Kind::MySql] {
        let mut server = Server::start(kind, &["--binlog-row-metadata=FULL"]).await;
        let events = server
            .events_of(&[
                "CREATE TABLE two (a INT, b VARCHAR(300), c TEXT, PRIMARY KEY (c(10), a))",
                "CREATE TABLE none (a INT, UNIQUE (a))",
                "INSERT INTO two VALUES (1, 'b', 'cccccccccccccccccccc')",
                "INSERT INTO none VALUES (1)",
            ])
            .await;
        let decoded = decode_full(&events, &[]);
        assert_eq!(decoded.tables["two"].primary_key, [2, 0]);
        assert_eq!(decoded.changes[0].key, [text("cccccccccccccccccccc"), Value::I64(1)]);
        assert!(decoded.tables["none"].primary_key.is_empty());
        let nullable: Vec<bool> =
            decoded.tables["two"].columns.iter().map(|column| column.nullable).collect();
        assert_eq!(nullable, [false, true, false]);
    }
}

/// The table of all types, whose table maps tell less and less; the table itself comes from FULL metadata.
async fn less_metadata(server: &mut Server, levels: &[&str]) {
    let mariadb = server.mariadb;
    let [create, insert] = types::statements(mariadb);
    server.run("SET GLOBAL binlog_row_metadata = 'FULL'").await;
    server.run(&create).await;
    let events = server.events_of(&[&insert, "UPDATE t SET id = id + 1000"]).await;
    let full = decode_full(&events, &types::tracked_kinds(mariadb));
    let table: Arc<Table> = full.tables["t"].clone();
    for level in levels {
        server.run(format!("SET GLOBAL binlog_row_metadata = '{level}'")).await;
        let events = server.events_of(&["UPDATE t SET id = id + 1000"]).await;
        let decoded = decode(&events, &|map| {
            assert!(!map.has_full_metadata());
            assert_eq!(map.to_table(None).expect_err("no names").code, "mysql.binlog_row_metadata");
            Some((*table).clone())
        });
        let selected = server.select(&table).await;
        let after: Vec<_> = decoded.changes.iter().map(|change| change.after.clone()).collect();
        assert_rows(&table, &after, &selected);
    }
}

#[tokio::test]
async fn mariadb_with_less_metadata() {
    less_metadata(&mut Server::start(Kind::MariaDb, &[]).await, &["MINIMAL", "NO_LOG"]).await;
}

#[tokio::test]
async fn mysql_with_less_metadata() {
    less_metadata(&mut Server::start(Kind::MySql, &[]).await, &["MINIMAL"]).await;
}

/// A tracked table that is not the table of the log is told with what differs.
#[tokio::test]
async fn a_table_that_differs_is_refused() {
    let mut server = Server::start(Kind::MySql, &["--binlog-row-metadata=MINIMAL"]).await;
    server
        .run("CREATE TABLE t (id INT PRIMARY KEY, n BIGINT UNSIGNED, s VARCHAR(10) CHARACTER SET latin1)")
        .await;
    let events = server.events_of(&["INSERT INTO t VALUES (1, 2, 'x')"]).await;
    server.run("SET GLOBAL binlog_row_metadata = 'FULL'").await;
    let full = decode_full(&server.events_of(&["INSERT INTO t VALUES (2, 2, 'x')"]).await, &[]);
    let good = (*full.tables["t"]).clone();
    assert_eq!(good.primary_key, [0]);
    let check = |table: Table, wanted: &str| {
        let seen = std::cell::Cell::new(false);
        decode(&events, &|map| {
            seen.set(true);
            let error = map.check_against(&table).expect_err("a mismatch");
            assert_eq!(error.code, "mysql.schema_mismatch");
            assert!(error.message.contains(wanted), "{error}");
            Some(good.clone())
        });
        assert!(seen.get());
    };
    let mut fewer = good.clone();
    fewer.columns.pop();
    check(fewer, "3 columns in the log, 2 known");
    let mut signed = good.clone();
    signed.columns[1].kind = connectors::mysql::table::Kind::BigInt { unsigned: false };
    check(signed, "column n");
    let mut other = good.clone();
    other.columns[2].kind =
        connectors::mysql::table::Kind::Text { type_name: "VARCHAR", charset: "utf8mb4".into() };
    check(other, "column s");
    let mut swapped = good.clone();
    swapped.columns.swap(0, 1);
    check(swapped, "column n");
}

#[tokio::test]
async fn mariadb_compressed_events_are_inflated() {
    let arguments = ["--binlog-row-metadata=FULL", "--log-bin-compress=ON", "--log-bin-compress-min-len=10"];
    let mut server = Server::start(Kind::MariaDb, &arguments).await;
    let insert = format!(
        "INSERT INTO t VALUES {}",
        (1..=2000).map(|id| format!("({id}, 'row {id}')")).collect::<Vec<_>>().join(", ")
    );
    let events = server
        .events_of(&[
            "CREATE TABLE t (id INT PRIMARY KEY, s TEXT)",
            &insert,
            "UPDATE t SET s = CONCAT(s, s)",
            "DELETE FROM t",
        ])
        .await;
    let decoded = decode_full(&events, &[]);
    assert!(decoded.types.iter().any(|ty| COMPRESSED_ROWS.contains(ty)), "{:?}", decoded.types);
    assert!(saw(&decoded, event_type::QUERY_COMPRESSED), "{:?}", decoded.types);
    assert_eq!(decoded.changes.len(), 6000);
    assert_eq!(decoded.changes[1999].after, [Value::I64(2000), text("row 2000")]);
    assert_eq!(decoded.changes[3999].after, [Value::I64(2000), text("row 2000row 2000")]);
    assert_eq!(decoded.changes[5999].before, [Value::I64(2000), text("row 2000row 2000")]);
}

#[tokio::test]
async fn mysql_compressed_transactions_are_inflated() {
    let arguments = ["--binlog-row-metadata=FULL", "--binlog-transaction-compression=ON"];
    let mut server = Server::start(Kind::MySql, &arguments).await;
    let [create, insert] = types::statements(false);
    server.run("CREATE TABLE plain (id INT PRIMARY KEY)").await;
    let events = server
        .events_of(&[
            &create,
            &insert,
            "UPDATE t SET id = id + 1000",
            "INSERT INTO plain VALUES (1)",
            "INSERT INTO plain VALUES (2)",
        ])
        .await;
    let decoded = decode_full(&events, &[]);
    assert!(saw(&decoded, event_type::TRANSACTION_PAYLOAD));
    let payloads = decoded.types.iter().filter(|ty| **ty == event_type::TRANSACTION_PAYLOAD).count();
    let gtids = decoded.types.iter().filter(|ty| **ty == event_type::GTID).count();
    assert_eq!((payloads, gtids), (4, 5), "{:?}", decoded.types);
    let table = decoded.tables["t"].clone();
    let selected = server.select(&table).await;
    let updates = decoded.changes.iter().filter(|change| change.kind == RowsKind::Update);
    let after: Vec<_> = updates.map(|change| change.after.clone()).collect();
    assert_rows(&table, &after, &selected);
    let plain: Vec<_> = decoded.changes.iter().rev().take(2).map(|change| change.after[0].clone()).collect();
    assert_eq!(plain, [Value::I64(2), Value::I64(1)]);
}
