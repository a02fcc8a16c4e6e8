//! What `XREAD` answers, taken apart as it comes: entries become messages at once, and what there is no room for is
//! passed over and read again later. So a consumer holds its share and one entry more, whatever the server sends.

use std::sync::Arc;

use openmessaging::MessageBatch;

use super::entry::{self, Field};
use super::offset;
use super::resp::{self, Malformed, Token};

/// Messages are handed on in pieces of so many bytes.
const PIECE: usize = 256 * 1024;

/// An entry is large that takes more than such a part of the room.
const LARGE: usize = 16;

/// A stream that is read from.
pub(super) struct Wanted {
    pub stream: Arc<str>,
    pub queue: Arc<str>,
    pub partition: u32,
    /// Bytes that there is room for.
    pub room: usize,
}

/// Messages of one stream, which is the `index`-th of those wanted.
pub(super) struct Piece {
    pub index: usize,
    pub messages: MessageBatch,
    pub offsets: Vec<u64>,
}

/// What was seen of one stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub entries: usize,
    /// The size of all of them, also those passed over.
    pub bytes: usize,
    /// How many of them there was room for.
    pub taken: usize,
    /// Of those passed over.
    passed_over: usize,
    /// The first of those passed over that is large.
    pub large: Option<Large>,
}

/// A large entry that comes behind what was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Large {
    /// So many others are in front of it.
    pub behind: usize,
    pub bytes: usize,
}

/// Why an answer could not be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// The server's own error.
    Answered(String),
    Malformed(Malformed),
    /// The `index`-th stream has an id that is no offset.
    BadId {
        index: usize,
        id: String,
    },
}

impl From<Malformed> for Problem {
    fn from(malformed: Malformed) -> Self {
        Problem::Malformed(malformed)
    }
}

/// Reads one answer.
pub(super) struct Answer<'w> {
    wanted: &'w [Wanted],
    pub seen: Vec<Seen>,
    /// `None`: its beginning has not come yet.
    streams_left: Option<usize>,
    /// Of the stream that is being read.
    entries_left: usize,
    index: usize,
    messages: MessageBatch,
    offsets: Vec<u64>,
}

impl<'w> Answer<'w> {
    pub fn new(wanted: &'w [Wanted]) -> Self {
        Self {
            wanted,
            seen: vec![Seen::default(); wanted.len()],
            streams_left: None,
            entries_left: 0,
            index: 0,
            messages: MessageBatch::new(),
            offsets: Vec::new(),
        }
    }

    /// Whether so much of it was passed over that the rest is better not read: large entries behind small ones.
    pub fn is_too_much(&self) -> bool {
        let mut each = self.seen.iter().zip(self.wanted);
        each.any(|(seen, wanted)| seen.passed_over > wanted.room.max(PIECE) * 4)
    }

    /// Whether something of it has come.
    pub fn has_begun(&self) -> bool {
        self.streams_left.is_some()
    }

    /// Takes what is whole at the front of `input`. Says how many bytes that was, and whether the answer has ended.
    pub fn advance(
        &mut self,
        input: &[u8],
        deliver: &mut impl FnMut(Piece),
    ) -> Result<(usize, bool), Problem> {
        let mut at = 0;
        let mut fields = Vec::new();
        loop {
            let used = match self.streams_left {
                None => self.begin(&input[at..])?,
                Some(0) if self.entries_left == 0 => {
                    self.hand_on(deliver);
                    return Ok((at, true));
                }
                Some(_) if self.entries_left == 0 => {
                    self.hand_on(deliver);
                    self.next_stream(&input[at..])?
                }
                Some(_) => match self.entry(&input[at..], &mut fields) {
                    Ok(used) => used,
                    Err(problem) => {
                        // What was in front of it is whole.
                        self.hand_on(deliver);
                        return Err(problem);
                    }
                },
            };
            match used {
                Some(used) => at += used,
                None => return Ok((at, false)),
            }
            if self.messages.data_len() >= PIECE {
                self.hand_on(deliver);
            }
        }
    }

    fn begin(&mut self, input: &[u8]) -> Result<Option<usize>, Problem> {
        let Some((token, used)) = resp::token(input)? else { return Ok(None) };
        self.streams_left = Some(match token {
            Token::Nil => 0,
            Token::Array(streams) if streams <= self.wanted.len() => streams,
            Token::Error(text) => {
                return Err(Problem::Answered(String::from_utf8_lossy(text).into_owned()));
            }
            _ => return Err(Malformed("this is no answer to XREAD").into()),
        });
        Ok(Some(used))
    }

    fn next_stream(&mut self, input: &[u8]) -> Result<Option<usize>, Problem> {
        let mut reader = Reader { input, at: 0 };
        let (Some(pair), Some(name), Some(entries)) = (reader.array()?, reader.bytes()?, reader.array()?)
        else {
            return Ok(None);
        };
        let index = self.wanted.iter().position(|wanted| wanted.stream.as_bytes() == name);
        let (2, Some(index)) = (pair, index) else {
            return Err(Malformed("this is no answer to XREAD").into());
        };
        self.index = index;
        self.entries_left = entries;
        self.streams_left = self.streams_left.map(|left| left.saturating_sub(1));
        Ok(Some(reader.at))
    }

    fn entry<'a>(&mut self, input: &'a [u8], fields: &mut Vec<Field<'a>>) -> Result<Option<usize>, Problem> {
        let mut reader = Reader { input, at: 0 };
        let Some(pair) = reader.array()? else { return Ok(None) };
        if pair != 2 {
            return Err(Malformed("this is no answer to XREAD").into());
        }
        let (Some(id), Some(count)) = (reader.bytes()?, reader.array()?) else { return Ok(None) };
        fields.clear();
        for _ in 0..count / 2 {
            let (Some(name), Some(value)) = (reader.bytes()?, reader.bytes()?) else { return Ok(None) };
            fields.push((name, value));
        }
        let Some(at) = offset::of_id(id) else {
            let id = String::from_utf8_lossy(id).into_owned();
            return Err(Problem::BadId { index: self.index, id });
        };
        let size: usize = fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        let (seen, wanted) = (&mut self.seen[self.index], &self.wanted[self.index]);
        if seen.entries > 0 && (seen.passed_over > 0 || seen.bytes + size > wanted.room) {
            if seen.large.is_none() && size > wanted.room / LARGE {
                seen.large = Some(Large { behind: seen.entries - seen.taken, bytes: size });
            }
            seen.passed_over += size.max(1);
        } else {
            seen.taken += 1;
            entry::read(fields, at, &wanted.queue, wanted.partition, &mut self.messages);
            self.offsets.push(at);
        }
        seen.entries += 1;
        seen.bytes += size;
        self.entries_left -= 1;
        Ok(Some(reader.at))
    }

    /// Gives what was taken.
    pub fn hand_on(&mut self, deliver: &mut impl FnMut(Piece)) {
        if !self.offsets.is_empty() {
            let (messages, offsets) = (std::mem::take(&mut self.messages), std::mem::take(&mut self.offsets));
            deliver(Piece { index: self.index, messages, offsets });
        }
    }
}

/// Reads tokens of one kind each.
struct Reader<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn array(&mut self) -> Result<Option<usize>, Malformed> {
        match resp::token(&self.input[self.at..])? {
            Some((Token::Array(length), used)) => {
                self.at += used;
                Ok(Some(length))
            }
            // An entry that was deleted meanwhile has no fields.
            Some((Token::Nil, used)) => {
                self.at += used;
                Ok(Some(0))
            }
            Some(_) => Err(Malformed("this is no answer to XREAD")),
            None => Ok(None),
        }
    }

    fn bytes(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        match resp::token(&self.input[self.at..])? {
            Some((Token::Bytes(bytes), used)) => {
                self.at += used;
                Ok(Some(bytes))
            }
            Some(_) => Err(Malformed("this is no answer to XREAD")),
            None => Ok(None),
        }
    }
}

/// How many entries to ask for: as many as there is room for by what was seen, and not many more than the last time, since
/// sizes may grow. None that is known to be large together with what is in front of it.
pub(super) fn count(room: usize, entry_bytes: usize, last: usize, large: Option<Large>) -> usize {
    let (entry_bytes, most) = match large {
        Some(Large { behind: 0, bytes }) => (bytes, usize::MAX),
        Some(Large { behind, .. }) => (entry_bytes, behind),
        None => (entry_bytes, usize::MAX),
    };
    (room / entry_bytes.max(1)).min(most).clamp(1, (last * 4).clamp(16, 4096))
}

/// Where the large one is after an answer.
pub(super) fn large_ahead(known: Option<Large>, seen: &Seen) -> Option<Large> {
    let left = |large: Large| Some(Large { behind: large.behind.checked_sub(seen.taken)?, ..large });
    seen.large.or_else(|| known.and_then(left))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wanted(names: &[(&str, usize)]) -> Vec<Wanted> {
        let wanted = |(name, room): &(&str, usize)| Wanted {
            stream: (*name).into(),
            queue: (*name).into(),
            partition: 0,
            room: *room,
        };
        names.iter().map(wanted).collect()
    }

    fn push_entry(out: &mut Vec<u8>, id: &str, body: &[u8]) {
        resp::array(out, 2);
        resp::bulk(out, id.as_bytes());
        resp::array(out, 2);
        resp::bulk(out, b"body");
        resp::bulk(out, body);
    }

    fn two_streams() -> Vec<u8> {
        let mut out = Vec::new();
        resp::array(&mut out, 2);
        for (name, ids) in [("a", &["0-1", "0-2", "0-3"][..]), ("b", &["0-9"])] {
            resp::array(&mut out, 2);
            resp::bulk(&mut out, name.as_bytes());
            resp::array(&mut out, ids.len());
            for id in ids {
                push_entry(&mut out, id, &[b'x'; 96]);
            }
        }
        out
    }

    type Read = Vec<(usize, Vec<u64>)>;

    fn read(input: &[u8], wanted: &[Wanted], step: usize) -> Result<(Read, Vec<Seen>), Problem> {
        let mut answer = Answer::new(wanted);
        let mut pieces = Vec::new();
        let (mut from, mut to) = (0, 0);
        loop {
            to = (to + step).min(input.len());
            let mut deliver = |piece: Piece| pieces.push((piece.index, piece.offsets));
            let (used, ended) = answer.advance(&input[from..to], &mut deliver)?;
            from += used;
            if ended {
                assert_eq!(from, input.len());
                return Ok((pieces, answer.seen));
            }
            assert!(to < input.len(), "the answer does not end");
        }
    }

    #[test]
    fn an_answer_is_read_in_whatever_pieces_it_comes() {
        let input = two_streams();
        let wanted = wanted(&[("b", 1000), ("a", 1000)]);
        for step in [1, 2, 7, 100, input.len()] {
            let (pieces, seen) = read(&input, &wanted, step).expect("well formed");
            assert_eq!(pieces, [(1, vec![1, 2, 3]), (0, vec![9])], "{step} bytes at once");
            assert_eq!((seen[1].entries, seen[1].bytes), (3, 300));
        }
        assert_eq!(read(b"*-1\r\n", &wanted, 5).expect("nothing").0, []);
    }

    #[test]
    fn what_there_is_no_room_for_is_passed_over() {
        let input = two_streams();
        let (pieces, seen) = read(&input, &wanted(&[("a", 250), ("b", 1)]), 9).expect("well formed");
        assert_eq!(pieces, [(0, vec![1, 2]), (1, vec![9])], "one at least");
        assert!(seen[0].passed_over == 100 && seen[1].passed_over == 0);
    }

    #[test]
    fn problems_are_told_apart() {
        let wanted = wanted(&[("a", 1)]);
        assert_eq!(read(b"-NOPERM no\r\n", &wanted, 99), Err(Problem::Answered("NOPERM no".into())));
        assert!(matches!(read(b"+OK\r\n", &wanted, 99), Err(Problem::Malformed(_))));
        let mut input = b"*1\r\n*2\r\n$1\r\na\r\n*1\r\n".to_vec();
        push_entry(&mut input, "0-1048576", b"x");
        let bad = Problem::BadId { index: 0, id: "0-1048576".into() };
        assert_eq!(read(&input, &wanted, 99), Err(bad));
        let mut input = b"*1\r\n*2\r\n$1\r\na\r\n*2\r\n".to_vec();
        push_entry(&mut input, "0-1", b"x");
        push_entry(&mut input, "x", b"x");
        let (mut answer, mut pieces) = (Answer::new(&wanted), 0);
        assert!(
            answer.advance(&input, &mut |_| pieces += 1).is_err() && pieces == 1,
            "the one in front is read"
        );
    }

    #[test]
    fn counts_grow_with_what_fits() {
        assert_eq!(count(1 << 20, 1024, 1, None), 16, "carefully at first");
        assert_eq!(count(1 << 20, 1024, 16, None), 64);
        assert_eq!(count(1 << 20, 1024, 4096, None), 1024);
        assert_eq!(count(1 << 20, 4 << 20, 64, None), 1);
        assert_eq!(count(1 << 30, 1, 4096, None), 4096);
    }

    #[test]
    fn large_entries_are_not_asked_for_with_what_is_in_front_of_them() {
        let seen = Seen { large: Some(Large { behind: 100, bytes: 1 << 19 }), ..Seen::default() };
        let mut large = large_ahead(None, &seen);
        assert_eq!(count(1 << 20, 1024, 4096, large), 100);
        large = large_ahead(large, &Seen { taken: 60, ..Seen::default() });
        assert_eq!(count(1 << 20, 1024, 4096, large), 40);
        large = large_ahead(large, &Seen { taken: 40, ..Seen::default() });
        assert_eq!(count(1 << 20, 1024, 4096, large), 2);
        assert_eq!(large_ahead(large, &Seen { taken: 2, ..Seen::default() }), None, "it is read");
    }

    proptest! {
        /// What a server that is broken, or is none, answers.
        #[test]
        fn damaged_answers_are_read_or_refused(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            end in any::<prop::sample::Index>(),
            step in 1..90_usize,
        ) {
            let mut input = two_streams();
            for (at, byte) in changes {
                let at = at.index(input.len());
                input[at] = byte;
            }
            input.truncate(end.index(input.len()) + 1);
            let wanted = wanted(&[("a", 250), ("b", 1000)]);
            let (mut answer, mut taken) = (Answer::new(&wanted), 0);
            let (mut from, mut to) = (0, 0);
            while to < input.len() {
                to = (to + step).min(input.len());
                match answer.advance(&input[from..to], &mut |piece: Piece| taken += piece.offsets.len()) {
                    Ok((used, ended)) if !ended => from += used,
                    _ => break,
                }
            }
            prop_assert!(from <= input.len() && taken <= input.len());
        }
    }
}
