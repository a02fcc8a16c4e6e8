//! What cannot be seen, or made to happen, from outside.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use openmessaging::{
    ConsumerOptions, Driver, MessageBatch, MessagingAccessPoint, Producer, ProducerOptions, Properties,
    QueuePartition, QueueSpec, SendReport, StartAt, StatusCode,
};
use tokio::sync::oneshot;

use super::access_point::Handle;
use super::appender::FAILING;
use super::log::lock;
use super::reader::{self, Buffers};
use super::writer::{Command, ProducerState};
use super::{LocalDriver, capabilities};

fn url(folder: &Path) -> openmessaging::AccessPointUrl {
    format!("oms:local://{}", folder.display()).parse().expect("a URL")
}

async fn open(folder: &Path) -> Arc<dyn MessagingAccessPoint> {
    LocalDriver.connect(&url(folder), &Properties::new()).await.expect("opened")
}

fn batch(queue: &str, partition: u32, text: &str) -> MessageBatch {
    let mut batch = MessageBatch::new();
    batch.start().finish(&queue.into(), Some(partition), 1, Some(text.as_bytes()));
    batch
}

async fn send(producer: &mut dyn Producer, queue: &str, text: &str) -> SendReport {
    producer.send(batch(queue, 0, text)).await
}

async fn read(point: &dyn MessagingAccessPoint, queue: &str) -> Vec<String> {
    let mut consumer = point.pull_consumer(ConsumerOptions::default()).await.expect("a consumer");
    consumer.assign(&[(QueuePartition::new(queue, 0), StartAt::Begin)]).await.expect("assigned");
    let mut got = Vec::new();
    while let Some(batch) = consumer.poll(1000, Duration::ZERO).await.expect("polled") {
        let text = |body: Option<&[u8]>| String::from_utf8_lossy(body.unwrap_or_default()).into_owned();
        got.extend(batch.messages.iter().map(|message| text(message.body)));
    }
    got
}

/// After a failed sync nothing is acknowledged in that partition any more, however often it is tried.
#[tokio::test]
async fn a_failed_sync_is_never_acknowledged() {
    let root = tempfile::TempDir::new().expect("a folder");
    let folder = root.path().canonicalize().expect("a path").join("broker");
    let point = open(&folder).await;
    for queue in ["bad", "good"] {
        point.resources().create_queue(&QueueSpec::new(queue, 1)).await.expect("created");
    }
    let mut producer = point.producer(ProducerOptions::default()).await.expect("a producer");
    for queue in ["bad", "good"] {
        assert!(send(&mut *producer, queue, "before").await.error.is_none());
    }
    *lock(&FAILING) = Some(folder.join("queues/bad.1"));
    let report = send(&mut *producer, "bad", "failed").await;
    let error = report.error.expect("the sync failed");
    assert_eq!((error.status, report.acknowledged.prefix()), (StatusCode::ServerError, 0), "{error}");
    assert!(!error.is_retriable() && error.to_string().contains("cannot sync"), "{error}");
    *lock(&FAILING) = None;
    assert_eq!(
        send(&mut *producer, "good", "aborted").await.error.map(|e| e.status),
        Some(StatusCode::Aborted)
    );
    for _ in 0..2 {
        producer.recover().await.expect("recovered");
        // The disk works again, but what was lost from the page cache is not known.
        let error = send(&mut *producer, "bad", "again").await.error.expect("broken off");
        assert!(!error.is_retriable() && error.to_string().contains("start this process again"), "{error}");
    }
    producer.recover().await.expect("recovered");
    assert!(send(&mut *producer, "good", "after").await.error.is_none(), "other partitions go on");
    assert_eq!(read(&*point, "bad").await, ["before"]);
    assert_eq!(read(&*point, "good").await, ["before", "after"]);
    point.close().await.expect("closed");

    let point = open(&folder).await;
    let mut producer = point.producer(ProducerOptions::default()).await.expect("a producer");
    assert!(send(&mut *producer, "bad", "new").await.error.is_none());
    let got = read(&*point, "bad").await;
    assert!(
        got.first().is_some_and(|first| first == "before") && got.last().is_some_and(|last| last == "new")
    );
    point.close().await.expect("closed");
}

/// A reader at the end keeps its place in the file: reading on costs what is new, not what is there.
#[tokio::test]
async fn a_reader_at_the_end_keeps_its_place() {
    let root = tempfile::TempDir::new().expect("a folder");
    let handle = Handle::open(url(root.path()), root.path(), &Properties::new()).expect("opened");
    let shared = handle.shared.clone();
    shared.catalog.create(&QueueSpec::new("q", 1), &shared.meta).await.expect("created");
    let log = shared.catalog.find("q").expect("there").log(0, &shared.meta).expect("read");
    let (mut file, mut buffers) = (None, Buffers::default());
    for offset in 0..20 {
        let producer = Arc::new(ProducerState { failed: AtomicBool::new(false) });
        let (reply, answer) = oneshot::channel();
        let batch = Arc::new(batch("q", 0, "x"));
        shared.writer.submit(Command::Send { producer, batch, reply }).expect("sent");
        assert!(answer.await.expect("answered").error.is_none());
        let read = reader::read(&log, offset, &mut file, &mut buffers, 1000).expect("read").expect("one");
        assert_eq!(read.offsets, [offset]);
        assert_eq!(reader::fresh_bytes(&log, file.as_ref()), Some(0), "nothing is unread behind it");
    }
}

#[test]
fn the_capabilities_say_what_the_access_point_takes() {
    assert_eq!(capabilities(7).max_message_bytes, Some(7));
    assert_eq!(LocalDriver.capabilities().max_message_bytes, Some(64 * 1024 * 1024));
}
