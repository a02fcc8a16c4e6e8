//! A worker of the built binary, with a queue of its own in an empty folder, and REST on a free port.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::measure::{self, Usage};
use super::rest::Rest;
use crate::services::files;
use crate::services::process::{Process, wait_until};
use crate::{Result, run};

/// Far longer than a start takes; one that takes longer is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a worker has its queues.
pub enum Queues {
    /// In its folder.
    Embedded,
    Broker {
        url: String,
    },
}

impl Queues {
    /// The broker of the tests of that name, up; the embedded queue where there is none.
    pub fn of(broker: Option<&'static str>) -> Result<Queues> {
        let Some(name) = broker else { return Ok(Queues::Embedded) };
        let entry = super::drivers::up(name)?;
        Ok(Queues::Broker { url: format!("oms:{name}://{}:{}/default", entry.host, entry.port) })
    }
}

/// A running worker. When it is dropped the process is ended and its folder removed.
pub struct Worker {
    child: Child,
    pub rest: Rest,
    pub binary: PathBuf,
    folder: PathBuf,
    /// From the start of the process to the first answer over REST.
    pub first_answer: Duration,
}

impl Worker {
    /// Returns once it answers.
    pub fn start(binary: &Path, folder: &Path, queues: &Queues) -> Result<Worker> {
        end_orphan(folder)?;
        files::make_folder(folder)?;
        let port = free_port()?;
        let output = folder.join("output");
        let mut command = Command::new(binary);
        command.arg("worker").args(["--http-port", &port.to_string(), "--worker-id", "bench"]);
        match queues {
            Queues::Embedded => command.arg("--store-path-root-dir").arg(folder.join("queue")),
            // A group of its own: what an earlier run left in the broker is not its matter.
            Queues::Broker { url } => command.args([
                "--oms-driver-url",
                url,
                "--group",
                &format!("bench-{}-{port}", std::process::id()),
            ]),
        };
        command.arg("--log-dir").arg(folder.join("log"));
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("OMSCONNECT_") {
                command.env_remove(variable);
            }
        }
        let file = || File::options().create(true).append(true).open(&output);
        let problem = |error: std::io::Error| format!("cannot start {}: {error}", binary.display());
        command.stdin(Stdio::null()).stdout(file().map_err(problem)?).stderr(file().map_err(problem)?);
        let rest = Rest::new(port);
        let begin = Instant::now();
        let child = command.spawn().map_err(problem)?;
        note(folder, &child);
        let first_answer = Duration::ZERO;
        let mut worker = Worker { child, rest, binary: binary.into(), folder: folder.into(), first_answer };
        worker.await_answer(begin)?;
        worker.first_answer = begin.elapsed();
        Ok(worker)
    }

    /// Asks again and again, every fraction of a millisecond, since the time it takes is one of the figures.
    fn await_answer(&mut self, begin: Instant) -> Result<()> {
        while !self.rest.answers() {
            let ended =
                self.child.try_wait().map_err(|error| format!("cannot wait for the worker: {error}"))?;
            if ended.is_some() || begin.elapsed() > PATIENCE {
                let what = ended
                    .map_or("the worker does not answer".into(), |status| format!("the worker: {status}"));
                return Err(format!("{what}; it wrote:\n{}", run::tail(&self.folder.join("output"), 15)));
            }
            std::thread::sleep(Duration::from_micros(300));
        }
        Ok(())
    }

    pub fn usage(&self) -> Result<Usage> {
        measure::usage(self.child.id())
    }

    pub fn resident(&self) -> Result<u64> {
        measure::resident(self.child.id())
    }

    /// Ends it as an operator would, and fails where it fails.
    pub fn stop(mut self) -> Result<()> {
        let status = self.end().ok_or("the worker does not stop on SIGTERM")?;
        match status.success() {
            true => Ok(()),
            false => Err(format!("the worker stopped with {status}")),
        }
    }

    fn end(&mut self) -> Option<std::process::ExitStatus> {
        let ended = |child: &mut Child| child.try_wait().ok().flatten();
        if let Some(status) = ended(&mut self.child) {
            return Some(status);
        }
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        wait_until(Duration::from_secs(30), || ended(&mut self.child).is_some());
        ended(&mut self.child)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.end().is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if let Err(error) = files::remove_folder(&self.folder) {
            eprintln!("{error}");
        }
    }
}

/// Remembers the process, in case this one is killed and leaves it behind.
fn note(folder: &Path, child: &Child) {
    let process = Process::of(child.id() as i32);
    if let Some(text) = process.and_then(|process| serde_json::to_string(&process).ok()) {
        // Without it, only that help is missing.
        let _ = files::write(&folder.join("process.json"), &text);
    }
}

/// Ends the worker that a killed run left behind here, and removes what it wrote.
fn end_orphan(folder: &Path) -> Result<()> {
    let noted = std::fs::read_to_string(folder.join("process.json")).ok();
    if let Some(process) = noted.and_then(|text| serde_json::from_str::<Process>(&text).ok()) {
        process.stop()?;
    }
    files::remove_folder(folder)
}

/// A port that nobody has now.
fn free_port() -> Result<u16> {
    let bound = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    bound.map(|address| address.port()).map_err(|error| format!("there is no free port: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_was_left_behind_is_ended_with_its_folder() {
        let folder = std::env::temp_dir().join(format!("bench-orphan-{}", std::process::id()));
        files::make_folder(&folder).expect("a folder");
        let mut child = Command::new("sleep").arg("600").spawn().expect("sleep runs");
        note(&folder, &child);
        end_orphan(&folder).expect("ended");
        let status = child.wait().expect("it ends");
        assert!(!status.success() && !folder.exists());
        end_orphan(&folder).expect("nothing to do");
    }
}
