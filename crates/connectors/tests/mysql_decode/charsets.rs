//! Every character of every character set, as the server converts it.

use std::collections::HashMap;

use connectors::mysql::decode::is_known_charset;
use mysql_async::prelude::Queryable;
use openmessaging_connector::Value;
use testkit::services::Kind;

use super::harness::{Server, decode_full};

/// Codes to try, as hexadecimal: all single bytes, all pairs from a lead byte on, and three bytes for EUC-JP.
fn codes(charset: &str) -> &'static str {
    match charset {
        "big5" | "cp932" | "euckr" | "gb18030" | "gb2312" | "gbk" | "sjis" => {
            "SELECT LPAD(HEX(n), IF(n < 256, 2, 4), '0') c FROM d WHERE n < 256 OR n >= 33088"
        }
        "eucjpms" | "ujis" => {
            "SELECT LPAD(HEX(n), IF(n < 256, 2, 4), '0') c FROM d WHERE n < 256 OR n >= 33088 \
             UNION ALL SELECT CONCAT('8F', HEX(n)) FROM d WHERE n >= 41377"
        }
        "ucs2" => "SELECT LPAD(HEX(n), 4, '0') c FROM d",
        "utf16" | "utf16le" => {
            "SELECT LPAD(HEX(n), 4, '0') c FROM d UNION ALL SELECT 'D83DDE00' UNION ALL SELECT '3DD800DE'"
        }
        "utf32" => "SELECT LPAD(HEX(n), 8, '0') c FROM d UNION ALL SELECT '0001F600'",
        "utf8mb3" | "utf8mb4" => {
            "SELECT HEX(CONVERT(CHAR(n USING utf32) USING utf8mb4)) c FROM d WHERE n NOT BETWEEN 55296 AND 57343"
        }
        _ => "SELECT LPAD(HEX(n), 2, '0') c FROM d WHERE n < 256",
    }
}

async fn check(server: &mut Server, charset: &str) -> usize {
    server.run("DROP TABLE IF EXISTS t").await;
    let start = server.position().await;
    server
        .run(format!("CREATE TABLE t (id VARCHAR(8) PRIMARY KEY, s VARCHAR(4) CHARACTER SET {charset})"))
        .await;
    let convert = format!("CONVERT(UNHEX(c) USING {charset})");
    server
        .run(format!(
            "INSERT INTO t WITH RECURSIVE d(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM d WHERE n < 65535) \
             SELECT c, {convert} FROM ({}) codes WHERE {convert} IS NOT NULL",
            codes(charset)
        ))
        .await;
    let end = server.position().await;
    let events = server.events_between(start.0, start.1, end).await;
    let decoded = decode_full(&events, &[]);
    let rows: Vec<(String, Vec<u8>)> = server.conn.exec("SELECT id, s FROM t", ()).await.expect("rows");
    let selected: HashMap<String, Vec<u8>> = rows.into_iter().collect();
    assert_eq!(selected.len(), decoded.changes.len(), "{charset}");
    let mut differences = Vec::new();
    for change in &decoded.changes {
        let [Value::Str(code), Value::Str(text)] = &change.after[..] else { panic!("{change:?}") };
        // Of half a surrogate pair the server makes bytes that are no UTF-8.
        let Ok(wanted) = std::str::from_utf8(&selected[&**code]) else {
            assert!(text.contains('\u{fffd}'), "{charset} {code}: {text:?}");
            continue;
        };
        // What the server has no character for is `?`; ours may be U+FFFD or a character of a later edition of the
        // set.
        if text != wanted && !wanted.contains('?') {
            differences.push(format!("{code}: {text:?} is {wanted:?}"));
        }
    }
    assert!(
        differences.is_empty(),
        "{} of {charset}: {:?}",
        differences.len(),
        &differences[..differences.len().min(20)]
    );
    decoded.changes.len()
}

#[tokio::test]
async fn every_character_of_every_set() {
    let mut server = Server::start(Kind::MySql, &["--binlog-row-metadata=FULL"]).await;
    server.run("SET cte_max_recursion_depth = 100000").await;
    let names: Vec<String> = server
        .conn
        .query("SELECT character_set_name FROM information_schema.character_sets")
        .await
        .expect("names");
    assert!(names.len() > 38);
    let mut characters = 0;
    for name in names.iter().filter(|name| *name != "binary") {
        assert!(is_known_charset(name), "{name}");
        characters += check(&mut server, name).await;
    }
    assert!(characters > 300_000, "{characters}");
}

#[tokio::test]
async fn mariadb_knows_no_other_set() {
    let mut server = Server::start(Kind::MariaDb, &[]).await;
    let names: Vec<String> = server
        .conn
        .query("SELECT character_set_name FROM information_schema.character_sets")
        .await
        .expect("names");
    assert!(names.iter().all(|name| is_known_charset(name)), "{names:?}");
}
