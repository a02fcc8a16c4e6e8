//! Rows events into records.

use std::sync::Arc;

use openmessaging_connector::{EntryType, ErrorKind, Flow, RecordSink, Result, Value, ValueBuilder};

use super::core::{At, Core, Task, images_of, now_ms};
use super::plans::Planned;
use crate::mysql::binlog::{Header, Rows, RowsKind, malformed};
use crate::mysql::decode::{RowPlan, RowReader, Spans};
use crate::mysql::position::step;
use crate::mysql::record::{Change, Image, KeyFrom, Origin, Shape};

/// How far the rows of one event are done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct RowCursor {
    /// Where the next row begins in the event's data.
    pub offset: usize,
    /// Row images that are done; half a row where the first record of two is.
    pub images: u32,
    /// Number of the next row.
    pub row: u32,
}

/// What came of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowsDone {
    Whole,
    /// The batch is full; the cursor tells where to go on.
    Full,
}

impl Core {
    /// Drives the rows of an event from `cursor` on. On an error the cursor stands behind the record at fault, but for
    /// damage of the event itself.
    pub(super) fn rows(
        &mut self,
        task: &Task,
        rows: &Rows<'_>,
        header: &Header,
        at: At,
        cursor: &mut RowCursor,
        out: &mut dyn RecordSink,
    ) -> Result<RowsDone> {
        let number = self.transaction.events;
        let planned = match self.plans.get(rows.table_id) {
            Some(planned) => planned.clone(),
            // A rows event for no table only ends its statement.
            None if rows.data.is_empty() || matches!(rows.table_id, 0xff_ffff | 0xffff_ffff_ffff) => None,
            None => {
                let error = malformed(format!("rows of table id {} come without a table map", rows.table_id));
                return Err(self.located(error, at, "unknown"));
            }
        };
        let skipped = !self.transaction.foreign && self.delivered.has_event(number);
        if let Some(planned) = planned.filter(|_| !skipped) {
            let done = self.drive(task, &planned, rows, header, at, cursor, out)?;
            if done == RowsDone::Full {
                return Ok(done);
            }
        }
        self.transaction.events = number.saturating_add(1);
        Ok(RowsDone::Whole)
    }

    #[allow(clippy::too_many_arguments, reason = "all of the moment at hand")]
    fn drive(
        &mut self,
        task: &Task,
        planned: &Arc<Planned>,
        rows: &Rows<'_>,
        header: &Header,
        at: At,
        cursor: &mut RowCursor,
        out: &mut dyn RecordSink,
    ) -> Result<RowsDone> {
        let base = self.base();
        let number = self.transaction.events;
        let delivered = if self.transaction.foreign { 0 } else { self.delivered.images_of(number) };
        let images = images_of(rows.kind);
        self.wrote = true;
        let (mut before, mut after) = (std::mem::take(&mut self.before), std::mem::take(&mut self.after));
        let origin = Origin {
            partition: &task.partition,
            connector: self.server.connector(),
            name: &task.name,
            ts_ms: self.transaction.commit_ms.unwrap_or(i64::from(header.timestamp) * 1000),
            read_ms: now_ms(),
            snapshot: false,
            server_id: header.server_id,
            gtid: Some(self.transaction.gtid.as_str()).filter(|gtid| !gtid.is_empty()),
            file: &self.file,
            pos: at.start,
            thread: self.transaction.thread,
            query: self.transaction.query.as_deref(),
        };
        let mut reader = RowReader::resume(&planned.plan, rows, cursor.offset);
        // A half row is read again from its beginning.
        let whole = |images_done: u32| images_done - images_done % images;
        let result = loop {
            let start = reader.offset();
            let first = whole(cursor.images);
            match reader.next_row(&mut before, &mut after) {
                Ok(true) => {}
                Ok(false) => break Ok(RowsDone::Whole),
                Err(error) => {
                    if error.kind == ErrorKind::Record {
                        *cursor = RowCursor {
                            offset: reader.offset(),
                            images: first + images,
                            row: cursor.row + 1,
                        };
                    }
                    let table = &planned.shape.table;
                    break Err(self.located(error, at, &format!("{}.{}", table.database, table.name)));
                }
            }
            let done = cursor.images.max(delivered);
            if done >= first + images {
                *cursor = RowCursor { offset: reader.offset(), images: first + images, row: cursor.row + 1 };
                continue;
            }
            self.written += 1;
            let mut row = Row {
                planned,
                data: &rows.data,
                before: &mut before,
                after: &mut after,
                kind: rows.kind,
                number: cursor.row,
            };
            let mut flow = Flow::More;
            let mut failed = None;
            if row.changes_key() {
                if done == first {
                    cursor.offset = start;
                    cursor.images = first + 1;
                    match row.write(Part::Delete, &origin, task, out, &base, step(number, first + 1)) {
                        Ok(of) => flow = of,
                        Err(error) => failed = Some(error),
                    }
                }
                if failed.is_none() {
                    *cursor = RowCursor { offset: reader.offset(), images: first + 2, row: cursor.row + 1 };
                    // After Full one more record is taken.
                    match row.write(Part::Create, &origin, task, out, &base, step(number, first + 2)) {
                        Ok(of) => flow = if flow == Flow::Full { flow } else { of },
                        Err(error) => failed = Some(error),
                    }
                }
            } else {
                *cursor = RowCursor { offset: reader.offset(), images: first + images, row: cursor.row + 1 };
                match row.write(Part::Whole, &origin, task, out, &base, step(number, first + images)) {
                    Ok(of) => flow = of,
                    Err(error) => failed = Some(error),
                }
            }
            if let Some(error) = failed {
                break Err(match error.code {
                    "mysql.value_malformed" => self.located(error, at, &planned.shape.table.name),
                    _ => error,
                });
            }
            if flow == Flow::Full {
                break Ok(RowsDone::Full);
            }
        };
        (self.before, self.after) = (before, after);
        result
    }
}

/// Which record of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    /// An update that changes the key is a delete of the old one and a create of the new one.
    Delete,
    Create,
}

struct Row<'r> {
    planned: &'r Planned,
    data: &'r [u8],
    before: &'r mut Spans,
    after: &'r mut Spans,
    kind: RowsKind,
    number: u32,
}

impl Row<'_> {
    fn shape(&self) -> &Shape {
        &self.planned.shape
    }

    /// Whether this is an update after which the row has another key. A column that is not in the image after the change
    /// has not changed.
    fn changes_key(&self) -> bool {
        if !matches!(self.kind, RowsKind::Update | RowsKind::PartialUpdate) {
            return false;
        }
        let changed = |column: &usize| {
            self.after.is_present(*column)
                && self.before.is_present(*column)
                && self.before.stored(self.data, *column) != self.after.stored(self.data, *column)
        };
        self.shape().table.primary_key.iter().any(changed)
    }

    fn write(
        &mut self,
        part: Part,
        origin: &Origin<'_>,
        task: &Task,
        out: &mut dyn RecordSink,
        base: &Arc<str>,
        step: u64,
    ) -> Result<Flow> {
        let entry = match (part, self.kind) {
            (Part::Create, _) | (Part::Whole, RowsKind::Write) => EntryType::Create,
            (Part::Delete, _) | (Part::Whole, RowsKind::Delete) => EntryType::Delete,
            (Part::Whole, RowsKind::Update | RowsKind::PartialUpdate) => EntryType::Update,
        };
        let key = self.key_from(entry)?;
        let (plan, data): (&RowPlan, &[u8]) = (&self.planned.plan, self.data);
        let before = match entry {
            EntryType::Create => Image::None,
            _ => Image::Event { plan, data, spans: self.before },
        };
        let after = match entry {
            EntryType::Delete => Image::None,
            _ => Image::Event { plan, data, spans: self.after },
        };
        let change = Change { shape: &self.planned.shape, entry, key, before, after, row: self.number };
        change.write(origin, task.settings.decimal, out, base, step)
    }

    /// With MINIMAL images the image after an update has the changed columns only: the key's others are in the one before.
    fn key_from(&mut self, entry: EntryType) -> Result<KeyFrom> {
        if entry == EntryType::Delete {
            return Ok(KeyFrom::Before);
        }
        let key = &self.planned.shape.table.primary_key;
        let present = key.iter().filter(|column| self.after.is_present(**column)).count();
        if present == key.len() || self.kind == RowsKind::Write {
            return Ok(KeyFrom::After);
        }
        if present == 0 && entry == EntryType::Update {
            return Ok(KeyFrom::Before);
        }
        let Some(schema) = &self.planned.shape.key else { return Ok(KeyFrom::After) };
        let image = |spans: &mut Spans| {
            let mut builder = ValueBuilder::new();
            self.planned.plan.visit_columns(self.data, spans, key, schema, &mut builder)?;
            Ok(builder.take())
        };
        let (old, new) = (image(self.before)?, image(self.after)?);
        let (Some(Value::Struct(_, old)), Some(Value::Struct(_, new))) = (old, new) else {
            return Ok(KeyFrom::Before);
        };
        let merged = old.into_iter().zip(new).map(|(old, new)| if new == Value::Absent { old } else { new });
        Ok(KeyFrom::Value(Value::Struct(schema.clone(), merged.collect())))
    }
}
