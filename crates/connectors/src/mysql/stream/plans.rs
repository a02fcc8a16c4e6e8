//! Row plans by table map: made once, used for as long as map and definition stay the same.

use std::collections::HashMap;
use std::sync::Arc;

use openmessaging_connector::Result;

use crate::mysql::binlog::{TableMap, column_type};
use crate::mysql::decode::RowPlan;
use crate::mysql::record::{Shape, Shapes};
use crate::mysql::table::{Kind, Table};

/// How to read and show the rows of a table.
#[derive(Debug)]
pub(super) struct Planned {
    pub plan: RowPlan,
    pub shape: Arc<Shape>,
}

#[derive(Debug)]
struct Entry {
    /// The map's own bytes: the same id may come to mean another table.
    definition: Vec<u8>,
    /// Of the tables' definitions, when the plan was made.
    version: u64,
    /// `None`: the table is filtered.
    planned: Option<Arc<Planned>>,
}

/// Plans by table id.
#[derive(Debug, Default)]
pub(super) struct Plans {
    entries: HashMap<u64, Entry>,
    /// Grows with every DDL statement that touched a table.
    pub version: u64,
}

/// Ids grow for ever on a server whose tables are opened anew all the time.
const MAX_ENTRIES: usize = 4096;

impl Plans {
    /// Whether the map was seen as it is.
    pub(super) fn is_current(&self, map: &TableMap<'_>) -> bool {
        let entry = self.entries.get(&map.table_id);
        entry.is_some_and(|entry| entry.version == self.version && entry.definition == map.definition())
    }

    /// The plan of a rows event: `Some(None)` where the table is filtered, `None` where no map came before.
    pub(super) fn get(&self, table_id: u64) -> Option<&Option<Arc<Planned>>> {
        self.entries.get(&table_id).map(|entry| &entry.planned)
    }

    pub(super) fn put(&mut self, map: &TableMap<'_>, planned: Option<Arc<Planned>>) {
        if self.entries.len() >= MAX_ENTRIES {
            self.entries.clear();
        }
        let entry = Entry { definition: map.definition().to_vec(), version: self.version, planned };
        self.entries.insert(map.table_id, entry);
    }
}

/// Makes a plan. `known` is the table as the history has it.
pub(super) fn plan(
    map: &TableMap<'_>,
    known: Option<&Arc<Table>>,
    shapes: &mut Shapes,
) -> Result<Option<Arc<Planned>>> {
    let table = match (map.has_full_metadata(), known) {
        (true, known) => Arc::new(map.to_table(known.map(|table| &**table))?),
        (false, Some(known)) => aligned(map, known)?,
        (false, None) => return Ok(None),
    };
    let shape = shapes.of(&table);
    Ok(Some(Arc::new(Planned { plan: RowPlan::new(map, shape.table.clone())?, shape })))
}

/// The table with what the map knows better: which columns may be null (defaults of TIMESTAMP depend on settings of the
/// server), and the sizes of TEXT and BLOB (a change of character set may enlarge them).
fn aligned(map: &TableMap<'_>, known: &Arc<Table>) -> Result<Arc<Table>> {
    let types = map.column_types()?;
    if types.len() != known.columns.len() {
        return Ok(known.clone());
    }
    let mut table = (**known).clone();
    for (index, (ty, column)) in types.iter().zip(&mut table.columns).enumerate() {
        column.nullable = map.nullable().get(index);
        if ty.code != column_type::BLOB {
            continue;
        }
        let size = usize::from(ty.meta.clamp(1, 4)) - 1;
        match &mut column.kind {
            Kind::Text { type_name, .. } if type_name.ends_with("TEXT") => {
                *type_name = ["TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT"][size];
            }
            Kind::Bytes { type_name } if type_name.ends_with("BLOB") => {
                *type_name = ["TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB"][size];
            }
            _ => {}
        }
    }
    Ok(if table == **known { known.clone() } else { Arc::new(table) })
}
