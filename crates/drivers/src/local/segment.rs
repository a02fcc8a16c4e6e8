//! The files of a partition: each holds the frames from its base offset on, which is its name.
//!
//! File header, version 1, 32 bytes, little-endian: magic `OMSLOG` and the version (8 bytes), base offset, the time of
//! storing behind which the file begins (8 bytes each), CRC32C of these 24 bytes, 4 bytes reserved.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use openmessaging::{Error, Result, StatusCode};

use super::error;
use super::frame::{FrameHeader, HEADER};

pub(super) const FILE_HEADER: u64 = 32;
const MAGIC: [u8; 6] = *b"OMSLOG";
const VERSION: u16 = 1;
const SUFFIX: &str = ".log";

pub(super) fn path(folder: &Path, base: u64) -> PathBuf {
    folder.join(format!("{base:020}{SUFFIX}"))
}

/// The base offsets of the files in `folder`, in order; none where there is no folder.
pub(super) fn bases(folder: &Path) -> Result<Vec<u64>> {
    let failed = |source| error::io("cannot list", folder, source);
    let entries = match std::fs::read_dir(folder) {
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut bases = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        bases.extend(name.to_str().and_then(|name| name.strip_suffix(SUFFIX)?.parse::<u64>().ok()));
    }
    bases.sort_unstable();
    Ok(bases)
}

pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// Creates the file with its header; it is not synced. A file of that name, left by a write that failed, is emptied.
pub(super) fn create(path: &Path, base: u64, after: i64) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
    file.write_all_at(&header(base, after), 0)?;
    Ok(file)
}

fn header(base: u64, after: i64) -> [u8; FILE_HEADER as usize] {
    let mut out = [0; FILE_HEADER as usize];
    out[..6].copy_from_slice(&MAGIC);
    out[6..8].copy_from_slice(&VERSION.to_le_bytes());
    out[8..16].copy_from_slice(&base.to_le_bytes());
    out[16..24].copy_from_slice(&after.to_le_bytes());
    let crc = crc32c::crc32c(&out[..24]);
    out[24..28].copy_from_slice(&crc.to_le_bytes());
    out
}

/// The time in the header of the file at `path` whose base is `base`.
fn check_header(path: &Path, bytes: &[u8], base: u64) -> Result<i64> {
    let damaged = |why| error::corrupt(path, 0, why);
    let bytes: &[u8; FILE_HEADER as usize] =
        bytes.first_chunk().ok_or_else(|| damaged("the file is too short"))?;
    if bytes[..6] != MAGIC {
        return Err(damaged("this is no file of messages"));
    }
    let version = u16::from_le_bytes([bytes[6], bytes[7]]);
    if version != VERSION {
        let message = format!("{} has format {version}; this program knows 1 to {VERSION}", path.display());
        return Err(Error::new(StatusCode::UnsupportedVersion, message)
            .with_remedy("use the version of the program that wrote it, or a newer one"));
    }
    let mut after = [0; 8];
    after.copy_from_slice(&bytes[16..24]);
    let after = i64::from_le_bytes(after);
    if *bytes != header(base, after) {
        return Err(damaged("the file's header does not match its checksum or its name"));
    }
    Ok(after)
}

/// A part of a file in memory, read in chunks and reused.
#[derive(Debug, Default)]
pub(super) struct Window {
    bytes: Vec<u8>,
    at: u64,
}

impl Window {
    /// `length` bytes at `at`, with which up to `chunk` bytes, but none from `limit` on, are read; `None` where they
    /// would reach over `limit`.
    pub fn get(
        &mut self,
        file: &File,
        at: u64,
        length: usize,
        limit: u64,
        chunk: usize,
    ) -> io::Result<Option<&[u8]>> {
        if at.saturating_add(length as u64) > limit {
            return Ok(None);
        }
        let inside = at >= self.at && at + length as u64 <= self.at + self.bytes.len() as u64;
        if !inside {
            let wanted = (length.max(chunk) as u64).min(limit - at) as usize;
            // What was read of another place must not be found when this read fails.
            self.forget();
            self.bytes.shrink_to(wanted.max(4 * chunk));
            self.bytes.resize(wanted, 0);
            if let Err(source) = file.read_exact_at(&mut self.bytes, at) {
                self.forget();
                return Err(source);
            }
            self.at = at;
        }
        let start = (at - self.at) as usize;
        Ok(Some(&self.bytes[start..start + length]))
    }

    pub fn forget(&mut self) {
        self.bytes.clear();
    }
}

/// The header of the frame at `at`, if a whole one is there.
pub(super) fn frame_at(
    window: &mut Window,
    file: &File,
    at: u64,
    limit: u64,
    chunk: usize,
) -> io::Result<Option<FrameHeader>> {
    let header = window.get(file, at, HEADER, limit, chunk)?.and_then(FrameHeader::parse);
    Ok(header.filter(|header| at.saturating_add(header.frame_len()) <= limit))
}

/// How much of a partition was synced at some time, as far as is known from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Checkpoint {
    /// The last file.
    pub base: u64,
    /// Its length.
    pub len: u64,
    /// The offset of the next message.
    pub end: u64,
    /// When the last message was stored.
    pub last_time: i64,
}

/// Finds the end of the last file of a partition, and cuts off what a kill left half written behind it.
///
/// # Errors
/// `Corrupt` where bytes that had been synced are damaged: nothing is cut then.
pub(super) fn recover(path: &Path, base: u64, checkpoint: Option<Checkpoint>) -> Result<Checkpoint> {
    let failed = |source| error::io("cannot read", path, source);
    let file = open(path).map_err(failed)?;
    let len = file.metadata().map_err(failed)?.len();
    let known = checkpoint.filter(|checkpoint| checkpoint.base == base);
    if let Some(known) = known.filter(|known| len < known.len) {
        let why = format!("{} bytes had been written, but the file ends here", known.len);
        return Err(error::corrupt(path, len, why));
    }
    let mut window = Window::default();
    let head = window.get(&file, 0, FILE_HEADER as usize, len, 0).map_err(failed)?;
    let after = match check_header(path, head.unwrap_or_default(), base) {
        Ok(after) => after,
        Err(damage) => {
            // Killed while the file was made: nothing in it was acknowledged, its name says where it begins, and the
            // time is that of the file before.
            let unfinished = damage.status == StatusCode::Corrupt && known.is_none();
            if !unfinished || holds_messages(&file, base, len, &mut window).map_err(failed)? {
                return Err(damage);
            }
            let after = checkpoint.map_or(0, |checkpoint| checkpoint.last_time);
            let made = create(path, base, after).and_then(|file| file.sync_data());
            made.map_err(|source| error::io("cannot write", path, source))?;
            return Ok(Checkpoint { base, len: FILE_HEADER, end: base, last_time: after });
        }
    };
    let start = Checkpoint { base, len: FILE_HEADER, end: base, last_time: after };
    let good = scan(&file, known.unwrap_or(start), len, &mut window).map_err(failed)?;
    if good.len < len {
        if let Some(durable) = durable_behind(&file, good.len, len, &mut window).map_err(failed)? {
            let why =
                format!("{durable} bytes had been written and synced, and this is not what was written");
            return Err(error::corrupt(path, good.len, why));
        }
        tracing::warn!(file = %path.display(), at = good.len, bytes = len - good.len, "cut off a write that was not finished");
        file.set_len(good.len).map_err(|source| error::io("cannot cut", path, source))?;
    }
    if known != Some(good) || good.len < len {
        // A process that was killed may have left bytes that the disk does not have yet.
        file.sync_data().map_err(|source| error::io("cannot sync", path, source))?;
    }
    Ok(good)
}

/// Goes over intact frames from `from`.
fn scan(file: &File, from: Checkpoint, limit: u64, window: &mut Window) -> io::Result<Checkpoint> {
    const CHUNK: usize = 1024 * 1024;
    let mut good = from;
    while let Some(header) = frame_at(window, file, good.len, limit, CHUNK)? {
        let payload = window.get(file, good.len + HEADER as u64, header.stored_len as usize, limit, CHUNK)?;
        if header.base_offset != good.end || !payload.is_some_and(|payload| header.is_intact(payload)) {
            break;
        }
        good.len += header.frame_len();
        good.end = header.end_offset();
        good.last_time = header.stored_at;
    }
    Ok(good)
}

/// Whether a file without a header has messages all the same.
fn holds_messages(file: &File, base: u64, limit: u64, window: &mut Window) -> io::Result<bool> {
    let first = frame_at(window, file, FILE_HEADER, limit, 0)?;
    Ok(first.is_some_and(|first| first.base_offset == base)
        || durable_behind(file, 0, limit, window)?.is_some())
}

/// Whether a frame behind `at` says that the bytes at `at` had been synced; how many had.
fn durable_behind(file: &File, at: u64, limit: u64, window: &mut Window) -> io::Result<Option<u64>> {
    const CHUNK: usize = 1024 * 1024;
    let mut from = at + 1;
    while from < limit {
        let length = (limit - from).min(CHUNK as u64) as usize;
        let Some(bytes) = window.get(file, from, length, limit, CHUNK)? else { break };
        let headers = bytes.windows(HEADER).filter_map(FrameHeader::parse);
        if let Some(header) = headers.into_iter().find(|header| header.durable > at) {
            return Ok(Some(header.durable));
        }
        // A header may lie across the border.
        from += (length.saturating_sub(HEADER - 1)).max(1) as u64;
    }
    Ok(None)
}

/// Makes a file that was created or renamed in `folder` durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
