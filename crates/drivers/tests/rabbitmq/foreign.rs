//! Another client of RabbitMQ: pika, of Python (Debian package python3-pika).

use std::io::Write;
use std::process::{Command, Stdio};

use testkit::server::Foreign;

use crate::fixture::Queues;

/// Arguments: what to do, port, queue, type of queue, count. Messages as JSON: key and body as text.
const SCRIPT: &str = r#"
import json, sys
import pika

what, port, queue, kind, count = sys.argv[1:6]
connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", int(port)))
channel = connection.channel()
if what == "write":
    channel.queue_declare(queue, durable=True, arguments={"x-queue-type": kind})
    channel.confirm_delivery()
    for message in json.load(sys.stdin):
        headers = {"x-oms-key": message["key"]} if message["key"] is not None else {}
        properties = pika.BasicProperties(delivery_mode=2, headers=headers)
        channel.basic_publish("", queue, message["body"].encode(), properties, mandatory=True)
else:
    channel.basic_qos(prefetch_count=100)
    arguments = {"x-stream-offset": "first"} if kind == "stream" else {}
    found = []
    for method, properties, body in channel.consume(queue, arguments=arguments, inactivity_timeout=10):
        if method is None:
            sys.exit("nothing more comes")
        channel.basic_ack(method.delivery_tag)
        key = (properties.headers or {}).get("x-oms-key")
        key = key.decode() if isinstance(key, bytes) else key
        found.append({"key": key, "body": body.decode()})
        if len(found) == int(count):
            break
    channel.cancel()
    print(json.dumps(found))
connection.close()
"#;

fn run(what: &str, port: u16, queue: &str, queues: Queues, count: usize, input: &str) -> String {
    let mut child = Command::new("/usr/bin/python3")
        .args(["-c", SCRIPT, what, &port.to_string(), queue, queues.name(), &count.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3 of Debian");
    child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("ended");
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "pika, to {what}: {problem}");
    String::from_utf8(output.stdout).expect("text")
}

pub fn write(port: u16, queue: &str, queues: Queues, messages: &[Foreign]) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let all: Vec<_> = messages
        .iter()
        .map(|message| {
            serde_json::json!({"key": message.key.as_deref().map(text), "body": text(&message.body)})
        })
        .collect();
    run("write", port, queue, queues, all.len(), &serde_json::to_string(&all).expect("JSON"));
}

pub fn read(port: u16, queue: &str, queues: Queues, count: usize) -> Vec<Foreign> {
    let found = run("read", port, queue, queues, count, "");
    let found: Vec<serde_json::Value> = serde_json::from_str(&found).expect("JSON");
    let bytes = |value: &serde_json::Value| value.as_str().map(|text| text.as_bytes().to_vec());
    found
        .iter()
        .map(|message| Foreign {
            key: bytes(&message["key"]),
            body: bytes(&message["body"]).unwrap_or_default(),
        })
        .collect()
}
