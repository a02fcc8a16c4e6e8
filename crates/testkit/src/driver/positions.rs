//! What is kept between readings: D21, D22.

use std::sync::Arc;
use std::time::{Duration, Instant};

use openmessaging::{QueuePartition, QueueSpec, StartAt, StatusCode};

use super::DriverFixture;
use super::kit::{Point, numbered, open, owned, refused, texts, unique};

/// D21: positions of groups, over restarts.
pub async fn d21_committed_positions_stay<F: DriverFixture>(fixture: &mut F) {
    let point = open(fixture).await;
    let queue = point.queue("d21", 2).await;
    point.send_texts(&queue, numbered(20)).await;
    let place = QueuePartition::new(queue.clone(), 0);
    let (group, other) = (unique("group"), unique("group"));
    let mut consumer = point.consumer(&group).await;
    if !point.can.broker_positions {
        refused(consumer.commit(&[(place, 1)]).await, StatusCode::Unsupported, "commit");
        return point.delete(&queue).await;
    }
    if !point.can.offsets {
        return committed_is_gone(fixture, point, &queue).await;
    }
    consumer.assign(&[(place.clone(), StartAt::Committed)]).await.expect("assigned");
    assert_eq!(consumer.committed(&place).await.expect("asked"), None);
    let got = point.take(&mut *consumer, 20).await;
    assert_eq!(consumer.committed(&place).await.expect("asked"), None, "reading commits nothing");
    consumer.commit(&[(place.clone(), got[7].offset)]).await.expect("committed");
    consumer.close().await.expect("closed");
    point.close().await;

    fixture.crash().await;
    let point = open(fixture).await;
    let mut consumer = point.consumer(&group).await;
    assert_eq!(consumer.committed(&place).await.expect("asked"), Some(got[7].offset));
    consumer.assign(&[(place.clone(), StartAt::Committed)]).await.expect("assigned");
    assert_eq!(texts(&point.take(&mut *consumer, 13).await), numbered(20)[7..]);
    let mut stranger = point.consumer(&other).await;
    assert_eq!(stranger.committed(&place).await.expect("asked"), None, "positions are a group's own");
    stranger.assign(&[(place.clone(), StartAt::Committed)]).await.expect("assigned");
    assert_eq!(point.take(&mut *stranger, 20).await.len(), 20, "without a position: from the oldest");
    consumer.commit(&[(place.clone(), got[3].offset)]).await.expect("back is a way too");
    assert_eq!(consumer.committed(&place).await.expect("asked"), Some(got[3].offset));
    let absent = QueuePartition::new(unique("absent"), 0);
    refused(consumer.commit(&[(absent, 1)]).await, StatusCode::NotFound, "a position in an absent queue");
    point.delete(&queue).await;
    point.close().await;
}

/// D21 where messages have no offsets: what is committed does not come again, over restarts; the rest does.
async fn committed_is_gone<F: DriverFixture>(fixture: &mut F, point: Point, queue: &Arc<str>) {
    let place = QueuePartition::new(queue.clone(), 0);
    let mut consumer = point.reader(queue, 0, StartAt::Committed).await;
    let got = point.take(&mut *consumer, 20).await;
    consumer.commit(&[(place.clone(), got[7].offset)]).await.expect("committed");
    consumer.close().await.expect("closed");
    assert_eq!(texts(&point.read(queue, 0, 13).await), numbered(20)[7..], "what was committed is gone");
    point.close().await;

    fixture.crash().await;
    let point = open(fixture).await;
    assert_eq!(texts(&point.read(queue, 0, 13).await), numbered(20)[7..], "also after a crash");
    let absent = QueuePartition::new(unique("absent"), 0);
    let mut consumer = point.consumer(&unique("group")).await;
    refused(consumer.commit(&[(absent, 1)]).await, StatusCode::NotFound, "a position in an absent queue");
    point.delete(queue).await;
    point.close().await;
}

/// D22: retention from the front, whole; readers go on at begin.
pub async fn d22_retention_removes_from_the_front<F: DriverFixture>(fixture: &mut F) {
    let point = open(fixture).await;
    let mut spec = QueueSpec::new(unique("d22"), 1);
    if !point.can.retention {
        spec.retention_bytes = Some(1000);
        let made = point.point.resources().create_queue(&spec).await;
        return refused(made, StatusCode::Unsupported, "retention");
    }
    let bytes = fixture.retain_little(&mut spec);
    let queue = point.create(spec).await;
    let mut late = point.reader(&queue, 0, point.oldest()).await;
    // A broker may compress: these bytes do not get fewer.
    let noise = |seed: usize| {
        (0..55).scan(seed as u64 + 1, |state, _| {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            Some(format!("{state:018x}"))
        })
    };
    let text = |number: usize| format!("{number:08} {}", noise(number).collect::<String>());
    let mut sent = 0;
    let mut producer = point.producer().await;
    let describe = async || {
        let described = point.point.resources().describe_queue(&queue).await.expect("described");
        described.partitions[0].clone()
    };
    let first = describe().await.begin;
    let deadline = Instant::now() + fixture.patience() * 4;
    while describe().await.begin == first {
        assert!(Instant::now() < deadline, "nothing is ever removed");
        if sent * 1000 < bytes * 4 {
            let batch: Vec<_> = (sent..sent + 50).map(text).collect();
            point.send(&mut *producer, super::kit::texts_batch(&queue, Some(0), &batch)).await;
            sent += 50;
        } else {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    // A reader whose place is gone goes on at begin, and what is left is whole and without gaps.
    let got = point.take_all(&mut *late).await;
    let numbers: Vec<usize> = got.iter().map(|got| got.text()[..8].parse().expect("a number")).collect();
    assert_eq!(numbers.last(), Some(&(sent - 1)), "the newest is kept");
    assert!(numbers[0] > 0, "the reader's place was removed");
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "only the front is removed");
    let now = describe().await;
    assert!(got[0].offset <= now.begin && now.end == got[got.len() - 1].offset + 1, "{now:?}");
    if point.can.offsets {
        let mut early = point.reader(&queue, 0, StartAt::Offset(first)).await;
        let batch = early.poll(1, point.patience).await.expect("polled").expect("messages");
        assert!(owned(&batch)[0].offset >= now.begin);
    }
    point.delete(&queue).await;
    point.close().await;
}
