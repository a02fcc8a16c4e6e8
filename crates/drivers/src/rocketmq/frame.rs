//! Frames of RocketMQ's remoting protocol (`RemotingCommand`): four bytes of length, four of the header's length with the
//! kind of its text in the high byte (0: JSON), the header, the body; big-endian.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes, BytesMut};
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha1::Sha1;

use super::config::Keys;

/// A frame that is larger ends the connection: nothing that a broker sends by its own limits comes near.
const MAX_FRAME: usize = 96 * 1024 * 1024;

/// `MQVersion.Version.V5_3_3.ordinal()`: what the broker takes this client for.
const VERSION: u16 = 479;

/// A request: its code and the fields of its header, which are all texts on the wire.
pub(super) struct Request {
    pub code: i32,
    fields: Vec<(&'static str, String)>,
    pub body: Bytes,
}

impl Request {
    pub fn new(code: i32) -> Self {
        Self { code, fields: Vec::new(), body: Bytes::new() }
    }

    pub fn field(mut self, name: &'static str, value: impl ToString) -> Self {
        self.fields.push((name, value.to_string()));
        self
    }

    pub fn body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }

    /// All of the frame before the body; signed where there are keys.
    pub fn head(&self, opaque: i32, keys: Option<&Keys>) -> Vec<u8> {
        let mut out = vec![0; 8];
        let start = format!(
            "{{\"code\":{},\"flag\":0,\"language\":\"RUST\",\"opaque\":{opaque},\"serializeTypeCurrentRPC\":\"JSON\",\
             \"version\":{VERSION},\"extFields\":{{",
            self.code
        );
        out.extend_from_slice(start.as_bytes());
        let mut first = true;
        let mut write = |out: &mut Vec<u8>, name: &str, value: &str| {
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            out.push(b'"');
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            // Writing into a vector cannot fail.
            let _ = serde_json::to_writer(&mut *out, value);
        };
        for (name, value) in &self.fields {
            write(&mut out, name, value);
        }
        if let Some(keys) = keys {
            write(&mut out, ACCESS_KEY, &keys.access);
            write(&mut out, "Signature", &self.signature(keys));
        }
        out.extend_from_slice(b"}}");
        let header = out.len() - 8;
        let total = 4 + header + self.body.len();
        out[..4].copy_from_slice(&(total as u32).to_be_bytes());
        // The high byte is the kind of the header's text.
        out[4..8].copy_from_slice(&(header as u32 & 0x00ff_ffff).to_be_bytes());
        out
    }

    /// HMAC-SHA1 over the values of the fields in the order of their names, then the body (the client's
    /// `AclClientRPCHook`).
    fn signature(&self, keys: &Keys) -> String {
        let mut fields: Vec<(&str, &str)> =
            self.fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        fields.push((ACCESS_KEY, &keys.access));
        fields.sort_unstable();
        // A key of HMAC may have any length.
        let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(keys.secret.reveal().as_bytes()) else {
            return String::new();
        };
        for (_, value) in fields {
            mac.update(value.as_bytes());
        }
        mac.update(&self.body);
        STANDARD.encode(mac.finalize().into_bytes())
    }
}

const ACCESS_KEY: &str = "AccessKey";

/// An answer.
#[derive(Debug, Default)]
pub(super) struct Response {
    pub code: i32,
    pub remark: String,
    pub fields: HashMap<String, String>,
    pub body: Bytes,
}

impl Response {
    pub fn number(&self, name: &str) -> Option<i64> {
        self.fields.get(name)?.parse().ok()
    }

    /// An offset, which is never below zero.
    pub fn offset(&self, name: &str) -> Option<u64> {
        self.number(name).map(|number| number.max(0) as u64)
    }
}

#[derive(Deserialize)]
struct Header {
    #[serde(default)]
    code: i32,
    #[serde(default)]
    flag: i32,
    #[serde(default)]
    opaque: i32,
    remark: Option<String>,
    #[serde(rename = "extFields")]
    fields: Option<HashMap<String, Option<String>>>,
}

/// What came in one frame.
pub(super) enum Incoming {
    Answer(i32, Response),
    /// A request of the server to its client; none needs an answer.
    Request,
}

/// Takes the first frame out of what was received; `None` while it is not whole.
///
/// # Errors
/// The bytes are not a frame: why.
pub(super) fn take(received: &mut BytesMut) -> Result<Option<Incoming>, String> {
    let Some(length) = received.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    if !(4..=MAX_FRAME).contains(&length) {
        return Err(format!("a frame of {length} bytes: this is not RocketMQ's protocol"));
    }
    if received.len() < 4 + length {
        return Ok(None);
    }
    received.advance(4);
    let mut frame = received.split_to(length).freeze();
    let word = frame.get_u32();
    let header_length = (word & 0x00ff_ffff) as usize;
    if word >> 24 != 0 {
        return Err("a header that is not JSON".to_owned());
    }
    if header_length > frame.len() {
        return Err("a header that is longer than its frame".to_owned());
    }
    let header = frame.split_to(header_length);
    let header: Header =
        serde_json::from_slice(&header).map_err(|error| format!("an unreadable header: {error}"))?;
    if header.flag & 1 == 0 {
        return Ok(Some(Incoming::Request));
    }
    let fields = header.fields.unwrap_or_default();
    let response = Response {
        code: header.code,
        remark: header.remark.unwrap_or_default(),
        fields: fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
        body: frame,
    };
    Ok(Some(Incoming::Answer(header.opaque, response)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::common::credentials::Secret;

    fn answer(json: &str, body: &[u8]) -> Vec<u8> {
        let mut frame = ((4 + json.len() + body.len()) as u32).to_be_bytes().to_vec();
        frame.extend((json.len() as u32).to_be_bytes());
        frame.extend(json.as_bytes());
        frame.extend(body);
        frame
    }

    #[test]
    fn answers_come_out_when_they_are_whole() {
        let frame = answer(r#"{"code":0,"flag":1,"opaque":7,"extFields":{"offset":"5","x":null}}"#, b"body");
        for cut in 0..frame.len() {
            assert!(take(&mut BytesMut::from(&frame[..cut])).expect("no error").is_none(), "{cut}");
        }
        let mut received = BytesMut::from(&frame[..]);
        received.extend_from_slice(b"\0\0");
        let Ok(Some(Incoming::Answer(7, response))) = take(&mut received) else { panic!("an answer") };
        assert_eq!(
            (response.offset("offset"), &response.body[..], received.len()),
            (Some(5), &b"body"[..], 2)
        );
    }

    #[test]
    fn requests_are_signed_as_the_java_client_does() {
        let keys = Keys { access: "me".into(), secret: Secret::new("hush") };
        let request = Request::new(105).field("topic", "t").body(Bytes::from_static(b"b"));
        let head = String::from_utf8(request.head(3, Some(&keys))[8..].to_vec()).expect("text");
        // printf 'metb' | openssl dgst -sha1 -hmac hush -binary | base64
        assert!(
            head.contains(r#""AccessKey":"me""#)
                && head.contains(r#""Signature":"ngwOZGKW96s5mB1yI74J85cUCaI=""#),
            "{head}"
        );
        let parsed: serde_json::Value = serde_json::from_str(&head).expect("JSON");
        assert_eq!(parsed["opaque"], 3);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = take(&mut BytesMut::from(&bytes[..]));
        }
    }
}
