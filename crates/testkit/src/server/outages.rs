//! Brokers that are ended and started again, cut off, slow, full, frozen: D32 to D35, D38.

use std::sync::Arc;
use std::time::{Duration, Instant};

use openmessaging::{
    ConsumerOptions, Delivery, MessageBatch, PullConsumer, QueuePartition, QueueSpec, StartAt, StatusCode,
};

use super::ServerFixture;
use super::load::Load;
use crate::broker::End;
use crate::driver::kit::{Point, all_acknowledged, numbered, open, poll, texts, texts_batch, unique};
use crate::log_lines;

/// How soon work goes on after the broker is back.
const RECOVERY: Duration = Duration::from_secs(5);

/// So many lines about one outage are a flood: a producer, a consumer and a store may each have a connection to speak of.
const LINES: usize = 12;

fn count(point: &Point) -> u32 {
    if point.can.partitions { 2 } else { 1 }
}

fn load(point: &Point, queue: &Arc<str>) -> Load {
    Load::start(point.point.clone(), queue, count(point), point.oldest())
}

/// Nothing comes twice where the driver promises that and no send failed.
fn judge(point: &Point, failures: usize, duplicates: usize) {
    if point.can.delivery == Delivery::Idempotent && failures == 0 {
        assert_eq!(duplicates, 0, "no send failed, and some came twice");
    }
}

/// D32: stopped and killed during a load.
pub async fn d32_work_goes_on_after_a_restart<F: ServerFixture>(fixture: &mut F) {
    log_lines::collect();
    let point = open(fixture).await;
    let queue = point.queue("d32", 2).await;
    let load = load(&point, &queue);
    load.await_progress(Instant::now(), point.patience, "at first");
    let place = fixture.url().endpoints()[0].port.map(|port| port.to_string()).unwrap_or_default();
    for how in [End::Stop, End::Kill, End::Kill] {
        let before = log_lines::with(&place).len();
        fixture.broker().end(how);
        std::thread::sleep(Duration::from_millis(700));
        fixture.broker().start_again();
        load.await_progress(Instant::now(), RECOVERY, &format!("after {how:?}"));
        std::thread::sleep(Duration::from_millis(500));
        let lines = log_lines::with(&place).split_off(before);
        assert!(lines.len() <= LINES, "{} lines about one outage: {lines:#?}", lines.len());
    }
    let failures = load.counts.failures.load(std::sync::atomic::Ordering::SeqCst);
    let duplicates = load.finish(point.patience);
    judge(&point, failures, duplicates);
    point.delete(&queue).await;
    point.close().await;
}

/// D33: connections cut half-way through a batch, and between the write and its answer.
pub async fn d33_cut_connections_lose_nothing<F: ServerFixture>(fixture: &mut F) {
    let (url, proxy) = fixture.proxied().await;
    let point = fixture.driver().connect(&url, &fixture.properties()).await;
    let point = point.unwrap_or_else(|error| panic!("through the proxy: {error}"));
    let point = Point { can: point.capabilities(), point, patience: fixture.patience() };
    let queue = point.queue("d33", 2).await;
    let load = load(&point, &queue);
    load.await_progress(Instant::now(), point.patience, "at first");
    for round in 0..6 {
        if round % 2 == 0 {
            proxy.cut_after(700 + 333 * round);
            std::thread::sleep(Duration::from_millis(300));
            proxy.heal();
        } else {
            proxy.swallow_answers(true);
            std::thread::sleep(Duration::from_millis(150));
            proxy.cut();
            proxy.heal();
        }
        load.await_progress(Instant::now(), RECOVERY, &format!("after cut {round}"));
    }
    let failures = load.counts.failures.load(std::sync::atomic::Ordering::SeqCst);
    let duplicates = load.finish(point.patience);
    judge(&point, failures, duplicates);
    point.delete(&queue).await;
    point.close().await;
}

/// D34: a slow broker, and a slow reader: what is held is bounded, and all of it arrives.
pub async fn d34_slow_brokers_cost_no_memory<F: ServerFixture>(fixture: &mut F) {
    const PREFETCH: usize = 256 * 1024;
    const MESSAGES: usize = 6000;
    let (url, proxy) = fixture.proxied().await;
    let point = fixture.driver().connect(&url, &fixture.properties()).await.expect("through the proxy");
    let point = Point { can: point.capabilities(), point, patience: fixture.patience() };
    let queue = point.queue("d34", 1).await;
    let mut producer = point.producer().await;
    // 24 MiB, the first part of it through a slow line.
    let body = vec![b'x'; 4096];
    proxy.slow(Duration::from_millis(2), 16 * 1024);
    for part in 0..MESSAGES / 100 {
        if part == 4 {
            proxy.heal();
        }
        let mut batch = MessageBatch::new();
        for _ in 0..100 {
            batch.start().finish(&queue, Some(0), 1, Some(&body));
        }
        point.send(&mut *producer, batch).await;
    }
    let options = ConsumerOptions { group: unique("group"), prefetch_bytes: Some(PREFETCH) };
    let mut consumer = point.point.pull_consumer(options).await.expect("a consumer");
    let before = proxy.bytes_down();
    consumer.assign(&[(QueuePartition::new(queue.clone(), 0), point.oldest())]).await.expect("assigned");
    let first = consumer.poll(8 * 1024, point.patience).await.expect("polled").expect("messages");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let fetched = (proxy.bytes_down() - before) as usize;
    // What is fetched ahead, one answer under way, and what lies in the buffers of the sockets.
    let bound = 4 * PREFETCH + 6 * 1024 * 1024;
    assert!(fetched <= bound, "{fetched} bytes were fetched for a reader that does not read");
    proxy.slow(Duration::from_millis(1), 64 * 1024);
    let mut read = first.messages.len();
    while read < MESSAGES {
        let batch = consumer.poll(1024 * 1024, point.patience).await.expect("polled");
        read += batch.unwrap_or_else(|| panic!("{read} of {MESSAGES} messages came")).messages.len();
    }
    assert_eq!(read, MESSAGES);
    proxy.heal();
    point.delete(&queue).await;
    point.close().await;
}

/// D34: large messages behind small ones, which are what a driver learnt the size of messages by. What it holds for a reader
/// that does not read stays bounded all the same; positions are committed meanwhile, and all of it arrives in its order.
pub async fn d34_large_after_small_cost_no_memory<F: ServerFixture>(fixture: &mut F) {
    const PREFETCH: usize = 256 * 1024;
    const SMALL: usize = 8000;
    const LARGE: usize = 256;
    let (url, proxy) = fixture.proxied().await;
    let point = fixture.driver().connect(&url, &fixture.properties()).await.expect("through the proxy");
    let point = Point { can: point.capabilities(), point, patience: fixture.patience() };
    let queue = point.queue("d34l", 1).await;
    let mut producer = point.producer().await;
    let (small, large) = (vec![b's'; 64], vec![b'l'; 512 * 1024]);
    for (body, messages, at_once) in [(&small, SMALL, 1000), (&large, LARGE, 4)] {
        for _ in 0..messages / at_once {
            let mut batch = MessageBatch::new();
            for _ in 0..at_once {
                batch.start().finish(&queue, Some(0), 1, Some(body));
            }
            point.send(&mut *producer, batch).await;
        }
    }
    let place = QueuePartition::new(queue.clone(), 0);
    let options = ConsumerOptions { group: unique("group"), prefetch_bytes: Some(PREFETCH) };
    let mut consumer = point.point.pull_consumer(options).await.expect("a consumer");
    let before = proxy.bytes_down();
    consumer.assign(&[(place.clone(), point.oldest())]).await.expect("assigned");
    let mut sizes = Vec::new();
    // Most of the small ones, read as fast as they come.
    read_sizes(&mut *consumer, &mut sizes, SMALL - 1000, 64 * 1024, point.patience).await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let position = consumer.position(&place).expect("assigned");
        consumer.commit(&[(place.clone(), position)]).await.expect("committed");
    }
    let fetched = (proxy.bytes_down() - before) as usize;
    // The small ones, what is fetched ahead, one answer under way, and what lies in the buffers of the sockets, which are
    // the kernel's and grow to 32 MiB.
    let bound = 4 * PREFETCH + 56 * 1024 * 1024;
    assert!(fetched <= bound, "{fetched} bytes were fetched for a reader that does not read");
    read_sizes(&mut *consumer, &mut sizes, SMALL + LARGE, 1024 * 1024, point.patience).await;
    let expected = [vec![small.len(); SMALL], vec![large.len(); LARGE]].concat();
    assert!(sizes == expected, "{} messages, not in their order", sizes.len());
    point.delete(&queue).await;
    point.close().await;
}

/// Reads until so many messages were read in all: the sizes of their bodies.
async fn read_sizes(
    consumer: &mut dyn PullConsumer,
    sizes: &mut Vec<usize>,
    until: usize,
    at_once: usize,
    patience: Duration,
) {
    while sizes.len() < until {
        let batch = consumer.poll(at_once, patience).await.expect("polled");
        let batch = batch.unwrap_or_else(|| panic!("{} messages came", sizes.len()));
        sizes.extend(batch.messages.iter().map(|message| message.body.unwrap_or_default().len()));
    }
}

/// D35: full, and room again.
pub async fn d35_a_full_broker_is_waited_for<F: ServerFixture>(fixture: &mut F) {
    let point = open(fixture).await;
    let queue = point.queue("d35", 1).await;
    point.send_texts(&queue, numbered(5)).await;
    let mut producer = point.producer().await;
    fixture.fill(&queue).await;
    let large = vec![b'x'; 256 * 1024];
    let begin = Instant::now();
    let refused = loop {
        assert!(begin.elapsed() < Duration::from_secs(45), "a full broker takes everything");
        let mut batch = MessageBatch::new();
        for _ in 0..4 {
            batch.start().finish(&queue, Some(0), 1, Some(&large));
        }
        let report = point.within("a send", producer.send(batch)).await;
        if let Some(error) = report.error {
            break error;
        }
    };
    let allowed = [StatusCode::Full, StatusCode::Timeout, StatusCode::Unavailable, StatusCode::ServerError];
    assert!(allowed.contains(&refused.status) && refused.is_retriable(), "{refused}");
    assert!(refused.remedy.is_some(), "{refused}");
    fixture.make_room(&queue).await;
    let begin = Instant::now();
    loop {
        point.within("recover", producer.recover()).await.expect("recovered");
        let report = point.within("a send", producer.send(texts_batch(&queue, Some(0), &["after"]))).await;
        match report.error {
            None => break,
            Some(error) => assert!(
                error.is_retriable() && begin.elapsed() < Duration::from_secs(20),
                "after there is room again: {error}"
            ),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    point.send(&mut *producer, texts_batch(&queue, Some(0), &["last"])).await;
    let mut reader = point.reader(&queue, 0, point.oldest()).await;
    let got = texts(&point.take_all(&mut *reader).await);
    let small: Vec<_> = got.iter().filter(|text| text.len() < 100).cloned().collect();
    // A queue's own room may have been made by removing from its front.
    let expected = [numbered(5), vec!["after".to_owned(), "last".to_owned()]].concat();
    assert!(small.len() >= 2 && expected.ends_with(&small), "{small:?}");
    point.delete(&queue).await;
    point.close().await;
}

/// D38: every call ends while the broker says nothing, and work goes on when it speaks again.
pub async fn d38_every_call_ends<F: ServerFixture>(fixture: &mut F) {
    const LIMIT: Duration = Duration::from_secs(6);
    let mut properties = fixture.properties();
    properties.insert("request.timeout.ms".to_owned(), "2000".to_owned());
    let point = fixture.driver().connect(&fixture.url(), &properties).await.expect("open");
    let point = Point { can: point.capabilities(), point, patience: fixture.patience() };
    let queue = point.queue("d38", 1).await;
    point.send_texts(&queue, numbered(3)).await;
    let mut producer = point.producer().await;
    point.send(&mut *producer, texts_batch(&queue, Some(0), &["before"])).await;
    let mut consumer = point.reader(&queue, 0, point.oldest()).await;
    point.take(&mut *consumer, 4).await;
    let store = point.point.key_value_store(&unique("store")).await.expect("a store");
    store.put("k", b"v").await.expect("put");

    fixture.broker().freeze();
    let allowed = [StatusCode::Timeout, StatusCode::Unavailable];
    let ends = async |what: &str, call: &mut (dyn Future<Output = openmessaging::Result<()>> + Unpin)| {
        let Ok(result) = tokio::time::timeout(LIMIT, call).await else { panic!("{what} hangs") };
        let error = result.err().unwrap_or_else(|| panic!("{what} must fail while nothing answers"));
        assert!(allowed.contains(&error.status), "{what}: {error}");
        assert!(error.is_retriable() && error.remedy.is_some(), "{what}: {error}");
    };
    macro_rules! ends {
        ($what:literal, $call:expr) => {
            ends($what, &mut Box::pin(async { $call.await.map(|_| ()) })).await
        };
    }
    let resources = point.point.resources();
    ends!("describing", resources.describe_queue(&queue));
    ends!("creating", resources.create_queue(&QueueSpec::new(unique("d38"), 1)));
    ends!("deleting", resources.delete_queue(&unique("d38")));
    ends!("listing", resources.list_queues());
    ends!("a get", store.get("k"));
    ends!("a put", store.put("k", b"w"));
    let sent = tokio::time::timeout(LIMIT, producer.send(texts_batch(&queue, Some(0), &["frozen"]))).await;
    let error = sent.expect("a send hangs").error.expect("a send must fail while nothing answers");
    assert!(allowed.contains(&error.status), "a send: {error}");
    let polled = tokio::time::timeout(LIMIT, consumer.poll(1000, Duration::from_millis(500))).await;
    match polled.expect("a poll hangs") {
        Ok(batch) => assert!(batch.is_none()),
        Err(error) => assert!(error.is_retriable(), "a poll: {error}"),
    }
    fixture.broker().thaw();

    let begin = Instant::now();
    loop {
        point.within("recover", producer.recover()).await.expect("recovered");
        let report = point.within("a send", producer.send(texts_batch(&queue, Some(0), &["after"]))).await;
        match report.error {
            None => break,
            Some(error) => {
                assert!(error.is_retriable() && begin.elapsed() < RECOVERY * 2, "after a freeze: {error}")
            }
        }
    }
    let mut got = Vec::new();
    let begin = Instant::now();
    while !got.contains(&"after".to_owned()) {
        assert!(begin.elapsed() < RECOVERY * 2, "the reader does not go on: {got:?}");
        match consumer.poll(1000, Duration::from_millis(500)).await {
            Ok(Some(batch)) => got.extend(texts(&crate::driver::kit::owned(&batch))),
            Ok(None) => {}
            Err(error) => assert!(error.is_retriable(), "a poll: {error}"),
        }
    }
    // The frozen one may be stored or not, never behind what was sent after it.
    assert!(got == ["after"] || got.first().is_some_and(|first| first == "frozen"), "{got:?}");
    let begin = Instant::now();
    while let Err(error) = store.get("k").await {
        assert!(error.is_retriable() && begin.elapsed() < RECOVERY * 2, "the store after a freeze: {error}");
    }
    assert!(poll(&mut *consumer, Duration::from_millis(200)).await.is_none());
    point.delete(&queue).await;
    point.close().await;
}

/// D36: the queue is deleted underneath.
pub async fn d36_a_deleted_queue_is_told<F: ServerFixture>(fixture: &mut F) {
    let point = open(fixture).await;
    let other = open(fixture).await;
    let queue = point.queue("d36", 1).await;
    let mut producer = point.producer().await;
    point.send(&mut *producer, texts_batch(&queue, Some(0), &["old"])).await;
    let mut consumer = point.reader(&queue, 0, point.oldest()).await;
    assert_eq!(texts(&point.take(&mut *consumer, 1).await), ["old"]);
    // By somebody else.
    other.delete(&queue).await;
    let begin = Instant::now();
    loop {
        let report = point.within("a send", producer.send(texts_batch(&queue, Some(0), &["late"]))).await;
        let error = report.error.expect("a send to a deleted queue must fail");
        if error.status == StatusCode::NotFound {
            break;
        }
        assert!(error.is_retriable() && begin.elapsed() < RECOVERY, "{error}");
        point.within("recover", producer.recover()).await.expect("recovered");
    }
    for _ in 0..3 {
        let polled = tokio::time::timeout(RECOVERY, consumer.poll(1000, Duration::from_millis(300))).await;
        match polled.expect("a poll hangs") {
            Ok(batch) => assert!(batch.is_none(), "{batch:?}"),
            Err(error) => assert_eq!(error.status, StatusCode::NotFound, "{error}"),
        }
    }
    other.point.resources().create_queue(&QueueSpec::new(&*queue, 1)).await.expect("made anew");
    point.within("recover", producer.recover()).await.expect("recovered");
    let report = point.within("a send", producer.send(texts_batch(&queue, Some(0), &["new"]))).await;
    all_acknowledged(&report);
    let from = if point.can.offsets { StartAt::Begin } else { StartAt::Committed };
    consumer.assign(&[(QueuePartition::new(queue.clone(), 0), from)]).await.expect("assigned again");
    assert_eq!(texts(&point.take(&mut *consumer, 1).await), ["new"]);
    point.delete(&queue).await;
    other.close().await;
    point.close().await;
}
