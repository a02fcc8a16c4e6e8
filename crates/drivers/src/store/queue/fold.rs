//! What the records of a store's queue make of it, in the order of their offsets. Every process that reads them comes to the
//! same state, and so to the same answer of which of two conditional puts won.
//!
//! The version of a write is its offset and one. A broker whose producers may store a batch twice makes a record come
//! again: it is known by its writer's count and has no effect (batches of a writer are stored in order, so what is
//! repeated is the end of what was there).
//!
//! Not every offset has a record: a broker's own marks have some (RabbitMQ begins each segment of a stream with one). So a
//! gap is one only where the queue begins behind it.
//!
//! A queue that was trimmed begins in the middle. Then there is a snapshot in it that covers everything before some offset
//! in it: what is found from there on is set aside until the snapshot is read, and applied to it.

use std::collections::{HashMap, VecDeque};

use openmessaging::{Error, Result, StatusCode};
use redb::WriteTransaction;

use super::record::{Condition, Id, Record, decode};
use crate::store::scratch::Scratch;
use crate::store::table::StoreTable;
use crate::store::watch::Event;

/// So many writers are remembered by their last count.
const WRITERS: usize = 4096;

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A put took effect.
    Version(u64),
    /// It did not: the key has this version.
    Conflict(Option<u64>),
    /// A delete: whether the key was there.
    Deleted(bool),
    /// A mark, or a part of a snapshot, was read.
    Seen,
}

/// A message of the queue.
pub(super) struct Stored<'a> {
    pub offset: u64,
    pub body: &'a [u8],
}

/// What applying messages brought about.
#[derive(Default)]
pub(super) struct Applied {
    pub outcomes: Vec<(Id, Outcome)>,
    pub events: Vec<Event>,
    /// A snapshot that somebody wrote is complete, and covers what is before this offset.
    pub snapshot: Option<u64>,
    /// Everything is known anew: watchers may have missed something.
    pub rebased: bool,
}

enum Base {
    /// The state is that of all records so far.
    Known,
    /// The queue begins in the middle, and no snapshot was begun yet: records wait.
    Missing,
    /// This writer's snapshot is being read.
    Loading { writer: u64, covers: u64, entries: u64 },
}

pub(super) struct Fold {
    table: StoreTable,
    scratch: Scratch,
    base: Base,
    /// The offset of the next message; `None` before the first.
    next: Option<u64>,
    waiting: VecDeque<(u64, Vec<u8>)>,
    counts: HashMap<u64, (u64, u64)>,
    /// A snapshot that is being written by somebody, as the fold reads it.
    begun: HashMap<u64, u64>,
    /// So many snapshots that were begun are passed over: they never end.
    skip: usize,
    passed: usize,
    /// Records since the last complete snapshot.
    pub since_snapshot: u64,
    pub live: u64,
}

impl Fold {
    pub fn new(table: &str, scratch: Scratch) -> Self {
        Self {
            table: StoreTable::new(table.to_owned()),
            scratch,
            base: Base::Missing,
            next: None,
            waiting: VecDeque::new(),
            counts: HashMap::new(),
            begun: HashMap::new(),
            skip: 0,
            passed: 0,
            since_snapshot: 0,
            live: 0,
        }
    }

    /// The end of the queue was read, and the state is not known: the snapshot that was begun first is never ended, so the
    /// next one is tried, from the begin of the queue. `false`: there is no other.
    pub fn try_next_snapshot(&mut self) -> bool {
        let another = matches!(self.base, Base::Loading { .. });
        let skip = self.skip + 1;
        let empty = Self::new("", self.scratch.clone());
        let table = std::mem::replace(self, empty).table;
        (self.table, self.skip) = (table, skip);
        another
    }

    /// The offset of the next message.
    pub fn next(&self) -> u64 {
        self.next.unwrap_or(0)
    }

    /// Whether these messages do not follow each other and what was read before.
    pub fn leaves_out(&self, offsets: &[u64]) -> bool {
        let mut next = self.next;
        offsets.iter().any(|offset| next.replace(offset + 1).is_some_and(|next| *offset > next))
    }

    /// Whether the state is known.
    pub fn is_known(&self) -> bool {
        matches!(self.base, Base::Known)
    }

    /// Takes in messages, in order; all of it is committed when this returns. `behind` is the offset behind the last, `begin`
    /// that of the oldest message of the queue, which matters where [an offset is left out](Self::leaves_out).
    pub fn apply<'a>(
        &mut self,
        messages: impl Iterator<Item = Stored<'a>>,
        behind: u64,
        begin: u64,
    ) -> Result<Applied> {
        let scratch = self.scratch.clone();
        let mut applied = Applied::default();
        let mut wrong = None;
        scratch.write(|writing| {
            for Stored { offset, body } in messages {
                match decode(body) {
                    Ok((id, record)) => {
                        self.step_to(offset, begin);
                        self.take(writing, offset, id, &record, body, &mut applied)?;
                    }
                    Err(error) => {
                        wrong = Some(error);
                        break;
                    }
                }
            }
            Ok(())
        })?;
        match wrong {
            Some(error) => Err(error),
            None => {
                self.next = Some(behind);
                Ok(applied)
            }
        }
    }

    /// Where the queue begins behind the next offset, what is left out was removed before it was read: a snapshot behind it
    /// has it.
    fn step_to(&mut self, offset: u64, begin: u64) {
        if self.next.is_some_and(|next| offset > next && next < begin) {
            self.base = Base::Missing;
            self.waiting.clear();
        }
        self.next = Some(offset + 1);
    }

    fn take(
        &mut self,
        writing: &WriteTransaction,
        offset: u64,
        id: Id,
        record: &Record<'_>,
        body: &[u8],
        applied: &mut Applied,
    ) -> std::result::Result<(), redb::Error> {
        match &mut self.base {
            Base::Known => {}
            Base::Missing => match record {
                Record::Genesis => self.base = Base::Known,
                Record::SnapshotBegin { .. } if self.passed < self.skip => {
                    self.passed += 1;
                    return Ok(());
                }
                Record::SnapshotBegin { covers } => {
                    let covers = *covers;
                    self.clear(writing)?;
                    self.waiting.retain(|(offset, _)| *offset >= covers);
                    self.base = Base::Loading { writer: id.writer, covers, entries: 0 };
                    return Ok(());
                }
                _ => {
                    self.set_aside(offset, record, body);
                    return Ok(());
                }
            },
            Base::Loading { writer, entries, covers } => {
                match record {
                    Record::SnapshotBegin { covers: newer } if id.writer == *writer => {
                        // Its writer began anew.
                        (*covers, *entries) = (*newer, 0);
                        let newer = *newer;
                        self.clear(writing)?;
                        self.waiting.retain(|(offset, _)| *offset >= newer);
                    }
                    Record::SnapshotEntries(found) if id.writer == *writer => {
                        *entries += found.len() as u64;
                        for entry in found {
                            self.table.insert(writing, entry.key, entry.value, entry.version)?;
                        }
                        self.live += found.len() as u64;
                    }
                    Record::SnapshotEnd { entries: all } if id.writer == *writer && all == entries => {
                        self.base = Base::Known;
                        self.since_snapshot = 0;
                        applied.rebased = true;
                        for (offset, body) in std::mem::take(&mut self.waiting) {
                            if let Ok((id, record)) = decode(&body) {
                                self.take_known(writing, offset, id, &record, applied)?;
                            }
                        }
                        applied.outcomes.push((id, Outcome::Seen));
                    }
                    _ => self.set_aside(offset, record, body),
                }
                return Ok(());
            }
        }
        self.take_known(writing, offset, id, record, applied)
    }

    /// Keeps a record for when the state is known; parts of other snapshots say nothing new.
    fn set_aside(&mut self, offset: u64, record: &Record<'_>, body: &[u8]) {
        if matches!(record, Record::Put { .. } | Record::Delete { .. } | Record::Mark) {
            self.waiting.push_back((offset, body.to_vec()));
        }
    }

    fn clear(&mut self, writing: &WriteTransaction) -> std::result::Result<(), redb::Error> {
        self.table.clear(writing)?;
        self.counts.clear();
        self.live = 0;
        Ok(())
    }

    fn take_known(
        &mut self,
        writing: &WriteTransaction,
        offset: u64,
        id: Id,
        record: &Record<'_>,
        applied: &mut Applied,
    ) -> std::result::Result<(), redb::Error> {
        if self.is_repeated(offset, id) {
            return Ok(());
        }
        self.since_snapshot += 1;
        let version = offset + 1;
        let outcome = match record {
            Record::Put { condition, key, value } => {
                let found = self.table.current(writing, key)?;
                match condition {
                    Condition::Version(expected) if *expected != found => Outcome::Conflict(found),
                    _ => {
                        self.table.insert(writing, key, value, version)?;
                        self.live += u64::from(found.is_none());
                        let value = Event::value(value);
                        applied.events.push(Event { key: (*key).to_owned(), version, value });
                        Outcome::Version(version)
                    }
                }
            }
            Record::Delete { key } => {
                let was_there = self.table.remove(writing, key)?;
                if was_there {
                    self.live -= 1;
                    applied.events.push(Event::deletion((*key).to_owned(), version));
                }
                Outcome::Deleted(was_there)
            }
            Record::SnapshotBegin { covers } => {
                self.begun.insert(id.writer, *covers);
                Outcome::Seen
            }
            Record::SnapshotEnd { .. } => {
                if let Some(covers) = self.begun.remove(&id.writer) {
                    self.since_snapshot = 0;
                    applied.snapshot = Some(covers);
                }
                Outcome::Seen
            }
            Record::Genesis | Record::Mark | Record::SnapshotEntries(_) => Outcome::Seen,
        };
        applied.outcomes.push((id, outcome));
        Ok(())
    }

    /// Whether the writer's count was seen already.
    fn is_repeated(&mut self, offset: u64, id: Id) -> bool {
        let last = self.counts.entry(id.writer).or_insert((0, offset));
        if id.count <= last.0 {
            return true;
        }
        *last = (id.count, offset);
        if self.counts.len() > WRITERS
            && let Some(oldest) = self.counts.iter().min_by_key(|(_, last)| last.1).map(|(writer, _)| *writer)
        {
            self.counts.remove(&oldest);
        }
        false
    }
}

/// The state cannot be had: the queue begins in the middle and holds no whole snapshot.
pub(super) fn no_base(queue: &str, server: &str) -> Error {
    let message = format!("the queue {queue} of {server} begins in the middle, without a snapshot");
    Error::new(StatusCode::Corrupt, message).with_remedy(
        "its first messages were removed by somebody else than this program: keep retention away from that queue; \
         delete the queue to begin anew, without what was in it",
    )
}

#[cfg(test)]
mod tests {
    use super::super::record::{Entry, encode};
    use super::*;

    struct Queue {
        fold: Fold,
        scratch: Scratch,
        bodies: Vec<Vec<u8>>,
        count: u64,
        begin: u64,
    }

    impl Queue {
        fn new() -> Self {
            let scratch = Scratch::new().expect("a file");
            Self { fold: Fold::new("t", scratch.clone()), scratch, bodies: Vec::new(), count: 0, begin: 0 }
        }

        fn add(&mut self, record: &Record<'_>) -> Id {
            self.count += 1;
            let id = Id { writer: 1, count: self.count };
            self.bodies.push(encode(id, record));
            id
        }

        fn read(&mut self, offsets: std::ops::Range<usize>) -> Applied {
            let messages =
                offsets.clone().map(|offset| Stored { offset: offset as u64, body: &self.bodies[offset] });
            self.fold.apply(messages, offsets.end as u64, self.begin).expect("applied")
        }

        fn value(&self, key: &str) -> Option<(Vec<u8>, u64)> {
            let table = StoreTable::new("t".to_owned());
            let found = self.scratch.read(|reading| table.get(reading, key)).expect("read");
            found.map(|found| (found.value, found.version))
        }
    }

    fn put<'a>(condition: Condition, key: &'a str, value: &'a [u8]) -> Record<'a> {
        Record::Put { condition, key, value }
    }

    #[test]
    fn of_two_conditional_puts_the_first_wins() {
        let mut queue = Queue::new();
        queue.add(&Record::Genesis);
        let first = queue.add(&put(Condition::Version(None), "k", b"1"));
        let second = queue.add(&put(Condition::Version(None), "k", b"2"));
        let third = queue.add(&put(Condition::Version(Some(2)), "k", b"3"));
        let gone = queue.add(&Record::Delete { key: "k" });
        let again = queue.add(&Record::Delete { key: "k" });
        let applied = queue.read(0..6);
        let outcome =
            |id| applied.outcomes.iter().find(|(other, _)| *other == id).map(|(_, outcome)| outcome.clone());
        assert_eq!(outcome(first), Some(Outcome::Version(2)));
        assert_eq!(outcome(second), Some(Outcome::Conflict(Some(2))));
        assert_eq!(outcome(third), Some(Outcome::Version(4)));
        assert_eq!(outcome(gone), Some(Outcome::Deleted(true)));
        assert_eq!(outcome(again), Some(Outcome::Deleted(false)));
        assert_eq!((queue.value("k"), queue.fold.live), (None, 0));
    }

    #[test]
    fn what_a_broker_stored_twice_counts_once() {
        let mut queue = Queue::new();
        queue.add(&Record::Genesis);
        queue.add(&put(Condition::Always, "k", b"old"));
        queue.add(&put(Condition::Always, "k", b"new"));
        let repeated = queue.bodies[1].clone();
        queue.bodies.push(repeated);
        queue.read(0..4);
        assert_eq!(queue.value("k"), Some((b"new".to_vec(), 3)));
    }

    #[test]
    fn a_queue_without_its_front_is_read_from_its_snapshot() {
        let mut queue = Queue::new();
        queue.add(&Record::Genesis);
        queue.add(&put(Condition::Always, "a", b"1"));
        queue.add(&put(Condition::Version(Some(2)), "a", b"2"));
        queue.add(&Record::SnapshotBegin { covers: 2 });
        queue.add(&put(Condition::Always, "b", b"3"));
        queue.add(&Record::SnapshotEntries(vec![Entry { key: "a", value: b"1", version: 2 }]));
        queue.add(&Record::SnapshotEnd { entries: 1 });
        queue.add(&put(Condition::Version(Some(5)), "b", b"4"));
        let whole = queue.read(0..8);
        assert_eq!(whole.snapshot, Some(2));
        let expected = (Some((b"2".to_vec(), 3)), Some((b"4".to_vec(), 8)));
        assert_eq!((queue.value("a"), queue.value("b")), expected);

        let mut trimmed = Queue { bodies: queue.bodies.clone(), ..Queue::new() };
        assert!(!trimmed.fold.is_known());
        trimmed.read(2..6);
        assert!(!trimmed.fold.is_known());
        assert!(trimmed.read(6..8).rebased && trimmed.fold.is_known());
        assert_eq!((trimmed.value("a"), trimmed.value("b")), expected);
        assert_eq!(trimmed.fold.live, 2);
    }

    #[test]
    fn a_snapshot_that_never_ends_is_passed_over() {
        let mut queue = Queue::new();
        queue.add(&Record::Genesis);
        queue.add(&put(Condition::Always, "a", b"1"));
        queue.add(&Record::SnapshotBegin { covers: 2 });
        for (count, record) in [
            (1, Record::SnapshotBegin { covers: 3 }),
            (2, Record::SnapshotEntries(vec![Entry { key: "a", value: b"1", version: 2 }])),
            (3, Record::SnapshotEnd { entries: 1 }),
        ] {
            queue.bodies.push(encode(Id { writer: 2, count }, &record));
        }
        queue.read(2..6);
        assert!(!queue.fold.is_known() && queue.fold.try_next_snapshot());
        queue.read(2..6);
        assert!(queue.fold.is_known());
        assert_eq!(queue.value("a"), Some((b"1".to_vec(), 2)));
    }

    #[test]
    fn an_offset_without_a_record_is_no_gap() {
        let mut queue = Queue::new();
        queue.add(&Record::Genesis);
        queue.add(&Record::Mark);
        queue.add(&put(Condition::Always, "k", b"1"));
        queue.read(0..1);
        assert!(queue.fold.leaves_out(&[2]) && !queue.fold.leaves_out(&[1, 2]));
        assert!(queue.fold.leaves_out(&[1, 3]));
        assert!(!queue.read(2..3).rebased && queue.fold.is_known());
        assert_eq!(queue.value("k"), Some((b"1".to_vec(), 3)));
    }

    #[test]
    fn a_reader_whose_place_was_removed_begins_anew() {
        let mut queue = Queue::new();
        queue.add(&Record::Genesis);
        queue.add(&put(Condition::Always, "gone", b"1"));
        queue.add(&Record::Delete { key: "gone" });
        queue.add(&Record::SnapshotBegin { covers: 3 });
        queue.add(&Record::SnapshotEnd { entries: 0 });
        queue.read(0..2);
        assert!(queue.value("gone").is_some());
        queue.begin = 3;
        assert!(queue.read(3..5).rebased);
        assert_eq!(queue.value("gone"), None);
    }
}
