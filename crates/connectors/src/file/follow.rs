//! Following a file through growth, truncation and rotation. All of this blocks, so it runs on a thread of its own.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirEntryExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use openmessaging_connector::{Error, Result};

use super::config::Source;
use super::error;
use super::identity::{FileId, Seen, Stored, render};
use super::lines::Lines;
use super::rotation::successors;

/// What one [`step`](Follow::step) came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// There are new bytes.
    Data,
    /// Nothing new.
    Nothing,
    /// Reading goes on at another place: the first one, a new file, the start of a truncated one.
    Moved,
}

/// The reading side of the source: what is open, and the lines not yet taken.
#[derive(Debug)]
pub(super) struct Follow {
    settings: Source,
    pub lines: Lines,
    open: Option<Open>,
    /// From where the next file found is read.
    stored: Option<Stored>,
    /// Where the first file was found to start.
    first: Option<Stored>,
    from_end: bool,
    rotated: Option<Instant>,
    missing_told: bool,
    /// What the user should know, code and text, until it is told.
    pub said: Vec<(&'static str, String)>,
}

#[derive(Debug)]
struct Open {
    file: File,
    id: FileId,
    path: PathBuf,
    /// The last read came to the end: what comes next may be another file's content under the same inode.
    at_end: bool,
}

impl Follow {
    pub(super) fn new(settings: Source, stored: Option<Stored>) -> Self {
        let lines = Lines::new(settings.max_line, settings.truncate);
        let from_end = settings.from_end && stored.is_none();
        Self {
            settings,
            lines,
            open: None,
            stored,
            first: None,
            from_end,
            rotated: None,
            missing_told: false,
            said: Vec::new(),
        }
    }

    /// The position at the start of the bytes at hand; `None` while there is no file.
    pub(super) fn base(&self) -> Option<(String, u64)> {
        let open = self.open.as_ref()?;
        Some((render(open.id, self.lines.seen(), self.lines.at_hand()), self.lines.seen().length))
    }

    /// Reads what is there, or finds out what happened to the file. To be called when no line is at hand.
    pub(super) fn step(&mut self) -> Result<Event> {
        let Some(open) = &mut self.open else { return self.find() };
        if self.lines.is_finished() {
            return self.go_on();
        }
        let from = self.lines.end();
        let room = self.lines.room();
        let wanted = room.len();
        let count = read_at(&open.file, room, from).map_err(|e| error::io("read", &open.path, e))?;
        let seen = self.lines.seen();
        // At the end the file may have been cut and written anew since.
        let same = if open.at_end || count == 0 {
            let now = Seen::load(&open.file, seen.length).map_err(|e| error::io("read", &open.path, e))?;
            let length = open.file.metadata().map_err(|e| error::io("look at", &open.path, e))?.len();
            now.as_ref() == Some(seen) && length >= from
        } else {
            true
        };
        if !same {
            return Ok(self.truncated());
        }
        open.at_end = count < wanted;
        self.lines.filled(count);
        if count > 0 {
            self.rotated = None;
            return Ok(Event::Data);
        }
        self.at_end()
    }

    /// Everything in the open file was read: is it still the one of that name?
    fn at_end(&mut self) -> Result<Event> {
        let Some(open) = &self.open else { return Ok(Event::Nothing) };
        match fs::metadata(&self.settings.path) {
            Ok(metadata) if FileId::of(&metadata) == open.id => {
                self.rotated = None;
                return Ok(Event::Nothing);
            }
            Ok(_) => {}
            Err(e) if is_missing(&e) => {}
            Err(e) => return Err(error::io("look at", &self.settings.path, e)),
        }
        let waited = self.rotated.get_or_insert_with(Instant::now).elapsed();
        let left_alone = open.file.metadata().and_then(|metadata| metadata.modified()).ok();
        let left_alone = left_alone.and_then(|modified| modified.elapsed().ok()).unwrap_or_default();
        if waited.max(left_alone) < self.settings.rotate_wait {
            return Ok(Event::Nothing);
        }
        self.go_on()
    }

    /// To what follows the open file, which was read to its end and has another name now, or none.
    fn go_on(&mut self) -> Result<Event> {
        let Some(open) = &self.open else { return Ok(Event::Nothing) };
        let path = &self.settings.path;
        let (old, siblings) = self.siblings(open.id)?;
        let next = old.as_ref().and_then(|old| successors(&self.name(), old, &siblings).into_iter().next());
        let next = next.map_or_else(|| path.clone(), |name| path.with_file_name(name));
        let Some((file, id)) = open_file(&next)? else {
            // It is finished only when something follows it.
            return Ok(Event::Nothing);
        };
        if id == open.id {
            return Ok(Event::Nothing);
        }
        // Written anew beside it and renamed over it, as editors do: the same bytes are not read twice.
        let seen = self.lines.seen();
        let deleted = open.file.metadata().is_ok_and(|metadata| metadata.nlink() == 0);
        if deleted && old.is_none() && seen.length > 0 {
            let now = Seen::load(&file, seen.length).map_err(|e| error::io("read", &next, e))?;
            if let Some(now) = now.filter(|now| now == seen) {
                return Ok(self.moved(file, id, next, now));
            }
        }
        if self.lines.has_rest() && !self.lines.is_finished() {
            // The rest of a file that is finished is its last line, with a line end or without.
            self.lines.finish();
            return Ok(Event::Data);
        }
        Ok(self.moved(file, id, next, Seen::default()))
    }

    /// Opens the file for the first time, or at a stored position.
    fn find(&mut self) -> Result<Event> {
        let path = self.settings.path.clone();
        let there = open_file(&path)?;
        if there.is_none() && !folder(&path).is_dir() {
            return Err(error::no_folder(&path));
        }
        let Some(stored) = self.stored.clone() else {
            let Some((file, id)) = there else { return Ok(self.missing()) };
            let seen = self.first_seen(&file).map_err(|e| error::io("read", &path, e))?;
            self.first =
                Some(Stored { base: seen.length, offset: seen.length, id: Some(id), fingerprint: None });
            return Ok(self.moved(file, id, path, seen));
        };
        let io = |e| error::io("read", &path, e);
        let resume = |file: &File| Seen::load(file, stored.offset).map(Option::unwrap_or_default);
        let there = match there {
            Some((file, id)) if stored.id.is_none_or(|stored| stored == id) => {
                let fits = stored.fits(&file).map_err(io)?;
                let seen = if fits { resume(&file).map_err(io)? } else { Seen::default() };
                if !fits {
                    self.tell_truncated();
                }
                return Ok(self.moved(file, id, path, seen));
            }
            other => other,
        };
        if let Some((file, id, renamed)) = self.renamed(&stored)? {
            let seen = resume(&file).map_err(io)?;
            return Ok(self.moved(file, id, renamed, seen));
        }
        let Some((file, id)) = there else { return Ok(self.missing()) };
        if stored.offset > 0 && stored.fingerprint.is_some() && stored.fits(&file).map_err(io)? {
            let seen = resume(&file).map_err(io)?;
            return Ok(self.moved(file, id, path, seen));
        }
        let name = path.display();
        self.said.push((
            "file.rotated_away",
            format!("{name} is another file now, and the one read last is not in its folder: lines behind its byte {} \
                     may be missing. Keep rotated files uncompressed until they are read", stored.offset),
        ));
        Ok(self.moved(file, id, path, Seen::default()))
    }

    /// The file of a stored position under the name it has now.
    fn renamed(&self, stored: &Stored) -> Result<Option<(File, FileId, PathBuf)>> {
        let Some(id) = stored.id else { return Ok(None) };
        let (Some(name), _) = self.siblings(id)? else { return Ok(None) };
        let path = self.settings.path.with_file_name(name);
        let Some((file, found)) = open_file(&path)? else { return Ok(None) };
        let fits = found == id && stored.fits(&file).map_err(|e| error::io("read", &path, e))?;
        Ok(fits.then_some((file, found, path)))
    }

    fn first_seen(&mut self, file: &File) -> io::Result<Seen> {
        if !std::mem::take(&mut self.from_end) {
            return Ok(Seen::default());
        }
        let start = last_line_start(file, self.settings.max_line as u64)?;
        Ok(Seen::load(file, start)?.unwrap_or_default())
    }

    fn moved(&mut self, file: File, id: FileId, path: PathBuf, seen: Seen) -> Event {
        self.lines.reset(seen);
        self.open = Some(Open { file, id, path, at_end: false });
        self.stored = None;
        self.rotated = None;
        self.missing_told = false;
        Event::Moved
    }

    fn truncated(&mut self) -> Event {
        self.tell_truncated();
        self.lines.reset(Seen::default());
        if let Some(open) = &mut self.open {
            open.at_end = false;
        }
        Event::Moved
    }

    fn tell_truncated(&mut self) {
        let name = self.settings.path.display();
        let text = format!("{name} was truncated or written anew: it is read from its start");
        self.said.push(("file.truncated", text));
    }

    fn missing(&mut self) -> Event {
        // A file that comes from now on is new, and read from its start.
        self.from_end = false;
        if !std::mem::replace(&mut self.missing_told, true) {
            let name = self.settings.path.display();
            self.said.push(("file.missing", format!("{name} does not exist: it is waited for")));
        }
        Event::Nothing
    }

    fn name(&self) -> String {
        self.settings.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The files whose names start with this one's, and among them the name of the file `id`.
    fn siblings(&self, id: FileId) -> Result<(Option<String>, Vec<String>)> {
        let folder = folder(&self.settings.path);
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(e) if is_missing(&e) => return Ok((None, Vec::new())),
            Err(e) => return Err(error::io("list", folder, e)),
        };
        let (mut own, mut names, prefix) = (None, Vec::new(), self.name());
        for entry in entries.flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            // A number is unique within its device alone; the file is opened and looked at before it is trusted.
            if entry.ino() == id.inode {
                own = Some(name.clone());
            }
            if name.starts_with(&prefix) {
                names.push(name);
            }
        }
        Ok((own, names))
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The file of that name; `None` where there is none.
fn open_file(path: &Path) -> Result<Option<(File, FileId)>> {
    let look = || {
        // Opening a pipe would wait for its other end, so it is looked at first.
        if !fs::metadata(path)?.is_file() {
            return Ok(None);
        }
        let file = File::open(path)?;
        let id = FileId::of(&file.metadata()?);
        Ok(Some((file, id)))
    };
    match look() {
        Ok(Some(found)) => Ok(Some(found)),
        Ok(None) => Err(error::not_a_file(path)),
        Err(e) if is_missing(&e) => Ok(None),
        Err(e) => Err(error::io("open", path, e)),
    }
}

fn read_at(file: &File, room: &mut [u8], from: u64) -> io::Result<usize> {
    loop {
        match file.read_at(room, from) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Behind the last line feed, looked for in the last `most` bytes; the end where there is none.
fn last_line_start(file: &File, most: u64) -> io::Result<u64> {
    const STEP: u64 = 64 << 10;
    let length = file.metadata()?.len();
    let lowest = length.saturating_sub(most);
    let mut upto = length;
    let mut bytes = vec![0; STEP as usize];
    while upto > lowest {
        let from = upto.saturating_sub(STEP).max(lowest);
        let chunk = &mut bytes[..(upto - from) as usize];
        file.read_exact_at(chunk, from)?;
        if let Some(at) = memchr::memrchr(b'\n', chunk) {
            return Ok(from + at as u64 + 1);
        }
        upto = from;
    }
    Ok(if lowest == 0 { 0 } else { length })
}

/// What a folder or file that cannot be read says, before any task is started; a file that is not there is none.
pub(super) fn check(path: &Path) -> Option<Error> {
    match open_file(path) {
        Ok(Some(_)) => None,
        Ok(None) if folder(path).is_dir() => None,
        Ok(None) => Some(error::no_folder(path)),
        Err(error) => Some(error),
    }
}
