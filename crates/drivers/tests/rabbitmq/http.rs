//! The management interface, as an operator uses it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine;

/// One call as guest; answers the body.
///
/// # Panics
/// When it fails.
pub fn call(address: &str, method: &str, path: &str, body: &str) -> String {
    let credentials = base64::engine::general_purpose::STANDARD.encode("guest:guest");
    let request = format!(
        "{method} /api/{path} HTTP/1.0\r\nhost: {address}\r\nauthorization: Basic {credentials}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).expect("the management interface");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    stream.write_all(request.as_bytes()).expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).unwrap_or_default();
    assert!(status.starts_with('2'), "{method} {path}: {answer}");
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}
