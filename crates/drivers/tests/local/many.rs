//! Many queues: batches for all of them at once, few files open, and a start that does not read them all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use openmessaging::{ConsumerOptions, MessageBatch, ProducerOptions, QueuePartition, QueueSpec, StartAt};
use testkit::child;

use crate::fixture::connect;

const QUEUES: usize = 700;
const ROUNDS: usize = 3;

#[test]
fn a_batch_for_hundreds_of_queues_needs_few_files() {
    let root = tempfile::TempDir::new().expect("a folder");
    let folder = root.path().join("broker");
    testkit::block_on(async {
        let point = connect(&folder, &[]).await.expect("opened");
        let queues: Vec<Arc<str>> = (0..QUEUES).map(|number| format!("q{number:03}").into()).collect();
        let resources = point.resources();
        let specs: Vec<_> = queues.iter().map(|queue| QueueSpec::new(&**queue, 1)).collect();
        for made in futures::future::join_all(specs.iter().map(|spec| resources.create_queue(spec))).await {
            made.expect("created");
        }
        let mut producer = point.producer(ProducerOptions::default()).await.expect("a producer");
        for round in 0..ROUNDS {
            let mut batch = MessageBatch::new();
            for (number, queue) in queues.iter().enumerate() {
                batch.start().finish(queue, Some(0), 1, Some(format!("{number} {round}").as_bytes()));
            }
            let report = producer.send(batch).await;
            assert!(report.error.is_none(), "{report:?}");
            let open = child::open_below(&folder).len();
            assert!(open < 300, "{open} files are open");
        }
        point.close().await.expect("closed");

        let started = Instant::now();
        let point = connect(&folder, &[]).await.expect("opened");
        assert!(started.elapsed() < Duration::from_secs(5), "opening took {:?}", started.elapsed());
        let mut consumer = point.pull_consumer(ConsumerOptions::default()).await.expect("a consumer");
        let assignment: Vec<_> =
            queues.iter().map(|queue| (QueuePartition::new(queue.clone(), 0), StartAt::Begin)).collect();
        consumer.assign(&assignment).await.expect("assigned");
        let mut seen = 0;
        while let Some(batch) = consumer.poll(1 << 20, Duration::ZERO).await.expect("polled") {
            let number: usize = batch.partition.queue[1..].parse().expect("a number");
            for (round, message) in batch.messages.iter().enumerate() {
                assert_eq!(message.body, Some(format!("{number} {round}").as_bytes()));
                seen += 1;
            }
            assert!(child::open_below(&folder).len() < 300);
        }
        assert_eq!(seen, QUEUES * ROUNDS);
        point.close().await.expect("closed");
    });
}
