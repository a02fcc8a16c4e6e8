//! The protocol, RESP2: a command is an array of byte strings, and so is most of an answer. Source: the specification of
//! the Redis serialization protocol in the documentation of Redis.

use openmessaging::{Error, StatusCode};

/// The longest line of an answer that is taken: errors, numbers, lengths.
const MAX_LINE: usize = 64 * 1024;

/// The longest byte string that a server can hold (`proto-max-bulk-len` of 512 MiB, Redis's default).
pub(super) const MAX_BULK: usize = 512 * 1024 * 1024;

/// The most elements of an array that are taken.
const MAX_ARRAY: usize = 1 << 24;

/// How deep arrays may be in each other: `XREAD` answers five.
const MAX_DEPTH: usize = 16;

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    Nil,
    Integer(i64),
    /// A byte string, or a status such as `OK`.
    Bytes(Vec<u8>),
    /// An error of the server, as it wrote it: `WRONGTYPE Operation against ...`.
    Error(String),
    Array(Vec<Reply>),
}

impl Reply {
    pub fn text(&self) -> Option<&str> {
        match self {
            Reply::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    pub fn integer(&self) -> Option<i64> {
        match self {
            Reply::Integer(number) => Some(*number),
            Reply::Bytes(_) => self.text()?.parse().ok(),
            _ => None,
        }
    }

    pub fn array(self) -> Option<Vec<Reply>> {
        match self {
            Reply::Array(items) => Some(items),
            _ => None,
        }
    }

    pub fn bytes(self) -> Option<Vec<u8>> {
        match self {
            Reply::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The value behind a name in a flat array of names and values, as `XINFO` answers.
    pub fn field(&self, name: &str) -> Option<&Reply> {
        let Reply::Array(items) = self else { return None };
        items.chunks_exact(2).find(|pair| pair[0].text() == Some(name)).map(|pair| &pair[1])
    }
}

/// These are not the bytes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed(pub &'static str);

impl Malformed {
    pub fn at(self, server: &str) -> Error {
        Error::new(StatusCode::Unavailable, format!("{server} does not speak Redis's protocol: {}", self.0))
            .with_remedy("look at host and port, and set tls=true where the port is one for TLS")
    }
}

/// Begins a command, or an array in one, of so many parts.
pub(super) fn array(out: &mut Vec<u8>, parts: usize) {
    header(out, b'*', parts);
}

/// One part of a command.
pub(super) fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    header(out, b'$', bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// A number as a part of a command.
pub(super) fn number(out: &mut Vec<u8>, number: i64) {
    let (digits, from) = decimal(number.unsigned_abs());
    let sign: &[u8] = if number < 0 { b"-" } else { b"" };
    header(out, b'$', digits.len() - from + sign.len());
    out.extend_from_slice(sign);
    out.extend_from_slice(&digits[from..]);
    out.extend_from_slice(b"\r\n");
}

/// A whole command.
pub(super) fn command(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(parts.iter().map(|part| part.len() + 16).sum());
    push_command(&mut out, parts);
    out
}

pub(super) fn push_command(out: &mut Vec<u8>, parts: &[&[u8]]) {
    array(out, parts.len());
    for part in parts {
        bulk(out, part);
    }
}

fn header(out: &mut Vec<u8>, kind: u8, length: usize) {
    let (digits, from) = decimal(length as u64);
    out.push(kind);
    out.extend_from_slice(&digits[from..]);
    out.extend_from_slice(b"\r\n");
}

/// The digits of a number, and where they begin.
fn decimal(mut number: u64) -> ([u8; 20], usize) {
    let mut digits = [b'0'; 20];
    let mut from = digits.len();
    loop {
        from -= 1;
        digits[from] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return (digits, from);
        }
    }
}

/// What stands at the front of `input`, without looking further; the second number is how many bytes it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Nil,
    Integer(i64),
    Bytes(&'a [u8]),
    Error(&'a [u8]),
    /// So many answers follow.
    Array(usize),
}

/// Reads one token. `Ok(None)`: there are not enough bytes yet.
pub(super) fn token(input: &[u8]) -> Result<Option<(Token<'_>, usize)>, Malformed> {
    let Some((kind, rest)) = input.split_first() else { return Ok(None) };
    let Some(end) = rest.iter().take(MAX_LINE).position(|byte| *byte == b'\r') else {
        return match kind {
            b'+' | b'-' | b':' | b'$' | b'*' | b'_' if rest.len() < MAX_LINE => Ok(None),
            _ => Err(Malformed("an answer begins in no known way")),
        };
    };
    let (line, used) = (&rest[..end], 1 + end + 2);
    if input.len() < used {
        return Ok(None);
    }
    let token = match kind {
        b'+' => Token::Bytes(line),
        b'-' => Token::Error(line),
        b':' => Token::Integer(integer(line)?),
        b'_' => Token::Nil,
        b'$' | b'*' => match integer(line)? {
            -1 => Token::Nil,
            length => {
                let limit = if *kind == b'$' { MAX_BULK } else { MAX_ARRAY };
                let length = usize::try_from(length).ok().filter(|length| *length <= limit);
                let length = length.ok_or(Malformed("a length is out of range"))?;
                if *kind == b'*' {
                    Token::Array(length)
                } else {
                    let Some(bytes) = input.get(used..used + length) else { return Ok(None) };
                    let whole = used + length + 2;
                    return Ok((input.len() >= whole).then_some((Token::Bytes(bytes), whole)));
                }
            }
        },
        _ => return Err(Malformed("an answer begins in no known way")),
    };
    Ok(Some((token, used)))
}

fn integer(line: &[u8]) -> Result<i64, Malformed> {
    let text = std::str::from_utf8(line).ok();
    text.and_then(|text| text.parse().ok()).ok_or(Malformed("a number is none"))
}

/// Reads one whole answer, and how many bytes it takes. `Ok(None)`: it is not all there yet.
pub(super) fn reply(input: &[u8]) -> Result<Option<(Reply, usize)>, Malformed> {
    nested(input, 0)
}

fn nested(input: &[u8], depth: usize) -> Result<Option<(Reply, usize)>, Malformed> {
    let Some((token, mut used)) = token(input)? else { return Ok(None) };
    let reply = match token {
        Token::Nil => Reply::Nil,
        Token::Integer(number) => Reply::Integer(number),
        Token::Bytes(bytes) => Reply::Bytes(bytes.to_vec()),
        Token::Error(line) => Reply::Error(String::from_utf8_lossy(line).into_owned()),
        Token::Array(_) if depth >= MAX_DEPTH => return Err(Malformed("an answer is nested too deep")),
        Token::Array(length) => {
            // What is claimed is not allocated before it is there.
            let mut items = Vec::with_capacity(length.min(input.len()));
            for _ in 0..length {
                let Some((item, more)) = nested(&input[used..], depth + 1)? else { return Ok(None) };
                items.push(item);
                used += more;
            }
            Reply::Array(items)
        }
    };
    Ok(Some((reply, used)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn commands_are_written_and_answers_read() {
        assert_eq!(command(&[b"GET", b"k\r\n"]), b"*2\r\n$3\r\nGET\r\n$3\r\nk\r\n\r\n");
        let mut out = Vec::new();
        number(&mut out, -120);
        assert_eq!(out, b"$4\r\n-120\r\n");
        let text = b"*5\r\n+OK\r\n:-7\r\n$3\r\na\r\n\r\n$-1\r\n-ERR no\r\nrest";
        let (read, used) = reply(text).expect("well formed").expect("whole");
        assert_eq!(&text[used..], b"rest");
        let expected = [
            Reply::Bytes(b"OK".to_vec()),
            Reply::Integer(-7),
            Reply::Bytes(b"a\r\n".to_vec()),
            Reply::Nil,
            Reply::Error("ERR no".into()),
        ];
        assert_eq!(read, Reply::Array(expected.into()));
        for cut in 0..used {
            assert_eq!(reply(&text[..cut]), Ok(None), "{cut} bytes are not all of it");
        }
    }

    #[test]
    fn nonsense_is_refused_and_allocates_nothing() {
        for bad in [&b"HTTP/1.1 400\r\n"[..], b"$9999999999\r\n", b"*x\r\n", b"\x15\x03\x03\x00\x02\x02\x50"]
        {
            assert!(reply(bad).is_err(), "{bad:?}");
        }
        assert_eq!(reply(b"*16777216\r\n:1\r\n"), Ok(None));
        assert!(reply(&b"*1\r\n".repeat(20)).is_err(), "too deep");
        assert!(reply(&[b'+'; MAX_LINE + 2]).is_err(), "a line without end");
    }

    #[test]
    fn fields_are_found_by_name() {
        let names = Reply::Array(vec![Reply::Bytes(b"length".to_vec()), Reply::Integer(3)]);
        assert_eq!(names.field("length").and_then(Reply::integer), Some(3));
        assert_eq!(names.field("other"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = reply(&bytes);
        }

        #[test]
        fn any_parts_come_back(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..9)) {
            let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            let written = command(&slices);
            let (read, used) = reply(&written).expect("well formed").expect("whole");
            prop_assert_eq!(used, written.len());
            prop_assert_eq!(read, Reply::Array(parts.into_iter().map(Reply::Bytes).collect()));
        }
    }
}
