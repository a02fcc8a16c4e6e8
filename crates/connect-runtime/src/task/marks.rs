//! Which position each record of a batch leads to.

use std::collections::HashMap;
use std::sync::Arc;

use openmessaging_connector::{Position, SourcePartition};

/// From record count `after` on, `partition` is at `base` + `step`.
#[derive(Debug, Clone)]
struct Mark {
    after: usize,
    partition: SourcePartition,
    base: Arc<str>,
    step: u64,
    /// Each further record, up to the next mark, is one step more.
    run: bool,
}

/// The positions of a batch: what may be committed once a number of records from its front is durable (invariant 1).
/// Runs of records whose steps follow each other share one mark, so a batch of one transaction has one.
#[derive(Debug, Clone, Default)]
pub struct Marks {
    marks: Vec<Mark>,
    records: usize,
}

impl Marks {
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// One more record, behind which `partition` is at `base` + `step`.
    pub fn record(&mut self, partition: &SourcePartition, base: &Arc<str>, step: u64) {
        self.records += 1;
        if let Some(last) = self.marks.last() {
            let follows = last.run && last.step + (self.records - last.after) as u64 == step;
            if follows && Arc::ptr_eq(&last.base, base) && last.partition == *partition {
                return;
            }
        }
        let (partition, base) = (partition.clone(), base.clone());
        self.marks.push(Mark { after: self.records, partition, base, step, run: true });
    }

    /// The position moves without a record. Only the last one between two records counts.
    pub fn advance(&mut self, partition: &SourcePartition, position: Position) {
        let here = self.records;
        let tail = self.marks.partition_point(|mark| mark.after < here);
        let replaced = self.marks[tail..].iter().position(|mark| !mark.run && mark.partition == *partition);
        if let Some(replaced) = replaced {
            self.marks.remove(tail + replaced);
        }
        let Position { base, step } = position;
        self.marks.push(Mark { after: here, partition: partition.clone(), base, step, run: false });
    }

    /// The last record that the mark at `index` tells of. A run ends before the record that begins the next one, and
    /// with the record behind which a position moves on its own.
    fn end(&self, index: usize) -> usize {
        let mark = &self.marks[index];
        match self.marks.get(index + 1) {
            _ if !mark.run => mark.after,
            Some(next) => next.after - usize::from(next.run),
            None => self.records,
        }
    }

    /// The positions once `durable` records from the front are.
    pub fn at(&self, durable: usize) -> HashMap<SourcePartition, Position> {
        let mut positions = HashMap::new();
        for (index, mark) in self.marks.iter().enumerate().take_while(|(_, mark)| mark.after <= durable) {
            let further = durable.min(self.end(index)) - mark.after;
            positions.insert(mark.partition.clone(), Position::at(&mark.base, mark.step + further as u64));
        }
        positions
    }

    /// The positions once everything is durable.
    pub fn all(&self) -> HashMap<SourcePartition, Position> {
        self.at(self.records)
    }

    /// Forgets records that are durable; their positions were taken with [`at`](Self::at).
    pub fn drop_front(&mut self, durable: usize) {
        let mut kept = Vec::new();
        for (index, mark) in self.marks.iter().enumerate() {
            if mark.after > durable {
                kept.push(Mark { after: mark.after - durable, ..mark.clone() });
            } else if self.end(index) > durable {
                let further = (durable + 1 - mark.after) as u64;
                kept.push(Mark { after: 1, step: mark.step + further, ..mark.clone() });
            }
        }
        self.marks = kept;
        self.records -= durable.min(self.records);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn partition(name: &str) -> SourcePartition {
        SourcePartition::of("p", name)
    }

    #[test]
    fn a_transaction_is_one_mark() {
        let (p, base): (_, Arc<str>) = (partition("a"), "{}".into());
        let mut marks = Marks::default();
        (1..=1000).for_each(|step| marks.record(&p, &base, step));
        assert_eq!(marks.marks.len(), 1);
        assert_eq!(marks.at(0).len(), 0);
        assert_eq!(marks.at(500)[&p].step, 500);
        assert_eq!(marks.all()[&p].step, 1000);
    }

    /// The last record of a run, where the position of another partition moves behind it, is the run's all the same.
    #[test]
    fn what_is_left_of_a_run_goes_up_to_an_advance() {
        let (p, q, base): (_, _, Arc<str>) = (partition("a"), partition("b"), "{}".into());
        let mut marks = Marks::default();
        (1..=41).for_each(|step| marks.record(&p, &base, step));
        marks.advance(&q, Position::at(&base, 0));
        marks.drop_front(40);
        assert_eq!(marks.at(0).len(), 0);
        assert_eq!(marks.at(1)[&p].step, 41);
        assert_eq!(marks.at(1)[&q].step, 0);
    }

    #[derive(Debug, Clone)]
    enum Op {
        Record(u8, u8, u64),
        Advance(u8, u8),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => (0..2u8, 0..2u8, 0..4u64).prop_map(|(p, b, gap)| Op::Record(p, b, gap)),
            1 => (0..2u8, 0..2u8).prop_map(|(p, b)| Op::Advance(p, b)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]
        /// Against the plain way: the position of every record written down.
        #[test]
        fn positions_are_those_of_the_last_durable_record(ops in prop::collection::vec(op(), 0..60), cut in 0..60usize, more in 0..60usize) {
            let partitions = [partition("a"), partition("b")];
            let bases: [Arc<str>; 2] = ["{\"b\":0}".into(), "{\"b\":1}".into()];
            let (mut marks, mut plain, mut records, mut step) = (Marks::default(), Vec::new(), 0usize, 0u64);
            for op in ops {
                match op {
                    Op::Record(p, b, gap) => {
                        step += if gap == 0 { 1 } else { gap };
                        records += 1;
                        marks.record(&partitions[p as usize], &bases[b as usize], step);
                        plain.push((records, partitions[p as usize].clone(), Position::at(&bases[b as usize], step)));
                    }
                    Op::Advance(p, b) => {
                        marks.advance(&partitions[p as usize], Position::at(&bases[b as usize], 0));
                        plain.push((records, partitions[p as usize].clone(), Position::at(&bases[b as usize], 0)));
                    }
                }
            }
            let expected = |from: usize, to: usize| -> HashMap<SourcePartition, Position> {
                plain.iter().filter(|(at, ..)| *at <= to && (*at > from || from == 0)).map(|(_, p, q)| (p.clone(), q.clone())).collect()
            };
            let cut = cut.min(records);
            prop_assert_eq!(marks.at(cut), expected(0, cut));
            prop_assert_eq!(marks.all(), expected(0, records));
            let mut rest = marks.clone();
            rest.drop_front(cut);
            let to = (cut + more).min(records);
            if cut > 0 {
                prop_assert_eq!(rest.at(to - cut), expected(cut, to));
            }
        }
    }
}
