//! The real program in a home of its own, and a few words of HTTP.

// Each test program uses its own part of this.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Nothing in these tests takes longer.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A home folder, which goes away with the test.
pub struct Home(TempDir);

impl Home {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A path in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file in it and gives its path.
    pub fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.file(name), text).expect(name);
        self.file(name).display().to_string()
    }

    /// `omsconnect` with these arguments, in this home and without settings from outside.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_omsconnect"));
        let ours = std::env::vars_os()
            .map(|(name, _)| name)
            .filter(|name| name.to_string_lossy().starts_with("OMSCONNECT_"));
        for name in ours {
            command.env_remove(name);
        }
        command
            .args(arguments)
            .current_dir(self.path())
            .env("HOME", self.path())
            .env("TMPDIR", self.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.command(arguments).output().expect("omsconnect"))
    }

    /// A worker on a free port, with these arguments more. Its queue is `connectorStore` in this home.
    pub fn worker(&self, arguments: &[&str]) -> Worker {
        Worker::start(self.worker_command(arguments))
    }

    /// The same, not started.
    pub fn worker_command(&self, arguments: &[&str]) -> Command {
        self.command(&[&["worker", "--http-port", "0"], arguments].concat())
    }

    /// The access point of the worker's queue.
    pub fn driver_url(&self) -> String {
        format!("oms:local://{}", self.file("connectorStore").display())
    }
}

/// What a command ended with.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    pub fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Asserts that it ended well, and gives its output.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// Asserts that it failed with that code and that all of `parts` are in the error.
    #[track_caller]
    pub fn fails(self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is not in {}", self.err);
        }
    }

    #[track_caller]
    pub fn json(self) -> Value {
        let text = self.ok();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
    }

    /// One JSON value a line.
    #[track_caller]
    pub fn json_lines(self) -> Vec<Value> {
        self.ok().lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }
}

/// A process whose output is read as it comes. Killed and reaped when dropped.
pub struct Process {
    child: Child,
    lines: mpsc::Receiver<String>,
    errors: mpsc::Receiver<String>,
}

impl Process {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("omsconnect");
        let lines = lines_of(child.stdout.take().expect("piped"));
        let errors = lines_of(child.stderr.take().expect("piped"));
        Self { child, lines, errors }
    }

    /// The next line of standard output that holds `part`.
    #[track_caller]
    pub fn line(&self, part: &str) -> String {
        let started = Instant::now();
        let mut seen = String::new();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE.saturating_sub(started.elapsed())) {
            if line.contains(part) {
                return line;
            }
            seen = format!("{seen}{line}\n");
        }
        let errors: String = self.errors.try_iter().collect::<Vec<_>>().join("\n");
        panic!("no line with {part:?} came; there was:\n{seen}\nand on standard error:\n{errors}");
    }

    /// What has been written and not been looked at yet.
    pub fn errors(&self) -> String {
        self.errors.iter().collect::<Vec<_>>().join("\n")
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status();
        assert!(sent.expect("kill").success());
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        until("the process ended", || self.child.try_wait().expect("its status"))
    }

    /// SIGTERM, and its end.
    #[track_caller]
    pub fn stop(&mut self) {
        self.signal("TERM");
        assert_eq!(self.wait().code(), Some(0), "{}", self.errors());
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn lines_of(stream: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    receive
}

/// A worker that said that it is up.
pub struct Worker {
    pub process: Process,
    /// `http://127.0.0.1:PORT`
    pub url: String,
}

impl Worker {
    #[track_caller]
    pub fn start(command: Command) -> Self {
        let process = Process::start(command);
        process.line("boot success.");
        let url = process.line("REST API: ").trim_start_matches("REST API: ").to_owned();
        Self { process, url }
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> (u16, String) {
        request(&self.url, "GET", path, "")
    }

    #[track_caller]
    pub fn get_json(&self, path: &str) -> Value {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error} in {body}"))
    }

    /// Creates a connector and waits until it runs.
    #[track_caller]
    pub fn create(&self, name: &str, config: &Value) {
        let body = serde_json::json!({"name": name, "config": config}).to_string();
        let (status, answer) = request(&self.url, "POST", "/connectors", &body);
        assert_eq!(status, 201, "{answer}");
        self.runs(name);
    }

    #[track_caller]
    pub fn runs(&self, name: &str) {
        let mut last = String::new();
        until_or(
            || {
                let (status, body) = self.get(&format!("/connectors/{name}/status"));
                last = body;
                let status: Value =
                    if status == 200 { serde_json::from_str(&last).ok()? } else { return None };
                let tasks = status["tasks"].as_array()?;
                assert!(!last.contains("FAILED"), "{last}");
                let running = |state: &Value| state["state"] == "RUNNING";
                (running(&status["connector"]) && !tasks.is_empty() && tasks.iter().all(running))
                    .then_some(())
            },
            || format!("connector {name} runs"),
        );
    }

    /// A file source into `queue`, which has sent these lines.
    #[track_caller]
    pub fn lines(&self, home: &Home, queue: &str, lines: &[&str]) {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let file = home.write(&format!("{queue}.txt"), &text);
        let config = serde_json::json!({
            "connector.class": "FileStreamSource", "file": file, "topic": queue, "value.converter": "StringConverter",
        });
        self.create(&format!("lines-{queue}"), &config);
        until_or(
            || {
                let (status, body) = self.get(&format!("/queues/{queue}"));
                let queue: Value =
                    if status == 200 { serde_json::from_str(&body).ok()? } else { return None };
                (queue["partitions"][0]["end"] == lines.len()).then_some(())
            },
            || format!("{} lines are in {queue}", lines.len()),
        );
    }

    /// SIGTERM, and its end.
    #[track_caller]
    pub fn stop(mut self) {
        self.process.stop();
    }
}

/// Asks every 10 ms until there is an answer.
#[track_caller]
pub fn until<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    until_or(ask, || what.to_owned())
}

#[track_caller]
fn until_or<T>(mut ask: impl FnMut() -> Option<T>, what: impl Fn() -> String) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "not within {} s: {}", PATIENCE.as_secs(), what());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// One request, as HTTP/1.0 so that the answer ends with the connection.
#[track_caller]
pub fn request(url: &str, method: &str, path: &str, body: &str) -> (u16, String) {
    let address = url.strip_prefix("http://").expect("a URL");
    let mut stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{url}: {error}"));
    stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\n{kind}Content-Length: {length}\r\n\r\n");
    stream.write_all(format!("{head}{body}").as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, body.to_owned())
}

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}
