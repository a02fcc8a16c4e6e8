//! What a process costs: CPU time and peak memory, as the kernel counts them.

use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use crate::Result;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// User and system time of all threads, without that of children.
    pub cpu: Duration,
    /// The most resident memory so far, in bytes.
    pub peak: u64,
}

/// A program from its start to its end.
pub struct Measured {
    pub wall: Duration,
    pub usage: Usage,
    pub status: ExitStatus,
}

/// Runs a program to its end. Its memory is looked at every few milliseconds, since the kernel forgets it at the end;
/// its CPU time is read between its end and the moment when its parent takes notice.
pub fn run(command: &mut Command) -> Result<Measured> {
    let name = command.get_program().to_string_lossy().into_owned();
    let problem = |error: &dyn std::fmt::Display| format!("cannot run {name}: {error}");
    let begin = Instant::now();
    let mut child = command.spawn().map_err(|error| problem(&error))?;
    let mut peak = 0;
    let ended = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | WaitPidFlag::WNOHANG;
    let pid = Pid::from_raw(child.id() as i32);
    while waitid(Id::Pid(pid), ended).map_err(|error| problem(&error))?.pid().is_none() {
        let status = proc_file(child.id(), "status").unwrap_or_default();
        peak = peak_memory(&status).unwrap_or(0).max(peak);
        std::thread::sleep(Duration::from_millis(5));
    }
    let wall = begin.elapsed();
    let cpu = cpu_time(&proc_file(child.id(), "stat")?).unwrap_or_default();
    let status = child.wait().map_err(|error| problem(&error))?;
    Ok(Measured { wall, usage: Usage { cpu, peak }, status })
}

/// What a running process has cost since its start.
pub fn usage(pid: u32) -> Result<Usage> {
    let odd = || format!("the kernel's files about process {pid} are not as expected");
    let cpu = cpu_time(&proc_file(pid, "stat")?).ok_or_else(odd)?;
    let peak = peak_memory(&proc_file(pid, "status")?).ok_or_else(odd)?;
    Ok(Usage { cpu, peak })
}

/// The memory that a running process has now, in bytes.
pub fn resident(pid: u32) -> Result<u64> {
    let status = proc_file(pid, "status")?;
    memory(&status, "VmRSS:").ok_or_else(|| format!("process {pid} has ended"))
}

fn proc_file(pid: u32, name: &str) -> Result<String> {
    std::fs::read_to_string(format!("/proc/{pid}/{name}"))
        .map_err(|error| format!("process {pid} has ended ({error})"))
}

/// Fields 14 and 15 of `/proc/PID/stat`, in hundredths of a second on every Linux.
fn cpu_time(stat: &str) -> Option<Duration> {
    let after_name = &stat[stat.rfind(')')? + 1..];
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 10))
}

fn peak_memory(status: &str) -> Option<u64> {
    memory(status, "VmHWM:")
}

/// A line of `/proc/PID/status`, in bytes.
fn memory(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read() {
        let stat = "9 (a b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0";
        assert_eq!(cpu_time(stat), Some(Duration::from_secs(2)));
        assert_eq!(peak_memory("Name:\ta\nVmHWM:\t    2048 kB\n"), Some(2 * 1024 * 1024));
        assert_eq!(peak_memory("Name:\ta\nState:\tZ\n"), None);
        assert_eq!(memory("VmHWM:\t 3 kB\nVmRSS:\t 2 kB\n", "VmRSS:"), Some(2048));
    }

    #[test]
    fn a_running_process_is_measured() {
        let me = usage(std::process::id()).expect("this process is in /proc");
        let now = resident(std::process::id()).expect("this process is in /proc");
        assert!(me.peak > 100_000 && now > 100_000 && now <= me.peak + 1_000_000, "{me:?} {now}");
    }

    #[test]
    fn a_child_is_measured() {
        let measured =
            run(Command::new("sh").args(["-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"]));
        let measured = measured.expect("sh runs");
        assert!(measured.status.success());
        assert!(measured.usage.cpu >= Duration::from_millis(20), "{:?}", measured.usage);
        assert!(measured.usage.cpu <= measured.wall + Duration::from_millis(20), "{:?}", measured.usage);
        assert!(measured.usage.peak > 100_000, "{:?}", measured.usage);
    }
}
