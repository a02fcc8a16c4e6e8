//! What is around the payload: rendered once for a table and used again while nothing of it changes.

use std::sync::Arc;

use openmessaging_connector::record::RecordHead;
use openmessaging_connector::{EntryType, Field};

use super::format::field_type;
use crate::converter::text::escape::{Original, push_string};
use crate::converter::text::number::{push_base64, push_i64};

/// What is kept of a record's head until its message is written.
#[derive(Debug)]
pub(super) struct Head {
    pub queue: Arc<str>,
    entry: EntryType,
    timestamp_ms: i64,
    sharding_key: Option<Vec<u8>>,
}

impl Head {
    pub fn new() -> Self {
        Self { queue: Arc::from(""), entry: EntryType::Create, timestamp_ms: 0, sharding_key: None }
    }

    pub fn set(&mut self, head: &RecordHead<'_>) {
        if !Arc::ptr_eq(&self.queue, head.queue) {
            self.queue = head.queue.clone();
        }
        self.entry = head.entry;
        self.timestamp_ms = head.timestamp_ms;
        match (&mut self.sharding_key, head.sharding_key) {
            (Some(kept), Some(key)) => {
                kept.clear();
                kept.extend_from_slice(key);
            }
            (kept, key) => *kept = key.map(<[u8]>::to_vec),
        }
    }

    /// A row of a snapshot is there, as a created one is. The original knew no truncation.
    fn entry_type(&self) -> &'static str {
        match self.entry {
            EntryType::Create | EntryType::Read => "CREATE",
            EntryType::Update => "UPDATE",
            EntryType::Delete => "DELETE",
            EntryType::Truncate => "TRUNCATE",
        }
    }
}

/// The part from behind the payload to the end of the schema.
#[derive(Debug)]
pub(super) struct Tail {
    queue: Arc<str>,
    database: String,
    table: String,
    text: Vec<u8>,
}

impl Tail {
    /// `fields` is JSON. An empty database is none; an empty table is the queue.
    pub fn new(queue: &Arc<str>, database: &str, table: &str, fields: &[u8]) -> Self {
        let mut text = b"\"],\"queueName\":".to_vec();
        push_string::<Original>(&mut text, queue);
        text.extend_from_slice(b",\"schema\":{");
        if !database.is_empty() {
            text.extend_from_slice(b"\"dataSource\":");
            push_string::<Original>(&mut text, database);
            text.push(b',');
        }
        text.extend_from_slice(b"\"fields\":");
        text.extend_from_slice(fields);
        text.extend_from_slice(b",\"name\":");
        push_string::<Original>(&mut text, if table.is_empty() { queue } else { table });
        text.push(b'}');
        Self { queue: queue.clone(), database: database.to_owned(), table: table.to_owned(), text }
    }

    #[inline]
    pub fn is_of(&self, queue: &Arc<str>, database: &str, table: &str) -> bool {
        (Arc::ptr_eq(&self.queue, queue) || self.queue == *queue)
            && self.database == database
            && self.table == table
    }
}

/// `[{"index":0,"name":"id","type":"INT32"},...]`.
pub(super) fn fields_json(fields: &[Field]) -> Vec<u8> {
    let mut text = vec![b'['];
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        push_field(&mut text, index, &field.name, field_type(field));
    }
    text.push(b']');
    text
}

pub(super) fn push_field(text: &mut Vec<u8>, index: usize, name: &str, ty: Option<&str>) {
    text.extend_from_slice(b"{\"index\":");
    push_i64(text, index as i64);
    text.extend_from_slice(b",\"name\":");
    push_string::<Original>(text, name);
    if let Some(ty) = ty {
        text.extend_from_slice(b",\"type\":");
        push_string::<Original>(text, ty);
    }
    text.push(b'}');
}

/// Appends the whole message.
pub(super) fn push_message(out: &mut Vec<u8>, head: &Head, payload: &[u8], tail: &Tail) {
    out.reserve(payload.len() / 3 * 4 + tail.text.len() + 96);
    out.extend_from_slice(b"{\"entryType\":\"");
    out.extend_from_slice(head.entry_type().as_bytes());
    out.extend_from_slice(b"\",\"payload\":[\"");
    push_base64(out, payload);
    out.extend_from_slice(&tail.text);
    if let Some(key) = &head.sharding_key {
        out.extend_from_slice(b",\"shardingKey\":");
        push_string::<Original>(out, &String::from_utf8_lossy(key));
    }
    out.extend_from_slice(b",\"timestamp\":");
    push_i64(out, head.timestamp_ms);
    out.push(b'}');
}
