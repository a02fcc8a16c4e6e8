//! Record batches of format 2, the only one that brokers write since Kafka 0.11: messages in, messages out.
//!
//! Source: "Kafka message format" of Kafka's documentation, `DefaultRecordBatch.java`.
//!
//! ```text
//! first offset i64 | length i32 | leader epoch i32 | format i8 = 2 | crc32c u32 of what follows
//! attributes i16 | last offset delta i32 | first timestamp i64 | greatest timestamp i64
//! producer id i64 | producer epoch i16 | first sequence i32 | number of records i32 | records, compressed as a whole
//! ```

mod compression;
mod decode;
mod encode;
mod lz4;
#[cfg(test)]
mod tests;

pub(super) use compression::Compression;
pub(super) use decode::{Cursor, numbers};
pub(super) use encode::{Encoder, Numbers, record_bound};

/// Bytes before the records.
const HEADER: usize = 61;

/// Where the parts of a batch stand.
const LENGTH: usize = 8;
const MAGIC: usize = 16;
const CRC: usize = 17;
const ATTRIBUTES: usize = 21;
const COUNT: usize = 57;

const COMPRESSION_BITS: i16 = 0x07;
/// The greatest timestamp is that of every record: when the broker stored it.
const LOG_APPEND_TIME: i16 = 0x08;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;
