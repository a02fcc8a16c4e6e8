//! Reading: D14 to D20.

use std::time::{Duration, Instant};

use openmessaging::{QueuePartition, StartAt, StatusCode};

use super::DriverFixture;
use super::kit::{numbered, open, owned, poll, refused, texts, unique};

const SHORT: Duration = Duration::from_millis(300);

/// D14: begin, end, offset, timestamp; behind the end it waits, before the begin it starts there.
pub async fn d14_starts_where_it_is_told<F: DriverFixture>(fixture: &mut F) {
    let point = open(fixture).await;
    let (queue, other) = (point.queue("d14", 1).await, point.queue("d14b", 1).await);
    point.send_texts(&queue, numbered(10)).await;
    point.send_texts(&other, ["other".to_owned()]).await;
    let place = QueuePartition::new(queue.clone(), 0);
    let mut consumer = point.consumer(&unique("group")).await;

    consumer.assign(&[(place.clone(), StartAt::End)]).await.expect("assigned");
    assert!(poll(&mut *consumer, SHORT).await.is_none(), "nothing is behind the end");
    point.send_texts(&queue, ["m000010".to_owned()]).await;
    assert_eq!(texts(&point.take(&mut *consumer, 1).await), ["m000010"]);

    // The assignment is replaced, not added to.
    let elsewhere = QueuePartition::new(other.clone(), 0);
    consumer.assign(&[(elsewhere.clone(), point.oldest())]).await.expect("assigned");
    assert_eq!(texts(&point.take_all(&mut *consumer).await), ["other"]);
    assert_eq!(consumer.position(&place), None, "it is not assigned any more");
    for (wrong, status) in [
        (QueuePartition::new(unique("absent"), 0), StatusCode::NotFound),
        (QueuePartition::new(queue.clone(), 99), StatusCode::PartitionNotFound),
    ] {
        refused(consumer.assign(&[(wrong, point.oldest())]).await, status, "assigning what is not there");
    }
    point.send_texts(&other, ["more".to_owned()]).await;
    assert_eq!(texts(&point.take(&mut *consumer, 1).await), ["more"], "the assignment stays what it was");

    if point.can.offsets {
        let all = point.read(&queue, 0, 11).await;
        for (from, expected) in [
            (StartAt::Begin, 0),
            (StartAt::Offset(all[0].offset), 0),
            (StartAt::Offset(all[4].offset), 4),
            (StartAt::Offset(all[10].offset), 10),
        ] {
            let mut reader = point.reader(&queue, 0, from).await;
            assert_eq!(point.take(&mut *reader, 11 - expected).await, all[expected..], "{from:?}");
        }
        let mut ahead = point.reader(&queue, 0, StartAt::Offset(all[10].offset + 3)).await;
        assert!(poll(&mut *ahead, SHORT).await.is_none(), "it waits");
        point.send_texts(&queue, ["x1", "x2", "x3"].map(str::to_owned)).await;
        assert_eq!(texts(&point.take(&mut *ahead, 1).await), ["x3"]);
    } else {
        let begin = consumer.assign(&[(place.clone(), StartAt::Begin)]).await;
        refused(begin, StatusCode::Unsupported, "starting at an offset");
    }
    timestamps(&point).await;
    point.delete(&queue).await;
    point.delete(&other).await;
    point.close().await;
}

async fn timestamps(point: &super::kit::Point) {
    let queue = point.queue("d14t", 1).await;
    if !point.can.seek_by_timestamp {
        let mut consumer = point.consumer(&unique("group")).await;
        let place = QueuePartition::new(queue.clone(), 0);
        let assigned = consumer.assign(&[(place, StartAt::Timestamp(0))]).await;
        refused(assigned, StatusCode::Unsupported, "starting at a time");
        return point.delete(&queue).await;
    }
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    point.send_texts(&queue, ["old1", "old2"].map(str::to_owned)).await;
    tokio::time::sleep(SHORT).await;
    let between = now().as_millis() as i64;
    tokio::time::sleep(SHORT).await;
    let send = |text: &str| {
        let mut batch = openmessaging::MessageBatch::new();
        batch.start().finish(&queue, Some(0), now().as_millis() as i64, Some(text.as_bytes()));
        batch
    };
    let mut producer = point.producer().await;
    for text in ["new1", "new2"] {
        point.send(&mut *producer, send(text)).await;
    }
    let mut reader = point.reader(&queue, 0, StartAt::Timestamp(between)).await;
    assert_eq!(texts(&point.take(&mut *reader, 2).await), ["new1", "new2"]);
    let mut reader = point.reader(&queue, 0, StartAt::Timestamp(1)).await;
    assert_eq!(texts(&point.take(&mut *reader, 4).await).len(), 4, "before the first: all");
    let future = now().as_millis() as i64 + 3_600_000;
    let mut reader = point.reader(&queue, 0, StartAt::Timestamp(future)).await;
    assert!(poll(&mut *reader, SHORT).await.is_none(), "behind the last: none");
    point.delete(&queue).await;
}

/// D15: nothing of the old place after a seek.
pub async fn d15_a_seek_takes_effect_with_the_next_poll<F: DriverFixture>(fixture: &mut F) {
    let point = open(fixture).await;
    let queue = point.queue("d15", 1).await;
    point.send_texts(&queue, numbered(300)).await;
    let place = QueuePartition::new(queue.clone(), 0);
    let mut consumer = point.reader(&queue, 0, point.oldest()).await;
    if !point.can.offsets {
        refused(consumer.seek(&place, StartAt::Begin).await, StatusCode::Unsupported, "seeking");
        return point.delete(&queue).await;
    }
    let all = point.read(&queue, 0, 300).await;
    for to in [250, 3, 299, 0, 120] {
        // Something is fetched, taken or under way.
        let _ = tokio::time::timeout(Duration::from_micros(200), consumer.poll(100, SHORT)).await;
        consumer.seek(&place, StartAt::Offset(all[to].offset)).await.expect("sought");
        assert_eq!(consumer.position(&place), Some(all[to].offset));
        let batch = loop {
            if let Some(batch) = consumer.poll(64, point.patience).await.expect("polled") {
                break batch;
            }
        };
        assert_eq!(owned(&batch)[0], all[to]);
    }
    consumer.seek(&place, StartAt::End).await.expect("sought");
    assert!(poll(&mut *consumer, SHORT).await.is_none());
    point.send_texts(&queue, ["last".to_owned()]).await;
    assert_eq!(texts(&point.take(&mut *consumer, 1).await), ["last"]);
    let absent = QueuePartition::new(queue.clone(), 77);
    assert!(consumer.seek(&absent, StartAt::End).await.is_err(), "only what is assigned can be sought");
    point.delete(&queue).await;
    point.close().await;
}

/// D16: offsets grow, and the position is behind the last message.
pub async fn d16_offsets_grow<F: DriverFixture>(fixture: &mut F) {
    let point = open(fixture).await;
    let queue = point.queue("d16", 2).await;
    let partitions = point.point.resources().describe_queue(&queue).await.expect("described").partitions;
    let mut consumer = point.consumer(&unique("group")).await;
    let places: Vec<_> = partitions.iter().map(|p| QueuePartition::new(queue.clone(), p.partition)).collect();
    let assignment: Vec<_> = places.iter().map(|place| (place.clone(), point.oldest())).collect();
    consumer.assign(&assignment).await.expect("assigned");
    for place in &places {
        point.send_texts_to(&queue, place.partition, numbered(100)).await;
    }
    let mut last = vec![None; places.len()];
    let mut count = 0;
    while count < 100 * places.len() {
        let batch = consumer.poll(50, point.patience).await.expect("polled").expect("messages");
        for got in owned(&batch) {
            let before = &mut last[got.partition as usize];
            assert!(before.is_none_or(|before| before < got.offset), "{before:?} then {}", got.offset);
            *before = Some(got.offset);
            count += 1;
        }
        let behind = batch.offsets.last().map(|offset| offset + 1);
        assert_eq!(consumer.position(&batch.partition), behind);
    }
    if point.can.offsets {
        let described = point.point.resources().describe_queue(&queue).await.expect("described");
        for partition in described.partitions {
            let place = &places[partition.partition as usize];
            assert!(consumer.position(place).is_some_and(|position| position <= partition.end));
        }
    }
    point.delete(&queue).await;
    point.close().await;
}

/// D17: pause and resume.
pub async fn d17_paused_partitions_keep_their_place<F: DriverFixture>(fixture: &mut F) {
    let point = open(fixture).await;
    let (a, b) = (point.queue("d17a", 1).await, point.queue("d17b", 1).await);
    point.send_texts(&a, numbered(50)).await;
    let (at_a, at_b) = (QueuePartition::new(a.clone(), 0), QueuePartition::new(b.clone(), 0));
    let mut consumer = point.consumer(&unique("group")).await;
    let assignment = [(at_a.clone(), point.oldest()), (at_b.clone(), point.oldest())];
    consumer.assign(&assignment).await.expect("assigned");
    let mut first = owned(&consumer.poll(70, point.patience).await.expect("polled").expect("messages"));
    assert!(first.len() < 20, "some are left");
    // A poll that is dropped may have fetched more: that must not come either.
    if let Ok(batch) = tokio::time::timeout(Duration::from_micros(100), consumer.poll(70, SHORT)).await {
        first.extend(batch.expect("polled").iter().flat_map(owned));
    }
    consumer.pause(std::slice::from_ref(&at_a));
    let place = consumer.position(&at_a);
    assert!(poll(&mut *consumer, SHORT).await.is_none(), "a paused partition yields nothing");
    point.send_texts(&b, numbered(3)).await;
    assert_eq!(texts(&point.take(&mut *consumer, 3).await), numbered(3), "others go on");
    point.send_texts(&a, ["m000050".to_owned()]).await;
    assert!(poll(&mut *consumer, SHORT).await.is_none());
    assert_eq!(consumer.position(&at_a), place, "its place is kept");
    consumer.resume(std::slice::from_ref(&at_a));
    let rest = point.take_all(&mut *consumer).await;
    assert_eq!(texts(&rest), numbered(51)[first.len()..]);
    point.delete(&a).await;
    point.delete(&b).await;
    point.close().await;
}

/// D18: a backlog does not starve others.
pub async fn d18_partitions_take_turns<F: DriverFixture>(fixture: &mut F) {
    let point = open(fixture).await;
    let mut queues = Vec::new();
    for name in ["d18a", "d18b", "d18c"] {
        queues.push(point.queue(name, 1).await);
    }
    let mut producer = point.producer().await;
    let many = numbered(3000);
    for queue in &queues[..2] {
        point.send(&mut *producer, super::kit::texts_batch(queue, Some(0), &many)).await;
    }
    point.send_texts(&queues[2], ["small".to_owned()]).await;
    let mut consumer = point.consumer(&unique("group")).await;
    let assignment: Vec<_> =
        queues.iter().map(|queue| (QueuePartition::new(queue.clone(), 0), point.oldest())).collect();
    consumer.assign(&assignment).await.expect("assigned");
    // Let a driver that fetches ahead get something of each.
    tokio::time::sleep(SHORT).await;
    let mut seen = [0; 3];
    for _ in 0..30 {
        let batch = consumer.poll(140, point.patience).await.expect("polled").expect("messages");
        let index = queues.iter().position(|queue| *queue == batch.partition.queue).expect("assigned");
        seen[index] += 1;
    }
    assert!(seen[2] >= 1 && seen[0] >= 5 && seen[1] >= 5, "turns taken in 30 polls: {seen:?}");
    for queue in queues {
        point.delete(&queue).await;
    }
    point.close().await;
}

/// D19: dropping a poll loses nothing; waiting ends in time, and with a message at once.
pub async fn d19_a_dropped_poll_loses_nothing<F: DriverFixture>(fixture: &mut F) {
    let point = open(fixture).await;
    let queue = point.queue("d19", 1).await;
    let mut consumer = point.reader(&queue, 0, point.oldest()).await;
    let started = Instant::now();
    assert!(poll(&mut *consumer, SHORT).await.is_none());
    let waited = started.elapsed();
    assert!(waited >= SHORT && waited < SHORT + Duration::from_secs(2), "it waited for {waited:?}");

    let mut producer = point.producer().await;
    let many = numbered(2000);
    for part in many.chunks(100) {
        point.send(&mut *producer, super::kit::texts_batch(&queue, Some(0), part)).await;
    }
    let mut got = Vec::new();
    for attempt in 0.. {
        assert!(attempt < 100_000, "only {} messages came", got.len());
        if got.len() >= many.len() {
            break;
        }
        // At first dropped at once, later given some time.
        let patience = Duration::from_micros(20 * (attempt % 50));
        let polled = tokio::time::timeout(patience, consumer.poll(300, Duration::from_secs(1)));
        if let Ok(batch) = polled.await
            && let Some(batch) = batch.expect("polled")
        {
            got.extend(owned(&batch));
        }
    }
    assert_eq!(texts(&got), many);

    let (sent, polled) = tokio::join!(
        async {
            tokio::time::sleep(SHORT).await;
            point.send(&mut *producer, super::kit::texts_batch(&queue, Some(0), &["now"])).await;
            Instant::now()
        },
        async {
            let batch = consumer.poll(1000, Duration::from_secs(20)).await.expect("polled");
            (batch.map(|batch| texts(&owned(&batch))), Instant::now())
        }
    );
    assert_eq!(polled.0.as_deref(), Some(&["now".to_owned()][..]));
    let delay = polled.1.saturating_duration_since(sent);
    assert!(delay < Duration::from_secs(2), "a message that was there was returned after {delay:?}");
    point.delete(&queue).await;
    point.close().await;
}

/// D20: at most `max_bytes`, or one message.
pub async fn d20_batches_are_bounded<F: DriverFixture>(fixture: &mut F) {
    const LIMIT: usize = 1000;
    let point = open(fixture).await;
    let queue = point.queue("d20", 1).await;
    let sizes: Vec<usize> = (0..200).map(|n| [10, 300, 999, 1000, 1001, 50_000][n * 7 % 6]).collect();
    let mut batch = openmessaging::MessageBatch::new();
    for size in &sizes {
        let mut writer = batch.start();
        writer.key(Some(b"12345"));
        writer.header("h", Some(b"67890"));
        writer.finish(&queue, Some(0), 1, Some(&vec![b'x'; *size]));
    }
    let mut producer = point.producer().await;
    point.send(&mut *producer, batch).await;
    let mut consumer = point.reader(&queue, 0, point.oldest()).await;
    let mut seen = Vec::new();
    while seen.len() < sizes.len() {
        let batch = consumer.poll(LIMIT, point.patience).await.expect("polled").expect("messages");
        let got = owned(&batch);
        let bytes = |got: &super::kit::Got| {
            got.key.as_ref().map_or(0, Vec::len) + got.body.as_ref().map_or(0, Vec::len)
        };
        let total: usize = got.iter().map(bytes).sum();
        assert!(total <= LIMIT || got.len() == 1, "{} messages of {total} bytes", got.len());
        seen.extend(got.iter().map(|got| got.body.as_ref().map_or(0, Vec::len)));
    }
    assert_eq!(seen, sizes);
    point.delete(&queue).await;
    point.close().await;
}
