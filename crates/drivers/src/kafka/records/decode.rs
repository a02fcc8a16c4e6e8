//! The bytes of record batches into messages, piece by piece: what a batch holds when it is unpacked is bounded by what is
//! asked for, not by what somebody could compress.

use bytes::Bytes;
use openmessaging::{Error, MessageBatch, Result, StatusCode};

use super::super::wire::Reader;
use super::compression::{Compression, Source, damaged};
use super::encode::Numbers;
use super::{
    ATTRIBUTES, COMPRESSION_BITS, CONTROL, COUNT, CRC, HEADER, LENGTH, LOG_APPEND_TIME, MAGIC, TRANSACTIONAL,
};

/// No record is larger: Kafka's own messages are bounded by 32 bits, and what is near that is damage.
const MAX_RECORD: i64 = 512 * 1024 * 1024;

/// What a message takes beside its bytes.
const PER_MESSAGE: usize = 48;

/// Record batches of one partition, read from front to back.
pub(in super::super) struct Cursor {
    batches: Bytes,
    open: Option<Open>,
    /// Aborted transactions that begin later on, the last one first.
    aborted: Vec<(i64, i64)>,
    /// Producers in an aborted transaction at this place.
    aborting: Vec<i64>,
    next: i64,
}

/// A batch whose records are being read.
struct Open {
    records: Records,
    left: i32,
    offset: i64,
    last: i64,
    timestamp: i64,
    /// Of all records, where the broker set it.
    stored: Option<i64>,
}

enum Records {
    Plain(Bytes),
    Packed {
        source: Source,
        buffer: Vec<u8>,
        /// What of the buffer was unpacked and not yet read.
        unread: std::ops::Range<usize>,
    },
}

/// Messages, and how far they go.
pub(in super::super) struct Decoded {
    pub messages: MessageBatch,
    pub offsets: Vec<u64>,
    /// The offset to go on at.
    pub next: u64,
    /// Nothing is left.
    pub done: bool,
}

/// Of a batch: its attributes, and what is needed to read it.
struct Head {
    attributes: i16,
    producer: i64,
    open: Open,
}

impl Cursor {
    /// `from`: the offset that was asked for; the first batch may begin before it.
    pub fn new(batches: Bytes, from: u64, mut aborted: Vec<(i64, i64)>) -> Self {
        aborted.sort_by_key(|(_, first)| std::cmp::Reverse(*first));
        Self { batches, open: None, aborted, aborting: Vec::new(), next: from as i64 }
    }

    /// Messages of about `bytes`, at least one where there is one.
    pub fn read(&mut self, queue: &std::sync::Arc<str>, partition: u32, bytes: usize) -> Result<Decoded> {
        let (mut messages, mut offsets) = (MessageBatch::new(), Vec::new());
        let expected = self.batches.len() + self.open.as_ref().map_or(0, Open::remaining);
        messages.return_buffer(Vec::with_capacity(bytes.min(4 * expected)));
        let mut done = false;
        while messages.data_len() + PER_MESSAGE * offsets.len() < bytes || offsets.is_empty() {
            let Some(open) = &mut self.open else {
                if self.enter()? {
                    continue;
                }
                done = true;
                break;
            };
            if open.left == 0 {
                self.next = self.next.max(open.last + 1);
                self.open = None;
                continue;
            }
            open.left -= 1;
            let (from, next) = (self.next, &mut self.next);
            open.record(from, |record| {
                offsets.push(record.offset as u64);
                *next = record.offset + 1;
                record.append(&mut messages, queue, partition)
            })?;
        }
        Ok(Decoded { messages, offsets, next: self.next as u64, done })
    }

    /// Opens the next batch with messages; `false` at the end.
    fn enter(&mut self) -> Result<bool> {
        loop {
            let Some(batch) = self.next_batch()? else { return Ok(false) };
            let head = head(batch)?;
            if head.open.last < self.next {
                continue;
            }
            while self.aborted.last().is_some_and(|(_, first)| *first <= head.open.last) {
                self.aborting.extend(self.aborted.pop().map(|(producer, _)| producer));
            }
            let in_aborted = self.aborting.contains(&head.producer);
            if head.attributes & CONTROL != 0 {
                // The end of a transaction, committed or not.
                if in_aborted {
                    self.aborting.retain(|producer| *producer != head.producer);
                }
            } else if head.attributes & TRANSACTIONAL == 0 || !in_aborted {
                self.open = Some(head.open);
                return Ok(true);
            }
            self.next = head.open.last + 1;
        }
    }

    /// The next whole batch, its checksum right. A broker may cut the last one off.
    fn next_batch(&mut self) -> Result<Option<Bytes>> {
        if self.batches.len() < HEADER {
            return Ok(None);
        }
        let mut reader = Reader::new(&self.batches[LENGTH..]);
        let length = reader.i32()?;
        let magic = self.batches[MAGIC];
        if magic != 2 {
            let message =
                format!("messages at offset {} are in format {magic}, of before Kafka 0.11", self.next);
            return Err(Error::new(StatusCode::UnsupportedVersion, message)
                .with_remedy("seek behind them, or copy the topic with Kafka's own tools"));
        }
        if length < (HEADER - 12) as i32 {
            return Err(damaged(&format!("its length is {length}")));
        }
        let total = length as usize + 12;
        if total > self.batches.len() {
            return Ok(None);
        }
        let batch = self.batches.split_to(total);
        let crc = Reader::new(&batch[CRC..]).u32()?;
        if crc32c::crc32c(&batch[ATTRIBUTES..]) != crc {
            return Err(damaged(&format!("the checksum at offset {} is wrong", self.next)));
        }
        Ok(Some(batch))
    }
}

fn head(batch: Bytes) -> Result<Head> {
    let first_offset = Reader::new(&batch).i64()?;
    let mut reader = Reader::new(&batch[ATTRIBUTES..]);
    let (attributes, last_delta) = (reader.i16()?, reader.i32()?);
    let (timestamp, greatest, producer) = (reader.i64()?, reader.i64()?, reader.i64()?);
    let left = Reader::new(&batch[COUNT..]).i32()?.max(0);
    let packed = batch.slice(HEADER..);
    let records = match Compression::of(attributes & COMPRESSION_BITS)? {
        Compression::None => Records::Plain(packed),
        // Markers of transactions are never compressed, and never read.
        compression => {
            Records::Packed { source: Source::new(compression, packed)?, buffer: Vec::new(), unread: 0..0 }
        }
    };
    let stored = (attributes & LOG_APPEND_TIME != 0).then_some(greatest);
    let last = first_offset.saturating_add(last_delta.into());
    Ok(Head {
        attributes,
        producer,
        open: Open { records, left, offset: first_offset, last, timestamp, stored },
    })
}

/// Whose batches these are, and the offset behind them. A batch that is cut off is left out.
pub(in super::super) fn numbers(mut batches: &[u8]) -> Result<(Option<i64>, Vec<Numbers>)> {
    let (mut next, mut found) = (None, Vec::new());
    while batches.len() >= HEADER {
        let mut reader = Reader::new(batches);
        let (first, length) = (reader.i64()?, reader.i32()?);
        let total = (length.max(0) as usize).saturating_add(12);
        let Some((batch, rest)) = batches.split_at_checked(total).filter(|_| total >= HEADER) else { break };
        batches = rest;
        let mut reader = Reader::new(&batch[ATTRIBUTES..]);
        let (_attributes, last_delta) = (reader.i16()?, reader.i32()?);
        reader.take(16)?;
        found.push(Numbers { producer: reader.i64()?, epoch: reader.i16()?, sequence: reader.i32()? });
        next = Some(first.saturating_add(last_delta.into()).saturating_add(1));
    }
    Ok((next, found))
}

/// One record, borrowed.
struct Record<'a> {
    offset: i64,
    timestamp: i64,
    key: Option<&'a [u8]>,
    body: Option<&'a [u8]>,
    headers: i64,
    rest: Reader<'a>,
}

impl Open {
    fn remaining(&self) -> usize {
        match &self.records {
            Records::Plain(rest) => rest.len(),
            Records::Packed { unread, .. } => unread.len(),
        }
    }

    /// Reads the next record, and gives it away unless it is before `from`.
    fn record(&mut self, from: i64, take: impl FnOnce(Record<'_>) -> Result<()>) -> Result<()> {
        let length = self.records.length()?;
        let (offset, timestamp, stored) = (self.offset, self.timestamp, self.stored);
        let bytes = self.records.ahead(length)?;
        let mut reader = Reader::new(bytes);
        reader.i8()?;
        let timestamp = timestamp.wrapping_add(reader.varint()?);
        let offset = offset.wrapping_add(reader.varint()?);
        if offset >= from {
            let (key, body) = (part(&mut reader)?, part(&mut reader)?);
            let headers = reader.varint()?;
            let timestamp = stored.unwrap_or(timestamp);
            take(Record { offset, timestamp, key, body, headers, rest: reader })?;
        }
        self.records.skip(length);
        Ok(())
    }
}

impl Records {
    /// The length of the next record, which is passed.
    fn length(&mut self) -> Result<usize> {
        loop {
            let ahead = self.bytes();
            let mut reader = Reader::new(ahead);
            match reader.varint() {
                Ok(length @ 0..=MAX_RECORD) => {
                    let passed = ahead.len() - reader.remaining();
                    self.skip(passed);
                    return Ok(length as usize);
                }
                Ok(length) => return Err(damaged(&format!("a record has {length} bytes"))),
                Err(_) if ahead.len() < 10 => self.fill()?,
                Err(error) => return Err(error),
            }
        }
    }

    /// So many bytes that come next.
    fn ahead(&mut self, length: usize) -> Result<&[u8]> {
        while self.bytes().len() < length {
            self.fill()?;
        }
        Ok(&self.bytes()[..length])
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Plain(rest) => rest,
            Self::Packed { buffer, unread, .. } => &buffer[unread.clone()],
        }
    }

    fn skip(&mut self, length: usize) {
        match self {
            Self::Plain(rest) => bytes::Buf::advance(rest, length),
            Self::Packed { unread, .. } => unread.start += length,
        }
    }

    fn fill(&mut self) -> Result<()> {
        let Self::Packed { source, buffer, unread } = self else {
            return Err(damaged(&"its records end too early"));
        };
        buffer.copy_within(unread.clone(), 0);
        *unread = 0..unread.len();
        match source.read(buffer, unread.end)? {
            0 => Err(damaged(&"its records end too early")),
            more => {
                unread.end += more;
                Ok(())
            }
        }
    }
}

fn part<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>> {
    match reader.varint()? {
        ..0 => Ok(None),
        length => reader.take(length as usize).map(Some),
    }
}

impl Record<'_> {
    fn append(
        mut self,
        messages: &mut MessageBatch,
        queue: &std::sync::Arc<str>,
        partition: u32,
    ) -> Result<()> {
        let mut writer = messages.start();
        writer.key(self.key);
        for _ in 0..self.headers {
            let name = part(&mut self.rest)?.unwrap_or_default();
            let value = part(&mut self.rest)?;
            match std::str::from_utf8(name) {
                Ok(name) => writer.header(name, value),
                Err(_) => writer.header(&String::from_utf8_lossy(name), value),
            }
        }
        writer.finish(queue, Some(partition), self.timestamp, self.body);
        Ok(())
    }
}
