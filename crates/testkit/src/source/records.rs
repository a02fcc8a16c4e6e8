//! What the records are: S9, S12.

use std::sync::Arc;

use super::SourceFixture;
use super::run::{Run, warmed};
use crate::ledger::{Event, Ledger};
use crate::memory::MemoryState;

/// S9: records with the same key come in the order of the changes.
pub async fn s09_order_by_key<F: SourceFixture>(fixture: &mut F) {
    let state = Arc::new(MemoryState::default());
    let mut run = warmed(fixture, &state, Event::new(0, 0)).await;
    let mut ledger = Ledger::new();
    ledger.written([Event::new(0, 0)]);
    let mut next = 1;
    for round in 0..12u64 {
        let count = 1 + round * 3;
        let events = Event::series(next, count, 7);
        fixture.write(&events).await;
        ledger.written(events);
        next += count;
        if round % 3 == 0 {
            run.poll(5, std::time::Duration::from_millis(20)).await.expect("a poll");
        }
    }
    run.until(fixture, next as usize, 16).await;
    run.settle().await;
    ledger.arrived(run.events(fixture));
    ledger.report().assert_exactly_once();
    // One key has one sharding key: otherwise its order ends at the queue.
    let mut keys = std::collections::HashMap::new();
    for record in run.told(fixture) {
        let key = fixture.event(&record).map(|event| event.key);
        let sharding = format!("{:?} {:?} {}", record.sharding_key, record.key, record.queue);
        let first = keys.entry(key).or_insert_with(|| sharding.clone());
        assert_eq!(*first, sharding, "records of key {key:?} are sharded in two ways");
    }
    run.stop().await;
}

/// S12: every value fits its schema, and one schema is shared by all records of its shape.
pub async fn s12_values_fit_their_schemas<F: SourceFixture>(fixture: &mut F) {
    let state = Arc::new(MemoryState::default());
    let mut run: Run = warmed(fixture, &state, Event::new(0, 0)).await;
    let before = run.out.total();
    let count = fixture.write_every_kind().await;
    assert!(count > 0, "the fixture writes nothing");
    for number in 1..4 {
        fixture.write(&[Event::new(0, number)]).await;
    }
    run.until(fixture, 4, 10).await;
    run.settle().await;
    let came = run.out.total() - before;
    assert!(came >= count + 3, "{came} records came of {count} and 3");
    // Checks what the collecting sink noted of every record.
    run.stop().await;
}
