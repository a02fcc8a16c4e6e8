//! Payloads by their schema, in one pass. As lenient as Kafka's converter, which reads numbers into the type that is
//! wanted (they wrap, fractions are cut) and anything that is no number as 0; where that would lose a value that we
//! wrote ourselves, ours is better: `docs/reference/converters.md` lists where.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use openmessaging_connector::{Schema, Type, Value};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::schema_reader::{How, Reading};
use crate::converter::json::reader::{Any, Text};
use crate::converter::text::date::{Moment, read_timestamp};
use crate::converter::text::decimal::{from_json_number, from_unscaled};
use crate::converter::text::number::read_base64;

/// How payloads are read.
#[derive(Clone, Copy)]
pub(super) struct Rules<'r> {
    /// `replace.null.with.default`.
    pub defaults: bool,
    /// How many bytes may still be made out of nothing: of members that are not there and of defaults. Without a
    /// bound a small message with a wide schema and many empty structs would fill the memory.
    pub room: &'r Cell<usize>,
}

/// The room that one message has.
pub(super) const ROOM: usize = 16 << 20;

/// Reads a payload; without a reading it has no schema.
pub(super) fn read_payload<'a>(
    json: &'a str,
    reading: Option<&Reading>,
    rules: Rules<'_>,
) -> Result<Value<'a>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    match reading {
        None => Any.deserialize(&mut deserializer),
        Some(reading) => Typed { reading, rules }.deserialize(&mut deserializer),
    }
}

#[derive(Clone, Copy)]
struct Typed<'r> {
    reading: &'r Reading,
    rules: Rules<'r>,
}

impl Typed<'_> {
    /// Takes room for what is made out of nothing.
    fn fill(&self, bytes: usize) -> Result<(), String> {
        let left = self
            .rules
            .room
            .get()
            .checked_sub(bytes)
            .ok_or("too many members are missing or have their default")?;
        self.rules.room.set(left);
        Ok(())
    }

    fn null(&self) -> Result<Value<'static>, String> {
        let schema = &self.reading.schema;
        match &schema.default {
            Some(default) if self.rules.defaults => {
                self.fill(self.reading.default_size)?;
                Ok(default.clone())
            }
            _ if schema.optional => Ok(Value::Null),
            _ => Err(format!("Invalid null value for required {} field", type_name(schema))),
        }
    }

    fn inner<'r>(&'r self, reading: &'r Reading) -> Typed<'r> {
        Typed { reading, ..*self }
    }
}

impl<'de> DeserializeSeed<'de> for Typed<'_> {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'de>, D::Error> {
        if matches!(self.reading.how, How::Struct(_) | How::Array(_) | How::Map(..) | How::Geometry) {
            return deserializer.deserialize_any(self);
        }
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        let value = if raw == "null" { self.null() } else { leaf(&self.reading.how, raw) };
        value.map_err(D::Error::custom)
    }
}

impl<'de> Visitor<'de> for Typed<'_> {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.reading.how {
            How::Struct(_) | How::Geometry => "a JSON object, as structs are encoded",
            How::Array(_) => "a JSON array",
            How::Map(ref key, _) if is_text(key) => "a JSON object, as maps with string keys are encoded",
            _ => "a JSON array of pairs, as maps with other keys than strings are encoded",
        })
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value<'de>, E> {
        self.null().map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value<'de>, A::Error> {
        match &self.reading.how {
            How::Array(element) => {
                let mut values = Vec::new();
                while let Some(value) = elements.next_element_seed(self.inner(element))? {
                    values.push(value);
                }
                Ok(Value::Array(values))
            }
            How::Map(key, value) if !is_text(key) => {
                let mut entries = Vec::new();
                let pair = Pair { key: self.inner(key), value: self.inner(value) };
                while let Some(entry) = elements.next_element_seed(pair)? {
                    entries.push(entry);
                }
                Ok(Value::Map(entries))
            }
            _ => Err(A::Error::invalid_type(serde::de::Unexpected::Seq, &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value<'de>, A::Error> {
        match &self.reading.how {
            How::Struct(readings) => self.visit_struct(readings, members),
            How::Geometry => visit_geometry(members),
            How::Map(key, value) if is_text(key) => {
                let mut entries = Vec::new();
                while let Some(key) = members.next_key_seed(Text)? {
                    entries.push((Value::Str(key), members.next_value_seed(self.inner(value))?));
                }
                Ok(Value::Map(entries))
            }
            _ => Err(A::Error::invalid_type(serde::de::Unexpected::Map, &self)),
        }
    }
}

impl Typed<'_> {
    /// A member that is not there is not known, which is how ours writes such values; it is not null.
    fn visit_struct<'de, A: MapAccess<'de>>(
        self,
        readings: &[Reading],
        mut members: A,
    ) -> Result<Value<'de>, A::Error> {
        let schema = &self.reading.schema;
        let fields = schema.fields();
        self.fill(fields.len() * size_of::<Value<'_>>()).map_err(A::Error::custom)?;
        let mut values = Vec::with_capacity(fields.len());
        values.resize(fields.len(), Value::Absent);
        let mut next = 0;
        while let Some(name) = members.next_key_seed(Text)? {
            let is_it = |at: &usize| fields.get(*at).is_some_and(|field| *field.name == *name);
            // members come in the order of the schema, nearly always
            let at = if is_it(&next) { Some(next) } else { (0..fields.len()).find(is_it) };
            let Some(at) = at else {
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            next = at + 1;
            values[at] = members
                .next_value_seed(self.inner(&readings[at]))
                .map_err(|error| A::Error::custom(format_args!("field {name}: {error}")))?;
        }
        let absent = values.iter().filter(|value| matches!(value, Value::Absent)).count();
        self.rules.room.set(self.rules.room.get() + (fields.len() - absent) * size_of::<Value<'_>>());
        Ok(Value::Struct(schema.clone(), values))
    }
}

fn visit_geometry<'de, A: MapAccess<'de>>(mut members: A) -> Result<Value<'de>, A::Error> {
    let (mut wkb, mut srid) = (Vec::new(), 0);
    while let Some(name) = members.next_key_seed(Text)? {
        match &*name {
            "wkb" => {
                let text = members.next_value_seed(Text)?;
                wkb = read_base64(&text).ok_or_else(|| A::Error::custom("Invalid bytes field"))?;
            }
            "srid" => srid = members.next_value::<Option<i32>>()?.unwrap_or(0),
            _ => {
                members.next_value::<IgnoredAny>()?;
            }
        }
    }
    let mut bytes = srid.to_le_bytes().to_vec();
    bytes.append(&mut wkb);
    Ok(Value::Bytes(Cow::Owned(bytes)))
}

/// `[key,value]`.
#[derive(Clone, Copy)]
struct Pair<'r> {
    key: Typed<'r>,
    value: Typed<'r>,
}

impl<'de> DeserializeSeed<'de> for Pair<'_> {
    type Value = (Value<'de>, Value<'de>);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Pair<'_> {
    type Value = (Value<'de>, Value<'de>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map's entry as an array of two")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
        let wrong = |length| A::Error::invalid_length(length, &self);
        let key = parts.next_element_seed(self.key)?.ok_or_else(|| wrong(0))?;
        let value = parts.next_element_seed(self.value)?.ok_or_else(|| wrong(1))?;
        match parts.next_element::<IgnoredAny>()? {
            None => Ok((key, value)),
            Some(_) => Err(wrong(3)),
        }
    }
}

fn is_text(key: &Reading) -> bool {
    key.schema.ty == Type::String
}

/// A scalar from its JSON, which is not null.
fn leaf<'de>(how: &How, raw: &'de str) -> Result<Value<'de>, String> {
    let number = raw.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    let whole = |strict: bool, what: &str| match strict && (!number || raw.contains(['.', 'e', 'E'])) {
        true => Err(format!("Invalid type for {what}, underlying representation should be integer")),
        false if number => Ok(wrapped(raw)),
        false => Ok(0),
    };
    let beyond = || "it is beyond what 64 bits of microseconds hold".to_owned();
    Ok(match how {
        How::Boolean => Value::Bool(raw == "true"),
        How::Whole(bits) => {
            // beyond 2^63 stands an unsigned number of ours; Kafka's would become negative
            match raw.parse::<u64>() {
                Ok(unsigned) if *bits == 64 && unsigned > i64::MAX as u64 => Value::U64(unsigned),
                _ => Value::I64(narrow(whole(false, "")?, *bits)),
            }
        }
        How::Float32 => Value::F32(float(raw, number) as f32),
        How::Float64 => Value::F64(float(raw, number)),
        How::Text => string(raw).map_or(Value::Null, Value::Str),
        How::Bytes => match string(raw) {
            Some(text) => Value::Bytes(Cow::Owned(read_base64(&text).ok_or("Invalid bytes field")?)),
            None => Value::Null,
        },
        How::Bits { length } => match string(raw) {
            Some(text) => bits(read_base64(&text).ok_or("Invalid bytes field")?, *length),
            None => Value::Null,
        },
        How::Decimal { scale } => Value::Decimal(Cow::Owned(decimal(raw, number, *scale)?)),
        How::Date { strict } => Value::Date(whole(*strict, "Date")? as i32),
        How::Time { unit, strict } => Value::Time(unit.micros(whole(*strict, "Time")?).ok_or_else(beyond)?),
        How::Timestamp { unit, strict } => {
            let count = whole(*strict, "Timestamp")?;
            Value::Timestamp(unit.micros(count).ok_or_else(beyond)?)
        }
        How::ZonedTimestamp => match string(raw) {
            Some(text) => {
                let instant = read_timestamp(&text).and_then(Moment::instant);
                Value::TimestampTz(
                    instant.ok_or("Invalid ZonedTimestamp: not a date, time and zone of ISO 8601")?,
                )
            }
            None => Value::Null,
        },
        How::Array(_) | How::Map(..) | How::Struct(_) | How::Geometry => {
            return Err("not a scalar".to_owned());
        }
    })
}

/// The text of a JSON string; `None` for anything else.
fn string(raw: &str) -> Option<Cow<'_, str>> {
    if !raw.starts_with('"') {
        return None;
    }
    Text.deserialize(&mut serde_json::Deserializer::from_str(raw)).ok()
}

/// The whole part of a JSON number, modulo 2^64, as `BigDecimal.longValue` has it.
fn wrapped(number: &str) -> i64 {
    if let Ok(value) = number.parse() {
        return value;
    }
    let (negative, number) = number.strip_prefix('-').map_or((false, number), |rest| (true, rest));
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent: i64 = exponent.strip_prefix('+').unwrap_or(exponent).parse().unwrap_or(0);
    let length = (whole.len() as i64).saturating_add(exponent).max(0);
    let digits = whole.bytes().chain(fraction.bytes()).take(usize::try_from(length).unwrap_or(usize::MAX));
    let value =
        digits.fold(0_i64, |value, digit| value.wrapping_mul(10).wrapping_add(i64::from(digit - b'0')));
    // 10^64 is a multiple of 2^64
    let zeros = length - ((whole.len() + fraction.len()) as i64).min(length);
    let value = (0..zeros.min(64)).fold(value, |value, _| value.wrapping_mul(10));
    if negative { value.wrapping_neg() } else { value }
}

fn narrow(value: i64, bits: u32) -> i64 {
    match bits {
        8 => i64::from(value as i8),
        16 => i64::from(value as i16),
        32 => i64::from(value as i32),
        _ => value,
    }
}

fn float(raw: &str, number: bool) -> f64 {
    match raw {
        // what Kafka writes, and then reads as 0
        "\"NaN\"" => f64::NAN,
        "\"Infinity\"" => f64::INFINITY,
        "\"-Infinity\"" => f64::NEG_INFINITY,
        _ if number => raw.parse().unwrap_or(0.0),
        _ => 0.0,
    }
}

/// Little-endian bytes to ours, which are as many as the length needs, the most significant first.
fn bits(mut bytes: Vec<u8>, length: u32) -> Value<'static> {
    // a length that lies does not make more bytes than came
    let wanted = (length as usize).div_ceil(8);
    if wanted > bytes.len() && wanted <= 8 {
        bytes.resize(wanted, 0);
    }
    bytes.reverse();
    Value::Bytes(Cow::Owned(bytes))
}

fn decimal(raw: &str, number: bool, scale: i64) -> Result<String, String> {
    if number {
        let digits = usize::try_from(scale).unwrap_or(0);
        return from_json_number(raw, digits).ok_or_else(|| "Invalid Decimal: too many digits".to_owned());
    }
    let Some(text) = string(raw) else {
        return Err(
            "Invalid type for Decimal, underlying representation should be numeric or bytes".to_owned()
        );
    };
    let bytes = read_base64(&text);
    bytes
        .and_then(|bytes| from_unscaled(&bytes, scale))
        .ok_or_else(|| "Invalid bytes for Decimal field".to_owned())
}

fn type_name(schema: &Schema) -> &'static str {
    match schema.ty {
        Type::Boolean => "BOOLEAN",
        Type::Int8 => "INT8",
        Type::Int16 => "INT16",
        Type::Int32 => "INT32",
        Type::Int64 | Type::UInt64 => "INT64",
        Type::Float32 => "FLOAT32",
        Type::Float64 => "FLOAT64",
        Type::String => "STRING",
        Type::Bytes => "BYTES",
        Type::Array(_) => "ARRAY",
        Type::Map(..) => "MAP",
        Type::Struct(_) => "STRUCT",
    }
}
