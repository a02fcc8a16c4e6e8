//! Access points, errors and queues as resources: D1 to D6.

use std::time::{Duration, Instant};

use openmessaging::{ConsumerOptions, ProducerOptions, QueueSpec, StatusCode};

use super::DriverFixture;
use super::kit::{numbered, open, refused, texts, texts_batch, unique};

/// D1: one clear error in time, which names the place and the remedy and no secret.
pub async fn d01_connecting_fails_clearly<F: DriverFixture>(fixture: &mut F) {
    let wrong = fixture.wrong().await;
    assert!(!wrong.is_empty(), "there is always something that can be wrong");
    for case in wrong {
        let started = Instant::now();
        let driver = fixture.driver();
        let connected = driver.connect(&case.url, &case.properties);
        let name = &case.name;
        let result = tokio::time::timeout(Duration::from_secs(12), connected).await;
        let Ok(result) = result else { panic!("{name}: connecting hangs") };
        let Err(error) = result else { panic!("{name}: connecting must fail") };
        let text = error.to_string();
        assert_eq!(error.status, case.status, "{name}: {text}");
        assert!(started.elapsed() < Duration::from_secs(11), "{name}: after {:?}: {text}", started.elapsed());
        assert!(error.remedy.is_some(), "{name}: no remedy: {text}");
        let whole = format!("{text} {error:?}");
        for part in &case.names {
            assert!(text.contains(part), "{name}: {part} is not named: {text}");
        }
        for secret in &case.secrets {
            assert!(!whole.contains(secret), "{name}: a secret is shown");
        }
    }
    open(fixture).await.close().await;
}

/// D2: `AlreadyExists`, and the partitions asked for.
pub async fn d02_creating_twice_changes_nothing<F: DriverFixture>(fixture: &mut F) {
    let point = open(fixture).await;
    let queue = point.queue("d02", 3).await;
    point.send_texts(&queue, numbered(2)).await;
    let resources = point.point.resources();
    let before = resources.describe_queue(&queue).await.expect("described");
    assert_eq!(before.partitions.len(), if point.can.partitions { 3 } else { 1 });
    for partitions in [1, 3, 5] {
        let again = resources.create_queue(&QueueSpec::new(&*queue, partitions)).await;
        refused(again, StatusCode::AlreadyExists, "creating again");
    }
    assert_eq!(resources.describe_queue(&queue).await.expect("described"), before);
    assert_eq!(texts(&point.read(&queue, 0, 2).await), numbered(2));
    if !point.can.partitions {
        let many = resources.create_queue(&QueueSpec::new(unique("d02"), 3)).await;
        refused(many, StatusCode::Unsupported, "a queue of three partitions");
    }
    point.delete(&queue).await;
    point.close().await;
}

/// D3: every partition with its begin and end; `NotFound`.
pub async fn d03_describing_gives_every_partition<F: DriverFixture>(fixture: &mut F) {
    let point = open(fixture).await;
    let queue = point.queue("d03", 4).await;
    let resources = point.point.resources();
    let described = resources.describe_queue(&queue).await.expect("described");
    assert_eq!(described.name, *queue);
    let numbers: Vec<_> = described.partitions.iter().map(|partition| partition.partition).collect();
    assert_eq!(numbers, if point.can.partitions { vec![0, 1, 2, 3] } else { vec![0] });
    assert!(described.partitions.iter().all(|partition| partition.begin == partition.end), "it is empty");
    let last = numbers[numbers.len() - 1];
    point.send_texts_to(&queue, last, numbered(5)).await;
    if point.can.offsets {
        let described = resources.describe_queue(&queue).await.expect("described");
        for partition in described.partitions {
            let count = if partition.partition == last { 5 } else { 0 };
            assert!(partition.end - partition.begin >= count, "{partition:?}");
            assert_eq!(partition.end == partition.begin, count == 0, "{partition:?}");
        }
    }
    refused(resources.describe_queue(&unique("absent")).await, StatusCode::NotFound, "an absent queue");
    point.delete(&queue).await;
    point.close().await;
}

/// D4: all names, in order, and none that are internal.
pub async fn d04_listing_is_complete_and_in_order<F: DriverFixture>(fixture: &mut F) {
    let point = open(fixture).await;
    // What others have made on a shared broker is not this test's.
    let before = point.point.resources().list_queues().await.expect("listed");
    let mut made = Vec::new();
    for name in ["d04b", "d04a", "d04c"] {
        made.push(point.queue(name, 1).await);
    }
    // What keeps positions and stores is internal.
    let name = unique("store");
    let store = point.point.key_value_store(&name).await.expect("a store");
    store.put("k", b"v").await.expect("put");
    let listed = point.point.resources().list_queues().await.expect("listed");
    assert!(listed.is_sorted(), "{listed:?}");
    assert!(made.iter().all(|queue| listed.iter().any(|name| **name == **queue)), "{listed:?}");
    assert!(!listed.iter().any(|listed| listed.contains(&name)), "a store is no queue: {listed:?}");
    let is_new = |name: &&String| !before.contains(name) && !name.starts_with("t-");
    assert_eq!(listed.iter().find(is_new), None, "only queues that somebody made are listed");
    for queue in made {
        point.delete(&queue).await;
    }
    point.close().await;
}

/// D5: messages and positions go with the queue.
pub async fn d05_deleting_leaves_nothing<F: DriverFixture>(fixture: &mut F) {
    let point = open(fixture).await;
    let queue = point.queue("d05", 1).await;
    point.send_texts(&queue, numbered(10)).await;
    let group = unique("group");
    let place = openmessaging::QueuePartition::new(queue.clone(), 0);
    if point.can.broker_positions {
        let mut consumer = point.consumer(&group).await;
        consumer.assign(&[(place.clone(), point.oldest())]).await.expect("assigned");
        point.take(&mut *consumer, 10).await;
        consumer.commit(&[(place.clone(), 7)]).await.expect("committed");
        consumer.close().await.expect("closed");
    }
    let resources = point.point.resources();
    point.delete(&queue).await;
    refused(resources.describe_queue(&queue).await, StatusCode::NotFound, "describing a deleted queue");
    refused(resources.delete_queue(&queue).await, StatusCode::NotFound, "deleting it again");
    assert!(!resources.list_queues().await.expect("listed").contains(&queue.to_string()));
    let mut producer = point.producer().await;
    let report = producer.send(texts_batch(&queue, None, &["lost"])).await;
    assert_eq!(report.error.map(|error| error.status), Some(StatusCode::NotFound));

    resources.create_queue(&QueueSpec::new(&*queue, 1)).await.expect("created again");
    let described = resources.describe_queue(&queue).await.expect("described");
    assert_eq!(described.partitions[0].begin, described.partitions[0].end, "it starts anew, empty");
    point.send_texts(&queue, ["new".to_owned()]).await;
    assert_eq!(texts(&point.read(&queue, 0, 1).await), ["new"]);
    if point.can.broker_positions {
        let mut consumer = point.consumer(&group).await;
        assert_eq!(
            consumer.committed(&place).await.expect("asked"),
            None,
            "the position went with the queue"
        );
    }
    point.delete(&queue).await;
    point.close().await;
}

/// D6: everything is `Closed`; the place is free at once.
pub async fn d06_closed_is_closed<F: DriverFixture>(fixture: &mut F) {
    let point = open(fixture).await;
    let queue = point.queue("d06", 1).await;
    let (mut producer, mut consumer) = (point.producer().await, point.consumer(&unique("group")).await);
    let place = openmessaging::QueuePartition::new(queue.clone(), 0);
    consumer.assign(&[(place.clone(), point.oldest())]).await.expect("assigned");
    let (resources, access) = (point.point.resources(), point.point.clone());
    let store = access.key_value_store(&unique("store")).await.expect("a store");
    point.close().await;

    let closed = StatusCode::Closed;
    let report = producer.send(texts_batch(&queue, None, &["late"])).await;
    assert_eq!(report.error.map(|error| error.status), Some(closed));
    assert_eq!(report.batch.len(), 1, "the batch comes back");
    refused(producer.recover().await, closed, "recover");
    refused(consumer.poll(1000, Duration::from_secs(5)).await, closed, "poll");
    refused(consumer.assign(&[(place.clone(), openmessaging::StartAt::End)]).await, closed, "assign");
    refused(consumer.commit(&[(place, 0)]).await, closed, "commit");
    refused(resources.list_queues().await, closed, "listing");
    refused(resources.create_queue(&QueueSpec::new(unique("d06"), 1)).await, closed, "creating");
    refused(store.get("k").await, closed, "get");
    refused(store.put("k", b"v").await, closed, "put");
    refused(access.producer(ProducerOptions::default()).await.map(|_| ()), closed, "a producer");
    refused(access.pull_consumer(ConsumerOptions::default()).await.map(|_| ()), closed, "a consumer");
    refused(access.key_value_store("s").await.map(|_| ()), closed, "a store");

    let again = open(fixture).await;
    again.send_texts(&queue, numbered(1)).await;
    assert_eq!(texts(&again.read(&queue, 0, 1).await), numbered(1), "nothing of the late batch was stored");
    again.delete(&queue).await;
    again.close().await;
}
