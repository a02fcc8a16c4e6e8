//! One process owns a folder: an advisory lock on a file that says who.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use openmessaging::{Error, Result, StatusCode};
use serde::{Deserialize, Serialize};

const FILE: &str = "LOCK";

/// Held while the access point is open. The kernel lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct FolderLock {
    _lock: Flock<File>,
}

#[derive(Serialize, Deserialize)]
struct Owner {
    pid: u32,
    program: String,
    /// Milliseconds since the epoch.
    since_ms: u64,
}

impl FolderLock {
    /// # Errors
    /// `DriverFailed` naming the owner when another process has the folder.
    pub fn take(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let failed = |error: io::Error| super::access_point::unusable(folder, &error);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        match Flock::lock(file.map_err(failed)?, FlockArg::LockExclusiveNonblock) {
            Ok(mut lock) => {
                sign(&mut lock).map_err(failed)?;
                Ok(Self { _lock: lock })
            }
            Err((file, Errno::EAGAIN)) => Err(in_use(folder, file)),
            Err((_, errno)) => Err(failed(errno.into())),
        }
    }
}

fn sign(file: &mut File) -> io::Result<()> {
    let program = std::env::current_exe()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let owner = Owner {
        pid: std::process::id(),
        program: program.to_string_lossy().into_owned(),
        since_ms: now.as_millis() as u64,
    };
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(&serde_json::to_vec(&owner)?)
}

fn in_use(folder: &Path, mut file: File) -> Error {
    let mut text = String::new();
    let read = Read::by_ref(&mut file).take(4096).read_to_string(&mut text);
    let owner = read.ok().and_then(|_| serde_json::from_str::<Owner>(&text).ok());
    let who = match owner {
        Some(Owner { pid, program, since_ms }) => {
            let since = UNIX_EPOCH + Duration::from_millis(since_ms);
            let ago = SystemTime::now().duration_since(since).unwrap_or_default().as_secs();
            format!("process {pid} ({program}), since {} ({ago} s ago)", rfc3339(since_ms / 1000))
        }
        None => "another process".to_owned(),
    };
    Error::new(StatusCode::DriverFailed, format!("{} is in use by {who}", folder.display())).with_remedy(
        "only one process can use the folder: go through the worker that has it (--worker URL), or stop it",
    )
}

/// Seconds since the epoch as `2026-11-22T17:25:27Z` (days to civil date as in Howard Hinnant's `chrono` algorithms).
fn rfc3339(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year + era * 400 + carry;
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_dates() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(1_709_164_799), "2024-02-28T23:59:59Z");
        assert_eq!(rfc3339(1_709_164_800), "2024-02-29T00:00:00Z");
        assert_eq!(rfc3339(4_102_444_800), "2100-01-01T00:00:00Z");
    }
}
