//! Tables as the server's `information_schema` has them now.

use std::collections::HashMap;
use std::sync::Arc;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use openmessaging_connector::Result;

use super::tables::{TableName, Tables, Tracked};
use super::types::{canonical_charset, charset_of, from_catalog};
use crate::mysql::config::Address;
use crate::mysql::error;
use crate::mysql::filter::TableFilter;
use crate::mysql::server::Server;
use crate::mysql::table::{Column, Table};

const DATABASES: &str = "SELECT schema_name, default_character_set_name FROM information_schema.schemata";

const TABLES: &str = "SELECT table_schema, table_name, table_collation FROM information_schema.tables \
     WHERE table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') \
     AND table_schema NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys')";

const COLUMNS: &str = "SELECT table_schema, table_name, column_name, column_type, character_set_name, is_nullable \
     FROM information_schema.columns \
     WHERE table_schema NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys')";

const KEYS: &str = "SELECT table_schema, table_name, column_name FROM information_schema.key_column_usage \
     WHERE constraint_name = 'PRIMARY' \
     AND table_schema NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys')";

/// Reads every table of the databases that the filter takes: a table that is not read now may be renamed to one that is.
///
/// A column type that is not known makes its table absent: it matters only when its rows come.
pub async fn read(
    conn: &mut Conn,
    server: &Server,
    address: &Address,
    filter: &TableFilter,
) -> Result<Tables> {
    let takes = |database: &str| filter.takes_database(database);
    read_where(conn, server, address, "", &takes).await
}

/// Reads some tables; those that are not there are not in the answer.
pub async fn read_tables(
    conn: &mut Conn,
    server: &Server,
    address: &Address,
    names: &[TableName],
) -> Result<Tables> {
    let list: Vec<_> =
        names.iter().map(|(database, table)| format!("({}, {})", quoted(database), quoted(table))).collect();
    let condition = format!(" AND (table_schema, table_name) IN ({})", list.join(", "));
    read_where(conn, server, address, &condition, &|_| true).await
}

/// A literal: hexadecimal, so that no quoting rule of the session matters.
fn quoted(text: &str) -> String {
    let digits: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    if digits.is_empty() { "''".to_owned() } else { format!("CONVERT(x'{digits}' USING utf8mb4)") }
}

async fn read_where(
    conn: &mut Conn,
    server: &Server,
    address: &Address,
    condition: &str,
    takes: &(dyn Fn(&str) -> bool + Sync),
) -> Result<Tables> {
    let failed = |problem| error::from_driver(problem, address, "read the tables' definitions");
    let mut tables = Tables::new(server.fold_case);
    let databases: Vec<(String, String)> = conn.query(DATABASES).await.map_err(failed)?;
    for (database, charset) in databases.into_iter().filter(|(database, _)| takes(database)) {
        tables.set_charset(&database, Some(canonical_charset(&charset).into()));
    }
    let heads: Vec<(String, String, Option<String>)> =
        conn.query(format!("{TABLES}{condition}")).await.map_err(failed)?;
    let mut building: HashMap<(String, String), Building> = heads
        .into_iter()
        .filter(|(database, ..)| takes(database))
        .map(|(database, name, collation)| ((database, name), Building::new(collation)))
        .collect();
    let columns: Vec<(String, String, String, String, Option<String>, String)> = conn
        .query(format!("{COLUMNS}{condition} ORDER BY table_schema, table_name, ordinal_position"))
        .await
        .map_err(failed)?;
    for (database, table, name, ty, charset, nullable) in columns {
        if let Some(building) = building.get_mut(&(database, table)) {
            building.column(name, &ty, charset.as_deref(), nullable == "YES", server.mariadb);
        }
    }
    let keys: Vec<(String, String, String)> = conn
        .query(format!("{KEYS}{condition} ORDER BY table_schema, table_name, ordinal_position"))
        .await
        .map_err(failed)?;
    for (database, table, column) in keys {
        if let Some(building) = building.get_mut(&(database, table)) {
            building.key.push(column);
        }
    }
    for ((database, name), building) in building {
        if let Some(tracked) = building.finish(&database, &name) {
            tables.put(tracked);
        }
    }
    Ok(tables)
}

struct Building {
    charset: Arc<str>,
    columns: Vec<Column>,
    key: Vec<String>,
    known: bool,
}

impl Building {
    fn new(collation: Option<String>) -> Self {
        let charset =
            collation.and_then(|collation| charset_of(&collation)).unwrap_or_else(|| "utf8mb4".to_owned());
        Self { charset: charset.into(), columns: Vec::new(), key: Vec::new(), known: true }
    }

    fn column(&mut self, name: String, ty: &str, charset: Option<&str>, nullable: bool, mariadb: bool) {
        match from_catalog(ty, charset, mariadb) {
            Some(kind) => self.columns.push(Column { name: name.into(), kind, nullable }),
            None => self.known = false,
        }
    }

    fn finish(self, database: &str, name: &str) -> Option<Tracked> {
        if !self.known || self.columns.is_empty() {
            return None;
        }
        let at = |key: &String| self.columns.iter().position(|column| *column.name == **key);
        let primary_key = self.key.iter().filter_map(at).collect();
        let table =
            Table { database: database.into(), name: name.into(), columns: self.columns, primary_key };
        Some(Tracked { table: Arc::new(table), charset: self.charset })
    }
}
