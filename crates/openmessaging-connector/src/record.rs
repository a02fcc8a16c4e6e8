//! Records on their way from a source: described by a head, driven value by value into a sink.

use std::sync::Arc;

use crate::error::Result;
use crate::position::{Position, SourcePartition};
use crate::schema::Schema;
use crate::value::Visitor;

/// What happened to the thing that a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryType {
    Create,
    Update,
    Delete,
    /// A row as a snapshot found it.
    Read,
    Truncate,
}

impl EntryType {
    /// The letter of `op` in a change envelope.
    pub fn op(self) -> &'static str {
        match self {
            EntryType::Create => "c",
            EntryType::Update => "u",
            EntryType::Delete => "d",
            EntryType::Read => "r",
            EntryType::Truncate => "t",
        }
    }
}

/// What is known of a record before its key and value. Everything is borrowed: a source keeps one of each name.
#[derive(Debug, Clone, Copy)]
pub struct RecordHead<'a> {
    pub queue: &'a Arc<str>,
    /// The queue partition, where the source chooses it; otherwise the runtime does, from the sharding key.
    pub queue_partition: Option<u32>,
    /// Records with the same sharding key stay in order. `None`: the encoded key is the sharding key; a record
    /// with neither is ordered with all records of its source partition that have neither.
    pub sharding_key: Option<&'a [u8]>,
    pub entry: EntryType,
    /// When it happened in the source, milliseconds since the epoch.
    pub timestamp_ms: i64,
    pub source_partition: &'a SourcePartition,
}

/// Whether the batch takes more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    More,
    /// The batch is full: return from `poll` now. One more record is still taken, none is ever lost.
    Full,
}

/// Takes the records of one poll.
///
/// For each record, in this order: [`begin`](Self::begin); [`header`](Self::header) any number of times;
/// [`key`](Self::key) at most once, then exactly one value into the visitor it returns; [`value`](Self::value) at
/// most once (a record without one is a tombstone), likewise; [`end`](Self::end). Calling `begin` without an `end`
/// before it throws the unfinished record away.
pub trait RecordSink: Send {
    fn begin(&mut self, head: RecordHead<'_>) -> Result<()>;

    fn header(&mut self, name: &str, value: &[u8]);

    /// The schema is that of the value which follows; needed where the value is not a struct (which brings its own).
    fn key(&mut self, schema: Option<&Arc<Schema>>) -> &mut dyn Visitor;

    fn value(&mut self, schema: Option<&Arc<Schema>>) -> &mut dyn Visitor;

    /// Ends the record. `base` and `step` are the position from which reading goes on *after* this record.
    ///
    /// # Errors
    /// The record cannot be encoded. Return the error from `poll`: the runtime decides what becomes of the record.
    fn end(&mut self, base: &Arc<str>, step: u64) -> Result<Flow>;

    /// Moves the position of a partition without a record: filtered rows, heartbeats, the end of a transaction.
    fn advance(&mut self, partition: &SourcePartition, position: Position);
}
