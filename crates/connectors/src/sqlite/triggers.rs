//! The SQL of the capture: the change table, the definitions, and the triggers of one table.
//!
//! The change table `_oms_changes_ID` has, beside the number `n` of the change, the definition `d` of its table, the
//! operation `op`, the time `ts` (milliseconds since the epoch) and the row ids, a pair of columns `o0, n0, o1, n1 ...`
//! for the values before and after, kept as SQLite has them: no conversion can fail in the program that makes the
//! change, and none loses anything. Only what every SQLite since 3.7.11 can do is used, as any program may fire them.
//!
//! Operations: `c` insert, `u` update, `d` delete, `s` a snapshot of the table is due, `x` a row that the statement
//! under way conflicts with: it is gone if that statement replaces it (`INSERT OR REPLACE` fires no delete triggers).

use super::table::{Table, quoted};

/// Now, in milliseconds since 1970: the Julian day of the epoch is 2440587.5.
pub(super) const NOW: &str = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)";

/// The names of what a connector has in the file.
#[derive(Debug, Clone)]
pub(super) struct Names {
    id: String,
}

impl Names {
    /// The connector's name, where it can be a part of a name as it is; otherwise with a checksum, to be its own.
    pub(super) fn new(connector: &str) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let mut id: String = connector.chars().map(plain).take(40).collect();
        if id != connector {
            id = format!("{id}_{:08x}", crc32c::crc32c(connector.as_bytes()));
        }
        Self { id }
    }

    pub(super) fn changes(&self) -> String {
        format!("_oms_changes_{}", self.id)
    }

    pub(super) fn tables(&self) -> String {
        format!("_oms_tables_{}", self.id)
    }

    /// What the names of all triggers start with.
    pub(super) fn prefix(&self) -> String {
        format!("_oms_{}.", self.id)
    }

    /// What the triggers of definition `d` are called, without the letters at the end.
    fn trigger(&self, d: i64) -> String {
        format!("{}{d}.", self.prefix())
    }

    /// The definition that a trigger of this connector is of.
    pub(super) fn definition_of(&self, trigger: &str) -> Option<i64> {
        let rest = trigger.strip_prefix(&self.prefix())?;
        rest.split_once('.')?.0.parse().ok()
    }

    /// Makes the two tables, where they are not there.
    pub(super) fn create(&self) -> String {
        let (changes, tables) = (quoted(&self.changes()), quoted(&self.tables()));
        format!(
            "CREATE TABLE IF NOT EXISTS {changes} (n INTEGER PRIMARY KEY AUTOINCREMENT, d INTEGER NOT NULL, \
             op TEXT NOT NULL, ts INTEGER, ok INTEGER, nk INTEGER); \
             CREATE TABLE IF NOT EXISTS {tables} (d INTEGER PRIMARY KEY AUTOINCREMENT, live INTEGER NOT NULL, \
             definition TEXT NOT NULL);"
        )
    }

    /// Makes the triggers of a definition, each with its name.
    pub(super) fn triggers(&self, d: i64, table: &Table) -> Vec<(String, String)> {
        let name = |letters: &str| format!("{}{letters}", self.trigger(d));
        let on = quoted(&table.name);
        let changes = quoted(&self.changes());
        let columns = |letters: &[char]| -> String {
            let pair = |at: usize| letters.iter().map(move |letter| format!(", {letter}{at}"));
            (0..table.columns.len()).flat_map(pair).collect()
        };
        let values = |rows: &[&str]| -> String {
            let pair =
                |name: &str| rows.iter().map(|row| format!(", {row}.{}", quoted(name))).collect::<String>();
            table.columns.iter().map(|column| pair(&column.name)).collect()
        };
        let rowid = |row: &str| {
            table.rowid.as_ref().map_or("NULL".to_owned(), |name| format!("{row}.{}", quoted(name)))
        };
        let record = |op: &str, old: &str, new: &str, columns: &str, values: &str| {
            format!(
                "INSERT INTO {changes} (d, op, ts, ok, nk{columns}) VALUES ({d}, '{op}', {NOW}, {old}, {new}{values});"
            )
        };
        let (old, new) = (rowid("OLD"), rowid("NEW"));
        let mut made = vec![
            (name("i"), "AFTER INSERT", record("c", "NULL", &new, &columns(&['n']), &values(&["NEW"]))),
            (
                name("u"),
                "AFTER UPDATE",
                record("u", &old, &new, &columns(&['o', 'n']), &values(&["OLD", "NEW"])),
            ),
            (name("d"), "AFTER DELETE", record("d", &old, "NULL", &columns(&['o']), &values(&["OLD"]))),
        ];
        let conflicting = |but: &str| -> String {
            let one = |unique: &super::table::Unique| {
                let equal = |(at, _): &(usize, _)| {
                    let column = quoted(&table.columns[*at].name);
                    format!("t.{column} = NEW.{column}")
                };
                let equal = unique.columns.iter().map(equal).collect::<Vec<_>>().join(" AND ");
                format!(
                    " INSERT INTO {changes} (d, op, ts, ok{columns}) SELECT {d}, 'x', {NOW}, {rowid}{values} FROM {on} \
                     AS t WHERE {equal}{but};",
                    columns = columns(&['o']),
                    rowid = rowid("t"),
                    values = values(&["t"]),
                )
            };
            table.unique.iter().map(one).collect()
        };
        if !table.unique.is_empty() {
            made.push((name("bi"), "BEFORE INSERT", conflicting("")));
        }
        if let Some(rowid) = &table.rowid
            && !table.unique.is_empty()
        {
            let mut watched: Vec<_> =
                table.unique.iter().flat_map(|unique| &unique.columns).map(|(at, _)| *at).collect();
            watched.sort_unstable();
            watched.dedup();
            let names: Vec<_> = watched.iter().map(|at| quoted(&table.columns[*at].name)).collect();
            let event = format!("BEFORE UPDATE OF {}", names.join(", "));
            let body = conflicting(&format!(" AND t.{rowid} <> OLD.{rowid}", rowid = quoted(rowid)));
            return finish(made, Some((name("bu"), event, body)), &on);
        }
        finish(made, None, &on)
    }

    /// More pairs of columns, from `have` to `want` of them.
    pub(super) fn widen(&self, have: usize, want: usize) -> Vec<String> {
        let changes = quoted(&self.changes());
        let columns = (have..want).flat_map(|at| [format!("o{at}"), format!("n{at}")]);
        columns.map(|column| format!("ALTER TABLE {changes} ADD COLUMN {column}")).collect()
    }

    /// Records the rows again which were written since `after` by a table's triggers that did not know its new columns
    /// yet, as updates from the columns' defaults. `from` is the definition before, `d` the one with the columns.
    pub(super) fn backfill(
        &self,
        from: i64,
        old: &Table,
        d: i64,
        table: &Table,
        after: i64,
    ) -> Option<String> {
        let known = |name: &str| old.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
        let added: Vec<_> = table.columns.iter().filter(|column| !known(&column.name)).collect();
        if added.is_empty() {
            return None;
        }
        let default = |expression: &Option<String>| format!("({})", expression.as_deref().unwrap_or("NULL"));
        let differs: Vec<_> = added
            .iter()
            .map(|column| format!("t.{} IS NOT {}", quoted(&column.name), default(&column.default)))
            .collect();
        let value = |column: &super::table::Column| {
            let now = format!("t.{}", quoted(&column.name));
            let before = if known(&column.name) { now.clone() } else { default(&column.default) };
            format!(", {before}, {now}")
        };
        let columns: String = (0..table.columns.len()).map(|at| format!(", o{at}, n{at}")).collect();
        let values: String = table.columns.iter().map(value).collect();
        let rowid = table.rowid.as_ref().map_or("NULL".to_owned(), |name| format!("t.{}", quoted(name)));
        let same: String = match &table.rowid {
            Some(_) => format!(" AND c.nk = {rowid}"),
            None => {
                let part = |at: &usize| {
                    let name = &table.columns[*at].name;
                    let was = old.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name))?;
                    Some(format!(" AND c.n{was} IS t.{}", quoted(name)))
                };
                table.key.iter().filter_map(part).collect()
            }
        };
        let changes = quoted(&self.changes());
        Some(format!(
            "INSERT INTO {changes} (d, op, ts, ok, nk{columns}) SELECT {d}, 'u', {NOW}, {rowid}, {rowid}{values} FROM \
             {name} AS t WHERE ({differs}) AND EXISTS (SELECT 1 FROM {changes} AS c WHERE c.n > {after} AND c.d = {from} \
             AND c.op IN ('c', 'u'){same})",
            name = quoted(&table.name),
            differs = differs.join(" OR "),
        ))
    }
}

fn finish(
    made: Vec<(String, &str, String)>,
    last: Option<(String, String, String)>,
    on: &str,
) -> Vec<(String, String)> {
    let made = made.into_iter().map(|(name, event, body)| (name, event.to_owned(), body)).chain(last);
    made.map(|(name, event, body)| {
        let sql = format!("CREATE TRIGGER {} {event} ON {on} BEGIN {body} END", quoted(&name));
        (name, sql)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_connectors_own() {
        assert_eq!(Names::new("shop").changes(), "_oms_changes_shop");
        assert_ne!(Names::new("a.b").changes(), Names::new("a-b").changes());
        let names = Names::new("shop");
        assert_eq!(names.definition_of(&format!("{}bi", names.trigger(12))), Some(12));
        assert_eq!(Names::new("sho").definition_of(&format!("{}i", names.trigger(12))), None);
    }
}
