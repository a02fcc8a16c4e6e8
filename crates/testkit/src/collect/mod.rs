//! A [`RecordSink`] that keeps every record whole, and watches that the source keeps to the rules of the trait and
//! of S12.

mod checked;
mod fits;

use std::collections::HashMap;
use std::sync::Arc;

use openmessaging_connector::{
    EntryType, Error, Flow, Position, RecordHead, RecordSink, Result, Schema, SourcePartition, Value, Visitor,
};

use checked::Checked;
pub use fits::{fits, same_shape};

/// A record as it was driven into the sink.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub queue: Arc<str>,
    pub queue_partition: Option<u32>,
    pub sharding_key: Option<Vec<u8>>,
    pub entry: EntryType,
    pub timestamp_ms: i64,
    pub partition: SourcePartition,
    pub headers: Vec<(String, Vec<u8>)>,
    pub key_schema: Option<Arc<Schema>>,
    /// `None` where the record has no key.
    pub key: Option<Value<'static>>,
    pub value_schema: Option<Arc<Schema>>,
    /// `None` for a tombstone.
    pub value: Option<Value<'static>>,
    /// From where reading goes on after this record.
    pub position: Position,
}

impl Record {
    /// The member of the value (an envelope's `after`) at the path, where it is there.
    pub fn at(&self, path: &[&str]) -> Option<&Value<'static>> {
        path.iter().try_fold(self.value.as_ref()?, |value, name| value.field(name))
    }
}

/// So many schemas of one shape are taken for those of a table's versions.
const VERSIONS: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Idle,
    Begun,
    Keyed,
    Valued,
}

/// Collects records. `Flow::Full` comes when a batch has `limit` of them; call [`begin_batch`](Self::begin_batch)
/// before each poll.
#[derive(Debug)]
pub struct Collected {
    pub records: Vec<Record>,
    /// Positions moved without a record.
    pub advances: Vec<(SourcePartition, Position)>,
    /// What the source did against the rules; see [`assert_clean`](Self::assert_clean).
    pub violations: Vec<String>,
    limit: usize,
    keep: bool,
    refuse: Option<usize>,
    in_batch: usize,
    total: usize,
    latest: HashMap<SourcePartition, Position>,
    shapes: Vec<Arc<Schema>>,
    stage: Stage,
    open: Option<Record>,
    key: Checked,
    value: Checked,
}

impl Default for Collected {
    fn default() -> Self {
        Self::new(usize::MAX)
    }
}

impl Collected {
    /// `limit`: records in a batch, at least 1.
    pub fn new(limit: usize) -> Self {
        Self {
            records: Vec::new(),
            advances: Vec::new(),
            violations: Vec::new(),
            limit,
            keep: true,
            refuse: None,
            in_batch: 0,
            total: 0,
            latest: HashMap::new(),
            shapes: Vec::new(),
            stage: Stage::Idle,
            open: None,
            key: Checked::default(),
            value: Checked::default(),
        }
    }

    /// Counts records and checks them, but does not keep them: for loads.
    pub fn counting(limit: usize) -> Self {
        Self { keep: false, ..Self::new(limit) }
    }

    /// The record with this number (from 0, counted over all batches) is refused by `end`, once.
    pub fn refuse(&mut self, number: usize) {
        self.refuse = Some(number);
    }

    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// The next batch starts. An unfinished record of the batch before is thrown away.
    pub fn begin_batch(&mut self) {
        self.in_batch = 0;
        self.stage = Stage::Idle;
        self.open = None;
    }

    /// Records in the batch at hand.
    pub fn in_batch(&self) -> usize {
        self.in_batch
    }

    /// Records ended since the start, kept or not.
    pub fn total(&self) -> usize {
        self.total
    }

    /// The last position of each partition, by record or by advance: what the runtime would commit.
    pub fn positions(&self) -> HashMap<SourcePartition, Position> {
        self.latest.clone()
    }

    /// # Panics
    /// When a rule was broken, listing how.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert!(self.violations.is_empty(), "rules broken by the source (S12): {:#?}", self.violations);
    }

    fn violation(&mut self, what: impl Into<String>) {
        // The first ones tell enough; a broken source must not fill the memory.
        if self.violations.len() < 20 {
            self.violations.push(what.into());
        }
    }

    /// S12: a schema is shared by all records of its shape. A table that was altered may have another of the same
    /// shape (a key that stayed as it was), so some are let pass.
    fn share(&mut self, schema: &Arc<Schema>) {
        if self.shapes.iter().any(|known| Arc::ptr_eq(known, schema)) {
            return;
        }
        let same = self.shapes.iter().filter(|known| *known == schema).count();
        if same >= VERSIONS && !schema.fields().is_empty() {
            self.violation(format!("schema {:?} is made anew for records of the same shape", schema.name));
        }
        if self.shapes.len() < 1000 {
            self.shapes.push(schema.clone());
        }
    }

    /// The visited value and its schema, held against each other.
    fn settle(
        &mut self,
        what: &str,
        declared: Option<Arc<Schema>>,
        visited: std::result::Result<Value<'static>, String>,
    ) -> (Option<Arc<Schema>>, Option<Value<'static>>) {
        let value = match visited {
            Ok(value) => value,
            Err(error) => {
                self.violation(format!("{what}: {error}"));
                return (declared, None);
            }
        };
        let schema = match (&value, declared) {
            (_, Some(schema)) => Some(schema),
            (Value::Struct(own, _), None) => Some(own.clone()),
            (_, None) => None,
        };
        match &schema {
            None => self.violation(format!("{what}: {value:?} is no struct and comes without a schema")),
            Some(schema) => {
                self.share(schema);
                if let Err(error) = fits(schema, &value) {
                    self.violation(format!("{what}: {error}"));
                }
            }
        }
        (schema, Some(value))
    }
}

impl RecordSink for Collected {
    fn begin(&mut self, head: RecordHead<'_>) -> Result<()> {
        if self.in_batch > self.limit {
            self.violation(format!("more than one record after Full (limit {})", self.limit));
        }
        if head.queue.is_empty() {
            self.violation("a record without a queue");
        }
        self.stage = Stage::Begun;
        self.open = Some(Record {
            queue: head.queue.clone(),
            queue_partition: head.queue_partition,
            sharding_key: head.sharding_key.map(<[u8]>::to_vec),
            entry: head.entry,
            timestamp_ms: head.timestamp_ms,
            partition: head.source_partition.clone(),
            headers: Vec::new(),
            key_schema: None,
            key: None,
            value_schema: None,
            value: None,
            position: Position::new("{}"),
        });
        self.key = Checked::default();
        self.value = Checked::default();
        Ok(())
    }

    fn header(&mut self, name: &str, value: &[u8]) {
        if self.stage != Stage::Begun {
            self.violation(format!("header {name} outside of begin .. key"));
        }
        if let Some(record) = &mut self.open {
            record.headers.push((name.to_owned(), value.to_vec()));
        }
    }

    fn key(&mut self, schema: Option<&Arc<Schema>>) -> &mut dyn Visitor {
        if self.stage != Stage::Begun {
            self.violation("key outside of begin .. value, or twice");
        }
        self.stage = Stage::Keyed;
        self.key = Checked::expecting(schema);
        &mut self.key
    }

    fn value(&mut self, schema: Option<&Arc<Schema>>) -> &mut dyn Visitor {
        if !matches!(self.stage, Stage::Begun | Stage::Keyed) {
            self.violation("value outside of begin .. end, or twice");
        }
        self.stage = Stage::Valued;
        self.value = Checked::expecting(schema);
        &mut self.value
    }

    fn end(&mut self, base: &Arc<str>, step: u64) -> Result<Flow> {
        let Some(mut record) = self.open.take() else {
            self.violation("end without begin");
            return Ok(Flow::More);
        };
        self.stage = Stage::Idle;
        if let Some((declared, visited)) = self.key.take() {
            (record.key_schema, record.key) = self.settle("key", declared, visited);
        }
        if let Some((declared, visited)) = self.value.take() {
            (record.value_schema, record.value) = self.settle("value", declared, visited);
        }
        if serde_json::from_str::<serde_json::Map<_, _>>(base).is_err() {
            self.violation(format!("position {base} is no JSON object"));
        }
        record.position = Position::at(base, step);
        self.latest.insert(record.partition.clone(), record.position.clone());
        self.total += 1;
        self.in_batch += 1;
        if self.refuse == Some(self.total - 1) {
            self.refuse = None;
            return Err(Error::record("test.refused", "the test refuses this record"));
        }
        if self.keep {
            self.records.push(record);
        }
        Ok(if self.in_batch >= self.limit { Flow::Full } else { Flow::More })
    }

    fn advance(&mut self, partition: &SourcePartition, position: Position) {
        if self.open.is_some() {
            self.violation("advance between begin and end");
        }
        self.latest.insert(partition.clone(), position.clone());
        if self.keep {
            self.advances.push((partition.clone(), position));
        }
    }
}
