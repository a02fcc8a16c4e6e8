//! A visitor that builds the value it is driven with and notices when it was driven wrongly.

use std::sync::Arc;

use openmessaging_connector::value::Scalar;
use openmessaging_connector::{Schema, Value, ValueBuilder, Visitor};

/// Builds one value; counts how many came and how deep they are open.
#[derive(Debug, Default)]
pub(super) struct Checked {
    builder: ValueBuilder,
    /// Set where a value is expected.
    expected: bool,
    schema: Option<Arc<Schema>>,
    depth: usize,
    whole: usize,
    unbalanced: bool,
}

impl Checked {
    pub(super) fn expecting(schema: Option<&Arc<Schema>>) -> Self {
        Self { expected: true, schema: schema.cloned(), ..Self::default() }
    }

    /// The declared schema and the value, or what was wrong with the visit; `None` where no value was announced.
    #[allow(clippy::type_complexity, reason = "used in one place")]
    pub(super) fn take(&mut self) -> Option<(Option<Arc<Schema>>, Result<Value<'static>, String>)> {
        if !std::mem::take(&mut self.expected) {
            return None;
        }
        let visited = match (self.unbalanced || self.depth > 0, self.whole) {
            (true, _) => Err("begin and end calls do not match".to_owned()),
            (false, 1) => self.builder.take().ok_or_else(|| "no value was visited".to_owned()),
            (false, count) => Err(format!("{count} values were visited instead of one")),
        };
        Some((self.schema.take(), visited))
    }

    fn open(&mut self) {
        self.depth += 1;
    }

    fn close(&mut self) -> bool {
        if self.depth == 0 {
            self.unbalanced = true;
            return false;
        }
        self.depth -= 1;
        self.whole += usize::from(self.depth == 0);
        true
    }
}

impl Visitor for Checked {
    fn scalar(&mut self, value: Scalar<'_>) {
        self.whole += usize::from(self.depth == 0);
        self.builder.scalar(value);
    }

    fn begin_struct(&mut self, schema: &Arc<Schema>) {
        self.open();
        self.builder.begin_struct(schema);
    }

    fn end_struct(&mut self) {
        if self.close() {
            self.builder.end_struct();
        }
    }

    fn begin_array(&mut self, length: usize) {
        self.open();
        self.builder.begin_array(length);
    }

    fn end_array(&mut self) {
        if self.close() {
            self.builder.end_array();
        }
    }

    fn begin_map(&mut self, length: usize) {
        self.open();
        self.builder.begin_map(length);
    }

    fn end_map(&mut self) {
        if self.close() {
            self.builder.end_map();
        }
    }
}
