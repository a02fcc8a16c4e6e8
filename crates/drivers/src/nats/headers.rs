//! How the parts of a message lie in the headers of a NATS message.
//!
//! ```text
//! Nats-Msg-Id: 9f2Kq0aZ31Bd-1c        by which the server recognises a repetition
//! Nats-Expected-Last-Msg-Id: ...      or Nats-Expected-Stream: what must be so, or the message is refused (see `lane`)
//! Oms-Timestamp: 1763800000123        milliseconds since the epoch; without it the time of storing counts
//! Oms-Key: order-17                   the key; bytes other than printable ASCII, blanks and % as %XX
//! Oms-Null: body                      there is no body, which is not an empty one
//! colour: blue                        a header that NATS can hold
//! Oms-Header: %C3%A9=%00%01           one that it cannot: name and value, escaped as the key is; without =, a null value
//! ```
//!
//! What others wrote is read with all headers it has, but those that begin with `Nats-`, which are the server's.

use openmessaging::{Headers, Message};

use super::wire;

/// Server and clients hold the length of headers in 16 bits.
pub(super) const MAX_BYTES: usize = 65_535;

pub(super) const FIRST_LINE: &[u8] = b"NATS/1.0\r\n";
const KEY: &str = "Oms-Key";
const TIMESTAMP: &str = "Oms-Timestamp";
const NULL: &str = "Oms-Null";
const HEADER: &str = "Oms-Header";

/// Appends the headers of a message behind what is there (the first line, and headers of the server's), and the empty line.
pub(super) fn write(out: &mut Vec<u8>, message: &Message<'_>) {
    line(out, TIMESTAMP, |out| {
        if message.timestamp < 0 {
            out.push(b'-');
        }
        wire::push_number(out, message.timestamp.unsigned_abs());
    });
    if let Some(key) = message.key {
        line(out, KEY, |out| escape(out, key));
    }
    if message.body.is_none() {
        line(out, NULL, |out| out.extend_from_slice(b"body"));
    }
    write_all(out, message.headers);
    out.extend_from_slice(b"\r\n");
}

fn write_all(out: &mut Vec<u8>, headers: Headers<'_>) {
    for header in headers {
        match header.value {
            Some(value) if is_plain_name(header.name) && is_plain_value(value) => {
                line(out, header.name, |out| out.extend_from_slice(value));
            }
            value => line(out, HEADER, |out| {
                escape(out, header.name.as_bytes());
                if let Some(value) = value {
                    out.push(b'=');
                    escape(out, value);
                }
            }),
        }
    }
}

fn line(out: &mut Vec<u8>, name: &str, value: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    value(out);
    out.extend_from_slice(b"\r\n");
}

/// Names that the server or this driver uses must not come from a message.
fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| (b'!'..=b'~').contains(&byte) && byte != b':')
        && !is_reserved(name.as_bytes())
}

fn is_reserved(name: &[u8]) -> bool {
    let begins = |prefix: &str| {
        name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
    };
    begins("Nats-") || begins("Oms-")
}

/// Text of one line, without blanks at its ends, which readers drop.
fn is_plain_value(value: &[u8]) -> bool {
    value.trim_ascii().len() == value.len()
        && !value.iter().any(u8::is_ascii_control)
        && std::str::from_utf8(value).is_ok()
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        if (b'!'..=b'~').contains(byte) && !b"%=".contains(byte) {
            out.push(*byte);
        } else {
            let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
            out.extend_from_slice(&[b'%', high, low]);
        }
    }
}

/// The bytes that were escaped; what was not escaped well stands for itself.
pub(super) fn unescape(out: &mut Vec<u8>, text: &[u8]) {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match (byte, digit(text.get(at + 1)), digit(text.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                out.push((high << 4 | low) as u8);
                at += 3;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
}

/// What the headers of a stored message say. Key and headers are put into a batch by [`Parts::write`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    headers: &'a [u8],
    key: Option<&'a [u8]>,
    pub timestamp: Option<i64>,
    pub null_body: bool,
}

impl<'a> Parts<'a> {
    pub fn of(headers: &'a [u8]) -> Self {
        let mut parts = Self { headers, key: None, timestamp: None, null_body: false };
        for (name, value) in wire::lines(headers) {
            if name.len() < 7 || !name[..4].eq_ignore_ascii_case(b"Oms-") {
                continue;
            }
            if name.eq_ignore_ascii_case(KEY.as_bytes()) {
                parts.key = Some(value);
            } else if name.eq_ignore_ascii_case(TIMESTAMP.as_bytes()) {
                parts.timestamp = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            } else if name.eq_ignore_ascii_case(NULL.as_bytes()) {
                parts.null_body = true;
            }
        }
        parts
    }

    /// Writes key and headers of a message. `scratch` is for what is escaped.
    pub fn write(&self, writer: &mut openmessaging::message::MessageWriter<'_>, scratch: &mut Vec<u8>) {
        if let Some(key) = self.key {
            scratch.clear();
            unescape(scratch, key);
            writer.key(Some(scratch));
        }
        for (name, value) in wire::lines(self.headers) {
            if name.eq_ignore_ascii_case(HEADER.as_bytes()) {
                let (name, value) = match value.iter().position(|byte| *byte == b'=') {
                    Some(at) => (&value[..at], Some(&value[at + 1..])),
                    None => (value, None),
                };
                let mut text = Vec::new();
                unescape(&mut text, name);
                let Ok(name) = String::from_utf8(text) else { continue };
                scratch.clear();
                unescape(scratch, value.unwrap_or_default());
                writer.header(&name, value.map(|_| scratch.as_slice()));
            } else if !is_reserved(name)
                && let Ok(name) = std::str::from_utf8(name)
            {
                writer.header(name, Some(value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use openmessaging::MessageBatch;
    use proptest::prelude::*;

    use super::*;

    type Part = Option<Vec<u8>>;

    fn there_and_back(
        key: &Part,
        headers: &[(String, Part)],
        timestamp: i64,
        null: bool,
    ) -> (String, MessageBatch) {
        let queue: Arc<str> = "q".into();
        let mut sent = MessageBatch::new();
        let mut writer = sent.start();
        writer.key(key.as_deref());
        for (name, value) in headers {
            writer.header(name, value.as_deref());
        }
        writer.finish(&queue, None, timestamp, if null { None } else { Some(b"x") });
        let mut out = FIRST_LINE.to_vec();
        write(&mut out, &sent.get(0).expect("one"));
        let parts = Parts::of(&out);
        let mut got = MessageBatch::new();
        let mut writer = got.start();
        parts.write(&mut writer, &mut Vec::new());
        let time = parts.timestamp.expect("a time");
        writer.finish(&queue, None, time, if parts.null_body { None } else { Some(b"x") });
        (String::from_utf8_lossy(&out).into_owned(), got)
    }

    #[test]
    fn plain_texts_stay_plain() {
        let header = |name: &str, value: &str| (name.to_owned(), Some(value.as_bytes().to_vec()));
        let headers = [header("colour", "light blue"), header("Nats-Msg-Id", "7"), header("\u{e9}", "x")];
        let (text, _) = there_and_back(&Some(b"order-17".to_vec()), &headers, 5, false);
        assert_eq!(
            text,
            "NATS/1.0\r\nOms-Timestamp: 5\r\nOms-Key: order-17\r\ncolour: light blue\r\n\
             Oms-Header: Nats-Msg-Id=7\r\nOms-Header: %C3%A9=x\r\n\r\n"
        );
        let foreign = b"NATS/1.0\r\nNats-Msg-Id: 4\r\na:1\r\nb: 2 \r\n\r\n";
        let mut batch = MessageBatch::new();
        let mut writer = batch.start();
        let parts = Parts::of(foreign);
        parts.write(&mut writer, &mut Vec::new());
        writer.finish(&"q".into(), None, 0, None);
        let got = batch.get(0).expect("one");
        let headers: Vec<_> = got.headers.into_iter().map(|h| (h.name, h.value)).collect();
        assert_eq!(headers, [("a", Some(&b"1"[..])), ("b", Some(&b"2"[..]))]);
        assert_eq!((got.key, parts.timestamp, parts.null_body), (None, None, false));
    }

    proptest! {
        #[test]
        fn everything_comes_back(
            key in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20)),
            headers in proptest::collection::vec(
                (".{0,8}", proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20))), 0..5),
            timestamp in any::<i64>(),
            null in any::<bool>(),
        ) {
            let (_, batch) = there_and_back(&key, &headers, timestamp, null);
            let got = batch.get(0).expect("one");
            let found: Vec<_> = got.headers.into_iter()
                .map(|header| (header.name.to_owned(), header.value.map(<[u8]>::to_vec))).collect();
            prop_assert_eq!(found, headers);
            prop_assert_eq!(got.key.map(<[u8]>::to_vec), key);
            prop_assert_eq!((got.timestamp, got.body.is_none()), (timestamp, null));
        }

        #[test]
        fn any_headers_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut batch = MessageBatch::new();
            let mut writer = batch.start();
            Parts::of(&bytes).write(&mut writer, &mut Vec::new());
        }
    }
}
