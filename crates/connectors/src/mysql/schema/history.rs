//! The history of the tables' definitions: stored beside the positions, so that after a restart old events are read with
//! the definition of their moment, whatever the catalog says by then.

use std::collections::VecDeque;
use std::sync::Arc;

use openmessaging_connector::{Result, TaskState};

use super::stored::{self, StoredChange, StoredCurrent, StoredPart, StoredTable, VERSION};
use super::tables::{Effect, Tables, Tracked};
use crate::mysql::position::{BinlogPosition, ChangePoint};

const CURRENT: &str = "schema-current";
const CHANGE: &str = "schema-change-";

/// A part of the base or a change is kept well below the limit of a state's value (1 MiB).
const MAX_BYTES: usize = 512 * 1024;

/// Changes that are committed are folded into a new base when there are more than this.
const FOLD_AT: usize = 64;

/// The tables at the point where the stream stands, and what is stored of how they came to be.
pub struct History {
    state: Arc<dyn TaskState>,
    tables: Tables,
    generation: u64,
    /// The tables of the stored base, before every stored change.
    base: Tables,
    /// Stored changes behind which the stream stands already.
    passed: VecDeque<(u64, StoredChange)>,
    /// Stored changes that the stream will come by again.
    ahead: VecDeque<(u64, StoredChange)>,
    next_number: u64,
}

impl History {
    /// Starts a history with these tables and stores it in the place of any other.
    pub async fn begin(state: Arc<dyn TaskState>, tables: Tables) -> Result<Self> {
        let old = match state.get(CURRENT).await? {
            Some(bytes) => {
                stored::read::<StoredCurrent>(CURRENT, &bytes).map_or(0, |current| current.generation)
            }
            None => 0,
        };
        let mut history = Self::empty(state, old + 1);
        // Changes of an older history must not be applied to the new base, even if this process dies in between: the
        // base that they belong to goes first.
        history.state.delete(CURRENT).await?;
        for name in history.state.names(CHANGE).await? {
            history.state.delete(&name).await?;
        }
        history.base = tables.clone();
        history.tables = tables;
        history.write_base().await?;
        history.delete_bases_before(history.generation).await?;
        Ok(history)
    }

    /// The history as it stood at `position`; `None` where none is stored.
    pub async fn load(state: Arc<dyn TaskState>, position: &BinlogPosition) -> Result<Option<Self>> {
        let Some(bytes) = state.get(CURRENT).await? else { return Ok(None) };
        let current: StoredCurrent = stored::read(CURRENT, &bytes)?;
        let mut base = Tables::new(current.fold_case);
        for (database, charset) in &current.databases {
            base.set_charset(database, charset.as_deref().map(Arc::from));
        }
        for part in 0..current.parts {
            let name = part_name(current.generation, part);
            let Some(bytes) = state.get(&name).await? else { return Ok(None) };
            let part: StoredPart = stored::read(&name, &bytes)?;
            for table in &part.tables {
                if let Some(tracked) = table.read()? {
                    base.put(tracked);
                }
            }
        }
        let mut history = Self::empty(state, current.generation);
        history.tables = base.clone();
        history.base = base;
        for name in history.state.names(CHANGE).await? {
            let Some(number) = name.strip_prefix(CHANGE).and_then(|number| number.parse::<u64>().ok()) else {
                continue;
            };
            let Some(bytes) = history.state.get(&name).await? else { continue };
            history.ahead.push_back((number, stored::read(&name, &bytes)?));
            history.next_number = history.next_number.max(number + 1);
        }
        let behind =
            history.ahead.iter().take_while(|(_, change)| position.is_behind(&change.point())).count();
        history.pass(behind)?;
        Ok(Some(history))
    }

    fn empty(state: Arc<dyn TaskState>, generation: u64) -> Self {
        Self {
            state,
            tables: Tables::default(),
            generation,
            base: Tables::default(),
            passed: VecDeque::new(),
            ahead: VecDeque::new(),
            next_number: 0,
        }
    }

    /// The tables where the stream stands.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    pub fn tables_mut(&mut self) -> &mut Tables {
        &mut self.tables
    }

    /// Whether the statement at `point` is stored already: its stored outcome is then in force when this returns.
    pub fn replay(&mut self, point: &ChangePoint) -> Result<bool> {
        let same = |stored: &ChangePoint| match (&stored.id, &point.id) {
            (Some(a), Some(b)) => a == b,
            _ => stored.file == point.file && stored.end == point.end,
        };
        let Some(last) = self.ahead.iter().rposition(|(_, change)| same(&change.point())) else {
            return Ok(false);
        };
        self.pass(last + 1)?;
        Ok(true)
    }

    /// Puts the first stored changes ahead in force.
    fn pass(&mut self, count: usize) -> Result<()> {
        for (number, change) in self.ahead.drain(..count) {
            apply(&mut self.tables, &change)?;
            self.passed.push_back((number, change));
        }
        Ok(())
    }

    /// Stores what a statement at `point` left in [`tables`](Self::tables). Durable when it returns, so that no position
    /// behind it is stored before.
    pub async fn record(&mut self, point: &ChangePoint, effect: &Effect) -> Result<()> {
        let mut change = StoredChange {
            version: VERSION,
            file: point.file.to_string(),
            end: point.end,
            gtid: point.id.as_ref().map(ToString::to_string),
            tables: Vec::new(),
            databases: Vec::new(),
        };
        let mut bytes = 0;
        for (database, table) in &effect.touched {
            if table.is_empty() {
                let charset = self.tables.charset(database).map(|charset| charset.to_string());
                change.databases.push((database.to_string(), charset));
                continue;
            }
            let stored = match self.tables.get(database, table) {
                Some(tracked) => StoredTable::of(tracked),
                None => StoredTable::gone(database, table),
            };
            bytes += stored::write(&stored)?.len();
            change.tables.push(stored);
            if bytes > MAX_BYTES {
                bytes = 0;
                let whole = StoredChange { tables: std::mem::take(&mut change.tables), ..change.clone() };
                self.put_change(whole).await?;
            }
        }
        if !change.tables.is_empty() || !change.databases.is_empty() {
            self.put_change(change).await?;
        }
        Ok(())
    }

    async fn put_change(&mut self, change: StoredChange) -> Result<()> {
        let number = self.next_number;
        self.state.put(&change_name(number), &stored::write(&change)?).await?;
        self.next_number += 1;
        self.passed.push_back((number, change));
        Ok(())
    }

    /// Whether it has something to do at [`committed`](Self::committed).
    pub fn wants_commit(&self) -> bool {
        self.passed.len() > FOLD_AT
    }

    /// Folds changes that no restart can come before into the base, when there are many.
    pub async fn committed(&mut self, position: &BinlogPosition) -> Result<()> {
        if !self.wants_commit() {
            return Ok(());
        }
        let folded = self.passed.iter().take_while(|(_, change)| position.is_behind(&change.point())).count();
        if folded <= FOLD_AT / 2 {
            return Ok(());
        }
        let mut numbers = Vec::with_capacity(folded);
        for (number, change) in self.passed.drain(..folded) {
            apply(&mut self.base, &change)?;
            numbers.push(number);
        }
        // Changes leave the place where things were, so applying one again to a base that has it does no harm: dying
        // anywhere in between is safe.
        self.generation += 1;
        self.write_base().await?;
        for number in numbers {
            self.state.delete(&change_name(number)).await?;
        }
        self.delete_bases_before(self.generation).await
    }

    async fn write_base(&self) -> Result<()> {
        let mut parts = 0;
        let (mut tables, mut bytes) = (Vec::new(), 0);
        let stored: Vec<_> = self.base.iter().map(StoredTable::of).collect();
        for table in stored {
            bytes += stored::write(&table)?.len();
            tables.push(table);
            if bytes > MAX_BYTES {
                self.write_part(std::mem::take(&mut tables), parts).await?;
                (parts, bytes) = (parts + 1, 0);
            }
        }
        if !tables.is_empty() {
            self.write_part(tables, parts).await?;
            parts += 1;
        }
        let databases = self.base.databases();
        let current = StoredCurrent {
            version: VERSION,
            generation: self.generation,
            parts,
            fold_case: self.base.fold_case,
            databases: databases
                .map(|(name, database)| (name.to_string(), database.charset.as_deref().map(str::to_owned)))
                .collect(),
        };
        self.state.put(CURRENT, &stored::write(&current)?).await
    }

    async fn write_part(&self, tables: Vec<StoredTable>, part: u64) -> Result<()> {
        let bytes = stored::write(&StoredPart { version: VERSION, tables })?;
        self.state.put(&part_name(self.generation, part), &bytes).await
    }

    async fn delete_bases_before(&self, generation: u64) -> Result<()> {
        for name in self.state.names("schema-base-").await? {
            let of = name
                .trim_start_matches("schema-base-")
                .split('-')
                .next()
                .and_then(|text| text.parse::<u64>().ok());
            if of.is_some_and(|of| of < generation) {
                self.state.delete(&name).await?;
            }
        }
        Ok(())
    }
}

fn apply(tables: &mut Tables, change: &StoredChange) -> Result<()> {
    for (database, charset) in &change.databases {
        tables.set_charset(database, charset.as_deref().map(Arc::from));
    }
    for table in &change.tables {
        match table.read()? {
            Some(tracked) => tables.put(tracked),
            None => drop::<Option<Tracked>>(tables.remove(&table.database, &table.name)),
        }
    }
    Ok(())
}

fn change_name(number: u64) -> String {
    format!("{CHANGE}{number:020}")
}

fn part_name(generation: u64, part: u64) -> String {
    format!("schema-base-{generation}-{part}")
}

#[cfg(test)]
mod tests {
    use super::super::apply_statement;
    use super::*;
    use testkit::memory::MemoryState;

    fn position(offset: u64) -> BinlogPosition {
        BinlogPosition { file: "bin.000001".into(), offset, gtid: None, server: None }
    }

    fn point(end: u64) -> ChangePoint {
        ChangePoint { file: "bin.000001".into(), end, id: None }
    }

    async fn run(history: &mut History, sql: &str, end: u64) {
        let effect = apply_statement(history.tables_mut(), sql, "shop", false, None);
        history.record(&point(end), &effect).await.expect("recorded");
    }

    fn columns(history: &History, table: &str) -> Option<usize> {
        history.tables().get("shop", table).map(|tracked| tracked.table.columns.len())
    }

    async fn loaded(state: &Arc<MemoryState>, offset: u64) -> History {
        History::load(state.clone(), &position(offset)).await.expect("loaded").expect("there")
    }

    #[tokio::test]
    async fn a_restart_sees_the_tables_of_its_position() {
        let state = Arc::new(MemoryState::default());
        assert!(History::load(state.clone(), &position(4)).await.expect("loaded").is_none());
        let mut history = History::begin(state.clone(), Tables::new(false)).await.expect("begun");
        run(&mut history, "CREATE TABLE t (a INT)", 100).await;
        run(&mut history, "ALTER TABLE t ADD b INT", 200).await;
        run(&mut history, "DROP TABLE t", 300).await;
        for (offset, expected) in [(50, None), (100, Some(1)), (250, Some(2)), (300, None)] {
            assert_eq!(columns(&loaded(&state, offset).await, "t"), expected, "at {offset}");
        }
        // Coming by a statement again puts its stored outcome in force, and stores nothing new.
        let mut history = loaded(&state, 150).await;
        assert!(history.replay(&point(200)).expect("replayed"));
        assert_eq!(columns(&history, "t"), Some(2));
        assert!(!history.replay(&point(250)).expect("looked up"));
    }

    #[tokio::test]
    async fn committed_changes_are_folded_and_nothing_is_lost() {
        let state = Arc::new(MemoryState::default());
        let mut history = History::begin(state.clone(), Tables::new(false)).await.expect("begun");
        run(&mut history, "CREATE TABLE t (c0 INT)", 10).await;
        for number in 1..100u64 {
            run(&mut history, &format!("ALTER TABLE t ADD c{number} INT"), 10 + number).await;
        }
        history.committed(&position(10 + 80)).await.expect("folded");
        assert_eq!(state.names(CHANGE).await.expect("names").len(), 19);
        assert_eq!(columns(&loaded(&state, 10 + 80).await, "t"), Some(81));
        assert_eq!(columns(&loaded(&state, 10 + 99).await, "t"), Some(100));
    }

    #[tokio::test]
    async fn a_large_catalog_is_stored_in_parts() {
        let state = Arc::new(MemoryState::default());
        let mut tables = Tables::new(false);
        for number in 0..2000 {
            let columns: Vec<_> =
                (0..20).map(|c| format!("column_with_a_long_name_{c} VARCHAR(20)")).collect();
            apply_statement(
                &mut tables,
                &format!("CREATE TABLE t{number} ({})", columns.join(",")),
                "shop",
                false,
                None,
            );
        }
        History::begin(state.clone(), tables).await.expect("begun");
        assert!(state.names("schema-base-").await.expect("names").len() > 2);
        assert_eq!(loaded(&state, 4).await.tables().iter().count(), 2000);
        // A second beginning leaves nothing of the first.
        History::begin(state.clone(), Tables::new(false)).await.expect("begun");
        assert_eq!(loaded(&state, 4).await.tables().iter().count(), 0);
        assert!(state.names("schema-base-").await.expect("names").is_empty());
    }
}
