//! A disk without room: a small file system in memory, mounted where only this test's process sees it.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use openmessaging::{
    ConsumerOptions, Error, MessageBatch, MessagingAccessPoint, ProducerOptions, QueuePartition, QueueSpec,
    StartAt, StatusCode,
};
use testkit::child;

use crate::fixture::connect;

const TEST: &str = "disk_full::a_full_disk_refuses_and_goes_on";

/// Bytes that cannot be compressed.
fn noise(number: u64, length: usize) -> Vec<u8> {
    let mut state = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let next = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    });
    number.to_le_bytes().into_iter().chain(next.take(length)).collect()
}

fn batch(queue: &Arc<str>, numbers: std::ops::Range<u64>) -> MessageBatch {
    let mut batch = MessageBatch::new();
    for number in numbers {
        batch.start().finish(queue, Some((number % 2) as u32), 1, Some(&noise(number, 3000)));
    }
    batch
}

fn assert_full(error: &Error, folder: &Path) {
    let text = error.to_string();
    assert_eq!(error.status, StatusCode::Full, "{text}");
    assert!(error.is_retriable() && error.remedy.is_some(), "{text}");
    assert!(text.contains(&folder.display().to_string()), "{text}");
}

async fn read(point: &dyn MessagingAccessPoint) -> Vec<Vec<u64>> {
    let mut all = Vec::new();
    for partition in 0..2 {
        let mut consumer = point.pull_consumer(ConsumerOptions::default()).await.expect("a consumer");
        let place = QueuePartition::new("q", partition);
        consumer.assign(&[(place, StartAt::Begin)]).await.expect("assigned");
        let mut numbers = Vec::new();
        while let Some(batch) = consumer.poll(1 << 20, Duration::ZERO).await.expect("polled") {
            for message in batch.messages.iter() {
                let body = message.body.expect("a body");
                let number = u64::from_le_bytes(body[..8].try_into().expect("a number"));
                assert!(body == noise(number, 3000), "message {number} is torn");
                numbers.push(number);
            }
        }
        all.push(numbers);
    }
    all
}

async fn fill(folder: &Path) {
    let ballast = folder.join("ballast");
    std::fs::write(&ballast, noise(0, 3 << 20)).expect("there is room at first");
    let broker = folder.join("broker");
    let point = connect(&broker, &[("segment.bytes", "262144")]).await.expect("opened");
    point.resources().create_queue(&QueueSpec::new("q", 2)).await.expect("created");
    let queue: Arc<str> = "q".into();
    let store = point.key_value_store("s").await.expect("a store");
    store.put("before", b"1").await.expect("put");
    let mut producer = point.producer(ProducerOptions::default()).await.expect("a producer");
    let (mut next, mut acknowledged) = (0, 0);
    let failed = loop {
        assert!(next < 100_000, "the disk never fills");
        let sends: Vec<_> = (0..4)
            .map(|step| producer.send(batch(&queue, next + step * 10..next + step * 10 + 10)))
            .collect();
        next += 40;
        let mut failed: Option<Error> = None;
        for send in sends {
            let report = send.await;
            match (report.error, &failed) {
                (None, None) => acknowledged += report.batch.len() as u64,
                (None, Some(_)) => panic!("a batch overtook one that failed"),
                (Some(error), None) => {
                    acknowledged += report.acknowledged.prefix() as u64;
                    failed = Some(error);
                }
                (Some(error), Some(_)) => assert_eq!(error.status, StatusCode::Aborted, "{error}"),
            }
        }
        if let Some(error) = failed {
            break error;
        }
    };
    assert_full(&failed, &broker);
    assert!(acknowledged > 100, "only {acknowledged} fitted");
    // Nothing is torn, nothing is there that was refused; readers go on.
    let expected = |end: u64| {
        [0, 1].map(|partition| (0..end).filter(|number| number % 2 == partition).collect::<Vec<_>>()).to_vec()
    };
    assert_eq!(read(&*point).await, expected(acknowledged));
    // Again and again the same answer.
    for _ in 0..3 {
        producer.recover().await.expect("recovered");
        let report = producer.send(batch(&queue, acknowledged..acknowledged + 1000)).await;
        assert_full(&report.error.expect("still full"), &broker);
    }
    // The key/value operations meet the same end sooner or later, and lose nothing either.
    let mut kept = 0;
    let error = loop {
        assert!(kept < 10_000, "the disk never fills");
        match store.put(&format!("k{kept}"), &noise(kept, 60_000)).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    assert_full(&error, &broker);
    assert!(store.get("before").await.expect("asked").is_some_and(|before| before.value == b"1"));
    for key in 0..kept {
        let value = store.get(&format!("k{key}")).await.expect("asked").expect("kept").value;
        assert!(value == noise(key, 60_000), "k{key}");
    }

    std::fs::remove_file(&ballast).expect("room is made");
    producer.recover().await.expect("recovered");
    let report = producer.send(batch(&queue, acknowledged..acknowledged + 200)).await;
    assert!(report.error.is_none(), "it goes on when there is room: {report:?}");
    store.put("after", b"2").await.expect("it goes on when there is room");
    assert_eq!(read(&*point).await, expected(acknowledged + 200));
    point.close().await.expect("closed");
    let again = connect(&broker, &[]).await.expect("opened again");
    assert_eq!(read(&*again).await, expected(acknowledged + 200));
    let store = again.key_value_store("s").await.expect("a store");
    assert!(store.get("after").await.expect("asked").is_some());
    again.close().await.expect("closed");
}

#[test]
fn a_full_disk_refuses_and_goes_on() {
    if let Some(folder) = child::role("full") {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=9m", "none", &folder]).status();
        assert!(mounted.expect("mount").success(), "a small file system can be mounted");
        return testkit::block_on(fill(Path::new(&folder)));
    }
    let root = tempfile::TempDir::new().expect("a folder");
    let mut command = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let binary = std::env::current_exe().expect("the path of this test binary");
    command.arg("--mount").arg("--").arg(binary).args(["--exact", TEST, "--nocapture"]);
    command.env("OMS_TEST_ROLE", "full").env("OMS_TEST_ARGUMENT", root.path());
    let output = command.output().expect("unshare (of util-linux) starts the test in a mount namespace");
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&text));
}
