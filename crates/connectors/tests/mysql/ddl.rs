//! DDL in the middle of a stream: rows are read with the definition of their moment, not of now, also after a restart.

use testkit::services::{Kind, PrivateServer};

use super::support::{BOTH, Db, Source, line};

/// Statements and the records of the rows in between.
const STORY: [(&str, &[&str]); 13] = [
    ("INSERT INTO t VALUES (1, 4000000000, 'a')", &["c t {id:1}: null -> {id:1,u:4000000000,s:a}"]),
    ("ALTER TABLE t ADD COLUMN m SMALLINT UNSIGNED DEFAULT 65535 AFTER id", &[]),
    (
        "INSERT INTO t VALUES (2, 65534, 4000000001, 'b')",
        &["c t {id:2}: null -> {id:2,m:65534,u:4000000001,s:b}"],
    ),
    ("ALTER TABLE t CHANGE u v INT UNSIGNED", &[]),
    (
        "UPDATE t SET v = 7 WHERE id = 2",
        &["u t {id:2}: {id:2,m:65534,v:4000000001,s:b} -> {id:2,m:65534,v:7,s:b}"],
    ),
    ("ALTER TABLE t MODIFY s ENUM('a','b','x,y') FIRST, DROP COLUMN m", &[]),
    ("INSERT INTO t VALUES ('x,y', 3, 1)", &["c t {id:3}: null -> {s:x,y,id:3,v:1}"]),
    ("RENAME TABLE t TO old, copy TO t", &[]),
    ("INSERT INTO t VALUES (1, 'é')", &["c t {a:1,b:é}: null -> {a:1,b:é}"]),
    ("ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (a), CONVERT TO CHARACTER SET utf8mb4", &[]),
    ("INSERT INTO t VALUES (2, 'ß€')", &["c t {a:2}: null -> {a:2,b:ß€}"]),
    ("DROP TABLE old", &[]),
    ("INSERT INTO t VALUES (3, 'z')", &["c t {a:3}: null -> {a:3,b:z}"]),
];

const BEFORE: [&str; 2] = [
    "CREATE TABLE t (id INT PRIMARY KEY, u INT UNSIGNED, s VARCHAR(5))",
    "CREATE TABLE copy (a INT, b VARCHAR(5), PRIMARY KEY (a, b)) CHARACTER SET latin1",
];

async fn tell(mut db: Db) {
    db.run(&BEFORE).await;
    let mut source = Source::start(db.config(&[])).await;
    // One task reads while it happens; what another will read is all over by then.
    for (statement, _) in STORY {
        db.run(&[statement]).await;
    }
    let expected: Vec<_> = STORY.iter().flat_map(|(_, records)| *records).copied().collect();
    let all = source.records(expected.len()).await;
    assert_eq!(all.iter().map(line).collect::<Vec<_>>(), expected);
    source.run.out.assert_clean();
    for (at, record) in all.iter().enumerate() {
        let mut again = source.resume_at(record).await;
        let rest: Vec<_> = again.records(expected.len() - at - 1).await.iter().map(line).collect();
        assert_eq!(rest, expected[at + 1..], "resumed at {at}");
        again.stop().await;
    }
    source.stop().await;
}

#[test]
fn rows_are_read_with_the_definition_of_their_moment() {
    testkit::block_on(async {
        for kind in BOTH {
            tell(Db::new(kind).await).await;
        }
    });
}

#[test]
fn the_same_with_full_metadata() {
    testkit::block_on(async {
        for kind in BOTH {
            let server = PrivateServer::start(kind, &["--binlog-row-metadata=FULL"]);
            tell(Db::on(server.server().clone()).await).await;
        }
    });
}

#[test]
fn the_same_with_minimal_metadata_and_without_gtids() {
    testkit::block_on(async {
        let server = PrivateServer::start(Kind::MariaDb, &["--binlog-row-metadata=MINIMAL"]);
        tell(Db::on(server.server().clone()).await).await;
        let server =
            PrivateServer::start(Kind::MySql, &["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"]);
        tell(Db::on(server.server().clone()).await).await;
    });
}

#[test]
fn tables_that_come_later() {
    testkit::block_on(async {
        for kind in BOTH {
            let mut db = Db::new(kind).await;
            let mut source = Source::start(db.config(&[])).await;
            db.run(&[
                "CREATE TABLE a (id INT PRIMARY KEY, x TINYINT UNSIGNED)",
                "INSERT INTO a VALUES (1, 255)",
                "CREATE TABLE b LIKE a",
                "INSERT INTO b VALUES (2, 254)",
                "CREATE TABLE c AS SELECT * FROM a",
                "INSERT INTO c VALUES (3, 253)",
                "CREATE TABLE IF NOT EXISTS a (other INT)",
                "INSERT INTO a VALUES (4, 252)",
                "CREATE TEMPORARY TABLE d (id INT)",
                "INSERT INTO d VALUES (1)",
                "DROP TEMPORARY TABLE d",
            ])
            .await;
            let lines: Vec<_> = source.records(5).await.iter().map(line).collect();
            assert_eq!(
                lines,
                [
                    "c a {id:1}: null -> {id:1,x:255}",
                    "c b {id:2}: null -> {id:2,x:254}",
                    "c c -: null -> {id:1,x:255}",
                    "c c -: null -> {id:3,x:253}",
                    "c a {id:4}: null -> {id:4,x:252}",
                ]
            );
            source.stop().await;
        }
    });
}

/// What this reader cannot understand is looked up, and said where it does not fit.
#[test]
fn definitions_that_are_not_known_stop_the_task_and_name_table_and_place() {
    testkit::block_on(async {
        for kind in BOTH {
            let server = PrivateServer::start(kind, &[]);
            let mut db = Db::on(server.server().clone()).await;
            let (file, offset) = db.end_of_log().await;
            // Where a start in the past has no history, the catalog is all there is: it does not fit the first row.
            db.run(&[
                "CREATE TABLE t (id INT PRIMARY KEY)",
                "INSERT INTO t VALUES (1)",
                "ALTER TABLE t ADD x INT",
            ])
            .await;
            let from = [
                ("startType", "SPECIFIED"),
                ("binlogFilename", file.as_str()),
                ("nextPosition", &offset.to_string()),
            ];
            let mut source = Source::start(db.config(&from)).await;
            let records = source.records(1).await;
            assert_eq!(line(&records[0]), "c t {id:1}: null -> {id:1}", "the CREATE is in the log");
            source.stop().await;

            let (file, offset) = db.end_of_log().await;
            db.run(&["INSERT INTO t VALUES (2, 2)", "ALTER TABLE t DROP COLUMN x"]).await;
            let from = [
                ("startType", "SPECIFIED"),
                ("binlogFilename", file.as_str()),
                ("nextPosition", &offset.to_string()),
            ];
            let mut source = Source::start(db.config(&from)).await;
            let error = source.fails().await;
            assert_eq!(error.code, "mysql.schema_mismatch", "{error}");
            assert!(
                error.message.contains(&format!("{}.t", db.name)) && error.message.contains(&file),
                "{error}"
            );
            assert_eq!(source.run.out.total(), 0, "nothing is mislabelled");
            source.stop().await;
        }
    });
}
