//! A table's definition between two schema changes: what a change recorded by its triggers means.

use rusqlite::types::Value as Datum;
use serde::{Deserialize, Serialize};

/// Stored as JSON beside the change table, so names of members are a persisted format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Table {
    pub name: String,
    pub columns: Vec<Column>,
    /// Indexes of the primary key's columns in key order; empty where there is none.
    pub key: Vec<usize>,
    /// The name by which the row id can be read; `None` for a WITHOUT ROWID table.
    pub rowid: Option<String>,
    /// The uniqueness constraints, that of the primary key too: what a REPLACE may delete rows by.
    pub unique: Vec<Unique>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Column {
    pub name: String,
    /// As declared, upper case; may be empty.
    #[serde(rename = "type")]
    pub declared: String,
    pub not_null: bool,
    /// The default, as an SQL expression.
    pub default: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unique {
    /// Indexes of columns, each with its collating sequence.
    pub columns: Vec<(usize, Collation)>,
}

/// The collating sequences of SQLite itself (<https://sqlite.org/datatype3.html#collation>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Collation {
    Binary,
    NoCase,
    RTrim,
}

impl Collation {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name.to_ascii_uppercase().as_str() {
            "BINARY" => Some(Self::Binary),
            "NOCASE" => Some(Self::NoCase),
            "RTRIM" => Some(Self::RTrim),
            _ => None,
        }
    }

    /// Whether two values are equal to a unique index: null is equal to nothing.
    pub(super) fn equal(self, one: &Datum, other: &Datum) -> bool {
        match (one, other) {
            (Datum::Null, _) | (_, Datum::Null) => false,
            (Datum::Text(one), Datum::Text(other)) => match self {
                Self::Binary => one == other,
                Self::NoCase => one.eq_ignore_ascii_case(other),
                Self::RTrim => one.trim_end_matches(' ') == other.trim_end_matches(' '),
            },
            (Datum::Integer(integer), Datum::Real(real)) | (Datum::Real(real), Datum::Integer(integer)) => {
                *integer as f64 == *real
            }
            (one, other) => one == other,
        }
    }
}

impl Unique {
    pub(super) fn equal(&self, one: &[Datum], other: &[Datum]) -> bool {
        self.columns.iter().all(|(at, collation)| match (one.get(*at), other.get(*at)) {
            (Some(one), Some(other)) => collation.equal(one, other),
            _ => false,
        })
    }
}

impl Table {
    /// The values of the primary key in an image.
    pub(super) fn key_of<'i>(&self, image: &'i [Datum]) -> impl Iterator<Item = &'i Datum> {
        self.key.iter().filter_map(|at| image.get(*at))
    }
}

/// A name in SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
