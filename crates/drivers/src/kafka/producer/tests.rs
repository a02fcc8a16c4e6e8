//! Lanes, without a broker: what leaves, in which order, with which numbers.

use tokio::time::Instant;

use super::lane::{Lane, Part, Run, halves};
use crate::kafka::records::Numbers;

const PRODUCER: i64 = 9;

fn lane(messages: u32) -> Lane {
    let mut lane = Lane::new(0, "t".into(), 0);
    for index in 0..messages {
        // Batches of ten messages.
        lane.push(u64::from(index / 10), index % 10, 100);
    }
    lane
}

/// Of so many messages.
fn take(lane: &mut Lane, messages: usize) -> Option<Part> {
    let fits = |run: &Run, room: usize, one: bool| {
        let count = (room / 100).min(run.count()).max(one.into());
        (count as u32, count * 100)
    };
    lane.take(0, PRODUCER, messages * 100, fits)
}

/// Numbers and messages of a part.
fn shown(part: &Part) -> (i16, i32, usize) {
    (part.numbers.epoch, part.numbers.sequence, part.count())
}

#[tokio::test]
async fn parts_are_cut_to_size_and_numbered() {
    let mut lane = lane(25);
    let parts: Vec<_> = std::iter::from_fn(|| take(&mut lane, 12)).collect();
    assert_eq!(parts.iter().map(shown).collect::<Vec<_>>(), [(0, 0, 12), (0, 12, 12), (0, 24, 1)]);
    assert!(parts.iter().all(|part| part.numbers.producer == PRODUCER));
    assert_eq!(parts[1].runs[0], Run { job: 1, start: 2, end: 10, bytes: 800 });
    assert_eq!(parts[1].runs[1], Run { job: 2, start: 0, end: 4, bytes: 400 });
    assert!(!lane.has_work() && lane.waiting_bytes == 0);
}

#[tokio::test]
async fn a_message_larger_than_a_part_goes_alone() {
    let mut lane = lane(3);
    let sizes: Vec<_> = std::iter::from_fn(|| take(&mut lane, 0)).map(|part| part.count()).collect();
    assert_eq!(sizes, [1, 1, 1]);
}

#[tokio::test]
async fn what_failed_goes_again_in_order_when_all_have_come_back() {
    let (mut lane, now) = (lane(40), Instant::now());
    let parts: Vec<_> = (0..3).filter_map(|_| take(&mut lane, 10)).collect();
    let [one, two, three] = &parts[..] else { panic!("three parts") };
    lane.returned(one.clone(), now);
    assert!(!lane.is_ready(now), "two are still in the air");
    lane.returned(Part { out_of_order: true, ..two.clone() }, now);
    lane.returned(Part { out_of_order: true, ..three.clone() }, now);
    assert!(!lane.is_ready(now), "a moment of rest");
    let later = now + std::time::Duration::from_secs(1);
    assert!(lane.is_ready(later));
    let again: Vec<_> = (0..4).filter_map(|_| take(&mut lane, 10)).collect();
    let numbers: Vec<_> = again.iter().map(shown).collect();
    assert_eq!(numbers, [(0, 0, 10), (0, 10, 10), (0, 20, 10), (0, 30, 10)], "the same, then the new one");
    assert_eq!(again[..3], parts[..]);
}

#[tokio::test]
async fn a_broker_that_lost_messages_is_sent_new_numbers() {
    let (mut lane, now) = (lane(30), Instant::now());
    let one = take(&mut lane, 10).expect("a part");
    assert!(lane.stored(&one, 0).is_empty());
    let (two, three) = (take(&mut lane, 10).expect("a part"), take(&mut lane, 10).expect("a part"));
    assert_eq!((one.numbers.sequence, two.numbers.sequence), (0, 10));
    for part in [two, three] {
        lane.returned(Part { out_of_order: true, ..part }, now);
    }
    let again: Vec<_> = (0..2).filter_map(|_| take(&mut lane, 10)).collect();
    assert_eq!(again.iter().map(shown).collect::<Vec<_>>(), [(1, 0, 10), (1, 10, 10)]);
}

#[tokio::test]
async fn what_is_before_a_part_that_is_stored_is_stored() {
    let (mut lane, now) = (lane(30), Instant::now());
    let parts: Vec<_> = (0..3).filter_map(|_| take(&mut lane, 10)).collect();
    // The connection broke; all are stored.
    parts.iter().for_each(|part| lane.returned(part.clone(), now));
    let again: Vec<_> = (0..3).filter_map(|_| take(&mut lane, 10)).collect();
    assert_eq!(again, parts);
    // The broker remembers the last one alone.
    for part in &again[..2] {
        lane.returned(Part { out_of_order: true, ..part.clone() }, now);
    }
    let before = lane.stored(&again[2], -1);
    assert_eq!(before.iter().map(shown).collect::<Vec<_>>(), [(0, 0, 10), (0, 10, 10)]);
    assert!(!lane.has_work());
}

#[tokio::test]
async fn in_doubt_it_looks_before_it_sends_again() {
    let (mut lane, now) = (lane(30), Instant::now());
    let parts: Vec<_> = (0..3).filter_map(|_| take(&mut lane, 10)).collect();
    lane.stored(&parts[0], 70);
    lane.doubt = true;
    lane.returned(parts[1].clone(), now);
    assert_eq!(lane.begin_look(now), None, "one is in the air");
    lane.returned(parts[2].clone(), now);
    let later = now + std::time::Duration::from_secs(1);
    assert!(!lane.is_ready(later));
    assert_eq!((lane.begin_look(later), lane.begin_look(later)), (Some(80), None), "once");
    assert_eq!(lane.found(&[parts[1].numbers]), [parts[1].clone()]);
    assert!(lane.is_ready(later));
    assert_eq!(take(&mut lane, 10), Some(parts[2].clone()));
}

#[tokio::test]
async fn behind_what_was_given_up_numbers_begin_anew() {
    let mut lane = lane(40);
    let (one, _two) = (take(&mut lane, 10).expect("a part"), take(&mut lane, 10));
    lane.gave_up();
    let mut lost = Vec::new();
    lane.drop_from((2, 5), |run| lost.push((run.job, run.start, run.end)));
    assert_eq!(lost, [(3, 0, 10), (2, 5, 10)]);
    lane.stored(&one, 0);
    assert_eq!(take(&mut lane, 100).as_ref().map(shown), Some((1, 0, 5)));
    assert_eq!(lane.first_waiting(), None);
}

#[tokio::test]
async fn halves_keep_every_message_and_its_number() {
    let (mut lane, now) = (lane(25), Instant::now());
    let part = take(&mut lane, 25).expect("a part");
    let [front, back] = halves(&part.runs);
    assert_eq!(front.iter().map(Run::count).sum::<usize>(), 12);
    assert_eq!(back[0], Run { job: 1, start: 2, end: 10, bytes: 800 });
    lane.split(part, [front, back], now);
    assert!(lane.is_ready(now), "at once");
    let parts: Vec<_> = (0..2).filter_map(|_| take(&mut lane, 1)).collect();
    assert_eq!(parts.iter().map(shown).collect::<Vec<_>>(), [(0, 0, 12), (0, 12, 13)]);
}

#[tokio::test]
async fn sequences_begin_at_0_behind_the_greatest() {
    let mut lane = lane(20);
    let mut part = take(&mut lane, 10).expect("a part");
    part.numbers = Numbers { sequence: i32::MAX - 3, ..part.numbers };
    let [front, back] = halves(&part.runs);
    lane.split(part, [front, back], Instant::now());
    let parts: Vec<_> = (0..2).filter_map(|_| take(&mut lane, 10)).collect();
    assert_eq!(parts[1].numbers.sequence, 1, "MAX-3, MAX-2, MAX-1, MAX, 0, then 1");
}
