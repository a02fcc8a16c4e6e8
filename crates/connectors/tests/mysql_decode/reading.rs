//! The reader of raw events: where it starts, what it survives, and how it tells what the server refuses.

use std::time::Duration;

use connectors::mysql::binlog::{
    Event, EventKind, FormatDescription, Reader, ReaderOptions, Start, event_type,
};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use openmessaging_connector::{Error, Value};
use testkit::services::Kind;

use super::harness::{Server, connect, decode_full, options};

fn reader_options(start: Start) -> ReaderOptions {
    ReaderOptions {
        server_id: 4_000_000_001,
        start,
        heartbeat: Duration::from_millis(100),
        hostname: String::new(),
    }
}

/// The next event that is in a file, with its own bytes.
async fn next(reader: &mut Reader, format: &mut FormatDescription) -> Vec<u8> {
    loop {
        let next = tokio::time::timeout(Duration::from_secs(20), reader.next_event()).await;
        let bytes = next.expect("in time").expect("no error").expect("no end").to_vec();
        let event = Event::parse(&bytes, format).expect("a whole event");
        match event.kind {
            EventKind::FormatDescription(new) => *format = new,
            EventKind::Heartbeat { .. } | EventKind::PreviousGtids(_) | EventKind::MariaDbGtidList(_) => {}
            _ if event.header.is_artificial() => {}
            _ => return bytes,
        }
    }
}

/// What is wrong with a start, told at once or with the first event.
async fn refusal(server: &Server, conn: Conn, start: Start) -> Error {
    let mut reader = match Reader::start(conn, reader_options(start)).await {
        Ok(reader) => reader,
        Err(error) => return error,
    };
    for _ in 0..10 {
        match tokio::time::timeout(Duration::from_secs(20), reader.next_event()).await.expect("in time") {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream of {:?} ended without an error", server.mariadb),
            Err(error) => {
                assert!(reader.next_event().await.is_err(), "the reader stays failed");
                return error;
            }
        }
    }
    panic!("events came, and no error");
}

#[tokio::test]
async fn mysql_goes_on_behind_a_set_with_tags() {
    let mut server = Server::start(Kind::MySql, &["--binlog-row-metadata=FULL"]).await;
    server.run("CREATE TABLE t (id INT PRIMARY KEY)").await;
    server.run("SET gtid_next = 'AUTOMATIC:some_tag'").await;
    server.run("INSERT INTO t VALUES (1)").await;
    let executed: String =
        server.conn.query_first("SELECT @@GLOBAL.gtid_executed").await.expect("a set").expect("a row");
    assert!(executed.contains("some_tag"), "{executed}");
    server.run("INSERT INTO t VALUES (2)").await;
    server.run("SET gtid_next = 'AUTOMATIC'").await;
    server.run("INSERT INTO t VALUES (3)").await;
    let uuid: String = server.conn.query_first("SELECT @@server_uuid").await.expect("a uuid").expect("a row");

    let mut reader = server.reader(Start::MySqlGtids(executed)).await;
    let mut format = FormatDescription::initial();
    let mut gtids = Vec::new();
    let mut ids = Vec::new();
    let mut events = Vec::new();
    while ids.len() < 2 {
        let bytes = next(&mut reader, &mut format).await;
        match Event::parse(&bytes, &format).expect("an event").kind {
            EventKind::Gtid(gtid) => {
                assert!(gtid.original_commit_us > 1_600_000_000_000_000, "{gtid:?}");
                assert!(gtid.transaction_length > 100, "{gtid:?}");
                gtids.push(gtid.text());
            }
            EventKind::TableMap(_) => events = vec![format_event(&server).await, bytes],
            EventKind::Rows(_) => {
                events.push(bytes);
                ids.push(decode_full(&events, &[]).changes[0].after[0].clone());
            }
            _ => {}
        }
    }
    assert_eq!(ids, [Value::I64(2), Value::I64(3)]);
    assert_eq!(gtids[0], format!("{uuid}:some_tag:2"));
    assert!(gtids[1].starts_with(&format!("{uuid}:")) && gtids[1].matches(':').count() == 1, "{gtids:?}");

    // The list at the head of a new file has the tags, too.
    server.run("FLUSH BINARY LOGS").await;
    let (file, _) = server.position().await;
    let mut reader = server.reader(Start::File { file, position: 4 }).await;
    let mut format = FormatDescription::initial();
    let intervals = loop {
        let bytes = reader.next_event().await.expect("no error").expect("no end");
        match Event::parse(bytes, &format).expect("an event").kind {
            EventKind::FormatDescription(new) => format = new,
            EventKind::PreviousGtids(intervals) => break intervals,
            _ => {}
        }
    };
    let tagged: Vec<_> = intervals.iter().filter(|interval| interval.tag == "some_tag").collect();
    assert_eq!(tagged.len(), 1, "{intervals:?}");
    assert_eq!((tagged[0].start, tagged[0].end), (1, 3));
}

/// A format description of the server, raw.
async fn format_event(server: &Server) -> Vec<u8> {
    let mut reader = server.reader(Start::File { file: "bin.000001".into(), position: 4 }).await;
    loop {
        let bytes = reader.next_event().await.expect("no error").expect("no end");
        if bytes[4] == event_type::FORMAT_DESCRIPTION {
            return bytes.to_vec();
        }
    }
}

#[tokio::test]
async fn mariadb_goes_on_behind_a_position() {
    let mut server = Server::start(Kind::MariaDb, &["--binlog-row-metadata=FULL"]).await;
    server.run("CREATE TABLE t (id INT PRIMARY KEY)").await;
    server.run("SET gtid_domain_id = 7").await;
    server.run("INSERT INTO t VALUES (1)").await;
    let position: String =
        server.conn.query_first("SELECT @@gtid_binlog_pos").await.expect("one").expect("a row");
    server.run("INSERT INTO t VALUES (2)").await;
    server.run("ALTER TABLE t ADD n INT").await;

    let mut reader = server.reader(Start::MariaDbGtids(position)).await;
    let mut format = FormatDescription::initial();
    let (mut begun, mut committed, mut ddl) = (Vec::new(), 0, String::new());
    while ddl.is_empty() {
        let bytes = next(&mut reader, &mut format).await;
        match Event::parse(&bytes, &format).expect("an event").kind {
            EventKind::MariaDbGtid(event) => begun.push(event),
            EventKind::Xid(_) => committed += 1,
            EventKind::Query(query) if query.sql.starts_with("ALTER") => {
                assert_eq!(query.database, "d");
                assert_eq!(query.error_code, 0);
                ddl = query.sql.into_owned();
            }
            _ => {}
        }
    }
    assert_eq!((ddl.as_str(), committed, begun.len()), ("ALTER TABLE t ADD n INT", 1, 2));
    assert!(begun[0].is_transactional() && !begun[0].is_standalone());
    assert!(begun[1].is_ddl() && begun[1].is_standalone());
    assert_eq!((begun[1].gtid.domain, begun[1].gtid.sequence), (7, begun[0].gtid.sequence + 1));
}

#[tokio::test]
async fn statements_are_read_in_the_character_set_of_their_session() {
    for kind in [Kind::MariaDb, Kind::MySql] {
        let mut server = Server::start(kind, &[]).await;
        let (file, position) = server.position().await;
        // The client library speaks UTF-8; the server takes its bytes for the set it is told.
        server.run("CREATE TABLE t (id INT) COMMENT 'ä😀'").await;
        server.run("SET character_set_client = latin1").await;
        server.run("CREATE TABLE l (id INT) COMMENT 'ä'").await;
        let mut reader = server.reader(Start::File { file, position }).await;
        let mut format = FormatDescription::initial();
        let mut statements = Vec::new();
        while statements.len() < 2 {
            let bytes = next(&mut reader, &mut format).await;
            if let EventKind::Query(query) = Event::parse(&bytes, &format).expect("an event").kind {
                statements.push((query.sql.into_owned(), query.client_collation));
            }
        }
        assert_eq!(statements[0].0, "CREATE TABLE t (id INT) COMMENT 'ä😀'");
        assert_eq!(statements[1].0, "CREATE TABLE l (id INT) COMMENT 'Ã¤'");
        assert_eq!(statements[1].1, Some(8));
    }
}

#[tokio::test]
async fn idle_servers_send_heartbeats_and_cancelled_calls_lose_nothing() {
    for kind in [Kind::MariaDb, Kind::MySql] {
        let mut server = Server::start(kind, &["--binlog-row-metadata=FULL"]).await;
        server.run("CREATE TABLE t (id INT PRIMARY KEY, s LONGTEXT)").await;
        let (file, position) = server.position().await;
        let mut reader = server.reader(Start::File { file: file.clone(), position }).await;
        let writer = async {
            for id in 0..60 {
                server.run(format!("INSERT INTO t VALUES ({id}, REPEAT('x', {}))", id * 20_000)).await;
            }
            tokio::time::sleep(Duration::from_millis(600)).await;
            server.run("INSERT INTO t VALUES (100, 'last')").await;
        };
        let cancelled = std::cell::Cell::new(0);
        let read = async {
            let (mut events, mut beats, mut format) = (Vec::new(), 0, FormatDescription::initial());
            loop {
                let short = Duration::from_micros(300);
                let Ok(next) = tokio::time::timeout(short, reader.next_event()).await else {
                    cancelled.set(cancelled.get() + 1);
                    continue;
                };
                let bytes = next.expect("no error").expect("no end").to_vec();
                match Event::parse(&bytes, &format).expect("a whole event").kind {
                    EventKind::Heartbeat { file: name, .. } => {
                        assert_eq!(name, file);
                        beats += 1;
                        continue;
                    }
                    EventKind::FormatDescription(new) => format = new,
                    _ => {}
                }
                let ids = || decode_full(&events, &[]).changes.last().map(|change| change.after[0].clone());
                let commit = bytes[4] == event_type::XID;
                if !commit {
                    events.push(bytes);
                } else if ids() == Some(Value::I64(100)) {
                    return (events, beats);
                }
            }
        };
        let (_, (events, beats)) = tokio::join!(writer, read);
        assert!(beats >= 2, "{beats} heartbeats");
        assert!(cancelled.get() > 10, "{} calls cancelled", cancelled.get());
        let changes = decode_full(&events, &[]).changes;
        let lengths: Vec<usize> =
            changes.iter().map(|change| change.after[1].as_str().expect("text").len()).collect();
        let wanted: Vec<usize> = (0..60).map(|id| id * 20_000).chain([4]).collect();
        assert_eq!(lengths, wanted);
    }
}

#[tokio::test]
async fn events_larger_than_a_packet() {
    for (kind, compress) in [
        (Kind::MariaDb, "--log-bin-compress=OFF"),
        (Kind::MariaDb, "--log-bin-compress=ON"),
        (Kind::MySql, "--binlog-transaction-compression=OFF"),
        (Kind::MySql, "--binlog-transaction-compression=ON"),
    ] {
        let mut server = Server::start(kind, &["--binlog-row-metadata=FULL", compress]).await;
        let events = server
            .events_of(&[
                "CREATE TABLE t (id INT PRIMARY KEY, b LONGBLOB)",
                "INSERT INTO t VALUES (1, REPEAT('ab', 10000000))",
                "INSERT INTO t VALUES (2, RANDOM_BYTES(1000)), (3, REPEAT('c', 16777216))",
            ])
            .await;
        let changes = decode_full(&events, &[]).changes;
        let lengths: Vec<_> = changes
            .iter()
            .map(|change| match &change.after[1] {
                Value::Bytes(bytes) => bytes.len(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(lengths, [20_000_000, 1000, 16_777_216]);
    }
}

/// An update holds a row twice, so its event may be twice of what the server takes from a client.
#[tokio::test]
async fn events_larger_than_the_server_allows_statements() {
    for kind in [Kind::MariaDb, Kind::MySql] {
        let mut server =
            Server::start(kind, &["--binlog-row-metadata=FULL", "--max-allowed-packet=1048576"]).await;
        let events = server
            .events_of(&[
                "CREATE TABLE t (id INT PRIMARY KEY, s LONGTEXT)",
                "INSERT INTO t VALUES (1, REPEAT('x', 1000000))",
                "UPDATE t SET s = REPEAT('y', 1000000)",
            ])
            .await;
        let changes = decode_full(&events, &[]).changes;
        assert_eq!(changes[1].before[1].as_str().map(str::len), Some(1_000_000));
        assert_eq!(changes[1].after[1], Value::Str("y".repeat(1_000_000).into()));
    }
}

#[tokio::test]
async fn files_end_and_checksums_go_and_come() {
    for kind in [Kind::MariaDb, Kind::MySql] {
        let mut server = Server::start(kind, &["--binlog-row-metadata=FULL"]).await;
        let events = server
            .events_of(&[
                "CREATE TABLE t (id INT PRIMARY KEY)",
                "INSERT INTO t VALUES (1)",
                "SET GLOBAL binlog_checksum = 'NONE'",
                "INSERT INTO t VALUES (2)",
                "FLUSH BINARY LOGS",
                "INSERT INTO t VALUES (3)",
                "SET GLOBAL binlog_checksum = 'CRC32'",
                "INSERT INTO t VALUES (4)",
            ])
            .await;
        let decoded = decode_full(&events, &[]);
        let ids: Vec<_> = decoded.changes.iter().map(|change| change.after[0].clone()).collect();
        assert_eq!(ids, [1, 2, 3, 4].map(Value::I64));

        let mut format = FormatDescription::initial();
        let (mut checksums, mut files) = (Vec::new(), Vec::new());
        for bytes in &events {
            match Event::parse(bytes, &format).expect("an event").kind {
                EventKind::FormatDescription(new) => {
                    checksums.push(new.checksum);
                    format = new;
                }
                EventKind::Rotate { file, position } => {
                    assert!(position >= 4);
                    files.push(file.into_owned());
                }
                _ => {}
            }
        }
        files.dedup();
        assert_eq!(checksums, [true, false, false, true], "{kind:?}");
        let numbers: Vec<&str> =
            files.iter().map(|file| file.strip_prefix("bin.00000").expect("a file's name")).collect();
        let first: u32 = numbers[0].parse().expect("a number");
        let wanted: Vec<String> = (first..first + 4).map(|number| number.to_string()).collect();
        assert_eq!(numbers, wanted);
        // A flipped bit is told, with the place.
        let mut broken = events.last().expect("events").clone();
        broken[20] ^= 4;
        let error = Event::parse(&broken, &format).expect_err("an error");
        assert_eq!(error.code, "mysql.binlog_checksum");
        assert!(error.message.contains("position"), "{error}");
    }
}

#[tokio::test]
async fn a_log_that_is_gone_is_told() {
    for kind in [Kind::MariaDb, Kind::MySql] {
        let mut server = Server::start(kind, &[]).await;
        let set = if server.mariadb { "SELECT @@gtid_binlog_pos" } else { "SELECT @@GLOBAL.gtid_executed" };
        let before: String = server.conn.query_first(set).await.expect("a set").expect("a row");
        let (old, position) = server.position().await;
        server.run("CREATE TABLE t (id INT PRIMARY KEY)").await;
        server.run("FLUSH BINARY LOGS").await;
        server.run("INSERT INTO t VALUES (1)").await;
        server.run("FLUSH BINARY LOGS").await;
        let (now, _) = server.position().await;
        let address = server.private.server().clone();
        server.run(format!("PURGE BINARY LOGS TO '{now}'")).await;

        let gone = Start::File { file: old, position };
        let error = refusal(&server, connect(&address).await, gone).await;
        assert_eq!(error.code, "mysql.binlog_purged", "{error}");
        let start = if server.mariadb { Start::MariaDbGtids(before) } else { Start::MySqlGtids(before) };
        let error = refusal(&server, connect(&address).await, start).await;
        assert_eq!(error.code, "mysql.binlog_purged", "{error}");
        assert!(error.remedy.is_some());
        let beyond = Start::File { file: now.clone(), position: 999_999_999 };
        let error = refusal(&server, connect(&address).await, beyond).await;
        assert_eq!(error.code, "mysql.binlog_purged", "{error}");
        let wrong =
            if server.mariadb { Start::MariaDbGtids("0-1".into()) } else { Start::MySqlGtids("x:1".into()) };
        let error = refusal(&server, connect(&address).await, wrong).await;
        assert_eq!(error.code, "mysql.gtid_malformed", "{error}");
    }
}

#[tokio::test]
async fn a_user_without_the_right_and_a_server_without_log_are_told() {
    for kind in [Kind::MariaDb, Kind::MySql] {
        let mut server = Server::start(kind, &[]).await;
        server.run("CREATE USER poor@'%' IDENTIFIED BY 'secret-pw'").await;
        let opts = OptsBuilder::from_opts(options(server.private.server()))
            .user(Some("poor"))
            .pass(Some("secret-pw"));
        let conn = Conn::new(opts).await.expect("a connection");
        let (file, position) = server.position().await;
        let error = refusal(&server, conn, Start::File { file, position }).await;
        assert_eq!(error.code, "mysql.access_denied", "{error}");
        assert!(!error.to_string().contains("secret-pw"));

        let server = Server::start(kind, &["--skip-log-bin"]).await;
        let conn = connect(server.private.server()).await;
        let start = Start::File { file: String::new(), position: 4 };
        let error = refusal(&server, conn, start).await;
        assert_eq!(error.code, "mysql.binlog_off", "{error}");
    }
}

#[tokio::test]
async fn a_server_that_dies_is_worth_trying_again() {
    for kind in [Kind::MariaDb, Kind::MySql] {
        let mut server = Server::start(kind, &[]).await;
        let (file, position) = server.position().await;
        let mut reader = server.reader(Start::File { file, position }).await;
        reader.next_event().await.expect("no error").expect("no end");
        server.private.kill();
        let error = loop {
            match tokio::time::timeout(Duration::from_secs(20), reader.next_event()).await.expect("in time") {
                Ok(Some(_)) => {}
                Ok(None) => panic!("an end without an error"),
                Err(error) => break error,
            }
        };
        assert_eq!((error.code, error.is_retriable()), ("mysql.connection", true), "{error}");
    }
}

#[tokio::test]
async fn xa_transactions() {
    for kind in [Kind::MariaDb, Kind::MySql] {
        let mut server = Server::start(kind, &["--binlog-row-metadata=FULL"]).await;
        let events = server
            .events_of(&[
                "CREATE TABLE t (id INT PRIMARY KEY)",
                "XA START 'x'",
                "INSERT INTO t VALUES (1)",
                "XA END 'x'",
                "XA PREPARE 'x'",
                "XA COMMIT 'x'",
                "XA START 'y'",
                "INSERT INTO t VALUES (2)",
                "XA END 'y'",
                "XA COMMIT 'y' ONE PHASE",
            ])
            .await;
        let mut format = FormatDescription::initial();
        let mut phases = Vec::new();
        for bytes in &events {
            match Event::parse(bytes, &format).expect("an event").kind {
                EventKind::FormatDescription(new) => format = new,
                EventKind::XaPrepare { one_phase } => phases.push(one_phase),
                EventKind::MariaDbGtid(event) if event.is_completed_xa() => phases.push(true),
                _ => {}
            }
        }
        assert_eq!(phases.first(), Some(&false), "{kind:?} {phases:?}");
        assert_eq!(decode_full(&events, &[]).changes.len(), 2);
    }
}
