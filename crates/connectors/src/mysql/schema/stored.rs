//! The schema history as it is stored: versioned JSON. Types are kept as SQL text, which every later version reads.
//!
//! Version 1: `schema-current` names the base (its generation, the number of its parts, the databases' character sets);
//! `schema-base-GENERATION-PART` holds tables; `schema-change-NUMBER` holds one statement's point and what it left.

use std::sync::Arc;

use openmessaging_connector::{Error, Result};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::tables::Tracked;
use super::types::{from_catalog, to_sql};
use crate::mysql::gtid::TransactionId;
use crate::mysql::position::ChangePoint;
use crate::mysql::table::{Column, Kind, Table};

pub(super) const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredCurrent {
    pub version: u32,
    pub generation: u64,
    pub parts: u64,
    pub fold_case: bool,
    pub databases: Vec<(String, Option<String>)>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredPart {
    pub version: u32,
    pub tables: Vec<StoredTable>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredTable {
    pub database: String,
    pub name: String,
    /// Absent where the table is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<StoredDefinition>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredDefinition {
    pub charset: String,
    pub columns: Vec<StoredColumn>,
    pub key: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredColumn {
    pub name: String,
    #[serde(rename = "type")]
    pub ty: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charset: Option<String>,
    pub nullable: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredChange {
    pub version: u32,
    pub file: String,
    pub end: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gtid: Option<String>,
    pub tables: Vec<StoredTable>,
    /// Databases with a new default character set; none where the database is gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<(String, Option<String>)>,
}

impl StoredTable {
    pub(super) fn of(tracked: &Tracked) -> Self {
        let column = |column: &Column| StoredColumn {
            name: column.name.to_string(),
            ty: to_sql(&column.kind),
            charset: match &column.kind {
                Kind::Text { charset, .. } => Some(charset.to_string()),
                _ => None,
            },
            nullable: column.nullable,
        };
        let table = &tracked.table;
        Self {
            database: table.database.to_string(),
            name: table.name.to_string(),
            definition: Some(StoredDefinition {
                charset: tracked.charset.to_string(),
                columns: table.columns.iter().map(column).collect(),
                key: table.primary_key.clone(),
            }),
        }
    }

    pub(super) fn gone(database: &str, name: &str) -> Self {
        Self { database: database.to_owned(), name: name.to_owned(), definition: None }
    }

    /// The table, `None` where it is gone.
    pub(super) fn read(&self) -> Result<Option<Tracked>> {
        let Some(definition) = &self.definition else { return Ok(None) };
        let mut columns = Vec::with_capacity(definition.columns.len());
        for column in &definition.columns {
            // JSON of MariaDB is stored as the text that it is.
            let kind = from_catalog(&column.ty, column.charset.as_deref(), false)
                .ok_or_else(|| unreadable(&format!("{}.{}: type {}", self.database, self.name, column.ty)))?;
            columns.push(Column { name: column.name.as_str().into(), kind, nullable: column.nullable });
        }
        let primary_key = definition.key.iter().copied().filter(|at| *at < columns.len()).collect();
        let table = Table {
            database: self.database.as_str().into(),
            name: self.name.as_str().into(),
            columns,
            primary_key,
        };
        Ok(Some(Tracked { table: Arc::new(table), charset: definition.charset.as_str().into() }))
    }
}

impl StoredChange {
    pub(super) fn point(&self) -> ChangePoint {
        ChangePoint {
            file: self.file.as_str().into(),
            end: self.end,
            id: self.gtid.as_deref().and_then(TransactionId::parse),
        }
    }
}

pub(super) fn read<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let versioned: Versioned =
        serde_json::from_slice(bytes).map_err(|error| unreadable(&format!("{name}: {error}")))?;
    if versioned.version > VERSION {
        return Err(unreadable(&format!(
            "{name} has version {}, written by a later release",
            versioned.version
        )));
    }
    serde_json::from_slice(bytes).map_err(|error| unreadable(&format!("{name}: {error}")))
}

pub(super) fn write<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| unreadable(&error.to_string()))
}

fn unreadable(what: &str) -> Error {
    Error::fatal("mysql.history_unreadable", format!("the stored schema history cannot be read: {what}"))
        .with_remedy("run the release that wrote it, or reset the connector's offsets to start anew")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_is_read_for_ever() {
        let text = br#"{"version":1,"file":"bin.000001","end":99,"gtid":"0-1-5","tables":[
            {"database":"shop","name":"t","definition":{"charset":"latin1","key":[0],"columns":[
                {"name":"id","type":"bigint unsigned","nullable":false},
                {"name":"s","type":"varchar","charset":"latin1","nullable":true},
                {"name":"e","type":"enum('a','it''s')","nullable":true}]}},
            {"database":"shop","name":"old"}],"databases":[["shop","gbk"]]}"#;
        let change: StoredChange = read("x", text).expect("read");
        assert_eq!(change.point().id.map(|id| id.to_string()).as_deref(), Some("0-1-5"));
        let tracked = change.tables[0].read().expect("read").expect("there");
        assert_eq!(tracked.table.primary_key, [0]);
        assert_eq!(
            tracked.table.columns[1].kind,
            Kind::Text { type_name: "VARCHAR", charset: "latin1".into() }
        );
        assert_eq!(StoredTable::of(&tracked), change.tables[0]);
        assert_eq!(change.tables[1].read().expect("read"), None);
    }

    #[test]
    fn a_later_version_is_refused_by_name() {
        let error =
            read::<StoredPart>("schema-base-1-0", br#"{"version":2,"tables":[]}"#).expect_err("later");
        assert_eq!(error.code, "mysql.history_unreadable");
        assert!(error.message.contains("version 2"), "{error}");
    }
}
