//! The rows of one rows event, one after the other.

use openmessaging_connector::Result;

use super::json;
use super::plan::{RowPlan, Span, Spans};
use crate::mysql::binlog::{Bitmap, Cursor, Rows, RowsKind, malformed};

/// Walks the rows of an event. The images' columns are driven by [`RowPlan::visit`] with the event's
/// [data](Rows::data).
pub struct RowReader<'a> {
    plan: &'a RowPlan,
    rows: &'a Rows<'a>,
    at: usize,
    begun: bool,
}

impl<'a> RowReader<'a> {
    /// `plan` is that of the table map which [`Rows::table_id`] names.
    pub fn new(plan: &'a RowPlan, rows: &'a Rows<'a>) -> Self {
        Self { plan, rows, at: 0, begun: false }
    }

    /// Begins behind the rows before `offset`, which an [`offset`](Self::offset) told.
    pub fn resume(plan: &'a RowPlan, rows: &'a Rows<'a>, offset: usize) -> Self {
        Self { plan, rows, at: offset, begun: offset != 0 }
    }

    /// Where the next row begins in the event's data.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// Walks the next row; false after the last. A write fills `after`, a delete `before`, an update both; the other
    /// is left empty, so that all its columns are absent.
    ///
    /// JSON columns of which an update logs only the changes are put together from the image before. Where that image
    /// does not have the column (`binlog_row_image=MINIMAL`) the new value cannot be known, and is absent.
    ///
    /// # Errors
    /// `mysql.binlog_malformed`; `mysql.value_malformed` where changes do not fit their JSON document.
    pub fn next_row(&mut self, before: &mut Spans, after: &mut Spans) -> Result<bool> {
        let data: &[u8] = &self.rows.data;
        // A row without any column takes no bytes: an event with no bytes is one such row.
        if self.at >= data.len() && (self.begun || !data.is_empty()) {
            return Ok(false);
        }
        self.begun = true;
        let start = self.at;
        match self.rows.kind {
            RowsKind::Write => {
                before.clear();
                self.at = self.plan.image(data, self.at, &self.rows.columns, after)?;
            }
            RowsKind::Delete => {
                after.clear();
                self.at = self.plan.image(data, self.at, &self.rows.columns, before)?;
            }
            RowsKind::Update => {
                self.at = self.plan.image(data, self.at, &self.rows.columns, before)?;
                self.at = self.plan.image(data, self.at, self.columns_after(), after)?;
            }
            RowsKind::PartialUpdate => {
                self.at = self.plan.image(data, self.at, &self.rows.columns, before)?;
                let partial = self.partial_columns(data)?;
                self.at = self.plan.image(data, self.at, self.columns_after(), after)?;
                if let Some(partial) = partial {
                    self.apply_changes(data, &partial, before, after)?;
                }
            }
        }
        if self.at == start && !data.is_empty() {
            return Err(malformed("rows event: a row takes no bytes"));
        }
        Ok(true)
    }

    fn columns_after(&self) -> &'a Bitmap<'a> {
        self.rows.columns_after.as_ref().unwrap_or(&self.rows.columns)
    }

    /// What stands before the after image of a partial update: the value options, and a bit for each JSON column of
    /// the table which says whether its changes follow instead of its value.
    fn partial_columns(&mut self, data: &'a [u8]) -> Result<Option<Bitmap<'a>>> {
        const PARTIAL_JSON: u64 = 1;
        let mut cursor = Cursor::new(data.get(self.at..).unwrap_or_default(), "rows event");
        let options = cursor.lenenc()?;
        let mut partial = None;
        if options & PARTIAL_JSON != 0 {
            let json_columns = self.plan.columns.iter().filter(|column| column.is_binary_json()).count();
            partial = Bitmap::new(cursor.take(json_columns.div_ceil(8))?, json_columns);
        }
        self.at = data.len() - cursor.len();
        Ok(partial)
    }

    fn apply_changes(
        &self,
        data: &[u8],
        partial: &Bitmap<'_>,
        before: &Spans,
        after: &mut Spans,
    ) -> Result<()> {
        let json_columns = (0..).zip(&self.plan.columns).filter(|(_, column)| column.is_binary_json());
        for (index, (number, _)) in json_columns.enumerate() {
            let Some(&Span::At { start, end }) = after.at.get(number).filter(|_| partial.get(index)) else {
                continue;
            };
            let changes = data.get(start as usize..end as usize).unwrap_or_default();
            after.at[number] = match before.at.get(number) {
                Some(&Span::At { start, end }) => {
                    let document = data.get(start as usize..end as usize).unwrap_or_default();
                    let start = after.rendered.len() as u32;
                    json::apply_changes(document, changes, &mut after.rendered)
                        .map_err(|problem| self.plan.bad_value(number, problem))?;
                    Span::Rendered { start, end: after.rendered.len() as u32 }
                }
                _ => Span::Absent,
            };
        }
        Ok(())
    }
}
