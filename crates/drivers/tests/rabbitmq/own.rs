//! What is RabbitMQ's own: layouts, queues of others, limits, what `doctor` finds.

use std::sync::Arc;
use std::time::Duration;

use openmessaging::{
    ConsumerOptions, Finding, MessageBatch, MessagingAccessPoint, ProducerOptions, PullConsumer,
    QueuePartition, QueueSpec, Result, SendReport, StartAt, StatusCode,
};
use serde_json::Value;
use testkit::block_on;
use testkit::driver::{DriverFixture, new_queue, unique};
use testkit::proxy::Proxy;
use testkit::services::{broker_address, recorded};

use crate::fixture::{Private, Queues, SharedBroker, properties, url};
use crate::http;

fn management() -> String {
    let entry = recorded("rabbitmq");
    let url = entry["more"]["management"].as_str().expect("its management interface");
    url.trim_start_matches("http://").to_owned()
}

fn ask(path: &str) -> Value {
    serde_json::from_str(&http::call(&management(), "GET", path, "")).expect("JSON")
}

async fn open(queues: Queues) -> Arc<dyn MessagingAccessPoint> {
    SharedBroker::new(queues).open().await.expect("the shared broker")
}

async fn send(point: &dyn MessagingAccessPoint, batch: MessageBatch) -> SendReport {
    let mut producer = point.producer(ProducerOptions::default()).await.expect("a producer");
    producer.send(batch).await
}

fn texts(queue: &str, texts: &[&str]) -> MessageBatch {
    let (queue, mut batch): (Arc<str>, _) = (queue.into(), MessageBatch::new());
    for text in texts {
        let mut writer = batch.start();
        writer.key(Some(text.as_bytes()));
        writer.finish(&queue, None, 1, Some(text.as_bytes()));
    }
    batch
}

async fn reader(
    point: &dyn MessagingAccessPoint,
    queue: &str,
    partition: u32,
    at: StartAt,
) -> Result<Box<dyn PullConsumer>> {
    let mut consumer = point.pull_consumer(ConsumerOptions::default()).await?;
    consumer.assign(&[(QueuePartition::new(queue, partition), at)]).await?;
    Ok(consumer)
}

async fn bodies(consumer: &mut dyn PullConsumer, count: usize) -> Vec<String> {
    let mut got = Vec::new();
    while got.len() < count {
        let batch = consumer.poll(1 << 20, Duration::from_secs(20)).await.expect("polled");
        let batch = batch.unwrap_or_else(|| panic!("{} of {count} messages came", got.len()));
        let body = |message: openmessaging::Message<'_>| {
            String::from_utf8_lossy(message.body.unwrap_or_default()).into_owned()
        };
        got.extend(batch.messages.iter().map(body));
    }
    got
}

/// Several partitions are a super stream as `rabbitmq-streams add_super_stream` makes it, and one of others is a queue.
#[test]
fn several_partitions_are_a_super_stream() {
    block_on(async {
        let point = open(Queues::Streams).await;
        let resources = point.resources();
        let queue = new_queue(&*point, "super", 3).await;
        let exchange = ask(&format!("exchanges/%2F/{queue}"));
        assert_eq!((&exchange["type"], &exchange["durable"]), (&"direct".into(), &true.into()));
        assert_eq!(exchange["arguments"]["x-super-stream"], Value::Bool(true));
        let bindings = ask(&format!("exchanges/%2F/{queue}/bindings/source"));
        let mut bound: Vec<_> = bindings
            .as_array()
            .expect("bindings")
            .iter()
            .map(|binding| {
                let order = binding["arguments"]["x-stream-partition-order"].as_u64();
                (
                    binding["routing_key"].as_str().unwrap_or_default().to_owned(),
                    binding["destination"].clone(),
                    order,
                )
            })
            .collect();
        bound.sort_by(|one, other| one.0.cmp(&other.0));
        let expected: Vec<_> = (0..3_u64)
            .map(|number| (number.to_string(), Value::from(format!("{queue}-{number}")), Some(number)))
            .collect();
        assert_eq!(bound, expected);
        assert_eq!(ask(&format!("queues/%2F/{queue}-2"))["type"], "stream");
        resources.delete_queue(&queue).await.expect("deleted");

        let theirs = unique("their-super");
        let call = |method: &str, path: String, body: &str| http::call(&management(), method, &path, body);
        let exchange = "{\"type\":\"direct\",\"durable\":true,\"arguments\":{\"x-super-stream\":true}}";
        call("PUT", format!("exchanges/%2F/{theirs}"), exchange);
        for number in 0..2 {
            let stream = "{\"durable\":true,\"arguments\":{\"x-queue-type\":\"stream\"}}";
            call("PUT", format!("queues/%2F/{theirs}-{number}"), stream);
            let binding = format!("{{\"routing_key\":\"{number}\"}}");
            call("POST", format!("bindings/%2F/e/{theirs}/q/{theirs}-{number}"), &binding);
        }
        let listed = resources.list_queues().await.expect("listed");
        assert!(listed.contains(&theirs) && !listed.contains(&format!("{theirs}-0")), "{listed:?}");
        assert_eq!(resources.describe_queue(&theirs).await.expect("described").partitions.len(), 2);
        assert!(send(&*point, texts(&theirs, &["a", "b", "c", "d"])).await.error.is_none());
        let mut all = Vec::new();
        for partition in resources.describe_queue(&theirs).await.expect("described").partitions {
            let place = partition.partition;
            let count = (partition.end - partition.begin) as usize;
            let mut consumer = reader(&*point, &theirs, place, StartAt::Begin).await.expect("assigned");
            all.extend(bodies(&mut *consumer, count).await);
        }
        all.sort();
        assert_eq!(all, ["a", "b", "c", "d"]);
        resources.delete_queue(&theirs).await.expect("deleted");
        point.close().await.expect("closed");
    });
}

/// Null headers, names that repeat, and names of our own come through the broker.
#[test]
fn odd_headers_come_through() {
    block_on(async {
        for queues in [Queues::Streams, Queues::Quorum] {
            let point = open(queues).await;
            let queue = new_queue(&*point, "headers", 1).await;
            let mut batch = MessageBatch::new();
            let headers: Vec<(&str, Option<&[u8]>)> = vec![
                ("z", None),
                ("a", Some(b"1")),
                ("x-stream-offset", Some(b"mine")),
                ("a", None),
                ("x-oms-key", Some(&[0, 255])),
                ("a", Some(b"")),
            ];
            let mut writer = batch.start();
            for (name, value) in &headers {
                writer.header(name, *value);
            }
            writer.finish(&queue, Some(0), -7, None);
            assert!(send(&*point, batch).await.error.is_none());
            let at = if queues == Queues::Streams { StartAt::Begin } else { StartAt::Committed };
            let mut consumer = reader(&*point, &queue, 0, at).await.expect("assigned");
            let got = consumer.poll(1000, Duration::from_secs(20)).await.expect("polled").expect("a message");
            let message = got.messages.get(0).expect("a message");
            let read: Vec<_> =
                message.headers.into_iter().map(|header| (header.name, header.value)).collect();
            assert_eq!(read, headers, "{queues:?}");
            assert_eq!((message.body, message.key, message.timestamp), (None, None, -7));
            point.resources().delete_queue(&queue).await.expect("deleted");
            point.close().await.expect("closed");
        }
    });
}

/// Classic and quorum queues that others made are read, written and acknowledged; as streams they are told apart.
#[test]
fn queues_of_others_are_used() {
    block_on(async {
        let (queues, streams) = (open(Queues::Quorum).await, open(Queues::Streams).await);
        for kind in ["classic", "quorum"] {
            let name = unique(kind);
            let body = format!("{{\"durable\":true,\"arguments\":{{\"x-queue-type\":\"{kind}\"}}}}");
            http::call(&management(), "PUT", &format!("queues/%2F/{name}"), &body);
            assert!(send(&*queues, texts(&name, &["a", "b", "c"])).await.error.is_none());
            let mut consumer = reader(&*queues, &name, 0, StartAt::Committed).await.expect("assigned");
            assert_eq!(bodies(&mut *consumer, 3).await, ["a", "b", "c"]);
            consumer.commit(&[(QueuePartition::new(name.as_str(), 0), 2)]).await.expect("committed");
            consumer.close().await.expect("closed");
            let mut consumer = reader(&*queues, &name, 0, StartAt::Committed).await.expect("assigned");
            assert_eq!(bodies(&mut *consumer, 1).await, ["c"], "{kind}: what was committed is gone");
            consumer.close().await.expect("closed");
            let mut consumer = reader(&*streams, &name, 0, StartAt::Offset(0)).await.expect("assigned");
            let refused = consumer.poll(1000, Duration::from_secs(20)).await;
            let error = refused.err().unwrap_or_else(|| panic!("{kind}: a queue has no offsets"));
            assert_eq!(error.status, StatusCode::Unsupported, "{kind}: {error}");
            assert!(error.to_string().contains("queue.type=quorum"), "{error}");
            queues.resources().delete_queue(&name).await.expect("deleted");
        }
        queues.close().await.expect("closed");
        streams.close().await.expect("closed");
    });
}

/// A queue that refuses what is too much says `Full`, and takes more when there is room.
#[test]
fn a_queue_that_refuses_is_full() {
    block_on(async {
        let point = open(Queues::Quorum).await;
        let name = unique("limited");
        let mut spec = QueueSpec::new(&name, 1);
        for (key, value) in [("x-max-length", "3"), ("x-overflow", "reject-publish")] {
            spec.properties.insert(key.to_owned(), value.to_owned());
        }
        point.resources().create_queue(&spec).await.expect("created");
        let mut producer = point.producer(ProducerOptions::default()).await.expect("a producer");
        let mut sent = 0;
        let error = loop {
            assert!(sent < 50, "it takes everything");
            match producer.send(texts(&name, &["x"])).await.error {
                Some(error) => break error,
                None => sent += 1,
            }
        };
        assert!(
            error.status == StatusCode::Full && error.is_retriable() && error.remedy.is_some(),
            "{error}"
        );
        let mut consumer = reader(&*point, &name, 0, StartAt::Committed).await.expect("assigned");
        bodies(&mut *consumer, sent).await;
        consumer.commit(&[(QueuePartition::new(name.as_str(), 0), sent as u64)]).await.expect("committed");
        producer.recover().await.expect("recovered");
        assert!(producer.send(texts(&name, &["y"])).await.error.is_none(), "there is room again");
        point.resources().delete_queue(&name).await.expect("deleted");
        point.close().await.expect("closed");
    });
}

/// Names that are kept, and a management interface that is not there.
#[test]
fn what_cannot_be_is_told() {
    block_on(async {
        let fixture = SharedBroker::new(Queues::Streams);
        let given = properties(&[("management.url", "http://127.0.0.1:1")]);
        let point = fixture.driver().connect(&fixture.url(), &given).await.expect("open");
        let error = point.resources().list_queues().await.expect_err("no management interface");
        assert!(error.to_string().contains("rabbitmq-plugins enable rabbitmq_management"), "{error}");
        for name in ["omsconnect-store-x", "amq.x", "a b"] {
            let made = point.resources().create_queue(&QueueSpec::new(name, 1)).await;
            assert_eq!(made.expect_err(name).status, StatusCode::BadParameter);
        }
        let store = point.key_value_store("oms-positions").await.map(|_| ());
        assert_eq!(store.expect_err("the positions").status, StatusCode::BadParameter);
        let found = point.diagnose().await.expect("diagnosed").findings;
        let finding = found.iter().find(|finding| finding.code == "rabbitmq.management").expect("a finding");
        assert!(finding.remedy.is_some(), "{finding:?}");
        point.close().await.expect("closed");
    });
}

/// Each setting that loses messages is found in a real broker.
#[test]
fn settings_that_lose_messages_are_found() {
    block_on(async {
        let fixture = Private::start(Queues::Streams);
        let place = fixture.broker.place().clone();
        let make = |name: &str, arguments: &str| {
            let body = format!("{{\"durable\":true,\"arguments\":{{{arguments}}}}}");
            http::call(&fixture.management(), "PUT", &format!("queues/%2F/{name}"), &body);
        };
        make("overflow", "\"x-queue-type\":\"quorum\",\"x-max-length\":5");
        make("ttl", "\"x-queue-type\":\"quorum\",\"x-message-ttl\":5000");
        make("classic", "");
        make("short", "\"x-queue-type\":\"stream\",\"x-max-age\":\"5m\"");
        fixture.add_user("bob", "s3cret-b");
        fixture.permit("%2F", "bob", "^$");
        let point = fixture.open().await.expect("open");
        let find = async |code: &str, subject: &str| {
            let begin = std::time::Instant::now();
            loop {
                let found = point.diagnose().await.expect("diagnosed").findings;
                let is = |finding: &Finding| finding.code == code && finding.subject.contains(subject);
                if let Some(found) = found.iter().find(|finding| is(finding) && finding.remedy.is_some()) {
                    return found.clone();
                }
                assert!(begin.elapsed() < Duration::from_secs(20), "no {code} about {subject}: {found:#?}");
                std::thread::sleep(Duration::from_millis(300));
            }
        };
        for (code, subject) in [
            ("rabbitmq.overflow", "overflow"),
            ("rabbitmq.ttl", "ttl"),
            ("rabbitmq.queue-type", "classic"),
            ("rabbitmq.retention", "short"),
        ] {
            find(code, subject).await;
        }
        testkit::broker::rabbitmq::control(&place, &["set_vm_memory_high_watermark", "0.00001"]);
        find("rabbitmq.alarm", "").await;
        testkit::broker::rabbitmq::control(&place, &["set_vm_memory_high_watermark", "0.4"]);
        point.close().await.expect("closed");

        let mut given = fixture.properties();
        given.extend(properties(&[("user", "bob"), ("password", "s3cret-b")]));
        let point = fixture.driver().connect(&fixture.url(), &given).await.expect("open");
        let found = point.diagnose().await.expect("diagnosed").findings;
        let finding = found.iter().find(|finding| finding.code == "rabbitmq.permissions").expect("a finding");
        assert!(
            finding.remedy.as_deref().is_some_and(|remedy| remedy.contains("set_permissions")),
            "{finding:?}"
        );
        point.close().await.expect("closed");
    });
}

/// Within a second the time of sending counts.
#[test]
fn times_are_found_by_the_millisecond() {
    block_on(async {
        let point = open(Queues::Streams).await;
        let name = new_queue(&*point, "times", 1).await;
        let now = || {
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("now").as_millis()
                as i64
        };
        let mut between = Vec::new();
        for text in ["a", "b", "c", "d"] {
            between.push(now());
            tokio::time::sleep(Duration::from_millis(20)).await;
            // Times of birth say nothing about when it was stored.
            assert!(send(&*point, texts(&name, &[text])).await.error.is_none());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for (time, expected) in between.iter().zip(["a", "b", "c", "d"]) {
            let mut consumer = reader(&*point, &name, 0, StartAt::Timestamp(*time)).await.expect("assigned");
            assert_eq!(bodies(&mut *consumer, 1).await[0], expected);
        }
        point.resources().delete_queue(&name).await.expect("deleted");
        point.close().await.expect("closed");
    });
}

/// A stream begins each of its segments with a mark of its own, which has an offset: nothing is lost there.
#[test]
fn a_store_goes_on_in_the_next_segment() {
    const WRITES: u64 = 230;
    block_on(async {
        let point = open(Queues::Streams).await;
        let name = unique("segments");
        let store = point.key_value_store(&name).await.expect("a store");
        // Segments of stores have 100 MB.
        let value = vec![b'x'; 512 * 1024];
        let mut version = 0;
        for _ in 0..WRITES {
            version = store.put("k", &value).await.expect("written");
        }
        assert!(version > WRITES + 1, "a mark took an offset: {version}");
        let again = open(Queues::Streams).await;
        let found = again.key_value_store(&name).await.expect("a store").get("k").await.expect("read");
        let found = found.expect("the key");
        assert_eq!((found.version, found.value.len()), (version, value.len()));
        again.close().await.expect("closed");
        point.close().await.expect("closed");
        http::call(&management(), "DELETE", &format!("queues/%2F/omsconnect-store-{name}"), "");
    });
}

/// A connection that is not read, as there is no room, stays: heartbeats come through, and what was given out is not given
/// out again.
#[test]
fn a_slow_reader_keeps_its_connection() {
    const SMALL: usize = 3000;
    const LARGE: usize = 60;
    for queues in [Queues::Streams, Queues::Quorum] {
        block_on(async {
            let broker = SharedBroker::new(queues);
            let proxy = Proxy::start(0, &broker_address("rabbitmq"));
            let mut properties = broker.properties();
            properties.insert("heartbeat.seconds".to_owned(), "1".to_owned());
            let point = broker.driver().connect(&url(&proxy.address(), ""), &properties).await;
            let point = point.expect("through the proxy");
            let queue = new_queue(&*point, "slow", 1).await;
            for (bytes, messages) in [(64, SMALL), (1024 * 1024, LARGE)] {
                let (body, mut batch) = (vec![b'x'; bytes], MessageBatch::new());
                for _ in 0..messages {
                    batch.start().finish(&queue, Some(0), 1, Some(&body));
                }
                assert!(send(&*point, batch).await.error.is_none());
            }
            let options = ConsumerOptions { prefetch_bytes: Some(64 * 1024), ..ConsumerOptions::default() };
            let mut consumer = point.pull_consumer(options).await.expect("a consumer");
            let place = QueuePartition::new(queue.clone(), 0);
            let at = if point.capabilities().offsets { StartAt::Begin } else { StartAt::Committed };
            consumer.assign(&[(place.clone(), at)]).await.expect("assigned");
            let mut sizes = Vec::new();
            let (mut made, mut fetched) = (0, 0);
            while sizes.len() < SMALL + LARGE {
                let batch = consumer.poll(1 << 20, Duration::from_secs(20)).await.expect("polled");
                let batch = batch.unwrap_or_else(|| panic!("{} messages came", sizes.len()));
                let before = sizes.len();
                sizes.extend(batch.messages.iter().map(|message| message.body.unwrap_or_default().len()));
                let position = consumer.position(&place).expect("assigned");
                consumer.commit(&[(place.clone(), position)]).await.expect("committed");
                let passed = |number: usize| before < number && sizes.len() >= number;
                if passed(SMALL / 2) {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    (made, fetched) = (proxy.connections(), proxy.bytes_down());
                    // lapin, and the server, give up after two heartbeats.
                    tokio::time::sleep(Duration::from_secs(7)).await;
                    let more = proxy.bytes_down() - fetched;
                    assert!(more < 1024 * 1024, "{queues:?}: {more} bytes were read that nobody wanted");
                }
            }
            assert!(fetched > 0 && proxy.connections() == made, "{queues:?}: it was connected again");
            let expected = [vec![64; SMALL], vec![1024 * 1024; LARGE]].concat();
            assert!(sizes == expected, "{queues:?}: {} messages, not in their order", sizes.len());
            consumer.close().await.expect("closed");
            point.resources().delete_queue(&queue).await.expect("deleted");
            point.close().await.expect("closed");
        });
    }
}

/// A connection has numbers for 2,047 channels. The broker closes the channel on which a queue is asked for that is not there.
#[test]
fn looking_in_vain_leaves_a_point_as_it_was() {
    block_on(async {
        let point = open(Queues::Streams).await;
        let queue = new_queue(&*point, "seen", 2).await;
        for _ in 0..1100 {
            let absent = point.resources().describe_queue("t-absent").await;
            assert_eq!(absent.expect_err("there is none").status, StatusCode::NotFound);
        }
        let found = point.resources().describe_queue(&queue).await.expect("it is there");
        assert_eq!(found.partitions.len(), 2);
        point.resources().delete_queue(&queue).await.expect("deleted");
        point.close().await.expect("closed");
    });
}

/// Where a stream begins and ends is asked by consumers, whose messages RabbitMQ may send before it says that there is such
/// a consumer. Streams that were just written show it most.
#[test]
fn new_streams_are_read_at_once() {
    const AT_ONCE: usize = 4;
    const ROUNDS: usize = 120;
    block_on(async {
        let rounds = (0..AT_ONCE).map(|_| async {
            for _ in 0..ROUNDS {
                let point = open(Queues::Streams).await;
                let queue = new_queue(&*point, "new", 1).await;
                let report = send(&*point, texts(&queue, &["a", "b", "c"])).await;
                assert!(report.error.is_none(), "{:?}", report.error);
                let reading = reader(&*point, &queue, 0, StartAt::Begin);
                let reading = tokio::time::timeout(Duration::from_secs(10), reading).await;
                let mut consumer = reading.expect("assigning hangs").expect("assigned");
                assert_eq!(bodies(&mut *consumer, 3).await, ["a", "b", "c"]);
                point.resources().delete_queue(&queue).await.expect("deleted");
                point.close().await.expect("closed");
            }
        });
        futures::future::join_all(rounds).await;
    });
}
