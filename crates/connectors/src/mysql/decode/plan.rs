//! A plan to read the row images of one table map.

use std::sync::Arc;

use openmessaging_connector::{Result, Scalar, Schema, Visitor};

use super::column::{ColumnPlan, Scratch};
use crate::mysql::binlog::{Bitmap, TableMap, malformed};
use crate::mysql::table::Table;

/// How to read the row images of a table as one table map describes them. Make it once for each
/// [definition](TableMap::definition) and keep it: it borrows nothing and is shared freely.
#[derive(Debug)]
pub struct RowPlan {
    table: Arc<Table>,
    pub(super) columns: Vec<ColumnPlan>,
}

/// Where each column of one image is. Kept and used again for every row, so that walking allocates nothing.
#[derive(Debug, Default)]
pub struct Spans {
    pub(super) at: Vec<Span>,
    /// Texts that are in no event: JSON documents after their changes were applied.
    pub(super) rendered: Vec<u8>,
    pub(super) scratch: Scratch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    Absent,
    Null,
    At {
        start: u32,
        end: u32,
    },
    /// JSON text in [`Spans::rendered`].
    Rendered {
        start: u32,
        end: u32,
    },
}

impl Spans {
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the image has a value of that column, null included.
    pub fn is_present(&self, column: usize) -> bool {
        self.at.get(column).is_some_and(|span| *span != Span::Absent)
    }

    pub fn is_null(&self, column: usize) -> bool {
        self.at.get(column) == Some(&Span::Null)
    }

    /// The bytes of a column's value as they are in the event; `None` where it is absent, null, or put together. Two
    /// images of one event have the same value where they have the same bytes.
    pub fn stored<'d>(&self, data: &'d [u8], column: usize) -> Option<&'d [u8]> {
        match self.at.get(column) {
            Some(&Span::At { start, end }) => data.get(start as usize..end as usize),
            _ => None,
        }
    }

    pub(super) fn clear(&mut self) {
        self.at.clear();
        self.rendered.clear();
    }
}

impl RowPlan {
    /// Compiles the plan. `table` says how to understand the columns, `map` how they are stored.
    ///
    /// # Errors
    /// `mysql.schema_mismatch` where the two do not [agree](TableMap::check_against); `mysql.unknown_charset`.
    pub fn new(map: &TableMap<'_>, table: Arc<Table>) -> Result<Self> {
        map.check_against(&table)?;
        let types = map.column_types()?;
        let columns = types.iter().zip(&table.columns).map(|(ty, column)| ColumnPlan::new(*ty, column));
        let columns = columns.collect::<Result<_>>()?;
        Ok(Self { table, columns })
    }

    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// Walks the image that begins at `at` and notes where its columns are; returns where the image ends. `present`
    /// are the columns it has.
    ///
    /// # Errors
    /// `mysql.binlog_malformed`: the image ends early, or has another number of columns.
    pub fn image(&self, data: &[u8], at: usize, present: &Bitmap<'_>, spans: &mut Spans) -> Result<usize> {
        self.walk(data, at, present, spans).ok_or_else(|| {
            malformed(format!(
                "rows event: a row of {}.{} does not fit its {} columns",
                self.table.database,
                self.table.name,
                self.columns.len()
            ))
        })
    }

    fn walk(&self, data: &[u8], at: usize, present: &Bitmap<'_>, spans: &mut Spans) -> Option<usize> {
        spans.clear();
        if present.len() != self.columns.len() || u32::try_from(data.len()).is_err() {
            return None;
        }
        let image = data.get(at..)?;
        let count = present.count();
        let whole = count == self.columns.len();
        let nulls = Bitmap::new(image, count)?;
        spans.at.reserve(self.columns.len());
        let mut at = at + count.div_ceil(8);
        let mut index = 0;
        for (number, column) in self.columns.iter().enumerate() {
            if !whole && !present.get(number) {
                spans.at.push(Span::Absent);
                continue;
            }
            let null = nulls.get(index);
            index += 1;
            if null {
                spans.at.push(Span::Null);
                continue;
            }
            let (start, end) = column.storage.span(data, at)?;
            spans.at.push(Span::At { start: start as u32, end: end as u32 });
            at = end;
        }
        Some(at)
    }

    /// Drives the image that `spans` was walked over as one struct. `schema` is the table's
    /// [`row_schema`](super::row_schema), with a name.
    ///
    /// # Errors
    /// `mysql.value_malformed`, naming the column: its bytes are not a value of its type. The struct was ended all
    /// the same; throw the record away.
    pub fn visit(
        &self,
        data: &[u8],
        spans: &mut Spans,
        schema: &Arc<Schema>,
        visitor: &mut dyn Visitor,
    ) -> Result<()> {
        self.visit_all(data, spans, 0..self.columns.len(), schema, visitor)
    }

    /// Drives some columns, in the order given, as one struct: the key.
    ///
    /// # Errors
    /// As [`visit`](Self::visit).
    pub fn visit_columns(
        &self,
        data: &[u8],
        spans: &mut Spans,
        columns: &[usize],
        schema: &Arc<Schema>,
        visitor: &mut dyn Visitor,
    ) -> Result<()> {
        self.visit_all(data, spans, columns.iter().copied(), schema, visitor)
    }

    #[inline]
    fn visit_all(
        &self,
        data: &[u8],
        spans: &mut Spans,
        columns: impl Iterator<Item = usize>,
        schema: &Arc<Schema>,
        visitor: &mut dyn Visitor,
    ) -> Result<()> {
        visitor.begin_struct(schema);
        let mut first = None;
        for number in columns {
            if let Err(problem) = self.column(number, data, spans, visitor) {
                visitor.scalar(Scalar::Null);
                first.get_or_insert((number, problem));
            }
        }
        visitor.end_struct();
        match first {
            None => Ok(()),
            Some((number, problem)) => Err(self.bad_value(number, problem)),
        }
    }

    /// One scalar, or none and what is wrong.
    #[inline]
    fn column(
        &self,
        number: usize,
        data: &[u8],
        spans: &mut Spans,
        visitor: &mut dyn Visitor,
    ) -> Result<(), String> {
        match spans.at.get(number) {
            None | Some(Span::Absent) => visitor.scalar(Scalar::Absent),
            Some(Span::Null) => visitor.scalar(Scalar::Null),
            Some(&Span::Rendered { start, end }) => {
                let text = spans.rendered.get(start as usize..end as usize).unwrap_or_default();
                visitor.scalar(Scalar::Str(&String::from_utf8_lossy(text)));
            }
            Some(&Span::At { start, end }) => {
                let bytes = data.get(start as usize..end as usize);
                let (Some(bytes), Some(column)) = (bytes, self.columns.get(number)) else {
                    return Err("it is outside the event".into());
                };
                return column.visit(bytes, &mut spans.scratch, visitor);
            }
        }
        Ok(())
    }

    #[cold]
    pub(super) fn bad_value(&self, number: usize, problem: String) -> openmessaging_connector::Error {
        let column = self.table.columns.get(number).map_or("?", |column| &column.name);
        openmessaging_connector::Error::record(
            "mysql.value_malformed",
            format!("column {column} of {}.{}: {problem}", self.table.database, self.table.name),
        )
    }
}
