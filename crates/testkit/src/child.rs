//! Tests that need a process of their own: to be killed, or to be measured alone.
//!
//! A test starts itself again: the test binary is run with only that test, and an environment variable tells the copy
//! what to do.
//!
//! ```text
//! #[test]
//! fn survives_a_kill() {
//!     if let Some(folder) = child::role("writer") {
//!         return write_forever(&folder);
//!     }
//!     let mut child = child::spawn("survives_a_kill", "writer", "/some/folder");
//!     child.kill();
//! }
//! ```

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

const ROLE: &str = "OMS_TEST_ROLE";
const ARGUMENT: &str = "OMS_TEST_ARGUMENT";

/// The argument, where this process was started by [`spawn`] for that role.
pub fn role(role: &str) -> Option<String> {
    (std::env::var(ROLE).ok()? == role).then(|| std::env::var(ARGUMENT).unwrap_or_default())
}

/// A copy of this test binary. It is killed (SIGKILL) and reaped when dropped.
#[derive(Debug)]
pub struct Copy(Child);

/// Starts this test binary again with the one test of that full name (`module::test`).
pub fn spawn(test: &str, role: &str, argument: &str) -> Copy {
    let binary = std::env::current_exe().expect("the path of this test binary");
    let child = Command::new(binary)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(ARGUMENT, argument)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("a copy of this test binary");
    Copy(child)
}

impl Copy {
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// SIGKILL, and waits until the process is gone.
    pub fn kill(&mut self) {
        // An error means that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        self.0.wait().expect("the copy's exit status")
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs the calling test in a process of its own: `true` in that process, which goes on with the test; `false` in the
/// first one, after the copy has passed.
///
/// # Panics
/// When the copy fails.
pub fn alone() -> bool {
    let thread = std::thread::current();
    // With one test thread tests run on the main thread, one after the other: the process is ours already.
    let Some(test) = thread.name().filter(|name| *name != "main") else { return true };
    if role("alone").is_some() {
        return true;
    }
    let status = spawn(test, "alone", "").wait();
    assert!(status.success(), "{test} failed in its own process: {status}");
    false
}

/// Runs a copy of this test binary, with the one test of that name, with a small file system mounted at `folder`, which
/// is the copy's argument. The mount is in a namespace of its own (`unshare`), so no other process sees it, and the copy
/// may mount there as well.
///
/// # Panics
/// When the copy fails, or may not mount.
pub fn mounted(test: &str, role: &str, folder: &Path, size: &str) {
    let binary = std::env::current_exe().expect("the path of this test binary");
    let script =
        r#"mount -t tmpfs -o "size=$1" none "$2" && exec "$3" --exact "$4" --nocapture --test-threads=1"#;
    let done = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", size])
        .args([folder, &binary])
        .arg(test)
        .env(ROLE, role)
        .env(ARGUMENT, folder)
        .output()
        .expect("unshare");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(done.status.success(), "{test} in its namespace: {}{}", text(&done.stdout), text(&done.stderr));
}

/// Resident memory of this process in bytes.
pub fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("/proc/self/statm");
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("resident pages");
    pages * 4096
}

/// What this process holds open: the targets of its file descriptors, paths of files and numbers of sockets and pipes.
pub fn open() -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/proc/self/fd").expect("/proc/self/fd");
    entries.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok()).collect()
}

/// The files below a folder that it holds open.
pub fn open_below(folder: &Path) -> Vec<String> {
    let targets = open().into_iter().filter(|target| target.starts_with(folder));
    targets.map(|target| target.display().to_string()).collect()
}

/// The threads of this process by name (the kernel cuts names to 15 bytes).
pub fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("/proc/self/task");
    let names = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.map(|name| name.trim_end().to_owned()).collect()
}
