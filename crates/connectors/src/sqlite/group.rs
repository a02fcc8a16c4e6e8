//! From recorded changes to records: which records one change comes to. Pure.

use std::collections::VecDeque;

use openmessaging_connector::EntryType;
use rusqlite::types::Value as Datum;

use super::read::{Change, Op};

/// A change with the rows that it may have replaced.
#[derive(Debug, PartialEq)]
pub(super) struct Group {
    pub change: Change,
    /// In the way of the statement, as its BEFORE trigger saw.
    conflicts: Vec<Change>,
}

/// One record to come: the images are those of `from`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Planned<'g> {
    pub entry: EntryType,
    pub before: Option<Image<'g>>,
    pub after: Option<Image<'g>>,
}

/// A row as it was or is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Image<'g> {
    pub rowid: Option<i64>,
    pub values: &'g [Datum],
}

/// Puts conflicts to the changes that they belong to.
#[derive(Debug, Default)]
pub(super) struct Grouper {
    conflicts: Vec<Change>,
}

impl Grouper {
    pub(super) fn push(&mut self, change: Change, groups: &mut VecDeque<Group>) {
        if change.op == Op::Conflict {
            // A statement has at most one conflict by each constraint; earlier ones are of statements that came to
            // nothing.
            let most = change.of.table.unique.len();
            if self.conflicts.len() >= most.max(1) {
                self.conflicts.remove(0);
            }
            return self.conflicts.push(change);
        }
        let conflicts = std::mem::take(&mut self.conflicts);
        groups.push_back(Group { change, conflicts });
    }

    /// There was no change behind the conflicts when they were read, so theirs came to nothing.
    pub(super) fn clear(&mut self) {
        self.conflicts.clear();
    }
}

fn old(change: &Change) -> Image<'_> {
    Image { rowid: change.old_rowid, values: &change.old }
}

fn new(change: &Change) -> Image<'_> {
    Image { rowid: change.new_rowid, values: &change.new }
}

impl Group {
    /// The records of the change, in order.
    pub(super) fn records(&self) -> Vec<Planned<'_>> {
        let change = &self.change;
        let gone = |image| Planned { entry: EntryType::Delete, before: Some(image), after: None };
        let mut planned = Vec::with_capacity(1);
        // The row that the statement put another in the place of, under the same key: that is an update.
        let mut replaced = None;
        if matches!(change.op, Op::Insert | Op::Update) {
            let mut seen: Vec<Image<'_>> = Vec::new();
            for conflict in self.conflicts.iter().filter(|conflict| self.is_replaced(conflict)) {
                let image = old(conflict);
                if seen.iter().any(|seen| self.same_key(*seen, image)) {
                    continue;
                }
                seen.push(image);
                if self.same_key(image, new(change)) {
                    replaced = Some(image);
                } else if change.op == Op::Insert || !self.same_key(image, old(change)) {
                    planned.push(gone(image));
                }
            }
        }
        match change.op {
            Op::Insert => {
                let entry = if replaced.is_some() { EntryType::Update } else { EntryType::Create };
                planned.push(Planned { entry, before: replaced, after: Some(new(change)) });
            }
            Op::Update if self.same_key(old(change), new(change)) => {
                planned.push(Planned {
                    entry: EntryType::Update,
                    before: Some(old(change)),
                    after: Some(new(change)),
                });
            }
            // Another key is another row to whoever reads it: the old one goes, the new one comes.
            Op::Update => {
                planned.push(gone(old(change)));
                let entry = if replaced.is_some() { EntryType::Update } else { EntryType::Create };
                planned.push(Planned { entry, before: replaced, after: Some(new(change)) });
            }
            Op::Delete => planned.push(gone(old(change))),
            Op::Snapshot | Op::Conflict => {}
        }
        planned
    }

    /// Whether the statement that made the change conflicted with this row, and so replaced it: had it given way,
    /// there would be no change.
    fn is_replaced(&self, conflict: &Change) -> bool {
        let table = &self.change.of.table;
        conflict.of == self.change.of
            && table.unique.iter().any(|unique| unique.equal(&conflict.old, &self.change.new))
    }

    fn same_key(&self, one: Image<'_>, other: Image<'_>) -> bool {
        let table = &self.change.of.table;
        if table.key.is_empty() {
            return one.rowid == other.rowid;
        }
        table.key_of(one.values).eq(table.key_of(other.values))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use EntryType::{Create, Delete, Update};

    use super::super::install::Definition;
    use super::super::table::{Collation, Column, Table, Unique};
    use super::*;

    fn definition() -> Arc<Definition> {
        let column = |name: &str| Column {
            name: name.to_owned(),
            declared: String::new(),
            not_null: false,
            default: None,
        };
        let unique = |at| Unique { columns: vec![(at, Collation::NoCase)] };
        let table = Table {
            name: "t".to_owned(),
            columns: vec![column("id"), column("u")],
            key: vec![0],
            rowid: Some("id".to_owned()),
            unique: vec![unique(0), unique(1)],
        };
        Arc::new(Definition { d: 1, table })
    }

    fn change(op: Op, old: Option<(i64, &str)>, new: Option<(i64, &str)>) -> Change {
        let row = |(id, text): (i64, &str)| vec![Datum::Integer(id), Datum::Text(text.to_owned())];
        Change {
            n: 1,
            of: definition(),
            op,
            ts_ms: 0,
            old_rowid: old.map(|(id, _)| id),
            new_rowid: new.map(|(id, _)| id),
            old: old.map(row).unwrap_or_default(),
            new: new.map(row).unwrap_or_default(),
        }
    }

    /// Entry, key before and key after of each record.
    fn planned(changes: Vec<Change>) -> Vec<(EntryType, Option<i64>, Option<i64>)> {
        let (mut grouper, mut groups) = (Grouper::default(), VecDeque::new());
        changes.into_iter().for_each(|change| grouper.push(change, &mut groups));
        let record = |planned: &Planned<'_>| {
            let rowid = |image: Option<Image<'_>>| image.and_then(|image| image.rowid);
            (planned.entry, rowid(planned.before), rowid(planned.after))
        };
        groups.iter().flat_map(|group| group.records().iter().map(record).collect::<Vec<_>>()).collect()
    }

    fn conflict(id: i64, text: &str) -> Change {
        change(Op::Conflict, Some((id, text)), None)
    }

    fn insert(id: i64, text: &str) -> Change {
        change(Op::Insert, None, Some((id, text)))
    }

    #[test]
    fn plain_changes_are_one_record_each() {
        let update = change(Op::Update, Some((1, "a")), Some((1, "b")));
        let delete = change(Op::Delete, Some((1, "b")), None);
        let all = planned(vec![insert(1, "a"), update, delete]);
        assert_eq!(all, [(Create, None, Some(1)), (Update, Some(1), Some(1)), (Delete, Some(1), None)]);
    }

    #[test]
    fn another_key_is_another_row() {
        let update = change(Op::Update, Some((1, "a")), Some((2, "a")));
        assert_eq!(planned(vec![update]), [(Delete, Some(1), None), (Create, None, Some(2))]);
    }

    #[test]
    fn a_replaced_row_is_updated_or_deleted() {
        assert_eq!(planned(vec![conflict(1, "a"), insert(1, "b")]), [(Update, Some(1), Some(1))]);
        let by_another_key = planned(vec![conflict(1, "A"), insert(2, "a")]);
        assert_eq!(by_another_key, [(Delete, Some(1), None), (Create, None, Some(2))]);
        let both = planned(vec![conflict(1, "a"), conflict(2, "b"), insert(1, "b")]);
        assert_eq!(both, [(Delete, Some(2), None), (Update, Some(1), Some(1))]);
        let update = change(Op::Update, Some((1, "a")), Some((1, "b")));
        assert_eq!(
            planned(vec![conflict(2, "b"), update]),
            [(Delete, Some(2), None), (Update, Some(1), Some(1))]
        );
    }

    #[test]
    fn a_statement_that_gave_way_deletes_nothing() {
        let upsert = change(Op::Update, Some((1, "a")), Some((1, "c")));
        assert_eq!(planned(vec![conflict(1, "a"), upsert]), [(Update, Some(1), Some(1))]);
        assert_eq!(planned(vec![conflict(1, "a"), insert(2, "b")]), [(Create, None, Some(2))]);
        let fired = change(Op::Delete, Some((1, "a")), None);
        let all = planned(vec![conflict(1, "a"), fired, insert(2, "a")]);
        assert_eq!(all, [(Delete, Some(1), None), (Create, None, Some(2))]);
    }
}
