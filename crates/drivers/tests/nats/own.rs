//! What is this driver's own: several producers of one stream, streams of others, limits of the server, what is found.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use openmessaging::{
    ConsumerOptions, MessageBatch, MessagingAccessPoint, ProducerOptions, QueuePartition, QueueSpec,
    Severity, StartAt, StatusCode,
};
use testkit::block_on;
use testkit::driver::{DriverFixture, unique};

use testkit::broker::nats::Nats;

use crate::private::Private;

async fn open(fixture: &Private) -> Arc<dyn MessagingAccessPoint> {
    fixture.open().await.expect("connected")
}

fn texts(queue: &Arc<str>, texts: impl IntoIterator<Item = String>) -> MessageBatch {
    let mut batch = MessageBatch::new();
    for text in texts {
        batch.start().finish(queue, Some(0), 1, Some(text.as_bytes()));
    }
    batch
}

async fn read(point: &dyn MessagingAccessPoint, queue: &Arc<str>, count: usize) -> Vec<String> {
    let mut consumer = point.pull_consumer(ConsumerOptions::default()).await.expect("a consumer");
    consumer.assign(&[(QueuePartition::new(queue.clone(), 0), StartAt::Begin)]).await.expect("assigned");
    let (mut got, begin) = (Vec::new(), Instant::now());
    while got.len() < count {
        assert!(begin.elapsed() < Duration::from_secs(30), "{} of {count} came", got.len());
        if let Some(batch) = consumer.poll(1 << 20, Duration::from_millis(300)).await.expect("polled") {
            let body = |message: openmessaging::Message<'_>| {
                String::from_utf8_lossy(message.body.unwrap_or_default()).into_owned()
            };
            got.extend(batch.messages.iter().map(body));
        }
    }
    got
}

/// Producers of the same stream break each other's chains: nothing is lost, doubled or overtaken by that.
#[test]
fn producers_of_one_stream_keep_their_orders() {
    const BATCHES: usize = 60;
    const PER_BATCH: usize = 50;
    const PRODUCERS: usize = 3;
    let fixture = Private::start();
    block_on(async {
        let point = open(&fixture).await;
        let queue: Arc<str> = unique("own").into();
        point.resources().create_queue(&QueueSpec::new(&*queue, 1)).await.expect("created");
        let work = (0..PRODUCERS).map(|number| {
            let (point, queue) = (point.clone(), queue.clone());
            async move {
                let mut producer = point.producer(ProducerOptions::default()).await.expect("a producer");
                let mut sends = Vec::new();
                for batch in 0..BATCHES {
                    let numbers = batch * PER_BATCH..(batch + 1) * PER_BATCH;
                    sends.push(producer.send(texts(&queue, numbers.map(|at| format!("{number} {at:05}")))));
                    tokio::task::yield_now().await;
                }
                for send in sends {
                    let report = send.await;
                    assert!(report.error.is_none(), "{report:?}");
                }
            }
        });
        futures::future::join_all(work).await;
        let all = read(&*point, &queue, PRODUCERS * BATCHES * PER_BATCH).await;
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len(), "nothing twice");
        for number in 0..PRODUCERS {
            let own: Vec<_> = all.iter().filter(|text| text.starts_with(&format!("{number} "))).collect();
            assert!(own.is_sorted() && own.len() == BATCHES * PER_BATCH, "producer {number}");
        }
        point.close().await.expect("closed");
    });
}

/// A small message behind a large one that does not fit is not stored before it.
#[test]
fn nothing_slips_by_what_does_not_fit() {
    let fixture = Private::start();
    block_on(async {
        let point = open(&fixture).await;
        let queue: Arc<str> = unique("own").into();
        let mut spec = QueueSpec::new(&*queue, 1);
        spec.retention_bytes = Some(100_000);
        spec.properties.insert("discard".into(), "new".into());
        point.resources().create_queue(&spec).await.expect("created");
        let mut producer = point.producer(ProducerOptions::default()).await.expect("a producer");
        let large = || "x".repeat(80_000);
        let sends: Vec<_> =
            [vec!["one".to_owned(), large()], vec![large(), "small".to_owned()], vec!["late".to_owned()]]
                .map(|all| producer.send(texts(&queue, all)))
                .into();
        let mut reports = Vec::new();
        for send in sends {
            let report = send.await;
            reports.push((report.acknowledged.prefix(), report.error.map(|error| error.status)));
        }
        assert_eq!(reports, [(2, None), (0, Some(StatusCode::Full)), (0, Some(StatusCode::Aborted))]);
        let described = point.resources().describe_queue(&queue).await.expect("described");
        assert_eq!(described.partitions[0].end, 3, "two messages are stored");
        point.close().await.expect("closed");
    });
}

/// Streams that others made: read whole; written where it is clear where to.
#[test]
fn streams_of_others_are_queues() {
    let fixture = Private::start();
    block_on(async {
        let point = open(&fixture).await;
        let client = fixture.client().await;
        let stream = |name: &str, subjects: &[&str]| Config {
            name: name.to_owned(),
            subjects: subjects.iter().map(|subject| subject.to_string()).collect(),
            ..Config::default()
        };
        client.create_stream(stream("EVENTS", &["events.*"])).await.expect("created");
        client.create_stream(stream("ONE", &["some.where"])).await.expect("created");
        for subject in ["events.a", "events.b"] {
            client.publish(subject, subject.into()).await.expect("sent").await.expect("stored");
        }
        assert_eq!(point.resources().list_queues().await.expect("listed"), ["EVENTS", "ONE"]);
        assert_eq!(read(&*point, &"EVENTS".into(), 2).await, ["events.a", "events.b"]);
        let mut producer = point.producer(ProducerOptions::default()).await.expect("a producer");
        let report = producer.send(texts(&"EVENTS".into(), ["x".to_owned()])).await;
        assert_eq!(report.error.map(|error| error.status), Some(StatusCode::Unsupported));
        producer.recover().await.expect("recovered");
        assert!(producer.send(texts(&"ONE".into(), ["x".to_owned()])).await.error.is_none());
        assert_eq!(read(&*point, &"ONE".into(), 1).await, ["x"]);
        // Another stream that takes the subject: said when the queue is made.
        let taken =
            point.resources().create_queue(&QueueSpec::new("some.where", 1)).await.expect_err("taken");
        assert!(taken.status == StatusCode::AlreadyExists && taken.remedy.is_some(), "{taken}");
        point.close().await.expect("closed");
    });
}

/// What is left of a queue that was not made whole does not hinder making it.
#[test]
fn remains_of_a_queue_are_swept_away() {
    let fixture = Private::start();
    block_on(async {
        let point = open(&fixture).await;
        let client = fixture.client().await;
        let left = Config { name: "q=2".into(), subjects: vec!["q=2".into()], ..Config::default() };
        client.create_stream(left).await.expect("created");
        client.publish("q=2", "old".into()).await.expect("sent").await.expect("stored");
        let resources = point.resources();
        assert_eq!(resources.list_queues().await.expect("listed"), Vec::<String>::new());
        resources.create_queue(&QueueSpec::new("q", 3)).await.expect("created");
        let described = resources.describe_queue("q").await.expect("described");
        assert!(
            described.partitions.len() == 3 && described.partitions.iter().all(|p| p.begin == p.end),
            "{described:?}"
        );
        resources.delete_queue("q").await.expect("deleted");
        let mut names = client.stream_names();
        assert!(futures::StreamExt::next(&mut names).await.is_none(), "nothing is left");
        point.close().await.expect("closed");
    });
}

/// The server's limits are said before anything is sent.
#[test]
fn limits_of_the_server_are_named() {
    let fixture = Private::with(Nats { configuration: String::new() });
    block_on(async {
        let point = open(&fixture).await;
        assert!(point.capabilities().max_message_bytes.is_some_and(|limit| limit < 1 << 20));
        let queue: Arc<str> = unique("own").into();
        point.resources().create_queue(&QueueSpec::new(&*queue, 1)).await.expect("created");
        let mut producer = point.producer(ProducerOptions::default()).await.expect("a producer");
        let mut headers = MessageBatch::new();
        let mut writer = headers.start();
        writer.header("h", Some(&vec![0xff; 40_000]));
        writer.finish(&queue, None, 1, Some(b"x"));
        for (batch, says) in
            [(texts(&queue, ["x".repeat(1 << 20)]), "max_payload"), (headers, "key and headers")]
        {
            let error = producer.send(batch).await.error.expect("too large");
            assert!(
                error.status == StatusCode::MessageTooLarge && error.to_string().contains(says),
                "{error}"
            );
            producer.recover().await.expect("recovered");
        }
        let store = point.key_value_store("s").await.expect("a store");
        let error = store.put("k", &vec![0; 1 << 20]).await.expect_err("too large");
        assert!(
            error.status == StatusCode::MessageTooLarge && error.to_string().contains("max_payload"),
            "{error}"
        );
        let diagnosis = point.diagnose().await.expect("diagnosed");
        let found =
            diagnosis.findings.iter().find(|finding| finding.code == "nats.max-payload").expect("found");
        assert_eq!(found.severity, Severity::Warning);
        point.close().await.expect("closed");
    });
}

/// `doctor` finds the settings of streams that lose messages.
#[test]
fn streams_that_lose_messages_are_found() {
    let fixture = Private::start();
    block_on(async {
        let point = open(&fixture).await;
        let client = fixture.client().await;
        let stream =
            |name: &str| Config { name: name.into(), subjects: vec![name.into()], ..Config::default() };
        for config in [
            Config { storage: StorageType::Memory, ..stream("memory") },
            Config { retention: RetentionPolicy::WorkQueue, ..stream("work") },
            Config { duplicate_window: Duration::from_secs(1), ..stream("window") },
            Config { no_ack: true, ..stream("silent") },
            Config { max_bytes: 1000, discard: DiscardPolicy::Old, ..stream("fine") },
        ] {
            client.create_stream(config).await.expect("created");
        }
        let findings = point.diagnose().await.expect("diagnosed").findings;
        let of = |subject: &str| {
            findings.iter().filter(|f| f.subject == subject).map(|f| f.code).collect::<Vec<_>>()
        };
        assert_eq!(of("memory"), ["nats.memory-storage"]);
        assert_eq!(of("work"), ["nats.retention"]);
        assert_eq!(of("window"), ["nats.duplicate-window"]);
        assert_eq!(of("silent"), ["nats.no-ack"]);
        assert_eq!(of("fine"), ["nats.stream"]);
        point.close().await.expect("closed");
    });
}

/// A server without JetStream, and an account without it.
#[test]
fn a_server_without_jetstream_is_told() {
    let fixture = Private::with(Nats {
        configuration: "accounts { A: { users: [ { user: a, password: a } ] } }\nno_auth_user: a\n".into(),
    });
    block_on(async {
        let error = fixture
            .driver()
            .connect(&fixture.url(), &fixture.properties())
            .await
            .err()
            .expect("no JetStream");
        assert_eq!(error.status, StatusCode::Unsupported, "{error}");
        assert!(error.remedy.as_deref().is_some_and(|remedy| remedy.contains("JetStream")), "{error}");
    });
}
