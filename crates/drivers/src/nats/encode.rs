//! Messages as they are sent to a stream.

use openmessaging::{Message, Result};

use super::error;
use super::headers::{self, FIRST_LINE};
use super::lane::Chain;
use super::link::unique;
use super::wire;

/// What the ids and the expectations of a message take in its headers, at most.
const OWN_BYTES: usize = 400;

const RAISE_PAYLOAD: &str =
    "make it smaller, or raise max_payload in the server's configuration (1MB unless set)";

/// Where a message goes, and what it must name.
pub(super) struct Envelope<'a> {
    pub subject: &'a str,
    pub stream: &'a str,
    pub round: u64,
    pub way: u32,
    pub number: u64,
    pub chain: Chain,
}

pub(super) struct Encoder {
    /// What the subjects of the answers begin with.
    inbox: String,
    /// What the ids of this producer's messages begin with.
    id: Vec<u8>,
    ordered: bool,
    headers: Vec<u8>,
    reply: Vec<u8>,
}

impl Encoder {
    pub fn new(inbox: String, ordered: bool) -> Self {
        let id = unique().into_bytes()[..16].to_vec();
        Self { inbox, id, ordered, headers: Vec::new(), reply: Vec::new() }
    }

    /// # Errors
    /// `MessageTooLarge`, by one of the limits: the setting, the server's, the stream's.
    pub fn check(
        &mut self,
        server: &str,
        message: &Message<'_>,
        (setting, payload, stream): (usize, usize, Option<usize>),
    ) -> Result<()> {
        let size = message.size();
        let room = payload.saturating_sub(super::HEADER_ROOM);
        if size > room && room < setting {
            return Err(error::too_large(server, message.queue, size, room, "max_payload", RAISE_PAYLOAD));
        }
        let body = message.body.map_or(0, <[u8]>::len);
        if size > setting {
            let remedy = "make it smaller, or raise the property max.message.bytes";
            return Err(error::too_large(server, message.queue, size, setting, "max.message.bytes", remedy));
        }
        let limit = stream.unwrap_or(usize::MAX).min(payload);
        // Escaped, a byte is three.
        let most = (size - body) * 3 + OWN_BYTES;
        if most <= headers::MAX_BYTES && most + body <= limit {
            return Ok(());
        }
        self.headers.clear();
        headers::write(&mut self.headers, message);
        let headers = self.headers.len() + OWN_BYTES;
        if headers > headers::MAX_BYTES {
            let remedy = "put less into key and headers";
            return Err(error::too_large(
                server,
                message.queue,
                headers,
                headers::MAX_BYTES,
                "of key and headers",
                remedy,
            ));
        }
        if headers + body > limit {
            let (by, remedy) = if limit == payload {
                ("max_payload", RAISE_PAYLOAD)
            } else {
                ("the stream's max_msg_size", "make it smaller, or raise max_msg_size of the stream")
            };
            return Err(error::too_large(server, message.queue, headers + body, limit, by, remedy));
        }
        Ok(())
    }

    pub fn write(&mut self, out: &mut Vec<u8>, envelope: &Envelope<'_>, message: &Message<'_>) {
        let Envelope { subject, stream, round, way, number, chain } = *envelope;
        let headers = &mut self.headers;
        headers.clear();
        headers.extend_from_slice(FIRST_LINE);
        headers.extend_from_slice(b"Nats-Msg-Id: ");
        let id = |headers: &mut Vec<u8>, number: u64| {
            headers.extend_from_slice(&self.id);
            headers.push(b'-');
            wire::push_number(headers, number);
            headers.extend_from_slice(b"\r\n");
        };
        id(headers, number);
        match chain {
            Chain::After(before) if self.ordered => {
                headers.extend_from_slice(b"Nats-Expected-Last-Msg-Id: ");
                id(headers, before);
            }
            _ => {
                headers.extend_from_slice(b"Nats-Expected-Stream: ");
                headers.extend_from_slice(stream.as_bytes());
                headers.extend_from_slice(b"\r\n");
            }
        }
        headers::write(headers, message);
        let reply = &mut self.reply;
        reply.clear();
        reply.extend_from_slice(self.inbox.as_bytes());
        for part in [round, u64::from(way), number] {
            reply.push(b'.');
            wire::push_number(reply, part);
        }
        wire::publish(out, subject.as_bytes(), reply, headers, message.body.unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use openmessaging::{MessageBatch, StatusCode};

    use super::*;

    fn batch(key: usize, body: usize) -> MessageBatch {
        let mut batch = MessageBatch::new();
        let mut writer = batch.start();
        writer.key(Some(&vec![0; key]));
        writer.finish(&"q".into(), None, 7, Some(&vec![1; body]));
        batch
    }

    #[test]
    fn limits_are_told_apart() {
        let mut encoder = Encoder::new("in".into(), true);
        let mut check = |key, body, limits| {
            let batch = batch(key, body);
            encoder
                .check("nats at h:1", &batch.get(0).expect("one"), limits)
                .map_err(|error| error.to_string())
        };
        let limits = (8000, 20_000, None);
        assert!(check(10, 7000, limits).is_ok());
        assert!(check(10, 8000, limits).is_err_and(|text| text.contains("max.message.bytes")));
        assert!(check(10, 990, (8000, 5000, None)).is_err_and(|text| text.contains("max_payload")));
        assert!(check(10, 990, (8000, 9000, Some(1000))).is_err_and(|text| text.contains("max_msg_size")));
        assert!(
            check(30_000, 1, (80_000, 900_000, None)).is_err_and(|text| text.contains("key and headers"))
        );
        let error = encoder.check("s", &batch(1, 9000).get(0).expect("one"), limits).expect_err("too large");
        assert!(error.status == StatusCode::MessageTooLarge && !error.is_retriable());
    }

    #[test]
    fn a_message_names_itself_and_the_one_before() {
        let batch = batch(0, 2);
        let message = batch.get(0).expect("one");
        for (ordered, chain, names) in [
            (true, Chain::Head, "Nats-Expected-Stream: s"),
            (true, Chain::After(4), "-4\r\n"),
            (false, Chain::After(4), "Nats-Expected-Stream: s"),
        ] {
            let mut encoder = Encoder::new("in".into(), ordered);
            let mut out = Vec::new();
            let envelope = Envelope { subject: "q", stream: "s", round: 1, way: 2, number: 5, chain };
            encoder.write(&mut out, &envelope, &message);
            let text = String::from_utf8_lossy(&out);
            assert!(
                text.starts_with("HPUB q in.1.2.5 ") && text.contains("-5\r\n") && text.contains(names),
                "{text}"
            );
        }
    }
}
