//! JSON without schema to values, in one pass and borrowing what it can.

use std::borrow::Cow;
use std::fmt;

use openmessaging_connector::{Error, Value};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// The deepest nesting that is read: the limit of `serde_json`, which every reader here uses.
#[cfg(test)]
pub(in crate::converter) const MAX_DEPTH: usize = 127;

/// Reads a whole text: whole numbers as `I64` or, beyond it, `U64`; others as `F64`; objects as maps with text keys, of
/// a repeated key the last.
pub(in crate::converter) fn read(json: &[u8]) -> Result<Value<'_>, Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let value = Any.deserialize(&mut deserializer).map_err(not_json)?;
    deserializer.end().map_err(not_json)?;
    Ok(value)
}

/// The same, but what follows the value does not matter.
pub(in crate::converter) fn read_first(json: &[u8]) -> Result<Value<'_>, Error> {
    Any.deserialize(&mut serde_json::Deserializer::from_slice(json)).map_err(not_json)
}

pub(in crate::converter) fn not_json(error: serde_json::Error) -> Error {
    Error::record("converter.not_json", format!("the message is not valid JSON: {error}"))
        .with_remedy("configure the converter that the messages were written with")
}

/// A byte order mark is no part of the text.
pub(in crate::converter) fn without_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// Reads any value.
#[derive(Debug, Clone, Copy)]
pub(in crate::converter) struct Any;

impl<'de> DeserializeSeed<'de> for Any {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Any {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value<'de>, E> {
        Ok(Value::I64(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value<'de>, E> {
        Ok(i64::try_from(value).map_or(Value::U64(value), Value::I64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value<'de>, E> {
        Ok(Value::F64(value))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Str(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Str(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value<'de>, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = elements.next_element_seed(Any)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value<'de>, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = members.next_key_seed(Text)? {
            entries.push((Value::Str(key), members.next_value_seed(Any)?));
        }
        Ok(Value::Map(last_of_each(entries)))
    }
}

/// Reads a text, borrowed where it has no escapes.
#[derive(Debug, Clone, Copy)]
pub(in crate::converter) struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// Of entries with the same key the last one, in the place of the first, as other readers of JSON have it.
fn last_of_each<'a>(entries: Vec<(Value<'a>, Value<'a>)>) -> Vec<(Value<'a>, Value<'a>)> {
    const FEW: usize = 16;
    let repeated = if entries.len() <= FEW {
        entries.iter().enumerate().any(|(at, (key, _))| entries[..at].iter().any(|(before, _)| before == key))
    } else {
        let mut seen = std::collections::HashSet::with_capacity(entries.len());
        !entries.iter().all(|(key, _)| seen.insert(key.as_str().unwrap_or_default()))
    };
    if !repeated {
        return entries;
    }
    let mut kept = indexmap::IndexMap::with_capacity(entries.len());
    for (key, value) in entries {
        if let Value::Str(key) = key {
            kept.insert(key, value);
        }
    }
    kept.into_iter().map(|(key, value)| (Value::Str(key), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_borrowed_and_the_last_of_a_key_counts() {
        let value = read(br#"{"a":1,"b":[true,null,"x",-2.5],"a":18446744073709551615}"#).expect("JSON");
        let Value::Map(entries) = &value else { panic!("{value:?}") };
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0], (Value::str("a"), Value::U64(u64::MAX)));
        let wanted = vec![Value::Bool(true), Value::Null, Value::str("x"), Value::F64(-2.5)];
        assert_eq!(entries[1].1, Value::Array(wanted));
        let many: String = (0..40).map(|n| format!("\"k{}\":{n},", n % 30)).collect();
        let text = format!("{{{}}}", many.trim_end_matches(','));
        let Value::Map(entries) = read(text.as_bytes()).expect("JSON") else { panic!() };
        assert_eq!((entries.len(), &entries[3].1), (30, &Value::I64(33)));
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(read(nested(MAX_DEPTH).as_bytes()).is_ok());
        for depth in [MAX_DEPTH + 1, 1_000_000] {
            let error = read(nested(depth).as_bytes()).expect_err("too deep").to_string();
            assert!(error.contains("recursion limit"), "{error}");
        }
        assert!(read("{\"a\":".repeat(1_000_000).as_bytes()).is_err());
    }
}
