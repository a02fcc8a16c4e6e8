//! What is derived from the schema of a change or of any other struct, and kept by its pointer.

use std::sync::Arc;

use openmessaging_connector::Schema;
use openmessaging_connector::schema::envelope;

use super::message::{Tail, fields_json};
use crate::converter::json::kind::Kind;
use crate::converter::json::plan::ByPointer;

/// How many schemas are kept; all are dropped when there are more.
const MAX_SCHEMAS: usize = 2048;

#[derive(Debug)]
pub(super) struct Shape {
    /// Held, so that no other schema takes its address.
    pub schema: Arc<Schema>,
    /// The columns of a change's row, or a struct's fields.
    pub row: Arc<Schema>,
    pub columns: Vec<Kind>,
    /// Where `source` tells the database and the table.
    pub database: Option<usize>,
    pub table: Option<usize>,
    pub fields: Vec<u8>,
    pub tail: Option<Tail>,
}

impl Shape {
    fn new(schema: &Arc<Schema>) -> Self {
        let field = |at: usize| schema.fields().get(at).map(|field| &field.schema);
        let row = match field(envelope::AFTER) {
            Some(after) if schema.is_envelope() => after,
            _ => schema,
        };
        let source = field(envelope::SOURCE).filter(|_| schema.is_envelope());
        let named = |names: &[&str]| {
            let fields = source?.fields();
            names.iter().find_map(|name| fields.iter().position(|field| &*field.name == *name))
        };
        Self {
            schema: schema.clone(),
            row: row.clone(),
            columns: row.fields().iter().map(|field| Kind::of(&field.schema)).collect(),
            database: named(&["db", "database"]),
            table: named(&["table", "collection"]),
            fields: fields_json(row.fields()),
            tail: None,
        }
    }
}

/// The shapes of an encoder.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    shapes: Vec<Shape>,
    by_schema: ByPointer<usize>,
    last: usize,
}

impl Shapes {
    /// The place of a schema's shape. Places are valid until the next call.
    #[inline]
    pub fn place(&mut self, schema: &Arc<Schema>) -> usize {
        if self.get(self.last).is_some_and(|shape| Arc::ptr_eq(&shape.schema, schema)) {
            return self.last;
        }
        let pointer = Arc::as_ptr(schema) as usize;
        let place = match self.by_schema.get(&pointer) {
            Some(place) => *place,
            None => {
                if self.shapes.len() >= MAX_SCHEMAS {
                    *self = Self::default();
                }
                self.shapes.push(Shape::new(schema));
                self.by_schema.insert(pointer, self.shapes.len() - 1);
                self.shapes.len() - 1
            }
        };
        self.last = place;
        place
    }

    #[inline]
    pub fn get(&self, place: usize) -> Option<&Shape> {
        self.shapes.get(place)
    }

    #[inline]
    pub fn get_mut(&mut self, place: usize) -> Option<&mut Shape> {
        self.shapes.get_mut(place)
    }
}
