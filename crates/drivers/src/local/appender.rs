//! Writes frames to the files of one partition, and takes them back when the group they belong to fails.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use openmessaging::{Message, Result};

use super::error;
use super::frame::{FrameBuilder, Packer, Stamp};
use super::log::{PartitionLog, Segment};
use super::segment::{self, FILE_HEADER};

/// Where writing goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// The file written to; `None` before the first.
    segment: Option<(u64, u64)>,
    next: u64,
    last_time: i64,
}

pub(super) struct Appender {
    pub log: Arc<PartitionLog>,
    segment_bytes: u64,
    file: Option<File>,
    place: Place,
    /// Bytes of the file that were synced.
    synced: u64,
    /// Where the group began; `None` between groups.
    start: Option<Place>,
    /// The files written to in this group.
    written: Vec<Segment>,
    builder: FrameBuilder,
}

/// What all appenders of a thread share.
pub(super) struct Tools {
    pub packer: Packer,
    pub out: Vec<u8>,
    pub compress: bool,
    /// Milliseconds since the epoch.
    pub now: i64,
    /// Builders not in use.
    builders: Vec<FrameBuilder>,
}

/// As many builders are kept.
const SPARE_BUILDERS: usize = 4;

impl Tools {
    pub fn new(compress: bool) -> Self {
        Self { packer: Packer::new(), out: Vec::new(), compress, now: 0, builders: Vec::new() }
    }
}

impl Appender {
    pub fn new(log: Arc<PartitionLog>, segment_bytes: u64) -> Self {
        let place = {
            let state = log.state();
            let segment = state.segments.last().map(|last| (last.base, last.len));
            Place { segment, next: state.end, last_time: state.last_time }
        };
        let synced = place.segment.map_or(0, |(_, len)| len);
        let builder = FrameBuilder::default();
        Self { log, segment_bytes, file: None, place, synced, start: None, written: Vec::new(), builder }
    }

    /// Makes ready for a group. Says whether this is the first call in it.
    pub fn begin(&mut self, tools: &mut Tools) -> Result<bool> {
        if self.start.is_some() {
            return Ok(false);
        }
        self.log.check_writable()?;
        self.start = Some(self.place);
        self.builder = tools.builders.pop().unwrap_or_default();
        Ok(true)
    }

    /// Adds a message; writes a frame when there is one.
    pub fn push(&mut self, message: &Message<'_>, tools: &mut Tools) -> Result<()> {
        self.builder.push(message);
        if self.builder.is_full() { self.flush(tools) } else { Ok(()) }
    }

    /// Writes what is gathered.
    pub fn flush(&mut self, tools: &mut Tools) -> Result<()> {
        let count = self.builder.count();
        if count == 0 {
            return Ok(());
        }
        self.place.last_time = self.place.last_time.max(tools.now);
        let stamp = Stamp {
            base_offset: self.place.next,
            stored_at: self.place.last_time,
            durable: self.synced,
            compress: tools.compress,
        };
        tools.out.clear();
        self.builder.seal(stamp, &mut tools.packer, &mut tools.out);
        let (base, len) = self.room_for(tools.out.len() as u64)?;
        let path = segment::path(&self.log.folder, base);
        let wrote = self.file(&path)?.write_all_at(&tools.out, len);
        wrote.map_err(|cause| error::io("cannot write", &path, cause))?;
        tools.out.shrink_to(4 * super::frame::FRAME_BYTES);
        self.place.next += u64::from(count);
        self.set_len(base, len + tools.out.len() as u64);
        Ok(())
    }

    fn set_len(&mut self, base: u64, len: u64) {
        self.place.segment = Some((base, len));
        match self.written.last_mut().filter(|last| last.base == base) {
            Some(last) => last.len = len,
            None => self.written.push(Segment::new(base, len)),
        }
    }

    /// The file to write so many bytes to: a new one where the last would grow too large.
    fn room_for(&mut self, bytes: u64) -> Result<(u64, u64)> {
        match self.place.segment {
            Some((base, len)) if len <= FILE_HEADER || len + bytes <= self.segment_bytes => Ok((base, len)),
            _ => self.roll(),
        }
    }

    /// Begins a new file. The old one is synced: only the last file of a partition can have a torn end.
    pub fn roll(&mut self) -> Result<(u64, u64)> {
        if let Some((base, len)) = self.place.segment.filter(|(base, _)| *base == self.place.next) {
            return Ok((base, len));
        }
        self.sync()?;
        self.file = None;
        let (base, folder) = (self.place.next, self.log.folder.clone());
        let failed = |cause| error::io("cannot create a file in", &folder, cause);
        if self.place.segment.is_none() {
            create_folders(&folder).map_err(failed)?;
        }
        let path = segment::path(&folder, base);
        // Noted before it is there, so that a failure half-way removes it.
        self.set_len(base, FILE_HEADER);
        self.synced = 0;
        let file = segment::create(&path, base, self.place.last_time).map_err(failed)?;
        segment::sync_folder(&folder).map_err(failed)?;
        self.file = Some(file);
        Ok((base, FILE_HEADER))
    }

    fn file(&mut self, path: &Path) -> Result<&File> {
        let file = match self.file.take() {
            Some(file) => file,
            None => segment::open(path).map_err(|cause| error::io("cannot open", path, cause))?,
        };
        Ok(self.file.insert(file))
    }

    /// Whether there is anything to sync.
    pub fn is_dirty(&self) -> bool {
        self.file.is_some() && self.place.segment.is_some_and(|(_, len)| len > self.synced)
    }

    /// Makes durable what was written. When that fails the partition takes nothing more: the kernel may have dropped
    /// what it could not write, and a second try would succeed without it.
    pub fn sync(&mut self) -> Result<()> {
        let (Some(file), Some((base, len))) = (&self.file, self.place.segment) else { return Ok(()) };
        if len > self.synced {
            let path = segment::path(&self.log.folder, base);
            if let Err(cause) = sync_data(file, &path) {
                let mut error = error::io("cannot sync", &path, cause);
                error.retriable = Some(false);
                self.log.break_off(&error);
                return Err(error);
            }
            self.synced = len;
        }
        Ok(())
    }

    /// Gives up the file handle, after a [`sync`](Self::sync).
    pub fn close_file(&mut self) {
        self.file = None;
    }

    /// Ends the group: what it wrote is durable, and readers may have it.
    pub fn commit(&mut self, tools: &mut Tools) {
        self.log.publish(&self.written, self.place.next, self.place.last_time);
        self.end_group(tools);
    }

    /// Ends the group: nothing it wrote stays.
    pub fn roll_back(&mut self, tools: &mut Tools) {
        if let Some(start) = self.start
            && self.log.check_writable().is_ok()
            && let Err(cause) = self.undo(start)
        {
            let error = error::io("cannot take back a write in", &self.log.folder, cause);
            self.log.break_off(&error);
        }
        self.end_group(tools);
    }

    fn undo(&mut self, start: Place) -> io::Result<()> {
        self.file = None;
        for segment in &self.written {
            let path = segment::path(&self.log.folder, segment.base);
            match start.segment {
                Some((base, len)) if base == segment.base => segment::open(&path)?.set_len(len)?,
                _ => remove_if_there(&path)?,
            }
        }
        self.place = start;
        self.synced = start.segment.map_or(0, |(_, len)| len);
        Ok(())
    }

    fn end_group(&mut self, tools: &mut Tools) {
        self.start = None;
        self.written.clear();
        let mut builder = std::mem::take(&mut self.builder);
        builder.clear();
        if tools.builders.len() < SPARE_BUILDERS {
            tools.builders.push(builder);
        }
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause),
        _ => Ok(()),
    }
}

/// Creates `queues/<queue>/<partition>`, durably.
fn create_folders(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    folder.ancestors().skip(1).take(2).try_for_each(segment::sync_folder)
}

#[cfg(not(test))]
fn sync_data(file: &File, _path: &Path) -> io::Result<()> {
    file.sync_data()
}

/// A disk that fails cannot be had in every test run: the fault is made here.
#[cfg(test)]
fn sync_data(file: &File, path: &Path) -> io::Result<()> {
    let fails = super::log::lock(&FAILING).as_ref().is_some_and(|folder| path.starts_with(folder));
    if fails { Err(io::Error::from_raw_os_error(nix::libc::EIO)) } else { file.sync_data() }
}

/// The folder below which syncing fails.
#[cfg(test)]
pub(super) static FAILING: std::sync::Mutex<Option<std::path::PathBuf>> = std::sync::Mutex::new(None);
