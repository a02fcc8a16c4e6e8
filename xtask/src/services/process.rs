//! Server processes: started so that they outlive this one, recognised again later, ended politely.
//!
//! A process is named by its id *and* the time it started: ids are used again, so an id alone could end a stranger.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::{Result, run};

/// How long a server may take to end after SIGTERM before it is killed.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub pid: i32,
    /// Start time in clock ticks since boot, field 22 of `/proc/PID/stat`.
    pub started: u64,
}

impl Process {
    /// The process that has this id now.
    pub fn of(pid: i32) -> Option<Process> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        start_time(&stat).map(|started| Process { pid, started })
    }

    pub fn is_alive(&self) -> bool {
        Process::of(self.pid) == Some(*self)
    }

    /// SIGTERM, wait, and SIGKILL only where that is not heeded. Nothing happens to a process that is gone already.
    pub fn stop(&self) -> Result<()> {
        for (signal, patience) in [(Signal::SIGTERM, PATIENCE), (Signal::SIGKILL, Duration::from_secs(10))] {
            if !self.is_alive() {
                return Ok(());
            }
            kill(Pid::from_raw(self.pid), signal)
                .map_err(|error| format!("cannot end process {}: {error}", self.pid))?;
            if wait_until(patience, || !self.is_alive()) {
                return Ok(());
            }
        }
        Err(format!("process {} does not end", self.pid))
    }
}

/// Starts a server in a process group of its own, so that Ctrl-C in this terminal is not meant for it.
pub fn spawn(command: &mut Command, log: &Path) -> Result<Process> {
    use std::os::unix::process::CommandExt;
    let name = command.get_program().to_string_lossy().into_owned();
    let child = run::append_to(command, log)?
        .process_group(0)
        .spawn()
        .map_err(|error| format!("cannot start {name}: {error}"))?;
    Process::of(child.id() as i32)
        .ok_or_else(|| format!("{name} ended at once; the end of {}:\n{}", log.display(), run::tail(log, 15)))
}

pub fn wait_until(patience: Duration, mut done: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < patience {
        if done() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    done()
}

/// The start time in a `/proc/PID/stat` line; none for a zombie, which is dead to everyone but its parent.
fn start_time(stat: &str) -> Option<u64> {
    // The second field is the program's name in brackets and may itself hold spaces and brackets.
    let after_name = &stat[stat.rfind(')')? + 1..];
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    let state = *fields.first()?;
    if state == "Z" || state == "X" {
        return None;
    }
    fields.get(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_is_field_22_whatever_the_name_holds() {
        let rest = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(start_time(&format!("9 (a) b) S {rest}")), Some(4711));
        assert_eq!(start_time(&format!("9 (a) Z {rest}")), None);
        assert_eq!(start_time("nonsense"), None);
    }

    #[test]
    fn a_process_is_not_another_with_the_same_id() {
        let me = Process::of(std::process::id() as i32).expect("this process is in /proc");
        assert!(me.is_alive());
        assert!(!Process { started: me.started + 1, ..me }.is_alive());
        Process { started: me.started + 1, ..me }.stop().expect("a stranger is left alone");
    }
}
