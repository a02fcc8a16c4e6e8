//! A private server, the events of its log, and rows decoded from both ways to them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use connectors::mysql::binlog::{
    Event, EventKind, FormatDescription, Reader, ReaderOptions, RowsKind, Start, TableMap, event_type,
};
use connectors::mysql::decode::{RowPlan, RowReader, Spans, key_schema, row_schema, visit_value};
use connectors::mysql::table::{Kind, Table};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, Row};
use openmessaging_connector::{Schema, Value, ValueBuilder};
use testkit::services::{self, PrivateServer};

pub struct Server {
    pub private: PrivateServer,
    pub conn: Conn,
    pub mariadb: bool,
}

/// One row of a rows event.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub kind: RowsKind,
    pub before: Vec<Value<'static>>,
    pub after: Vec<Value<'static>>,
    pub key: Vec<Value<'static>>,
}

/// What a log told of one table.
#[derive(Debug, Default)]
pub struct Decoded {
    pub changes: Vec<Change>,
    /// Types of all events seen, those inside payloads too.
    pub types: Vec<u8>,
    pub tables: HashMap<String, Arc<Table>>,
}

pub fn options(server: &services::Server) -> Opts {
    OptsBuilder::default()
        .ip_or_hostname(server.host.clone())
        .tcp_port(server.port)
        .user(Some(server.user.clone()))
        .pass(Some(server.password.clone()))
        .prefer_socket(false)
        .into()
}

pub async fn connect(server: &services::Server) -> Conn {
    Conn::new(options(server)).await.expect("a connection")
}

impl Server {
    pub async fn start(kind: services::Kind, arguments: &[&str]) -> Self {
        let private = PrivateServer::start(kind, arguments);
        let mut conn = connect(private.server()).await;
        for statement in ["SET time_zone = '+00:00', sql_mode = ''", "CREATE DATABASE d", "USE d"] {
            conn.query_drop(statement).await.expect(statement);
        }
        Self { private, conn, mariadb: kind == services::Kind::MariaDb }
    }

    pub async fn run(&mut self, statement: impl AsRef<str>) {
        let statement = statement.as_ref();
        if let Err(error) = self.conn.query_drop(statement).await {
            panic!("{error}: {}", &statement[..statement.len().min(400)]);
        }
    }

    pub async fn position(&mut self) -> (String, u64) {
        let statement = if self.mariadb { "SHOW MASTER STATUS" } else { "SHOW BINARY LOG STATUS" };
        let row: Row = self.conn.query_first(statement).await.expect("status").expect("a row");
        (row.get(0).expect("file"), row.get(1).expect("position"))
    }

    pub async fn reader(&self, start: Start) -> Reader {
        let options = ReaderOptions {
            server_id: 4_000_000_000,
            start,
            heartbeat: Duration::from_millis(200),
            hostname: "decode test".into(),
        };
        Reader::start(connect(self.private.server()).await, options).await.expect("a reader")
    }

    /// The events that `statements` write, raw, with those before them that a reader needs.
    pub async fn events_of(&mut self, statements: &[&str]) -> Vec<Vec<u8>> {
        let (file, position) = self.position().await;
        for statement in statements {
            self.run(statement).await;
        }
        let end = self.position().await;
        self.events_between(file, position, end).await
    }

    pub async fn events_between(&self, file: String, position: u64, end: (String, u64)) -> Vec<Vec<u8>> {
        let mut current = file.clone();
        let mut reader = self.reader(Start::File { file, position }).await;
        let mut events = Vec::new();
        let mut format = FormatDescription::initial();
        loop {
            let next = tokio::time::timeout(Duration::from_secs(20), reader.next_event()).await;
            let Some(bytes) = next.expect("an event in time").expect("an event") else { break };
            events.push(bytes.to_vec());
            let event = Event::parse(bytes, &format).expect("a whole event");
            let at = u64::from(event.header.next_position);
            if current == end.0 && at >= end.1 && !event.header.is_artificial() {
                break;
            }
            match event.kind {
                EventKind::FormatDescription(new) => format = new,
                EventKind::Rotate { file, .. } => current = file.into_owned(),
                _ => {}
            }
        }
        reader.close().await;
        events
    }

    /// All rows of a table, as `SELECT` gives them through `visit_value`, in the order of its first column.
    pub async fn select(&mut self, table: &Table) -> Vec<Vec<Value<'static>>> {
        let names: Vec<String> = table.columns.iter().map(|column| format!("`{}`", column.name)).collect();
        let names = names.join(", ");
        let statement = format!("SELECT {names} FROM `{}`.`{}` ORDER BY 1", table.database, table.name);
        let rows: Vec<Row> = self.conn.exec(statement, ()).await.expect("rows");
        rows.iter()
            .map(|row| {
                let columns = table.columns.iter().enumerate();
                columns
                    .map(|(index, column)| selected(&column.kind, row.as_ref(index).expect("a value")))
                    .collect()
            })
            .collect()
    }
}

pub fn selected(kind: &Kind, value: &mysql_async::Value) -> Value<'static> {
    let mut builder = ValueBuilder::new();
    visit_value(kind, value, &mut builder).expect("a value of its kind");
    builder.take().expect("one scalar")
}

/// Decodes events. `known` gives the tracked table of a name, or else FULL metadata is demanded.
pub fn decode(events: &[Vec<u8>], known: &dyn Fn(&TableMap<'_>) -> Option<Table>) -> Decoded {
    let mut decoder = Decoder {
        known,
        format: FormatDescription::initial(),
        plans: HashMap::new(),
        out: Decoded::default(),
    };
    for bytes in events {
        let format = decoder.format.clone();
        decoder.event(bytes, &format);
    }
    decoder.out
}

/// Decodes events with FULL metadata, where `kinds` names columns whose kind only schema tracking can know.
pub fn decode_full(events: &[Vec<u8>], kinds: &[(&str, Kind)]) -> Decoded {
    decode(events, &|map| {
        let mut table = map.to_table(None).expect("FULL metadata");
        for column in &mut table.columns {
            if let Some((_, kind)) = kinds.iter().find(|(name, _)| *name == &*column.name) {
                column.kind = kind.clone();
            }
        }
        Some(map.to_table(Some(&table)).expect("FULL metadata"))
    })
}

struct Decoder<'k> {
    known: &'k dyn Fn(&TableMap<'_>) -> Option<Table>,
    format: FormatDescription,
    plans: HashMap<u64, RowPlan>,
    out: Decoded,
}

impl Decoder<'_> {
    fn event(&mut self, bytes: &[u8], format: &FormatDescription) {
        let event = Event::parse(bytes, format).expect("a whole event");
        self.out.types.push(event.header.event_type);
        match event.kind {
            EventKind::FormatDescription(format) => self.format = format,
            EventKind::TableMap(map) => {
                let table = (self.known)(&map).unwrap_or_else(|| map.to_table(None).expect("FULL metadata"));
                let table = Arc::new(table);
                self.out.tables.insert(table.name.to_string(), table.clone());
                self.plans.insert(map.table_id, RowPlan::new(&map, table).expect("a plan"));
            }
            EventKind::Rows(rows) => {
                let plan = &self.plans[&rows.table_id];
                let (mut before, mut after) = (Spans::new(), Spans::new());
                let mut reader = RowReader::new(plan, &rows);
                let schema = Arc::new(row_schema(plan.table()));
                while reader.next_row(&mut before, &mut after).expect("a row") {
                    let key_of = if rows.kind == RowsKind::Delete { &mut before } else { &mut after };
                    let key = key_values(plan, &rows.data, key_of);
                    let before = values(plan, &rows.data, &mut before, &schema);
                    let after = values(plan, &rows.data, &mut after, &schema);
                    self.out.changes.push(Change { kind: rows.kind, before, after, key });
                }
            }
            EventKind::TransactionPayload(payload) => {
                let inside = self.format.inside_payload();
                let mut events = payload.events().expect("a payload");
                while let Some(bytes) = events.next_event().expect("an event") {
                    self.event(bytes, &inside);
                }
            }
            _ => {}
        }
    }
}

fn values(plan: &RowPlan, data: &[u8], spans: &mut Spans, schema: &Arc<Schema>) -> Vec<Value<'static>> {
    let mut builder = ValueBuilder::new();
    plan.visit(data, spans, schema, &mut builder).expect("values of their types");
    match builder.take() {
        Some(Value::Struct(_, values)) => values,
        other => panic!("{other:?} is no row"),
    }
}

fn key_values(plan: &RowPlan, data: &[u8], spans: &mut Spans) -> Vec<Value<'static>> {
    let Some(schema) = key_schema(plan.table()) else { return Vec::new() };
    let mut builder = ValueBuilder::new();
    let columns = &plan.table().primary_key;
    plan.visit_columns(data, spans, columns, &Arc::new(schema), &mut builder).expect("a key");
    match builder.take() {
        Some(Value::Struct(_, values)) => values,
        other => panic!("{other:?} is no key"),
    }
}

/// Compares rows column by column, so that a difference names its column.
pub fn assert_rows(table: &Table, logged: &[Vec<Value<'static>>], selected: &[Vec<Value<'static>>]) {
    let mut differences = Vec::new();
    for (number, (logged, selected)) in logged.iter().zip(selected).enumerate() {
        for (column, (logged, selected)) in table.columns.iter().zip(logged.iter().zip(selected)) {
            if !same(logged, selected) {
                let [logged, selected] =
                    from_where_they_differ(format!("{logged:?}"), format!("{selected:?}"));
                differences
                    .push(format!("row {number} {}: logged {logged}, selected {selected}", column.name));
            }
        }
    }
    assert!(differences.is_empty(), "{} of {}:\n{}", differences.len(), table.name, differences.join("\n"));
    assert_eq!(logged.len(), selected.len(), "rows of {}", table.name);
}

fn from_where_they_differ(a: String, b: String) -> [String; 2] {
    let same = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
    [a, b].map(|text| text.chars().skip(same.saturating_sub(40)).take(120).collect())
}

/// Floats by their bits.
fn same(a: &Value<'_>, b: &Value<'_>) -> bool {
    match (a, b) {
        (Value::F32(a), Value::F32(b)) => a.to_bits() == b.to_bits(),
        (Value::F64(a), Value::F64(b)) => a.to_bits() == b.to_bits(),
        (a, b) => a == b,
    }
}

pub fn saw(decoded: &Decoded, wanted: u8) -> bool {
    decoded.types.contains(&wanted)
}

pub const COMPRESSED_ROWS: std::ops::RangeInclusive<u8> =
    event_type::WRITE_ROWS_COMPRESSED_V1..=event_type::DELETE_ROWS_COMPRESSED_V2;
