//! A load on a broker, from threads of its own: one writes, one reads, both count.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use openmessaging::{
    ConsumerOptions, Error, MessageBatch, MessagingAccessPoint, Producer, ProducerOptions, QueuePartition,
    StartAt,
};

use crate::driver::kit::unique;
use crate::ledger::{Event, Ledger};

const KEYS: u64 = 5;
const PER_BATCH: u64 = 20;
const IN_FLIGHT: usize = 4;

/// Messages.
const COMMIT_AFTER: usize = 5000;

/// What the threads share.
#[derive(Default)]
pub struct Counts {
    stop: AtomicBool,
    /// Messages acknowledged.
    pub acknowledged: AtomicU64,
    /// Messages read.
    pub read: AtomicU64,
    /// Sends that failed.
    pub failures: AtomicUsize,
    /// When a message was acknowledged last, and read last.
    last_acknowledged: Mutex<Option<Instant>>,
    last_read: Mutex<Option<Instant>>,
    errors: Mutex<Vec<String>>,
}

fn set(at: &Mutex<Option<Instant>>) {
    *at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
}

fn is_after(at: &Mutex<Option<Instant>>, moment: Instant) -> bool {
    at.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|at| at > moment)
}

pub struct Load {
    pub counts: Arc<Counts>,
    writer: JoinHandle<Vec<Event>>,
    reader: JoinHandle<Vec<Event>>,
}

impl Load {
    /// Writes to the queue, and reads all its partitions, until it is [finished](Self::finish).
    pub fn start(
        point: Arc<dyn MessagingAccessPoint>,
        queue: &Arc<str>,
        partitions: u32,
        from: StartAt,
    ) -> Self {
        let counts = Arc::new(Counts::default());
        let (own, to, through) = (counts.clone(), queue.clone(), point.clone());
        let writer = std::thread::spawn(move || crate::block_on(write(through, to, own)));
        let (own, of) = (counts.clone(), queue.clone());
        let reader = std::thread::spawn(move || crate::block_on(read(point, of, partitions, from, own)));
        Self { counts, writer, reader }
    }

    /// Waits until something that was sent after `moment` was acknowledged, and something was read.
    ///
    /// # Panics
    /// When that does not happen within `patience`.
    pub fn await_progress(&self, moment: Instant, patience: Duration, what: &str) {
        let counts = &self.counts;
        let begin = Instant::now();
        for (at, does) in [(&counts.last_acknowledged, "acknowledged"), (&counts.last_read, "read")] {
            while !is_after(at, moment) {
                let errors = counts.errors.lock().unwrap_or_else(PoisonError::into_inner);
                assert!(
                    begin.elapsed() < patience,
                    "{what}: nothing is {does} within {patience:?}; the last errors: {:?}",
                    &errors[errors.len().saturating_sub(4)..]
                );
                drop(errors);
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// Stops writing, reads to the end, and counts: nothing is lost, nothing is overtaken. Answers how many came twice.
    pub fn finish(self, patience: Duration) -> usize {
        self.counts.stop.store(true, Ordering::SeqCst);
        let written = self.writer.join().expect("the writer");
        let begin = Instant::now();
        let distinct = written.len() as u64;
        let mut arrived = None;
        while begin.elapsed() < patience {
            if self.reader.is_finished() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        if self.reader.is_finished() {
            arrived = Some(self.reader.join().expect("the reader"));
        }
        let errors = self.counts.errors.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(arrived) = arrived else {
            panic!(
                "of {distinct} messages {} were read; errors: {errors:?}",
                self.counts.read.load(Ordering::SeqCst)
            );
        };
        overtaken(&arrived);
        let mut ledger = Ledger::default();
        ledger.written(written);
        ledger.arrived(arrived);
        let report = ledger.report();
        if !report.lost.is_empty() {
            eprintln!("errors of the load: {errors:?}");
        }
        report.assert_at_least_once();
        report.duplicates
    }
}

/// Per key each number follows the one before it, or goes back to begin a repeated stretch.
fn overtaken(arrived: &[Event]) {
    let mut last = std::collections::HashMap::new();
    for event in arrived {
        let step = KEYS;
        if let Some(before) = last.insert(event.key, event.number) {
            assert!(
                event.number == before + step || event.number <= before,
                "key {}: {} came behind {before}",
                event.key,
                event.number
            );
        }
    }
}

/// A batch in flight, with its events from the front.
struct Sent {
    future: openmessaging::SendFuture,
    events: VecDeque<Event>,
}

fn batch(queue: &Arc<str>, events: impl Iterator<Item = Event>) -> MessageBatch {
    let mut batch = MessageBatch::new();
    for event in events {
        let key = format!("key{}", event.key);
        let mut writer = batch.start();
        writer.key(Some(key.as_bytes()));
        writer.finish(queue, None, 1, Some(event.to_string().as_bytes()));
    }
    batch
}

/// Writes as a source task does: what failed is sent again, in order, before anything new. Answers what was acknowledged.
async fn write(point: Arc<dyn MessagingAccessPoint>, queue: Arc<str>, counts: Arc<Counts>) -> Vec<Event> {
    let mut producer = point.producer(ProducerOptions::default()).await.expect("a producer");
    let (mut in_flight, mut next) = (VecDeque::<Sent>::new(), 0);
    let mut acknowledged = Vec::new();
    loop {
        let stopping = counts.stop.load(Ordering::SeqCst);
        if stopping && in_flight.is_empty() {
            break;
        }
        if !stopping && in_flight.len() < IN_FLIGHT {
            let events: VecDeque<Event> =
                (next..next + PER_BATCH).map(|number| Event::new((number % KEYS) as u32, number)).collect();
            next += PER_BATCH;
            let future = producer.send(batch(&queue, events.iter().copied()));
            in_flight.push_back(Sent { future, events });
            tokio::time::sleep(Duration::from_millis(2)).await;
            continue;
        }
        let Some(mut front) = in_flight.pop_front() else { continue };
        let report = front.future.await;
        let durable = report.acknowledged.prefix();
        acknowledged.extend(front.events.drain(..durable));
        counts.acknowledged.fetch_add(durable as u64, Ordering::SeqCst);
        if durable > 0 {
            set(&counts.last_acknowledged);
        }
        let Some(error) = report.error else { continue };
        note(&counts, &error);
        counts.failures.fetch_add(1, Ordering::SeqCst);
        let mut again = VecDeque::from([front.events]);
        while let Some(sent) = in_flight.pop_front() {
            // A driver that cannot refuse what is behind a failure may have stored it: it is sent again all the same.
            let _ = sent.future.await;
            again.push_back(sent.events);
        }
        recover(&mut *producer, &counts).await;
        for events in again {
            let future = producer.send(batch(&queue, events.iter().copied()));
            in_flight.push_back(Sent { future, events });
        }
    }
    let _ = producer.close().await;
    acknowledged
}

async fn recover(producer: &mut dyn Producer, counts: &Counts) {
    tokio::time::sleep(Duration::from_millis(50)).await;
    while let Err(error) = producer.recover().await {
        note(counts, &error);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn note(counts: &Counts, error: &Error) {
    counts.errors.lock().unwrap_or_else(PoisonError::into_inner).push(error.to_string());
}

/// Reads until the writer has stopped and everything acknowledged was read.
async fn read(
    point: Arc<dyn MessagingAccessPoint>,
    queue: Arc<str>,
    partitions: u32,
    from: StartAt,
    counts: Arc<Counts>,
) -> Vec<Event> {
    let options = ConsumerOptions { group: unique("load"), prefetch_bytes: None };
    let mut consumer = point.pull_consumer(options).await.expect("a consumer");
    let places: Vec<_> =
        (0..partitions).map(|partition| (QueuePartition::new(queue.clone(), partition), from)).collect();
    consumer.assign(&places).await.expect("assigned");
    let (mut arrived, mut distinct) = (Vec::new(), std::collections::HashSet::new());
    // Where a position is what the broker has not yet taken back, a reader that never commits is none of ours.
    let commits = !point.capabilities().offsets;
    let (mut quiet, mut uncommitted) = (0, 0);
    loop {
        match consumer.poll(64 * 1024, Duration::from_millis(100)).await {
            Ok(Some(batch)) => {
                quiet = 0;
                for message in batch.messages.iter() {
                    let text = String::from_utf8_lossy(message.body.unwrap_or_default()).into_owned();
                    let event: Event = text.parse().expect("an event");
                    distinct.insert(event);
                    arrived.push(event);
                }
                counts.read.store(distinct.len() as u64, Ordering::SeqCst);
                set(&counts.last_read);
                uncommitted += batch.messages.len();
                if commits && uncommitted > COMMIT_AFTER {
                    uncommitted = 0;
                    let next = consumer.position(&batch.partition).unwrap_or_default();
                    if let Err(error) = consumer.commit(&[(batch.partition, next)]).await {
                        note(&counts, &error);
                    }
                }
            }
            Ok(None) => quiet += 1,
            Err(error) => {
                note(&counts, &error);
                quiet = 0;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        let all = distinct.len() as u64 >= counts.acknowledged.load(Ordering::SeqCst);
        // Then a little longer: something might come twice.
        if counts.stop.load(Ordering::SeqCst) && all && quiet >= 5 {
            break;
        }
    }
    let _ = consumer.close().await;
    arrived
}
