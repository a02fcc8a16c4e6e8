//! Messages as the broker stores and sends them (`MessageDecoder.decode`), big-endian:
//!
//! total length (4), magic (4), CRC-32 of the body (4), queue (4), flag (4), queue offset (8), physical offset (8), system
//! flag (4), born timestamp (8), born host (8, IPv6 20), store timestamp (8), store host (8, IPv6 20), reconsume times (4),
//! prepared transaction (8), length (4) and body, length (1, in version 2 two) and topic, length (2) and properties.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use openmessaging::{Error, MessageBatch, QueuePartition, Result, StatusCode};

use super::bytes::Bytes;
use super::compressed::unpack;
use super::message::{KEYS, NAME_END, OWN_BODY, OWN_BORN, OWN_HEADERS, OWN_KEY, VALUE_END, is_reserved};

const MAGIC_1: u32 = 0xdaa3_20a7;
const MAGIC_2: u32 = 0xdaa3_20ab;

const COMPRESSED: u32 = 0x1;
const BORN_V6: u32 = 0x10;
const STORED_V6: u32 = 0x20;
/// The body is a batch of messages, to be unpacked by the client.
const UNWRAP: u32 = 0x80;
/// Reads what an answer to a pull holds: the messages from `from` on.
///
/// # Errors
/// `Corrupt`.
pub(super) fn read(
    mut bytes: &[u8],
    place: &QueuePartition,
    from: u64,
    batch: &mut MessageBatch,
    offsets: &mut Vec<u64>,
) -> Result<()> {
    while !bytes.is_empty() {
        let mut rest = Bytes(bytes);
        let stored = stored(&mut rest).ok_or_else(|| corrupt(place, "it ends in the middle"))??;
        bytes = rest.0;
        if stored.offset < from && stored.flags & UNWRAP == 0 {
            continue;
        }
        let unpacked;
        let mut body = stored.body;
        if crc32(body) & 0x7fff_ffff != stored.crc && stored.crc != 0 {
            return Err(corrupt(place, "its checksum is wrong"));
        }
        if stored.flags & COMPRESSED != 0 {
            let cannot = || corrupt(place, "its body cannot be unpacked");
            unpacked = unpack(body, stored.flags).ok_or_else(cannot)?;
            body = &unpacked;
        }
        if stored.flags & UNWRAP != 0 {
            inner(body, &stored, place, from, batch, offsets)?;
            continue;
        }
        if add(batch, place, stored.born, body, stored.properties).is_none() {
            return Err(corrupt(place, "its properties are unreadable"));
        }
        offsets.push(stored.offset);
    }
    Ok(())
}

struct Stored<'a> {
    crc: u32,
    offset: u64,
    flags: u32,
    born: i64,
    body: &'a [u8],
    properties: &'a [u8],
}

/// `None`: the bytes end too early.
fn stored<'a>(bytes: &mut Bytes<'a>) -> Option<Result<Stored<'a>>> {
    let total = bytes.u32()? as usize;
    let mut rest = Bytes(bytes.take(total.checked_sub(4)?)?);
    let magic = rest.u32()?;
    if magic != MAGIC_1 && magic != MAGIC_2 {
        let message = format!("a message with the unknown mark {magic:#x}");
        return Some(Err(Error::new(StatusCode::Corrupt, message)
            .with_remedy("look whether the broker is a newer version than this driver knows")));
    }
    let crc = rest.u32()?;
    rest.take(8)?;
    let offset = rest.u64()?;
    rest.take(8)?;
    let flags = rest.u32()?;
    let born = rest.u64()? as i64;
    rest.take(if flags & BORN_V6 == 0 { 8 } else { 20 })?;
    rest.take(8)?;
    rest.take(if flags & STORED_V6 == 0 { 8 } else { 20 })?;
    rest.take(12)?;
    let length = rest.u32()? as usize;
    let body = rest.take(length)?;
    let topic = if magic == MAGIC_2 { rest.u16()? } else { rest.u8()?.into() };
    rest.take(topic.into())?;
    let length = rest.u16()?;
    let properties = rest.take(length.into())?;
    Some(Ok(Stored { crc, offset, flags, born, body, properties }))
}

/// A batch that is stored as one message: its parts have the offsets from its own on.
fn inner(
    body: &[u8],
    outer: &Stored<'_>,
    place: &QueuePartition,
    from: u64,
    batch: &mut MessageBatch,
    offsets: &mut Vec<u64>,
) -> Result<()> {
    let (mut bytes, mut offset) = (Bytes(body), outer.offset);
    while !bytes.0.is_empty() {
        let mut part = || {
            bytes.take(16)?;
            let length = bytes.u32()? as usize;
            let body = bytes.take(length)?;
            let length = bytes.u16()?;
            Some((body, bytes.take(length.into())?))
        };
        let (body, properties) =
            part().ok_or_else(|| corrupt(place, "its inner batch ends in the middle"))?;
        if offset >= from {
            add(batch, place, outer.born, body, properties)
                .ok_or_else(|| corrupt(place, "its properties are unreadable"))?;
            offsets.push(offset);
        }
        offset += 1;
    }
    Ok(())
}

/// Adds a message. `None`: its properties are not what `message` writes.
fn add(
    batch: &mut MessageBatch,
    place: &QueuePartition,
    born: i64,
    body: &[u8],
    properties: &[u8],
) -> Option<()> {
    let (mut timestamp, mut has_body, mut body) = (born, true, body);
    let (mut key, mut own_key, mut list) = (None, None, None);
    for (name, value) in pairs(properties) {
        match name {
            KEYS => key = Some(value),
            OWN_KEY => own_key = Some(BASE64.decode(value.strip_prefix(b"b")?).ok()?),
            OWN_HEADERS => list = Some(value),
            OWN_BORN => timestamp = str::from_utf8(value).ok()?.parse().ok()?,
            OWN_BODY => (has_body, body) = (value == b"empty", &[]),
            _ => {}
        }
    }
    let mut writer = batch.start();
    writer.key(own_key.as_deref().or(key));
    match list {
        None => {
            for (name, value) in pairs(properties).filter(|(name, _)| !is_reserved(name)) {
                writer.header(name, Some(value));
            }
        }
        Some(list) => {
            for entry in list.split(|byte| *byte == b';').filter(|entry| !entry.is_empty()) {
                let (kind, rest) = entry.split_first()?;
                let mut parts = rest.splitn(2, |byte| *byte == b',');
                let name = String::from_utf8(BASE64.decode(parts.next()?).ok()?).ok()?;
                match kind {
                    b'=' => {
                        let (_, value) = pairs(properties).find(|(known, _)| *known == name)?;
                        writer.header(&name, Some(value));
                    }
                    b'-' => writer.header(&name, None),
                    b'+' => writer.header(&name, Some(&BASE64.decode(parts.next()?).ok()?)),
                    _ => return None,
                }
            }
        }
    }
    writer.finish(&place.queue, Some(place.partition), timestamp, has_body.then_some(body));
    Some(())
}

/// Names and values of properties; what is no text is left out.
fn pairs(properties: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    properties.split(|byte| *byte == VALUE_END).filter_map(|pair| {
        let at = pair.iter().position(|byte| *byte == NAME_END)?;
        Some((str::from_utf8(&pair[..at]).ok()?, &pair[at + 1..]))
    })
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

fn corrupt(place: &QueuePartition, why: &str) -> Error {
    Error::new(StatusCode::Corrupt, format!("a message of {place} is not what was stored: {why}"))
        .with_remedy("look at the disk of the broker; to give up what is there, seek behind it")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::super::message;
    use super::*;

    /// As the broker stores it.
    fn message(offset: u64, flags: u32, body: &[u8], properties: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(MAGIC_1.to_be_bytes());
        out.extend((crc32(body) & 0x7fff_ffff).to_be_bytes());
        out.extend([0; 8]);
        out.extend(offset.to_be_bytes());
        out.extend([0; 8]);
        out.extend(flags.to_be_bytes());
        out.extend(77_u64.to_be_bytes());
        out.extend([0; 8 + 8 + 8 + 12]);
        out.extend((body.len() as u32).to_be_bytes());
        out.extend(body);
        out.extend(b"\x01t");
        out.extend((properties.len() as u16).to_be_bytes());
        out.extend(properties);
        let mut whole = (out.len() as u32 + 4).to_be_bytes().to_vec();
        whole.extend(out);
        whole
    }

    fn place() -> QueuePartition {
        QueuePartition::new("q", 0)
    }

    fn read_all(bytes: &[u8], from: u64) -> Result<(MessageBatch, Vec<u64>)> {
        let (mut batch, mut offsets) = (MessageBatch::new(), Vec::new());
        read(bytes, &place(), from, &mut batch, &mut offsets).map(|()| (batch, offsets))
    }

    #[test]
    fn others_messages_are_read() {
        let mut bytes = message(4, 0, b"old", b"");
        bytes.extend(message(5, 0, b"x", b"KEYS\x01k1 k2\x02TAGS\x01red\x02UNIQ_KEY\x01AB\x02a\x01b"));
        let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        packed.write_all(b"unpacked").expect("packed");
        bytes.extend(message(6, COMPRESSED, &packed.finish().expect("packed"), b""));
        let (batch, offsets) = read_all(&bytes, 5).expect("read");
        assert_eq!(offsets, [5, 6]);
        let first = batch.get(0).expect("a message");
        assert_eq!((first.key, first.timestamp, first.body), (Some(&b"k1 k2"[..]), 77, Some(&b"x"[..])));
        let headers: Vec<_> = first.headers.into_iter().map(|header| (header.name, header.value)).collect();
        assert_eq!(headers, [("TAGS", Some(&b"red"[..])), ("a", Some(&b"b"[..]))]);
        assert_eq!(batch.get(1).expect("a message").body, Some(&b"unpacked"[..]));
        let wrong = read_all(&message(1, COMPRESSED | 0x100, b"no lz4", b""), 0);
        assert_eq!(wrong.err().map(|error| error.status), Some(StatusCode::Corrupt));
    }

    #[test]
    fn damage_is_found() {
        let mut bytes = message(1, 0, b"body", b"");
        let at = bytes.len() - 6;
        bytes[at] ^= 1;
        assert_eq!(read_all(&bytes, 0).err().map(|error| error.status), Some(StatusCode::Corrupt));
        assert!(read_all(&message(1, 0, b"body", b"")[..20], 0).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            key in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..9)),
            body in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..9)),
            headers in proptest::collection::vec(("[ab\u{1}KEYS.é]{0,4}", proptest::option::of(proptest::collection::vec(any::<u8>(), 0..5))), 0..4),
            timestamp in any::<i64>(),
            in_order in any::<bool>(),
        ) {
            let mut sent = MessageBatch::new();
            let mut writer = sent.start();
            writer.key(key.as_deref());
            for (name, value) in &headers {
                writer.header(name, value.as_deref());
            }
            writer.finish(&"q".into(), None, timestamp, body.as_deref());
            let sent = sent.get(0).expect("a message");
            let mut properties = Vec::new();
            message::properties(&mut properties, &sent, 77, in_order);
            let (batch, _) = read_all(&message(1, 0, message::body_of(&sent), &properties), 0).expect("read");
            let got = batch.get(0).expect("a message");
            prop_assert_eq!((got.key, got.body, got.timestamp), (sent.key, sent.body, sent.timestamp));
            let list = |headers: openmessaging::Headers<'_>| {
                headers.into_iter().map(|h| (h.name.to_owned(), h.value.map(<[u8]>::to_vec))).collect::<Vec<_>>()
            };
            prop_assert_eq!(list(got.headers), list(sent.headers));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_all(&bytes, 0);
        }
    }
}
