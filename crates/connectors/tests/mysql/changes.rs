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
            let source_of = |at: usize, name: &str| super::support::text(records[at].at(&["source", name]).expect(name));
            assert_eq!(source_of(0, "db"), db.name);
            assert_eq!(source_of(0, "table"), "t");
            assert_eq!((source_of(0, "row"), source_of(1, "row")), ("0".to_owned(), "1".to_owned()));
            assert_eq!(source_of(0, "snapshot"), "false");
            assert_ne!(source_of(0, "gtid"), source_of(2, "gtid"));
            assert!(source_of(0, "file").starts_with("bin."));
            assert_eq!(source_of(0, "connector"), if db.mariadb() { "mariadb" } else { "mysql" });
            assert!(number(&records[0], "source", "ts_ms").is_some_and(|ms| (records[0].timestamp_ms - ms) == 0 && ms > 1_600_000_000_000));
            source.stop().await;
        }
    });
}
