//! Damaged and hostile bytes: every parser answers with a value or an error, never with a panic, and soon.
//!
//! The events are real ones, kept in `fixtures/`: whole events one after the other, as the servers sent them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use connectors::mysql::binlog::{Event, EventKind, FormatDescription, Rows, TableMap};
use connectors::mysql::decode::{RowPlan, RowReader, Spans, decode_text, row_schema};
use openmessaging_connector::ValueBuilder;
use proptest::prelude::*;
use testkit::services::Kind;

use super::harness::{Decoded, Server, decode_full};
use super::types;

const HEADER: usize = 19;

fn file(kind: Kind) -> PathBuf {
    let name = format!("tests/mysql_decode/fixtures/{}.events", kind.name());
    PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").expect("a cargo test")).join(name)
}

fn split(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut events = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let size = u32::from_le_bytes(rest[9..13].try_into().expect("a header")) as usize;
        let (event, after) = rest.split_at(size);
        events.push(event.to_vec());
        rest = after;
    }
    events
}

fn fixture(kind: Kind) -> Vec<Vec<u8>> {
    let file = file(kind);
    split(&std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())))
}

/// Statements whose events reach every parser.
fn statements(mariadb: bool) -> Vec<String> {
    let [create, insert] = types::short_statements(mariadb);
    let mut all =
        vec![create, insert, "UPDATE t SET id = id + 100".into(), "DELETE FROM t WHERE id = 101".into()];
    let special: &[&str] = match mariadb {
        true => &[
            "SET GLOBAL log_bin_compress = ON, GLOBAL log_bin_compress_min_len = 10",
            "UPDATE t SET id = id + 100",
            "ALTER TABLE t COMMENT 'a comment that is worth compressing, compressing, compressing'",
            "SET GLOBAL log_bin_compress = OFF",
        ],
        false => &[
            "SET binlog_row_value_options = 'PARTIAL_JSON'",
            "UPDATE t SET c_json = JSON_SET(c_json, '$.a', 2) WHERE JSON_TYPE(c_json) = 'OBJECT'",
            "SET binlog_transaction_compression = ON",
            "UPDATE t SET id = id + 100",
            "SET gtid_next = 'AUTOMATIC:tag'",
            "DELETE FROM t WHERE id = 202",
        ],
    };
    all.extend(special.iter().map(|statement| statement.to_string()));
    all
}

fn decoded(events: &[Vec<u8>], kind: Kind) -> Decoded {
    decode_full(events, &types::tracked_kinds(kind == Kind::MariaDb))
}

/// The kept events decode to what the servers log today. `OMS_WRITE_FIXTURES=1` keeps today's instead.
#[tokio::test]
async fn kept_events_are_those_of_the_servers() {
    for kind in [Kind::MariaDb, Kind::MySql] {
        let mut server = Server::start(kind, &["--binlog-row-metadata=FULL"]).await;
        let statements = statements(server.mariadb);
        let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
        let events = server.events_of(&statements).await;
        if std::env::var_os("OMS_WRITE_FIXTURES").is_some() {
            std::fs::write(file(kind), events.concat()).expect("written");
        }
        let (kept, now) = (decoded(&fixture(kind), kind), decoded(&events, kind));
        assert_eq!(kept.changes, now.changes);
        assert!(kept.changes.len() > 20);
    }
}

/// Does with an event all that a connector may do with it.
struct Victim {
    format: FormatDescription,
    plans: HashMap<u64, Arc<RowPlan>>,
    kinds: Vec<(&'static str, connectors::mysql::table::Kind)>,
}

impl Victim {
    fn new(mariadb: bool) -> Self {
        Self {
            format: FormatDescription::initial(),
            plans: HashMap::new(),
            kinds: types::tracked_kinds(mariadb),
        }
    }

    fn event(&mut self, bytes: &[u8], format: &FormatDescription) {
        let Ok(event) = Event::parse(bytes, format) else { return };
        match event.kind {
            EventKind::FormatDescription(format) => self.format = format,
            EventKind::TableMap(map) => self.map(&map),
            EventKind::Rows(rows) => {
                if let Some(plan) = self.plans.get(&rows.table_id).or(self.plans.values().next()) {
                    rows_of(plan, &rows);
                }
            }
            EventKind::TransactionPayload(payload) => {
                let Ok(mut events) = payload.events() else { return };
                let inside = self.format.inside_payload();
                while let Ok(Some(bytes)) = events.next_event() {
                    self.event(bytes, &inside);
                }
            }
            _ => {}
        }
    }

    fn map(&mut self, map: &TableMap<'_>) {
        let Ok(mut table) = map.to_table(None) else { return };
        for column in &mut table.columns {
            if let Some((_, kind)) = self.kinds.iter().find(|(name, _)| *name == &*column.name) {
                column.kind = kind.clone();
            }
        }
        let Ok(table) = map.to_table(Some(&table)) else { return };
        if let Ok(plan) = RowPlan::new(map, Arc::new(table)) {
            self.plans.insert(map.table_id, Arc::new(plan));
        }
    }
}

fn rows_of(plan: &RowPlan, rows: &Rows<'_>) {
    let schema = Arc::new(row_schema(plan.table()));
    let (mut before, mut after) = (Spans::new(), Spans::new());
    let mut reader = RowReader::new(plan, rows);
    while reader.next_row(&mut before, &mut after).is_ok_and(|more| more) {
        for spans in [&mut before, &mut after] {
            let mut builder = ValueBuilder::new();
            let result = plan.visit(&rows.data, spans, &schema, &mut builder);
            // An error or not, the visitor has got one whole struct.
            let value = builder.take().unwrap_or_else(|| panic!("{result:?} and no value"));
            assert!(
                matches!(value, openmessaging_connector::Value::Struct(_, values) if values.len() == plan.table().columns.len())
            );
        }
    }
}

/// An event without its checksum, and its length put right: what a careful attacker sends.
fn with_right_length(mut event: Vec<u8>) -> Vec<u8> {
    if event.len() >= HEADER {
        let size = event.len() as u32;
        event[9..13].copy_from_slice(&size.to_le_bytes());
    }
    event
}

fn plain_events(kind: Kind) -> &'static [Vec<u8>] {
    static MARIADB: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| without_checksums(Kind::MariaDb));
    static MYSQL: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| without_checksums(Kind::MySql));
    if kind == Kind::MariaDb { &MARIADB } else { &MYSQL }
}

fn without_checksums(kind: Kind) -> Vec<Vec<u8>> {
    let mut events = fixture(kind);
    for event in events.iter_mut().filter(|event| event[4] != 15) {
        event.truncate(event.len() - 4);
        *event = with_right_length(std::mem::take(event));
    }
    events
}

/// The victim has seen all events up to the one that is damaged, undamaged.
fn attack(kind: Kind, events: &[Vec<u8>], target: usize, damaged: &[u8]) {
    let mut victim = Victim::new(kind == Kind::MariaDb);
    let format = FormatDescription::initial();
    // The last table map before the target is the one that it needs.
    let map = events[..target].iter().rposition(|event| event[4] == 19);
    let description = events.iter().position(|event| event[4] == 15).expect("a format description");
    for event in [Some(description), map].into_iter().flatten() {
        victim.event(&events[event], &format);
    }
    victim.event(damaged, &format);
    let rows =
        events[target..].iter().find(|event| (23..=25).contains(&event[4]) || (30..=32).contains(&event[4]));
    if let Some(rows) = rows {
        victim.event(rows, &format);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bits_of_real_events(
        mariadb in any::<bool>(), target in any::<prop::sample::Index>(), flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..6),
    ) {
        let kind = if mariadb { Kind::MariaDb } else { Kind::MySql };
        let events = plain_events(kind);
        let target = target.index(events.len());
        let mut damaged = events[target].clone();
        for (at, bit) in flips {
            // Not the type nor the length, or else all that is tried is those.
            let at = HEADER + at.index(damaged.len() - HEADER);
            damaged[at] ^= 1 << bit;
        }
        attack(kind, events, target, &damaged);
    }

    #[test]
    fn replaced_and_missing_bytes_of_real_events(
        mariadb in any::<bool>(), target in any::<prop::sample::Index>(), from in any::<prop::sample::Index>(),
        removed in 0usize..12, inserted in prop::collection::vec(prop_oneof![Just(0u8), Just(255), Just(252), Just(254), any::<u8>()], 0..12),
        end in any::<Option<prop::sample::Index>>(),
    ) {
        let kind = if mariadb { Kind::MariaDb } else { Kind::MySql };
        let events = plain_events(kind);
        let target = target.index(events.len());
        let mut damaged = events[target].clone();
        let from = HEADER + from.index(damaged.len() - HEADER);
        damaged.splice(from..damaged.len().min(from + removed), inserted);
        if let Some(end) = end {
            damaged.truncate(HEADER + end.index(damaged.len() - HEADER + 1));
        }
        attack(kind, events, target, &with_right_length(damaged));
    }

    #[test]
    fn any_bytes_of_any_type(mariadb in any::<bool>(), event_type in any::<u8>(), body in prop::collection::vec(any::<u8>(), 0..300)) {
        let kind = if mariadb { Kind::MariaDb } else { Kind::MySql };
        let events = plain_events(kind);
        let mut event = vec![0; HEADER];
        event[4] = event_type;
        event.extend(body);
        attack(kind, events, events.len() - 1, &with_right_length(event));
    }

    #[test]
    fn any_text(bytes in prop::collection::vec(any::<u8>(), 0..200), charset in "[a-z0-9]{0,8}") {
        decode_text(&charset, &bytes);
    }
}
