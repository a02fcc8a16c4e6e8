//! How messages are written: RocketMQ's properties, and the body of a batch.
//!
//! | what | where |
//! |---|---|
//! | key that is text without blanks | the property `KEYS` |
//! | any other key | `oms.key`: base64 |
//! | sharding key that is text without blanks | `__SHARDINGKEY` |
//! | body that is none or empty | a body of one zero byte, and `oms.body`: `null` or `empty` |
//! | timestamp other than that of its request | `oms.born`: milliseconds |
//! | header | a property of its name and value, where these are *plain* |
//! | headers of which not all are plain | those that are, and `oms.headers`: the list of all |
//!
//! A header is plain if its name and value are text of at least one character without U+0001 and U+0002, its name is none
//! that RocketMQ or this table uses (`TAGS` is allowed, and is the message's tag), and no header before it has that name.
//!
//! `oms.headers` has an entry for each header in order, each ended by `;`: `=` and the name in base64 for a plain one, whose
//! value is its property's; `-` and the name for a null; `+`, the name, `,`, and the value in base64 for any other.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use openmessaging::Message;

pub(super) const KEYS: &str = "KEYS";
pub(super) const SHARDING_KEY: &str = "__SHARDINGKEY";
pub(super) const OWN: &str = "oms.";
pub(super) const OWN_KEY: &str = "oms.key";
pub(super) const OWN_BODY: &str = "oms.body";
pub(super) const OWN_BORN: &str = "oms.born";
pub(super) const OWN_HEADERS: &str = "oms.headers";

/// Between name and value, and behind the value.
pub(super) const NAME_END: u8 = 1;
pub(super) const VALUE_END: u8 = 2;

/// The broker keeps 32,767 bytes of properties, its own included.
pub(super) const MAX_PROPERTIES: usize = 32_000;

/// What stands for a body that is none or empty, which the broker refuses.
pub(super) const NO_BODY: &[u8] = &[0];

/// Names of properties that mean something to RocketMQ (`MessageConst`): no headers.
pub(super) fn is_reserved(name: &str) -> bool {
    const NAMES: [&str; 47] = [
        "1ST_POP_TIME",
        "ARRIVE_TIME",
        "BORN_TIMESTAMP",
        "BUYER_ID",
        "CHECK_IMMUNITY_TIME_IN_SECONDS",
        "CLUSTER",
        "CONSUME_START_TIME",
        "CORRECTION_FLAG",
        "CORRELATION_ID",
        "DELAY",
        "DLQ_ORIGIN_MESSAGE_ID",
        "DLQ_ORIGIN_TOPIC",
        "DUP_INFO",
        "EXTEND_UNIQ_INFO",
        "INNER_BASE",
        "INNER_MULTI_DISPATCH",
        "INNER_MULTI_QUEUE_OFFSET",
        "INNER_NUM",
        "INSTANCE_ID",
        "KEYS",
        "MAX_OFFSET",
        "MAX_RECONSUME_TIMES",
        "MIN_OFFSET",
        "MQ2_FLAG",
        "MSG_REGION",
        "MSG_TYPE",
        "ORIGIN_MESSAGE_ID",
        "PGROUP",
        "POP_CK",
        "POP_CK_OFFSET",
        "PROPERTY_FORWARD_QUEUE_ID",
        "PUSH_REPLY_TIME",
        "REAL_QID",
        "REAL_TOPIC",
        "RECONSUME_TIME",
        "REDIRECT",
        "REPLY_TO_CLIENT",
        "RETRY_TOPIC",
        "TRACE_CONTEXT",
        "TRACE_ON",
        "TRANSACTION_CHECK_TIMES",
        "TRANSFER_FLAG",
        "TRAN_MSG",
        "TRAN_PREPARED_QUEUE_OFFSET",
        "TTL",
        "UNIQ_KEY",
        "WAIT",
    ];
    NAMES.binary_search(&name).is_ok()
        || name.starts_with("__")
        || name.starts_with("TIMER_")
        || name.starts_with(OWN)
}

fn is_clean(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && !bytes.iter().any(|byte| matches!(*byte, NAME_END | VALUE_END))
        && str::from_utf8(bytes).is_ok()
}

/// Text that may be a key of RocketMQ: several keys are parted by blanks.
fn is_word(bytes: &[u8]) -> bool {
    is_clean(bytes) && !bytes.iter().any(u8::is_ascii_whitespace)
}

fn property(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.push(NAME_END);
    out.extend_from_slice(value);
    out.push(VALUE_END);
}

/// Appends the properties of a message. `born`: the time of the request that it goes with. `in_order`: whether the broker
/// keeps the order of properties, which it does in batches.
pub(super) fn properties(out: &mut Vec<u8>, message: &Message<'_>, born: i64, in_order: bool) {
    if let Some(key) = message.key {
        if is_word(key) {
            property(out, KEYS, key);
        } else {
            property(out, OWN_KEY, format!("b{}", BASE64.encode(key)).as_bytes());
        }
    }
    if let Some(key) = message.sharding_key.filter(|key| is_word(key)) {
        property(out, SHARDING_KEY, key);
    }
    match message.body {
        None => property(out, OWN_BODY, b"null"),
        Some([]) => property(out, OWN_BODY, b"empty"),
        Some(_) => {}
    }
    if message.timestamp != born {
        property(out, OWN_BORN, message.timestamp.to_string().as_bytes());
    }
    headers(out, message, in_order);
}

fn headers(out: &mut Vec<u8>, message: &Message<'_>, in_order: bool) {
    let (mut count, mut all_plain) = (0, true);
    let is_plain = |index: usize, name: &str, value: Option<&[u8]>| {
        let clean = is_clean(name.as_bytes()) && !is_reserved(name) && value.is_some_and(is_clean);
        clean && !message.headers.into_iter().take(index).any(|earlier| earlier.name == name)
    };
    for header in message.headers {
        match header.value {
            Some(value) if is_plain(count, header.name, header.value) => property(out, header.name, value),
            _ => all_plain = false,
        }
        count += 1;
    }
    if all_plain && (in_order || count < 2) {
        return;
    }
    let mut list = String::new();
    for (index, header) in message.headers.into_iter().enumerate() {
        let name = BASE64.encode(header.name);
        // Writing into a text cannot fail.
        let _ = match header.value {
            Some(_) if is_plain(index, header.name, header.value) => write!(list, "={name};"),
            Some(value) => write!(list, "+{name},{};", BASE64.encode(value)),
            None => write!(list, "-{name};"),
        };
    }
    property(out, OWN_HEADERS, list.as_bytes());
}

/// Appends a message as a part of a batch (`MessageDecoder.encodeMessage`): total length, three unused words but the flag,
/// length and body, length and properties. Gives the length of the properties.
pub(super) fn batch_part(out: &mut Vec<u8>, message: &Message<'_>, born: i64) -> usize {
    let start = out.len();
    let body = body_of(message);
    out.extend_from_slice(&[0; 16]);
    out.extend_from_slice(&(body.len() as u32).to_be_bytes());
    out.extend_from_slice(body);
    let length_at = out.len();
    out.extend_from_slice(&[0; 2]);
    properties(out, message, born, true);
    let length = out.len() - length_at - 2;
    let short = u16::try_from(length).unwrap_or(u16::MAX);
    out[length_at..length_at + 2].copy_from_slice(&short.to_be_bytes());
    let total = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&total.to_be_bytes());
    length
}

pub(super) fn body_of<'a>(message: &Message<'a>) -> &'a [u8] {
    message.body.filter(|body| !body.is_empty()).unwrap_or(NO_BODY)
}

/// At most so many bytes a message takes in a batch.
pub(super) fn batch_size(message: &Message<'_>) -> usize {
    message.size() + 64 + message.sharding_key.map_or(0, <[u8]>::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_names_are_found() {
        for name in ["KEYS", "WAIT", "1ST_POP_TIME", "UNIQ_KEY", "__x", "TIMER_DELAY_MS", "oms.key", "DELAY"]
        {
            assert!(is_reserved(name), "{name}");
        }
        for name in ["TAGS", "a", "keys", "WAITS"] {
            assert!(!is_reserved(name), "{name}");
        }
    }
}
