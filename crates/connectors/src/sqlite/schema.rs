//! Reading the definitions of tables out of a database.

use rusqlite::{Connection, OptionalExtension, Result};

use super::table::{Collation, Column, Table, Unique, quoted};

/// The names of all ordinary tables but SQLite's and ours: no views, no virtual tables or what is behind them.
pub(super) fn table_names(connection: &Connection) -> Result<Vec<String>> {
    let mut statement = connection.prepare(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' \
         AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE '\\_oms\\_%' ESCAPE '\\' ORDER BY name",
    )?;
    statement.query_map([], |row| row.get(0))?.collect()
}

/// A number that changes with every change of any definition.
pub(super) fn version(connection: &Connection) -> Result<i64> {
    connection.query_row("PRAGMA schema_version", [], |row| row.get(0))
}

/// The table's definition; `None` where it is not there.
pub(super) fn table(connection: &Connection, name: &str) -> Result<Option<Table>> {
    let without_rowid: Option<bool> = connection
        .query_row("SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?1", [name], |row| {
            row.get(0)
        })
        .optional()?;
    let Some(without_rowid) = without_rowid else { return Ok(None) };
    let mut columns = Vec::new();
    let mut key = Vec::new();
    let mut statement = connection.prepare(
        "SELECT name, type, \"notnull\", pk, dflt_value FROM pragma_table_xinfo(?1, 'main') WHERE hidden <> 1 ORDER BY cid",
    )?;
    let mut rows = statement.query([name])?;
    while let Some(row) = rows.next()? {
        let declared: String = row.get(1)?;
        let part: i64 = row.get(3)?;
        if part > 0 {
            key.push((part, columns.len()));
        }
        columns.push(Column {
            name: row.get(0)?,
            declared: declared.to_ascii_uppercase(),
            not_null: row.get(2)?,
            default: row.get(4)?,
        });
    }
    key.sort_unstable();
    let key: Vec<usize> = key.into_iter().map(|(_, at)| at).collect();
    // An INTEGER PRIMARY KEY is the row id itself, and a key of WITHOUT ROWID is never null.
    let own_index: bool = connection.query_row(
        "SELECT count(*) > 0 FROM pragma_index_list(?1, 'main') WHERE origin = 'pk'",
        [name],
        |row| row.get(0),
    )?;
    let is_rowid = !without_rowid && !own_index && key.len() == 1 && columns[key[0]].declared == "INTEGER";
    for at in &key {
        columns[*at].not_null |= without_rowid || is_rowid;
    }
    let taken = |alias: &&str| columns.iter().any(|column| column.name.eq_ignore_ascii_case(alias));
    let rowid = match without_rowid {
        true => None,
        false if is_rowid => Some(columns[key[0]].name.clone()),
        false => {
            ["rowid", "_rowid_", "oid"].iter().find(|alias| !taken(alias)).map(|alias| (*alias).to_owned())
        }
    };
    let mut unique = unique(connection, name, &columns)?;
    if is_rowid {
        unique.insert(0, Unique { columns: vec![(key[0], Collation::Binary)] });
    }
    Ok(Some(Table { name: name.to_owned(), columns, key, rowid, unique }))
}

/// The unique indexes over plain columns of the whole table, with collating sequences that are known here.
fn unique(connection: &Connection, table: &str, columns: &[Column]) -> Result<Vec<Unique>> {
    let mut statement = connection.prepare(
        "SELECT name FROM pragma_index_list(?1, 'main') WHERE \"unique\" = 1 AND partial = 0 ORDER BY name",
    )?;
    let indexes: Vec<String> = statement.query_map([table], |row| row.get(0))?.collect::<Result<_>>()?;
    let mut found = Vec::new();
    for index in indexes {
        let mut statement = connection
            .prepare("SELECT name, coll FROM pragma_index_xinfo(?1, 'main') WHERE key = 1 ORDER BY seqno")?;
        let parts = statement.query_map([&index], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let parts: Vec<(Option<String>, String)> = parts.collect::<Result<_>>()?;
        let part = |(name, collation): &(Option<String>, String)| {
            let name = name.as_ref()?;
            Some((columns.iter().position(|column| column.name == *name)?, Collation::named(collation)?))
        };
        if let Some(columns) =
            parts.iter().map(part).collect::<Option<Vec<_>>>().filter(|parts| !parts.is_empty())
        {
            found.push(Unique { columns });
        }
    }
    Ok(found)
}

/// The triggers whose names start with `prefix`, each with the table that it is on.
pub(super) fn triggers(connection: &Connection, prefix: &str) -> Result<Vec<(String, String)>> {
    let mut statement = connection.prepare(
        "SELECT name, tbl_name FROM sqlite_schema WHERE type = 'trigger' AND substr(name, 1, length(?1)) = ?1",
    )?;
    statement.query_map([prefix], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// How many pairs of value columns the change table has.
pub(super) fn width(connection: &Connection, changes: &str) -> Result<usize> {
    let sql = "SELECT count(*) FROM pragma_table_info(?1) WHERE name GLOB 'o[0-9]*'";
    connection
        .query_row(sql, [changes], |row| row.get::<_, i64>(0))
        .map(|count| usize::try_from(count).unwrap_or(0))
}

/// The highest number ever given in a table with AUTOINCREMENT.
pub(super) fn last_number(connection: &Connection, table: &str) -> Result<i64> {
    let sql = "SELECT seq FROM sqlite_sequence WHERE name = ?1";
    Ok(connection.query_row(sql, [table], |row| row.get(0)).optional()?.unwrap_or(0))
}

/// The SQL that drops a trigger.
pub(super) fn drop_trigger(name: &str) -> String {
    format!("DROP TRIGGER IF EXISTS {}", quoted(name))
}
