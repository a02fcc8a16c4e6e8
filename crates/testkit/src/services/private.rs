//! A throwaway server of one test.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::{Kind, Server, recorded, state_file};

/// How long a server may take to answer, or to end when asked to.
const PATIENCE: Duration = Duration::from_secs(90);

/// A server of its own data, port and options, gone when dropped. It is made from the programs and the initialised data
/// folder that `cargo xtask services up` left, in a second or two.
///
/// Its folder is `target/services/private/PROCESS-NUMBER`; after a test that was killed, the next
/// `cargo xtask services up`, `down` or `cargo xtask test` ends the server and removes the folder.
pub struct PrivateServer {
    server: Server,
    folder: PathBuf,
    command: Vec<String>,
    extra_args: Vec<String>,
    child: Option<Child>,
}

impl PrivateServer {
    /// Starts a server with more options (`--gtid-mode=OFF`), which win over the usual ones, and waits until it answers.
    pub fn start(kind: Kind, extra_args: &[&str]) -> PrivateServer {
        let entry = recorded(kind.name());
        let text = |key: &str| entry[key].as_str().map(str::to_string);
        let (Some(template), Some(ca), Some(command)) =
            (text("template"), text("ca"), entry["command"].as_array())
        else {
            panic!(
                "state.json says no template, ca and command for {}; run `cargo xtask services up`",
                kind.name()
            );
        };
        let folder = new_folder();
        copy_folder(Path::new(&template), &folder.join("data"))
            .unwrap_or_else(|error| panic!("cannot copy {template} to {}: {error}", folder.display()));
        let [user, password] = ["omstest", "omstest"].map(str::to_string);
        let server = Server { kind, host: "127.0.0.1".into(), port: 0, user, password, ca: Some(ca.into()) };
        let mut instance = PrivateServer {
            server,
            folder,
            command: command.iter().filter_map(|word| word.as_str().map(str::to_string)).collect(),
            extra_args: extra_args.iter().map(|word| word.to_string()).collect(),
            child: None,
        };
        instance.start_on_a_free_port();
        instance
    }

    /// How to reach it. The same before and after a restart.
    pub fn server(&self) -> &Server {
        &self.server
    }

    pub fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// What the server logged so far.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.folder.join("server.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// An orderly stop (SIGTERM): connections are closed and data is flushed. Waits for the end.
    pub fn stop(&mut self) {
        self.signal("TERM");
        let Some(mut child) = self.child.take() else { return };
        let begin = Instant::now();
        while matches!(child.try_wait(), Ok(None)) {
            assert!(
                begin.elapsed() < PATIENCE,
                "{} does not stop; its log:\n{}",
                self.server.kind.name(),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// An end without warning (SIGKILL), as in a crash.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap_or_else(|error| panic!("cannot kill {}: {error}", self.server.kind.name()));
            child
                .wait()
                .unwrap_or_else(|error| panic!("cannot wait for {}: {error}", self.server.kind.name()));
        }
    }

    /// Starts it again on the same data and port after `stop` or `kill`, and waits until it answers.
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "stop or kill the server before it is started again");
        self.spawn();
        self.await_answer().unwrap_or_else(|problem| panic!("{problem}"));
    }

    /// As `start_again`, with other options than before.
    pub fn start_again_with(&mut self, extra_args: &[&str]) {
        self.extra_args = extra_args.iter().map(|word| word.to_string()).collect();
        self.start_again();
    }

    /// Sends a signal by its name: `STOP` makes a server that holds its connections and says nothing, `CONT` ends that.
    pub fn signal(&self, name: &str) {
        let Some(child) = &self.child else { return };
        // The shell's own `kill`: no unsafe code and no dependency.
        let line = format!("kill -{name} {}", child.id());
        let status = Command::new("sh").args(["-c", &line]).status();
        assert!(status.is_ok_and(|status| status.success()), "`{line}` failed");
    }

    /// Another process may take the port between our look and the server's: then the next one is tried.
    fn start_on_a_free_port(&mut self) {
        let mut problem = String::new();
        for _ in 0..3 {
            self.server.port = free_port();
            self.spawn();
            match self.await_answer() {
                Ok(()) => return,
                Err(error) => problem = error,
            }
            self.kill();
        }
        panic!("{problem}");
    }

    fn spawn(&mut self) {
        let log = self.folder.join("server.log");
        let open = || File::options().create(true).append(true).open(&log);
        let (out, err) = match (open(), open()) {
            (Ok(out), Ok(err)) => (out, err),
            (Err(error), _) | (_, Err(error)) => panic!("cannot write {}: {error}", log.display()),
        };
        let port = self.server.port;
        let child = Command::new(&self.command[0])
            .args(&self.command[1..])
            // Ports differ, so these ids do: servers of one test may replicate from each other.
            .args([format!("--port={port}"), format!("--server-id={port}")])
            .arg(format!("--datadir={}", self.data_dir().display()))
            .args(&self.extra_args)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn();
        self.child = Some(child.unwrap_or_else(|error| panic!("cannot start {}: {error}", self.command[0])));
    }

    fn await_answer(&mut self) -> Result<(), String> {
        let name = self.server.kind.name();
        let begin = Instant::now();
        while let Err(error) = self.server.version() {
            let ended = self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
            if ended || begin.elapsed() > PATIENCE {
                return Err(format!(
                    "the private {name} does not answer ({error}); its log:\n{}",
                    self.log()
                ));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!(
                "the private {}'s data and log are kept in {}",
                self.server.kind.name(),
                self.folder.display()
            );
        } else {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// `private/PROCESS-NUMBER` beside the state file; the process in the name tells `cargo xtask services` whose it is.
pub(crate) fn new_folder() -> PathBuf {
    let base = state_file().parent().map(|folder| folder.join("private")).unwrap_or_default();
    let folder = base.join(format!("{}-{}", std::process::id(), next_number()));
    std::fs::create_dir_all(&folder)
        .unwrap_or_else(|error| panic!("cannot make {}: {error}", folder.display()));
    folder.canonicalize().unwrap_or(folder)
}

fn next_number() -> u32 {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// A free port below the range from which the system takes the near ends of connections: it must still be free when
/// the server starts again. Every process begins to look elsewhere.
pub(crate) fn free_port() -> u16 {
    let ports = 14_000..32_000u32;
    let begin = std::process::id().wrapping_mul(7919).wrapping_add(next_number().wrapping_mul(31));
    let candidates =
        (0..2_000).map(|step| ports.start + begin.wrapping_add(step) % (ports.end - ports.start));
    candidates
        .filter_map(|port| u16::try_from(port).ok())
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .unwrap_or_else(|| panic!("no free port between {} and {}", ports.start, ports.end))
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
