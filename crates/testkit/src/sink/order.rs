//! The calls and the order of what they leave behind: K1, K2, K6.

use std::sync::Arc;

use super::SinkFixture;
use super::run::{Run, partition};
use crate::ledger::{Event, Ledger};
use crate::memory::MemoryState;

/// K1: `open` before the first `put` of a partition, `flush`, `close`; a partition that moved away comes back.
pub async fn k01_open_flush_close<F: SinkFixture>(fixture: &mut F) {
    let state = Arc::new(MemoryState::default());
    let mut run = Run::open(fixture, &state, &[0]).await;
    run.events(fixture, &Event::series(0, 3, 2)).await.expect("put");
    // Another partition comes while the first is at work.
    run.task.open(&[partition(1)]).await.expect("open");
    let event = Event::new(9, 3);
    run.put(1, vec![fixture.record(event, 0)]).await.expect("put");
    run.task.flush().await.expect("flush");
    run.task.close(&[partition(0)]).await.expect("close");
    run.put(1, vec![fixture.record(Event::new(9, 4), 1)]).await.expect("put");
    run.task.flush().await.expect("flush");
    run.task.open(&[partition(0)]).await.expect("open again");
    run.events(fixture, &[Event::new(0, 5)]).await.expect("put");
    run.stop(&[0, 1]).await;
    let mut ledger = Ledger::new();
    ledger.written(Event::series(0, 3, 2));
    ledger.written([event, Event::new(9, 4), Event::new(0, 5)]);
    ledger.arrived(fixture.contents().await.expect("whole contents"));
    ledger.report().assert_exactly_once();
    // A task that never gets a partition stops as well.
    Run::open(fixture, &state, &[]).await.stop(&[]).await;
}

/// K2: records of one queue partition are applied in the order of their offsets.
pub async fn k02_offsets_in_order<F: SinkFixture>(fixture: &mut F) {
    let state = Arc::new(MemoryState::default());
    let mut run = Run::open(fixture, &state, &[0]).await;
    let mut next = 0;
    for size in [1, 7, 100, 0, 3] {
        let events = Event::series(next, size, 1000);
        run.events(fixture, &events).await.expect("put");
        next += size;
    }
    run.stop(&[0]).await;
    let contents = fixture.contents().await.expect("whole contents");
    let numbers: Vec<_> = contents.iter().map(|event| event.number).collect();
    assert_eq!(numbers, (0..next).collect::<Vec<_>>());
}

/// K6: a null value is never an error by itself, and harms nothing beside it.
pub async fn k06_tombstones_are_no_error<F: SinkFixture>(fixture: &mut F) {
    let state = Arc::new(MemoryState::default());
    let mut run = Run::open(fixture, &state, &[0]).await;
    let records = vec![
        fixture.record(Event::new(1, 0), 0),
        fixture.tombstone(77, 1),
        fixture.record(Event::new(2, 2), 2),
        fixture.tombstone(78, 3),
    ];
    run.put(0, records).await.expect("a put with tombstones");
    run.stop(&[0]).await;
    let contents = fixture.contents().await.expect("whole contents");
    assert_eq!(contents, [Event::new(1, 0), Event::new(2, 2)]);
}
