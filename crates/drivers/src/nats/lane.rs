//! What is on its way to one stream, and what is sent again, so that its order is kept: decided here, done in `sender`.
//!
//! JetStream stores each message by itself, and answers each. So that nothing is stored behind a message that was refused,
//! each message names the one before it that is not answered yet (`Nats-Expected-Last-Msg-Id`): the server refuses it unless
//! that one is the newest of the stream. A message that has nothing unanswered before it is the head of a chain, and names
//! nothing.
//!
//! Another producer's message in between breaks the chain as well: then all behind it are refused, nothing is stored out of
//! order, and the first of them is sent again as a new head once all answers are there. Where that happens often, fewer
//! are on their way at a time.

use std::collections::VecDeque;

/// So many messages may be unanswered.
pub(super) const MOST: usize = 4096;

/// What a message must name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chain {
    Head,
    After(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Refused,
    /// To be sent again.
    Queued,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    number: u64,
    bytes: usize,
    state: State,
}

#[derive(Debug)]
pub(super) struct Lane {
    /// In the order of their numbers; not those that are stored.
    sent: VecDeque<Sent>,
    waiting: usize,
    queued: usize,
    /// Something was refused: nothing is sent until everything is answered.
    blocked: bool,
    /// Grows whenever messages are sent again: an answer of an older round refuses nothing any more.
    round: u64,
    limit: usize,
    stored: usize,
}

impl Default for Lane {
    fn default() -> Self {
        let sent = VecDeque::new();
        Self { sent, waiting: 0, queued: 0, blocked: false, round: 0, limit: MOST, stored: 0 }
    }
}

impl Lane {
    pub fn round(&self) -> u64 {
        self.round
    }

    /// How many are unanswered.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    pub fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    pub fn has_queued(&self) -> bool {
        self.queued > 0
    }

    /// The first that is not stored.
    pub fn first(&self) -> Option<u64> {
        self.sent.front().map(|sent| sent.number)
    }

    /// Whether a new message may be sent now.
    pub fn may_send(&self) -> bool {
        !self.blocked && self.queued == 0 && self.waiting < self.limit
    }

    /// A new message is sent; numbers grow.
    pub fn send(&mut self, number: u64, bytes: usize) -> Chain {
        let chain = self.behind(self.sent.len());
        self.sent.push_back(Sent { number, bytes, state: State::Waiting });
        self.waiting += 1;
        chain
    }

    /// The next one to be sent again, which counts as sent.
    pub fn send_again(&mut self) -> Option<(u64, usize, Chain)> {
        if self.blocked || self.queued == 0 || self.waiting >= self.limit {
            return None;
        }
        let index = self.sent.iter().position(|sent| sent.state == State::Queued)?;
        let chain = self.behind(index);
        let sent = self.sent.get_mut(index)?;
        sent.state = State::Waiting;
        self.waiting += 1;
        self.queued -= 1;
        Some((sent.number, sent.bytes, chain))
    }

    fn behind(&self, index: usize) -> Chain {
        let before = index.checked_sub(1).and_then(|before| self.sent.get(before));
        match before.filter(|before| before.state == State::Waiting) {
            Some(before) => Chain::After(before.number),
            None => Chain::Head,
        }
    }

    fn find(&self, number: u64) -> Option<usize> {
        // Nearly always the first.
        if self.first() == Some(number) {
            return Some(0);
        }
        self.sent.binary_search_by_key(&number, |sent| sent.number).ok()
    }

    /// It is stored, whichever round says so. Gives the bytes that are not on their way any more; `None` where that was known.
    pub fn is_stored(&mut self, number: u64) -> Option<usize> {
        let index = self.find(number)?;
        let sent = self.sent.remove(index)?;
        match sent.state {
            State::Waiting => self.waiting -= 1,
            State::Queued => self.queued -= 1,
            State::Refused => {}
        }
        self.stored += 1;
        if self.stored >= self.limit {
            (self.limit, self.stored) = ((self.limit * 2).min(MOST), 0);
        }
        Some(if sent.state == State::Waiting { sent.bytes } else { 0 })
    }

    /// It is not stored. `conflict`: because its chain is broken. Gives the bytes that are not on their way any more; `None`
    /// where the answer is an old one.
    pub fn is_refused(&mut self, round: u64, number: u64, conflict: bool) -> Option<usize> {
        if round != self.round {
            return None;
        }
        let index = self.find(number)?;
        let sent = self.sent.get_mut(index).filter(|sent| sent.state == State::Waiting)?;
        sent.state = State::Refused;
        self.waiting -= 1;
        if conflict && !self.blocked {
            (self.limit, self.stored) = ((self.limit / 2).max(8), 0);
        }
        self.blocked = true;
        Some(sent.bytes)
    }

    /// Something was refused, and everything else is answered.
    pub fn is_settled(&self) -> bool {
        self.blocked && self.waiting == 0
    }

    /// Everything that is not stored is sent again: it was refused, or the connection took it along. Gives the bytes that
    /// are not on their way any more.
    pub fn start_again(&mut self) -> usize {
        let mut bytes = 0;
        for sent in &mut self.sent {
            if sent.state == State::Waiting {
                bytes += sent.bytes;
            }
            sent.state = State::Queued;
        }
        (self.waiting, self.queued, self.blocked) = (0, self.sent.len(), false);
        self.round += 1;
        bytes
    }

    /// Nothing of it is wanted any more.
    pub fn clear(&mut self) {
        self.start_again();
        self.sent.clear();
        self.queued = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_name_the_one_before() {
        let mut lane = Lane::default();
        assert_eq!(
            (lane.send(1, 5), lane.send(2, 5), lane.send(3, 5)),
            (Chain::Head, Chain::After(1), Chain::After(2))
        );
        assert_eq!((lane.is_stored(1), lane.is_stored(1)), (Some(5), None));
        // Another producer came in between: two and three are refused.
        assert_eq!(lane.is_refused(0, 2, true), Some(5));
        assert!(!lane.may_send() && lane.send_again().is_none() && !lane.is_settled());
        assert_eq!(lane.is_refused(0, 3, true), Some(5));
        assert!(lane.is_settled());
        assert_eq!(lane.start_again(), 0);
        assert!(!lane.may_send(), "the old ones are first");
        assert_eq!(lane.send_again(), Some((2, 5, Chain::Head)));
        assert_eq!(lane.send_again(), Some((3, 5, Chain::After(2))));
        assert!(lane.may_send());
        assert_eq!(lane.send(4, 5), Chain::After(3));
        assert_eq!(lane.is_refused(0, 2, true), None, "an old answer");
        for number in 2..=4 {
            assert_eq!(lane.is_stored(number), Some(5));
        }
        assert!(lane.is_empty() && lane.waiting() == 0);
        assert_eq!(lane.send(5, 5), Chain::Head, "what is stored needs no naming");
    }

    #[test]
    fn a_lost_connection_sends_all_again() {
        let mut lane = Lane::default();
        for number in 0..10 {
            lane.send(number, 1);
        }
        lane.is_stored(0);
        assert_eq!(lane.start_again(), 9);
        assert_eq!(lane.send_again(), Some((1, 1, Chain::Head)));
        assert_eq!(lane.is_stored(5), Some(0), "an answer that came late");
        assert_eq!((lane.round(), lane.waiting()), (1, 1));
        lane.clear();
        assert!(lane.is_empty() && !lane.has_queued() && lane.may_send());
    }

    /// A stream as the server keeps one.
    #[derive(Default)]
    struct Server {
        stored: Vec<u64>,
        last: Option<u64>,
    }

    impl Server {
        fn takes(&mut self, number: u64, chain: Chain, room: bool) -> bool {
            if self.stored.contains(&number) {
                return true;
            }
            if matches!(chain, Chain::After(before) if self.last != Some(before)) || !room {
                return false;
            }
            self.stored.push(number);
            self.last = Some(number);
            true
        }
    }

    proptest! {
        /// Whatever is refused, lost or said by others in between: what is stored is in order and without gaps.
        #[test]
        fn order_is_kept(steps in proptest::collection::vec(0..7_u8, 1..300)) {
            let (mut lane, mut server) = (Lane::default(), Server::default());
            let mut wire: VecDeque<(u64, u64, Chain)> = VecDeque::new();
            let mut answers: VecDeque<(u64, u64, bool)> = VecDeque::new();
            let mut next = 0;
            let mut step = |kind: u8, lane: &mut Lane| {
                match kind {
                    0 | 1 if lane.may_send() => {
                        let chain = lane.send(next, 1);
                        wire.push_back((lane.round(), next, chain));
                        next += 1;
                    }
                    0 | 1 => if let Some((number, _, chain)) = lane.send_again() {
                        wire.push_back((lane.round(), number, chain));
                    },
                    2 | 6 => if let Some((round, number, chain)) = wire.pop_front() {
                        let stored = server.takes(number, chain, kind != 6);
                        answers.push_back((round, number, stored));
                    },
                    3 => if let Some((round, number, stored)) = answers.pop_front() {
                        if stored { lane.is_stored(number); } else { lane.is_refused(round, number, true); }
                    },
                    // Somebody else's message.
                    4 => server.last = None,
                    // What is under way is lost, half of it before the server has it, and all answers.
                    _ => {
                        wire.truncate(wire.len() / 2);
                        lane.start_again();
                        answers.clear();
                    }
                }
                if lane.is_settled() {
                    lane.start_again();
                }
                let stored = server.stored.clone();
                (stored, lane.is_empty() && wire.is_empty())
            };
            for kind in steps {
                let (stored, _) = step(kind, &mut lane);
                prop_assert!(stored.iter().copied().eq(0..stored.len() as u64), "{:?}", stored);
            }
            let mut rounds = 0;
            loop {
                for kind in [2, 3] { step(kind, &mut lane); }
                let (stored, done) = if lane.has_queued() { step(0, &mut lane) } else { step(2, &mut lane) };
                prop_assert!(stored.iter().copied().eq(0..stored.len() as u64));
                if done { break; }
                rounds += 1;
                prop_assert!(rounds < 10_000, "it does not end");
            }
        }
    }
}
