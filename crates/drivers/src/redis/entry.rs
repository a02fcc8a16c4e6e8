//! How a message lies in an entry of a stream: one field for each part, so that others can read and write them.
//!
//! | field | value |
//! |---|---|
//! | `stored` | when the server stored it, milliseconds since the epoch; what `StartAt::Timestamp` and retention go by |
//! | `key` | the key; not there where the message has none |
//! | `timestamp` | when it was born, milliseconds since the epoch |
//! | `h:NAME` | a header, as often as the name repeats |
//! | `n:NAME` | a header whose value is null; the field's value is empty |
//! | `body` | the body; not there for a tombstone |
//!
//! Entries of others that have a `body` are read in the same way, and what else they have comes as headers. Those without
//! become a body: the value of the only field, or a JSON object of all (what is not UTF-8 in base64, values of a field
//! that repeats as an array).

use std::sync::Arc;

use base64::Engine;
use openmessaging::{Message, MessageBatch};
use serde_json::{Map, Value};

use super::offset;
use super::resp::{bulk, number};

const STORED: &[u8] = b"stored";
const KEY: &[u8] = b"key";
const TIMESTAMP: &[u8] = b"timestamp";
const BODY: &[u8] = b"body";
const HEADER: &[u8] = b"h:";
const NULL_HEADER: &[u8] = b"n:";

/// Name and value.
pub(super) type Field<'a> = (&'a [u8], &'a [u8]);

/// How the messages of one call of the script look, so that the script can take a short way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A body and no key or header.
    Body,
    /// A key and a body, no header.
    KeyBody,
    /// Anything.
    Any,
}

impl Shape {
    pub fn of(message: &Message<'_>) -> Self {
        match (message.key, message.body) {
            (None, Some(_)) if message.headers.is_empty() => Shape::Body,
            (Some(_), Some(_)) if message.headers.is_empty() => Shape::KeyBody,
            _ => Shape::Any,
        }
    }

    /// As the script is told.
    pub fn name(self) -> &'static [u8] {
        match self {
            Shape::Body => b"b",
            Shape::KeyBody => b"k",
            Shape::Any => b"a",
        }
    }

    /// How many arguments a message takes.
    pub fn arguments(self, message: &Message<'_>) -> usize {
        match self {
            Shape::Body => 2,
            Shape::KeyBody => 3,
            Shape::Any => 1 + fields(message),
        }
    }

    /// Writes the arguments of a message.
    pub fn write(self, message: &Message<'_>, out: &mut Vec<u8>) {
        match self {
            Shape::Body | Shape::KeyBody => {
                if self == Shape::KeyBody {
                    bulk(out, message.key.unwrap_or_default());
                }
                number(out, message.timestamp);
                bulk(out, message.body.unwrap_or_default());
            }
            Shape::Any => {
                number(out, fields(message) as i64);
                write_fields(message, out);
            }
        }
    }
}

/// Names and values of a message, `stored` left out.
fn fields(message: &Message<'_>) -> usize {
    let optional = usize::from(message.key.is_some()) + usize::from(message.body.is_some());
    2 * (1 + optional + message.headers.into_iter().count())
}

fn write_fields(message: &Message<'_>, out: &mut Vec<u8>) {
    if let Some(key) = message.key {
        bulk(out, KEY);
        bulk(out, key);
    }
    bulk(out, TIMESTAMP);
    number(out, message.timestamp);
    for header in message.headers {
        let kind = if header.value.is_some() { HEADER } else { NULL_HEADER };
        bulk(out, &[kind, header.name.as_bytes()].concat());
        bulk(out, header.value.unwrap_or_default());
    }
    if let Some(body) = message.body {
        bulk(out, BODY);
        bulk(out, body);
    }
}

/// When the entry was stored, milliseconds since the epoch.
pub(super) fn stored_at(fields: &[Field<'_>], at: u64) -> i64 {
    find(fields, STORED).and_then(time).unwrap_or_else(|| offset::time_of(at))
}

/// Adds the message that an entry holds.
pub(super) fn read(
    fields: &[Field<'_>],
    at: u64,
    queue: &Arc<str>,
    partition: u32,
    batch: &mut MessageBatch,
) {
    let body = find(fields, BODY);
    let stored = find(fields, STORED).and_then(time);
    let timestamp = find(fields, TIMESTAMP).and_then(time).or(stored);
    let timestamp = timestamp.unwrap_or_else(|| offset::time_of(at));
    if body.is_none() && stored.is_none() {
        let made;
        let body = match fields {
            [(_, value)] => value,
            _ => {
                made = object(fields);
                &made[..]
            }
        };
        return batch.start().finish(queue, Some(partition), timestamp, Some(body));
    }
    let mut writer = batch.start();
    writer.key(find(fields, KEY));
    for (name, value) in fields {
        if let Some((name, value)) = header(name, value) {
            writer.header(&name, value);
        }
    }
    writer.finish(queue, Some(partition), timestamp, body);
}

fn find<'a>(fields: &[Field<'a>], name: &[u8]) -> Option<&'a [u8]> {
    fields.iter().find(|(field, _)| *field == name).map(|(_, value)| *value)
}

fn time(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The header that a field is.
fn header<'a>(name: &'a [u8], value: &'a [u8]) -> Option<(std::borrow::Cow<'a, str>, Option<&'a [u8]>)> {
    if [STORED, KEY, TIMESTAMP, BODY].contains(&name) {
        return None;
    }
    let (name, value) = match (name.strip_prefix(HEADER), name.strip_prefix(NULL_HEADER)) {
        (Some(name), _) => (name, Some(value)),
        (_, Some(name)) if value.is_empty() => (name, None),
        _ => (name, Some(value)),
    };
    Some((String::from_utf8_lossy(name), value))
}

/// All fields as a JSON object.
fn object(fields: &[Field<'_>]) -> Vec<u8> {
    let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => base64::engine::general_purpose::STANDARD.encode(bytes),
    };
    let mut object = Map::new();
    for (name, value) in fields {
        let value = Value::String(text(value));
        match object.get_mut(&text(name)) {
            None => {
                object.insert(text(name), value);
            }
            Some(Value::Array(values)) => values.push(value),
            Some(one) => *one = Value::Array(vec![one.take(), value]),
        }
    }
    serde_json::to_vec(&object).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::resp::{Reply, array, reply};
    use super::*;

    fn queue() -> Arc<str> {
        "q".into()
    }

    fn one(fields: &[Field<'_>], at: u64) -> MessageBatch {
        let mut batch = MessageBatch::new();
        read(fields, at, &queue(), 2, &mut batch);
        batch
    }

    #[test]
    fn what_is_written_is_read() {
        let mut batch = MessageBatch::new();
        let mut writer = batch.start();
        writer.key(Some(b"\0k"));
        writer.header("a", Some(b"1"));
        writer.header("key", None);
        writer.header("a", Some(&[0, 255]));
        writer.finish(&queue(), Some(2), -5, None);
        batch.start().finish(&queue(), Some(2), 7, Some(b""));
        for message in batch.iter() {
            let mut out = Vec::new();
            array(&mut out, fields(&message));
            write_fields(&message, &mut out);
            let (Reply::Array(items), _) = reply(&out).expect("well formed").expect("whole") else {
                panic!("an array was written");
            };
            let items: Vec<_> = items.into_iter().filter_map(Reply::bytes).collect();
            let mut fields: Vec<Field<'_>> = vec![(b"stored", b"99")];
            fields.extend(items.chunks_exact(2).map(|pair| (&pair[0][..], &pair[1][..])));
            assert_eq!(stored_at(&fields, 3), 99);
            let got = one(&fields, 3);
            let got = got.get(0).expect("read");
            assert_eq!((got.key, got.body, got.timestamp), (message.key, message.body, message.timestamp));
            let headers = |message: &Message<'_>| {
                message
                    .headers
                    .into_iter()
                    .map(|header| (header.name.to_owned(), header.value.map(<[u8]>::to_vec)))
                    .collect::<Vec<_>>()
            };
            assert_eq!(headers(&got), headers(&message));
        }
    }

    #[test]
    fn shapes_say_what_they_write() {
        let mut batch = MessageBatch::new();
        batch.start().finish(&queue(), None, 1, Some(b"x"));
        let mut writer = batch.start();
        writer.key(Some(b"k"));
        writer.finish(&queue(), None, 1, Some(b"x"));
        batch.start().finish(&queue(), None, 1, None);
        let shapes: Vec<_> = batch.iter().map(|message| Shape::of(&message)).collect();
        assert_eq!(shapes, [Shape::Body, Shape::KeyBody, Shape::Any]);
        for message in batch.iter() {
            for shape in [Shape::of(&message), Shape::Any] {
                let mut out = Vec::new();
                array(&mut out, shape.arguments(&message));
                shape.write(&message, &mut out);
                assert!(reply(&out).expect("well formed").is_some_and(|(_, used)| used == out.len()));
            }
        }
    }

    #[test]
    fn entries_of_others_become_bodies_or_headers() {
        let at = offset::of_id(b"1763800000123-0").expect("an id");
        let single = one(&[(b"payload", b"\xff")], at);
        let message = single.get(0).expect("read");
        assert_eq!((message.body, message.timestamp), (Some(&b"\xff"[..]), 1_763_800_000_123));
        let several = one(&[(b"a", b"1"), (b"b", b"\xff"), (b"a", b"2")], at);
        let body = several.get(0).and_then(|message| message.body).expect("a body");
        assert_eq!(std::str::from_utf8(body), Ok(r#"{"a":["1","2"],"b":"/w=="}"#));
        let with_body = one(&[(b"body", b"x"), (b"trace", b"t"), (b"key", b"k")], at);
        let message = with_body.get(0).expect("read");
        assert_eq!((message.key, message.body), (Some(&b"k"[..]), Some(&b"x"[..])));
        assert_eq!(message.headers.get("trace").and_then(|header| header.value), Some(&b"t"[..]));
    }
}
