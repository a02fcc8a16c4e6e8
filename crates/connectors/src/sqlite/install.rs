//! What the capture has in a database, and how it is kept in step with the tables: within one write transaction, so
//! that no change falls between the triggers of one definition and those of the next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use openmessaging_connector::{Error, Result};
use rusqlite::{Connection, OptionalExtension, params};

use super::config::Settings;
use super::position::Place;
use super::table::{Table, quoted};
use super::triggers::{NOW, Names};
use super::{error, schema};

/// SQLite allows 2000 columns in a table: two for each column, and our own.
const MOST_COLUMNS: usize = 990;

/// A definition with its number.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Definition {
    pub d: i64,
    pub table: Table,
}

#[derive(Debug)]
pub(super) struct Installed {
    pub settings: Settings,
    pub names: Names,
    /// Which installation this is: the numbers of changes mean nothing in another.
    pub token: String,
    /// That of the schema which the triggers are in step with.
    pub schema_version: i64,
    /// Every definition that a change may have.
    pub definitions: BTreeMap<i64, Arc<Definition>>,
    /// Those whose triggers are at work.
    live: BTreeSet<i64>,
    /// What the user should know, code and text, until it is told.
    pub said: Vec<(&'static str, String)>,
}

impl Installed {
    pub(super) fn new(settings: Settings, names: Names) -> Self {
        Self {
            settings,
            names,
            token: String::new(),
            schema_version: 0,
            definitions: BTreeMap::new(),
            live: BTreeSet::new(),
            said: Vec::new(),
        }
    }

    fn failed(&self) -> impl Fn(rusqlite::Error) -> Error + use<> {
        let path = self.settings.path.clone();
        move |e| error::sql("install the capture in", &path, e)
    }

    fn say(&mut self, code: &'static str, text: String) {
        self.said.push((code, text));
    }

    /// Whether the definition is that of a table as it is now.
    pub(super) fn is_live(&self, d: i64) -> bool {
        self.live.contains(&d)
    }

    /// # Errors
    /// `sqlite.no_table`, where a table that is asked for by name is not there.
    pub(super) fn check_tables(&self, connection: &Connection) -> Result<()> {
        if self.settings.tables.is_empty() {
            return Ok(());
        }
        let names =
            schema::table_names(connection).map_err(|e| error::sql("read", &self.settings.path, e))?;
        for wanted in &self.settings.tables {
            if !names.iter().any(|name| name.eq_ignore_ascii_case(wanted)) {
                let near = openmessaging_connector::config::nearest(wanted, names.iter().map(String::as_str));
                return Err(error::no_table(&self.settings.path, wanted, near));
            }
        }
        Ok(())
    }

    /// Installs what is missing and answers where reading starts.
    pub(super) fn begin(&mut self, connection: &Connection, stored: Option<Place>) -> Result<Place> {
        let failed = self.failed();
        self.check_tables(connection)?;
        let fresh = self.install(connection).map_err(&failed)?;
        let last = schema::last_number(connection, &self.names.changes()).map_err(&failed)?;
        let fits = |place: &Place| {
            (place.capture.is_empty() || place.capture == self.token) && (0..=last).contains(&place.change)
        };
        let (place, whole) = match stored {
            Some(place) if fits(&place) => (Place { capture: self.token.clone(), ..place }, false),
            Some(_) => {
                let name = self.settings.path.display();
                let text = format!(
                    "{name} is not the database that the stored position is of, or an older state of it: its tables are \
                     read anew, and rows deleted meanwhile are not told of"
                );
                self.say("sqlite.position_lost", text);
                (Place::default(), true)
            }
            // What another start has captured and nobody has committed is not lost.
            None => (Place::default(), self.settings.snapshot),
        };
        self.adapt(connection, place.change, !fresh && !whole)?;
        if whole {
            self.mark_all(connection).map_err(&failed)?;
            return Ok(Place { capture: self.token.clone(), change: last, ..Place::default() });
        }
        if self.live.is_empty() {
            let name = self.settings.path.display();
            let text = format!("{name} has no table to capture: it is waited for one");
            self.say("sqlite.no_tables", text);
        }
        Ok(Place { capture: self.token.clone(), ..place })
    }

    /// The two tables, and which installation they are; `true` where they are new.
    fn install(&mut self, connection: &Connection) -> rusqlite::Result<bool> {
        connection.execute_batch(&self.names.create())?;
        let tables = quoted(&self.names.tables());
        let select = format!("SELECT definition FROM {tables} WHERE d = 0");
        if let Some(token) = connection.query_row(&select, [], |row| row.get(0)).optional()? {
            self.token = token;
            return Ok(false);
        }
        let insert = format!("INSERT INTO {tables} VALUES (0, 0, lower(hex(randomblob(8))))");
        connection.execute_batch(&insert)?;
        self.token = connection.query_row(&select, [], |row| row.get(0))?;
        Ok(true)
    }

    /// Every table is to be sent whole, and what was captured before is covered by that.
    fn mark_all(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection.execute_batch(&format!("DELETE FROM {}", quoted(&self.names.changes())))?;
        self.live.iter().try_for_each(|d| self.mark(connection, *d))
    }

    /// The table is to be sent whole.
    fn mark(&self, connection: &Connection, d: i64) -> rusqlite::Result<()> {
        let changes = quoted(&self.names.changes());
        connection.execute_batch(&format!("INSERT INTO {changes} (d, op, ts) VALUES ({d}, 's', {NOW})"))
    }

    /// Brings definitions and triggers in step with the tables. `mark`: tables that are new, or were without triggers
    /// for a while, are to be sent whole. Changes up to `cursor` were read.
    pub(super) fn adapt(&mut self, connection: &Connection, cursor: i64, mark: bool) -> Result<()> {
        let failed = self.failed();
        let known = self.load(connection).map_err(&failed)?;
        let triggers = schema::triggers(connection, &self.names.prefix()).map_err(&failed)?;
        let mut kept = BTreeSet::new();
        for name in schema::table_names(connection).map_err(&failed)? {
            if !self.settings.wants(&name) {
                continue;
            }
            let Some(table) = schema::table(connection, &name).map_err(&failed)? else { continue };
            if table.columns.len() > MOST_COLUMNS {
                let text = format!("table {name} has more than {MOST_COLUMNS} columns and is not captured");
                self.say("sqlite.too_many_columns", text);
                continue;
            }
            let whole = |d: &&i64| self.has_all(**d, &name, &known, &triggers);
            match self.live.iter().find(whole).copied() {
                Some(d) if known[&d].table == table => {
                    kept.insert(d);
                }
                before => {
                    let d = self
                        .replace(connection, before.map(|d| &known[&d]), table, cursor)
                        .map_err(&failed)?;
                    let gap = self.live.iter().any(|d| known[d].table.name.eq_ignore_ascii_case(&name));
                    if before.is_none() && mark {
                        if gap {
                            let text = format!(
                                "table {name} was made anew and lost its triggers: it is sent whole, and rows deleted \
                                 meanwhile are not told of"
                            );
                            self.say("sqlite.capture_interrupted", text);
                        }
                        self.mark(connection, d).map_err(&failed)?;
                    }
                    kept.insert(d);
                }
            }
        }
        self.retire(connection, &kept, &triggers).map_err(&failed)?;
        self.definitions = self.load(connection).map_err(&failed)?;
        self.schema_version = schema::version(connection).map_err(&failed)?;
        Ok(())
    }

    /// Whether all triggers of the definition are on the table of that name, which may be a new name.
    fn has_all(
        &self,
        d: i64,
        name: &str,
        known: &BTreeMap<i64, Arc<Definition>>,
        triggers: &[(String, String)],
    ) -> bool {
        let Some(definition) = known.get(&d) else { return false };
        let expected = self.names.triggers(d, &definition.table);
        expected.iter().all(|(trigger, _)| {
            triggers.iter().any(|(is, on)| is == trigger && on.eq_ignore_ascii_case(name))
        })
    }

    /// A new definition with its triggers, in the place of the one `before`.
    fn replace(
        &self,
        connection: &Connection,
        before: Option<&Arc<Definition>>,
        table: Table,
        cursor: i64,
    ) -> rusqlite::Result<i64> {
        let (changes, tables) = (self.names.changes(), quoted(&self.names.tables()));
        let have = schema::width(connection, &changes)?;
        for sql in self.names.widen(have, table.columns.len()) {
            connection.execute_batch(&sql)?;
        }
        let text =
            serde_json::to_string(&table).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?;
        connection.execute(&format!("INSERT INTO {tables} (live, definition) VALUES (1, ?1)"), [text])?;
        let d = connection.last_insert_rowid();
        if let Some(before) = before {
            for (trigger, _) in self.names.triggers(before.d, &before.table) {
                connection.execute_batch(&schema::drop_trigger(&trigger))?;
            }
            let changes = quoted(&changes);
            connection.execute(
                &format!("UPDATE {changes} SET d = ?1 WHERE op = 's' AND d = ?2"),
                params![d, before.d],
            )?;
            if let Some(sql) = self.names.backfill(before.d, &before.table, d, &table, cursor) {
                connection.execute_batch(&sql)?;
            }
        }
        for (_, sql) in self.names.triggers(d, &table) {
            connection.execute_batch(&sql)?;
        }
        Ok(d)
    }

    /// Drops the triggers of all definitions but these, which are the live ones from now on, and forgets definitions
    /// that no change has.
    fn retire(
        &mut self,
        connection: &Connection,
        kept: &BTreeSet<i64>,
        triggers: &[(String, String)],
    ) -> rusqlite::Result<()> {
        for (trigger, _) in triggers {
            if self.names.definition_of(trigger).is_none_or(|d| !kept.contains(&d)) {
                connection.execute_batch(&schema::drop_trigger(trigger))?;
            }
        }
        let (changes, tables) = (quoted(&self.names.changes()), quoted(&self.names.tables()));
        for d in self.live.difference(kept) {
            connection.execute(&format!("UPDATE {tables} SET live = 0 WHERE d = ?1"), [d])?;
        }
        self.live.clone_from(kept);
        // Looking for a definition's changes reads the whole change table: it waits until it is worth it.
        let dead: i64 =
            connection
                .query_row(&format!("SELECT count(*) FROM {tables} WHERE live = 0"), [], |row| row.get(0))?;
        if dead > 100 {
            connection.execute_batch(&format!(
                "DELETE FROM {tables} WHERE live = 0 AND d <> 0 AND d NOT IN (SELECT d FROM {changes})"
            ))?;
        }
        Ok(())
    }

    fn load(&mut self, connection: &Connection) -> rusqlite::Result<BTreeMap<i64, Arc<Definition>>> {
        let tables = quoted(&self.names.tables());
        let mut statement =
            connection.prepare(&format!("SELECT d, live, definition FROM {tables} WHERE d <> 0"))?;
        let mut rows = statement.query([])?;
        let mut found = BTreeMap::new();
        self.live.clear();
        while let Some(row) = rows.next()? {
            let (d, live, text): (i64, bool, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let table = serde_json::from_str(&text).map_err(|e| {
                rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Text, e.into())
            })?;
            if live {
                self.live.insert(d);
            }
            found.insert(d, Arc::new(Definition { d, table }));
        }
        Ok(found)
    }
}
