//! What is Kafka's own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use openmessaging::{
    ConsumerOptions, MessageBatch, MessagingAccessPoint, ProducerOptions, PullConsumer, QueuePartition,
    QueueSpec, Severity, StartAt, StatusCode,
};
use testkit::block_on;
use testkit::driver::{DriverFixture, new_queue, unique};
use testkit::server::ServerFixture;

use crate::fixture::{Private, Shared, properties};

async fn texts(point: &dyn MessagingAccessPoint, queue: &Arc<str>, count: usize) -> Vec<String> {
    let options = ConsumerOptions { group: unique("group"), prefetch_bytes: None };
    let mut consumer = point.pull_consumer(options).await.expect("a consumer");
    let place = QueuePartition::new(queue.clone(), 0);
    consumer.assign(&[(place, StartAt::Begin)]).await.expect("assigned");
    take(&mut *consumer, count).await
}

/// So many bodies, or those that come in 30 s.
async fn take(consumer: &mut dyn PullConsumer, count: usize) -> Vec<String> {
    let mut got = Vec::new();
    let begin = Instant::now();
    while got.len() < count && begin.elapsed() < Duration::from_secs(30) {
        if let Some(batch) = consumer.poll(1 << 20, Duration::from_millis(500)).await.expect("polled") {
            got.extend(bodies(&batch.messages));
        }
    }
    got
}

fn bodies(messages: &MessageBatch) -> Vec<String> {
    let text = |body: Option<&[u8]>| String::from_utf8_lossy(body.unwrap_or_default()).into_owned();
    messages.iter().map(|message| text(message.body)).collect()
}

fn batch(queue: &Arc<str>, bodies: &[Vec<u8>]) -> MessageBatch {
    let mut batch = MessageBatch::new();
    for body in bodies {
        batch.start().finish(queue, Some(0), 1, Some(body));
    }
    batch
}

/// Bytes that cannot be compressed.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let next = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    });
    next.take(length).collect()
}

/// What others write in transactions: aborted ones are not read, nor what lies behind one that is open; unless
/// `client.isolation.level` says so.
#[test]
fn transactions_of_others_are_read_as_they_ended() {
    block_on(async {
        let fixture = Private::new();
        let point = fixture.open().await.expect("open");
        let queue = new_queue(&*point, "transactions", 1).await;
        fixture.tools.transactions(&queue);
        let committed = ["committed-1", "plain-1", "committed-2", "committed-3", "plain-2"];
        let place = QueuePartition::new(queue.clone(), 0);
        let mut consumer = point.pull_consumer(ConsumerOptions::default()).await.expect("a consumer");
        consumer.assign(&[(place.clone(), StartAt::Begin)]).await.expect("assigned");
        assert_eq!(take(&mut *consumer, committed.len()).await, committed);
        let more = consumer.poll(1 << 20, Duration::from_secs(1)).await.expect("polled");
        assert!(more.is_none(), "behind an open transaction: {:?}", bodies(&more.expect("some").messages));
        // From within an aborted transaction on, too.
        consumer.seek(&place, StartAt::Offset(1)).await.expect("sought");
        let first = consumer.poll(1 << 20, Duration::from_secs(20)).await.expect("polled").expect("some");
        assert_eq!(bodies(&first.messages)[0], "plain-1");
        point.close().await.expect("closed");

        let mut all = fixture.properties();
        all.insert("client.isolation.level".to_owned(), "read_uncommitted".to_owned());
        let point = fixture.driver().connect(&fixture.url(), &all).await.expect("open");
        let every = texts(&*point, &queue, 10).await;
        let expected = [
            "committed-1",
            "aborted-1",
            "plain-1",
            "committed-2",
            "aborted-2",
            "committed-3",
            "aborted-3",
            "plain-2",
            "open-1",
            "behind",
        ];
        assert_eq!(every, expected);
        point.close().await.expect("closed");
    });
}

/// Committed positions are those that Kafka's own tool shows.
#[test]
fn positions_are_seen_by_kafkas_tools() {
    block_on(async {
        let fixture = Private::new();
        let point = fixture.open().await.expect("open");
        let queue = new_queue(&*point, "positions", 1).await;
        let mut producer = point.producer(ProducerOptions::default()).await.expect("a producer");
        let report = producer.send(batch(&queue, &[b"a".to_vec(), b"b".to_vec(), b"c".to_vec()])).await;
        assert!(report.error.is_none(), "{report:?}");
        let group = unique("group");
        let options = ConsumerOptions { group: group.clone(), prefetch_bytes: None };
        let mut consumer = point.pull_consumer(options).await.expect("a consumer");
        consumer.commit(&[(QueuePartition::new(queue.clone(), 0), 2)]).await.expect("committed");
        let shown = fixture.tools.group(&group);
        let line = shown.lines().find(|line| line.contains(&*queue)).unwrap_or_else(|| panic!("{shown}"));
        let words: Vec<&str> = line.split_whitespace().collect();
        // Group, topic, partition, position, end, lag.
        assert_eq!(words[2..6], ["0", "2", "3", "1"], "{shown}");
        point.close().await.expect("closed");
    });
}

/// A topic with a limit of its own: what fits alone is stored, whatever came with it; what does not is refused, and nothing
/// behind it is stored.
#[test]
fn a_topics_own_limit_splits_batches_and_refuses_messages() {
    block_on(async {
        let fixture = Shared::new();
        let point = fixture.open().await.expect("open");
        let queue: Arc<str> = unique("limit").into();
        let mut spec = QueueSpec::new(&*queue, 1);
        spec.properties.insert("max.message.bytes".to_owned(), "20000".to_owned());
        point.resources().create_queue(&spec).await.expect("created");
        let mut producer = point.producer(ProducerOptions::default()).await.expect("a producer");
        let many: Vec<_> = (0..100).map(|number| noise(3000, number)).collect();
        let sends = [producer.send(batch(&queue, &many[..70])), producer.send(batch(&queue, &many[70..]))];
        for send in sends {
            let report = send.await;
            assert!(report.error.is_none(), "{report:?}");
        }
        let report = producer
            .send(batch(&queue, &[noise(100, 1), noise(100, 2), noise(25_000, 3), noise(100, 4)]))
            .await;
        let error = report.error.expect("it is too large");
        assert_eq!((report.acknowledged.prefix(), error.status), (2, StatusCode::MessageTooLarge), "{error}");
        assert!(!error.is_retriable() && error.remedy.is_some());
        producer.recover().await.expect("recovered");
        assert!(producer.send(batch(&queue, &[b"after".to_vec()])).await.error.is_none());
        let got = texts(&*point, &queue, 103).await;
        let lossy = |body: &Vec<u8>| String::from_utf8_lossy(body).into_owned();
        let mut expected: Vec<_> = many.iter().map(lossy).collect();
        expected.extend([lossy(&noise(100, 1)), lossy(&noise(100, 2)), "after".to_owned()]);
        assert!(got == expected, "{} messages, in another order or not all", got.len());
        point.resources().delete_queue(&queue).await.expect("deleted");
        point.close().await.expect("closed");
    });
}

/// Every compression is read by Kafka's own client, and by this one.
#[test]
fn every_compression_is_kafkas() {
    block_on(async {
        let fixture = Private::new();
        for compression in ["none", "gzip", "snappy", "lz4", "zstd"] {
            let given = properties(&[("client.compression.type", compression)]);
            let point = fixture.driver().connect(&fixture.url(), &given).await.expect("open");
            let queue = new_queue(&*point, compression, 1).await;
            let mut producer = point.producer(ProducerOptions::default()).await.expect("a producer");
            let bodies: Vec<_> =
                (0..500).map(|n| format!("{n} {}", "text ".repeat(n % 90)).into_bytes()).collect();
            let report = producer.send(batch(&queue, &bodies)).await;
            assert!(report.error.is_none(), "{compression}: {report:?}");
            let theirs = fixture.read_foreign(&queue, bodies.len()).await;
            assert!(theirs.iter().map(|message| &message.body).eq(&bodies), "{compression}: read by others");
            let own = texts(&*point, &queue, bodies.len()).await;
            assert!(
                own.iter().map(|text| text.as_bytes()).eq(bodies.iter().map(Vec::as_slice)),
                "{compression}"
            );
            point.close().await.expect("closed");
        }
    });
}

/// Settings of a broker that lose messages.
#[test]
fn doctor_finds_what_loses_messages() {
    block_on(async {
        let bad =
            "unclean.leader.election.enable=true\nlog.retention.ms=60000\noffsets.retention.minutes=60\n";
        let fixture = Private::with(bad);
        let given = properties(&[("client.acks", "1")]);
        let point = fixture.driver().connect(&fixture.url(), &given).await.expect("open");
        let mut spec = QueueSpec::new(unique("short"), 1);
        spec.retention_ms = Some(1000);
        point.resources().create_queue(&spec).await.expect("created");
        let diagnosis = point.diagnose().await.expect("diagnosed");
        assert_eq!(diagnosis.broker, "Apache Kafka 4.1");
        for code in [
            "kafka.unclean-leader-election",
            "kafka.retention",
            "kafka.offsets-retention",
            "kafka.topic-retention",
            "kafka.acks",
        ] {
            let found = diagnosis.findings.iter().find(|finding| finding.code == code);
            let found = found.unwrap_or_else(|| panic!("{code} is missing: {diagnosis:?}"));
            assert!(found.severity == Severity::Warning && found.remedy.is_some(), "{found:?}");
        }
        point.close().await.expect("closed");
    });
}
