//! What is RocketMQ's own.

use std::sync::Arc;
use std::time::Duration;

use openmessaging::{
    ConsumerOptions, MessageBatch, MessagingAccessPoint, ProducerOptions, PullConsumer, QueuePartition,
    SendReport, Severity, StartAt, StatusCode,
};
use testkit::block_on;
use testkit::driver::{DriverFixture, new_queue, unique};
use testkit::server::Foreign;

use crate::fixture::{Private, Shared, properties, url};
use testkit::broker::rocketmq_client as foreign;

type Point = Arc<dyn MessagingAccessPoint>;

async fn open(fixture: &impl DriverFixture, pairs: &[(&str, &str)]) -> Point {
    let opened = fixture.driver().connect(&fixture.url(), &properties(pairs)).await;
    opened.unwrap_or_else(|error| panic!("{error}"))
}

async fn send(point: &Point, batch: MessageBatch) -> SendReport {
    let mut producer = point.producer(ProducerOptions::default()).await.expect("a producer");
    let report = producer.send(batch).await;
    producer.close().await.expect("closed");
    report
}

async fn read(point: &Point, queue: &Arc<str>, count: usize) -> Vec<Vec<u8>> {
    let mut consumer = point.pull_consumer(ConsumerOptions::default()).await.expect("a consumer");
    let place = QueuePartition::new(queue.clone(), 0);
    consumer.assign(&[(place, StartAt::Begin)]).await.expect("assigned");
    take(&mut *consumer, count).await
}

async fn take(consumer: &mut dyn PullConsumer, count: usize) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    while bodies.len() < count {
        let batch = consumer.poll(1 << 20, Duration::from_secs(20)).await.expect("polled").expect("messages");
        bodies.extend(batch.messages.iter().map(|message| message.body.unwrap_or_default().to_vec()));
    }
    bodies
}

fn bodies(queue: &Arc<str>, bodies: &[Vec<u8>]) -> MessageBatch {
    let mut batch = MessageBatch::new();
    for body in bodies {
        batch.start().finish(queue, Some(0), 1, Some(body));
    }
    batch
}

/// A broker that takes less than requests hold gets messages one by one.
#[test]
fn a_broker_with_a_smaller_limit_gets_smaller_requests() {
    block_on(async {
        let mut fixture = Private::new();
        fixture.set("maxMessageSize=20000");
        let point = open(&fixture, &[]).await;
        let queue = new_queue(&*point, "small", 1).await;
        let mut sent: Vec<Vec<u8>> = (0..100_u8).map(|number| vec![number; 1000]).collect();
        assert!(send(&point, bodies(&queue, &sent)).await.error.is_none());
        assert_eq!(read(&point, &queue, 100).await, sent);
        sent[2] = vec![7; 30_000];
        let report = send(&point, bodies(&queue, &sent)).await;
        let error = report.error.expect("too large");
        assert_eq!((error.status, report.acknowledged.prefix()), (StatusCode::MessageTooLarge, 2), "{error}");
        let found = point.diagnose().await.expect("diagnosed").findings;
        assert!(found.iter().any(|finding| finding.code == "rocketmq.max-message-size"), "{found:?}");
        point.close().await.expect("closed");
    });
}

/// One name server that answers is enough.
#[test]
fn any_name_server_will_do() {
    block_on(async {
        let fixture = Shared::new();
        let endpoint = fixture.url().endpoints()[0].clone();
        let address = format!("{}:{}", endpoint.host, endpoint.port.unwrap_or_default());
        let both = url(&format!("127.0.0.1:1,{address}"), "default");
        let point = fixture.driver().connect(&both, &properties(&[])).await.expect("open");
        let found = point.diagnose().await.expect("diagnosed").findings;
        let about = |severity| {
            found.iter().any(|finding| finding.code == "rocketmq.name-server" && finding.severity == severity)
        };
        assert!(about(Severity::Ok) && about(Severity::Warning), "{found:?}");
        point.close().await.expect("closed");
    });
}

/// What others compress is read (their client does from 4 KiB on); headers that are text are properties to them.
#[test]
fn others_compressed_bodies_are_read_and_headers_are_properties() {
    block_on(async {
        let fixture = Private::new();
        let point = open(&fixture, &[]).await;
        for kind in ["ZLIB", "LZ4", "ZSTD"] {
            let theirs: Arc<str> = unique("theirs").into();
            let text: String = (0..60_000).map(|number| format!("{number} ")).collect();
            let large = Foreign { key: None, body: text.into_bytes() };
            let place = fixture.broker().place();
            let broker = fixture.own_broker();
            let messages = std::slice::from_ref(&large);
            foreign::write_compressed(&place.folder, &place.address(), &broker, &theirs, messages, kind);
            let described = point.resources().describe_queue(&theirs).await.expect("described");
            let at =
                described.partitions.iter().find(|partition| partition.end > 0).expect("a message").partition;
            let mut consumer = point.pull_consumer(ConsumerOptions::default()).await.expect("a consumer");
            let place = QueuePartition::new(theirs.clone(), at);
            consumer.assign(&[(place, StartAt::Begin)]).await.expect("assigned");
            assert!(take(&mut *consumer, 1).await == [large.body], "{kind}");
        }

        let own = new_queue(&*point, "own", 1).await;
        let mut batch = MessageBatch::new();
        for number in ["1", "2"] {
            let mut writer = batch.start();
            writer.sharding_key(Some(b"order"));
            writer.key(Some(b"k"));
            writer.header("TAGS", Some(b"red"));
            writer.header("number", Some(number.as_bytes()));
            writer.finish(&own, Some(0), 1, Some(b"x"));
        }
        assert!(send(&point, batch).await.error.is_none());
        let place = fixture.broker().place();
        let seen = foreign::properties(&place.folder, &place.address(), &own, 2);
        for (seen, number) in seen.iter().zip(["number=1", "number=2"]) {
            for part in ["KEYS=k", "TAGS=red", "__SHARDINGKEY=order", number] {
                assert!(seen.contains(part), "{part} in {seen}");
            }
        }
        point.close().await.expect("closed");
    });
}

/// A message that no slave has is acknowledged only where the settings say so; and `doctor` tells what loses messages.
#[test]
fn a_missing_slave_is_a_failure_unless_it_is_accepted() {
    block_on(async {
        let mut fixture = Private::new();
        let codes = |found: Vec<openmessaging::Finding>| -> Vec<(&'static str, Severity)> {
            let broken =
                found.iter().find(|finding| finding.code == "rocketmq.broker" && finding.remedy.is_some());
            assert!(broken.is_none(), "{broken:?}");
            found.into_iter().map(|finding| (finding.code, finding.severity)).collect()
        };
        let point = open(&fixture, &[]).await;
        let found = codes(point.diagnose().await.expect("diagnosed").findings);
        for code in ["rocketmq.flush", "rocketmq.replication", "rocketmq.auto-create-topic"] {
            assert!(found.contains(&(code, Severity::Warning)), "{code}: {found:?}");
        }
        let queue = new_queue(&*point, "slaves", 1).await;
        point.close().await.expect("closed");

        fixture.set("brokerRole=SYNC_MASTER");
        fixture.set("flushDiskType=SYNC_FLUSH");
        fixture.set("fileReservedTime=2");
        let point = open(&fixture, &[]).await;
        let found = codes(point.diagnose().await.expect("diagnosed").findings);
        for (code, severity) in [
            ("rocketmq.flush", Severity::Ok),
            ("rocketmq.replication", Severity::Ok),
            ("rocketmq.retention", Severity::Error),
        ] {
            assert!(found.contains(&(code, severity)), "{code}: {found:?}");
        }
        fixture.set("inSyncReplicas=2");
        let report = send(&point, bodies(&queue, &[b"alone".to_vec()])).await;
        let error = report.error.expect("no slave has it");
        assert!(error.is_retriable() && error.to_string().contains("slave"), "{error}");
        point.close().await.expect("closed");
    });
}

/// A message that is not on the disk in time is acknowledged only where the settings say so.
#[test]
fn a_late_disk_is_a_failure_unless_it_is_accepted() {
    block_on(async {
        let mut fixture = Private::new();
        fixture.set("flushDiskType=SYNC_FLUSH");
        // Later than at once.
        fixture.set("syncFlushTimeout=0");
        let point = open(&fixture, &[]).await;
        let queue = new_queue(&*point, "disk", 1).await;
        let begin = std::time::Instant::now();
        let error = loop {
            if let Some(error) = send(&point, bodies(&queue, &[vec![b'x'; 100_000]])).await.error {
                break error;
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "the disk is always in time");
        };
        assert!(error.is_retriable() && error.to_string().contains("accept.send.status"), "{error}");
        assert_eq!(error.status, StatusCode::Timeout, "{error}");
        point.close().await.expect("closed");
        let point = open(&fixture, &[("accept.send.status", "flush-disk-timeout")]).await;
        for _ in 0..20 {
            let report = send(&point, bodies(&queue, &[vec![b'x'; 100_000]])).await;
            assert!(report.error.is_none(), "{report:?}");
        }
        point.close().await.expect("closed");
    });
}

/// Text, and what would end a property: headers, keys and names of any kind, through single messages and batches.
#[test]
fn headers_that_look_like_properties_arrive_as_they_were() {
    block_on(async {
        let fixture = Shared::new();
        let point = open(&fixture, &[]).await;
        let queue = new_queue(&*point, "headers", 1).await;
        let headers: [(&str, Option<&[u8]>); 9] = [
            ("KEYS", Some(b"mine")),
            ("WAIT", Some(b"false")),
            ("DELAY", Some(b"3")),
            ("TIMER_DELAY_MS", Some(b"60000")),
            ("oms.headers", Some(b"=;")),
            ("a\u{1}b\u{2}c", Some(b"x\x01y\x02z")),
            ("", Some(b"no name")),
            ("null", None),
            ("plain", Some("\u{4e2d}".as_bytes())),
        ];
        for together in [1, 3] {
            let mut batch = MessageBatch::new();
            for _ in 0..together {
                let mut writer = batch.start();
                writer.key(Some(b"two words"));
                for (name, value) in headers {
                    writer.header(name, value);
                }
                writer.finish(&queue, Some(0), 1, Some(b"x"));
            }
            assert!(send(&point, batch).await.error.is_none());
        }
        let mut consumer = point.pull_consumer(ConsumerOptions::default()).await.expect("a consumer");
        consumer.assign(&[(QueuePartition::new(queue.clone(), 0), StartAt::Begin)]).await.expect("assigned");
        let mut count = 0;
        while count < 4 {
            let batch =
                consumer.poll(1 << 20, Duration::from_secs(20)).await.expect("polled").expect("messages");
            for message in batch.messages.iter() {
                let got: Vec<_> =
                    message.headers.into_iter().map(|header| (header.name, header.value)).collect();
                assert_eq!((got, message.key), (headers.to_vec(), Some(&b"two words"[..])));
                count += 1;
            }
        }
        point.resources().delete_queue(&queue).await.expect("deleted");
        point.close().await.expect("closed");
    });
}

/// A long backlog comes whole and in order, whatever the broker gives with each answer.
#[test]
fn a_backlog_is_read_ahead_in_order() {
    block_on(async {
        const COUNT: usize = 20_000;
        let fixture = Shared::new();
        let point = open(&fixture, &[]).await;
        let queue = new_queue(&*point, "backlog", 1).await;
        let sent: Vec<Vec<u8>> = (0..COUNT)
            .map(|number| format!("{number} {}", "x".repeat(number * 37 % 3000)).into_bytes())
            .collect();
        assert!(send(&point, bodies(&queue, &sent)).await.error.is_none());
        assert!(read(&point, &queue, COUNT).await == sent, "something is missing, twice or in another order");
        point.resources().delete_queue(&queue).await.expect("deleted");
        point.close().await.expect("closed");
    });
}

/// What the broker removes for its age is passed over, the rest is read whole; a store that wrote a snapshot outlives it.
#[test]
fn what_was_removed_is_passed_over_and_stores_outlive_it() {
    block_on(async {
        const MESSAGES: usize = 60_000;
        let fixture = Private::new();
        let point = open(&fixture, &[]).await;
        let (lost, kept) = (unique("lost"), unique("kept"));
        fill_store(&point, &lost, 10).await;
        fill_store(&point, &kept, 10).await;
        let queue = new_queue(&*point, "old", 1).await;
        let mut late =
            point.pull_consumer(ConsumerOptions { prefetch_bytes: Some(1), ..Default::default() }).await;
        let late = late.as_mut().expect("a consumer");
        let place = QueuePartition::new(queue.clone(), 0);
        late.assign(&[(place.clone(), StartAt::Begin)]).await.expect("assigned");
        let text = |number: usize| format!("{number:08} {}", "x".repeat(1000)).into_bytes();
        for start in (0..MESSAGES).step_by(1000) {
            let batch: Vec<Vec<u8>> = (start..start + 1000).map(text).collect();
            assert!(send(&point, bodies(&queue, &batch)).await.error.is_none());
        }
        // So many that snapshots are written: what was before them is removed.
        for round in 0..30 {
            fill_store(&point, &kept, 400 + round).await;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let place_of = fixture.broker().place();
        let log = place_of.folder.join("store/commitlog");
        let mut files: Vec<_> =
            std::fs::read_dir(&log).expect("files").flatten().map(|file| file.path()).collect();
        files.sort();
        // All but the last of them are four days old; what the stores wrote first is among them.
        let old = std::time::SystemTime::now() - Duration::from_secs(4 * 24 * 3600);
        for file in &files[..files.len() - 3] {
            let file = std::fs::File::options().write(true).open(file).expect("a file");
            file.set_modified(old).expect("made old");
        }
        foreign::expire(&place_of.folder, &place_of.address(), &fixture.own_broker());
        let first = settled(&point, &queue).await as usize;
        // One that begins now, and one whose place was removed.
        let mut early = point.pull_consumer(ConsumerOptions::default()).await.expect("a consumer");
        early.assign(&[(place.clone(), StartAt::Begin)]).await.expect("assigned");
        for (consumer, skips) in [(&mut early, 0), (late, 1)] {
            let numbers = numbers(&mut **consumer, MESSAGES).await;
            let gaps = numbers.windows(2).filter(|pair| pair[0] + 1 != pair[1]).count();
            assert!(gaps <= skips && numbers.is_sorted(), "{gaps} gaps, from {} and {first}", numbers[0]);
            assert!(numbers[0] == first || skips > 0, "{} is not {first}", numbers[0]);
        }
        point.close().await.expect("closed");
        let again = open(&fixture, &[]).await;
        let store = again.key_value_store(&kept).await.expect("it has a snapshot");
        let page = store.list("", None, 1000).await.expect("listed");
        assert_eq!(page.entries.len(), 429);
        assert!(page.entries.iter().any(|entry| entry.key == "k3" && entry.value == b"429"));
        let error = again.key_value_store(&lost).await.err().expect("it was removed");
        assert_eq!(error.status, StatusCode::Corrupt, "never an empty one: {error}");
        again.close().await.expect("closed");
    });
}

/// Puts so many keys, all of the same value.
async fn fill_store(point: &Point, name: &str, keys: usize) {
    let store = point.key_value_store(name).await.expect("a store");
    let puts = (0..keys).map(|key| {
        let (store, key) = (store.clone(), format!("k{key}"));
        async move { store.put(&key, keys.to_string().as_bytes()).await }
    });
    for put in futures::future::join_all(puts).await {
        put.expect("put");
    }
}

/// Where the queue begins once something was removed, and nothing more is.
async fn settled(point: &Point, queue: &Arc<str>) -> u64 {
    let start = std::time::Instant::now();
    let (mut last, mut since) = (0, start);
    while last == 0 || since.elapsed() < Duration::from_secs(5) {
        assert!(start.elapsed() < Duration::from_secs(150), "nothing is removed");
        tokio::time::sleep(Duration::from_millis(500)).await;
        let described = point.resources().describe_queue(queue).await.expect("described");
        let begin = described.partitions[0].begin;
        if begin != last {
            (last, since) = (begin, std::time::Instant::now());
        }
    }
    last
}

/// The numbers that bodies begin with, up to the last.
async fn numbers(consumer: &mut dyn PullConsumer, count: usize) -> Vec<usize> {
    let mut numbers = Vec::new();
    while numbers.last() != Some(&(count - 1)) {
        let polled = consumer.poll(1 << 20, Duration::from_secs(20)).await.expect("polled");
        let Some(batch) = polled else {
            panic!("nothing behind {:?}, {} messages", numbers.last(), numbers.len())
        };
        for message in batch.messages.iter() {
            let digits = message.body.and_then(|body| str::from_utf8(&body[..8]).ok());
            numbers.push(digits.and_then(|digits| digits.parse().ok()).expect("a number"));
        }
    }
    numbers
}
