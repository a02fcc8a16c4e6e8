//! A message as AMQP 0.9.1 carries it, and back.
//!
//! | part | where |
//! |---|---|
//! | body | the body; `x-oms-null` = true where there is none |
//! | key | header `x-oms-key`, a string of bytes |
//! | time | property `timestamp`, whole seconds, and header `timestamp_in_ms`, as RabbitMQ itself writes it |
//! | headers | headers, strings of bytes; null is void |
//! | a name that repeats | its second value in `x-oms-2-<name>`, its third in `x-oms-3-<name>`, ... (streams keep no arrays) |
//! | order of headers | a table has none: where it is not that of the names, or one repeats, `x-oms-order` has for each header the rank of its name, two bytes, big-endian |
//! | a header whose name is one of these | `x-oms-user-` before it |
//!
//! To streams `x-oms-sent` is added, when the message was sent, in milliseconds: a stream finds a time by the second only.
//! Headers of others that are no strings become text. The limit of AMQP for a header's name is 255 bytes.

use std::sync::Arc;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, LongString, MAX_SHORT_STRING_LENGTH, ShortString};
use openmessaging::{Headers, Message, MessageBatch, Result};

use crate::common::settings::bad_parameter;

const KEY: &str = "x-oms-key";
const NULL: &str = "x-oms-null";
const ORDER: &str = "x-oms-order";
const SENT: &str = "x-oms-sent";
const USER: &str = "x-oms-user-";
const TIME: &str = "timestamp_in_ms";
const OFFSET: &str = "x-stream-offset";

/// Kept on disk.
const PERSISTENT: u8 = 2;

/// # Errors
/// `BadParameter`: a header that AMQP cannot carry.
pub(super) fn properties(message: &Message<'_>, sent: Option<i64>) -> Result<BasicProperties> {
    let mut table = FieldTable::default();
    let mut put = |name: &'static str, value| {
        table.insert(name.into(), value);
    };
    if let Some(key) = message.key {
        put(KEY, bytes(key));
    }
    if message.body.is_none() {
        put(NULL, AMQPValue::Boolean(true));
    }
    put(TIME, AMQPValue::LongLongInt(message.timestamp));
    if let Some(sent) = sent {
        put(SENT, AMQPValue::LongLongInt(sent));
    }
    if !message.headers.is_empty() {
        put_headers(&mut table, message.headers)?;
    }
    let seconds = (message.timestamp.max(0) / 1000) as u64;
    Ok(BasicProperties::default().with_delivery_mode(PERSISTENT).with_timestamp(seconds).with_headers(table))
}

fn bytes(value: &[u8]) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value))
}

fn is_reserved(name: &str) -> bool {
    name.starts_with("x-oms-") || name == TIME || name == OFFSET
}

fn put_headers(table: &mut FieldTable, headers: Headers<'_>) -> Result<()> {
    let mut groups: Vec<(String, Vec<AMQPValue>)> = Vec::new();
    let mut order: Vec<usize> = Vec::new();
    for header in headers {
        let name =
            if is_reserved(header.name) { format!("{USER}{}", header.name) } else { header.name.to_owned() };
        if name.len() > MAX_SHORT_STRING_LENGTH {
            let shown: String = name.chars().take(40).collect();
            return Err(bad_parameter(format!("the name of header \"{shown}...\" is longer than 255 bytes"))
                .with_remedy("rename the header before it comes here: AMQP has no longer ones"));
        }
        let value = header.value.map_or(AMQPValue::Void, bytes);
        let index = match groups.iter().position(|(known, _)| *known == name) {
            Some(index) => index,
            None => {
                groups.push((name, Vec::new()));
                groups.len() - 1
            }
        };
        groups[index].1.push(value);
        order.push(index);
    }
    let mut by_name: Vec<usize> = (0..groups.len()).collect();
    by_name.sort_by(|a, b| groups[*a].0.cmp(&groups[*b].0));
    let mut rank = vec![0; groups.len()];
    for (place, index) in by_name.into_iter().enumerate() {
        rank[index] = place as u16;
    }
    let ranks: Vec<u16> = order.into_iter().map(|index| rank[index]).collect();
    if !ranks.is_sorted_by(|one, next| one < next) {
        let order: Vec<u8> = ranks.iter().flat_map(|rank| rank.to_be_bytes()).collect();
        table.insert(ORDER.into(), bytes(&order));
    }
    for (name, values) in groups {
        for (number, value) in values.into_iter().enumerate() {
            let name = if number == 0 { name.clone() } else { again(number, &name) };
            let name = ShortString::try_new(name).map_err(|error| {
                bad_parameter(format!("a header that repeats has too long a name: {error}"))
                    .with_remedy("rename the header before it comes here: AMQP has no longer ones")
            })?;
            table.insert(name, value);
        }
    }
    Ok(())
}

/// The name of a header's further value.
fn again(number: usize, name: &str) -> String {
    format!("x-oms-{}-{name}", number + 1)
}

/// Where a message lies in its stream; `None`: it comes from no stream.
pub(super) fn offset(properties: &BasicProperties) -> Option<u64> {
    match header(properties, OFFSET)? {
        AMQPValue::LongLongInt(offset) => u64::try_from(*offset).ok(),
        _ => None,
    }
}

/// When it was sent, where its sender says.
pub(super) fn sent(properties: &BasicProperties) -> Option<i64> {
    match header(properties, SENT)? {
        AMQPValue::LongLongInt(sent) => Some(*sent),
        _ => None,
    }
}

fn header<'a>(properties: &'a BasicProperties, name: &str) -> Option<&'a AMQPValue> {
    properties.headers().as_ref()?.inner().get(name)
}

/// Adds a message as it came.
pub(super) fn take(
    batch: &mut MessageBatch,
    queue: &Arc<str>,
    partition: u32,
    properties: &BasicProperties,
    body: &[u8],
) {
    let mut writer = batch.start();
    let table = properties.headers().as_ref();
    let get = |name: &str| table.and_then(|table| table.inner().get(name));
    match get(KEY) {
        Some(AMQPValue::LongString(key)) => writer.key(Some(key.as_bytes())),
        Some(AMQPValue::ByteArray(key)) => writer.key(Some(key.as_slice())),
        _ => {}
    }
    if let Some(table) = table {
        let order = match get(ORDER) {
            Some(AMQPValue::LongString(order)) => Some(order.as_bytes()),
            _ => None,
        };
        take_headers(table, order, |name, value| writer.header(name, value));
    }
    let timestamp = match get(TIME) {
        Some(AMQPValue::LongLongInt(millis)) => *millis,
        _ => properties
            .timestamp()
            .map_or(0, |seconds| i64::try_from(seconds).unwrap_or_default().saturating_mul(1000)),
    };
    let null = body.is_empty() && matches!(get(NULL), Some(AMQPValue::Boolean(true)));
    writer.finish(queue, Some(partition), timestamp, (!null).then_some(body));
}

fn take_headers(table: &FieldTable, order: Option<&[u8]>, mut put: impl FnMut(&str, Option<&[u8]>)) {
    let own = table.into_iter().filter(|(name, _)| {
        let name = name.as_str();
        !is_reserved(name) || name.starts_with(USER)
    });
    let name =
        |name: &'_ ShortString| -> usize { if name.as_str().starts_with(USER) { USER.len() } else { 0 } };
    let Some(order) = order else {
        for (key, value) in own {
            each(value, |value| put(&key.as_str()[name(key)..], value));
        }
        return;
    };
    let groups: Vec<_> = own.collect();
    let mut used = vec![0; groups.len()];
    for rank in order.as_chunks::<2>().0 {
        let rank = u16::from_be_bytes(*rank) as usize;
        let Some((key, value)) = groups.get(rank) else { continue };
        let number = used[rank];
        used[rank] += 1;
        let value = match number {
            0 => Some(*value),
            number => table.inner().get(again(number, key.as_str()).as_str()),
        };
        if let Some(value) = value {
            one(value, |value| put(&key.as_str()[name(key)..], value));
        }
    }
}

fn each(value: &AMQPValue, mut put: impl FnMut(Option<&[u8]>)) {
    match value {
        AMQPValue::FieldArray(values) => values.as_slice().iter().for_each(|value| one(value, &mut put)),
        value => one(value, put),
    }
}

fn one(value: &AMQPValue, mut put: impl FnMut(Option<&[u8]>)) {
    let text = match value {
        AMQPValue::Void => return put(None),
        AMQPValue::LongString(value) => return put(Some(value.as_bytes())),
        AMQPValue::ByteArray(value) => return put(Some(value.as_slice())),
        AMQPValue::ShortString(value) => return put(Some(value.as_str().as_bytes())),
        AMQPValue::Boolean(value) => value.to_string(),
        AMQPValue::ShortShortInt(value) => value.to_string(),
        AMQPValue::ShortShortUInt(value) => value.to_string(),
        AMQPValue::ShortInt(value) => value.to_string(),
        AMQPValue::ShortUInt(value) => value.to_string(),
        AMQPValue::LongInt(value) => value.to_string(),
        AMQPValue::LongUInt(value) => value.to_string(),
        AMQPValue::LongLongInt(value) => value.to_string(),
        AMQPValue::Float(value) => value.to_string(),
        AMQPValue::Double(value) => value.to_string(),
        AMQPValue::Timestamp(value) => value.to_string(),
        AMQPValue::DecimalValue(value) => format!("{}e-{}", value.value, value.scale),
        AMQPValue::FieldArray(_) | AMQPValue::FieldTable(_) => {
            serde_json::to_string(value).unwrap_or_default()
        }
    };
    put(Some(text.as_bytes()));
}

#[cfg(test)]
mod tests {
    use lapin::types::FieldArray;
    use proptest::prelude::*;

    use super::*;

    type Parts = Vec<(String, Option<Vec<u8>>)>;

    fn there_and_back(
        key: Option<&[u8]>,
        headers: &Parts,
        body: Option<&[u8]>,
        timestamp: i64,
    ) -> MessageBatch {
        let queue: Arc<str> = "q".into();
        let mut batch = MessageBatch::new();
        let mut writer = batch.start();
        writer.key(key);
        for (name, value) in headers {
            writer.header(name, value.as_deref());
        }
        writer.finish(&queue, Some(0), timestamp, body);
        let message = batch.get(0).expect("a message");
        let properties = properties(&message, Some(7)).expect("properties");
        assert_eq!(sent(&properties), Some(7));
        let mut back = MessageBatch::new();
        take(&mut back, &queue, 0, &properties, message.body.unwrap_or_default());
        back
    }

    #[test]
    fn names_of_our_own_and_long_ones() {
        let headers: Parts = [KEY, OFFSET, TIME, "x-oms-user-x", "x-oms-order"]
            .map(|name| (name.to_owned(), Some(name.as_bytes().to_vec())))
            .into();
        let back = there_and_back(None, &headers, None, -5);
        let message = back.get(0).expect("a message");
        assert_eq!((message.key, message.body, message.timestamp), (None, None, -5));
        let got: Parts = message
            .headers
            .into_iter()
            .map(|header| (header.name.to_owned(), header.value.map(<[u8]>::to_vec)))
            .collect();
        assert_eq!(got, headers);
        let queue: Arc<str> = "q".into();
        let mut batch = MessageBatch::new();
        let mut writer = batch.start();
        writer.header(&"n".repeat(256), None);
        writer.finish(&queue, None, 0, None);
        assert!(properties(&batch.get(0).expect("a message"), None).is_err());
    }

    #[test]
    fn headers_of_others_become_text() {
        let mut table = FieldTable::default();
        table.insert("n".into(), AMQPValue::LongInt(5));
        table.insert(
            "list".into(),
            FieldArray::from(vec![AMQPValue::Boolean(true), AMQPValue::Void]).into_value(),
        );
        let foreign = BasicProperties::default().with_headers(table).with_timestamp(3);
        let mut back = MessageBatch::new();
        take(&mut back, &"q".into(), 0, &foreign, b"b");
        let message = back.get(0).expect("a message");
        let got: Vec<_> = message.headers.into_iter().map(|header| (header.name, header.value)).collect();
        assert_eq!(got, [("list", Some(&b"true"[..])), ("list", None), ("n", Some(&b"5"[..]))]);
        assert_eq!((message.timestamp, message.body), (3000, Some(&b"b"[..])));
    }

    trait IntoValue {
        fn into_value(self) -> AMQPValue;
    }

    impl IntoValue for FieldArray {
        fn into_value(self) -> AMQPValue {
            AMQPValue::FieldArray(self)
        }
    }

    proptest! {
        #[test]
        fn any_message_comes_back_as_it_was(
            key in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..5)),
            headers in proptest::collection::vec(
                ("(x-oms-)?[a-c\u{e9}]{0,2}", proptest::option::of(proptest::collection::vec(any::<u8>(), 0..3))), 0..7),
            body in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..4)),
            timestamp in any::<i64>(),
        ) {
            let back = there_and_back(key.as_deref(), &headers, body.as_deref(), timestamp);
            let message = back.get(0).expect("a message");
            prop_assert_eq!(message.key, key.as_deref());
            prop_assert_eq!(message.body, body.as_deref());
            prop_assert_eq!(message.timestamp, timestamp);
            let got: Parts = message.headers.into_iter()
                .map(|header| (header.name.to_owned(), header.value.map(<[u8]>::to_vec))).collect();
            prop_assert_eq!(got, headers);
        }
    }
}
