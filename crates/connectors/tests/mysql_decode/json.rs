//! MySQL's JSON: its text, and changes to it.

use connectors::mysql::binlog::event_type;
use connectors::mysql::table::Table;
use openmessaging_connector::Value;
use testkit::services::Kind;

use super::harness::{Decoded, Server, assert_rows, decode_full, saw};

/// Documents that reach every part of the format: literals, every width of integer, doubles in both notations,
/// strings of each length of length, large containers, every SQL type that JSON can hold.
fn documents() -> Vec<String> {
    let mut documents: Vec<String> = [
        "'null'", "'true'", "'false'", "'[]'", "'{}'", "'\"\"'", "'0'", "'-1'", "'32767'", "'32768'", "'65535'", "'65536'",
        "'-32768'", "'-32769'", "'2147483647'", "'2147483648'", "'4294967295'", "'4294967296'", "'-2147483648'",
        "'9223372036854775807'", "'18446744073709551615'", "'-9223372036854775808'",
        "'[1,[2,[3,{\"a\":[null,true,false]}]]]'",
        r#"'{"b":1,"a":2,"aa":{"x":[1.5,"y"]},"":3}'"#,
        r#"'"quote \\" backslash \\\\ slash / \\b\\f\\n\\r\\t \\u0001 \\u001f \\u007f ä€😀"'"#,
        r#"'{"k\\"ey\\\\":"v"}'"#,
        "JSON_OBJECT('dec', CAST('123456789.000000001' AS DECIMAL(30,9)), 'neg', CAST('-0.50' AS DECIMAL(5,2)))",
        "JSON_ARRAY(CAST('2020-02-29' AS DATE), CAST('-838:59:59.5' AS TIME(6)), CAST('12:34:56' AS TIME))",
        "JSON_ARRAY(CAST('2020-02-29 12:34:56.123456' AS DATETIME(6)), TIMESTAMP('1000-01-01 00:00:00'))",
        "JSON_ARRAY(UNIX_TIMESTAMP('2020-02-29 12:34:56.5'), CAST(2020 AS YEAR))",
        "JSON_ARRAY(b'101', x'cafe', CAST('abc' AS BINARY(5)))",
        "JSON_ARRAY(ST_GeomFromText('POINT(1 2)'))",
        "CAST(x'00ff' AS JSON)",
    ]
    .map(String::from)
    .to_vec();
    for number in [
        "0.0",
        "-0.0",
        "1.0",
        "1.5",
        "0.1",
        "1e14",
        "1e15",
        "123456789012345.6",
        "1234567890123456.7",
        "1e16",
        "1.5e20",
        "1e100",
        "1.7976931348623157e308",
        "5e-324",
        "2.2250738585072014e-308",
        "1e-1",
        "1e-4",
        "1e-5",
        "1e-14",
        "1e-15",
        "1e-16",
        "1.5e-15",
        "1.5e-7",
        "-1.5e-7",
        "0.30000000000000004",
        "100000.0",
        "123456789.125",
        "9007199254740993.0",
        "3.14",
        "1e21",
        "999999999999999.9",
        "99999999999999.99",
    ] {
        documents.push(format!("'[{number}]'"));
    }
    documents.extend(random_doubles());
    for length in [1, 127, 128, 16383, 16384, 70000] {
        documents.push(format!("JSON_ARRAY(REPEAT('é', {}), 1)", length / 2 + 1));
        documents.push(format!("JSON_OBJECT(REPEAT('k', {}), REPEAT('x', {length}))", length.min(60000)));
    }
    // Beyond 64 KiB containers are large, and integers of 32 bits are inlined.
    let many: Vec<String> = (0..20000).map(|number| format!("{}", number * 300 - 70000)).collect();
    documents.push(format!("'[{}]'", many.join(",")));
    let members: Vec<String> =
        (0..5000).map(|number| format!("\"key{number}\":[{number},\"v\",null]")).collect();
    documents.push(format!("'{{{}}}'", members.join(",")));
    // As deep as the server allows.
    documents.push(format!("'{}{}'", "[".repeat(100), "]".repeat(100)));
    documents.push(format!("'{}1{}'", "{\"a\":".repeat(100), "}".repeat(100)));
    documents
}

/// Numbers of 1 to 17 digits around the places where the notation changes; always the same ones.
fn random_doubles() -> Vec<String> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let document = |_| {
        let numbers: Vec<String> = (0..200)
            .map(|_| {
                let digits = 1 + next() % 17;
                let number = next() % 10u64.pow(digits as u32);
                let exponent = next() % 44;
                let sign = if next() % 2 == 0 { "-" } else { "" };
                format!("{sign}{number}.0e{}", exponent as i64 - 36)
            })
            .collect();
        format!("'[{}]'", numbers.join(", "))
    };
    (0..20).map(document).collect()
}

async fn texts(server: &mut Server) -> Vec<Vec<Value<'static>>> {
    let rows: Vec<(i64, Option<String>)> = mysql_async::prelude::Queryable::query(
        &mut server.conn,
        "SELECT id, CAST(j AS CHAR) FROM t ORDER BY id",
    )
    .await
    .expect("rows");
    rows.into_iter()
        .map(|(id, text)| vec![Value::I64(id), text.map_or(Value::Null, |text| Value::Str(text.into()))])
        .collect()
}

fn afters(decoded: &Decoded) -> Vec<Vec<Value<'static>>> {
    decoded.changes.iter().map(|change| change.after.clone()).collect()
}

#[tokio::test]
async fn documents_are_printed_as_the_server_prints_them() {
    let mut server = Server::start(Kind::MySql, &["--binlog-row-metadata=FULL"]).await;
    server.run("CREATE TABLE t (id INT PRIMARY KEY, j JSON)").await;
    let start = server.position().await;
    for (id, document) in documents().iter().enumerate() {
        server.run(format!("INSERT INTO t VALUES ({id}, {document})")).await;
    }
    let end = server.position().await;
    let events = server.events_between(start.0, start.1, end).await;
    let decoded = decode_full(&events, &[]);
    let table = decoded.tables["t"].clone();
    assert_rows(&table, &afters(&decoded), &texts(&mut server).await);
}

/// Each is `JSON_...(j, ...)`, one statement after the other.
const CHANGES: &[&str] = &[
    "JSON_SET(j, '$.a', 1)",
    "JSON_SET(j, '$.a', 'a longer text than before', '$.b', CAST('[1,2,3]' AS JSON))",
    "JSON_SET(j, '$.b[0]', 9, '$.b[7]', 'appended')",
    "JSON_SET(j, '$.zz', JSON_OBJECT('x', 1.5), '$.\"quoted \\\\\" key.[0]\"', TRUE)",
    "JSON_REPLACE(j, '$.zz.x', CAST('2020-02-29' AS DATE))",
    "JSON_REMOVE(j, '$.b[1]', '$.a')",
    "JSON_REMOVE(j, '$.\"quoted \\\\\" key.[0]\"')",
    "JSON_SET(j, '$.\"ä€\"', 'ä€', '$.n', CAST('null' AS JSON))",
    "JSON_SET(j, '$.big[1].c', REPEAT('y', 300))",
    "JSON_REPLACE(j, '$.big[1].c', 'short')",
    "JSON_REPLACE(j, '$.big[0]', CAST('{\"k\": [1, {\"l\": 2}]}' AS JSON))",
    "JSON_REPLACE(j, '$.big[0].k[1].l', 3.0)",
    "JSON_SET(j, '$.aaa', 1, '$.aab', 2, '$.b2', 3)",
    "JSON_REMOVE(j, '$.big')",
];

async fn partial(server: &mut Server, image: &str) -> (Vec<Vec<Value<'static>>>, Decoded, Table) {
    server.run("DROP TABLE IF EXISTS t").await;
    server.run(format!("SET binlog_row_image = '{image}', binlog_row_value_options = 'PARTIAL_JSON'")).await;
    server.run("CREATE TABLE t (id INT PRIMARY KEY, j JSON, other JSON, k JSON)").await;
    let document = r#"{"a": 0, "b": [0], "big": [{"c": 1}, {"c": "ccccccccccccccccccccccccccccccccccccc"}, "x"], "pad": "pppppppppppppppppppppppppppppppppppppppppp"}"#;
    server.run(format!("INSERT INTO t VALUES (1, '{document}', '{{\"o\": 1}}', '{document}')")).await;
    let start = server.position().await;
    let mut wanted = Vec::new();
    for (number, change) in CHANGES.iter().enumerate() {
        let other = if number % 3 == 0 {
            format!(", other = JSON_SET(other, '$.o', {number})")
        } else {
            String::new()
        };
        let third =
            if number % 2 == 0 { format!(", k = JSON_SET(k, '$.a', {number})") } else { String::new() };
        server.run(format!("UPDATE t SET j = {change}{other}{third} WHERE id = 1")).await;
        let texts: Vec<(i64, String, String, String)> = mysql_async::prelude::Queryable::query(
            &mut server.conn,
            "SELECT id, CAST(j AS CHAR), CAST(other AS CHAR), CAST(k AS CHAR) FROM t",
        )
        .await
        .expect("a row");
        let (id, j, other, k) = texts.into_iter().next().expect("a row");
        wanted.push(vec![
            Value::I64(id),
            Value::Str(j.into()),
            Value::Str(other.into()),
            Value::Str(k.into()),
        ]);
    }
    let end = server.position().await;
    let events = server.events_between(start.0, start.1, end).await;
    let decoded = decode_full(&events, &[]);
    assert!(saw(&decoded, event_type::PARTIAL_UPDATE_ROWS));
    let table = (*decoded.tables["t"]).clone();
    (wanted, decoded, table)
}

#[tokio::test]
async fn changes_are_applied_to_the_image_before() {
    let mut server = Server::start(Kind::MySql, &["--binlog-row-metadata=FULL"]).await;
    let (wanted, decoded, table) = partial(&mut server, "FULL").await;
    assert_rows(&table, &afters(&decoded), &wanted);
    for (before, after) in decoded.changes.iter().skip(1).zip(&wanted) {
        assert_eq!(&before.before, after);
    }

    // Without the image before, the new value is not known; it is not made up.
    let (wanted, decoded, _) = partial(&mut server, "MINIMAL").await;
    assert_eq!(decoded.changes.len(), wanted.len());
    for (change, wanted) in decoded.changes.iter().zip(&wanted) {
        assert!(change.after[1] == wanted[1] || change.after[1] == Value::Absent, "{change:?}");
    }
    assert!(decoded.changes.iter().any(|change| change.after[1] == Value::Absent));
}

#[tokio::test]
async fn changes_inside_compressed_transactions() {
    let arguments = ["--binlog-row-metadata=FULL", "--binlog-transaction-compression=ON"];
    let mut server = Server::start(Kind::MySql, &arguments).await;
    let (wanted, decoded, table) = partial(&mut server, "FULL").await;
    assert!(saw(&decoded, event_type::TRANSACTION_PAYLOAD));
    assert_rows(&table, &afters(&decoded), &wanted);
}
