//! Values as Java's `toString` shows them: `Struct{id=1,name=x}`, `[1, 2]`, `{a=1, b=2}`.

use std::sync::Arc;

use openmessaging_connector::record::RecordHead;
use openmessaging_connector::{Encoder, Error, Result, Scalar, Schema, Visitor};

use super::charset::Charset;
use crate::converter::json::kind::{Kind, single_bit};
use crate::converter::text::{date, decimal, number};

pub(super) struct StringEncoder {
    charset: Charset,
    out: Vec<u8>,
    start: usize,
    /// How a scalar at the top is written.
    kind: Kind,
    open: Vec<Open>,
    seen: Seen,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Seen {
    Nothing,
    Text,
    Null,
    /// More than one value, or an end without a beginning.
    Misshapen,
}

/// Something that holds values, and how many have come.
enum Open {
    Struct { schema: Arc<Schema>, index: usize, wrote: bool },
    Array { index: usize },
    Map { index: usize },
}

impl StringEncoder {
    pub fn new(charset: Charset) -> Self {
        Self { charset, out: Vec::new(), start: 0, kind: Kind::Any, open: Vec::new(), seen: Seen::Nothing }
    }

    /// Writes what stands before a value that is not a struct's null; answers how it is written.
    fn next(&mut self) -> Kind {
        match self.open.last_mut() {
            None => {
                self.seen = if self.seen == Seen::Nothing { Seen::Text } else { Seen::Misshapen };
                self.kind
            }
            Some(Open::Struct { schema, index, wrote }) => {
                let Some(field) = schema.fields().get(*index) else {
                    self.seen = Seen::Misshapen;
                    return Kind::Any;
                };
                *index += 1;
                if *wrote {
                    self.out.push(b',');
                }
                *wrote = true;
                self.out.extend_from_slice(field.name.as_bytes());
                self.out.push(b'=');
                Kind::of(&field.schema)
            }
            Some(Open::Array { index }) => {
                if *index > 0 {
                    self.out.extend_from_slice(b", ");
                }
                *index += 1;
                Kind::Any
            }
            Some(Open::Map { index }) => {
                let before: &[u8] = match *index {
                    0 => b"",
                    index if index % 2 == 1 => b"=",
                    _ => b", ",
                };
                self.out.extend_from_slice(before);
                *index += 1;
                Kind::Any
            }
        }
    }

    fn close(&mut self, bracket: u8) {
        if self.open.pop().is_none() {
            self.seen = Seen::Misshapen;
        }
        self.out.push(bracket);
    }
}

impl Visitor for StringEncoder {
    #[inline]
    fn scalar(&mut self, value: Scalar<'_>) {
        if matches!(value, Scalar::Null | Scalar::Absent) {
            match self.open.last_mut() {
                // as Java's Struct: without its nulls
                Some(Open::Struct { index, .. }) => return *index += 1,
                None if self.seen == Seen::Nothing => return self.seen = Seen::Null,
                _ => {}
            }
        }
        let kind = self.next();
        push_text(&mut self.out, kind, value);
    }

    fn begin_struct(&mut self, schema: &Arc<Schema>) {
        self.next();
        self.out.extend_from_slice(b"Struct{");
        self.open.push(Open::Struct { schema: schema.clone(), index: 0, wrote: false });
    }

    fn end_struct(&mut self) {
        self.close(b'}');
    }

    fn begin_array(&mut self, _length: usize) {
        self.next();
        self.out.push(b'[');
        self.open.push(Open::Array { index: 0 });
    }

    fn end_array(&mut self) {
        self.close(b']');
    }

    fn begin_map(&mut self, _length: usize) {
        self.next();
        self.out.push(b'{');
        self.open.push(Open::Map { index: 0 });
    }

    fn end_map(&mut self) {
        self.close(b'}');
    }
}

impl Encoder for StringEncoder {
    fn start(&mut self, _head: &RecordHead<'_>, schema: Option<&Arc<Schema>>, out: Vec<u8>) {
        self.start = out.len();
        self.out = out;
        self.kind = schema.map_or(Kind::Any, |schema| Kind::of(schema));
        self.open.clear();
        self.seen = Seen::Nothing;
    }

    fn finish(&mut self) -> (Vec<u8>, Result<bool>) {
        let mut out = std::mem::take(&mut self.out);
        let result = match self.seen {
            Seen::Text if self.open.is_empty() => Ok(true),
            Seen::Null => Ok(false),
            _ => Err(Error::record("converter.incomplete", "the value was not visited to its end")),
        };
        if !matches!(result, Ok(true)) {
            out.truncate(self.start);
        } else if !matches!(self.charset, Charset::Utf8) {
            let text = String::from_utf8_lossy(&out[self.start..]).into_owned();
            out.truncate(self.start);
            self.charset.encode(&text, &mut out);
        }
        (out, result)
    }
}

fn push_text(out: &mut Vec<u8>, kind: Kind, value: Scalar<'_>) {
    match value {
        Scalar::Str(text) => out.extend_from_slice(text.as_bytes()),
        Scalar::Null | Scalar::Absent => out.extend_from_slice(b"null"),
        Scalar::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Scalar::I64(value) => number::push_i64(out, value),
        Scalar::U64(value) => number::push_u64(out, value),
        Scalar::F64(value) if value.is_finite() => number::push_java_f64(out, value),
        Scalar::F64(value) => out.extend_from_slice(number::not_finite(value).as_bytes()),
        Scalar::F32(value) if value.is_finite() => number::push_java_f32(out, value),
        Scalar::F32(value) => out.extend_from_slice(number::not_finite(f64::from(value)).as_bytes()),
        Scalar::Decimal(text) if decimal::is_plain(text) => decimal::push_java(out, text),
        Scalar::Decimal(text) => out.extend_from_slice(text.as_bytes()),
        Scalar::Bytes(bytes) if kind == (Kind::Bits { length: 1 }) => {
            out.extend_from_slice(if single_bit(bytes) { b"true" } else { b"false" });
        }
        // Java shows an address here, which is of no use to anybody
        Scalar::Bytes(bytes) => number::push_base64(out, bytes),
        Scalar::Date(days) => date::push_date(out, i64::from(days)),
        Scalar::Time(micros) => date::push_time(out, micros, kind.fraction()),
        Scalar::Timestamp(micros) => date::push_timestamp(out, micros, b'T', kind.fraction()),
        Scalar::TimestampTz(micros) => {
            date::push_timestamp(out, micros, b'T', kind.fraction());
            out.push(b'Z');
        }
    }
}
