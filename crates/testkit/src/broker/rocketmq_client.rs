//! RocketMQ's own Java client.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::rocketmq as launch;
use crate::server::Foreign;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

fn encoded(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(|| "-".to_owned(), |bytes| STANDARD.encode(bytes))
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    (text != "-").then(|| STANDARD.decode(text).expect("base64"))
}

/// Runs `Foreign.java`, and answers the lines that it prints.
fn run(home: &Path, arguments: &[&str], input: &str) -> Vec<String> {
    run_with(home, &[], arguments, input)
}

fn run_with(home: &Path, options: &[&str], arguments: &[&str], input: &str) -> Vec<String> {
    let java = launch::java(home, false);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/broker/Foreign.java");
    let mut child = Command::new(&java[0])
        .args(&java[1..])
        .args(options)
        .arg(source)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("java");
    child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("it ends");
    let (out, problem) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "RocketMQ's own client failed: {problem}\n{out}");
    out.lines().map(str::to_owned).collect()
}

pub fn write(home: &Path, names: &str, broker: &str, topic: &str, messages: &[Foreign]) {
    write_compressed(home, names, broker, topic, messages, "ZLIB");
}

/// The same, what is larger than 4 KiB compressed in this way: `ZLIB`, `LZ4` or `ZSTD`.
pub fn write_compressed(
    home: &Path,
    names: &str,
    broker: &str,
    topic: &str,
    messages: &[Foreign],
    kind: &str,
) {
    let line =
        |message: &Foreign| format!("{} {}\n", encoded(message.key.as_deref()), encoded(Some(&message.body)));
    let input: String = messages.iter().map(line).collect();
    let option = format!("-Drocketmq.message.compressType={kind}");
    let lines = run_with(home, &[&option], &["write", names, broker, topic], &input);
    assert!(lines.iter().any(|line| line == "written"), "{lines:?}");
}

pub fn read(home: &Path, names: &str, topic: &str, count: usize) -> Vec<Foreign> {
    let lines = run(home, &["read", names, topic, &count.to_string()], "");
    let parts = lines.iter().filter_map(|line| line.strip_prefix("message ")?.split_once(' '));
    parts.map(|(key, body)| Foreign { key: decoded(key), body: decoded(body).unwrap_or_default() }).collect()
}

/// What its client says of the properties of so many messages: `{name=value, ...}`.
pub fn properties(home: &Path, names: &str, topic: &str, count: usize) -> Vec<String> {
    let lines = run(home, &["read", names, topic, &count.to_string()], "");
    lines.iter().filter_map(|line| line.strip_prefix("properties ").map(str::to_owned)).collect()
}

/// Has the broker remove what is older than its retention, now.
pub fn expire(home: &Path, names: &str, broker: &str) {
    let lines = run(home, &["expire", names, broker], "");
    assert!(lines.iter().any(|line| line == "expired true"), "{lines:?}");
}

/// A user without any right.
pub fn make_user(home: &Path, names: &str, broker: &str, user: &str, password: &str) {
    let (admin, secret) = launch::ADMIN;
    let lines = run(home, &["user", names, broker, admin, secret, user, password], "");
    assert!(lines.iter().any(|line| line == "created"), "{lines:?}");
}
