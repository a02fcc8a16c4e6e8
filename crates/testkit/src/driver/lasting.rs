//! What is left of what was used and closed: D42.

use std::sync::Arc;
use std::time::{Duration, Instant};

use openmessaging::StatusCode;

use super::DriverFixture;
use super::kit::{Point, numbered, open, owned, poll, refused, texts, texts_batch, unique};
use crate::child;

/// Before these everything has been used once, and is kept for the next time.
const WARM: usize = 10;
const ROUNDS: usize = 60;

/// What may come and go, of files and threads. Something left behind in each round would be far more.
const SLACK: usize = 20;

/// D42: what is closed, or dropped, is gone: connections, files, threads. In a process of its own: others beside it hold
/// files too.
pub async fn d42_nothing_is_left_behind<F: DriverFixture>(fixture: &mut F) {
    let point = open(fixture).await;
    let queue = point.queue("d42", 1).await;
    point.send_texts(&queue, numbered(3)).await;
    let store = unique("store");
    for _ in 0..WARM {
        round(fixture, &point, &queue, &store).await;
    }
    let before = held();
    for _ in 0..ROUNDS {
        round(fixture, &point, &queue, &store).await;
    }
    let begin = Instant::now();
    while held().iter().zip(before).any(|(now, before)| *now > before + SLACK) {
        let now = held();
        assert!(begin.elapsed() < point.patience, "files and threads: {before:?} before, {now:?} after");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    eprintln!("files and threads: {before:?} before, {:?} after {ROUNDS} rounds", held());
    point.delete(&queue).await;
    point.close().await;
}

/// Open files and threads of this process.
fn held() -> [usize; 2] {
    [child::open().len(), child::threads().len()]
}

/// Everything once: closed by turns, or just dropped.
async fn round<F: DriverFixture>(fixture: &F, point: &Point, queue: &Arc<str>, store: &str) {
    let mut producer = point.producer().await;
    point.send(&mut *producer, texts_batch(queue, Some(0), &["again"])).await;
    producer.close().await.expect("closed");
    drop(point.producer().await);
    let mut reader = point.reader(queue, 0, point.oldest()).await;
    let first = loop {
        if let Some(batch) = poll(&mut *reader, Duration::from_secs(1)).await {
            break texts(&owned(&batch));
        }
    };
    assert_eq!(first[0], numbered(1)[0]);
    reader.close().await.expect("closed");
    drop(point.reader(queue, 0, point.oldest()).await);
    refused(point.point.resources().describe_queue("t-absent").await, StatusCode::NotFound, "absent");
    let store = point.point.key_value_store(store).await.expect("a store");
    store.put("k", b"v").await.expect("put");
    drop(store.watch("").await.expect("watched"));
    let other = open(fixture).await;
    other.point.resources().describe_queue(queue).await.expect("described");
    other.close().await;
    drop(open(fixture).await);
}
