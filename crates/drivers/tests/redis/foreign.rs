//! Redis's own client, `redis-cli`.

use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

use testkit::services::recorded;

use testkit::broker::redis::cli;

pub struct Tool {
    program: PathBuf,
    port: u16,
    password: String,
}

impl Tool {
    pub fn new(port: u16, password: &str) -> Self {
        let program = recorded("redis")["more"]["redis-cli"].as_str().expect("a program").into();
        Self { program, port, password: password.to_owned() }
    }

    /// Runs one command and gives what it printed.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output =
            cli(&self.program, self.port, &self.password).args(arguments).output().expect("redis-cli runs");
        let text = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        assert!(output.status.success() && !text.starts_with("ERR"), "{arguments:?}: {text}");
        text
    }

    /// Runs a command whose parts may be any bytes.
    pub fn run_bytes(&self, parts: &[&[u8]]) {
        let mut command = cli(&self.program, self.port, &self.password);
        let mut child = command
            .arg("--pipe")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-cli runs");
        let mut bytes = format!("*{}\r\n", parts.len()).into_bytes();
        for part in parts {
            bytes.extend(format!("${}\r\n", part.len()).into_bytes());
            bytes.extend_from_slice(part);
            bytes.extend_from_slice(b"\r\n");
        }
        child.stdin.take().expect("its input").write_all(&bytes).expect("written");
        assert!(child.wait().expect("it ends").success());
    }

    /// Runs a command whose answer is JSON.
    pub fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let text = self.run(&[&["--json"], arguments].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}
