//! Messages into the bytes of a record batch, straight into the request.

use openmessaging::Message;

use super::super::wire::{Write, varint_size};
use super::compression::{self, Compression};
use super::{ATTRIBUTES, COUNT, CRC, HEADER, LENGTH, MAGIC, lz4};

/// What a broker knows repetitions by: whose batch it is, and the number of its first record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Numbers {
    pub producer: i64,
    pub epoch: i16,
    pub sequence: i32,
}

/// Makes record batches, with memory that is used again.
pub(in super::super) struct Encoder {
    compression: Compression,
    packer: lz4::Packer,
    /// The front of one record; or all records, where they are compressed at once.
    scratch: Vec<u8>,
}

/// At most so many bytes a message takes in a batch, uncompressed.
pub(in super::super) fn record_bound(message: &Message<'_>) -> usize {
    // Lengths of the record, key, body; attributes, both deltas, the number of headers. Headers take less than their
    // encoded form, which has six bytes for the lengths of each, but where a value is longer than 127 MiB.
    message.size() + 48
}

impl Encoder {
    pub fn new(compression: Compression) -> Self {
        Self { compression, packer: lz4::Packer::default(), scratch: Vec::new() }
    }

    /// Appends a batch of these messages, at least one.
    pub fn encode<'m>(
        &mut self,
        out: &mut Vec<u8>,
        numbers: Numbers,
        messages: impl Iterator<Item = Message<'m>>,
    ) {
        let start = out.len();
        out.resize(start + HEADER, 0);
        self.scratch.clear();
        if self.compression == Compression::Lz4 {
            self.packer.begin(out);
        }
        let (mut count, mut first, mut greatest) = (0_i32, None, i64::MIN);
        for message in messages {
            let first = *first.get_or_insert(message.timestamp);
            greatest = greatest.max(message.timestamp);
            self.record(out, &message, message.timestamp.wrapping_sub(first), count);
            count += 1;
        }
        let used = match self.compression {
            Compression::None => Compression::None,
            Compression::Lz4 => {
                self.packer.end(out);
                Compression::Lz4
            }
            other => match compression::compress(other, &self.scratch, out) {
                Ok(()) => other,
                // It only writes to memory; should it fail all the same, the records go as they are.
                Err(_) => {
                    out.truncate(start + HEADER);
                    out.extend_from_slice(&self.scratch);
                    Compression::None
                }
            },
        };
        let (first, greatest) = (first.unwrap_or_default(), greatest.max(first.unwrap_or_default()));
        header(&mut out[start..], numbers, used, count, [first, greatest]);
    }

    fn record(&mut self, out: &mut Vec<u8>, message: &Message<'_>, timestamp: i64, offset: i32) {
        let sized = |part: Option<&[u8]>| part.map_or(1, |part| varint_size(part.len() as i64) + part.len());
        let (mut headers, mut header_bytes) = (0, 0);
        if !message.headers.is_empty() {
            for header in message.headers {
                headers += 1;
                header_bytes +=
                    varint_size(header.name.len() as i64) + header.name.len() + sized(header.value);
            }
        }
        let length = 1
            + varint_size(timestamp)
            + varint_size(offset.into())
            + sized(message.key)
            + sized(message.body)
            + varint_size(headers)
            + header_bytes;
        match self.compression {
            Compression::None => {
                write(out, message, [length as i64, timestamp, offset.into(), headers], |out, body| {
                    out.extend_from_slice(body);
                })
            }
            Compression::Lz4 => {
                let Self { packer, scratch, .. } = self;
                write(
                    scratch,
                    message,
                    [length as i64, timestamp, offset.into(), headers],
                    |scratch, body| {
                        packer.put(out, scratch);
                        packer.put(out, body);
                        scratch.clear();
                    },
                );
                packer.put(out, scratch);
                scratch.clear();
            }
            _ => write(
                &mut self.scratch,
                message,
                [length as i64, timestamp, offset.into(), headers],
                |scratch, body| scratch.extend_from_slice(body),
            ),
        }
    }
}

/// Writes a record: `numbers` are its length, the deltas of timestamp and offset, and the number of headers.
fn write(
    out: &mut Vec<u8>,
    message: &Message<'_>,
    [length, timestamp, offset, headers]: [i64; 4],
    mut put_body: impl FnMut(&mut Vec<u8>, &[u8]),
) {
    out.varint(length);
    out.i8(0);
    out.varint(timestamp);
    out.varint(offset);
    match message.key {
        None => out.varint(-1),
        Some(key) => {
            out.varint(key.len() as i64);
            out.extend_from_slice(key);
        }
    }
    match message.body {
        None => out.varint(-1),
        Some(body) => {
            out.varint(body.len() as i64);
            put_body(out, body);
        }
    }
    out.varint(headers);
    if headers == 0 {
        return;
    }
    for header in message.headers {
        out.varint(header.name.len() as i64);
        out.extend_from_slice(header.name.as_bytes());
        match header.value {
            None => out.varint(-1),
            Some(value) => {
                out.varint(value.len() as i64);
                out.extend_from_slice(value);
            }
        }
    }
}

fn header(
    batch: &mut [u8],
    numbers: Numbers,
    compression: Compression,
    count: i32,
    [first, greatest]: [i64; 2],
) {
    let length = (batch.len() - MAGIC + 4) as i32;
    let mut put = |at: usize, bytes: &[u8]| batch[at..at + bytes.len()].copy_from_slice(bytes);
    put(LENGTH, &length.to_be_bytes());
    put(LENGTH + 4, &(-1_i32).to_be_bytes());
    put(MAGIC, &[2]);
    put(ATTRIBUTES, &(compression as i16).to_be_bytes());
    put(23, &(count - 1).to_be_bytes());
    put(27, &first.to_be_bytes());
    put(35, &greatest.to_be_bytes());
    put(43, &numbers.producer.to_be_bytes());
    put(51, &numbers.epoch.to_be_bytes());
    put(53, &numbers.sequence.to_be_bytes());
    put(COUNT, &count.to_be_bytes());
    let crc = crc32c::crc32c(&batch[ATTRIBUTES..]);
    batch[CRC..ATTRIBUTES].copy_from_slice(&crc.to_be_bytes());
}
