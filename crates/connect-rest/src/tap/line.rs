//! One message as one line of JSON.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use indexmap::IndexMap;
use openmessaging::{Message, QueuePartition};

/// Appends the message and a line end: `{"queue", "partition", "offset", "timestamp", "key", "headers", "value"}`.
///
/// Bytes that are UTF-8 are a string, others `{"base64": "..."}`, what is not there is null. `headers` is an object of
/// names and values; the values of a name that repeats are an array, in order.
pub fn write_line(out: &mut Vec<u8>, partition: &QueuePartition, offset: u64, message: &Message<'_>) {
    out.extend_from_slice(b"{\"queue\":");
    string(out, &partition.queue);
    // Writing to a vector cannot fail.
    let _ = write!(
        out,
        ",\"partition\":{},\"offset\":{offset},\"timestamp\":{},\"key\":",
        partition.partition, message.timestamp
    );
    bytes(out, message.key);
    out.extend_from_slice(b",\"headers\":");
    headers(out, message);
    out.extend_from_slice(b",\"value\":");
    bytes(out, message.body);
    out.extend_from_slice(b"}\n");
}

fn headers(out: &mut Vec<u8>, message: &Message<'_>) {
    let mut by_name: IndexMap<&str, Vec<Option<&[u8]>>> = IndexMap::new();
    for header in message.headers {
        by_name.entry(header.name).or_default().push(header.value);
    }
    out.push(b'{');
    for (index, (name, values)) in by_name.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        string(out, name);
        out.push(b':');
        match values.as_slice() {
            [one] => bytes(out, *one),
            many => list(out, many),
        }
    }
    out.push(b'}');
}

fn list(out: &mut Vec<u8>, values: &[Option<&[u8]>]) {
    out.push(b'[');
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        bytes(out, *value);
    }
    out.push(b']');
}

fn bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|_| bytes)) {
        None => out.extend_from_slice(b"null"),
        Some(Ok(text)) => string(out, text),
        Some(Err(bytes)) => {
            out.extend_from_slice(b"{\"base64\":\"");
            out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
            out.extend_from_slice(b"\"}");
        }
    }
}

fn string(out: &mut Vec<u8>, text: &str) {
    // A string is always JSON, and writing to a vector cannot fail.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use openmessaging::MessageBatch;

    use super::*;

    fn line(fill: impl FnOnce(&mut MessageBatch, &Arc<str>)) -> String {
        let queue: Arc<str> = "orders".into();
        let mut batch = MessageBatch::new();
        fill(&mut batch, &queue);
        let mut out = Vec::new();
        let message = batch.get(0).expect("one message");
        write_line(&mut out, &QueuePartition::new(queue, 2), 7, &message);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn text_is_a_string_and_null_is_null() {
        let text = line(|batch, queue| batch.start().finish(queue, None, 5, Some("a \"b\"\n".as_bytes())));
        assert_eq!(
            text,
            "{\"queue\":\"orders\",\"partition\":2,\"offset\":7,\"timestamp\":5,\"key\":null,\"headers\":{},\
             \"value\":\"a \\\"b\\\"\\n\"}\n"
        );
        let text = line(|batch, queue| batch.start().finish(queue, None, 5, None));
        assert!(text.ends_with("\"value\":null}\n"), "{text}");
        let text = line(|batch, queue| batch.start().finish(queue, None, 5, Some(b"")));
        assert!(text.ends_with("\"value\":\"\"}\n"), "{text}");
    }

    #[test]
    fn other_bytes_are_base64_and_repeated_headers_a_list() {
        let text = line(|batch, queue| {
            let mut writer = batch.start();
            writer.key(Some(&[0xff, 0]));
            writer.header("once", Some(b"1"));
            writer.header("twice", Some(b"a"));
            writer.header("none", None);
            writer.header("twice", Some(&[0x80]));
            writer.finish(queue, None, 5, Some(b"v"));
        });
        assert!(text.contains("\"key\":{\"base64\":\"/wA=\"}"), "{text}");
        let headers = "\"headers\":{\"once\":\"1\",\"twice\":[\"a\",{\"base64\":\"gA==\"}],\"none\":null}";
        assert!(text.contains(headers), "{text}");
    }
}
