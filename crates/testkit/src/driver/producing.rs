//! What was sent, and in which order: D7, D8, D12, D13.

use std::collections::HashMap;
use std::sync::Arc;

use openmessaging::{MessageBatch, StatusCode};

use super::DriverFixture;
use super::kit::{all_acknowledged, assert_failed, numbered, open, refused, texts, texts_batch, unique};

const MIB: usize = 1024 * 1024;

/// The parts of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    timestamp: i64,
    key: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    body: Option<Vec<u8>>,
}

/// D7: key, body, headers and timestamp arrive as they were.
pub async fn d07_messages_arrive_as_they_were<F: DriverFixture>(fixture: &mut F) {
    let point = open(fixture).await;
    let queue = point.queue("d07", 1).await;
    let every_byte: Vec<u8> = (0..=255).cycle().take(1000).collect();
    let large: Vec<u8> = (0..4 * MIB).map(|index| ((index * 31) >> 3) as u8).collect();
    let header = |name: &str, value: &[u8]| (name.to_owned(), Some(value.to_vec()));
    let plain =
        Parts { timestamp: 1_763_800_000_123, key: None, headers: Vec::new(), body: Some(b"x".to_vec()) };
    let mut cases = vec![
        plain.clone(),
        Parts { body: Some(Vec::new()), ..plain.clone() },
        Parts { key: Some(b"key".to_vec()), body: Some(every_byte.clone()), ..plain.clone() },
        Parts { key: Some(every_byte.clone()), ..plain.clone() },
        Parts {
            headers: vec![
                header("a", b"1"),
                header("b", b""),
                header("a", b"2"),
                header("\u{e9}", "\u{e9}".as_bytes()),
            ],
            ..plain.clone()
        },
        Parts { timestamp: 1, body: Some(large), ..plain.clone() },
    ];
    if point.can.null_bodies {
        cases.push(Parts { key: Some(b"gone".to_vec()), body: None, ..plain.clone() });
    }
    if point.can.binary_headers {
        cases.push(Parts { headers: vec![header("bytes", &every_byte), header("zero", &[0])], ..plain });
    }
    let mut batch = MessageBatch::new();
    for case in &cases {
        let mut writer = batch.start();
        writer.sharding_key(Some(b"not stored"));
        writer.key(case.key.as_deref());
        for (name, value) in &case.headers {
            writer.header(name, value.as_deref());
        }
        writer.finish(&queue, Some(0), case.timestamp, case.body.as_deref());
    }
    // Alone and in company; the headers of a batch are those of its messages.
    let mut producer = point.producer().await;
    let batch = point.send(&mut *producer, batch).await.batch;
    let mut shared = MessageBatch::new();
    shared.share_header("of-all", Some(b"yes"));
    shared.push(&batch.get(4).expect("the one with headers"));
    point.send(&mut *producer, shared).await;
    let got = point.read(&queue, 0, cases.len() + 1).await;
    for (case, got) in cases.iter().zip(&got) {
        let got = Parts {
            timestamp: got.timestamp,
            key: got.key.clone(),
            headers: got.headers.clone(),
            body: got.body.clone(),
        };
        assert!(got == *case, "sent {} and got {}", brief(case), brief(&got));
    }
    let mut expected = cases[4].headers.clone();
    expected.insert(0, header("of-all", b"yes"));
    assert_eq!(got[cases.len()].headers, expected);
    point.delete(&queue).await;
    point.close().await;
}

fn brief(parts: &Parts) -> String {
    let length = |part: &Option<Vec<u8>>| part.as_ref().map(Vec::len);
    let Parts { timestamp, key, headers, body } = parts;
    format!(
        "timestamp {timestamp}, key of {:?}, headers {headers:?}, body of {:?} bytes",
        length(key),
        length(body)
    )
}

/// D8: the same key, the same partition, in the order of sending; a named partition is the one.
pub async fn d08_order_per_sharding_key<F: DriverFixture>(fixture: &mut F) {
    const KEYS: usize = 17;
    const BATCHES: usize = 60;
    let point = open(fixture).await;
    let queue = point.queue("d08", 4).await;
    let mut producer = point.producer().await;
    let mut sends = Vec::new();
    for batch in 0..BATCHES {
        let mut messages = MessageBatch::new();
        for step in 0..KEYS * 3 {
            let key = format!("key{}", (step * 7 + batch) % KEYS);
            let body = format!("{key}:{batch:03}:{step:03}");
            let mut writer = messages.start();
            // Half are kept in order by their sharding key, half by their key.
            if step % KEYS < KEYS / 2 {
                writer.key(Some(key.as_bytes()))
            } else {
                writer.sharding_key(Some(key.as_bytes()))
            }
            writer.finish(&queue, None, 1, Some(body.as_bytes()));
        }
        sends.push(producer.send(messages));
    }
    for send in sends {
        all_acknowledged(&point.within("a send", send).await);
    }
    let mut home: HashMap<String, (u32, String)> = HashMap::new();
    let mut count = 0;
    for got in point.read_queue(&queue).await.into_iter().flatten() {
        count += 1;
        let text = got.text();
        let key = text.split(':').next().unwrap_or_default().to_owned();
        if let Some((partition, last)) = home.get(&key) {
            assert_eq!(*partition, got.partition, "{text} is in another partition than {last}");
            assert!(*last < text, "{text} came after {last}");
        }
        home.insert(key, (got.partition, text));
    }
    assert_eq!((count, home.len()), (BATCHES * KEYS * 3, KEYS));

    let partitions =
        point.point.resources().describe_queue(&queue).await.expect("described").partitions.len();
    let named: Arc<str> = point.queue("d08n", partitions as u32).await;
    for partition in 0..partitions as u32 {
        point.send_texts_to(&named, partition, [format!("p{partition}")]).await;
        assert_eq!(texts(&point.read(&named, partition, 1).await), [format!("p{partition}")]);
    }
    let mut batch = texts_batch(&named, Some(0), &["before"]);
    batch.start().finish(&named, Some(partitions as u32), 1, Some(b"nowhere"));
    let report = point.within("a send", producer.send(batch)).await;
    assert_failed(&report, 1, StatusCode::PartitionNotFound);
    point.delete(&queue).await;
    point.delete(&named).await;
    point.close().await;
}

/// D12: a send is not taken back.
pub async fn d12_a_dropped_send_is_still_sent<F: DriverFixture>(fixture: &mut F) {
    let point = open(fixture).await;
    let queue = point.queue("d12", 1).await;
    let mut producer = point.producer().await;
    for number in 0..20 {
        let send = producer.send(texts_batch(&queue, Some(0), &[format!("m{number:06}")]));
        if number % 2 == 0 {
            drop(send);
        } else {
            all_acknowledged(&point.within("a send", send).await);
        }
    }
    drop(producer.send(texts_batch(&queue, Some(0), &["m000020"])));
    point.within("close", producer.close()).await.expect("closed");
    assert_eq!(texts(&point.read(&queue, 0, 21).await), numbered(21));
    point.delete(&queue).await;
    point.close().await;
}

/// D13: sending makes no queue.
pub async fn d13_queues_are_made_on_purpose<F: DriverFixture>(fixture: &mut F) {
    let point = open(fixture).await;
    let (there, absent) = (point.queue("d13", 1).await, Arc::<str>::from(unique("d13-absent")));
    let mut producer = point.producer().await;
    let mut batch = texts_batch(&there, Some(0), &["one"]);
    batch.start().finish(&absent, None, 1, Some(b"lost"));
    batch.start().finish(&there, Some(0), 1, Some(b"behind"));
    let report = point.within("a send", producer.send(batch)).await;
    assert_failed(&report, 1, StatusCode::NotFound);
    let error = report.error.expect("failed");
    assert!(!error.is_retriable() && error.to_string().contains(&*absent), "{error}");
    let resources = point.point.resources();
    refused(resources.describe_queue(&absent).await, StatusCode::NotFound, "describing it");
    assert!(!resources.list_queues().await.expect("listed").contains(&absent.to_string()));
    let mut consumer = point.consumer(&unique("group")).await;
    let place = openmessaging::QueuePartition::new(absent.clone(), 0);
    refused(consumer.assign(&[(place, point.oldest())]).await, StatusCode::NotFound, "consuming it");
    assert_eq!(texts(&point.read(&there, 0, 1).await), ["one"]);
    point.delete(&there).await;
    point.close().await;
}
