//! What survives: K3, K4, K5.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::run::Run;
use super::{Repeats, SinkFixture};
use crate::ledger::{Event, Ledger};
use crate::memory::MemoryState;

/// K3: after a retriable error the same batch comes again, and whatever of it was applied already does no harm beyond
/// what the connector documents.
pub async fn k03_put_again_is_harmless<F: SinkFixture>(fixture: &mut F) {
    let state = Arc::new(MemoryState::default());
    let mut run = Run::open(fixture, &state, &[0]).await;
    let mut ledger = Ledger::new();
    let first = Event::series(0, 5, 100);
    run.events(fixture, &first).await.expect("put");
    run.task.flush().await.expect("flush");
    ledger.written(first);

    let batch = Event::series(5, 5, 100);
    fixture.interrupt().await;
    let mut failed = None;
    for _ in 0..3 {
        let done = match run.events(fixture, &batch).await {
            Ok(()) => run.task.flush().await,
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            assert!(error.is_retriable(), "an interrupted destination failed for good: {error}");
            failed = Some(error);
        }
    }
    assert!(failed.is_some(), "neither put nor flush failed while the destination was interrupted");
    fixture.restore().await;
    let start = Instant::now();
    loop {
        let done = match run.events(fixture, &batch).await {
            Ok(()) => run.task.flush().await,
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => break,
            Err(error) => assert!(
                error.is_retriable() && start.elapsed() < Duration::from_secs(20),
                "the destination is back, and this goes on: {error}"
            ),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    ledger.written(batch.iter().copied());
    // The acknowledgement may be lost on the way as well: the batch comes once more.
    run.events(fixture, &batch).await.expect("put again");
    run.stop(&[0]).await;
    ledger.arrived(fixture.contents().await.expect("whole contents"));
    let report = ledger.report();
    match fixture.repeats() {
        Repeats::Show => report.assert_at_least_once(),
        Repeats::Vanish => report.assert_exactly_once(),
    }
}

/// K4: when `flush` returns, every record put before it survives the death of the process. That it survives the
/// machine's too (fsync) is shown by each connector's own test.
pub async fn k04_flush_is_durable<F: SinkFixture>(fixture: &mut F) {
    let state = Arc::new(MemoryState::default());
    let mut run = Run::open(fixture, &state, &[0]).await;
    let mut ledger = Ledger::new();
    for first in [0, 10, 20] {
        let events = Event::series(first, 10, 100);
        run.events(fixture, &events).await.expect("put");
        ledger.written(events);
        run.task.flush().await.expect("flush");
        let mut now = ledger.clone();
        now.arrived(fixture.contents().await.expect("whole contents"));
        now.report().assert_exactly_once();
    }
    run.kill();
    ledger.arrived(fixture.contents().await.expect("whole contents"));
    ledger.report().assert_exactly_once();
}

/// K5: a task killed at any moment and started again with the last flushed positions has lost nothing and has torn no
/// record. Here the task is forgotten without a word; a connector's own tests kill real processes.
pub async fn k05_a_kill_loses_and_tears_nothing<F: SinkFixture>(fixture: &mut F) {
    let state = Arc::new(MemoryState::default());
    let mut ledger = Ledger::new();
    let mut flushed = 0;
    for round in 0..6u64 {
        let mut run = Run::open(fixture, &state, &[0]).await;
        let (kept, risked) = (3 + round, 2 + 5 * round);
        for count in [kept, risked] {
            let events = Event::series(flushed, count, 1000);
            run.events(fixture, &events).await.expect("put");
            ledger.written(events);
            if count == kept {
                run.task.flush().await.expect("flush");
                flushed += kept;
            }
        }
        run.kill();
        fixture.contents().await.expect("whole contents after a kill");
    }
    // What was put and not flushed comes again from the queue.
    let mut run = Run::open(fixture, &state, &[0]).await;
    run.events(fixture, &Event::series(flushed, 60, 1000)).await.expect("put");
    ledger.written(Event::series(flushed, 60, 1000));
    run.stop(&[0]).await;
    ledger.arrived(fixture.contents().await.expect("whole contents"));
    ledger.report().assert_at_least_once();
}
