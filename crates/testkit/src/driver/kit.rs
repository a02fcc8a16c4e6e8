//! What the clauses are written with.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use openmessaging::{
    Acknowledged, Capabilities, ConsumedBatch, ConsumerOptions, MessageBatch, MessagingAccessPoint, Producer,
    ProducerOptions, PullConsumer, QueuePartition, QueueSpec, SendReport, StartAt, StatusCode,
};

use super::DriverFixture;

/// A name that no other test has, also not in another run against the same broker.
pub fn unique(name: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    format!("t-{name}-{now:x}-{}-{count}", std::process::id())
}

/// Creates a queue.
pub async fn create(point: &dyn MessagingAccessPoint, spec: QueueSpec) -> Arc<str> {
    point.resources().create_queue(&spec).await.expect("the queue is created");
    spec.name.into()
}

/// Creates a queue with a name of its own.
pub async fn new_queue(point: &dyn MessagingAccessPoint, name: &str, partitions: u32) -> Arc<str> {
    create(point, QueueSpec::new(unique(name), partitions)).await
}

/// An access point, and what it can do.
pub(crate) struct Point {
    pub point: Arc<dyn MessagingAccessPoint>,
    pub can: Capabilities,
    pub patience: Duration,
}

/// A message, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Got {
    pub partition: u32,
    pub offset: u64,
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    pub body: Option<Vec<u8>>,
}

impl Got {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.body.as_deref().unwrap_or_default()).into_owned()
    }
}

pub(crate) async fn open<F: DriverFixture>(fixture: &F) -> Point {
    match fixture.open().await {
        Ok(point) => Point { can: point.capabilities(), point, patience: fixture.patience() },
        Err(error) => panic!("the broker cannot be opened: {error}"),
    }
}

impl Point {
    /// A new queue of so many partitions, one where the driver has no more.
    pub async fn queue(&self, name: &str, partitions: u32) -> Arc<str> {
        let partitions = if self.can.partitions { partitions } else { 1 };
        new_queue(&*self.point, name, partitions).await
    }

    pub async fn create(&self, spec: QueueSpec) -> Arc<str> {
        create(&*self.point, spec).await
    }

    pub async fn delete(&self, queue: &str) {
        self.point.resources().delete_queue(queue).await.expect("the queue is deleted");
    }

    pub async fn producer(&self) -> Box<dyn Producer> {
        self.point.producer(ProducerOptions::default()).await.expect("a producer")
    }

    pub async fn consumer(&self, group: &str) -> Box<dyn PullConsumer> {
        let options = ConsumerOptions { group: group.to_owned(), prefetch_bytes: None };
        self.point.pull_consumer(options).await.expect("a consumer")
    }

    /// Sends and wants all of it acknowledged.
    pub async fn send(&self, producer: &mut dyn Producer, batch: MessageBatch) -> SendReport {
        let report = self.within("a send", producer.send(batch)).await;
        all_acknowledged(&report);
        report
    }

    /// Sends these texts as bodies to partition 0 of a queue, each in a batch of its own.
    pub async fn send_texts(&self, queue: &Arc<str>, texts: impl IntoIterator<Item = String>) {
        self.send_texts_to(queue, 0, texts).await;
    }

    pub async fn send_texts_to(
        &self,
        queue: &Arc<str>,
        partition: u32,
        texts: impl IntoIterator<Item = String>,
    ) {
        let mut producer = self.producer().await;
        let sends: Vec<_> = texts
            .into_iter()
            .map(|text| producer.send(texts_batch(queue, Some(partition), &[text])))
            .collect();
        for send in sends {
            all_acknowledged(&self.within("a send", send).await);
        }
        producer.close().await.expect("the producer is closed");
    }

    /// The oldest message that is kept, for a consumer of a group that never committed.
    pub fn oldest(&self) -> StartAt {
        if self.can.offsets { StartAt::Begin } else { StartAt::Committed }
    }

    /// A consumer of one partition.
    pub async fn reader(&self, queue: &Arc<str>, partition: u32, from: StartAt) -> Box<dyn PullConsumer> {
        let mut consumer = self.consumer(&unique("group")).await;
        let place = QueuePartition::new(queue.clone(), partition);
        consumer.assign(&[(place, from)]).await.expect("assigned");
        consumer
    }

    /// So many messages of a partition, from the oldest on.
    pub async fn read(&self, queue: &Arc<str>, partition: u32, count: usize) -> Vec<Got> {
        let mut reader = self.reader(queue, partition, self.oldest()).await;
        self.take(&mut *reader, count).await
    }

    /// So many messages, whatever batches they come in.
    ///
    /// # Panics
    /// When fewer come in time.
    pub async fn take(&self, consumer: &mut dyn PullConsumer, count: usize) -> Vec<Got> {
        let mut got = Vec::new();
        let mut last = Instant::now();
        while got.len() < count {
            assert!(last.elapsed() < self.patience, "{} of {count} messages came", got.len());
            if let Some(batch) = poll(consumer, Duration::from_millis(500)).await {
                got.extend(owned(&batch));
                last = Instant::now();
            }
        }
        assert_eq!(got.len(), count, "more messages came than were sent");
        got
    }

    /// Whatever comes, until nothing came for a while.
    pub async fn take_all(&self, consumer: &mut dyn PullConsumer) -> Vec<Got> {
        let mut got = Vec::new();
        while let Some(batch) = poll(consumer, Duration::from_millis(700)).await {
            got.extend(owned(&batch));
        }
        got
    }

    /// Every message of a queue, by partition.
    pub async fn read_queue(&self, queue: &Arc<str>) -> Vec<Vec<Got>> {
        let described = self.point.resources().describe_queue(queue).await.expect("described");
        let mut all = Vec::new();
        for partition in described.partitions {
            let mut reader = self.reader(queue, partition.partition, self.oldest()).await;
            all.push(self.take_all(&mut *reader).await);
        }
        all
    }

    pub async fn within<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        let patience = self.patience;
        let ended = tokio::time::timeout(patience, future).await;
        ended.unwrap_or_else(|_| panic!("{what} did not end within {patience:?}"))
    }

    pub async fn close(self) {
        self.within("close", self.point.close()).await.expect("closed");
    }
}

pub(crate) async fn poll(consumer: &mut dyn PullConsumer, wait: Duration) -> Option<ConsumedBatch> {
    consumer.poll(1024 * 1024, wait).await.expect("polled")
}

pub(crate) fn owned(batch: &ConsumedBatch) -> Vec<Got> {
    assert_eq!(batch.messages.len(), batch.offsets.len(), "one offset for each message");
    assert!(!batch.messages.is_empty(), "a batch without messages was returned");
    let message = |(message, offset): (openmessaging::Message<'_>, &u64)| {
        assert_eq!(message.queue, &batch.partition.queue);
        Got {
            partition: batch.partition.partition,
            offset: *offset,
            timestamp: message.timestamp,
            key: message.key.map(<[u8]>::to_vec),
            headers: message
                .headers
                .into_iter()
                .map(|header| (header.name.to_owned(), header.value.map(<[u8]>::to_vec)))
                .collect(),
            body: message.body.map(<[u8]>::to_vec),
        }
    };
    batch.messages.iter().zip(&batch.offsets).map(message).collect()
}

pub(crate) fn texts_batch<T: AsRef<str>>(
    queue: &Arc<str>,
    partition: Option<u32>,
    texts: &[T],
) -> MessageBatch {
    let mut batch = MessageBatch::new();
    for text in texts {
        batch.start().finish(queue, partition, 1, Some(text.as_ref().as_bytes()));
    }
    batch
}

pub(crate) fn all_acknowledged(report: &SendReport) {
    if let Some(error) = &report.error {
        panic!("a send failed: {error}");
    }
    assert_eq!(report.acknowledged.prefix(), report.batch.len(), "all of it is acknowledged");
}

/// The batch failed like this, with so many acknowledged from its front.
pub(crate) fn assert_failed(report: &SendReport, prefix: usize, status: StatusCode) {
    let Some(error) = &report.error else { panic!("a send that must fail with {status:?} did not") };
    assert_eq!(error.status, status, "{error}");
    assert_eq!(report.acknowledged, Acknowledged::Prefix(prefix), "{error}");
}

pub(crate) fn texts(got: &[Got]) -> Vec<String> {
    got.iter().map(Got::text).collect()
}

pub(crate) fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("m{number:06}")).collect()
}

/// The call failed with that status.
pub(crate) fn refused<T>(result: openmessaging::Result<T>, status: StatusCode, what: &str) {
    match result {
        Ok(_) => panic!("{what} must fail with {status:?}"),
        Err(error) => assert_eq!(error.status, status, "{what}: {error}"),
    }
}
