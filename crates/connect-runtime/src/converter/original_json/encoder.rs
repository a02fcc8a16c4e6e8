//! The encoder: `before` comes whole before `after`, and the payload wants them column by column, so the columns of
//! `before` wait in a reused buffer, already escaped for the place where they go.

use std::sync::Arc;

use openmessaging_connector::record::RecordHead;
use openmessaging_connector::schema::envelope;
use openmessaging_connector::{Encoder, Error, Result, Scalar, Schema, Visitor};

use super::change::{Shape, Shapes};
use super::format::{OriginalFormat, push_nested_scalar, push_scalar, scalar_type, schema_type};
use super::message::{Head, Tail, push_field, push_message};
use crate::converter::json::kind::Kind;
use crate::converter::json::writer::JsonWriter;
use crate::converter::text::escape::push_nested;

/// Where in the value the encoder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    /// Between the fields of a change; the number is that of the next one.
    Change(usize),
    /// In a row: before (`false`) or after.
    Row {
        after: bool,
    },
    Source,
    /// Between the fields of a struct that is no change.
    Struct,
    Done,
}

/// What is open beside the places: composites that are written by `inner` or thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nested {
    No,
    /// So many levels deep inside a column or field.
    Inner(usize),
    /// Likewise, inside a field that the message has no place for.
    Skipped(usize),
}

pub(super) struct OriginalEncoder {
    out: Vec<u8>,
    start: usize,
    head: Head,
    schema: Option<Arc<Schema>>,
    place: Place,
    nested: Nested,
    /// The number of the column or field at hand.
    column: usize,
    shapes: Shapes,
    shape: usize,
    payload: Vec<u8>,
    /// The columns before the change, one behind the other, and where each ends; none without `has_before`.
    before: Vec<u8>,
    ends: Vec<usize>,
    has_before: bool,
    database: String,
    table: String,
    inner: JsonWriter<OriginalFormat>,
    scratch: Vec<u8>,
    /// The type of a value that is no struct, and what is kept for such.
    lone: Option<Option<&'static str>>,
    lone_tail: Option<(Option<&'static str>, Tail)>,
    tombstone: bool,
    error: Option<Error>,
}

impl OriginalEncoder {
    pub fn new() -> Self {
        Self {
            out: Vec::new(),
            start: 0,
            head: Head::new(),
            schema: None,
            place: Place::Start,
            nested: Nested::No,
            column: 0,
            shapes: Shapes::default(),
            shape: 0,
            payload: Vec::new(),
            before: Vec::new(),
            ends: Vec::new(),
            has_before: false,
            database: String::new(),
            table: String::new(),
            inner: JsonWriter::new(OriginalFormat),
            scratch: Vec::new(),
            lone: None,
            lone_tail: None,
            tombstone: false,
            error: None,
        }
    }

    #[cold]
    fn misshapen(&mut self, what: &str) {
        self.error.get_or_insert_with(|| Error::record("converter.misshapen", what));
    }

    /// How the column at hand is written; an error where the row has none.
    #[inline]
    fn kind(&mut self) -> Option<Kind> {
        let kind = self.shapes.get(self.shape).and_then(|shape| shape.columns.get(self.column)).copied();
        if kind.is_none() {
            self.misshapen("more values than the schema has fields");
        }
        kind
    }

    /// A column of `after`, up to its own value.
    #[inline]
    fn push_before(&mut self) {
        self.payload.extend_from_slice(if self.column == 0 { b"\"[" } else { b",\"[" });
        if self.has_before {
            let begin = self.column.checked_sub(1).and_then(|at| self.ends.get(at)).copied().unwrap_or(0);
            let end = self.ends.get(self.column).copied().unwrap_or(begin);
            self.payload.extend_from_slice(self.before.get(begin..end).unwrap_or_default());
        } else {
            self.payload.extend_from_slice(b"null");
        }
        self.payload.push(b',');
    }

    fn row_scalar(&mut self, after: bool, value: Scalar<'_>) {
        let Some(kind) = self.kind() else { return };
        if after {
            self.push_before();
            push_nested_scalar(&mut self.payload, kind, value, &mut self.scratch);
            self.payload.extend_from_slice(b"]\"");
        } else {
            push_nested_scalar(&mut self.before, kind, value, &mut self.scratch);
            self.ends.push(self.before.len());
        }
        self.column += 1;
    }

    /// There is no `after`: every column has none.
    fn no_after(&mut self) {
        let columns = self.shapes.get(self.shape).map_or(0, |shape| shape.columns.len());
        for column in 0..columns {
            self.column = column;
            self.push_before();
            self.payload.extend_from_slice(b"null]\"");
        }
    }

    fn change_scalar(&mut self, field: usize, value: Scalar<'_>) {
        self.place = Place::Change(field + 1);
        match (field, value) {
            (envelope::AFTER, Scalar::Null | Scalar::Absent) => self.no_after(),
            (envelope::BEFORE | envelope::AFTER, value)
                if !matches!(value, Scalar::Null | Scalar::Absent) =>
            {
                self.misshapen("before and after of a change are structs");
            }
            _ => {}
        }
    }

    fn source_scalar(&mut self, value: Scalar<'_>) {
        let Scalar::Str(text) = value else { return self.column += 1 };
        let column = Some(self.column);
        if let Some(Shape { database, table, .. }) = self.shapes.get(self.shape) {
            if column == *database {
                self.database.push_str(text);
            } else if column == *table {
                self.table.push_str(text);
            }
        }
        self.column += 1;
    }

    fn field_scalar(&mut self, value: Scalar<'_>) {
        let Some(kind) = self.kind() else { return };
        self.comma();
        push_scalar(&mut self.payload, kind, value);
        self.column += 1;
    }

    fn comma(&mut self) {
        if self.column > 0 {
            self.payload.push(b',');
        }
    }

    /// A struct, array or map begins; answers whether `inner` takes it.
    fn begin(&mut self) -> bool {
        if self.error.is_some() {
            return false;
        }
        match &mut self.nested {
            Nested::Inner(depth) => {
                *depth += 1;
                return true;
            }
            Nested::Skipped(depth) => {
                *depth += 1;
                return false;
            }
            Nested::No => {}
        }
        match self.place {
            Place::Row { .. } | Place::Struct => {
                if self.kind().is_none() {
                    return false;
                }
                if self.place == Place::Struct {
                    self.comma();
                } else if self.place == (Place::Row { after: true }) {
                    self.push_before();
                }
                let shape = self.shapes.get(self.shape);
                let field = shape.and_then(|shape| shape.row.fields().get(self.column));
                self.scratch.clear();
                self.inner.start(field.map(|field| &field.schema), std::mem::take(&mut self.scratch));
                self.nested = Nested::Inner(1);
                true
            }
            Place::Start => {
                self.scratch.clear();
                self.inner.start(self.schema.as_ref(), std::mem::take(&mut self.scratch));
                self.nested = Nested::Inner(1);
                true
            }
            Place::Change(field) if field > envelope::SOURCE => {
                self.nested = Nested::Skipped(1);
                false
            }
            Place::Source => {
                self.nested = Nested::Skipped(1);
                false
            }
            Place::Change(_) => {
                self.misshapen("before, after and source of a change are structs");
                false
            }
            Place::Done => {
                self.misshapen("more than one value");
                false
            }
        }
    }

    /// A struct, array or map ends; answers whether it was one of `inner`'s, which has seen the end already.
    fn end(&mut self) -> bool {
        match &mut self.nested {
            Nested::No => return false,
            Nested::Skipped(depth) => {
                *depth -= 1;
                if *depth == 0 {
                    self.nested = Nested::No;
                    match self.place {
                        Place::Change(field) => self.place = Place::Change(field + 1),
                        _ => self.column += 1,
                    }
                }
                return true;
            }
            Nested::Inner(depth) => {
                *depth -= 1;
                if *depth > 0 {
                    return true;
                }
            }
        }
        self.nested = Nested::No;
        let (text, result) = self.inner.finish();
        if let Err(error) = result {
            self.error.get_or_insert(error);
        }
        match self.place {
            Place::Row { after: true } => {
                push_nested(&mut self.payload, &text);
                self.payload.extend_from_slice(b"]\"");
            }
            Place::Row { after: false } => {
                push_nested(&mut self.before, &text);
                self.ends.push(self.before.len());
            }
            Place::Start => {
                self.payload.extend_from_slice(&text);
                self.place = Place::Done;
            }
            _ => self.payload.extend_from_slice(&text),
        }
        self.column += 1;
        self.scratch = text;
        true
    }

    fn start_struct(&mut self, schema: &Arc<Schema>) {
        self.shape = self.shapes.place(schema);
        self.column = 0;
        self.place = if schema.is_envelope() { Place::Change(0) } else { Place::Struct };
    }

    /// The end of a struct that is not `inner`'s.
    fn close_struct(&mut self) {
        let columns = self.shapes.get(self.shape).map_or(0, |shape| shape.columns.len());
        let complete = match self.place {
            Place::Row { .. } | Place::Struct => self.column == columns,
            Place::Change(fields) => {
                let all = self.shapes.get(self.shape).map_or(0, |shape| shape.schema.fields().len());
                fields == all
            }
            Place::Source => true,
            Place::Start | Place::Done => false,
        };
        if !complete {
            return self.misshapen("fewer values than the schema has fields");
        }
        self.place = match self.place {
            Place::Row { after: false } => {
                self.has_before = true;
                Place::Change(envelope::AFTER)
            }
            Place::Row { after: true } => Place::Change(envelope::SOURCE),
            Place::Source => Place::Change(envelope::OP),
            _ => Place::Done,
        };
    }

    fn push_message(&mut self) -> Result<()> {
        self.payload.push(b']');
        if let Some(ty) = self.lone {
            let same =
                |(kept, tail): &&(Option<&str>, Tail)| *kept == ty && tail.is_of(&self.head.queue, "", "");
            if self.lone_tail.as_ref().filter(same).is_none() {
                let mut fields = vec![b'['];
                push_field(&mut fields, 0, "value", ty);
                fields.push(b']');
                self.lone_tail = Some((ty, Tail::new(&self.head.queue, "", "", &fields)));
            }
            if let Some((_, tail)) = &self.lone_tail {
                push_message(&mut self.out, &self.head, &self.payload, tail);
            }
            return Ok(());
        }
        let shape = self.shapes.get_mut(self.shape).ok_or_else(incomplete)?;
        if !shape.schema.is_envelope()
            && let Some(name) = &shape.schema.name
        {
            self.table.push_str(name);
        }
        let same = |tail: &&Tail| tail.is_of(&self.head.queue, &self.database, &self.table);
        if shape.tail.as_ref().filter(same).is_none() {
            shape.tail = Some(Tail::new(&self.head.queue, &self.database, &self.table, &shape.fields));
        }
        if let Some(tail) = &shape.tail {
            push_message(&mut self.out, &self.head, &self.payload, tail);
        }
        Ok(())
    }
}

fn incomplete() -> Error {
    Error::record("converter.incomplete", "the value was not visited to its end")
}

impl Visitor for OriginalEncoder {
    #[inline]
    fn scalar(&mut self, value: Scalar<'_>) {
        if self.error.is_some() {
            return;
        }
        match self.nested {
            Nested::No => {}
            Nested::Inner(_) => return self.inner.scalar(value),
            Nested::Skipped(_) => return,
        }
        match self.place {
            Place::Row { after } => self.row_scalar(after, value),
            Place::Source => self.source_scalar(value),
            Place::Change(field) => self.change_scalar(field, value),
            Place::Struct => self.field_scalar(value),
            Place::Start if matches!(value, Scalar::Null | Scalar::Absent) => {
                self.tombstone = true;
                self.place = Place::Done;
            }
            Place::Start => {
                let kind = self.schema.as_ref().map_or(Kind::Any, |schema| Kind::of(schema));
                push_scalar(&mut self.payload, kind, value);
                self.lone = Some(match &self.schema {
                    Some(schema) => schema_type(schema),
                    None => scalar_type(value),
                });
                self.place = Place::Done;
            }
            Place::Done => self.misshapen("more than one value"),
        }
    }

    fn begin_struct(&mut self, schema: &Arc<Schema>) {
        if self.error.is_none() && self.nested == Nested::No {
            match self.place {
                Place::Start => return self.start_struct(schema),
                Place::Change(field @ (envelope::BEFORE | envelope::AFTER)) => {
                    self.column = 0;
                    self.place = Place::Row { after: field == envelope::AFTER };
                    return;
                }
                Place::Change(envelope::SOURCE) => {
                    self.column = 0;
                    self.place = Place::Source;
                    return;
                }
                _ => {}
            }
        }
        if self.begin() {
            self.inner.begin_struct(schema);
        }
    }

    fn end_struct(&mut self) {
        if self.error.is_some() {
            return;
        }
        if let Nested::Inner(_) = self.nested {
            self.inner.end_struct();
        }
        if !self.end() {
            self.close_struct();
        }
    }

    fn begin_array(&mut self, length: usize) {
        if self.place == Place::Start && self.nested == Nested::No {
            self.lone = Some(Some("ARRAY"));
        }
        if self.begin() {
            self.inner.begin_array(length);
        }
    }

    fn end_array(&mut self) {
        if self.error.is_some() {
            return;
        }
        if let Nested::Inner(_) = self.nested {
            self.inner.end_array();
        }
        if !self.end() {
            self.misshapen("the end of an array where none is open");
        }
    }

    fn begin_map(&mut self, length: usize) {
        if self.place == Place::Start && self.nested == Nested::No {
            self.lone = Some(Some("MAP"));
        }
        if self.begin() {
            self.inner.begin_map(length);
        }
    }

    fn end_map(&mut self) {
        if self.error.is_some() {
            return;
        }
        if let Nested::Inner(_) = self.nested {
            self.inner.end_map();
        }
        if !self.end() {
            self.misshapen("the end of a map where none is open");
        }
    }
}

impl Encoder for OriginalEncoder {
    fn start(&mut self, head: &RecordHead<'_>, schema: Option<&Arc<Schema>>, out: Vec<u8>) {
        self.start = out.len();
        self.out = out;
        self.head.set(head);
        self.schema = schema.cloned();
        self.place = Place::Start;
        self.nested = Nested::No;
        self.column = 0;
        self.payload.clear();
        self.payload.push(b'[');
        self.before.clear();
        self.ends.clear();
        self.has_before = false;
        self.database.clear();
        self.table.clear();
        self.lone = None;
        self.tombstone = false;
        self.error = None;
    }

    fn finish(&mut self) -> (Vec<u8>, Result<bool>) {
        let result = match self.error.take() {
            Some(error) => Err(error),
            None if self.place != Place::Done || self.nested != Nested::No => Err(incomplete()),
            None if self.tombstone => Ok(false),
            None => self.push_message().map(|()| true),
        };
        // one huge row does not keep its memory for ever
        for buffer in [&mut self.payload, &mut self.before, &mut self.scratch] {
            if buffer.capacity() > MAX_KEPT {
                *buffer = Vec::new();
            }
        }
        let mut out = std::mem::take(&mut self.out);
        if !matches!(result, Ok(true)) {
            out.truncate(self.start);
        }
        self.place = Place::Start;
        (out, result)
    }
}

/// The largest buffers that are used again.
const MAX_KEPT: usize = 1 << 20;
