//! The visitor behind all JSON formats: it knows where it is in the value; a [`Format`] knows how its parts are written.

use std::sync::Arc;

use openmessaging_connector::{Error, Scalar, Schema, Visitor};

use super::kind::Kind;
use super::plan::{ANY, Node, NodeId, Plans, Slot};

/// What one JSON format does its own way.
pub(in crate::converter) trait Format: Clone + Send + 'static {
    /// Appends one scalar. Boxed, because an error is large and rare.
    fn scalar(&self, out: &mut Vec<u8>, kind: Kind, value: Scalar<'_>) -> Result<(), Box<Error>>;

    fn string(&self, out: &mut Vec<u8>, text: &str);

    /// What a null becomes in a field of this schema.
    fn null(&self, _schema: &Schema) -> OnNull {
        OnNull::Write
    }

    /// The form of a map with such keys; of one without schema for `None`.
    fn keys(&self, _keys: Option<&Schema>) -> Keys {
        Keys::Object
    }

    /// The same format for a part of a value: nothing before and behind it, and no defaults in the place of nulls.
    fn bare(&self) -> Self {
        self.clone()
    }

    /// What stands before and behind a whole value.
    fn header(&self, _schema: Option<&Arc<Schema>>, _out: &mut Vec<u8>) {}

    fn trailer(&self) -> &'static [u8] {
        b""
    }

    /// Whether a top-level null is a message without bytes.
    fn is_tombstone(&self, _schema: Option<&Arc<Schema>>) -> bool {
        true
    }
}

/// What is written for a null.
#[derive(Debug, Clone)]
pub(in crate::converter) enum OnNull {
    /// `null`.
    Write,
    /// The schema's default, as text.
    Default(Box<[u8]>),
    /// Nothing: it is an error.
    Refuse,
}

/// How a map is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::converter) enum Keys {
    /// An object; keys that are no text become text.
    Object,
    /// An array of `[key,value]`.
    Pairs,
    /// An object where all keys are text, else pairs: known only at its end.
    AsFound,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// An error was found: the rest of the value is ignored.
    Failed,
    Root,
    Struct,
    Array,
    Map(Keys),
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    shape: Shape,
    node: NodeId,
    /// How many values have come; keys and values of a map count each. In a struct the place of the next member.
    index: u32,
    /// In a struct the place behind its last member.
    end: u32,
    /// What stands before the next member of a struct: `{` or `,`.
    separator: u8,
    /// `AsFound`: where the map's marks and its text begin, and whether a key was no text.
    marks: usize,
    start: usize,
    odd_key: bool,
}

impl Frame {
    const ROOT: Frame = Frame {
        shape: Shape::Root,
        node: ANY,
        index: 0,
        end: 0,
        separator: b'{',
        marks: 0,
        start: 0,
        odd_key: false,
    };
}

pub(in crate::converter) struct JsonWriter<F> {
    format: F,
    out: Vec<u8>,
    start: usize,
    schema: Option<Arc<Schema>>,
    root: Slot,
    now: Frame,
    above: Vec<Frame>,
    plans: Plans,
    /// Start of each entry and its colon, for maps whose form is known only at their end.
    marks: Vec<usize>,
    tombstone: bool,
    error: Option<Box<Error>>,
}

impl<F: Format> JsonWriter<F> {
    pub fn new(format: F) -> Self {
        Self {
            format,
            out: Vec::new(),
            start: 0,
            schema: None,
            root: Slot::ANY,
            now: Frame::ROOT,
            above: Vec::new(),
            plans: Plans::new(),
            marks: Vec::new(),
            tombstone: false,
            error: None,
        }
    }

    pub fn start(&mut self, schema: Option<&Arc<Schema>>, out: Vec<u8>) {
        self.plans.trim();
        self.out = out;
        self.start = self.out.len();
        self.now = Frame::ROOT;
        self.above.clear();
        self.marks.clear();
        self.tombstone = false;
        self.error = None;
        self.set_schema(schema);
    }

    fn set_schema(&mut self, schema: Option<&Arc<Schema>>) {
        let same = match (&self.schema, schema) {
            (Some(kept), Some(schema)) => Arc::ptr_eq(kept, schema),
            (None, None) => true,
            _ => false,
        };
        if !same {
            self.schema = schema.cloned();
        }
        self.root = Slot::ANY;
    }

    /// The buffer, and whether there are bytes at all.
    pub fn finish(&mut self) -> (Vec<u8>, Result<bool, Error>) {
        let mut out = std::mem::take(&mut self.out);
        let whole = self.above.is_empty() && self.now.index == 1;
        let result = match self.error.take() {
            Some(error) => Err(*error),
            None if !whole => {
                Err(Error::record("converter.incomplete", "the value was not visited to its end"))
            }
            None => Ok(!self.tombstone),
        };
        match result {
            Ok(true) => out.extend_from_slice(self.format.trailer()),
            _ => out.truncate(self.start),
        }
        (out, result)
    }

    #[cold]
    fn fail(&mut self, error: Error) {
        if self.error.is_none() {
            let place = self.place();
            let message =
                if place.is_empty() { error.message } else { format!("field {place}: {}", error.message) };
            self.error = Some(Box::new(Error { message, ..error }));
            self.now.shape = Shape::Failed;
        }
    }

    #[cold]
    fn misshapen(&mut self, what: &str) {
        self.fail(Error::record("converter.misshapen", what));
    }

    /// The names of the fields that lead to the value at hand.
    fn place(&self) -> String {
        let frames = self.above.iter().chain([&self.now]);
        let names = frames.filter_map(|frame| {
            let Node::Struct(plan) = self.plans.node(frame.node) else { return None };
            let field = plan.schema.fields().get(frame.index.checked_sub(plan.first + 1)? as usize)?;
            Some(field.name.to_string())
        });
        names.collect::<Vec<_>>().join(".")
    }

    /// Writes what stands before the next value and answers how the value is described. `None`: none may come here.
    fn next(&mut self) -> Option<Slot> {
        let index = self.now.index;
        match self.now.shape {
            Shape::Failed => None,
            Shape::Struct => {
                let Some(member) = self.plans.member(index).filter(|_| index < self.now.end) else {
                    self.misshapen("more values than the schema has fields");
                    return None;
                };
                self.plans.push_name(&mut self.out, member, self.now.separator);
                self.now.index += 1;
                self.now.separator = b',';
                Some(member.slot)
            }
            Shape::Root if index == 0 => {
                self.now.index = 1;
                self.header();
                Some(self.root)
            }
            Shape::Root => {
                self.misshapen("more than one value");
                None
            }
            Shape::Array => {
                self.now.index += 1;
                if index > 0 {
                    self.out.push(b',');
                }
                match self.plans.node(self.now.node) {
                    Node::Array { element } => Some(*element),
                    _ => Some(Slot::ANY),
                }
            }
            Shape::Map(form) => {
                self.now.index += 1;
                Some(self.next_of_map(form, index))
            }
        }
    }

    /// A scalar anywhere but in a struct.
    #[inline(never)]
    fn other_scalar(&mut self, value: Scalar<'_>) {
        match self.now.shape {
            Shape::Root => self.root_scalar(value),
            Shape::Map(_) => self.map_scalar(value),
            Shape::Array | Shape::Struct => {
                let Some(slot) = self.next() else { return };
                if let Err(error) = self.format.scalar(&mut self.out, slot.kind, value) {
                    self.fail(*error);
                }
            }
            Shape::Failed => {}
        }
    }

    fn root_scalar(&mut self, value: Scalar<'_>) {
        let missing = matches!(value, Scalar::Null | Scalar::Absent);
        if missing && self.now.index == 0 && self.format.is_tombstone(self.schema.as_ref()) {
            self.tombstone = true;
            self.now.index = 1;
            return;
        }
        let Some(slot) = self.next() else { return };
        if missing && let Some(schema) = &self.schema {
            match self.format.null(schema) {
                OnNull::Write => self.out.extend_from_slice(b"null"),
                OnNull::Default(_) => {
                    let text = encode_default(&self.format, schema);
                    self.out.extend_from_slice(&text);
                }
                OnNull::Refuse => self.fail(null_refused()),
            }
        } else if let Err(error) = self.format.scalar(&mut self.out, slot.kind, value) {
            self.fail(*error);
        }
    }

    fn header(&mut self) {
        match &self.schema {
            Some(schema) => {
                let root = self.plans.root(schema, &self.format);
                self.root = root.slot;
                self.out.extend_from_slice(&root.header);
            }
            None => self.format.header(None, &mut self.out),
        }
    }

    fn next_of_map(&mut self, form: Keys, index: u32) -> Slot {
        let (key, value) = match self.plans.node(self.now.node) {
            Node::Map { key, value, .. } => (*key, *value),
            _ => (Slot::ANY, Slot::ANY),
        };
        if index % 2 == 1 {
            if form == Keys::AsFound {
                self.marks.push(self.out.len());
            }
            self.out.push(if form == Keys::Pairs { b',' } else { b':' });
            return value;
        }
        if index > 0 {
            self.out.extend_from_slice(if form == Keys::Pairs { b"],[" } else { b"," });
        } else if form == Keys::Pairs {
            self.out.push(b'[');
        }
        if form == Keys::AsFound {
            self.marks.push(self.out.len());
        }
        key
    }

    /// Whether the next value is a key that must be text.
    fn is_object_key(&self) -> bool {
        matches!(self.now.shape, Shape::Map(Keys::Object | Keys::AsFound)) && self.now.index.is_multiple_of(2)
    }

    /// A scalar that may be a key.
    fn map_scalar(&mut self, value: Scalar<'_>) {
        let is_key = self.is_object_key();
        let Some(slot) = self.next() else { return };
        let start = self.out.len();
        if let Err(error) = self.format.scalar(&mut self.out, slot.kind, value) {
            return self.fail(*error);
        }
        if is_key && self.out.get(start) != Some(&b'"') {
            if self.now.shape == Shape::Map(Keys::AsFound) {
                self.now.odd_key = true;
            } else {
                self.out.insert(start, b'"');
                self.out.push(b'"');
            }
        }
    }

    fn open(&mut self, shape: Shape, node: NodeId) {
        let start = self.out.len();
        self.above.push(self.now);
        self.now = Frame { shape, node, start, marks: self.marks.len(), ..Frame::ROOT };
    }

    /// A struct, an array or a map begins: how it is described.
    fn next_composite(&mut self) -> Option<Slot> {
        if self.is_object_key() {
            if self.now.shape == Shape::Map(Keys::Object) {
                self.misshapen("a map's key is no scalar, which an object cannot have");
                return None;
            }
            self.now.odd_key = true;
        }
        self.next()
    }

    fn close(&mut self, bracket: u8) {
        match self.above.pop() {
            Some(frame) => self.now = frame,
            None => return self.misshapen("an end without a beginning"),
        }
        self.out.push(bracket);
    }

    /// Rewrites a map that turned out to have keys which are no text as an array of pairs.
    #[cold]
    fn as_pairs(&mut self, frame: Frame) {
        let text = self.out.split_off(frame.start);
        let marks = self.marks.get(frame.marks..).unwrap_or_default();
        self.out.push(b'[');
        let entries: Vec<_> = marks.chunks_exact(2).collect();
        for (at, entry) in entries.iter().enumerate() {
            let begin = entry[0] - frame.start;
            let colon = entry[1] - frame.start;
            // the next entry begins behind a comma
            let end = entries.get(at + 1).map_or(text.len(), |next| next[0] - frame.start - 1);
            self.out.extend_from_slice(if at == 0 { b"[" } else { b",[" });
            self.out.extend_from_slice(text.get(begin..colon).unwrap_or_default());
            self.out.push(b',');
            self.out.extend_from_slice(text.get(colon + 1..end).unwrap_or_default());
            self.out.push(b']');
        }
    }
}

impl<F: Format> Visitor for JsonWriter<F> {
    #[inline]
    fn scalar(&mut self, value: Scalar<'_>) {
        if self.now.shape != Shape::Struct {
            return self.other_scalar(value);
        }
        let at = self.now.index;
        let Some(member) = self.plans.member(at).filter(|_| at < self.now.end) else {
            return self.misshapen("more values than the schema has fields");
        };
        self.now.index = at + 1;
        if matches!(value, Scalar::Absent) {
            return;
        }
        self.plans.push_name(&mut self.out, member, self.now.separator);
        self.now.separator = b',';
        if matches!(value, Scalar::Null) {
            match &member.null {
                OnNull::Write => self.out.extend_from_slice(b"null"),
                OnNull::Default(text) => self.out.extend_from_slice(text),
                OnNull::Refuse => self.fail(null_refused()),
            }
        } else if let Err(error) = self.format.scalar(&mut self.out, member.slot.kind, value) {
            self.fail(*error);
        }
    }

    fn begin_struct(&mut self, schema: &Arc<Schema>) {
        if self.now.shape == Shape::Root && self.schema.is_none() {
            self.schema = Some(schema.clone());
        }
        let Some(slot) = self.next_composite() else { return };
        let node = match self.plans.node(slot.node) {
            Node::Struct(plan) if Arc::ptr_eq(&plan.schema, schema) => slot.node,
            _ => self.plans.compile(schema, &self.format),
        };
        self.open(Shape::Struct, node);
        if let Node::Struct(plan) = self.plans.node(node) {
            (self.now.index, self.now.end) = (plan.first, plan.end);
        }
    }

    fn end_struct(&mut self) {
        if self.now.shape == Shape::Failed {
            return;
        }
        if self.now.shape != Shape::Struct {
            return self.misshapen("the end of a struct where none is open");
        }
        if self.now.index != self.now.end {
            return self.misshapen("fewer values than the schema has fields");
        }
        if self.now.separator == b'{' {
            self.out.push(b'{');
        }
        self.close(b'}');
    }

    fn begin_array(&mut self, _length: usize) {
        if let Some(slot) = self.next_composite() {
            self.open(Shape::Array, slot.node);
            self.out.push(b'[');
        }
    }

    fn end_array(&mut self) {
        if self.now.shape == Shape::Failed {
            return;
        }
        if self.now.shape != Shape::Array {
            return self.misshapen("the end of an array where none is open");
        }
        self.close(b']');
    }

    fn begin_map(&mut self, _length: usize) {
        let Some(slot) = self.next_composite() else { return };
        let form = match self.plans.node(slot.node) {
            Node::Map { form, .. } => *form,
            _ => self.format.keys(None),
        };
        let bracket = if form == Keys::Pairs { b'[' } else { b'{' };
        self.open(Shape::Map(form), slot.node);
        self.out.push(bracket);
    }

    fn end_map(&mut self) {
        if self.now.shape == Shape::Failed {
            return;
        }
        let Shape::Map(form) = self.now.shape else {
            return self.misshapen("the end of a map where none is open");
        };
        let frame = self.now;
        if !frame.index.is_multiple_of(2) {
            return self.misshapen("a map's key without its value");
        }
        if form == Keys::Pairs && frame.index > 0 {
            self.out.push(b']');
        }
        if frame.odd_key {
            self.as_pairs(frame);
        }
        self.marks.truncate(frame.marks);
        self.close(if form == Keys::Pairs || frame.odd_key { b']' } else { b'}' });
    }
}

fn null_refused() -> Error {
    Error::record("converter.null_in_required", "the value is null, but the schema says that it never is")
        .with_remedy("make the column nullable or give it a default, or set schemas.enable=false")
}

/// The text of a schema's default.
pub(in crate::converter) fn encode_default<F: Format>(format: &F, schema: &Arc<Schema>) -> Box<[u8]> {
    let mut writer = JsonWriter::new(format.bare());
    writer.start(Some(schema), Vec::new());
    if let Some(default) = &schema.default {
        default.visit(&mut writer);
    }
    match writer.finish() {
        (text, Ok(true)) => text.into(),
        _ => Box::from(*b"null"),
    }
}
