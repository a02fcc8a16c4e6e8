//! What is asked while a broker comes back: D41.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use openmessaging::{
    AccessPointUrl, ConsumerOptions, Driver, MessagingAccessPoint, Properties, QueuePartition, Result,
};

use super::ServerFixture;
use crate::broker::End;
use crate::driver::kit::{Point, numbered, open, unique};

const MESSAGES: usize = 20;
const COMMITTED: u64 = 7;

/// Between questions.
const MOMENTS: Duration = Duration::from_millis(4);

/// Questions that wait for their answers.
const AT_ONCE: usize = 400;

/// How long it may take until everything is told again. How soon work goes on is asked by D32.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is there, and must be told, by whoever is asked.
#[derive(Clone)]
struct There {
    queue: Arc<str>,
    store: String,
    /// Committed to the first partition, where positions are the broker's.
    group: Option<String>,
    /// Whether messages have offsets.
    offsets: bool,
}

/// Counted by those who ask.
#[derive(Default)]
struct Asking {
    stop: AtomicBool,
    /// Rounds in which everything was told.
    complete: [AtomicUsize; 2],
}

/// D41: while a broker ends and comes back, nothing is said to be missing that is there.
pub async fn d41_nothing_is_said_to_be_missing<F: ServerFixture>(fixture: &mut F) {
    let point = open(fixture).await;
    let there = put_there(&point).await;
    let asking = Arc::new(Asking::default());
    let from = (fixture.driver(), fixture.url(), fixture.properties());
    let (old, what, shared) = (point.point.clone(), there.clone(), asking.clone());
    let of_old = std::thread::spawn(move || crate::block_on(ask_often(old, what, shared)));
    let (what, shared) = (there.clone(), asking.clone());
    let of_new = std::thread::spawn(move || crate::block_on(ask_anew(from, what, shared)));
    'outages: for how in [End::Stop, End::Kill, End::Kill] {
        fixture.broker().end(how);
        std::thread::sleep(Duration::from_millis(300));
        fixture.broker().start_again();
        let begin = Instant::now();
        let complete = || [0, 1].map(|who| asking.complete[who].load(Ordering::SeqCst));
        let before = complete();
        while complete().iter().zip(&before).any(|(now, before)| *now < before + 2) {
            if of_old.is_finished() || of_new.is_finished() {
                break 'outages;
            }
            let now = complete();
            assert!(begin.elapsed() < PATIENCE, "not everything is told after {how:?}: {before:?}, {now:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    asking.stop.store(true, Ordering::SeqCst);
    for (who, ended) in [("a point that was open", of_old.join()), ("a new point", of_new.join())] {
        let told = ended.expect("the thread that asks");
        assert!(told.is_ok(), "{who} was told: {}", told.err().unwrap_or_default());
    }
    point.delete(&there.queue).await;
    point.close().await;
}

async fn put_there(point: &Point) -> There {
    let queue = point.queue("d41", 2).await;
    point.send_texts(&queue, numbered(MESSAGES)).await;
    let store = unique("store");
    point.point.key_value_store(&store).await.expect("a store").put("k", b"v").await.expect("put");
    let mut group = None;
    if point.can.broker_positions && point.can.offsets {
        let name = unique("group");
        let mut consumer = point.consumer(&name).await;
        consumer.commit(&[(QueuePartition::new(queue.clone(), 0), COMMITTED)]).await.expect("committed");
        consumer.close().await.expect("closed");
        group = Some(name);
    }
    There { queue, store, group, offsets: point.can.offsets }
}

type Told<T> = std::result::Result<T, String>;

/// Whether it was told; it is not while the broker is away.
fn told(answer: Result<Option<String>>) -> Told<bool> {
    match answer {
        Ok(None) => Ok(true),
        Ok(Some(wrong)) => Err(wrong),
        Err(error) if error.is_retriable() => Ok(false),
        Err(error) => Err(error.to_string()),
    }
}

/// What was told wrong of the queue.
async fn describe(point: &dyn MessagingAccessPoint, there: &There) -> Result<Option<String>> {
    let described = point.resources().describe_queue(&there.queue).await?;
    let first = &described.partitions[0];
    let complete = !there.offsets || first.end - first.begin == MESSAGES as u64;
    Ok((!complete).then(|| format!("{described:?}")))
}

/// What was told wrong of all that is there.
async fn questions(point: &dyn MessagingAccessPoint, there: &There) -> Result<Option<String>> {
    if let Some(wrong) = describe(point, there).await? {
        return Ok(Some(wrong));
    }
    let value = point.key_value_store(&there.store).await?.get("k").await?;
    if value.as_ref().is_none_or(|found| found.value != *b"v") {
        return Ok(Some(format!("the store has {value:?}")));
    }
    let Some(group) = &there.group else { return Ok(None) };
    let options = ConsumerOptions { group: group.clone(), prefetch_bytes: None };
    let mut consumer = point.pull_consumer(options).await?;
    let committed = consumer.committed(&QueuePartition::new(there.queue.clone(), 0)).await?;
    Ok((committed != Some(COMMITTED)).then(|| format!("{committed:?} is committed")))
}

/// Asks everything, and meanwhile begins every few milliseconds to ask for the queue, whatever is still unanswered: what is
/// told wrong for a moment only is to be met.
async fn ask_often(point: Arc<dyn MessagingAccessPoint>, there: There, asking: Arc<Asking>) -> Told<()> {
    let mut under_way = FuturesUnordered::new();
    let mut moments = tokio::time::interval(MOMENTS);
    let everything = async {
        while !asking.stop.load(Ordering::SeqCst) {
            let complete = told(questions(&*point, &there).await)?;
            asking.complete[0].fetch_add(usize::from(complete), Ordering::SeqCst);
            tokio::time::sleep(MOMENTS).await;
        }
        Ok(())
    };
    tokio::pin!(everything);
    loop {
        tokio::select! {
            ended = &mut everything => return ended,
            Some(answer) = under_way.next() => drop(told(answer)?),
            _ = moments.tick(), if under_way.len() < AT_ONCE => {
                under_way.push(describe(&*point, &there));
            }
        }
    }
}

/// Connects each time.
async fn ask_anew(
    (driver, url, properties): (Arc<dyn Driver>, AccessPointUrl, Properties),
    there: There,
    asking: Arc<Asking>,
) -> Told<()> {
    while !asking.stop.load(Ordering::SeqCst) {
        match driver.connect(&url, &properties).await {
            Ok(point) => {
                let complete = told(questions(&*point, &there).await)?;
                asking.complete[1].fetch_add(usize::from(complete), Ordering::SeqCst);
                let _ = point.close().await;
            }
            Err(error) if error.is_retriable() => {}
            Err(error) => return Err(format!("connecting: {error}")),
        }
        tokio::time::sleep(MOMENTS).await;
    }
    Ok(())
}
