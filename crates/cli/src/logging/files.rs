//! `omsconnect.log`, set aside as `omsconnect.log.1` when it is full, and so on; the oldest is removed. By size and not
//! by day, so that a worker that has much to say does not fill the disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const NAME: &str = "omsconnect.log";

/// Writes lines to the current file.
pub struct RotatingFiles {
    path: PathBuf,
    file: File,
    size: u64,
    max_bytes: u64,
    files: usize,
}

impl RotatingFiles {
    /// Makes the folder where it is missing, and goes on with the file that is there.
    pub fn open(folder: &Path, max_bytes: u64, files: usize) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let path = folder.join(NAME);
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let size = file.metadata()?.len();
        Ok(Self { path, file, size, max_bytes, files })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn set_aside(&mut self) -> io::Result<()> {
        let number = |n: usize| self.path.with_file_name(format!("{NAME}.{n}"));
        let kept = self.files.saturating_sub(1);
        if kept == 0 {
            self.file.set_len(0)?;
            self.size = 0;
            return Ok(());
        }
        for n in (1..kept).rev() {
            match fs::rename(number(n), number(n + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, number(1))?;
        self.file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        self.size = 0;
        Ok(())
    }
}

impl Write for RotatingFiles {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.size > 0 && self.size + bytes.len() as u64 > self.max_bytes {
            self.set_aside()?;
        }
        let written = self.file.write(bytes)?;
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .expect("the folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn neither_size_nor_number_grows() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = RotatingFiles::open(folder.path(), 10, 3).expect("opened");
        for line in 0..9 {
            log.write_all(format!("line {line}\n").as_bytes()).expect("written");
        }
        assert_eq!(names(folder.path()), ["omsconnect.log", "omsconnect.log.1", "omsconnect.log.2"]);
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).expect(name);
        assert_eq!(read("omsconnect.log"), "line 8\n");
        assert_eq!(read("omsconnect.log.2"), "line 6\n");
    }

    #[test]
    fn a_restart_goes_on_with_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        for line in ["a\n", "b\n"] {
            RotatingFiles::open(folder.path(), 100, 2)
                .expect("opened")
                .write_all(line.as_bytes())
                .expect("written");
        }
        assert_eq!(fs::read_to_string(folder.path().join(NAME)).expect("the log"), "a\nb\n");
    }

    #[test]
    fn one_file_alone_is_begun_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = RotatingFiles::open(folder.path(), 4, 1).expect("opened");
        log.write_all(b"aaa\n").expect("written");
        log.write_all(b"bb\n").expect("written");
        assert_eq!(names(folder.path()), ["omsconnect.log"]);
        assert_eq!(fs::read_to_string(folder.path().join(NAME)).expect("the log"), "bb\n");
    }
}
