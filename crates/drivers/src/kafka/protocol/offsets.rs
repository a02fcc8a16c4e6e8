//! Offsets by time, and the ends of partitions.

use openmessaging::Result;

use super::super::wire::{Reader, Write};
use super::{LIST_OFFSETS, begin, end, write_topics};

pub(in super::super) const LATEST: i64 = -1;
pub(in super::super) const EARLIEST: i64 = -2;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Found {
    pub topic: String,
    pub partition: i32,
    pub error: i16,
    /// -1: none.
    pub offset: i64,
}

/// What is asked: topic, partition, and the time (or [`LATEST`], [`EARLIEST`]). One topic's partitions stand together.
pub(in super::super) fn request(
    client_id: &str,
    asked: &[(&str, i32, i64)],
    read_committed: bool,
) -> Vec<u8> {
    let mut out = begin(LIST_OFFSETS, client_id);
    out.i32(-1);
    out.i8(read_committed.into());
    write_topics(
        &mut out,
        asked,
        |each| each.0,
        |out, each| {
            out.i32(each.1);
            out.i64(each.2);
        },
    );
    end(&mut out);
    out
}

pub(in super::super) fn answer(mut reader: Reader<'_>) -> Result<Vec<Found>> {
    reader.i32()?;
    super::topics_of(&mut reader, |topic, each| {
        let (partition, error, _time, offset) = (each.i32()?, each.i16()?, each.i64()?, each.i64()?);
        Ok(Found { topic: topic.to_owned(), partition, error, offset })
    })
}
