//! Kafka's own tools.

use std::io::Write;
use std::process::{Command, Stdio};

use testkit::server::Foreign;

pub struct Tools {
    pub jars: String,
    pub address: String,
}

/// What stands for no key.
const NO_KEY: &str = "(no key)";

impl Tools {
    fn java(&self, class: &str) -> Command {
        let mut java = self.start();
        java.arg(class).args(["--bootstrap-server", &self.address]);
        java
    }

    fn start(&self) -> Command {
        testkit::broker::kafka::java(&self.jars, "128m")
    }

    /// `kafka-console-producer`: a line for each message.
    pub fn write(&self, queue: &str, messages: &[Foreign]) {
        let mut producer = self
            .java("org.apache.kafka.tools.ConsoleProducer")
            .args(["--topic", queue, "--property", "parse.key=true", "--property", "key.separator=\t"])
            .args(["--property", &format!("null.marker={NO_KEY}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("java");
        let mut input = producer.stdin.take().expect("its input");
        for Foreign { key, body } in messages {
            input.write_all(key.as_deref().unwrap_or(NO_KEY.as_bytes())).expect("written");
            input.write_all(b"\t").expect("written");
            input.write_all(body).expect("written");
            input.write_all(b"\n").expect("written");
        }
        drop(input);
        let output = producer.wait_with_output().expect("ended");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains("ERROR"), "kafka-console-producer: {said}");
    }

    /// `kafka-console-consumer`, from the oldest message on.
    pub fn read(&self, queue: &str, count: usize) -> Vec<Foreign> {
        let output = self
            .java("org.apache.kafka.tools.consumer.ConsoleConsumer")
            .args(["--topic", queue, "--from-beginning", "--max-messages", &count.to_string()])
            .args(["--timeout-ms", "30000", "--property", "print.key=true", "--property", "key.separator=\t"])
            .stdin(Stdio::null())
            .output()
            .expect("java");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kafka-console-consumer: {said}");
        let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let message = |line: &[u8]| {
            let at = line.iter().position(|byte| *byte == b'\t').expect("a key and a body");
            let key = Some(line[..at].to_vec()).filter(|key| key != b"null");
            Foreign { key, body: line[at + 1..].to_vec() }
        };
        lines.map(message).collect()
    }

    /// Writes in transactions: `Transactions.java`.
    pub fn transactions(&self, queue: &str) {
        let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/Transactions.java");
        let output = self
            .start()
            .arg(source)
            .args([&self.address, queue])
            .stdin(Stdio::null())
            .output()
            .expect("java");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && output.stdout.starts_with(b"done"), "Transactions.java: {said}");
    }

    /// `kafka-consumer-groups --describe`: what it prints of a group.
    pub fn group(&self, group: &str) -> String {
        let output = self
            .java("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand")
            .args(["--describe", "--group", group])
            .stdin(Stdio::null())
            .output()
            .expect("java");
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    }
}
