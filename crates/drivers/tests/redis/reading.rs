//! Reading, as it is at this broker.

use std::sync::Arc;
use std::time::Duration;

use openmessaging::{ConsumerOptions, QueuePartition, QueueSpec, StartAt, StatusCode};
use testkit::driver::{DriverFixture, create, unique};

use crate::fixture::{Private, Shared, driver, properties};
use crate::writing::{producer, read, send, texts};

#[test]
fn entries_of_others_become_bodies() {
    testkit::block_on(async {
        let server = Private::new();
        let tool = server.tool();
        let name: Arc<str> = unique("theirs").into();
        tool.run(&["XADD", &name, "5-1", "payload", "one"]);
        tool.run(&["XADD", &name, "*", "a", "1", "b", "2"]);
        tool.run(&["XADD", &name, "*", "body", "x", "trace", "t"]);
        let point = server.open().await.expect("open");
        let got: Vec<String> = read(&*point, &name, 3).await.into_iter().map(|(_, text)| text).collect();
        assert_eq!(got, ["one", r#"{"a":"1","b":"2"}"#, "x"]);
        // What is no stream is told so.
        tool.run(&["SET", "a-text", "x"]);
        let error = point.resources().describe_queue("a-text").await.expect_err("no stream");
        assert_eq!(error.status, StatusCode::BadParameter);
        assert!(!point.resources().list_queues().await.expect("listed").contains(&"a-text".to_owned()));
        let taken = point.resources().create_queue(&QueueSpec::new("a-text", 1)).await.expect_err("taken");
        assert_eq!(taken.status, StatusCode::AlreadyExists);
        point.close().await.expect("closed");
    });
}

/// An id that is no offset stops the reader with an error that says so; behind it reading goes on.
#[test]
fn an_id_that_is_no_offset_is_told() {
    testkit::block_on(async {
        let server = Private::new();
        let tool = server.tool();
        let name: Arc<str> = unique("odd").into();
        tool.run(&["XADD", &name, "1-1", "body", "before"]);
        tool.run(&["XADD", &name, "1-5000000", "body", "odd"]);
        tool.run(&["XADD", &name, "2-0", "body", "behind"]);
        let point = server.open().await.expect("open");
        let mut consumer = point.pull_consumer(ConsumerOptions::default()).await.expect("a consumer");
        let place = QueuePartition::new(name.clone(), 0);
        consumer.assign(&[(place.clone(), StartAt::Begin)]).await.expect("assigned");
        let batch = consumer.poll(1000, Duration::from_secs(20)).await.expect("polled").expect("a message");
        assert_eq!(batch.messages.get(0).and_then(|message| message.body), Some(&b"before"[..]));
        let error = consumer.poll(1000, Duration::from_secs(20)).await.expect_err("no offset");
        assert!(
            error.status == StatusCode::BadParameter && error.to_string().contains("1-5000000"),
            "{error}"
        );
        consumer.seek(&place, StartAt::Offset(2 << 20)).await.expect("sought");
        let batch = consumer.poll(1000, Duration::from_secs(20)).await.expect("polled").expect("a message");
        assert_eq!(batch.messages.get(0).and_then(|message| message.body), Some(&b"behind"[..]));
        point.close().await.expect("closed");
    });
}

/// Messages that are suddenly large, more than there is room for by the size of the small ones: what is passed over is
/// read again.
#[test]
fn what_there_was_no_room_for_comes_later() {
    testkit::block_on(async {
        let server = Shared::new();
        let point = server.open().await.expect("open");
        let queue = create(&*point, QueueSpec::new(unique("sizes"), 1)).await;
        let mut producer = producer(&*point).await;
        send(&mut *producer, texts(&queue, (0..3000).map(|number| number.to_string()))).await;
        let large = "x".repeat(1 << 20);
        for _ in 0..60 {
            send(&mut *producer, texts(&queue, [large.clone()])).await;
        }
        let options = ConsumerOptions { group: String::new(), prefetch_bytes: Some(256 * 1024) };
        let mut consumer = point.pull_consumer(options).await.expect("a consumer");
        let place = QueuePartition::new(queue.clone(), 0);
        consumer.assign(&[(place, StartAt::Begin)]).await.expect("assigned");
        let (mut count, mut next) = (0, 1);
        while count < 3060 {
            let batch =
                consumer.poll(1 << 21, Duration::from_secs(20)).await.expect("polled").expect("messages");
            assert!(batch.offsets.iter().all(|offset| {
                next += 1;
                *offset == next - 1
            }));
            count += batch.offsets.len();
        }
        point.resources().delete_queue(&queue).await.expect("deleted");
        point.close().await.expect("closed");
    });
}

/// A user who may not end waits gets another connection instead: what is sought comes at once all the same.
#[test]
fn a_seek_during_a_wait_needs_no_right_of_its_own() {
    testkit::block_on(async {
        let server = Private::new();
        server.tool().run(&["ACL", "SETUSER", "plain", "on", ">plain", "+@all", "-client|unblock", "~*"]);
        for user in ["default", "plain"] {
            let mut given = server.properties();
            if user == "plain" {
                given = properties(&[("user", "plain"), ("password", "plain")]);
            }
            let point = driver().connect(&server.url(), &given).await.expect("open");
            let queue = create(&*point, QueueSpec::new(unique("wait"), 1)).await;
            let mut producer = producer(&*point).await;
            send(&mut *producer, texts(&queue, ["m".to_owned()])).await;
            let mut consumer = point.pull_consumer(ConsumerOptions::default()).await.expect("a consumer");
            let place = QueuePartition::new(queue.clone(), 0);
            consumer.assign(&[(place.clone(), StartAt::End)]).await.expect("assigned");
            assert!(consumer.poll(1000, Duration::from_millis(200)).await.expect("polled").is_none());
            for _ in 0..5 {
                consumer.seek(&place, StartAt::Begin).await.expect("sought");
                let begin = std::time::Instant::now();
                let batch = consumer.poll(1000, Duration::from_secs(20)).await.expect("polled");
                assert_eq!(batch.expect("a message").offsets, [1]);
                assert!(begin.elapsed() < Duration::from_millis(700), "{user}: after {:?}", begin.elapsed());
            }
            point.close().await.expect("closed");
        }
    });
}
