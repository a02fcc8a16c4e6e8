//! How a poll behaves: S3, S4, S5, S6.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use openmessaging_connector::{ErrorKind, Polled};

use super::SourceFixture;
use super::run::{PATIENCE, Positions, Run, warmed};
use crate::ledger::Event;
use crate::memory::MemoryState;

/// S3: `poll` returns at once when the batch is full, soon after nothing more is at hand, and about `wait` after the
/// call where nothing came.
pub async fn s03_poll_returns_in_time<F: SourceFixture>(fixture: &mut F) {
    let state = Arc::new(MemoryState::default());
    let mut run = warmed(fixture, &state, Event::new(0, 0)).await;
    run.settle().await;

    let wait = Duration::from_millis(400);
    let start = Instant::now();
    run.poll(100, wait).await.expect("an empty poll");
    let took = start.elapsed();
    assert!(
        took <= wait + Duration::from_secs(1),
        "a poll without records took {took:?} for a wait of {wait:?}"
    );

    fixture.write(&Event::series(1, 20, 5)).await;
    let start = Instant::now();
    let mut polls = 0;
    while run.events(fixture).len() < 21 {
        run.poll(6, Duration::from_secs(10)).await.expect("a poll with records at hand");
        polls += 1;
        assert!(run.out.in_batch() <= 7, "{} records in a batch of 6", run.out.in_batch());
        assert!(start.elapsed() < Duration::from_secs(8), "a full batch did not end the poll");
    }
    assert!(polls >= 3, "20 records came in {polls} batches of 6");
    run.settle().await;

    // Three records for a batch of 1000, and much time left: they must not wait for more.
    fixture.write(&Event::series(21, 3, 5)).await;
    let start = Instant::now();
    while run.events(fixture).len() < 24 {
        run.poll(1000, Duration::from_secs(20)).await.expect("a poll with records at hand");
    }
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "the poll waited for its batch to fill: {:?}",
        start.elapsed()
    );
    run.stop().await;
}

/// S4: `poll` does not block its thread. The suite runs on one thread, so a blocking poll stops the ticking.
pub async fn s04_poll_does_not_block_its_thread<F: SourceFixture>(fixture: &mut F) {
    let state = Arc::new(MemoryState::default());
    let mut run = warmed(fixture, &state, Event::new(0, 0)).await;
    run.settle().await;
    let ticks = Arc::new(AtomicUsize::new(0));
    let ticker = tokio::spawn({
        let ticks = ticks.clone();
        async move {
            loop {
                tokio::time::sleep(Duration::from_millis(10)).await;
                ticks.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let idle = async |run: &mut Run, what: &str| {
        let before = ticks.load(Ordering::Relaxed);
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(600) {
            // While the system fails, an error is as good as waiting: only the thread counts here.
            if run.poll(100, Duration::from_millis(600)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        let ticked = ticks.load(Ordering::Relaxed) - before;
        assert!(ticked >= 15, "the thread could tick {ticked} times in 600 ms {what}");
    };
    idle(&mut run, "while nothing came").await;
    fixture.interrupt().await;
    idle(&mut run, "while the system was interrupted").await;
    fixture.restore().await;
    ticker.abort();
    run.stop().await;
}

/// S5: after `stop` nothing is left open, also after a failed `start` and a poll that was dropped half-way.
pub async fn s05_stop_leaves_nothing_open<F: SourceFixture>(fixture: &mut F) {
    let state = Arc::new(MemoryState::default());
    let run = warmed(fixture, &state, Event::new(0, 0)).await;
    run.stop().await;
    assert_nothing_open(fixture, "after a run").await;

    let config = fixture.unstartable();
    let started = Run::start(&fixture.plugin(), &config, Positions::new(), &state).await;
    assert!(started.is_err(), "the fixture's unstartable configuration starts");
    assert_nothing_open(fixture, "after a failed start").await;

    let mut run = warmed(fixture, &state, Event::new(0, 1)).await;
    run.settle().await;
    let dropped =
        tokio::time::timeout(Duration::from_millis(50), run.poll(10, Duration::from_secs(20))).await;
    assert!(dropped.is_err(), "an idle poll returned at once");
    run.stop().await;
    assert_nothing_open(fixture, "after a dropped poll").await;
}

async fn assert_nothing_open<F: SourceFixture>(fixture: &mut F, when: &str) {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let open = fixture.left_open().await;
        if open.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "left open {when}: {open:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// S6: a retriable error from `poll` loses nothing; neither does a record which the sink refuses: the next poll goes
/// on behind it, so that a record that can never be encoded does not come for ever.
pub async fn s06_retriable_errors_lose_nothing<F: SourceFixture>(fixture: &mut F) {
    let state = Arc::new(MemoryState::default());
    let mut run = warmed(fixture, &state, Event::new(0, 0)).await;
    fixture.write(&Event::series(1, 12, 3)).await;
    run.until(fixture, 4, 3).await;
    fixture.interrupt().await;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        match run.poll(3, Duration::from_millis(200)).await {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::Retriable, "interrupted, poll failed for good: {error}");
                break;
            }
        }
    }
    fixture.restore().await;
    run.until(fixture, 13, 3).await;
    run.settle().await;
    let numbers =
        |run: &Run, fixture: &F| run.events(fixture).iter().map(|event| event.number).collect::<Vec<_>>();
    if fixture.exact() {
        assert_eq!(numbers(&run, fixture), (0..13).collect::<Vec<_>>(), "after an interruption");
    } else {
        let missing: Vec<_> = (0..13).filter(|number| !numbers(&run, fixture).contains(number)).collect();
        assert!(missing.is_empty(), "lost by an interruption: {missing:?}");
    }

    run.out.records.clear();
    run.out.refuse(run.out.total() + 2);
    fixture.write(&Event::series(13, 6, 3)).await;
    let deadline = Instant::now() + PATIENCE;
    let mut refused = 0;
    while run.events(fixture).len() < 5 {
        assert!(Instant::now() < deadline, "after a refused record {:?} came", numbers(&run, fixture));
        match run.poll(100, Duration::from_millis(200)).await {
            Ok(Polled::Ready | Polled::Idle) => {}
            Ok(Polled::Finished) => panic!("the source ended"),
            Err(error) if error.code == "test.refused" => refused += 1,
            Err(error) => assert!(error.is_retriable(), "poll failed for good: {error}"),
        }
    }
    run.settle().await;
    assert_eq!(refused, 1, "the sink's error comes out of poll, once");
    assert_eq!(numbers(&run, fixture), [13, 14, 16, 17, 18], "the refused record is passed, once");
    run.stop().await;
}
