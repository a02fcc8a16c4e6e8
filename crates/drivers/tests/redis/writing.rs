//! Sending, as it is at this broker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use openmessaging::{
    ConsumerOptions, MessageBatch, MessagingAccessPoint, Producer, ProducerOptions, QueuePartition,
    QueueSpec, SendReport, StartAt, StatusCode,
};
use testkit::broker::PrivateBroker;
use testkit::driver::{DriverFixture, create, unique};

use crate::fixture::{Private, Shared, driver, properties, url};
use testkit::broker::redis::Replica;

pub fn texts(queue: &Arc<str>, texts: impl IntoIterator<Item = String>) -> MessageBatch {
    let mut batch = MessageBatch::new();
    for text in texts {
        batch.start().finish(queue, None, 1, Some(text.as_bytes()));
    }
    batch
}

pub async fn producer(point: &dyn MessagingAccessPoint) -> Box<dyn Producer> {
    point.producer(ProducerOptions::default()).await.expect("a producer")
}

pub async fn send(producer: &mut dyn Producer, batch: MessageBatch) {
    stored(&producer.send(batch).await);
}

pub fn stored(report: &SendReport) {
    assert!(report.error.is_none(), "{report:?}");
}

/// All bodies of partition 0 as text, with their offsets.
pub async fn read(point: &dyn MessagingAccessPoint, queue: &Arc<str>, count: usize) -> Vec<(u64, String)> {
    let mut consumer = point.pull_consumer(ConsumerOptions::default()).await.expect("a consumer");
    let place = QueuePartition::new(queue.clone(), 0);
    consumer.assign(&[(place, StartAt::Begin)]).await.expect("assigned");
    let mut got = Vec::new();
    while got.len() < count {
        let batch = consumer.poll(1 << 20, Duration::from_secs(20)).await.expect("polled").expect("messages");
        let bodies = batch.messages.iter().map(|message| message.body.unwrap_or_default().to_vec());
        let bodies = bodies.map(|body| String::from_utf8_lossy(&body).into_owned());
        got.extend(batch.offsets.iter().copied().zip(bodies));
    }
    assert!(consumer.poll(1 << 20, Duration::from_millis(100)).await.expect("polled").is_none());
    got
}

fn numbered(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("m{number}"))
}

#[test]
fn offsets_count_messages_also_behind_those_of_others() {
    testkit::block_on(async {
        let server = Private::new();
        let point = server.open().await.expect("open");
        let queue = create(&*point, QueueSpec::new(unique("dense"), 1)).await;
        let mut producer = producer(&*point).await;
        send(&mut *producer, texts(&queue, numbered(700))).await;
        let tool = server.tool();
        let theirs = tool.run(&["XADD", &queue, "*", "body", "theirs"]);
        send(&mut *producer, texts(&queue, numbered(2))).await;
        let got = read(&*point, &queue, 703).await;
        assert!(got[..700].iter().enumerate().all(|(index, (offset, _))| *offset == index as u64 + 1));
        assert_eq!((got[701].0, got[702].0), (got[700].0 + 1, got[700].0 + 2));
        let (time, _) = theirs.split_once('-').expect("an id");
        assert_eq!(got[700].0 >> 20, time.parse::<u64>().expect("a time"));
        // Where the second part of ids ends, the first one goes on.
        tool.run(&["XSETID", &queue, &format!("{}-1048574", time.parse::<u64>().expect("a time") + 5)]);
        send(&mut *producer, texts(&queue, numbered(3))).await;
        let got = read(&*point, &queue, 706).await;
        assert_eq!((got[704].0, got[705].0), (got[703].0 + 1, got[703].0 + 2), "{:?}", &got[700..]);
        point.close().await.expect("closed");
    });
}

/// A producer goes on with the ids of its last part, whatever was done to the stream meanwhile.
#[test]
fn what_others_do_between_parts_is_noticed() {
    testkit::block_on(async {
        let server = Private::new();
        let point = server.open().await.expect("open");
        let (tool, last) = (server.tool(), u64::from(u32::MAX >> 12));
        let spec = || QueueSpec::new(unique("between"), 1);
        let (one, other) = (create(&*point, spec()).await, create(&*point, spec()).await);
        let mut producer = producer(&*point).await;
        let offsets = |got: Vec<(u64, String)>| got.into_iter().map(|(offset, _)| offset).collect::<Vec<_>>();
        // The second half of the ids ends within a part, behind its first message, and before it.
        for (set, then) in [(last - 2, [last - 1, last, last + 1]), (last - 1, [last, last + 1, last + 2])] {
            let queue = create(&*point, spec()).await;
            send(&mut *producer, texts(&queue, numbered(1))).await;
            tool.run(&["XSETID", &queue, &format!("0-{set}")]);
            send(&mut *producer, texts(&queue, numbered(3))).await;
            assert_eq!(offsets(read(&*point, &queue, 4).await)[1..], then);
        }
        // Another stream has ids of others.
        send(&mut *producer, texts(&one, numbered(2))).await;
        tool.run(&["XADD", &other, "9-7", "body", "theirs"]);
        send(&mut *producer, texts(&other, numbered(2))).await;
        send(&mut *producer, texts(&one, numbered(2))).await;
        assert_eq!(offsets(read(&*point, &one, 4).await), [1, 2, 3, 4]);
        assert_eq!(offsets(read(&*point, &other, 3).await), [(9 << 20) + 7, (9 << 20) + 8, (9 << 20) + 9]);
        // A second half that is no id of ours: the next first half.
        tool.run(&["XSETID", &one, "0-5000000"]);
        send(&mut *producer, texts(&one, numbered(2))).await;
        assert_eq!(offsets(read(&*point, &one, 6).await), [1, 2, 3, 4, 1 << 20, (1 << 20) + 1]);
        // The stream goes: nothing makes it again.
        tool.run(&["DEL", &one]);
        let error = producer.send(texts(&one, numbered(2))).await.error.expect("there is no stream");
        assert_eq!(error.status, StatusCode::NotFound, "{error}");
        assert_eq!(tool.run(&["EXISTS", &one]), "0");
        point.close().await.expect("closed");
    });
}

/// A user who may not ask for the version gets ids from the script, as servers before 7.0 do.
#[test]
fn ids_are_the_same_on_servers_that_do_not_make_them() {
    testkit::block_on(async {
        let server = Private::new();
        server.tool().run(&["ACL", "SETUSER", "shy", "on", ">shy", "+@all", "-info", "~*"]);
        let given = properties(&[("user", "shy"), ("password", "shy")]);
        let point = driver().connect(&server.url(), &given).await.expect("open");
        let queue = create(&*point, QueueSpec::new(unique("explicit"), 1)).await;
        let mut producer = producer(&*point).await;
        send(&mut *producer, texts(&queue, numbered(3))).await;
        server.tool().run(&["XSETID", &queue, "7-1048575"]);
        send(&mut *producer, texts(&queue, numbered(2))).await;
        let offsets: Vec<u64> =
            read(&*point, &queue, 5).await.into_iter().map(|(offset, _)| offset).collect();
        assert_eq!(offsets, [1, 2, 3, 8 << 20, (8 << 20) + 1]);
        point.close().await.expect("closed");
    });
}

/// The server forgets the script, and the connection is ended by an operator: nothing is noticed.
#[test]
fn a_forgotten_script_and_a_killed_connection_are_made_good() {
    testkit::block_on(async {
        let server = Private::new();
        let point = server.open().await.expect("open");
        let queue = create(&*point, QueueSpec::new(unique("forgotten"), 1)).await;
        let mut producer = producer(&*point).await;
        for round in 0..6 {
            send(&mut *producer, texts(&queue, [format!("m{round}")])).await;
            match round % 2 {
                0 => server.tool().run(&["SCRIPT", "FLUSH"]),
                _ => server.tool().run(&["CLIENT", "KILL", "TYPE", "normal"]),
            };
        }
        let got: Vec<String> = read(&*point, &queue, 6).await.into_iter().map(|(_, text)| text).collect();
        assert_eq!(got, numbered(6).collect::<Vec<_>>());
        point.close().await.expect("closed");
    });
}

/// With a memory that is full time and again, and much in flight, nothing is overtaken or stored twice.
#[test]
fn a_memory_that_is_full_now_and_then_loses_and_doubles_nothing() {
    testkit::block_on(async {
        let server = Private::new();
        let point = server.open().await.expect("open");
        let queue = create(&*point, QueueSpec::new(unique("full"), 1)).await;
        let mut producer = producer(&*point).await;
        let tool = server.tool();
        let limits = std::thread::spawn(move || {
            for round in 0..40 {
                tool.run(&["CONFIG", "SET", "maxmemory", if round % 2 == 0 { "1mb" } else { "0" }]);
                std::thread::sleep(Duration::from_millis(7));
            }
        });
        let (mut next, mut failures) = (0, 0);
        while !limits.is_finished() || next < 2000 {
            let sends: Vec<_> = (0..8)
                .map(|batch| {
                    let from = next + batch * 20;
                    producer.send(texts(&queue, (from..from + 20).map(|number| number.to_string())))
                })
                .collect();
            for send in sends {
                let report = send.await;
                next += report.acknowledged.prefix();
                match report.error.map(|error| error.status) {
                    None => {}
                    Some(StatusCode::Full) => failures += 1,
                    Some(StatusCode::Aborted) => assert_eq!(report.acknowledged.prefix(), 0),
                    Some(other) => panic!("{other:?}"),
                }
            }
            producer.recover().await.expect("recovered");
        }
        limits.join().expect("the operator");
        let got: Vec<String> = read(&*point, &queue, next).await.into_iter().map(|(_, text)| text).collect();
        assert_eq!(got, (0..next).map(|number| number.to_string()).collect::<Vec<_>>());
        assert!(failures > 0, "it was never full");
        point.close().await.expect("closed");
    });
}

/// A batch of many parts that is refused in the middle says how much of it is stored.
#[test]
fn a_batch_of_many_parts_ends_where_its_queue_does() {
    testkit::block_on(async {
        let server = Shared::new();
        let point = server.open().await.expect("open");
        let there = create(&*point, QueueSpec::new(unique("parts"), 3)).await;
        let mut batch = texts(&there, numbered(2500));
        batch.start().finish(&there, Some(3), 1, Some(b"nowhere"));
        batch.start().finish(&there, Some(0), 1, Some(b"behind"));
        let mut producer = producer(&*point).await;
        let report = producer.send(batch).await;
        assert_eq!(report.acknowledged.prefix(), 2500);
        assert_eq!(report.error.map(|error| error.status), Some(StatusCode::PartitionNotFound));
        let described = point.resources().describe_queue(&there).await.expect("described").partitions;
        assert_eq!(described.iter().map(|partition| partition.end - partition.begin).sum::<u64>(), 2500);
        point.resources().delete_queue(&there).await.expect("deleted");
        point.close().await.expect("closed");
    });
}

/// Where there are replicas, a message is acknowledged when one has it; a replica itself is refused by name.
#[test]
fn replicas_are_waited_for() {
    testkit::block_on(async {
        let server = Private::new();
        let mut replica = PrivateBroker::start(Replica::of(server.broker.place().port()));
        let begin = Instant::now();
        while !server.tool().run(&["INFO", "replication"]).contains("state=online") {
            assert!(begin.elapsed() < Duration::from_secs(20), "the replica does not come");
            std::thread::sleep(Duration::from_millis(50));
        }
        let mut given = server.properties();
        given.insert("request.timeout.ms".to_owned(), "2000".to_owned());
        let point = driver().connect(&server.url(), &given).await.expect("open");
        let queue = create(&*point, QueueSpec::new(unique("waits"), 1)).await;
        let mut one = producer(&*point).await;
        send(&mut *one, texts(&queue, numbered(10))).await;
        replica.freeze();
        let report = one.send(texts(&queue, ["late".to_owned()])).await;
        let error = report.error.expect("no replica has it");
        assert!(error.is_retriable(), "{error}");
        replica.thaw();
        one.recover().await.expect("recovered");
        send(&mut *one, texts(&queue, ["after".to_owned()])).await;

        let address = replica.place().address();
        let only = url(&format!("oms:redis://{address}/default"));
        let refused = driver().connect(&only, &server.properties()).await.err().expect("a replica");
        assert!(
            refused.to_string().contains("replica") && refused.to_string().contains(&address),
            "{refused}"
        );
        // Of several the primary is found.
        let both = url(&format!("oms:redis://{address},{}/default", server.broker.place().address()));
        let found = driver().connect(&both, &server.properties()).await.expect("the primary");
        assert!(found.resources().list_queues().await.expect("listed").contains(&queue.to_string()));
        found.close().await.expect("closed");
        point.close().await.expect("closed");
        replica.stop();
    });
}

/// What a producer leaves behind when it ends: nothing.
#[test]
fn a_producer_that_is_closed_leaves_no_key() {
    testkit::block_on(async {
        let server = Private::new();
        let point = server.open().await.expect("open");
        let queue = create(&*point, QueueSpec::new(unique("clean"), 1)).await;
        let mut producer = producer(&*point).await;
        send(&mut *producer, texts(&queue, numbered(1))).await;
        assert!(server.tool().run(&["KEYS", "omsconnect.producer:*"]).contains("omsconnect"));
        producer.close().await.expect("closed");
        let begin = Instant::now();
        while server.tool().run(&["KEYS", "omsconnect*"]).contains("omsconnect") {
            assert!(begin.elapsed() < Duration::from_secs(5), "the key stays");
            std::thread::sleep(Duration::from_millis(20));
        }
        point.close().await.expect("closed");
    });
}
