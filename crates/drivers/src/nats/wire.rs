//! The NATS client protocol: lines, some of which announce bytes. Reading is a pure function of a buffer, writing appends to
//! one. (Source: the NATS documentation, "Client Protocol"; it has not changed since headers came with server 2.2.)

use std::fmt;
use std::ops::Range;

/// A line that is not INFO. The server's own limit for its clients is 4 KiB; it answers with somewhat longer ones.
const MAX_LINE: usize = 16 * 1024;

/// INFO lists the servers of a cluster.
const MAX_INFO: usize = 1024 * 1024;

/// The server's largest message is 64 MiB; a stored one is read back in Base64.
const MAX_MESSAGE: usize = 96 * 1024 * 1024;

/// What a server sent, as places in the buffer that it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Op {
    Info(Range<usize>),
    Ping,
    Pong,
    Ok,
    /// The text between the quotes.
    Err(Range<usize>),
    Message(Frame),
}

/// A message for a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub subject: Range<usize>,
    pub subscription: u64,
    pub reply: Range<usize>,
    /// With the line `NATS/1.0`; empty where there are none.
    pub headers: Range<usize>,
    pub payload: Range<usize>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// An operation, and where the next one starts.
    Op(Op, usize),
    /// It is not all there: so many bytes from its start are needed at least.
    Needs(usize),
}

/// What came is not this protocol.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotNats(String);

impl fmt::Display for NotNats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it does not speak the NATS protocol: {}", self.0)
    }
}

impl std::error::Error for NotNats {}

fn wrong(line: &[u8]) -> NotNats {
    let shown: String = String::from_utf8_lossy(&line[..line.len().min(60)]).escape_debug().collect();
    NotNats(format!("\"{shown}\""))
}

/// Reads the operation at `start`.
pub(super) fn parse(buffer: &[u8], start: usize) -> Result<Parsed, NotNats> {
    let bytes = &buffer[start..];
    let limit = if bytes.first().is_some_and(|first| b"Ii".contains(first)) { MAX_INFO } else { MAX_LINE };
    let Some(end) = bytes.iter().take(limit).position(|byte| *byte == b'\n') else {
        return if bytes.len() < limit { Ok(Parsed::Needs(bytes.len() + 1)) } else { Err(wrong(bytes)) };
    };
    let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
    let next = start + end + 1;
    let verb_end = line.iter().position(|byte| b" \t".contains(byte)).unwrap_or(line.len());
    let (verb, rest) = (&line[..verb_end], start + verb_end..start + line.len());
    let rest = trim(buffer, rest);
    let op = match verb.to_ascii_uppercase().as_slice() {
        b"MSG" => return message(buffer, start, rest, next, false),
        b"HMSG" => return message(buffer, start, rest, next, true),
        b"INFO" => Op::Info(rest),
        b"PING" => Op::Ping,
        b"PONG" => Op::Pong,
        b"+OK" => Op::Ok,
        b"-ERR" => {
            let quoted = buffer[rest.clone()].len() >= 2 && buffer[rest.start] == b'\'';
            Op::Err(if quoted { rest.start + 1..rest.end - 1 } else { rest })
        }
        _ => return Err(wrong(line)),
    };
    Ok(Parsed::Op(op, next))
}

fn trim(buffer: &[u8], mut range: Range<usize>) -> Range<usize> {
    while !range.is_empty() && b" \t".contains(&buffer[range.start]) {
        range.start += 1;
    }
    while !range.is_empty() && b" \t".contains(&buffer[range.end - 1]) {
        range.end -= 1;
    }
    range
}

/// `MSG subject sid [reply] bytes`, `HMSG subject sid [reply] header-bytes all-bytes`.
fn message(
    buffer: &[u8],
    start: usize,
    arguments: Range<usize>,
    next: usize,
    headers: bool,
) -> Result<Parsed, NotNats> {
    let mut words: [Range<usize>; 5] = Default::default();
    let mut count = 0;
    let mut at = arguments.start;
    while at < arguments.end {
        let length = buffer[at..arguments.end].iter().position(|byte| b" \t".contains(byte));
        let end = length.map_or(arguments.end, |length| at + length);
        if end > at {
            *words.get_mut(count).ok_or_else(|| wrong(&buffer[start..next]))? = at..end;
            count += 1;
        }
        at = end + 1;
    }
    let lengths = if headers { 2 } else { 1 };
    if count != 2 + lengths && count != 3 + lengths {
        return Err(wrong(&buffer[start..next]));
    }
    let number = |word: &Range<usize>| {
        number(&buffer[word.clone()]).ok_or_else(|| wrong(&buffer[start..next])).map(|number| number as usize)
    };
    let all = number(&words[count - 1])?;
    let header_bytes = if headers { number(&words[count - 2])? } else { 0 };
    if all > MAX_MESSAGE || header_bytes > all {
        return Err(wrong(&buffer[start..next]));
    }
    let end = next + all + 2;
    if buffer.len() < end {
        return Ok(Parsed::Needs(end - start));
    }
    let reply = if count == 3 + lengths { words[2].clone() } else { 0..0 };
    let frame = Frame {
        subject: words[0].clone(),
        subscription: number(&words[1])? as u64,
        reply,
        headers: next..next + header_bytes,
        payload: next + header_bytes..next + all,
    };
    Ok(Parsed::Op(Op::Message(frame), end))
}

/// A number in decimal digits.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 20 {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Appends a number in decimal digits.
pub(super) fn push_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a message; `headers` are whole (`NATS/1.0 ... `) or empty.
pub(super) fn publish(out: &mut Vec<u8>, subject: &[u8], reply: &[u8], headers: &[u8], payload: &[u8]) {
    out.extend_from_slice(if headers.is_empty() { b"PUB " } else { b"HPUB " });
    out.extend_from_slice(subject);
    out.push(b' ');
    if !reply.is_empty() {
        out.extend_from_slice(reply);
        out.push(b' ');
    }
    if !headers.is_empty() {
        push_number(out, headers.len() as u64);
        out.push(b' ');
    }
    push_number(out, (headers.len() + payload.len()) as u64);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(headers);
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

pub(super) fn subscribe(out: &mut Vec<u8>, subject: &str, subscription: u64) {
    out.extend_from_slice(format!("SUB {subject} {subscription}\r\n").as_bytes());
}

pub(super) fn unsubscribe(out: &mut Vec<u8>, subscription: u64) {
    out.extend_from_slice(format!("UNSUB {subscription}\r\n").as_bytes());
}

/// The status in a message's first header line: `NATS/1.0 503 No Responders` gives the number and the text.
pub(super) fn status(headers: &[u8]) -> Option<(u16, &str)> {
    let line = headers.strip_prefix(b"NATS/1.0")?;
    let line = &line[..line.windows(2).position(|pair| pair == b"\r\n")?];
    let line = std::str::from_utf8(line).ok()?.trim();
    let (code, text) = line.split_at_checked(3)?;
    Some((code.parse().ok()?, text.trim()))
}

/// The value of the first header of that name; case does not count.
pub(super) fn header<'a>(headers: &'a [u8], name: &str) -> Option<&'a [u8]> {
    lines(headers).find(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
}

/// The headers, as name and value, in their order. Blanks around a value are not part of it.
pub(super) fn lines(headers: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = match headers.iter().position(|byte| *byte == b'\n') {
        Some(first) => &headers[first + 1..],
        None => &[],
    };
    std::iter::from_fn(move || {
        loop {
            let end = rest.iter().position(|byte| *byte == b'\n')?;
            let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
            rest = &rest[end + 1..];
            if let Some(colon) = line.iter().position(|byte| *byte == b':') {
                return Some((&line[..colon], line[colon + 1..].trim_ascii()));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(text: &[u8]) -> (Op, usize) {
        match parse(text, 0).expect("readable") {
            Parsed::Op(op, next) => (op, next),
            Parsed::Needs(more) => panic!("{more} bytes are needed"),
        }
    }

    #[test]
    fn operations_are_read() {
        assert_eq!(one(b"PING\r\n"), (Op::Ping, 6));
        assert_eq!(one(b"pong\r\n"), (Op::Pong, 6));
        assert_eq!(one(b"+OK\r\n").0, Op::Ok);
        let text = b"-ERR 'Authorization Violation'\r\n";
        let (Op::Err(range), _) = one(text) else { panic!("an error") };
        assert_eq!(&text[range], b"Authorization Violation");
        let text = b"INFO {\"a\":1} \r\n";
        let (Op::Info(range), _) = one(text) else { panic!("info") };
        assert_eq!(&text[range], b"{\"a\":1}");
        let text = b"MSG a.b 7 in.box 3\r\nxyz\r\nPING\r\n";
        let (Op::Message(frame), next) = one(text) else { panic!("a message") };
        assert_eq!((&text[frame.subject], frame.subscription), (&b"a.b"[..], 7));
        assert_eq!((&text[frame.reply], &text[frame.payload], next), (&b"in.box"[..], &b"xyz"[..], 25));
        let text = b"HMSG a 1 12 14\r\nNATS/1.0\r\n\r\nok\r\n";
        let (Op::Message(frame), _) = one(text) else { panic!("a message") };
        assert_eq!((&text[frame.headers], &text[frame.payload]), (&b"NATS/1.0\r\n\r\n"[..], &b"ok"[..]));
        assert!(frame.reply.is_empty());
    }

    #[test]
    fn what_is_cut_off_waits_and_what_is_strange_is_refused() {
        let text = b"MSG a 1 5\r\nhello\r\n";
        for end in 0..text.len() {
            assert!(
                matches!(parse(&text[..end], 0), Ok(Parsed::Needs(more)) if more > end && more <= text.len())
            );
        }
        for bad in
            ["HTTP/1.1 400\r\n", "MSG a\r\n", "MSG a 1 x\r\n", "MSG a 1 999999999999\r\n", "HMSG a 1 9 3\r\n"]
        {
            assert!(parse(bad.as_bytes(), 0).is_err(), "{bad}");
        }
        assert!(parse(&vec![b'x'; MAX_LINE], 0).is_err(), "a line without end");
    }

    #[test]
    fn statuses_and_headers_are_found() {
        let headers =
            b"NATS/1.0 409 Message Size Exceeds MaxBytes\r\nNats-Pending-Messages: 7\r\nB:x: y \r\n\r\n";
        assert_eq!(status(headers), Some((409, "Message Size Exceeds MaxBytes")));
        assert_eq!(header(headers, "nats-pending-messages"), Some(&b"7"[..]));
        assert_eq!(lines(headers).last(), Some((&b"B"[..], &b"x: y"[..])));
        assert_eq!(status(b"NATS/1.0\r\na: b\r\n\r\n"), None);
        assert_eq!(status(b""), None);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut out = Vec::new();
        publish(&mut out, b"s", b"r.1", b"NATS/1.0\r\n\r\n", b"body");
        publish(&mut out, b"s", b"", b"", b"");
        subscribe(&mut out, "in.*", 3);
        unsubscribe(&mut out, 3);
        let expected = "HPUB s r.1 12 16\r\nNATS/1.0\r\n\r\nbody\r\nPUB s 0\r\n\r\nSUB in.* 3\r\nUNSUB 3\r\n";
        assert_eq!(String::from_utf8_lossy(&out), expected);
        for value in [0, 9, 10, u64::MAX] {
            let mut out = Vec::new();
            push_number(&mut out, value);
            assert_eq!(number(&out), Some(value));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fall(bytes in proptest::collection::vec(any::<u8>(), 0..200), head in "(H?MSG [a-z ]{0,6}[0-9 ]{0,9}\r\n)?") {
            let mut text = head.into_bytes();
            text.extend(bytes);
            let _ = parse(&text, 0);
            let _ = (status(&text), lines(&text).count());
        }
    }
}
