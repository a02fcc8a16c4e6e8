//! The tables of a server at one moment of the stream, moved on by DDL. Pure: what cannot be worked out is handed back
//! for the caller to look up.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ddl::{ColumnDef, Ddl, Name, Place, Step};
use crate::mysql::table::{Column, Kind, Table};

/// Database and name.
pub type TableName = (Arc<str>, Arc<str>);

/// A table with what later DDL needs of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracked {
    pub table: Arc<Table>,
    /// Character set of text columns that name none.
    pub charset: Arc<str>,
}

/// A database with its tables by name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Database {
    pub charset: Option<Arc<str>>,
    pub tables: BTreeMap<Arc<str>, Tracked>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tables {
    databases: BTreeMap<Arc<str>, Database>,
    /// Names are compared in lower case (`lower_case_table_names` other than 0).
    pub fold_case: bool,
}

/// What a statement did.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Effect {
    /// Tables that are new, different or gone, by database and name. Databases whose default character set changed
    /// have an empty table name.
    pub touched: Vec<TableName>,
    /// The table whose rows are all gone.
    pub truncated: Option<TableName>,
    /// Tables that must be looked up in the catalog.
    pub unknown: Vec<TableName>,
    /// Some tables changed, and which ones could not be read: all must be looked up.
    pub all_unknown: bool,
}

impl Tables {
    pub fn new(fold_case: bool) -> Self {
        Self { databases: BTreeMap::new(), fold_case }
    }

    pub fn get(&self, database: &str, table: &str) -> Option<&Tracked> {
        if self.fold_case {
            return self.databases.get(&*database.to_lowercase())?.tables.get(&*table.to_lowercase());
        }
        self.databases.get(database)?.tables.get(table)
    }

    /// Every table, by database and name.
    pub fn iter(&self) -> impl Iterator<Item = &Tracked> {
        self.databases.values().flat_map(|database| database.tables.values())
    }

    pub fn databases(&self) -> impl Iterator<Item = (&Arc<str>, &Database)> {
        self.databases.iter()
    }

    pub fn set_charset(&mut self, database: &str, charset: Option<Arc<str>>) {
        self.databases.entry(self.folded(database)).or_default().charset = charset;
    }

    pub fn charset(&self, database: &str) -> Option<Arc<str>> {
        self.databases.get(&self.folded(database))?.charset.clone()
    }

    pub fn put(&mut self, tracked: Tracked) {
        let (database, name) = (self.folded(&tracked.table.database), self.folded(&tracked.table.name));
        self.databases.entry(database).or_default().tables.insert(name, tracked);
    }

    pub fn remove(&mut self, database: &str, table: &str) -> Option<Tracked> {
        let (database, table) = (self.folded(database), self.folded(table));
        self.databases.get_mut(&database)?.tables.remove(&table)
    }

    fn folded(&self, name: &str) -> Arc<str> {
        if self.fold_case { name.to_lowercase().into() } else { name.into() }
    }

    /// Applies a statement that ran with `session` as default database.
    ///
    /// It may have been applied already (a catalog read after it): what it would do is then left as it is.
    pub(super) fn apply(&mut self, ddl: Ddl, session: &str) -> Effect {
        let mut effect = Effect::default();
        let place = |name: &Name| -> TableName {
            (self.folded(name.database.as_deref().unwrap_or(session)), self.folded(&name.table))
        };
        match ddl {
            Ddl::Other => {}
            Ddl::CreateTable { name, columns, key, charset, if_not_exists } => {
                let at = place(&name);
                if if_not_exists && self.get(&at.0, &at.1).is_some() {
                    return effect;
                }
                self.create(&at, columns, &key, charset);
                effect.touched.push(at);
            }
            Ddl::CreateLike { name, like, if_not_exists } => {
                let (at, model) = (place(&name), place(&like));
                if if_not_exists && self.get(&at.0, &at.1).is_some() {
                    return effect;
                }
                match self.get(&model.0, &model.1).cloned() {
                    Some(tracked) => {
                        self.put_as(tracked, &at);
                        effect.touched.push(at);
                    }
                    None => effect.unknown.push(at),
                }
            }
            Ddl::AlterTable { name, steps } => {
                let at = place(&name);
                self.alter(at, steps, session, &mut effect);
            }
            Ddl::DropTables(names) => {
                let gone: Vec<_> = names.iter().map(place).collect();
                effect.touched.extend(gone.into_iter().filter(|at| self.remove(&at.0, &at.1).is_some()));
            }
            Ddl::RenameTables(pairs) => {
                let pairs: Vec<_> = pairs.iter().map(|(from, to)| (place(from), place(to))).collect();
                pairs.into_iter().for_each(|(from, to)| self.rename(from, to, &mut effect));
            }
            Ddl::Truncate(name) => effect.truncated = Some(place(&name)),
            Ddl::DatabaseCharset { database, charset } => {
                let database = self.folded(database.as_deref().unwrap_or(session));
                self.set_charset(&database, Some(charset.into()));
                effect.touched.push((database, "".into()));
            }
            Ddl::DropDatabase(name) => {
                let name = self.folded(&name);
                if let Some(database) = self.databases.remove(&name) {
                    effect.touched.extend(database.tables.into_keys().map(|table| (name.clone(), table)));
                    effect.touched.push((name, "".into()));
                }
            }
            Ddl::Unreadable(Some(name)) => effect.unknown.push(place(&name)),
            Ddl::Unreadable(None) => effect.all_unknown = true,
        }
        effect
    }

    fn create(&mut self, at: &TableName, columns: Vec<ColumnDef>, key: &[String], charset: Option<String>) {
        let charset: Arc<str> = match charset {
            Some(charset) => charset.into(),
            None => self.charset(&at.0).unwrap_or_else(|| "utf8mb4".into()),
        };
        let mut table = Table {
            database: at.0.clone(),
            name: at.1.clone(),
            columns: Vec::new(),
            primary_key: Vec::new(),
        };
        table.columns = columns.into_iter().map(|column| column_of(column, &charset)).collect();
        set_key(&mut table, key);
        self.put(Tracked { table: Arc::new(table), charset });
    }

    fn put_as(&mut self, tracked: Tracked, at: &TableName) {
        let table = Table { database: at.0.clone(), name: at.1.clone(), ..(*tracked.table).clone() };
        self.put(Tracked { table: Arc::new(table), charset: tracked.charset });
    }

    fn rename(&mut self, from: TableName, to: TableName, effect: &mut Effect) {
        match self.remove(&from.0, &from.1) {
            Some(tracked) => {
                self.put_as(tracked, &to);
                effect.touched.push(from);
                effect.touched.push(to);
            }
            // Renamed already, as far as the catalog that was read tells; or from a database that is not read.
            None if self.get(&to.0, &to.1).is_some() => {}
            None => effect.unknown.push(to),
        }
    }

    fn alter(&mut self, at: TableName, steps: Vec<Step>, session: &str, effect: &mut Effect) {
        let Some(tracked) = self.get(&at.0, &at.1).cloned() else {
            effect.unknown.push(at);
            return;
        };
        let mut table = (*tracked.table).clone();
        let mut charset = tracked.charset.clone();
        let mut renamed = None;
        for step in steps {
            match step {
                Step::RenameTable(name) => {
                    renamed = Some((
                        self.folded(name.database.as_deref().unwrap_or(session)),
                        self.folded(&name.table),
                    ));
                }
                other => alter_step(&mut table, &mut charset, other),
            }
        }
        self.put(Tracked { table: Arc::new(table), charset });
        effect.touched.push(at.clone());
        if let Some(to) = renamed {
            self.rename(at, to, effect);
        }
    }
}

fn column_of(column: ColumnDef, charset: &str) -> Column {
    Column { name: column.name.into(), kind: column.ty.resolve(charset), nullable: column.nullable }
}

fn index_of(table: &Table, name: &str) -> Option<usize> {
    let lower = name.to_lowercase();
    table.columns.iter().position(|column| column.name.to_lowercase() == lower)
}

fn set_key(table: &mut Table, key: &[String]) {
    table.primary_key = key.iter().filter_map(|name| index_of(table, name)).collect();
    for at in table.primary_key.clone() {
        table.columns[at].nullable = false;
    }
}

/// Puts the key's columns back in place after columns moved.
fn with_key_kept(table: &mut Table, change: impl FnOnce(&mut Table)) {
    let key: Vec<_> = table
        .primary_key
        .iter()
        .filter_map(|at| table.columns.get(*at))
        .map(|c| c.name.to_string())
        .collect();
    change(table);
    set_key(table, &key);
}

fn insert(table: &mut Table, column: Column, place: &Place) {
    let at = match place {
        Place::First => 0,
        Place::Last => table.columns.len(),
        Place::After(name) => index_of(table, name).map_or(table.columns.len(), |at| at + 1),
    };
    table.columns.insert(at, column);
}

fn alter_step(table: &mut Table, charset: &mut Arc<str>, step: Step) {
    match step {
        Step::Add(column, place) => {
            // There already: ADD COLUMN IF NOT EXISTS, or a catalog that was read after this statement.
            if index_of(table, &column.name).is_some() {
                return;
            }
            let (name, primary) = (column.name.clone(), column.primary);
            let column = column_of(column, charset);
            with_key_kept(table, |table| insert(table, column, &place));
            if primary {
                set_key(table, &[name]);
            }
        }
        Step::Drop(name) => {
            if let Some(at) = index_of(table, &name) {
                with_key_kept(table, |table| drop(table.columns.remove(at)));
            }
        }
        Step::Change(old, column, place) => {
            let Some(at) = index_of(table, &old) else { return };
            let (name, primary) = (column.name.clone(), column.primary);
            let in_key = table.primary_key.iter().position(|key| *key == at);
            let mut column = column_of(column, charset);
            column.nullable &= in_key.is_none();
            let mut key: Vec<_> =
                table.primary_key.iter().map(|at| table.columns[*at].name.to_string()).collect();
            match place {
                None => table.columns[at] = column,
                Some(place) => {
                    table.columns.remove(at);
                    insert(table, column, &place);
                }
            }
            if let Some(in_key) = in_key {
                key[in_key] = name.clone();
            } else if primary {
                key = vec![name];
            }
            set_key(table, &key);
        }
        Step::RenameColumn(old, new) => {
            if let Some(at) = index_of(table, &old) {
                table.columns[at].name = new.into();
            }
        }
        Step::PrimaryKey(key) => set_key(table, &key),
        Step::DropPrimaryKey => table.primary_key.clear(),
        Step::DefaultCharset(name) => *charset = name.into(),
        Step::ConvertTo(name) => {
            *charset = name.into();
            for column in &mut table.columns {
                if let Kind::Text { charset: of_column, .. } = &mut column.kind {
                    *of_column = charset.clone();
                }
            }
        }
        Step::RenameTable(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::ddl;
    use super::*;

    fn run(tables: &mut Tables, sql: &str) -> Effect {
        tables.apply(ddl::parse(sql, false, true), "shop")
    }

    fn columns(tables: &Tables, table: &str) -> String {
        let tracked = tables.get("shop", table).unwrap_or_else(|| panic!("no {table}"));
        let names: Vec<_> = tracked.table.columns.iter().map(|column| &*column.name).collect();
        let key: Vec<_> = tracked.table.primary_key.iter().map(|at| names[*at]).collect();
        format!("{} key {}", names.join(","), key.join(","))
    }

    #[test]
    fn columns_come_move_change_and_go_with_the_key_following() {
        let mut tables = Tables::new(false);
        run(&mut tables, "CREATE TABLE t (id INT, a INT, b VARCHAR(3), PRIMARY KEY (b, id)) CHARSET latin1");
        assert_eq!(columns(&tables, "t"), "id,a,b key b,id");
        run(&mut tables, "ALTER TABLE t ADD c TEXT FIRST, ADD d INT AFTER ID, DROP a");
        assert_eq!(columns(&tables, "t"), "c,id,d,b key b,id");
        run(&mut tables, "ALTER TABLE t CHANGE b bb CHAR(9) FIRST, MODIFY d BIGINT NOT NULL");
        assert_eq!(columns(&tables, "t"), "bb,c,id,d key bb,id");
        let table = tables.get("shop", "t").expect("there").table.clone();
        assert_eq!(table.columns[1].kind, Kind::Text { type_name: "TEXT", charset: "latin1".into() });
        assert_eq!(table.columns[3].kind, Kind::BigInt { unsigned: false });
        assert!(!table.columns[3].nullable && !table.columns[0].nullable);
        run(
            &mut tables,
            "ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (id), RENAME COLUMN d TO e, CONVERT TO CHARACTER SET utf8mb4",
        );
        assert_eq!(columns(&tables, "t"), "bb,c,id,e key id");
        let table = tables.get("shop", "t").expect("there").table.clone();
        assert_eq!(table.columns[1].kind, Kind::Text { type_name: "TEXT", charset: "utf8mb4".into() });
    }

    #[test]
    fn statements_that_were_applied_before_change_nothing() {
        let mut tables = Tables::new(false);
        run(&mut tables, "CREATE TABLE t (id INT KEY, a INT, b INT)");
        let before = tables.clone();
        run(&mut tables, "ALTER TABLE t ADD a INT FIRST");
        run(&mut tables, "ALTER TABLE t DROP gone");
        run(&mut tables, "RENAME TABLE old TO t");
        assert_eq!(tables, before);
    }

    #[test]
    fn a_swap_by_renaming_and_a_copy() {
        let mut tables = Tables::new(false);
        run(&mut tables, "CREATE TABLE t (id INT KEY)");
        run(&mut tables, "CREATE TABLE _t_new LIKE t");
        run(&mut tables, "ALTER TABLE _t_new ADD x INT");
        let effect = run(&mut tables, "RENAME TABLE t TO _t_old, _t_new TO t");
        assert_eq!(columns(&tables, "t"), "id,x key id");
        assert_eq!(columns(&tables, "_t_old"), "id key id");
        assert_eq!(effect.touched.len(), 4);
        assert_eq!(&*tables.get("shop", "t").expect("there").table.name, "t");
    }

    #[test]
    fn what_is_not_known_is_handed_back() {
        let mut tables = Tables::new(false);
        let unknown =
            |effect: Effect| effect.unknown.iter().map(|(_, table)| table.to_string()).collect::<Vec<_>>();
        assert_eq!(unknown(run(&mut tables, "ALTER TABLE x ADD a INT")), ["x"]);
        assert_eq!(unknown(run(&mut tables, "CREATE TABLE y (a nonsuch)")), ["y"]);
        assert_eq!(unknown(run(&mut tables, "RENAME TABLE a TO b")), ["b"]);
        assert!(run(&mut tables, "ALTER TABLE `t ADD").all_unknown);
    }

    #[test]
    fn defaults_of_the_database_and_folded_names() {
        let mut tables = Tables::new(true);
        run(&mut tables, "CREATE DATABASE shop CHARACTER SET gbk");
        run(&mut tables, "CREATE TABLE T (a VARCHAR(3))");
        let table = &tables.get("Shop", "t").expect("folded").table;
        assert_eq!(table.columns[0].kind, Kind::Text { type_name: "VARCHAR", charset: "gbk".into() });
        assert_eq!(run(&mut tables, "DROP DATABASE SHOP").touched.len(), 2);
        assert_eq!(tables.iter().count(), 0);
    }
}
