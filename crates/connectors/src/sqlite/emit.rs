//! Driving what was read into the record sink, each record with the position behind it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use openmessaging_connector::value::Scalar;
use openmessaging_connector::{
    EntryType, Field, Flow, Position, RecordHead, RecordSink, Result, Schema, SourcePartition, Type, Visitor,
};
use rusqlite::types::Value as Datum;

use super::group::{Group, Grouper, Image, Planned};
use super::install::Definition;
use super::position::{Place, Snapshot};
use super::read::{Change, Chunk, Op};
use super::shape::Shapes;

/// What was read and not yet given.
pub(super) struct Emitter {
    origin: Origin,
    partition: SourcePartition,
    tables: HashMap<i64, Known>,
    place: Place,
    /// `place`, as a position's base.
    base: Arc<str>,
    grouper: Grouper,
    groups: VecDeque<Group>,
    chunk: Option<Chunk>,
    /// All changes before the chunk are in `groups` or given.
    chunk_due: bool,
    chunk_at: usize,
    /// Records given since the start, and those of them which were rows of snapshots.
    pub count: u64,
    pub snapshot_rows: u64,
}

/// What the `source` of every record says.
struct Origin {
    schema: Arc<Schema>,
    connector: Arc<str>,
    file: String,
}

/// What all records of one definition share.
struct Known {
    queue: Arc<str>,
    shapes: Shapes,
}

impl Emitter {
    pub(super) fn new(connector: &Arc<str>, file: &str, partition: &SourcePartition) -> Self {
        Self {
            origin: Origin { schema: source_schema(), connector: connector.clone(), file: file.to_owned() },
            partition: partition.clone(),
            tables: HashMap::new(),
            place: Place::default(),
            base: "{}".into(),
            grouper: Grouper::default(),
            groups: VecDeque::new(),
            chunk: None,
            chunk_due: false,
            chunk_at: 0,
            count: 0,
            snapshot_rows: 0,
        }
    }

    pub(super) fn file(&self) -> &str {
        &self.origin.file
    }

    /// Goes on at another place: everything at hand is forgotten.
    pub(super) fn reset(&mut self, place: Place) {
        self.grouper.clear();
        self.groups.clear();
        self.drop_chunk();
        // Definitions are numbered anew in another database.
        if place.capture != self.place.capture {
            self.tables.clear();
        }
        self.base = place.render().into();
        self.place = place;
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Tells the place without a record.
    pub(super) fn advance(&self, out: &mut dyn RecordSink) {
        out.advance(&self.partition, Position::at(&self.base, self.place.skip));
    }

    /// Up to which change is to be read now.
    pub(super) fn upto(&self) -> Option<i64> {
        self.chunk.as_ref().map(|chunk| chunk.watermark)
    }

    /// The snapshot of which rows are to be read now.
    pub(super) fn wants_chunk(&self) -> Option<Snapshot> {
        if self.chunk.is_some() { None } else { self.place.snapshot.clone() }
    }

    /// The table of the snapshot under way.
    pub(super) fn snapshot_of(&self) -> Option<String> {
        self.place.snapshot.as_ref()?;
        let of = self.chunk.as_ref().and_then(|chunk| chunk.of.as_ref());
        Some(of.map(|of| of.table.name.clone()).unwrap_or_default())
    }

    pub(super) fn push(&mut self, changes: Vec<Change>, chunk: Option<Chunk>) {
        for change in changes {
            self.grouper.push(change, &mut self.groups);
        }
        if chunk.is_some() {
            self.chunk = chunk;
        }
    }

    /// All changes before the chunk were pushed.
    pub(super) fn reached_watermark(&mut self) {
        self.chunk_due = true;
    }

    /// All changes up to `cursor` were pushed, and there are no more.
    pub(super) fn reached_head(&mut self, cursor: i64, out: &mut dyn RecordSink) {
        self.grouper.clear();
        if self.groups.is_empty() && cursor > self.place.change {
            self.place.change = cursor;
            self.place.skip = 0;
            self.base = self.place.render().into();
            self.advance(out);
        }
    }

    /// Gives what is at hand, as long as it is wanted. A record that the sink refuses counts as given (S6).
    pub(super) fn drain(&mut self, out: &mut dyn RecordSink) -> Result<Flow> {
        while let Some(group) = self.groups.pop_front() {
            let done = self.give(&group, out);
            if self.place.change < group.change.n {
                // There is more of it to give.
                self.groups.push_front(group);
            }
            if done? == Flow::Full {
                return Ok(Flow::Full);
            }
        }
        if !self.chunk_due {
            return Ok(Flow::More);
        }
        let Some(chunk) = self.chunk.take() else { return Ok(Flow::More) };
        let done = self.give_rows(&chunk, out);
        if self.chunk_at < chunk.rows.len() {
            self.chunk = Some(chunk);
        } else {
            self.end_chunk(&chunk, out);
        }
        done
    }

    /// The records of one change, from the first that was not given.
    fn give(&mut self, group: &Group, out: &mut dyn RecordSink) -> Result<Flow> {
        let change = &group.change;
        let behind = Place { change: change.n, skip: 0, ..self.place.clone() };
        if change.op == Op::Snapshot {
            let next = Snapshot { marker: change.n, after: None };
            self.place = Place { snapshot: behind.snapshot.clone().or(Some(next)), ..behind };
            self.base = self.place.render().into();
            self.advance(out);
            return Ok(Flow::More);
        }
        let planned = group.records();
        for (at, record) in planned.iter().enumerate() {
            if (at as u64) < self.place.skip {
                continue;
            }
            let last = at + 1 == planned.len();
            if last {
                self.base = behind.render().into();
                self.place = behind.clone();
            } else {
                self.place.skip = at as u64 + 1;
            }
            self.count += 1;
            if self.record(&change.of, record, change.n, change.ts_ms, false, out)? == Flow::Full {
                return Ok(Flow::Full);
            }
        }
        // A stored position may count more records than there are: then the change is given.
        if self.place.change < change.n {
            self.base = behind.render().into();
            self.place = behind;
        }
        Ok(Flow::More)
    }

    fn give_rows(&mut self, chunk: &Chunk, out: &mut dyn RecordSink) -> Result<Flow> {
        let (Some(of), Some(snapshot)) = (&chunk.of, self.place.snapshot.clone()) else {
            return Ok(Flow::More);
        };
        while let Some((values, after)) = chunk.rows.get(self.chunk_at) {
            self.chunk_at += 1;
            self.count += 1;
            self.snapshot_rows += 1;
            self.place.snapshot = Some(Snapshot { after: Some(after.clone()), ..snapshot });
            self.base = self.place.render().into();
            let rowid = match (&of.table.rowid, after.first()) {
                (Some(_), Some(Datum::Integer(rowid))) => Some(*rowid),
                _ => None,
            };
            let image = Image { rowid, values };
            let record = Planned { entry: EntryType::Read, before: None, after: Some(image) };
            if self.record(of, &record, self.place.change, now_ms(), true, out)? == Flow::Full {
                return Ok(Flow::Full);
            }
        }
        Ok(Flow::More)
    }

    fn end_chunk(&mut self, chunk: &Chunk, out: &mut dyn RecordSink) {
        self.drop_chunk();
        if chunk.last {
            self.place.snapshot = chunk.next.map(|marker| Snapshot { marker, after: None });
            self.base = self.place.render().into();
            self.advance(out);
        }
    }

    fn drop_chunk(&mut self) {
        self.chunk = None;
        self.chunk_due = false;
        self.chunk_at = 0;
    }

    fn record(
        &mut self,
        of: &Arc<Definition>,
        record: &Planned<'_>,
        change: i64,
        ts_ms: i64,
        snapshot: bool,
        out: &mut dyn RecordSink,
    ) -> Result<Flow> {
        let source = &self.origin.schema;
        let known = self.tables.entry(of.d).or_insert_with(|| Known {
            queue: of.table.name.as_str().into(),
            shapes: Shapes::new(&of.table, source),
        });
        let images = [record.before, record.after];
        let values: Vec<&[Datum]> = images.iter().flatten().map(|image| image.values).collect();
        let shape = known.shapes.of(&values);
        out.begin(RecordHead {
            queue: &known.queue,
            queue_partition: None,
            sharding_key: None,
            entry: record.entry,
            timestamp_ms: ts_ms,
            source_partition: &self.partition,
        })?;
        if let (Some(schema), Some(row)) = (&shape.key, record.after.or(record.before)) {
            shape.key(&of.table, row.rowid, row.values, out.key(Some(schema)));
        }
        let value = out.value(Some(&shape.envelope));
        value.begin_struct(&shape.envelope);
        shape.image(record.before.map(|image| image.values), value);
        shape.image(record.after.map(|image| image.values), value);
        self.origin.visit(&known.queue, change, ts_ms, snapshot, value);
        value.scalar(Scalar::Str(record.entry.op()));
        value.scalar(Scalar::I64(now_ms()));
        value.end_struct();
        out.end(&self.base, self.place.skip)
    }
}

impl Origin {
    fn visit(&self, table: &str, change: i64, ts_ms: i64, snapshot: bool, to: &mut dyn Visitor) {
        to.begin_struct(&self.schema);
        to.scalar(Scalar::Str(env!("CARGO_PKG_VERSION")));
        to.scalar(Scalar::Str("sqlite"));
        to.scalar(Scalar::Str(&self.connector));
        to.scalar(Scalar::I64(ts_ms));
        to.scalar(Scalar::Str(if snapshot { "true" } else { "false" }));
        to.scalar(Scalar::Str(&self.file));
        to.scalar(Scalar::Str(table));
        to.scalar(Scalar::I64(change));
        to.end_struct();
    }
}

/// Where a change comes from, with the names that Debezium's connectors use: `ts_ms` is when the row was changed (of a
/// snapshot's row: read), `db` is the file, `change` the number of the change.
fn source_schema() -> Arc<Schema> {
    let text = || Schema::string();
    let number = || Schema::new(Type::Int64).shared();
    let fields = vec![
        Field::new("version", text()),
        Field::new("connector", text()),
        Field::new("name", text()),
        Field::new("ts_ms", number()),
        Field::new("snapshot", text()),
        Field::new("db", text()),
        Field::new("table", text()),
        Field::new("change", number()),
    ];
    Schema::structure("io.openmessaging.sqlite.connector.Source", fields).shared()
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
