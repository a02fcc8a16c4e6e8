//! Reading.

use std::ops::Range;

use openmessaging::Result;

use super::super::wire::{Reader, Write};
use super::{FETCH, begin, end, write_topics};

/// One partition to read.
#[derive(Debug, Clone)]
pub(in super::super) struct Wanted<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub offset: i64,
    pub max_bytes: i32,
}

/// How a broker is to answer.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Terms {
    pub max_wait_ms: i32,
    pub max_bytes: i32,
    pub read_committed: bool,
}

/// One topic's partitions stand together.
pub(in super::super) fn request(client_id: &str, terms: Terms, wanted: &[Wanted<'_>]) -> Vec<u8> {
    let mut out = begin(FETCH, client_id);
    // No replica.
    out.i32(-1);
    out.i32(terms.max_wait_ms);
    // At least one byte, or the wait is over.
    out.i32(1);
    out.i32(terms.max_bytes);
    out.i8(terms.read_committed.into());
    // No session: each request names all that it wants.
    out.i32(0);
    out.i32(-1);
    write_topics(
        &mut out,
        wanted,
        |each| each.topic,
        |out, each| {
            out.i32(each.partition);
            // The leader's epoch is not checked.
            out.i32(-1);
            out.i64(each.offset);
            out.i64(-1);
            out.i32(each.max_bytes);
        },
    );
    out.i32(0);
    end(&mut out);
    out
}

/// What came of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Fetched {
    pub topic: String,
    pub partition: i32,
    pub error: i16,
    /// Producers and the first offsets of their transactions that were aborted.
    pub aborted: Vec<(i64, i64)>,
    /// Where the record batches are in the answer.
    pub records: Range<usize>,
}

/// The error code of the whole, and each partition. `frame` is the answer behind its number.
pub(in super::super) fn answer(frame: &[u8]) -> Result<(i16, Vec<Fetched>)> {
    let mut reader = Reader::new(frame);
    reader.i32()?;
    let error = reader.i16()?;
    reader.i32()?;
    let fetched = super::topics_of(&mut reader, |topic, each| {
        let (partition, error) = (each.i32()?, each.i16()?);
        // High watermark, last stable offset, begin of the log.
        each.take(24)?;
        let aborted = each.array(|each| Ok((each.i64()?, each.i64()?)))?;
        let length = each.bytes()?.len();
        let records_end = frame.len() - each.remaining();
        let records = records_end - length..records_end;
        Ok(Fetched { topic: topic.to_owned(), partition, error, aborted, records })
    })?;
    Ok((error, fetched))
}
