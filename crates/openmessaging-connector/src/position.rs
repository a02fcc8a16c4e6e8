//! Where a source is: partitions and positions.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

/// One independently read part of a source system (a server, a file), named by a small JSON object. Order and
/// positions hold within one partition. Cheap to clone; compared by its text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourcePartition(Arc<str>);

impl SourcePartition {
    /// Members are sorted by name, so that equal objects are equal partitions.
    pub fn new(object: &Map<String, Json>) -> Self {
        let mut members: Vec<_> = object.iter().collect();
        members.sort_by_key(|(name, _)| name.as_str());
        let sorted: Map<String, Json> = members.into_iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        Self(Json::Object(sorted).to_string().into())
    }

    /// A partition of one member.
    pub fn of(name: &str, value: impl Into<Json>) -> Self {
        let mut object = Map::new();
        object.insert(name.to_owned(), value.into());
        Self::new(&object)
    }

    /// The canonical JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn to_object(&self) -> Map<String, Json> {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for SourcePartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A point in a source partition from which reading can go on: a `base`, which the source can find again (a binlog
/// file and offset, a GTID set), and how many `step`s beyond it are already delivered. Restarted with a position,
/// a source reads from the base and leaves out the first `step` things it finds there, so a base may be the start
/// of a transaction of millions of rows, rendered once, while every row has a position of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// A JSON object, as text.
    pub base: Arc<str>,
    pub step: u64,
}

/// The member in which a position's `step` is shown to users; absent when it is 0.
pub const STEP: &str = "step";

impl Position {
    pub fn new(base: impl Into<Arc<str>>) -> Self {
        Self { base: base.into(), step: 0 }
    }

    pub fn at(base: &Arc<str>, step: u64) -> Self {
        Self { base: base.clone(), step }
    }

    /// The position as users see and store it: the base's members, and `step` where it is not 0.
    pub fn to_object(&self) -> Map<String, Json> {
        let mut object: Map<String, Json> = serde_json::from_str(&self.base).unwrap_or_default();
        if self.step > 0 {
            object.insert(STEP.to_owned(), self.step.into());
        }
        object
    }

    /// The reverse of [`to_object`](Self::to_object). `None` where `step` is not a whole number of 0 or more.
    pub fn from_object(mut object: Map<String, Json>) -> Option<Self> {
        let step = match object.shift_remove(STEP) {
            None => 0,
            Some(step) => step.as_u64()?,
        };
        Some(Self { base: Json::Object(object).to_string().into(), step })
    }
}
