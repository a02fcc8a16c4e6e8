//! Writing, and the number by which a broker recognises a producer's repetitions.

use openmessaging::Result;

use super::super::wire::{Reader, Write};
use super::{INIT_PRODUCER_ID, PRODUCE, begin, begin_in, end};

pub(in super::super) fn init_producer_id(client_id: &str) -> Vec<u8> {
    let mut out = begin(INIT_PRODUCER_ID, client_id);
    out.null_string();
    out.i32(i32::MAX);
    end(&mut out);
    out
}

/// The error code and the number.
pub(in super::super) fn init_producer_id_answer(mut reader: Reader<'_>) -> Result<(i16, i64)> {
    reader.i32()?;
    Ok((reader.i16()?, reader.i64()?))
}

/// A request to write, while it is made: record batches are appended to `out` between [`begin`](Self::begin) and
/// [`end`](Self::end) of their partitions.
pub(in super::super) struct Builder {
    pub out: Vec<u8>,
    /// Where the number of topics stands, and the number.
    topics: (usize, i32),
    /// The same of the current topic's partitions.
    partitions: (usize, i32),
}

impl Builder {
    pub fn new(mut out: Vec<u8>, client_id: &str, acks: i16, timeout_ms: i32) -> Self {
        begin_in(&mut out, PRODUCE, client_id);
        out.null_string();
        out.i16(acks);
        out.i32(timeout_ms);
        let topics = (out.len(), 0);
        out.i32(0);
        Self { out, topics, partitions: (0, 0) }
    }

    /// Begins a partition, and says where its length stands. Partitions of one topic follow each other: the first one
    /// is `new_topic`.
    pub fn begin(&mut self, topic: &str, new_topic: bool, partition: i32) -> usize {
        if new_topic {
            self.out.string(topic);
            self.topics.1 += 1;
            self.partitions = (self.out.len(), 0);
            self.out.i32(0);
        }
        self.partitions.1 += 1;
        let Self { out, partitions: (at, count), .. } = self;
        out[*at..*at + 4].copy_from_slice(&count.to_be_bytes());
        out.i32(partition);
        let length = out.len();
        out.i32(0);
        length
    }

    pub fn end(&mut self, length: usize) {
        let bytes = (self.out.len() - length - 4) as i32;
        self.out[length..length + 4].copy_from_slice(&bytes.to_be_bytes());
    }

    pub fn finish(mut self) -> Vec<u8> {
        let (at, count) = self.topics;
        self.out[at..at + 4].copy_from_slice(&count.to_be_bytes());
        end(&mut self.out);
        self.out
    }
}

/// Calls `each` with topic, partition, error code and the first offset (-1: not known).
pub(in super::super) fn answer(
    mut reader: Reader<'_>,
    mut each: impl FnMut(&str, i32, i16, i64),
) -> Result<()> {
    for _ in 0..reader.count()? {
        let topic = reader.string()?;
        for _ in 0..reader.count()? {
            let (partition, error) = (reader.i32()?, reader.i16()?);
            let offset = reader.i64()?;
            // The time of appending, the begin of the log.
            reader.take(16)?;
            each(topic, partition, error, offset);
        }
    }
    Ok(())
}
