//! Appending whole lines to a file, durably. All of this blocks, so it runs on a thread of its own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use openmessaging_connector::{Error, Result};
use serde::{Deserialize, Serialize};

use super::error;
use super::identity::FileId;

/// What is known of the file beyond this process: kept in the task's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub device: u64,
    pub inode: u64,
    /// Everything before this is durable, or was there before us.
    pub length: u64,
    /// Whether the task that wrote it has ended in order: then nothing behind `length` is ours.
    pub clean: bool,
}

/// What to do about a file whose last line has no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repair {
    Nothing,
    /// We wrote a part of the line, and its record comes again: the file is cut here (K5).
    Cut(u64),
    /// The line may be another's: it is kept, and ended before the first record.
    Complete,
}

/// `line`: where the last line starts. A line is taken for ours only where the file is the one of the mark, its
/// writer did not end in order, and the line starts behind what was durable.
pub(super) fn repair(id: FileId, length: u64, line: u64, mark: Option<&Mark>) -> Repair {
    let ours = mark.is_some_and(|mark| {
        let same = FileId { device: mark.device, inode: mark.inode } == id;
        same && !mark.clean && line >= mark.length
    });
    match (line == length, ours) {
        (true, _) => Repair::Nothing,
        (false, true) => Repair::Cut(line),
        (false, false) => Repair::Complete,
    }
}

/// What [`Append::write`] came to.
#[derive(Debug)]
pub(super) enum Written {
    Done,
    /// Nothing was written yet: the file is another one than before. Store its mark, then write again.
    Opened(Mark),
}

/// The writing side of the sink.
#[derive(Debug)]
pub(super) struct Append {
    path: PathBuf,
    open: Option<Open>,
    /// What the user should know, code and text, until it is told.
    pub said: Vec<(&'static str, String)>,
}

#[derive(Debug)]
struct Open {
    file: File,
    id: FileId,
    /// The last line is another's and has no end.
    complete: bool,
    /// Everything before this is durable.
    durable: u64,
    unsynced: bool,
    /// The folder does not durably know the file yet.
    new: bool,
}

impl Append {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, open: None, said: Vec::new() }
    }

    /// Opens the file, repaired by what is known of it.
    pub(super) fn open(&mut self, mark: Option<&Mark>) -> Result<Mark> {
        let (file, new) = self.make()?;
        let io = |doing: &'static str| move |path: &Path, e| error::io(doing, path, e);
        let metadata = file.metadata().map_err(|e| io("look at")(&self.path, e))?;
        let (id, mut length) = (FileId::of(&metadata), metadata.len());
        let line = last_line(&file, length).map_err(|e| io("read")(&self.path, e))?;
        let repair = repair(id, length, line, mark);
        if let Repair::Cut(at) = repair {
            file.set_len(at).map_err(|e| io("cut")(&self.path, e))?;
            let name = self.path.display();
            let bytes = length - at;
            self.said.push((
                "file.torn_line_cut",
                format!("the last {bytes} bytes of {name} were half a record of a task that was killed: they are cut \
                         off, and the record comes again"),
            ));
            length = at;
        }
        let complete = repair == Repair::Complete;
        self.open = Some(Open { file, id, complete, durable: length, unsynced: false, new });
        Ok(Mark { device: id.device, inode: id.inode, length, clean: false })
    }

    fn make(&self) -> Result<(File, bool)> {
        let existing = match fs::metadata(&self.path) {
            Ok(metadata) if !metadata.is_file() => return Err(error::not_a_file(&self.path)),
            Ok(_) => true,
            Err(e) if e.kind() == io::ErrorKind::NotFound => false,
            Err(e) => return Err(error::io("look at", &self.path, e)),
        };
        let file = OpenOptions::new().read(true).append(true).create(true).open(&self.path);
        Ok((file.map_err(|e| error::io("open", &self.path, e))?, !existing))
    }

    /// Appends lines. On an error nothing of them is in the file.
    pub(super) fn write(&mut self, lines: &[u8]) -> Result<Written> {
        if !self.is_current()? {
            return self.reopen().map(Written::Opened);
        }
        let Some(open) = &mut self.open else { return Err(closed()) };
        let io = |e| error::io("write to", &self.path, e);
        let before = open.file.metadata().map_err(io)?.len();
        let mut written = 0;
        let end: &[u8] = if open.complete { b"\n" } else { b"" };
        open.unsynced = true;
        let done = write_all(&mut open.file, end, &mut written)
            .and_then(|()| write_all(&mut open.file, lines, &mut written));
        if let Err(e) = done {
            // What was written of it is taken back, unless somebody else has written behind it.
            if open.file.metadata().is_ok_and(|metadata| metadata.len() == before + written) {
                open.file.set_len(before).map_err(io)?;
            }
            return Err(io(e));
        }
        open.complete = false;
        Ok(Written::Done)
    }

    /// Makes everything written durable (K4). `None`: it was already.
    pub(super) fn sync(&mut self) -> Result<Option<Mark>> {
        if self.open.as_ref().is_none_or(|open| !open.unsynced && !open.new) {
            return Ok(None);
        }
        // A file that was deleted with records in it that nothing else has: they are written to a new one.
        if !self.is_current()? {
            self.reopen()?;
        }
        let Some(open) = &mut self.open else { return Err(closed()) };
        open.file.sync_data().map_err(|e| unsynced(&self.path, e))?;
        if open.new {
            sync_folder(&self.path).map_err(|e| unsynced(&self.path, e))?;
        }
        let length = open.file.metadata().map_err(|e| error::io("look at", &self.path, e))?.len();
        (open.unsynced, open.new, open.durable) = (false, false, length);
        Ok(Some(Mark { device: open.id.device, inode: open.id.inode, length, clean: false }))
    }

    /// The mark of an orderly end, where everything is durable.
    pub(super) fn close(&mut self) -> Option<Mark> {
        let open = self.open.take().filter(|open| !open.unsynced)?;
        Some(Mark { device: open.id.device, inode: open.id.inode, length: open.durable, clean: true })
    }

    /// Whether the open file still has its name.
    fn is_current(&self) -> Result<bool> {
        let Some(open) = &self.open else { return Ok(false) };
        match fs::metadata(&self.path) {
            Ok(metadata) => Ok(FileId::of(&metadata) == open.id),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(error::io("look at", &self.path, e)),
        }
    }

    /// A renamed file is finished, a deleted one saved: then the file of the name is opened, which is another.
    fn reopen(&mut self) -> Result<Mark> {
        let Some(mut old) = self.open.take() else { return self.open(None) };
        let mark = match self.open(None) {
            Ok(mark) => mark,
            Err(error) => {
                self.open = Some(old);
                return Err(error);
            }
        };
        let saved = match old.file.metadata() {
            Ok(metadata) if metadata.nlink() > 0 => old.file.sync_data().map_err(|e| unsynced(&self.path, e)),
            Ok(metadata) if metadata.len() > old.durable => self.save(&mut old),
            Ok(_) => Ok(()),
            Err(e) => Err(error::io("look at", &self.path, e)),
        };
        if let Err(error) = saved {
            self.open = Some(old);
            return Err(error);
        }
        Ok(mark)
    }

    /// Copies what is not durable yet out of a deleted file into the open one.
    fn save(&mut self, old: &mut Open) -> Result<()> {
        let Some(open) = &mut self.open else { return Err(closed()) };
        let io = |e| error::io("write to", &self.path, e);
        let before = open.file.metadata().map_err(io)?.len();
        open.unsynced = true;
        let mut copy = |open: &mut Open| {
            if std::mem::take(&mut open.complete) {
                open.file.write_all(b"\n")?;
            }
            old.file.seek(SeekFrom::Start(old.durable))?;
            io::copy(&mut old.file, &mut open.file)
        };
        if let Err(e) = copy(open) {
            open.file.set_len(before).map_err(io)?;
            return Err(io(e));
        }
        let name = self.path.display();
        self.said
            .push(("file.deleted", format!("{name} was deleted: it is made anew, with the last records")));
        Ok(())
    }
}

fn write_all(file: &mut File, mut bytes: &[u8], written: &mut u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                *written += count as u64;
                bytes = &bytes[count..];
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Where the last line starts: behind the last line feed.
fn last_line(file: &File, length: u64) -> io::Result<u64> {
    const STEP: u64 = 64 << 10;
    let mut upto = length;
    let mut bytes = vec![0; STEP.min(length) as usize];
    while upto > 0 {
        let from = upto.saturating_sub(STEP);
        let chunk = &mut bytes[..(upto - from) as usize];
        file.read_exact_at(chunk, from)?;
        if let Some(at) = memchr::memrchr(b'\n', chunk) {
            return Ok(from + at as u64 + 1);
        }
        upto = from;
    }
    Ok(0)
}

/// A new file survives the machine only when its folder's entry does.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// After a failed fsync the kernel may have dropped what it could not write, and the next one would succeed: so the
/// task ends, and what was not committed comes again.
fn unsynced(path: &Path, error: io::Error) -> Error {
    Error::fatal("file.sync_failed", format!("cannot make {} durable: {error}", path.display()))
        .with_remedy("look at the disk, then restart the task: records that were not committed come again")
        .with_source(error)
}

fn closed() -> Error {
    Error::fatal("file.not_started", "the task is not started").with_remedy("restart the task")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_torn_line_is_cut() {
        let id = FileId { device: 1, inode: 2 };
        let mark = Mark { device: 1, inode: 2, length: 100, clean: false };
        assert_eq!(repair(id, 150, 150, Some(&mark)), Repair::Nothing);
        assert_eq!(repair(id, 150, 120, Some(&mark)), Repair::Cut(120));
        assert_eq!(repair(id, 150, 100, Some(&mark)), Repair::Cut(100));
        assert_eq!(repair(id, 150, 90, Some(&mark)), Repair::Complete);
        assert_eq!(repair(id, 150, 120, Some(&Mark { clean: true, ..mark })), Repair::Complete);
        assert_eq!(repair(id, 150, 120, Some(&Mark { inode: 3, ..mark })), Repair::Complete);
        assert_eq!(repair(id, 150, 120, None), Repair::Complete);
        assert_eq!(repair(id, 0, 0, None), Repair::Nothing);
    }
}
