//! Every column type with its edge values.

use connectors::mysql::table::Kind;
use openmessaging_connector::Value;
use testkit::services;

use super::harness::{Server, assert_rows, decode_full};

/// Column name, definition, values.
type Column = (&'static str, &'static str, &'static [&'static str]);

const COMMON: &[Column] = &[
    ("c_tiny", "TINYINT", &["-128", "127", "0", "-1"]),
    ("c_tiny_u", "TINYINT UNSIGNED", &["0", "255"]),
    ("c_bool", "BOOLEAN", &["TRUE", "FALSE"]),
    ("c_small", "SMALLINT", &["-32768", "32767", "-1"]),
    ("c_small_u", "SMALLINT UNSIGNED ZEROFILL", &["0", "65535"]),
    ("c_medium", "MEDIUMINT", &["-8388608", "8388607", "-70000", "-1"]),
    ("c_medium_u", "MEDIUMINT UNSIGNED", &["0", "16777215", "8388608"]),
    ("c_year", "YEAR", &["1901", "2155", "0", "2026", "'0000'"]),
    ("c_int", "INT", &["-2147483648", "2147483647", "-1"]),
    ("c_int_u", "INT UNSIGNED", &["0", "4294967295"]),
    ("c_big", "BIGINT", &["-9223372036854775808", "9223372036854775807", "-1"]),
    ("c_big_u", "BIGINT UNSIGNED", &["0", "18446744073709551615", "9223372036854775808"]),
    ("c_float", "FLOAT", &["0", "-1.5", "3.4028234e38", "1.1754944e-38", "0.1"]),
    (
        "c_double",
        "DOUBLE",
        &["0", "-1.5", "1.7976931348623157e308", "2.2250738585072014e-308", "0.1", "-0e0"],
    ),
    ("c_double_m", "DOUBLE(10,3) UNSIGNED", &["0", "1234.5678"]),
    ("c_dec", "DECIMAL(10,2)", &["0", "-1.10", "99999999.99", "-99999999.99", "0.01", "-0.00"]),
    (
        "c_dec_big",
        "DECIMAL(65,30)",
        &[
            "99999999999999999999999999999999999.999999999999999999999999999999",
            "-99999999999999999999999999999999999.999999999999999999999999999999",
            "0.000000000000000000000000000001",
            "-1",
            "0",
        ],
    ),
    ("c_dec_int", "DECIMAL(18,0)", &["999999999999999999", "-1", "0", "1000000000"]),
    ("c_dec_frac", "DECIMAL(9,9)", &["0.123456789", "-0.000000001"]),
    ("c_bit1", "BIT(1)", &["b'0'", "b'1'"]),
    ("c_bit8", "BIT(8)", &["b'0'", "b'11111111'"]),
    ("c_bit9", "BIT(9)", &["b'100000001'", "b'1'"]),
    ("c_bit64", "BIT(64)", &["0", "18446744073709551615", "1"]),
    (
        "c_date",
        "DATE",
        &[
            "'1000-01-01'",
            "'9999-12-31'",
            "'0000-00-00'",
            "'2020-00-00'",
            "'2020-02-00'",
            "'1969-12-31'",
            "'0001-01-01'",
        ],
    ),
    ("c_time", "TIME", &["'-838:59:59'", "'838:59:59'", "'00:00:00'", "'-00:00:01'"]),
    ("c_time1", "TIME(1)", &["'-838:59:58.9'", "'-00:00:00.1'", "'12:34:56.7'"]),
    ("c_time2", "TIME(2)", &["'-00:00:00.01'", "'-12:34:56.78'", "'01:00:00.99'"]),
    ("c_time3", "TIME(3)", &["'-00:00:00.001'", "'-00:00:01.999'", "'838:59:58.999'"]),
    ("c_time4", "TIME(4)", &["'-00:00:00.0001'", "'-01:02:03.9999'"]),
    (
        "c_time6",
        "TIME(6)",
        &["'-00:00:00.000001'", "'-838:59:58.999999'", "'00:00:00.999999'", "'-00:00:00.5'"],
    ),
    (
        "c_datetime",
        "DATETIME",
        &[
            "'1000-01-01 00:00:00'",
            "'9999-12-31 23:59:59'",
            "'0000-00-00 00:00:00'",
            "'2020-00-01 00:00:00'",
            "'1969-12-31 23:59:59'",
        ],
    ),
    ("c_datetime3", "DATETIME(3)", &["'2020-02-29 12:34:56.789'", "'1969-12-31 23:59:59.999'"]),
    ("c_datetime6", "DATETIME(6)", &["'9999-12-31 23:59:59.999999'", "'1000-01-01 00:00:00.000001'"]),
    (
        "c_ts",
        "TIMESTAMP NULL",
        &["'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'", "'0000-00-00 00:00:00'", "'2026-11-22 17:00:00'"],
    ),
    ("c_ts2", "TIMESTAMP(2) NULL", &["'1970-01-01 00:00:01.25'", "'2038-01-19 03:14:07.99'"]),
    ("c_ts6", "TIMESTAMP(6) NULL", &["'2026-11-22 17:00:00.123456'", "'0000-00-00 00:00:00'"]),
    ("c_char", "CHAR(10) CHARACTER SET utf8mb4", &["'a'", "''", "'trail  '", "'äöü€😀'"]),
    ("c_char255", "CHAR(255) CHARACTER SET utf8mb4", &["REPEAT('😀', 255)", "'x'"]),
    ("c_char100", "CHAR(100) CHARACTER SET utf8mb4", &["REPEAT('é', 100)", "''"]),
    ("c_varchar", "VARCHAR(20) CHARACTER SET latin1", &["'é€ÿ'", "''", "'trail  '"]),
    (
        "c_varchar_long",
        "VARCHAR(3000) CHARACTER SET utf8mb4",
        &["REPEAT('x', 3000)", "REPEAT('é', 128)", "'x'"],
    ),
    ("c_tinytext", "TINYTEXT", &["'tiny'", "REPEAT('t', 255)"]),
    ("c_text", "TEXT", &["'text'", "REPEAT('é', 1000)"]),
    ("c_mediumtext", "MEDIUMTEXT", &["REPEAT('m', 70000)", "''"]),
    ("c_longtext", "LONGTEXT", &["REPEAT('l', 70000)", "'😀'"]),
    ("c_binary", "BINARY(5)", &["'ab'", "x'0000000000'", "x'6100620000'", "'12345'"]),
    ("c_binary255", "BINARY(255)", &["x'00'", "REPEAT(x'ff', 255)"]),
    ("c_varbinary", "VARBINARY(300)", &["x'00ff00'", "''", "REPEAT(x'80', 300)"]),
    ("c_tinyblob", "TINYBLOB", &["x'00'", "REPEAT(x'fe', 255)"]),
    ("c_blob", "BLOB", &["x'00ff'", "REPEAT(x'00', 65535)"]),
    ("c_mediumblob", "MEDIUMBLOB", &["REPEAT(x'01', 65536)", "''"]),
    ("c_longblob", "LONGBLOB", &["x'0102'", "''"]),
    (
        "c_enum",
        "ENUM('a', 'b,c', 'it''s', 'ä€', '\"q\"')",
        &["'a'", "'b,c'", "'it''s'", "'ä€'", "'\"q\"'", "'not there'"],
    ),
    ("c_enum_latin", "ENUM('ä', 'ö') CHARACTER SET latin1", &["'ä'", "'ö'"]),
    ("c_set", "SET('a', 'b', 'it''s', 'ä')", &["''", "'a'", "'a,it''s,ä'", "'b,a'"]),
    ("c_geometry", "GEOMETRY", &["ST_GeomFromText('POINT(1 2)')", "ST_GeomFromText('LINESTRING(0 0,1 1)')"]),
    ("c_point", "POINT", &["ST_GeomFromText('POINT(-1.5 2.25)', 4326)"]),
    ("c_json", "JSON", &["'{\"a\": 1}'", "'[]'", "'null'"]),
];

const MARIADB: &[Column] = &[
    (
        "c_uuid",
        "UUID",
        &[
            "'123e4567-e89b-12d3-a456-426655440000'",
            "'00000000-0000-0000-0000-000000000000'",
            "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
            "'01890a5d-ac96-774b-bcce-b302099a8057'",
            "'d9428888-122b-11e1-b85c-61cd3cbb3210'",
            "'f47ac10b-58cc-4372-a567-0e02b2c3d479'",
            "'00000000-0000-1000-8000-000000000001'",
            "'11223344-5566-7788-99aa-bbccddeeff00'",
            "'11223344-5566-5788-0000-bbccddeeff00'",
            "'11223344-5566-0788-99aa-bbccddeeff00'",
            "'11223344-5566-8788-79aa-bbccddeeff00'",
        ],
    ),
    ("c_inet4", "INET4", &["'1.2.3.4'", "'255.255.255.255'", "'0.0.0.0'", "'10.0.0.0'"]),
    (
        "c_inet6",
        "INET6",
        &[
            "'::'",
            "'2001:db8::1'",
            "'::ffff:1.2.3.4'",
            "'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'",
            "'fe80::'",
            "'1:2:3:4:5:6:7:0'",
            "'::1.2.3.4'",
            "'1::2:0:0:3'",
        ],
    ),
    ("c_compressed", "TEXT COMPRESSED", &["''", "'short'", "REPEAT('compressible ', 5000)"]),
    ("c_vcompressed", "VARCHAR(2000) COMPRESSED", &["''", "'é'", "REPEAT('é', 1000)"]),
    ("c_bcompressed", "MEDIUMBLOB COMPRESSED", &["x'00'", "REPEAT(x'00ff', 40000)"]),
    ("c_bvcompressed", "VARBINARY(2000) COMPRESSED", &["x'00'", "REPEAT(x'ab', 1500)"]),
];

const MYSQL: &[Column] = &[
    ("c_vector", "VECTOR(3)", &["TO_VECTOR('[1,2.5,-3]')"]),
    ("c_geometrycollection", "GEOMETRYCOLLECTION", &["ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1))')"]),
    ("c_multipolygon", "MULTIPOLYGON", &["ST_GeomFromText('MULTIPOLYGON(((0 0,0 1,1 1,0 0)))')"]),
];

/// What the log cannot tell and schema tracking does.
pub fn tracked_kinds(mariadb: bool) -> Vec<(&'static str, Kind)> {
    match mariadb {
        true => vec![
            ("c_uuid", Kind::Uuid),
            ("c_inet4", Kind::Inet { bytes: 4 }),
            ("c_inet6", Kind::Inet { bytes: 16 }),
            ("c_json", Kind::Json),
        ],
        false => vec![],
    }
}

/// The statements that create and fill the table of all types.
pub fn statements(mariadb: bool) -> [String; 2] {
    filled(mariadb, |_| true)
}

/// The same without values that take long to spell out.
pub fn short_statements(mariadb: bool) -> [String; 2] {
    filled(mariadb, |value| !value.starts_with("REPEAT"))
}

fn filled(mariadb: bool, wanted: impl Fn(&str) -> bool) -> [String; 2] {
    let columns: Vec<&Column> = COMMON.iter().chain(if mariadb { MARIADB } else { MYSQL }).collect();
    let definitions: String =
        columns.iter().map(|(name, definition, _)| format!(", {name} {definition}")).collect();
    let rows = columns.iter().map(|(_, _, values)| values.len()).max().unwrap_or(0);
    let mut lists = vec![format!("(1{})", ", NULL".repeat(columns.len()))];
    for row in 0..rows {
        let mut list = format!("({}", row + 2);
        for (_, _, values) in &columns {
            let values: Vec<&&str> = values.iter().filter(|value| wanted(value)).collect();
            list += ", ";
            list += values[row % values.len()];
        }
        lists.push(list + ")");
    }
    [
        format!(
            "CREATE TABLE t (id INT NOT NULL PRIMARY KEY{definitions}) ROW_FORMAT=DYNAMIC CHARACTER SET utf8mb4"
        ),
        format!("INSERT INTO t VALUES {}", lists.join(", ")),
    ]
}

async fn every_type(server: &mut Server) {
    let mariadb = server.mariadb;
    let [create, insert] = statements(mariadb);
    let events = server
        .events_of(&[&create, &insert, "UPDATE t SET id = id + 1000", "DELETE FROM t WHERE id = 1001"])
        .await;
    let decoded = decode_full(&events, &tracked_kinds(mariadb));
    let table = decoded.tables["t"].clone();
    let mut selected = server.select(&table).await;
    assert!(selected.len() > 5);

    let rows = selected.len() + 1;
    let (inserts, rest) = decoded.changes.split_at(rows);
    let (updates, deletes) = rest.split_at(rows);
    assert_eq!(deletes.len(), 1);
    let after: Vec<_> = updates.iter().skip(1).map(|change| change.after.clone()).collect();
    assert_rows(&table, &after, &selected);
    let before: Vec<_> = updates.iter().skip(1).map(|change| change.before.clone()).collect();
    for row in &mut selected {
        let Value::I64(id) = row[0] else { panic!("{:?} is no id", row[0]) };
        row[0] = Value::I64(id - 1000);
    }
    assert_rows(&table, &before, &selected);
    let inserted: Vec<_> = inserts.iter().skip(1).map(|change| change.after.clone()).collect();
    assert_rows(&table, &inserted, &selected);
    assert_eq!(deletes[0].before[0], Value::I64(1001));
    assert!(deletes[0].before[1..].iter().all(Value::is_null));
    assert_eq!(deletes[0].key, [Value::I64(1001)]);
    assert!(deletes[0].after.iter().all(|value| *value == Value::Absent));
}

#[tokio::test]
async fn mariadb_every_type_with_full_metadata() {
    let mut server = Server::start(services::Kind::MariaDb, &["--binlog-row-metadata=FULL"]).await;
    every_type(&mut server).await;
}

#[tokio::test]
async fn mysql_every_type_with_full_metadata() {
    let mut server = Server::start(services::Kind::MySql, &["--binlog-row-metadata=FULL"]).await;
    every_type(&mut server).await;
}

#[tokio::test]
async fn mariadb_with_compressed_events() {
    let arguments = ["--binlog-row-metadata=FULL", "--log-bin-compress=ON", "--log-bin-compress-min-len=10"];
    let mut server = Server::start(services::Kind::MariaDb, &arguments).await;
    every_type(&mut server).await;
}

#[tokio::test]
async fn mariadb_with_its_temporal_formats_before_10_1() {
    let arguments = ["--binlog-row-metadata=FULL", "--mysql56-temporal-format=OFF"];
    let mut server = Server::start(services::Kind::MariaDb, &arguments).await;
    // The log does not tell the digits of these: schema tracking does.
    let kinds: Vec<(String, Kind)> = (0..=6u8)
        .flat_map(|fsp| {
            [
                (format!("c_time{fsp}"), Kind::Time { fsp }),
                (format!("c_datetime{fsp}"), Kind::DateTime { fsp }),
                (format!("c_ts{fsp}"), Kind::Timestamp { fsp }),
            ]
        })
        .collect();
    let kinds: Vec<(&str, Kind)> = kinds.iter().map(|(name, kind)| (name.as_str(), kind.clone())).collect();
    let columns: String = (0..=6)
        .map(|fsp| {
            format!(
                ", c_time{fsp} TIME({fsp}), c_datetime{fsp} DATETIME({fsp}), c_ts{fsp} TIMESTAMP({fsp}) NULL"
            )
        })
        .collect();
    let row = |id: u8, time: &str, date: &str| {
        format!("({id}{})", format!(", '{time}', '{date}', '{date}'").repeat(7))
    };
    let insert = format!(
        "INSERT INTO t VALUES {}, {}, {}, {}",
        row(1, "-838:59:58.999999", "2038-01-19 03:14:06.999999"),
        row(2, "-00:00:00.123456", "1970-01-01 00:00:01.654321"),
        row(3, "838:59:58.999999", "0000-00-00 00:00:00"),
        row(4, "00:00:00", "2026-11-22 17:46:40.5"),
    );
    let events = server.events_of(&[&format!("CREATE TABLE t (id INT PRIMARY KEY{columns})"), &insert]).await;
    let decoded = super::harness::decode(&events, &|map| {
        let mut table = map.to_table(None).expect("FULL metadata");
        for column in &mut table.columns {
            if let Some((_, kind)) = kinds.iter().find(|(name, _)| *name == &*column.name) {
                column.kind = kind.clone();
            }
        }
        Some(table)
    });
    let table = decoded.tables["t"].clone();
    let selected = server.select(&table).await;
    let logged: Vec<_> = decoded.changes.iter().map(|change| change.after.clone()).collect();
    assert_rows(&table, &logged, &selected);
}
