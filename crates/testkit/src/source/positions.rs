//! Where a source starts, and that it can start again from every position: S1, S2, S10.

use std::sync::Arc;

use super::run::{Positions, Run, warmed};
use super::{SourceFixture, Start};
use crate::collect::Record;
use crate::ledger::Event;
use crate::memory::MemoryState;

/// S1: without a stored position the task begins where its configuration says.
pub async fn s01_starts_where_configured<F: SourceFixture>(fixture: &mut F) {
    let starts = fixture.starts();
    assert!(!starts.is_empty(), "the fixture names no way to start");
    // Distinct keys, and new ones for each way: a snapshot shows the last state of a key alone.
    let mut existing = Vec::new();
    let mut next = 0u32;
    let mut fresh = |count: u32| {
        next += count;
        (next - count..next).map(|key| Event::new(key, u64::from(key))).collect::<Vec<_>>()
    };
    for Start { name, config, sees_existing } in starts {
        let before = fresh(5);
        fixture.write(&before).await;
        existing.extend(before);
        let state = Arc::new(MemoryState::default());
        let started = Run::start(&fixture.plugin(), &config, Positions::new(), &state).await;
        let mut run = started.unwrap_or_else(|error| panic!("{name}: {error}"));
        // A first poll, so that what follows is surely after the start.
        run.settle().await;
        let shown = run.events(fixture);
        let after = fresh(3);
        fixture.write(&after).await;
        run.until(fixture, shown.len() + after.len(), 100).await;
        let mut events = run.events(fixture);
        let (mut expected, tail) =
            if sees_existing { (existing.clone(), after) } else { (Vec::new(), after) };
        existing.extend(&tail);
        expected.extend(&tail);
        events.sort();
        expected.sort();
        assert_eq!(events, expected, "{name}");
        run.stop().await;
    }
}

/// S2: a task started with a stored position goes on behind it.
pub async fn s02_resumes_behind_its_position<F: SourceFixture>(fixture: &mut F) {
    let state = Arc::new(MemoryState::default());
    let mut run = warmed(fixture, &state, Event::new(0, 0)).await;
    for first in [1, 5, 9] {
        fixture.write(&Event::series(first, 4, 3)).await;
    }
    run.until(fixture, 13, 3).await;
    let all = run.told(fixture);
    run.stop().await;
    // While nobody reads, more is written: it comes behind the rest.
    fixture.write(&Event::series(13, 2, 3)).await;
    for at in [0, 1, 6, 12] {
        let rest = resume(fixture, &state, &all[at], 14 - at).await;
        assert_continues(fixture, &all[at], &rest, at as u64 + 1..15);
    }
}

/// S10: the position of every record is valid to restart from, also within a transaction and within a snapshot.
pub async fn s10_every_position_is_valid<F: SourceFixture>(fixture: &mut F) {
    let state = Arc::new(MemoryState::default());
    let mut run = warmed(fixture, &state, Event::new(0, 0)).await;
    fixture.write(&Event::series(1, 9, 10)).await;
    run.until(fixture, 10, 4).await;
    let all = run.told(fixture);
    run.stop().await;
    for (at, record) in all.iter().enumerate() {
        let rest = resume(fixture, &state, record, 9 - at).await;
        assert_continues(fixture, record, &rest, at as u64 + 1..10);
    }
    // What is there now is seen by a start that looks at it: each of its positions must do, too.
    for start in fixture.starts().into_iter().filter(|start| start.sees_existing) {
        let fresh = Arc::new(MemoryState::default());
        let started = Run::start(&fixture.plugin(), &start.config, Positions::new(), &fresh).await;
        let mut run = started.unwrap_or_else(|error| panic!("{}: {error}", start.name));
        run.until(fixture, 10, 3).await;
        let shown = run.told(fixture);
        run.stop().await;
        for (at, record) in shown.iter().enumerate() {
            let from = Positions::from([(record.partition.clone(), record.position.clone())]);
            let started = Run::start(&fixture.plugin(), &start.config, from, &fresh).await;
            let mut run = started.unwrap_or_else(|error| panic!("{} at record {at}: {error}", start.name));
            run.settle().await;
            let mut seen = run.events(fixture);
            seen.extend(shown[..=at].iter().filter_map(|record| fixture.event(record)));
            let missing: Vec<_> =
                (0..10).filter(|number| !seen.iter().any(|seen| seen.number == *number)).collect();
            assert!(missing.is_empty(), "{}: resumed at record {at}, {missing:?} never came", start.name);
            run.stop().await;
        }
    }
}

async fn resume<F: SourceFixture>(
    fixture: &mut F,
    state: &Arc<MemoryState>,
    from: &Record,
    expected: usize,
) -> Vec<Record> {
    // Stored positions make the way through JSON text.
    let stored = serde_json::to_string(&from.position.to_object()).expect("a position as text");
    let object = serde_json::from_str(&stored).expect("a position from text");
    let position =
        openmessaging_connector::Position::from_object(object).expect("a position from its object");
    let from = Positions::from([(from.partition.clone(), position)]);
    let mut run = Run::from(fixture, from, state).await;
    run.until(fixture, expected, 5).await;
    run.settle().await;
    let told = run.told(fixture);
    run.stop().await;
    told
}

/// Every number of the range came in order, and (where positions are exact) nothing else.
fn assert_continues<F: SourceFixture>(
    fixture: &F,
    from: &Record,
    rest: &[Record],
    range: std::ops::Range<u64>,
) {
    let numbers: Vec<_> =
        rest.iter().filter_map(|record| fixture.event(record)).map(|event| event.number).collect();
    let expected: Vec<_> = range.collect();
    if fixture.exact() {
        assert_eq!(numbers, expected, "resumed from {:?}", from.position);
    } else {
        assert!(
            numbers.ends_with(&expected),
            "resumed from {:?}: {numbers:?}, not {expected:?}",
            from.position
        );
    }
}
