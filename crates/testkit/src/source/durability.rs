//! What survives, and what is given up when: S7, S11, S14.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::SourceFixture;
use super::run::{PATIENCE, Positions, Run, warmed};
use crate::child;
use crate::collect::Collected;
use crate::ledger::{Event, Ledger};
use crate::memory::MemoryState;

/// S7: what the system holds for the source is given up only up to a committed position.
pub async fn s07_committed_lets_go<F: SourceFixture>(fixture: &mut F) {
    let state = Arc::new(MemoryState::default());
    let mut run = warmed(fixture, &state, Event::new(0, 0)).await;
    let start = run.commit().await;
    fixture.write(&Event::series(1, 8, 3)).await;
    run.until(fixture, 9, 3).await;
    run.settle().await;
    let all = run.told(fixture);
    if let Some(held) = fixture.held().await {
        assert!(held >= 8, "8 changes are not committed, and {held} are held");
    }
    let fifth = &all[4];
    run.task.committed(&fifth.partition, &fifth.position).await.expect("committed");
    run.settle().await;
    if let Some(held) = fixture.held().await {
        assert!(held >= 4, "4 changes are not committed, and {held} are held");
    }
    run.kill();

    // Everything behind the committed position is still there to be read.
    let from = Positions::from([(fifth.partition.clone(), fifth.position.clone())]);
    let mut run = Run::from(fixture, from, &state).await;
    run.until(fixture, 4, 3).await;
    let numbers: Vec<_> = run.events(fixture).iter().map(|event| event.number).collect();
    assert!(numbers.ends_with(&[5, 6, 7, 8]), "behind the committed position: {numbers:?}");
    let end = run.commit().await;
    assert!(!start.is_empty() && end.len() >= start.len(), "positions were lost: {start:?}, {end:?}");
    let deadline = Instant::now() + PATIENCE;
    while let Some(held) = fixture.held().await.filter(|held| *held > 0) {
        assert!(Instant::now() < deadline, "all is committed, and {held} changes are held");
        run.poll(10, Duration::from_millis(50)).await.expect("a poll");
    }
    run.stop().await;
}

/// S11: nothing is lost when the process is killed at any moment and a new task starts from the last committed
/// position. Here the task is dropped without a word; a connector's own tests kill real processes.
pub async fn s11_nothing_is_lost_by_a_kill<F: SourceFixture>(fixture: &mut F) {
    let state = Arc::new(MemoryState::default());
    let mut ledger = Ledger::new();
    let mut run = warmed(fixture, &state, Event::new(0, 0)).await;
    ledger.written([Event::new(0, 0)]);
    let mut stored = run.commit().await;
    let mut next = 1;
    for round in 0..10u64 {
        let events = Event::series(next, 2 + round * 5 % 11, 4);
        next += events.len() as u64;
        fixture.write(&events).await;
        ledger.written(events);
        for poll in 0..round % 4 {
            run.poll(1 + (round as usize * 3 + poll as usize) % 7, Duration::from_millis(50))
                .await
                .expect("a poll");
            if poll % 2 == round % 2 {
                stored = run.commit().await;
            }
        }
        ledger.arrived(run.events(fixture));
        // Killed, while the system goes on.
        run.kill();
        fixture.write(&Event::series(next, 1, 4)).await;
        ledger.written(Event::series(next, 1, 4));
        next += 1;
        run = Run::from(fixture, stored.clone(), &state).await;
    }
    run.settle().await;
    ledger.arrived(run.events(fixture));
    ledger.report().assert_at_least_once();
    run.stop().await;
}

/// S14: memory does not grow with the size of a transaction, a table or a backlog. Run in a process of its own.
pub async fn s14_memory_is_bounded<F: SourceFixture>(fixture: &mut F) {
    const BULK: usize = 96 << 20;
    const GROWTH: u64 = 32 << 20;
    let state = Arc::new(MemoryState::default());
    let mut run = warmed(fixture, &state, Event::new(0, 0)).await;
    run.settle().await;
    let expected = fixture.write_bulk(BULK).await;
    run.out = Collected::counting(100);
    let before = child::resident();
    let mut most = before;
    let mut deadline = Instant::now() + PATIENCE;
    let mut seen = 0;
    while run.out.total() < expected {
        run.poll(100, Duration::from_millis(200)).await.expect("a poll");
        most = most.max(child::resident());
        if run.out.total() > seen {
            (seen, deadline) = (run.out.total(), Instant::now() + PATIENCE);
        }
        assert!(Instant::now() < deadline, "{seen} of {expected} records came");
    }
    let grown = most.saturating_sub(before);
    assert!(grown < GROWTH, "{BULK} bytes of changes let the process grow by {grown} bytes, from {before}");
    run.stop().await;
}
