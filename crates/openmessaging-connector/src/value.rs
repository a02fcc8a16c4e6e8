//! Values: one visitor carries them from where they are decoded to where they are encoded.
//!
//! A source's decoder drives a [`Visitor`]; an encoder implements it and writes bytes, so nothing is built in
//! between. Where a whole value is needed at once, a [`ValueBuilder`] is the visitor and makes a [`Value`] that
//! can be [replayed](Value::visit) into any other.

use std::borrow::Cow;
use std::sync::Arc;

use crate::schema::Schema;

/// One value that holds no others, borrowed from where it was decoded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scalar<'a> {
    Null,
    /// The column is not in this row image (a MINIMAL binlog image): not known, which is not null.
    Absent,
    Bool(bool),
    I64(i64),
    U64(u64),
    F32(f32),
    F64(f64),
    Str(&'a str),
    Bytes(&'a [u8]),
    /// Plain decimal text, with sign, without exponent, with exactly the schema's scale: `-1.10`, `0.00`.
    Decimal(&'a str),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds, negative or beyond a day where the source has such times.
    Time(i64),
    /// Microseconds since 1970-01-01T00:00:00 of a wall clock without zone.
    Timestamp(i64),
    /// Microseconds since 1970-01-01T00:00:00 UTC.
    TimestampTz(i64),
}

/// Receives one value, depth first.
///
/// A struct is `begin_struct`, one value for each field of its schema in that order, `end_struct`; an array is
/// `begin_array`, its elements, `end_array`; a map is `begin_map`, then key and value in turn, `end_map`. A visitor
/// that cannot go on keeps its first error, ignores the rest of the value, and reports it when the value ends.
pub trait Visitor {
    fn scalar(&mut self, value: Scalar<'_>);
    fn begin_struct(&mut self, schema: &Arc<Schema>);
    fn end_struct(&mut self);
    fn begin_array(&mut self, length: usize);
    fn end_array(&mut self);
    fn begin_map(&mut self, length: usize);
    fn end_map(&mut self);
}

/// A whole value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    Null,
    Absent,
    Bool(bool),
    I64(i64),
    U64(u64),
    F32(f32),
    F64(f64),
    Str(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    Decimal(Cow<'a, str>),
    Date(i32),
    Time(i64),
    Timestamp(i64),
    TimestampTz(i64),
    /// One value for each field of the schema, in its order.
    Struct(Arc<Schema>, Vec<Value<'a>>),
    Array(Vec<Value<'a>>),
    Map(Vec<(Value<'a>, Value<'a>)>),
}

impl<'a> Value<'a> {
    pub fn str(text: &'a str) -> Self {
        Value::Str(Cow::Borrowed(text))
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The field of that name, where this is a struct that has it.
    pub fn field(&self, name: &str) -> Option<&Value<'a>> {
        let Value::Struct(schema, values) = self else { return None };
        let at = schema.fields().iter().position(|field| &*field.name == name)?;
        values.get(at)
    }

    /// Replays the value into `visitor`.
    pub fn visit(&self, visitor: &mut dyn Visitor) {
        match self {
            Value::Struct(schema, values) => {
                visitor.begin_struct(schema);
                values.iter().for_each(|value| value.visit(visitor));
                visitor.end_struct();
            }
            Value::Array(values) => {
                visitor.begin_array(values.len());
                values.iter().for_each(|value| value.visit(visitor));
                visitor.end_array();
            }
            Value::Map(entries) => {
                visitor.begin_map(entries.len());
                for (key, value) in entries {
                    key.visit(visitor);
                    value.visit(visitor);
                }
                visitor.end_map();
            }
            Value::Null => visitor.scalar(Scalar::Null),
            Value::Absent => visitor.scalar(Scalar::Absent),
            Value::Bool(value) => visitor.scalar(Scalar::Bool(*value)),
            Value::I64(value) => visitor.scalar(Scalar::I64(*value)),
            Value::U64(value) => visitor.scalar(Scalar::U64(*value)),
            Value::F32(value) => visitor.scalar(Scalar::F32(*value)),
            Value::F64(value) => visitor.scalar(Scalar::F64(*value)),
            Value::Str(value) => visitor.scalar(Scalar::Str(value)),
            Value::Bytes(value) => visitor.scalar(Scalar::Bytes(value)),
            Value::Decimal(value) => visitor.scalar(Scalar::Decimal(value)),
            Value::Date(value) => visitor.scalar(Scalar::Date(*value)),
            Value::Time(value) => visitor.scalar(Scalar::Time(*value)),
            Value::Timestamp(value) => visitor.scalar(Scalar::Timestamp(*value)),
            Value::TimestampTz(value) => visitor.scalar(Scalar::TimestampTz(*value)),
        }
    }

    /// The same value, owning its bytes.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Str(value) => Value::Str(Cow::Owned(value.into_owned())),
            Value::Bytes(value) => Value::Bytes(Cow::Owned(value.into_owned())),
            Value::Decimal(value) => Value::Decimal(Cow::Owned(value.into_owned())),
            Value::Struct(schema, values) => {
                Value::Struct(schema, values.into_iter().map(Value::into_owned).collect())
            }
            Value::Array(values) => Value::Array(values.into_iter().map(Value::into_owned).collect()),
            Value::Map(entries) => {
                Value::Map(entries.into_iter().map(|(k, v)| (k.into_owned(), v.into_owned())).collect())
            }
            Value::Null => Value::Null,
            Value::Absent => Value::Absent,
            Value::Bool(value) => Value::Bool(value),
            Value::I64(value) => Value::I64(value),
            Value::U64(value) => Value::U64(value),
            Value::F32(value) => Value::F32(value),
            Value::F64(value) => Value::F64(value),
            Value::Date(value) => Value::Date(value),
            Value::Time(value) => Value::Time(value),
            Value::Timestamp(value) => Value::Timestamp(value),
            Value::TimestampTz(value) => Value::TimestampTz(value),
        }
    }
}

impl<'a> From<Scalar<'a>> for Value<'a> {
    fn from(scalar: Scalar<'a>) -> Self {
        match scalar {
            Scalar::Null => Value::Null,
            Scalar::Absent => Value::Absent,
            Scalar::Bool(value) => Value::Bool(value),
            Scalar::I64(value) => Value::I64(value),
            Scalar::U64(value) => Value::U64(value),
            Scalar::F32(value) => Value::F32(value),
            Scalar::F64(value) => Value::F64(value),
            Scalar::Str(value) => Value::Str(Cow::Borrowed(value)),
            Scalar::Bytes(value) => Value::Bytes(Cow::Borrowed(value)),
            Scalar::Decimal(value) => Value::Decimal(Cow::Borrowed(value)),
            Scalar::Date(value) => Value::Date(value),
            Scalar::Time(value) => Value::Time(value),
            Scalar::Timestamp(value) => Value::Timestamp(value),
            Scalar::TimestampTz(value) => Value::TimestampTz(value),
        }
    }
}

/// A visitor that builds the whole value.
#[derive(Debug, Default)]
pub struct ValueBuilder {
    open: Vec<Open>,
    done: Option<Value<'static>>,
}

#[derive(Debug)]
enum Open {
    Struct(Arc<Schema>, Vec<Value<'static>>),
    Array(Vec<Value<'static>>),
    Map(Vec<Value<'static>>),
}

impl ValueBuilder {
    pub fn new() -> Self {
        Self::default()
    }

    /// The value visited, if it was whole; the builder is ready for the next one.
    pub fn take(&mut self) -> Option<Value<'static>> {
        self.open.clear();
        self.done.take()
    }

    fn add(&mut self, value: Value<'static>) {
        match self.open.last_mut() {
            None => self.done = Some(value),
            Some(Open::Struct(_, values) | Open::Array(values) | Open::Map(values)) => values.push(value),
        }
    }

    fn close(&mut self) {
        let value = match self.open.pop() {
            None => return,
            Some(Open::Struct(schema, values)) => Value::Struct(schema, values),
            Some(Open::Array(values)) => Value::Array(values),
            Some(Open::Map(flat)) => {
                let mut entries = Vec::with_capacity(flat.len() / 2);
                let mut flat = flat.into_iter();
                while let (Some(key), Some(value)) = (flat.next(), flat.next()) {
                    entries.push((key, value));
                }
                Value::Map(entries)
            }
        };
        self.add(value);
    }
}

impl Visitor for ValueBuilder {
    fn scalar(&mut self, value: Scalar<'_>) {
        self.add(Value::from(value).into_owned());
    }

    fn begin_struct(&mut self, schema: &Arc<Schema>) {
        self.open.push(Open::Struct(schema.clone(), Vec::with_capacity(schema.fields().len())));
    }

    fn end_struct(&mut self) {
        self.close();
    }

    fn begin_array(&mut self, length: usize) {
        self.open.push(Open::Array(Vec::with_capacity(length.min(1024))));
    }

    fn end_array(&mut self) {
        self.close();
    }

    fn begin_map(&mut self, length: usize) {
        self.open.push(Open::Map(Vec::with_capacity(2 * length.min(1024))));
    }

    fn end_map(&mut self) {
        self.close();
    }
}
