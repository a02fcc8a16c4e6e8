//! What readers, the writer and retention share of one partition: which files it has, and how much of them is durable.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use openmessaging::{Error, PartitionDescription, QueuePartition, Result, StatusCode};
use tokio::sync::Notify;

use super::error;
use super::segment::{self, Checkpoint, FILE_HEADER, Window};

pub(super) use crate::lock;

/// One file of a partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    pub base: u64,
    /// Bytes of it that are durable: readers stop here.
    pub len: u64,
    /// When its first message was stored, once somebody asked.
    first_time: Option<i64>,
}

impl Segment {
    pub fn new(base: u64, len: u64) -> Self {
        Self { base, len, first_time: None }
    }
}

/// The durable state. Without files the partition was never written to.
#[derive(Debug, Clone, Default)]
pub(super) struct LogState {
    /// In order of base offsets; the last one is written to.
    pub segments: Vec<Segment>,
    /// The offset of the next message.
    pub end: u64,
    pub last_time: i64,
}

impl LogState {
    pub fn begin(&self) -> u64 {
        self.segments.first().map_or(self.end, |first| first.base)
    }

    /// The segment that holds `offset`, and the offset behind its last message.
    pub fn segment_of(&self, offset: u64) -> Option<(Segment, u64)> {
        let behind = self.segments.partition_point(|segment| segment.base <= offset);
        let segment = *self.segments.get(behind.checked_sub(1)?)?;
        Some((segment, self.segments.get(behind).map_or(self.end, |next| next.base)))
    }
}

pub(super) struct PartitionLog {
    /// Unlike that of any other log of the process.
    pub id: u64,
    pub partition: QueuePartition,
    pub folder: PathBuf,
    state: Mutex<LogState>,
    /// Consumers to wake when messages come.
    readers: Mutex<Vec<Arc<Notify>>>,
    /// The state is newer than the stored checkpoint.
    pub changed: AtomicBool,
    /// The queue is gone.
    deleted: AtomicBool,
    /// Why nothing more can be written until the folder is opened again.
    broken: Mutex<Option<Error>>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

impl PartitionLog {
    /// Reads what is in `folder`, and cuts off what a kill left half written. Of files that are older than the
    /// checkpoint only the names are read.
    ///
    /// # Errors
    /// `Corrupt` where durable bytes are damaged or missing.
    pub fn load(partition: QueuePartition, folder: PathBuf, checkpoint: Option<Checkpoint>) -> Result<Self> {
        let bases = segment::bases(&folder)?;
        if let Some(lost) = checkpoint.filter(|known| !bases.contains(&known.base)) {
            let path = segment::path(&folder, lost.base);
            // The newest file is never removed by us but together with a newer one's birth.
            if bases.last().is_none_or(|last| *last < lost.base) {
                return Err(error::corrupt(&path, 0, "the file is gone"));
            }
        }
        let mut state = LogState::default();
        if let Some((last, older)) = bases.split_last() {
            let end = segment::recover(&segment::path(&folder, *last), *last, checkpoint)?;
            for base in older {
                let path = segment::path(&folder, *base);
                let metadata = std::fs::metadata(&path).map_err(|e| error::io("cannot read", &path, e))?;
                state.segments.push(Segment::new(*base, metadata.len()));
            }
            state.segments.push(Segment::new(*last, end.len));
            (state.end, state.last_time) = (end.end, end.last_time);
        }
        Ok(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            partition,
            folder,
            state: Mutex::new(state),
            readers: Mutex::default(),
            changed: AtomicBool::new(true),
            deleted: AtomicBool::new(false),
            broken: Mutex::default(),
        })
    }

    pub fn state(&self) -> MutexGuard<'_, LogState> {
        lock(&self.state)
    }

    pub fn end(&self) -> u64 {
        self.state().end
    }

    pub fn describe(&self) -> PartitionDescription {
        let state = self.state();
        PartitionDescription { partition: self.partition.partition, begin: state.begin(), end: state.end }
    }

    pub fn checkpoint(&self) -> Option<Checkpoint> {
        let state = self.state();
        let last = state.segments.last()?;
        Some(Checkpoint { base: last.base, len: last.len, end: state.end, last_time: state.last_time })
    }

    /// Publishes what the writer made durable: the segments it wrote to, older ones first.
    pub fn publish(&self, written: &[Segment], end: u64, last_time: i64) {
        {
            let mut state = self.state();
            for segment in written {
                match state.segments.iter_mut().find(|known| known.base == segment.base) {
                    Some(known) => known.len = segment.len,
                    None => state.segments.push(*segment),
                }
            }
            (state.end, state.last_time) = (end, last_time);
        }
        self.changed.store(true, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        lock(&self.readers).iter().for_each(|reader| reader.notify_one());
    }

    pub fn subscribe(&self, reader: &Arc<Notify>) {
        let mut readers = lock(&self.readers);
        if !readers.iter().any(|known| Arc::ptr_eq(known, reader)) {
            readers.push(reader.clone());
        }
    }

    pub fn unsubscribe(&self, reader: &Arc<Notify>) {
        lock(&self.readers).retain(|known| !Arc::ptr_eq(known, reader));
    }

    pub fn delete(&self) {
        self.deleted.store(true, Ordering::Release);
        self.wake();
    }

    /// # Errors
    /// `NotFound` when the queue was deleted.
    pub fn check_exists(&self) -> Result<()> {
        match self.deleted.load(Ordering::Acquire) {
            true => Err(error::no_queue(&self.partition.queue)),
            false => Ok(()),
        }
    }

    /// Takes no more messages from now on: after a failed sync nobody knows what is on the disk.
    pub fn break_off(&self, cause: &Error) {
        let message = format!("{} cannot be written to any more: {}", self.partition, cause.message);
        let mut error = Error::new(StatusCode::ServerError, message)
            .with_remedy("look at the state of that disk, then start this process again");
        error.retriable = Some(false);
        lock(&self.broken).get_or_insert(error);
    }

    pub fn check_writable(&self) -> Result<()> {
        match lock(&self.broken).as_ref() {
            Some(cause) => Err(error::again(cause)),
            None => self.check_exists(),
        }
    }

    /// When the first message of a segment was stored; `None` where it holds none.
    fn first_time(&self, segment: Segment) -> Result<Option<i64>> {
        if segment.first_time.is_some() || segment.len <= FILE_HEADER {
            return Ok(segment.first_time);
        }
        let path = segment::path(&self.folder, segment.base);
        let failed = |source| error::io("cannot read", &path, source);
        let file = segment::open(&path).map_err(failed)?;
        let header = segment::frame_at(&mut Window::default(), &file, FILE_HEADER, segment.len, 0);
        let Some(header) = header.map_err(failed)? else {
            return Err(error::corrupt(&path, FILE_HEADER, "there is no frame"));
        };
        if let Some(known) = self.state().segments.iter_mut().find(|known| known.base == segment.base) {
            known.first_time = Some(header.stored_at);
        }
        Ok(Some(header.stored_at))
    }

    /// The offset of the first message stored at or after `time`; the end where there is none.
    pub fn offset_at(&self, time: i64) -> Result<u64> {
        let state = self.state().clone();
        // Times grow with offsets, so that the last segment that begins before `time` holds the place, or ends at it.
        let mut after = 0;
        for (index, segment) in state.segments.iter().enumerate().rev() {
            if self.first_time(*segment)?.is_some_and(|first| first < time) {
                after = index + 1;
                break;
            }
        }
        let Some(segment) = after.checked_sub(1).and_then(|index| state.segments.get(index)) else {
            return Ok(state.begin());
        };
        let path = segment::path(&self.folder, segment.base);
        let failed = |source| error::io("cannot read", &path, source);
        let file = segment::open(&path).map_err(failed)?;
        let (mut window, mut at, mut next) = (Window::default(), FILE_HEADER, segment.base);
        while at < segment.len {
            let header = segment::frame_at(&mut window, &file, at, segment.len, SKIM).map_err(failed)?;
            let Some(header) = header else {
                return Err(error::corrupt(&path, at, "there is no frame"));
            };
            if header.stored_at >= time {
                return Ok(header.base_offset);
            }
            (at, next) = (at + header.frame_len(), header.end_offset());
        }
        Ok(next)
    }

    /// Takes the oldest segments away that are older than `before` or with which the partition holds more than
    /// `max_bytes` without them; never the one written to. The caller removes the files.
    pub fn expire(&self, before: Option<i64>, max_bytes: Option<u64>) -> Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        loop {
            let (first, second, total) = {
                let state = self.state();
                let [first, second, ..] = state.segments[..] else { break };
                (first, second, state.segments.iter().map(|segment| segment.len).sum::<u64>())
            };
            // What the second begins with is not older than what the first ends with.
            let second_time = match before {
                Some(_) => self.first_time(second)?.unwrap_or_else(|| self.state().last_time),
                None => 0,
            };
            let old = before.is_some_and(|before| second_time < before);
            let large = max_bytes.is_some_and(|max| total - first.len >= max);
            if !old && !large {
                break;
            }
            self.state().segments.retain(|segment| segment.base != first.base);
            paths.push(segment::path(&self.folder, first.base));
        }
        Ok(paths)
    }

    /// Whether the segment that is written to should be ended, so that it can be removed.
    pub fn has_expired_whole(&self, before: i64) -> bool {
        let state = self.state();
        state.last_time < before && state.segments.last().is_some_and(|last| last.len > FILE_HEADER)
    }
}

/// How much is read at once where only the headers of frames are wanted.
pub(super) const SKIM: usize = 4096;
