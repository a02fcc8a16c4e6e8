//! The stored form of messages, version 1. A frame holds messages of one partition with offsets that follow each other.
//! All numbers are little-endian.
//!
//! Header, 64 bytes: magic `OMF1`, CRC32C of the header behind it, CRC32C of the payload as stored, length of the
//! payload as stored, its length plain, count of messages (4 bytes each); offset of the first message, time of storing,
//! how many bytes of the file were durable when the frame was written, timestamp of the first message (8 bytes each);
//! codec (0 plain, 1 LZ4 block), reserved (4 bytes each).
//!
//! Payload: for each message, as LEB128, the timestamp's difference to the first one (zigzag); length of the key plus
//! one, 0 where there is none; length of the headers; length of the body plus one, 0 where there is none; then key,
//! headers (as `openmessaging::message::write_header` has them) and body.

use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size};
use openmessaging::Message;

pub(super) const HEADER: usize = 64;
const MAGIC: [u8; 4] = *b"OMF1";
const PLAIN: u32 = 0;
const LZ4: u32 = 1;

/// A frame is ended when it holds this many plain bytes.
pub(super) const FRAME_BYTES: usize = 256 * 1024;

/// Smaller payloads are not compressed: it would gain little and a lone message waits for it.
const COMPRESS_FROM: usize = 1024;

/// LZ4 cannot make more than this out of a byte: what is allocated for a payload is bounded by what is in the file.
const MAX_RATIO: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct FrameHeader {
    pub payload_crc: u32,
    pub stored_len: u32,
    pub plain_len: u32,
    pub count: u32,
    pub base_offset: u64,
    /// Milliseconds since the epoch; never less than in an earlier frame of the partition.
    pub stored_at: i64,
    /// So many bytes of the same file had been synced: damage before it is no torn write.
    pub durable: u64,
    pub first_timestamp: i64,
    codec: u32,
}

impl FrameHeader {
    pub fn encode(&self) -> [u8; HEADER] {
        let mut out = [0; HEADER];
        out[..4].copy_from_slice(&MAGIC);
        let words = [self.payload_crc, self.stored_len, self.plain_len, self.count];
        for (at, word) in (8..).step_by(4).zip(words) {
            out[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        let longs = [self.base_offset, self.stored_at as u64, self.durable, self.first_timestamp as u64];
        for (at, long) in (24..).step_by(8).zip(longs) {
            out[at..at + 8].copy_from_slice(&long.to_le_bytes());
        }
        out[56..60].copy_from_slice(&self.codec.to_le_bytes());
        let crc = crc32c::crc32c(&out[8..]);
        out[4..8].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// The header at the front of `bytes`; `None` where there is no whole, undamaged one.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER] = bytes.first_chunk()?;
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        if bytes[..4] != MAGIC || word(4) != crc32c::crc32c(&bytes[8..]) {
            return None;
        }
        let header = Self {
            payload_crc: word(8),
            stored_len: word(12),
            plain_len: word(16),
            count: word(20),
            base_offset: long(24),
            stored_at: long(32) as i64,
            durable: long(40),
            first_timestamp: long(48) as i64,
            codec: word(56),
        };
        let ends = header.base_offset.checked_add(u64::from(header.count));
        (header.count > 0 && ends.is_some()).then_some(header)
    }

    pub fn end_offset(&self) -> u64 {
        self.base_offset.saturating_add(u64::from(self.count))
    }

    /// Bytes of header and payload in the file.
    pub fn frame_len(&self) -> u64 {
        HEADER as u64 + u64::from(self.stored_len)
    }

    pub fn is_intact(&self, payload: &[u8]) -> bool {
        payload.len() == self.stored_len as usize && crc32c::crc32c(payload) == self.payload_crc
    }

    /// Puts the plain payload into `plain`, whatever was in it before.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn unpack(&self, payload: &[u8], plain: &mut Vec<u8>) -> Result<(), &'static str> {
        if !self.is_intact(payload) {
            return Err("the checksum of a frame does not match");
        }
        plain.clear();
        match self.codec {
            PLAIN => plain.extend_from_slice(payload),
            LZ4 => {
                let plain_len = self.plain_len as usize;
                if plain_len / MAX_RATIO > payload.len() {
                    return Err("a frame claims to be larger than it can be");
                }
                plain.resize(plain_len, 0);
                if decompress_into(payload, plain).ok() != Some(plain_len) {
                    return Err("a frame cannot be decompressed");
                }
            }
            _ => return Err("a frame is compressed in a way that this version does not know"),
        }
        Ok(())
    }
}

/// Gathers messages into a frame. Its buffer is reused.
#[derive(Debug, Default)]
pub(super) struct FrameBuilder {
    plain: Vec<u8>,
    count: u32,
    first_timestamp: i64,
}

/// Compresses frames, one after the other. Its buffers are reused.
pub(super) struct Packer {
    packed: Vec<u8>,
    table: CompressTable,
}

/// What is the same for all frames of a write.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp {
    pub base_offset: u64,
    pub stored_at: i64,
    pub durable: u64,
    pub compress: bool,
}

impl FrameBuilder {
    pub fn count(&self) -> u32 {
        self.count
    }

    pub fn is_full(&self) -> bool {
        self.plain.len() >= FRAME_BYTES
    }

    pub fn push(&mut self, message: &Message<'_>) {
        if self.count == 0 {
            self.first_timestamp = message.timestamp;
        }
        self.count += 1;
        let difference = message.timestamp.wrapping_sub(self.first_timestamp);
        let (shared, own) = message.headers.encoded();
        let length = |part: Option<&[u8]>| part.map_or(0, |bytes| bytes.len() as u64 + 1);
        let out = &mut self.plain;
        put_varint(out, ((difference << 1) ^ (difference >> 63)) as u64);
        put_varint(out, length(message.key));
        put_varint(out, (shared.len() + own.len()) as u64);
        put_varint(out, length(message.body));
        out.extend_from_slice(message.key.unwrap_or_default());
        out.extend_from_slice(shared);
        out.extend_from_slice(own);
        out.extend_from_slice(message.body.unwrap_or_default());
    }

    /// Appends the frame to `out` and starts the next one.
    pub fn seal(&mut self, stamp: Stamp, packer: &mut Packer, out: &mut Vec<u8>) {
        let packed = if stamp.compress { packer.pack(&self.plain) } else { None };
        let (codec, payload) = packed.map_or((PLAIN, &self.plain[..]), |packed| (LZ4, packed));
        let header = FrameHeader {
            payload_crc: crc32c::crc32c(payload),
            stored_len: payload.len() as u32,
            plain_len: self.plain.len() as u32,
            count: self.count,
            base_offset: stamp.base_offset,
            stored_at: stamp.stored_at,
            durable: stamp.durable,
            first_timestamp: self.first_timestamp,
            codec,
        };
        out.extend_from_slice(&header.encode());
        out.extend_from_slice(payload);
        self.clear();
    }

    /// Drops what was gathered.
    pub fn clear(&mut self) {
        self.plain.clear();
        self.plain.shrink_to(2 * FRAME_BYTES);
        self.count = 0;
    }
}

impl Packer {
    pub fn new() -> Self {
        Self { packed: Vec::new(), table: CompressTable::default() }
    }

    /// The compressed payload, if that is worth the work of reading it back.
    fn pack(&mut self, plain: &[u8]) -> Option<&[u8]> {
        if plain.len() < COMPRESS_FROM {
            return None;
        }
        let room = get_maximum_output_size(plain.len());
        if self.packed.len() < room || self.packed.len() > room.max(4 * FRAME_BYTES) {
            self.packed = vec![0; room];
        }
        let length = compress_into_with_table(plain, &mut self.packed, &mut self.table).ok()?;
        (length < plain.len() - plain.len() / 8).then(|| &self.packed[..length])
    }
}

/// One stored message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub timestamp: i64,
    pub key: Option<&'a [u8]>,
    pub headers: &'a [u8],
    pub body: Option<&'a [u8]>,
}

impl Record<'_> {
    pub fn bytes(&self) -> usize {
        self.key.map_or(0, <[u8]>::len) + self.headers.len() + self.body.map_or(0, <[u8]>::len)
    }
}

/// Takes the next message off a plain payload; `None` where the bytes are no message.
pub(super) fn take_record<'a>(payload: &mut &'a [u8], first_timestamp: i64) -> Option<Record<'a>> {
    let zigzag = take_varint(payload)?;
    let difference = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
    let (key, headers, body) = (take_varint(payload)?, take_varint(payload)?, take_varint(payload)?);
    Some(Record {
        timestamp: first_timestamp.wrapping_add(difference),
        key: take_part(payload, key)?,
        headers: take(payload, headers)?,
        body: take_part(payload, body)?,
    })
}

fn take<'a>(from: &mut &'a [u8], length: u64) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(usize::try_from(length).ok()?)?;
    *from = rest;
    Some(taken)
}

fn take_part<'a>(from: &mut &'a [u8], length: u64) -> Option<Option<&'a [u8]>> {
    match length.checked_sub(1) {
        None => Some(None),
        Some(length) => take(from, length).map(Some),
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_varint(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use openmessaging::MessageBatch;
    use proptest::prelude::*;

    use super::*;

    const STAMP: Stamp = Stamp { base_offset: 7, stored_at: 9, durable: 11, compress: true };

    fn part() -> impl Strategy<Value = Option<Vec<u8>>> {
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..3000))
    }

    proptest! {
        #[test]
        fn messages_come_back_as_they_were(
            messages in proptest::collection::vec((any::<i64>(), part(), part(), part()), 1..8),
            compress: bool,
        ) {
            let queue: Arc<str> = "q".into();
            let mut batch = MessageBatch::new();
            batch.share_header("all", Some(b"1"));
            for (timestamp, key, header, body) in &messages {
                let mut writer = batch.start();
                writer.key(key.as_deref());
                writer.header("h", header.as_deref());
                writer.finish(&queue, None, *timestamp, body.as_deref());
            }
            let mut builder = FrameBuilder::default();
            batch.iter().for_each(|message| builder.push(&message));
            let mut out = Vec::new();
            builder.seal(Stamp { compress, ..STAMP }, &mut Packer::new(), &mut out);
            let header = FrameHeader::parse(&out).expect("a header");
            prop_assert_eq!(header.frame_len(), out.len() as u64);
            prop_assert_eq!((header.base_offset, header.end_offset()), (7, 7 + messages.len() as u64));
            let mut plain = Vec::new();
            header.unpack(&out[HEADER..], &mut plain).expect("intact");
            let mut rest = &plain[..];
            for message in batch.iter() {
                let record = take_record(&mut rest, header.first_timestamp).expect("a record");
                let (shared, own) = message.headers.encoded();
                prop_assert_eq!((record.timestamp, record.key, record.body), (message.timestamp, message.key, message.body));
                prop_assert_eq!(record.headers, [shared, own].concat());
            }
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn a_flipped_bit_is_found(at in 0usize..2000, bit in 0u8..8) {
            let queue: Arc<str> = "q".into();
            let mut batch = MessageBatch::new();
            batch.start().finish(&queue, None, 5, Some(&[42; 2000]));
            let mut builder = FrameBuilder::default();
            builder.push(&batch.get(0).expect("one"));
            let mut out = Vec::new();
            builder.seal(Stamp { compress: false, ..STAMP }, &mut Packer::new(), &mut out);
            out[at] ^= 1 << bit;
            let intact = FrameHeader::parse(&out).is_some_and(|header| header.is_intact(&out[HEADER..]));
            prop_assert!(!intact);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300), plain_len: u32, codec in 0u32..4) {
            let _ = FrameHeader::parse(&bytes);
            let header = FrameHeader {
                payload_crc: crc32c::crc32c(&bytes), stored_len: bytes.len() as u32, plain_len, codec, count: 1, ..FrameHeader::default()
            };
            let mut plain = Vec::new();
            let _ = header.unpack(&bytes, &mut plain);
            prop_assert!(plain.capacity() <= (bytes.len() + 1) * MAX_RATIO);
            let mut rest = &bytes[..];
            while take_record(&mut rest, 0).is_some() {}
        }
    }
}
