//! Cutting bytes into lines, of bounded length.

use super::identity::Seen;

/// Bytes asked for at a time.
pub(super) const READ: usize = 1 << 20;

/// What [`Lines::next`] comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<'a> {
    /// A line without its end, and the offset in the file behind its end.
    Line(&'a [u8], u64),
    /// The line that starts at this offset is over the limit; said once.
    TooLong(u64),
    /// The line that was too long has ended before this offset.
    Passed(u64),
    /// There is no whole line: bytes are needed.
    More,
}

/// The bytes read and not yet consumed. `\n`, `\r\n` and a lone `\r` end a line, as for Kafka's `FileStreamSource`.
#[derive(Debug)]
pub(super) struct Lines {
    data: Vec<u8>,
    filled: usize,
    /// Where the next line starts in `data`.
    at: usize,
    /// Up to where no end of line was found.
    scanned: usize,
    /// Everything before `data`.
    seen: Seen,
    max_line: usize,
    truncate: bool,
    /// The beginning of a line whose rest is being thrown away: empty where all of it is.
    long: Option<Vec<u8>>,
    /// The last line that was cut.
    cut: Vec<u8>,
    /// A line too long was passed, and that was not told yet.
    passed: bool,
    /// Nothing more comes: what is left is the last line.
    ended: bool,
}

impl Lines {
    /// `truncate`: lines longer than `max_line` bytes are cut rather than refused.
    pub(super) fn new(max_line: usize, truncate: bool) -> Self {
        Self {
            data: Vec::new(),
            filled: 0,
            at: 0,
            scanned: 0,
            seen: Seen::default(),
            max_line,
            truncate,
            long: None,
            cut: Vec::new(),
            passed: false,
            ended: false,
        }
    }

    /// Forgets all bytes and goes on at the end of what was seen.
    pub(super) fn reset(&mut self, seen: Seen) {
        let data = std::mem::take(&mut self.data);
        *self = Self { data, seen, ..Self::new(self.max_line, self.truncate) };
    }

    /// The offset in the file where the next line starts.
    pub(super) fn offset(&self) -> u64 {
        self.seen.length + self.at as u64
    }

    /// The offset in the file where the next bytes are read from.
    pub(super) fn end(&self) -> u64 {
        self.seen.length + self.filled as u64
    }

    /// Whether there are bytes which are no whole line.
    pub(super) fn has_rest(&self) -> bool {
        self.filled > self.at || self.long.is_some()
    }

    /// The bytes that follow what was seen.
    pub(super) fn at_hand(&self) -> &[u8] {
        &self.data[..self.filled]
    }

    /// What is behind: the basis of the next positions.
    pub(super) fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Nothing more comes.
    pub(super) fn finish(&mut self) {
        self.ended = true;
    }

    pub(super) fn is_finished(&self) -> bool {
        self.ended
    }

    /// Makes room, and gives it to be read into; then [`filled`](Self::filled) is called.
    pub(super) fn room(&mut self) -> &mut [u8] {
        self.discard(self.at);
        // A line may be longer than one read; one over the limit never stays here.
        if self.data.len() < self.filled + READ {
            self.data.resize(self.filled + READ, 0);
        } else if self.filled == 0 && self.data.len() > 2 * READ {
            self.data = vec![0; READ];
        }
        &mut self.data[self.filled..]
    }

    pub(super) fn filled(&mut self, bytes: usize) {
        self.filled += bytes;
    }

    fn discard(&mut self, upto: usize) {
        self.seen.push(&self.data[..upto]);
        self.data.copy_within(upto..self.filled, 0);
        self.filled -= upto;
        self.at = self.at.saturating_sub(upto);
        self.scanned = self.scanned.saturating_sub(upto);
    }

    /// The next line; it counts as consumed.
    pub(super) fn next(&mut self) -> Next<'_> {
        if std::mem::take(&mut self.passed) {
            return Next::Passed(self.offset());
        }
        let Some((stop, next)) = self.find() else { return self.unfinished() };
        let start = self.at;
        (self.at, self.scanned) = (next, next);
        let behind = self.seen.length + next as u64;
        if let Some(beginning) = self.long.take() {
            if !self.truncate {
                return Next::Passed(behind);
            }
            self.cut = beginning;
            return Next::Line(&self.cut, behind);
        }
        let line = &self.data[start..stop];
        if line.len() <= self.max_line {
            Next::Line(line, behind)
        } else if self.truncate {
            Next::Line(beginning(line, self.max_line), behind)
        } else {
            self.passed = true;
            Next::TooLong(self.seen.length + start as u64)
        }
    }

    /// Where the line ends and where the next one starts.
    fn find(&mut self) -> Option<(usize, usize)> {
        let from = self.scanned.max(self.at);
        let rest = &self.data[from..self.filled];
        match memchr::memchr2(b'\n', b'\r', rest) {
            Some(found) => {
                let stop = from + found;
                match (self.data[stop], self.data[..self.filled].get(stop + 1)) {
                    (b'\r', Some(b'\n')) => Some((stop, stop + 2)),
                    // Whether a line feed follows is not known yet.
                    (b'\r', None) if !self.ended => {
                        self.scanned = stop;
                        None
                    }
                    _ => Some((stop, stop + 1)),
                }
            }
            None if self.ended && (self.filled > self.at || self.long.is_some()) => {
                Some((self.filled, self.filled))
            }
            None => {
                self.scanned = self.filled;
                None
            }
        }
    }

    /// No end of line is there: a line that is too long by now is not kept.
    fn unfinished(&mut self) -> Next<'_> {
        // A carriage return at the end may belong to the end of the line.
        let keep = usize::from(self.filled > self.at && self.data[self.filled - 1] == b'\r');
        let length = self.filled - self.at - keep;
        if self.long.is_some() {
            self.at = self.filled - keep;
            return Next::More;
        }
        if length <= self.max_line {
            return Next::More;
        }
        let start = self.offset();
        let line = &self.data[self.at..self.filled - keep];
        let kept = if self.truncate { beginning(line, self.max_line).to_vec() } else { Vec::new() };
        self.long = Some(kept);
        self.at = self.filled - keep;
        if self.truncate { Next::More } else { Next::TooLong(start) }
    }
}

/// At most `length` bytes, without half a character at the end.
fn beginning(line: &[u8], length: usize) -> &[u8] {
    let mut stop = length.min(line.len());
    // A character has at most three bytes behind its first.
    for _ in 0..3 {
        if stop < line.len() && stop > 0 && line[stop] & 0xC0 == 0x80 {
            stop -= 1;
        }
    }
    &line[..stop]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All that comes of the bytes when they are read in these portions.
    fn cut(bytes: &[u8], portions: &[usize], max_line: usize, truncate: bool) -> Vec<(String, u64)> {
        let mut lines = Lines::new(max_line, truncate);
        let mut out = Vec::new();
        let mut portions = portions.iter().copied().chain(std::iter::repeat(3));
        let mut rest = bytes;
        loop {
            let (text, more) = match lines.next() {
                Next::Line(line, behind) => ((String::from_utf8_lossy(line).into_owned(), behind), false),
                Next::TooLong(start) => (("too long".to_owned(), start), false),
                Next::Passed(behind) => (("passed".to_owned(), behind), false),
                Next::More => (Default::default(), true),
            };
            if !more {
                out.push(text);
                continue;
            }
            if rest.is_empty() {
                return out;
            }
            let count = portions.next().unwrap_or(1).clamp(1, rest.len());
            lines.room()[..count].copy_from_slice(&rest[..count]);
            lines.filled(count);
            rest = &rest[count..];
        }
    }

    #[test]
    fn ends_of_lines() {
        let texts =
            |bytes: &[u8]| cut(bytes, &[], 100, false).into_iter().map(|(text, _)| text).collect::<Vec<_>>();
        assert_eq!(texts(b"a\nb\r\nc\rd\n\n\r\npartial"), ["a", "b", "c", "d", "", ""]);
        assert_eq!(texts(b"a\r"), Vec::<String>::new());
        assert_eq!(cut(b"a\r\nb\n", &[2, 1], 100, false), [("a".to_owned(), 3), ("b".to_owned(), 5)]);
    }

    #[test]
    fn long_lines_are_refused_or_cut() {
        for portions in [&[100][..], &[1, 1, 1, 1, 1, 1, 1, 1], &[5, 5]] {
            let refused = cut(b"ab\n0123456\r\ncd\n", portions, 4, false);
            let expected = [("ab", 3), ("too long", 3), ("passed", 12), ("cd", 15)];
            assert_eq!(refused, expected.map(|(text, at)| (text.to_owned(), at)), "{portions:?}");
            let cut = cut("ab\n012ä456\r\ncd\n".as_bytes(), portions, 4, true);
            assert_eq!(
                cut,
                [("ab", 3), ("012", 13), ("cd", 16)].map(|(text, at)| (text.to_owned(), at)),
                "{portions:?}"
            );
        }
    }

    #[test]
    fn the_last_line_of_a_finished_file_needs_no_end() {
        let mut lines = Lines::new(100, false);
        lines.room()[..6].copy_from_slice(b"a\nrest");
        lines.filled(6);
        assert_eq!(lines.next(), Next::Line(b"a", 2));
        assert_eq!(lines.next(), Next::More);
        lines.finish();
        assert_eq!(lines.next(), Next::Line(b"rest", 6));
        assert_eq!(lines.next(), Next::More);
    }

    proptest! {
        #[test]
        fn portions_make_no_difference(
            bytes in prop::collection::vec(prop::sample::select(b"ab\r\n\xff\xc3\xa4".to_vec()), 0..80),
            portions in prop::collection::vec(1usize..9, 0..30),
            max_line in 1usize..20,
            truncate in any::<bool>(),
        ) {
            // The whole in one go, but for the moment at which a line is found to be too long.
            let strip = |lines: Vec<(String, u64)>| lines.into_iter().filter(|(text, _)| text != "too long").collect::<Vec<_>>();
            let whole = cut(&bytes, &[bytes.len().max(1)], max_line, truncate);
            prop_assert_eq!(strip(cut(&bytes, &portions, max_line, truncate)), strip(whole));
        }
    }
}
