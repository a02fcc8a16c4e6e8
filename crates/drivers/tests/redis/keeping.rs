//! What is kept: retention, positions, stores.

use std::time::{Duration, Instant};

use futures::StreamExt;
use openmessaging::{Change, ConsumerOptions, QueuePartition, QueueSpec};
use testkit::driver::{DriverFixture, create, unique};

use crate::fixture::{Private, Shared};
use crate::writing::{producer, send, texts};

#[test]
fn what_is_old_is_removed_and_what_is_not_stays() {
    testkit::block_on(async {
        let server = Shared::new();
        let point = server.open().await.expect("open");
        let spec = QueueSpec { retention_ms: Some(1500), ..QueueSpec::new(unique("old"), 2) };
        let queue = create(&*point, spec).await;
        let mut producer = producer(&*point).await;
        // Whole nodes of 100 entries, or of 4 KiB, are removed.
        send(&mut *producer, texts(&queue, (0..1000).map(|number| number.to_string()))).await;
        let described =
            async || point.resources().describe_queue(&queue).await.expect("described").partitions;
        let first = described().await;
        let full = first.iter().position(|partition| partition.end > 1).expect("somewhere");
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(described().await[full].begin, 1, "it is not old yet");
        tokio::time::sleep(Duration::from_millis(1500)).await;
        send(&mut *producer, texts(&queue, (0..20).map(|number| number.to_string()))).await;
        let begin = Instant::now();
        while described().await[full].begin < 900 {
            assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", described().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let now = described().await;
        assert!(now.iter().all(|partition| partition.begin <= 1001), "the new ones stay: {now:?}");
        point.resources().delete_queue(&queue).await.expect("deleted");
        point.close().await.expect("closed");
    });
}

/// Redis's own tools see positions, and go on from them.
#[test]
fn positions_are_consumer_groups() {
    testkit::block_on(async {
        let server = Private::new();
        let point = server.open().await.expect("open");
        let queue = create(&*point, QueueSpec::new(unique("groups"), 1)).await;
        let mut producer = producer(&*point).await;
        send(&mut *producer, texts(&queue, (0..10).map(|number| format!("m{number}")))).await;
        let options = ConsumerOptions { group: "theirs".to_owned(), prefetch_bytes: None };
        let mut consumer = point.pull_consumer(options).await.expect("a consumer");
        let place = QueuePartition::new(queue.clone(), 0);
        consumer.commit(&[(place.clone(), 5)]).await.expect("committed");
        let tool = server.tool();
        let read = ["XREADGROUP", "GROUP", "theirs", "me", "COUNT", "1", "STREAMS", &queue, ">"];
        assert!(tool.run(&read).contains("m4"), "the entry behind the position");
        assert_eq!(consumer.committed(&place).await.expect("asked"), Some(6), "it moved on");
        point.close().await.expect("closed");
    });
}

/// A watcher of large values, which the stream of changes does not hold, over a restart of the server.
#[test]
fn watches_go_on_after_a_restart_and_know_large_values() {
    testkit::block_on(async {
        let mut server = Private::new();
        let point = server.open().await.expect("open");
        let values = point.key_value_store(&unique("large")).await.expect("a store");
        let mut changes = values.watch("").await.expect("watched");
        assert_eq!(changes.next().await.expect("a change").expect("read"), Change::Current);
        for round in 0..3_u8 {
            let large = vec![round; 100_000];
            values.put("k", &large).await.expect("put");
            let change =
                tokio::time::timeout(Duration::from_secs(20), changes.next()).await.expect("in time");
            let Some(Ok(Change::Put(put))) = change else { panic!("{change:?}") };
            assert_eq!((put.key.as_str(), put.value), ("k", large));
            server.crash().await;
            assert_eq!(values.get("k").await.expect("asked").expect("there").value[0], round);
        }
        point.close().await.expect("closed");
        assert!(changes.next().await.is_none());
    });
}

/// A watcher that fell behind what is kept of changes knows of deletions too.
#[test]
fn a_watcher_far_behind_catches_up() {
    testkit::block_on(async {
        let server = Private::new();
        let point = server.open().await.expect("open");
        let name = unique("behind");
        let values = point.key_value_store(&name).await.expect("a store");
        values.put("gone", b"x").await.expect("put");
        values.put("stays", b"x").await.expect("put");
        let mut changes = values.watch("").await.expect("watched");
        while changes.next().await.expect("a change").expect("read") != Change::Current {}
        // More than the channel and one answer hold, so that the rest is cut away from the stream.
        values.delete("gone").await.expect("deleted");
        for number in 0..200 {
            values.put(&format!("k{number}"), b"1").await.expect("put");
        }
        server.tool().run(&["XTRIM", &format!("{{omsconnect-store-{name}}}:changes"), "MAXLEN", "0"]);
        values.put("end", b"1").await.expect("put");
        let (mut gone, mut puts) = (false, 0);
        loop {
            match tokio::time::timeout(Duration::from_secs(20), changes.next()).await.expect("in time") {
                Some(Ok(Change::Deleted { key, .. })) => gone |= key == "gone",
                Some(Ok(Change::Put(put))) if put.key == "end" => break,
                Some(Ok(Change::Put(_))) => puts += 1,
                other => panic!("{other:?}"),
            }
        }
        assert!(gone && puts == 200, "{gone} {puts}");
        point.close().await.expect("closed");
    });
}
