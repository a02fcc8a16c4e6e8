//! Files that are torn or damaged.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use openmessaging::{
    ConsumerOptions, Error, MessageBatch, MessagingAccessPoint, ProducerOptions, PullConsumer,
    QueuePartition, QueueSpec, Result, StartAt, StatusCode,
};

use crate::fixture::{connect, copy};

const COUNT: usize = 40;

async fn open(folder: &Path) -> Arc<dyn MessagingAccessPoint> {
    connect(folder, &[("compression", "none")]).await.expect("opened")
}

fn text(number: usize) -> String {
    format!("message {number:05} {}", "-".repeat(number * 13 % 200))
}

async fn send(point: &dyn MessagingAccessPoint, numbers: impl Iterator<Item = usize>) {
    let mut producer = point.producer(ProducerOptions::default()).await.expect("a producer");
    for number in numbers {
        let mut batch = MessageBatch::new();
        batch.start().finish(&"q".into(), Some(0), 1, Some(text(number).as_bytes()));
        let report = producer.send(batch).await;
        assert!(report.error.is_none(), "{report:?}");
    }
}

/// A broker with one queue of [`COUNT`] messages, each in a frame of its own.
async fn filled(folder: &Path) -> Arc<dyn MessagingAccessPoint> {
    let point = open(folder).await;
    point.resources().create_queue(&QueueSpec::new("q", 1)).await.expect("created");
    send(&*point, 0..COUNT).await;
    point
}

/// The folder as a kill right after the last message would leave it: without a checkpoint.
async fn killed(root: &Path) -> PathBuf {
    let (live, copied) = (root.join("live"), root.join("killed"));
    let point = filled(&live).await;
    copy(&live, &copied);
    point.close().await.expect("closed");
    copied
}

fn log_of(folder: &Path) -> PathBuf {
    folder.join("queues/q.1/0/00000000000000000000.log")
}

async fn consumer(point: &dyn MessagingAccessPoint, from: StartAt) -> Result<Box<dyn PullConsumer>> {
    let mut consumer = point.pull_consumer(ConsumerOptions::default()).await?;
    consumer.assign(&[(QueuePartition::new("q", 0), from)]).await?;
    Ok(consumer)
}

/// What can be read, and how it ended.
async fn read(point: &dyn MessagingAccessPoint, from: StartAt) -> (Vec<String>, Option<Error>) {
    let mut consumer = match consumer(point, from).await {
        Ok(consumer) => consumer,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut got = Vec::new();
    loop {
        match consumer.poll(1000, Duration::ZERO).await {
            Ok(Some(batch)) => got.extend(
                batch
                    .messages
                    .iter()
                    .map(|m| String::from_utf8_lossy(m.body.unwrap_or_default()).into_owned()),
            ),
            Ok(None) => return (got, None),
            Err(error) => return (got, Some(error)),
        }
    }
}

fn expected(count: usize) -> Vec<String> {
    (0..count).map(text).collect()
}

/// Cut anywhere, a file that was never checkpointed gives the whole messages before the cut, and takes new ones.
#[test]
fn a_torn_tail_is_cut_off() {
    let root = tempfile::TempDir::new().expect("a folder");
    testkit::block_on(async {
        let live = killed(root.path()).await;
        let length = std::fs::metadata(log_of(&live)).expect("there").len();
        for (case, cut) in (0..length).rev().step_by(211).chain([0, 10, 32, 33, length - 1]).enumerate() {
            let torn = root.path().join(format!("torn-{case}"));
            copy(&live, &torn);
            let file = OpenOptions::new().write(true).open(log_of(&torn)).expect("opened");
            file.set_len(cut).expect("cut");
            if case % 2 == 0 {
                // What the disk had not written yet may be anything.
                file.write_all_at(&vec![0xa5; case * 17], cut).expect("written");
            }
            let again = open(&torn).await;
            let (got, error) = read(&*again, StartAt::Begin).await;
            assert!(error.is_none(), "cut at {cut}: {error:?}");
            assert!(got.len() < COUNT && got == expected(got.len()), "cut at {cut}: {got:?}");
            send(&*again, got.len()..COUNT + 3).await;
            again.close().await.expect("closed");
            let again = open(&torn).await;
            assert_eq!(read(&*again, StartAt::Begin).await.0, expected(COUNT + 3), "cut at {cut}");
            again.close().await.expect("closed");
        }
    });
}

fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).expect("opened");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("read");
    file.write_all_at(&[byte[0] ^ 0x40], at).expect("written");
}

fn assert_corrupt(error: Option<Error>, path: &Path) -> u64 {
    let error = error.expect("damage is not passed over in silence");
    let text = error.to_string();
    assert_eq!(error.status, StatusCode::Corrupt, "{text}");
    assert!(text.contains(&path.display().to_string()) && error.remedy.is_some(), "{text}");
    assert!(!error.is_retriable(), "{text}");
    let at = text.split("at byte ").nth(1).and_then(|rest| rest.split(':').next()?.parse().ok());
    at.unwrap_or_else(|| panic!("no place: {text}"))
}

/// After an orderly end: what is before the damage can be read, then the error names file and place, and what is behind
/// can be sought.
#[test]
fn damage_in_the_middle_is_named() {
    let root = tempfile::TempDir::new().expect("a folder");
    testkit::block_on(async {
        let folder = root.path().join("broker");
        filled(&folder).await.close().await.expect("closed");
        let length = std::fs::metadata(log_of(&folder)).expect("there").len();
        flip(&log_of(&folder), length / 2);
        let point = open(&folder).await;
        let (got, error) = read(&*point, StartAt::Begin).await;
        assert!(!got.is_empty() && got.len() < COUNT && got == expected(got.len()), "{}", got.len());
        let at = assert_corrupt(error, &log_of(&folder));
        assert!(at <= length / 2 && at > length / 2 - 400, "{at} is not where the damage is");
        let end = point.resources().describe_queue("q").await.expect("described").partitions[0].end;
        assert_eq!(end, COUNT as u64, "nothing was cut");
        send(&*point, COUNT..COUNT + 1).await;
        let mut behind = consumer(&*point, StartAt::End).await.expect("a consumer");
        send(&*point, COUNT + 1..COUNT + 2).await;
        let batch = behind.poll(1000, Duration::from_secs(5)).await;
        assert!(batch.is_ok_and(|batch| batch.is_some()), "what is new can be read");
        let (rest, error) = read(&*point, StartAt::Offset(got.len() as u64 + 1)).await;
        assert!(
            error.is_none() && rest.len() == COUNT + 1 - got.len(),
            "what is behind can be sought: {error:?}"
        );
        point.close().await.expect("closed");
    });
}

/// After a kill, with no checkpoint: damage before bytes that were synced is no torn write.
#[test]
fn damage_before_synced_bytes_is_not_cut_off() {
    let root = tempfile::TempDir::new().expect("a folder");
    testkit::block_on(async {
        let live = killed(root.path()).await;
        let length = std::fs::metadata(log_of(&live)).expect("there").len();
        for (case, at) in [40, 100, length / 3, length / 2].into_iter().enumerate() {
            let damaged = root.path().join(format!("damaged-{case}"));
            copy(&live, &damaged);
            flip(&log_of(&damaged), at);
            let again = open(&damaged).await;
            let (got, error) = read(&*again, StartAt::Begin).await;
            assert!(got.is_empty());
            assert!(assert_corrupt(error, &log_of(&damaged)) <= at);
            let described = again.resources().describe_queue("q").await.map(|_| ());
            assert_corrupt(described.err(), &log_of(&damaged));
            let mut producer = again.producer(ProducerOptions::default()).await.expect("a producer");
            let mut batch = MessageBatch::new();
            batch.start().finish(&"q".into(), Some(0), 1, Some(b"x"));
            assert_corrupt(producer.send(batch).await.error, &log_of(&damaged));
            // Other queues go on.
            again.resources().create_queue(&QueueSpec::new("other", 1)).await.expect("created");
            again.close().await.expect("closed");
            let now = std::fs::metadata(log_of(&damaged)).expect("there").len();
            assert_eq!(now, length, "nothing was cut");
        }
    });
}

/// After an orderly end it is known how long the file was.
#[test]
fn a_file_that_lost_bytes_is_named() {
    let root = tempfile::TempDir::new().expect("a folder");
    testkit::block_on(async {
        let folder = root.path().join("broker");
        filled(&folder).await.close().await.expect("closed");
        let length = std::fs::metadata(log_of(&folder)).expect("there").len();
        let file = OpenOptions::new().write(true).open(log_of(&folder)).expect("opened");
        file.set_len(length - 5).expect("cut");
        let point = open(&folder).await;
        assert_eq!(assert_corrupt(read(&*point, StartAt::Begin).await.1, &log_of(&folder)), length - 5);
        point.close().await.expect("closed");
        std::fs::remove_file(log_of(&folder)).expect("removed");
        let point = open(&folder).await;
        assert_corrupt(read(&*point, StartAt::Begin).await.1, &log_of(&folder));
        point.close().await.expect("closed");
    });
}

/// A metadata file that is something else is named, and nothing panics.
#[test]
fn damaged_metadata_is_named() {
    let root = tempfile::TempDir::new().expect("a folder");
    testkit::block_on(async {
        let folder = root.path().join("broker");
        filled(&folder).await.close().await.expect("closed");
        let meta = folder.join("meta.redb");
        std::fs::write(&meta, vec![b'x'; 10_000]).expect("written");
        let error = connect(&folder, &[]).await.map(|_| ()).expect_err("damaged");
        assert!(error.to_string().contains(&meta.display().to_string()), "{error}");
        // The folder was let go again.
        let error = connect(&folder, &[]).await.map(|_| ()).expect_err("damaged");
        assert!(!error.to_string().contains("in use"), "{error}");
    });
}
