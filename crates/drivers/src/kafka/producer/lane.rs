//! What waits for one partition.
//!
//! Messages leave in *parts*: each is one record batch, and keeps its messages and numbers however often it is sent, so that
//! the broker recognises it. After a part failed in a way that passes, nothing more is sent until those in the air have
//! come back; then all that did not arrive goes again, in the old order.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use super::jobs::Place;
use crate::kafka::cluster::{BACKOFF, MAX_BACKOFF};
use crate::kafka::records::Numbers;

/// Messages of one batch that follow each other, as far as this partition is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub job: u64,
    pub start: u32,
    pub end: u32,
    /// The most that they take in a record batch.
    pub bytes: usize,
}

impl Run {
    pub fn count(&self) -> usize {
        (self.end - self.start) as usize
    }

    pub fn place(&self) -> Place {
        (self.job, self.start)
    }
}

/// One record batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub lane: usize,
    pub runs: Vec<Run>,
    pub numbers: Numbers,
    /// The broker said that it knows of nothing before it.
    pub out_of_order: bool,
}

impl Part {
    pub fn count(&self) -> usize {
        self.runs.iter().map(Run::count).sum()
    }

    pub fn bytes(&self) -> usize {
        self.runs.iter().map(|run| run.bytes).sum()
    }

    /// Of its first message.
    pub fn place(&self) -> Place {
        self.runs.first().map_or((0, 0), Run::place)
    }
}

/// What a broker knows this lane by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    producer: i64,
    epoch: i16,
    /// Of the next new part.
    sequence: i32,
}

pub(super) struct Lane {
    /// Which of the sender's topics.
    pub home: usize,
    pub topic: Arc<str>,
    pub partition: u32,
    /// New messages, in order.
    waiting: VecDeque<Run>,
    pub waiting_bytes: usize,
    /// Parts that are to be sent again, in order.
    again: Vec<Part>,
    in_air: usize,
    /// Not before this.
    pub not_before: Option<Instant>,
    backoff: std::time::Duration,
    /// Something failed, and not all that was in the air has come back.
    stopped: bool,
    /// Messages were given up that have numbers: others must begin anew.
    gap: bool,
    identity: Option<Identity>,
    /// The offset behind what was acknowledged last.
    pub acknowledged: Option<i64>,
    /// What is to be sent again may be stored, and the broker may not know: it must be looked for.
    pub doubt: bool,
    pub looking: bool,
    /// The broker has stored a part with these numbers. Until then one at a time is in the air: a broker that knows nothing
    /// of a producer takes any number, also that of a second part whose first one it refused.
    established: bool,
    /// It is in the list of lanes with something to send.
    pub listed: bool,
}

impl Lane {
    pub fn new(home: usize, topic: Arc<str>, partition: u32) -> Self {
        Self {
            home,
            topic,
            partition,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            again: Vec::new(),
            in_air: 0,
            not_before: None,
            backoff: BACKOFF,
            stopped: false,
            gap: false,
            identity: None,
            acknowledged: None,
            doubt: false,
            looking: false,
            established: false,
            listed: false,
        }
    }

    /// Adds one message.
    pub fn push(&mut self, job: u64, index: u32, bytes: usize) {
        self.waiting_bytes += bytes;
        match self.waiting.back_mut() {
            Some(run) if run.job == job && run.end == index => {
                run.end += 1;
                run.bytes += bytes;
            }
            _ => self.waiting.push_back(Run { job, start: index, end: index + 1, bytes }),
        }
    }

    pub fn has_work(&self) -> bool {
        !self.again.is_empty() || !self.waiting.is_empty()
    }

    /// Whether something may be sent now.
    pub fn is_ready(&self, now: Instant) -> bool {
        self.has_work()
            && !(self.stopped && self.in_air > 0)
            && !(self.doubt && self.resends())
            && (self.established || self.in_air == 0)
            && self.not_before.is_none_or(|not_before| not_before <= now)
    }

    /// Where to look from, when that is to be done now.
    pub fn begin_look(&mut self, now: Instant) -> Option<i64> {
        let rests = self.not_before.is_some_and(|not_before| not_before > now);
        if !self.doubt || self.looking || self.in_air > 0 || !self.resends() || rests {
            return None;
        }
        // Nothing was acknowledged yet: there is no place to look from.
        self.doubt = self.acknowledged.is_some();
        self.looking = self.doubt;
        self.acknowledged
    }

    /// What was looked for: gives the parts that are stored.
    pub fn found(&mut self, found: &[Numbers]) -> Vec<Part> {
        (self.doubt, self.looking) = (false, false);
        let (stored, again) =
            std::mem::take(&mut self.again).into_iter().partition(|part| found.contains(&part.numbers));
        self.again = again;
        stored
    }

    pub fn resends(&self) -> bool {
        !self.again.is_empty()
    }

    /// Whether it needs the number of a producer before it can send.
    pub fn needs_identity(&self) -> bool {
        self.identity.is_none() || self.gap && self.identity.is_some_and(|known| known.epoch == i16::MAX)
    }

    /// The next part of at most so many bytes, or of one message. `cut` says how many messages of a run fit into so many
    /// bytes (at least one where the flag says so), and what they take.
    pub fn take(
        &mut self,
        index: usize,
        producer: i64,
        max_bytes: usize,
        cut: impl Fn(&Run, usize, bool) -> (u32, usize),
    ) -> Option<Part> {
        if !self.again.is_empty() {
            self.stopped = false;
            self.in_air += 1;
            return Some(Part { out_of_order: false, ..self.again.remove(0) });
        }
        let (mut runs, mut bytes) = (Vec::new(), 0);
        while let Some(run) = self.waiting.front_mut() {
            if bytes + run.bytes <= max_bytes {
                bytes += run.bytes;
                runs.extend(self.waiting.pop_front());
                continue;
            }
            let (fits, size) = cut(run, max_bytes - bytes, runs.is_empty());
            if fits > 0 {
                bytes += size;
                let end = (run.start + fits).min(run.end);
                runs.push(Run { end, bytes: size, ..run.clone() });
                (run.start, run.bytes) = (end, run.bytes.saturating_sub(size));
                if run.start == run.end {
                    self.waiting.pop_front();
                }
            }
            break;
        }
        if runs.is_empty() {
            return None;
        }
        self.stopped = false;
        self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
        self.renew(producer);
        let numbers = Numbers { producer: -1, epoch: -1, sequence: -1 };
        let mut part = Part { lane: index, runs, numbers, out_of_order: false };
        self.number(&mut part);
        self.in_air += 1;
        Some(part)
    }

    /// Begins new numbers where that must be: behind a gap the broker would take nothing. With a greater epoch it also
    /// refuses what may still be on its way to it with the old one.
    fn renew(&mut self, producer: i64) {
        self.established &= self.identity.is_some() && !self.gap;
        self.identity = Some(match self.identity {
            Some(known) if !self.gap => known,
            Some(known) if known.epoch < i16::MAX => {
                Identity { epoch: known.epoch + 1, sequence: 0, ..known }
            }
            _ => Identity { producer, epoch: 0, sequence: 0 },
        });
        self.gap = false;
    }

    /// Gives a part the next numbers.
    fn number(&mut self, part: &mut Part) {
        if let Some(identity) = &mut self.identity {
            let Identity { producer, epoch, sequence } = *identity;
            part.numbers = Numbers { producer, epoch, sequence };
            identity.sequence = after(sequence, part.count());
        }
    }

    /// Looking failed, and is tried again.
    pub fn not_found(&mut self, now: Instant) {
        self.looking = false;
        self.not_before = Some(now + MAX_BACKOFF);
    }

    /// A part has come back, and is stored at this offset (-1: not known). Gives those before it of which that follows.
    ///
    /// A broker remembers the last five parts of a producer, but over its restart only the last one: of the others it says
    /// then that they are out of order, although it has them. It takes a part only behind the one before it, though: what
    /// is before a part that it has, it has too.
    pub fn stored(&mut self, part: &Part, offset: i64) -> Vec<Part> {
        if offset >= 0 {
            self.acknowledged = Some(offset + part.count() as i64);
        }
        self.in_air -= 1;
        self.established = true;
        self.backoff = BACKOFF;
        self.not_before = None;
        let (numbers, place) = (part.numbers, part.place());
        let follows = |other: &Part| {
            let Numbers { producer, epoch, .. } = other.numbers;
            other.out_of_order
                && (producer, epoch) == (numbers.producer, numbers.epoch)
                && other.place() < place
        };
        let count = self.again.iter().take_while(|other| follows(other)).count();
        self.again.drain(..count).collect()
    }

    /// A part has come back, and is given up: what is behind it must not follow on its numbers.
    pub fn gave_up(&mut self) {
        self.in_air -= 1;
        self.gap = true;
    }

    /// A part has come back, and is to be sent again.
    pub fn returned(&mut self, part: Part, now: Instant) {
        self.in_air -= 1;
        self.stopped = true;
        let place = part.place();
        let at = self.again.partition_point(|other| other.place() < place);
        self.again.insert(at, part);
        if self.in_air == 0 {
            self.not_before = Some(now + self.backoff);
            self.backoff = (self.backoff * 2).min(MAX_BACKOFF);
            // The broker knows of nothing before any of them: it lost what it had, or never had it.
            if self.again.iter().all(|part| part.out_of_order) {
                self.renumber();
            }
        }
    }

    /// What could not be stored as a whole is sent as two.
    pub fn split(&mut self, part: Part, halves: [Vec<Run>; 2], now: Instant) {
        let Part { lane, numbers, .. } = part;
        let [front, back] = halves.map(|runs| Part { lane, runs, numbers, out_of_order: false });
        let back =
            Part { numbers: Numbers { sequence: after(numbers.sequence, front.count()), ..numbers }, ..back };
        self.in_air += 1;
        self.returned(back, now);
        self.returned(front, now);
        // Nothing has to be waited for.
        self.not_before = None;
    }

    fn renumber(&mut self) {
        self.gap = true;
        let producer = self.identity.map_or(-1, |identity| identity.producer);
        self.renew(producer);
        let mut parts = std::mem::take(&mut self.again);
        for part in &mut parts {
            part.out_of_order = false;
            self.number(part);
        }
        self.again = parts;
    }

    /// Gives up what is at that place or behind, and not in the air. Parts go as a whole.
    pub fn drop_from(&mut self, place: Place, mut lost: impl FnMut(&Run)) {
        let kept = self.again.partition_point(|part| part.place() < place);
        for part in self.again.drain(kept..) {
            part.runs.iter().for_each(&mut lost);
            self.gap = true;
        }
        while let Some(run) = self.waiting.back_mut() {
            if (run.job, run.end) <= place {
                break;
            }
            if run.place() >= place {
                lost(run);
                self.waiting.pop_back();
                continue;
            }
            // The limit is in the middle of the run.
            let end = place.1;
            lost(&Run { start: end, ..run.clone() });
            run.end = end;
            break;
        }
        self.waiting_bytes = self.waiting.iter().map(|run| run.bytes).sum();
    }

    /// The first message that is not in the air.
    pub fn first_waiting(&self) -> Option<Place> {
        self.again.first().map(Part::place).into_iter().chain(self.waiting.front().map(Run::place)).min()
    }

    /// The first message of a batch that is not in the air.
    pub fn first_of(&self, job: u64) -> Option<u32> {
        let runs = self.again.iter().flat_map(|part| &part.runs).chain(&self.waiting);
        runs.filter(|run| run.job == job).map(|run| run.start).min()
    }
}

/// The sequence behind so many messages; after the greatest comes 0.
fn after(sequence: i32, count: usize) -> i32 {
    ((i64::from(sequence) + count as i64) & i64::from(i32::MAX)) as i32
}

/// The halves of a part of at least two messages.
pub(super) fn halves(runs: &[Run]) -> [Vec<Run>; 2] {
    let total: usize = runs.iter().map(Run::count).sum();
    let (mut front, mut back, mut left) = (Vec::new(), Vec::new(), total / 2);
    for run in runs {
        let taken = run.count().min(left);
        left -= taken;
        let middle = run.start + taken as u32;
        let bytes = |count: usize| run.bytes * count / run.count().max(1);
        if taken > 0 {
            front.push(Run { end: middle, bytes: bytes(taken), ..run.clone() });
        }
        if middle < run.end {
            back.push(Run { start: middle, bytes: bytes(run.count() - taken), ..run.clone() });
        }
    }
    [front, back]
}
