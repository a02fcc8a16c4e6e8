//! Produces and consumes as fast as a driver can, for `cargo xtask bench drivers`, which runs the broker's own tool beside it:
//!
//! ```text
//! broker_bench produce URL QUEUE MESSAGES BYTES [PROPERTY=VALUE]...
//! broker_bench consume URL QUEUE MESSAGES BYTES [PROPERTY=VALUE]...
//! broker_bench store URL STORE KEYS BYTES [PROPERTY=VALUE]...
//! broker_bench delete URL QUEUE 0 0 [PROPERTY=VALUE]...
//! ```
//!
//! One line of JSON: messages, seconds, user and system CPU seconds, the peak of resident memory in bytes. `produce` makes
//! the queue anew, and counts what was acknowledged; `consume` reads it from the oldest message on; `store` puts so many keys, 500 at a time, and lists them in pages.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openmessaging::{
    ConsumerOptions, MessageBatch, MessagingAccessPoint, ProducerOptions, Properties, QueuePartition,
    QueueSpec, StartAt,
};

/// As a source task sends: batches of 256 KiB, 8 MiB in flight.
const BATCH_BYTES: usize = 256 * 1024;
const IN_FLIGHT: usize = 32;

/// Bodies are taken from a text so long that no compression sees one twice.
const LETTERS: usize = 4 * 1024 * 1024;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, url, queue, messages, bytes, properties @ ..] = &arguments[..] else {
        panic!("usage: broker_bench produce|consume URL QUEUE MESSAGES BYTES [PROPERTY=VALUE]...")
    };
    let properties: Properties = properties
        .iter()
        .map(|property| property.split_once('=').expect("PROPERTY=VALUE"))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let (messages, bytes) = (messages.parse().expect("a number"), bytes.parse().expect("a number"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let seconds = runtime.block_on(async {
        let url = url.parse().expect("a URL");
        let point =
            drivers::registry().connect(&url, &properties).await.unwrap_or_else(|error| panic!("{error}"));
        let queue: Arc<str> = queue.as_str().into();
        let seconds = match what.as_str() {
            "produce" => produce(&*point, &queue, messages, bytes).await,
            "consume" => consume(&*point, &queue, messages).await,
            "store" => store(&*point, &queue, messages, bytes).await,
            "delete" => {
                point.resources().delete_queue(&queue).await.unwrap_or_else(|error| panic!("{error}"));
                0.0
            }
            other => panic!("{other} is neither produce, consume nor delete"),
        };
        point.close().await.expect("closed");
        seconds
    });
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF).expect("usage");
    let cpu = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    println!(
        "{{\"messages\":{messages},\"seconds\":{seconds:.3},\"user\":{:.3},\"system\":{:.3},\"peak\":{}}}",
        cpu(usage.user_time()),
        cpu(usage.system_time()),
        usage.max_rss() * 1024
    );
}

async fn produce(point: &dyn MessagingAccessPoint, queue: &Arc<str>, messages: usize, bytes: usize) -> f64 {
    let resources = point.resources();
    let _ = resources.delete_queue(queue).await;
    resources.create_queue(&QueueSpec::new(&**queue, 1)).await.unwrap_or_else(|error| panic!("{error}"));
    let mut producer = point.producer(ProducerOptions::default()).await.expect("a producer");
    let text = letters(LETTERS + bytes);
    let per_batch = (BATCH_BYTES / bytes.max(1)).max(1);
    let (mut in_flight, mut spare) = (VecDeque::new(), Vec::<MessageBatch>::new());
    let (mut sent, mut acknowledged) = (0, 0);
    let begin = Instant::now();
    while acknowledged < messages {
        if sent < messages && in_flight.len() < IN_FLIGHT {
            let mut batch = spare.pop().unwrap_or_default();
            for number in sent..(sent + per_batch).min(messages) {
                let from = number * bytes % LETTERS;
                let body = &text[from..from + bytes];
                batch.start().finish(queue, Some(0), 1_700_000_000_000 + number as i64, Some(body));
            }
            sent += batch.len();
            in_flight.push_back(producer.send(batch));
            continue;
        }
        let report = in_flight.pop_front().expect("in flight").await;
        if let Some(error) = report.error {
            panic!("{error}");
        }
        let mut batch = report.batch;
        acknowledged += batch.len();
        batch.clear(BATCH_BYTES * 2);
        spare.push(batch);
    }
    let seconds = begin.elapsed().as_secs_f64();
    producer.close().await.expect("closed");
    seconds
}

async fn consume(point: &dyn MessagingAccessPoint, queue: &Arc<str>, messages: usize) -> f64 {
    let options = ConsumerOptions { group: "bench".to_owned(), prefetch_bytes: None };
    let mut consumer = point.pull_consumer(options).await.expect("a consumer");
    let from = if point.capabilities().offsets { StartAt::Begin } else { StartAt::Committed };
    let begin = Instant::now();
    consumer
        .assign(&[(QueuePartition::new(queue.clone(), 0), from)])
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let mut read = 0;
    while read < messages {
        let batch = consumer
            .poll(1024 * 1024, Duration::from_secs(20))
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        read += batch.unwrap_or_else(|| panic!("{read} of {messages} messages came")).messages.len();
    }
    let seconds = begin.elapsed().as_secs_f64();
    consumer.close().await.expect("closed");
    seconds
}

async fn store(point: &dyn MessagingAccessPoint, name: &str, keys: usize, bytes: usize) -> f64 {
    const AT_ONCE: usize = 500;
    let store = point.key_value_store(name).await.unwrap_or_else(|error| panic!("{error}"));
    let value = letters(bytes);
    let begin = Instant::now();
    for first in (0..keys).step_by(AT_ONCE) {
        let numbers = first..(first + AT_ONCE).min(keys);
        let puts = numbers.map(|number| {
            let (store, value) = (&store, &value);
            async move { store.put(&format!("key/{number:09}"), value).await }
        });
        for put in futures::future::join_all(puts).await {
            put.unwrap_or_else(|error| panic!("{error}"));
        }
    }
    let put = begin.elapsed().as_secs_f64();
    let (mut listed, mut after) = (0, None::<String>);
    loop {
        let page = store.list("key/", after.as_deref(), 1000).await.unwrap_or_else(|error| panic!("{error}"));
        listed += page.entries.len();
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(listed, keys, "every key is listed once");
    eprintln!("put in {put:.1} s, listed in {:.1} s", begin.elapsed().as_secs_f64() - put);
    begin.elapsed().as_secs_f64()
}

/// As kafka-producer-perf-test fills its records: letters from A to Z, which compress to two thirds.
fn letters(bytes: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let letter = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b'A' + (state % 26) as u8
    };
    (0..bytes).map(letter).collect()
}
