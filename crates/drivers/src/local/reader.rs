//! Reads frames of one partition into batches. Blocks; what it reads is bounded by the durable length of each file.

use std::fs::File;
use std::io;

use openmessaging::{ConsumedBatch, MessageBatch, QueuePartition, Result};

use super::error;
use super::frame::{FrameHeader, HEADER, take_record};
use super::log::{PartitionLog, SKIM, Segment};
use super::segment::{self, FILE_HEADER, Window};

/// How much is read at once.
const CHUNK: usize = 256 * 1024;

/// Where a consumer reads in a file.
#[derive(Debug)]
pub(super) struct OpenSegment {
    base: u64,
    file: File,
    /// Where the frame starts that holds the next message, or one before it.
    at: u64,
}

/// Memory for reading, reused by all partitions of a consumer.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    window: Window,
    /// The log and the segment that the window is of.
    window_of: Option<(u64, u64)>,
    plain: Vec<u8>,
    unpacked: Option<Unpacked>,
}

/// The frame that is in `Buffers::plain`.
#[derive(Debug, Clone, Copy)]
struct Unpacked {
    log: u64,
    /// Where the frame starts in its file.
    at: u64,
    header: FrameHeader,
    /// The offset of the next message, and where its bytes start.
    next: (u64, usize),
}

/// A batch being filled.
struct Output {
    messages: MessageBatch,
    offsets: Vec<u64>,
    bytes: usize,
    max_bytes: usize,
}

/// How many bytes of the segment at `open` are unread, if it is the one written to: they were just written, so that
/// reading them does not wait for the disk.
pub(super) fn fresh_bytes(log: &PartitionLog, open: Option<&OpenSegment>) -> Option<u64> {
    let open = open?;
    let last = log.state().segments.last().copied()?;
    (last.base == open.base).then(|| last.len.saturating_sub(open.at))
}

/// The messages from `offset` on, or from the oldest that is kept; `None` where there are none.
///
/// # Errors
/// `Corrupt` with file and place; what was read before it comes first.
pub(super) fn read(
    log: &PartitionLog,
    offset: u64,
    open: &mut Option<OpenSegment>,
    buffers: &mut Buffers,
    max_bytes: usize,
) -> Result<Option<ConsumedBatch>> {
    let mut out = Output { messages: MessageBatch::new(), offsets: Vec::new(), bytes: 0, max_bytes };
    let mut offset = offset;
    loop {
        let (segment, behind) = {
            let state = log.state();
            offset = offset.max(state.begin());
            match state.segment_of(offset).filter(|_| offset < state.end) {
                Some(found) => found,
                None => break,
            }
        };
        match read_segment(log, segment, &mut offset, open, buffers, &mut out) {
            Ok(true) if offset < behind => {
                let path = segment::path(&log.folder, segment.base);
                let gap = format!("messages from offset {offset} to {behind} are missing");
                return finish(log, out, Some(error::corrupt(&path, segment.len, gap)));
            }
            // The file stays open: more will come, or the next one is opened in its place.
            Ok(true) => {}
            Ok(false) => break,
            // Retention was here: go on at the new begin.
            Err(_) if log.state().begin() > segment.base => *open = None,
            Err(cause) => return finish(log, out, Some(cause)),
        }
    }
    finish(log, out, None)
}

fn finish(
    log: &PartitionLog,
    out: Output,
    error: Option<openmessaging::Error>,
) -> Result<Option<ConsumedBatch>> {
    match error {
        Some(error) if out.offsets.is_empty() => Err(error),
        _ if out.offsets.is_empty() => Ok(None),
        _ => {
            let Output { messages, offsets, .. } = out;
            Ok(Some(ConsumedBatch { partition: log.partition.clone(), messages, offsets }))
        }
    }
}

/// Reads from one segment; `true` when its end was reached, `false` when the batch is full.
fn read_segment(
    log: &PartitionLog,
    segment: Segment,
    offset: &mut u64,
    open: &mut Option<OpenSegment>,
    buffers: &mut Buffers,
    out: &mut Output,
) -> Result<bool> {
    let path = segment::path(&log.folder, segment.base);
    let failed = |cause: io::Error| error::io("cannot read", &path, cause);
    let damaged = |at, why| error::corrupt(&path, at, why);
    let (place, mut chunk) = match open.take().filter(|open| open.base == segment.base) {
        Some(place) => (place, CHUNK),
        None => {
            let file = segment::open(&path).map_err(failed)?;
            (OpenSegment { base: segment.base, file, at: FILE_HEADER }, SKIM)
        }
    };
    let OpenSegment { file, at, .. } = open.insert(place);
    if buffers.window_of != Some((log.id, segment.base)) {
        buffers.window.forget();
        buffers.window_of = Some((log.id, segment.base));
    }
    while *at < segment.len {
        if let Some(unpacked) = buffers.unpacked.filter(|unpacked| unpacked.holds(log.id, *offset)) {
            match take(log, unpacked, offset, buffers, out) {
                None => return Err(damaged(*at, "a message in a frame cannot be read")),
                Some(false) => return Ok(false),
                Some(true) => *at = unpacked.at + unpacked.header.frame_len(),
            }
            continue;
        }
        let header = segment::frame_at(&mut buffers.window, file, *at, segment.len, chunk).map_err(failed)?;
        let Some(header) = header else {
            return Err(damaged(*at, "the header of a frame is not what was written"));
        };
        if header.end_offset() <= *offset {
            *at += header.frame_len();
            continue;
        }
        chunk = CHUNK;
        let start = *at + HEADER as u64;
        let length = header.stored_len as usize;
        let payload = buffers.window.get(file, start, length, segment.len, CHUNK).map_err(failed)?;
        buffers.unpacked = None;
        header.unpack(payload.unwrap_or_default(), &mut buffers.plain).map_err(|why| damaged(*at, why))?;
        buffers.unpacked = Some(Unpacked { log: log.id, at: *at, header, next: (header.base_offset, 0) });
        if header.base_offset > *offset {
            let gap = format!("messages from offset {offset} to {} are missing", header.base_offset);
            return Err(error::corrupt(&path, *at, gap));
        }
    }
    Ok(true)
}

impl Unpacked {
    fn holds(&self, log: u64, offset: u64) -> bool {
        self.log == log && (self.header.base_offset..self.header.end_offset()).contains(&offset)
    }
}

/// Takes messages of the unpacked frame from `offset` on; `false` when the batch is full before the frame ends, `None`
/// where the bytes are no messages.
fn take(
    log: &PartitionLog,
    unpacked: Unpacked,
    offset: &mut u64,
    buffers: &mut Buffers,
    out: &mut Output,
) -> Option<bool> {
    let header = unpacked.header;
    let (mut next, at) = if unpacked.next.0 <= *offset { unpacked.next } else { (header.base_offset, 0) };
    let mut rest = buffers.plain.get(at..)?;
    let mut full = false;
    while next < header.end_offset() {
        let before = rest;
        let record = take_record(&mut rest, header.first_timestamp)?;
        if next >= *offset {
            let bytes = record.bytes();
            if !out.offsets.is_empty() && out.bytes + bytes > out.max_bytes {
                (rest, full) = (before, true);
                break;
            }
            out.bytes += bytes;
            let mut writer = out.messages.start();
            writer.key(record.key);
            writer.encoded_headers(record.headers);
            let QueuePartition { queue, partition } = &log.partition;
            writer.finish(queue, Some(*partition), record.timestamp, record.body);
            out.offsets.push(next);
            *offset = next + 1;
        }
        next += 1;
    }
    let at = buffers.plain.len() - rest.len();
    buffers.unpacked = Some(Unpacked { next: (next, at), ..unpacked });
    Some(!full)
}
