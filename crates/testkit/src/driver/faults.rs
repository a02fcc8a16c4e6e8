//! Sends that fail, and brokers that are killed: D9, D10, D11.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use openmessaging::{MessageBatch, StatusCode};

use super::DriverFixture;
use super::kit::{Got, assert_failed, open, poll, texts, texts_batch, unique};

/// D9: behind a failure nothing is stored, until `recover`; then it goes on in order.
pub async fn d09_nothing_overtakes_a_failure<F: DriverFixture>(fixture: &mut F) {
    let point = open(fixture).await;
    let (queue, absent) = (point.queue("d09", 1).await, Arc::<str>::from(unique("d09-absent")));
    let mut producer = point.producer().await;
    let mut failing = texts_batch(&queue, Some(0), &["b"]);
    failing.start().finish(&absent, None, 1, Some(b"no such queue"));
    let first = producer.send(texts_batch(&queue, Some(0), &["a"]));
    let second = producer.send(failing);
    let later: Vec<_> =
        ["c", "d", "e"].iter().map(|text| producer.send(texts_batch(&queue, Some(0), &[text]))).collect();
    assert!(point.within("a send", first).await.error.is_none());
    assert_failed(&point.within("a send", second).await, 1, StatusCode::NotFound);
    let mut aborted = Vec::new();
    for send in later {
        let report = point.within("a send", send).await;
        if point.can.ordered_failures {
            assert_failed(&report, 0, StatusCode::Aborted);
        }
        aborted.push(report.batch);
    }
    if point.can.ordered_failures {
        let late = point.within("a send", producer.send(texts_batch(&queue, Some(0), &["late"]))).await;
        assert_failed(&late, 0, StatusCode::Aborted);
    }
    // Others are not held up.
    point.send_texts(&queue, ["other".to_owned()]).await;
    point.within("recover", producer.recover()).await.expect("recovered");
    if point.can.ordered_failures {
        for batch in aborted {
            point.send(&mut *producer, batch).await;
        }
        let got = texts(&point.read(&queue, 0, 6).await);
        assert_eq!(got, ["a", "b", "other", "c", "d", "e"]);
    } else {
        point.send(&mut *producer, texts_batch(&queue, Some(0), &["after"])).await;
    }
    // Recovering without a failure is nothing special.
    point.within("recover", producer.recover()).await.expect("recovered");
    point.send(&mut *producer, texts_batch(&queue, Some(0), &["last"])).await;
    point.delete(&queue).await;
    point.close().await;
}

/// A body that shows whether it is whole: a number, and as many bytes of it as the number says.
fn checkable(number: usize) -> Vec<u8> {
    let mut body = format!("{number:08}:").into_bytes();
    body.resize(body.len() + number % 977, number as u8);
    body
}

fn number_of(got: &Got) -> usize {
    let body = got.body.as_deref().unwrap_or_default();
    let number = body.get(..8).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    let number = number.unwrap_or_else(|| panic!("a torn message at offset {}", got.offset));
    assert_eq!(body, checkable(number), "message {number} is torn");
    number
}

/// D10: what was acknowledged is there after a kill; what was not is there whole or not at all.
pub async fn d10_acknowledged_is_durable<F: DriverFixture>(fixture: &mut F) {
    const PER_BATCH: usize = 40;
    let point = open(fixture).await;
    let queue = point.queue("d10", 2).await;
    let partitions = if point.can.partitions { 2 } else { 1 };
    let mut acknowledged = 0;
    for round in 0..3 {
        let point = open(fixture).await;
        let mut producer = point.producer().await;
        let start = (round + 1) * 1_000_000;
        let batch = |number: usize| {
            let mut batch = MessageBatch::new();
            for message in 0..PER_BATCH {
                let number = start + number * PER_BATCH + message;
                batch.start().finish(&queue, Some(number as u32 % partitions), 1, Some(&checkable(number)));
            }
            batch
        };
        let mut in_flight: Vec<_> = (0..30).map(|number| producer.send(batch(number))).collect();
        let rest = in_flight.split_off(10);
        let mut known = HashSet::new();
        for (number, send) in in_flight.into_iter().enumerate() {
            let report = point.within("a send", send).await;
            known.extend(
                (0..report.acknowledged.prefix()).map(|message| start + number * PER_BATCH + message),
            );
        }
        assert_eq!(known.len(), 10 * PER_BATCH);
        fixture.crash().await;
        // What is still in flight ends, one way or another.
        for (number, send) in rest.into_iter().enumerate() {
            let report = tokio::time::timeout(Duration::from_secs(60), send)
                .await
                .expect("a send hangs after a crash");
            // An answer that came after the moment of the crash may be about the broker's second life, or none.
            let _ = (number, report);
        }
        drop(producer);
        let _ = point.point.close().await;
        acknowledged += known.len();
        let again = open(fixture).await;
        let stored: Vec<Vec<usize>> = again
            .read_queue(&queue)
            .await
            .iter()
            .map(|partition| partition.iter().map(number_of).collect())
            .collect();
        for partition in &stored {
            let own: Vec<_> = partition.iter().filter(|number| **number >= start).collect();
            assert!(own.is_sorted(), "the order is kept over a crash");
        }
        let all: HashSet<_> = stored.into_iter().flatten().collect();
        let lost = known.iter().filter(|number| !all.contains(number)).count();
        assert_eq!(lost, 0, "acknowledged messages are lost");
        assert!(all.len() >= acknowledged, "those of earlier rounds too");
        again.close().await;
    }
    drop(point);
    let point = open(fixture).await;
    point.delete(&queue).await;
    point.close().await;
}

/// D11: too large, and a bad name: refused for good; what was before is stored, what is behind is not.
pub async fn d11_what_can_never_be_stored_is_refused<F: DriverFixture>(fixture: &mut F) {
    let point = open(fixture).await;
    let queue = point.queue("d11", 1).await;
    let mut producer = point.producer().await;
    let mut stored = 0;
    if let Some(limit) = point.can.max_message_bytes {
        let mut batch = texts_batch(&queue, Some(0), &["before"]);
        batch.start().finish(&queue, Some(0), 1, Some(&vec![7; limit + 1]));
        batch.start().finish(&queue, Some(0), 1, Some(b"behind"));
        let report = point.within("a send", producer.send(batch)).await;
        assert_failed(&report, 1, StatusCode::MessageTooLarge);
        let error = report.error.expect("failed");
        assert!(!error.is_retriable() && error.remedy.is_some(), "{error}");
        point.within("recover", producer.recover()).await.expect("recovered");
        stored += 1;
    }
    for bad in ["", "no/such:queue name"] {
        let bad: Arc<str> = bad.into();
        let mut batch = texts_batch(&queue, Some(0), &["before"]);
        batch.start().finish(&bad, None, 1, Some(b"x"));
        let report = point.within("a send", producer.send(batch)).await;
        assert_eq!(report.acknowledged.prefix(), 1, "{report:?}");
        let error = report.error.expect("a bad name is refused");
        let status = [StatusCode::BadParameter, StatusCode::NotFound].contains(&error.status);
        assert!(status && !error.is_retriable(), "{error}");
        point.within("recover", producer.recover()).await.expect("recovered");
        stored += 1;
    }
    let mut reader = point.reader(&queue, 0, point.oldest()).await;
    assert_eq!(texts(&point.take(&mut *reader, stored).await), vec!["before"; stored]);
    assert!(poll(&mut *reader, Duration::from_millis(200)).await.is_none(), "nothing behind it was stored");
    point.delete(&queue).await;
    point.close().await;
}
