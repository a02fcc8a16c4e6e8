//! Retention by time, which ends the file that is written to as well; and that removed messages are gone for good.

use std::path::Path;
use std::time::{Duration, Instant};

use openmessaging::{
    ConsumerOptions, MessageBatch, MessagingAccessPoint, PartitionDescription, ProducerOptions,
    QueuePartition, QueueSpec, StartAt,
};

use crate::fixture::connect;

async fn place(point: &dyn MessagingAccessPoint) -> PartitionDescription {
    point.resources().describe_queue("q").await.expect("described").partitions[0].clone()
}

async fn send(point: &dyn MessagingAccessPoint, count: usize) {
    let mut producer = point.producer(ProducerOptions::default()).await.expect("a producer");
    let mut batch = MessageBatch::new();
    for _ in 0..count {
        batch.start().finish(&"q".into(), Some(0), 1, Some(&[b'x'; 500]));
    }
    let report = producer.send(batch).await;
    assert!(report.error.is_none(), "{report:?}");
}

fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder.join("queues/q.1/0")).expect("listed").count()
}

#[test]
fn old_messages_are_removed_and_offsets_go_on() {
    let root = tempfile::TempDir::new().expect("a folder");
    let folder = root.path().join("broker");
    let properties = [("retention.check.ms", "20"), ("segment.bytes", "4096"), ("compression", "none")];
    testkit::block_on(async {
        let point = connect(&folder, &properties).await.expect("opened");
        let mut spec = QueueSpec::new("q", 1);
        spec.retention_ms = Some(400);
        point.resources().create_queue(&spec).await.expect("created");
        let mut waiting = point.pull_consumer(ConsumerOptions::default()).await.expect("a consumer");
        waiting.assign(&[(QueuePartition::new("q", 0), StartAt::Begin)]).await.expect("assigned");
        for _ in 0..5 {
            send(&*point, 20).await;
        }
        let before = place(&*point).await;
        assert_eq!((before.begin, before.end), (0, 100));
        assert!(files(&folder) > 3);
        let started = Instant::now();
        while place(&*point).await.begin < 100 || files(&folder) > 1 {
            assert!(started.elapsed() < Duration::from_secs(20), "{:?}", place(&*point).await);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(started.elapsed() >= Duration::from_millis(300), "not before their time");
        assert_eq!(place(&*point).await.end, 100, "offsets go on");
        // A consumer whose messages are all gone waits for new ones, at rest.
        assert!(waiting.poll(1000, Duration::from_millis(100)).await.expect("polled").is_none());
        assert_eq!(waiting.position(&QueuePartition::new("q", 0)), Some(100));
        point.close().await.expect("closed");

        let point = connect(&folder, &[]).await.expect("opened again");
        assert_eq!(place(&*point).await.end, 100, "also over a restart");
        send(&*point, 1).await;
        let mut consumer = point.pull_consumer(ConsumerOptions::default()).await.expect("a consumer");
        consumer.assign(&[(QueuePartition::new("q", 0), StartAt::Offset(3))]).await.expect("assigned");
        let batch = consumer.poll(1000, Duration::from_secs(5)).await.expect("polled").expect("one");
        assert_eq!(batch.offsets, [100]);
        point.close().await.expect("closed");
    });
}
