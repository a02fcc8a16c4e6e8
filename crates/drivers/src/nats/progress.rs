//! How far reading a stream has come, and what the server was asked for: decided here, done in `pull`.

use std::time::Duration;

use tokio::time::Instant;

use super::pull::Delivered;
use super::wire::{self, Frame};

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Ok,
    /// The next message is larger than what was asked for: it must be asked for alone.
    Alone,
    /// The consumer must be made again.
    Again,
    Failed(String),
}

#[derive(Debug)]
pub(super) struct Progress {
    /// The sequence of the next message that is wanted.
    next: u64,
    /// Counts consumers.
    consumer: u64,
    name: Option<String>,
    /// The consumer's own number of the next message.
    expected: u64,
    /// How many requests the server has, and what is left of their bytes.
    requests: usize,
    bytes: usize,
    /// A request for one message, whatever its size, is among them.
    alone: bool,
    /// Messages since the last request.
    brought: usize,
    heard: Instant,
    verdict: Verdict,
}

impl Progress {
    pub fn new(next: u64) -> Self {
        Self {
            next,
            consumer: 0,
            name: None,
            expected: 1,
            requests: 0,
            bytes: 0,
            alone: false,
            brought: 0,
            heard: Instant::now(),
            verdict: Verdict::Ok,
        }
    }

    /// Another consumer is made; gives its number.
    pub fn start(&mut self) -> u64 {
        let consumer = self.consumer + 1;
        *self = Self { consumer, ..Self::new(self.next) };
        consumer
    }

    pub fn made(&mut self, name: String) {
        self.name = Some(name);
    }

    pub fn consumer(&self) -> u64 {
        self.consumer
    }

    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub fn next(&self) -> u64 {
        self.next
    }

    /// What the server may still send of what it was asked for.
    pub fn asked_bytes(&self) -> usize {
        self.bytes
    }

    pub fn asks(&mut self, bytes: usize, alone: bool) {
        self.requests += 1;
        self.bytes += bytes;
        self.alone = alone;
        self.brought = 0;
        self.heard = Instant::now();
        if self.verdict == Verdict::Alone {
            self.verdict = Verdict::Ok;
        }
    }

    /// `silence`: how long the server may say nothing while it has requests.
    pub fn verdict(&self, silence: Duration) -> Verdict {
        if self.verdict == Verdict::Ok && self.requests > 0 && self.heard.elapsed() > silence {
            return Verdict::Again;
        }
        self.verdict.clone()
    }

    /// Something came. Gives the message, if it is one that is wanted.
    pub fn take<'a>(&mut self, buffer: &'a [u8], frame: &Frame) -> Option<Delivered<'a>> {
        if matches!(self.verdict, Verdict::Again | Verdict::Failed(_)) {
            return None;
        }
        self.heard = Instant::now();
        let headers = &buffer[frame.headers.clone()];
        let reply = &buffer[frame.reply.clone()];
        let Some(Place { sequence, number, time, pending }) = place(reply) else {
            if let Some((code, text)) = wire::status(headers) {
                self.status(code, text, headers);
            }
            return None;
        };
        if number != self.expected {
            // One got lost.
            self.verdict = Verdict::Again;
            return None;
        }
        self.expected += 1;
        self.brought += 1;
        let (subject, payload) = (&buffer[frame.subject.clone()], &buffer[frame.payload.clone()]);
        if std::mem::take(&mut self.alone) {
            (self.requests, self.bytes) = (0, 0);
        } else {
            let bytes = subject.len() + reply.len() + headers.len() + payload.len();
            self.bytes = self.bytes.saturating_sub(bytes);
            if self.bytes == 0 {
                self.requests = 0;
            }
        }
        if sequence < self.next {
            return None;
        }
        self.next = sequence + 1;
        Some(Delivered { sequence, time, pending, subject, headers, payload })
    }

    fn status(&mut self, code: u16, text: &str, headers: &[u8]) {
        match (code, text) {
            (100, _) => {}
            (404 | 408, _) => self.ended(headers),
            (409, "Message Size Exceeds MaxBytes") => {
                self.ended(headers);
                if self.requests == 0 && self.brought == 0 {
                    self.verdict = Verdict::Alone;
                }
            }
            (409, text) if text.starts_with("Exceeded") => {
                self.verdict = Verdict::Failed(format!("{code} {text}"))
            }
            (400, text) => self.verdict = Verdict::Failed(format!("{code} {text}")),
            // Deleted, moved, or nobody there.
            _ => self.verdict = Verdict::Again,
        }
    }

    /// A request has ended before it was used up.
    fn ended(&mut self, headers: &[u8]) {
        let left = wire::header(headers, "Nats-Pending-Bytes").and_then(wire::number).unwrap_or(0);
        self.requests = self.requests.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(usize::try_from(left).unwrap_or(usize::MAX));
        self.alone = false;
        if self.requests == 0 {
            self.bytes = 0;
        }
    }
}

/// What a message says about its place.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    sequence: u64,
    /// The consumer's own number, from 1.
    number: u64,
    time: i64,
    pending: u64,
}

/// `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<number>.<nanoseconds>.<pending>`; with a domain, two words more
/// before the stream, and perhaps one at the end. (Source: the NATS architecture decision record 15, "JetStream subject mapping".)
fn place(reply: &[u8]) -> Option<Place> {
    let rest = reply.strip_prefix(b"$JS.ACK.")?;
    let count = rest.iter().filter(|byte| **byte == b'.').count() + 1;
    let mut words = rest.rsplit(|byte| *byte == b'.');
    match count {
        7 | 9 => {}
        10.. => drop(words.nth(count - 10)),
        _ => return None,
    }
    let mut number = || words.next().and_then(wire::number);
    let (pending, nanoseconds, own, sequence) = (number()?, number()?, number()?, number()?);
    Some(Place { sequence, number: own, time: (nanoseconds / 1_000_000) as i64, pending })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: u64, sequence: u64, payload: usize) -> (Vec<u8>, Frame) {
        let reply = format!("$JS.ACK.s.c.1.{sequence}.{number}.5000000.9");
        let mut buffer = b"q".to_vec();
        buffer.extend_from_slice(reply.as_bytes());
        let start = buffer.len();
        buffer.resize(start + payload, b'x');
        let frame = Frame {
            subject: 0..1,
            subscription: 1,
            reply: 1..start,
            headers: 0..0,
            payload: start..start + payload,
        };
        (buffer, frame)
    }

    fn status(text: &str) -> (Vec<u8>, Frame) {
        let buffer = format!("NATS/1.0 {text}\r\n\r\n").into_bytes();
        let end = buffer.len();
        (buffer, Frame { subject: 0..0, subscription: 1, reply: 0..0, headers: 0..end, payload: end..end })
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn places_are_read() {
        let place_of = |text: &str| {
            place(text.as_bytes()).map(|place| (place.sequence, place.number, place.time, place.pending))
        };
        assert_eq!(place_of("$JS.ACK.s.c.1.7.2.1763800000123456789.3"), Some((7, 2, 1_763_800_000_123, 3)));
        assert_eq!(place_of("$JS.ACK.hub.hash.s.c.1.7.2.5000000.3"), Some((7, 2, 5, 3)));
        assert_eq!(place_of("$JS.ACK.hub.hash.s.c.1.7.2.5000000.3.rnd"), Some((7, 2, 5, 3)));
        assert_eq!((place_of("$JS.ACK.s.c.1.7.2"), place_of("_INBOX.x")), (None, None));
    }

    #[tokio::test]
    async fn bytes_are_counted_and_old_messages_left_out() {
        let mut progress = Progress::new(7);
        progress.start();
        progress.asks(1000, false);
        let (buffer, frame) = message(1, 6, 10);
        assert!(progress.take(&buffer, &frame).is_none(), "before what is wanted");
        let (buffer, frame) = message(2, 9, 10);
        let delivered = progress.take(&buffer, &frame).expect("wanted");
        assert_eq!((delivered.sequence, delivered.time, progress.next()), (9, 5, 10));
        assert!(progress.asked_bytes() < 1000 - 2 * 10);
        let (buffer, frame) = status("409 Message Size Exceeds MaxBytes\r\nNats-Pending-Bytes: 900");
        assert!(progress.take(&buffer, &frame).is_none());
        assert_eq!((progress.asked_bytes(), progress.verdict(LONG)), (0, Verdict::Ok));
        progress.asks(900, false);
        progress.take(&buffer, &frame);
        assert_eq!(progress.verdict(LONG), Verdict::Alone, "nothing came at all");
        progress.asks(0, true);
        let (buffer, frame) = message(3, 10, 5000);
        assert!(progress.take(&buffer, &frame).is_some());
        assert_eq!(progress.verdict(Duration::ZERO), Verdict::Ok, "nothing is asked for any more");
    }

    #[tokio::test]
    async fn what_is_lost_makes_a_new_consumer() {
        let mut progress = Progress::new(1);
        assert_eq!(progress.start(), 1);
        let (buffer, frame) = message(2, 2, 1);
        assert!(progress.take(&buffer, &frame).is_none());
        assert_eq!(progress.verdict(LONG), Verdict::Again);
        assert_eq!((progress.start(), progress.next()), (2, 1));
        for (text, verdict) in [
            ("100 Idle Heartbeat", Verdict::Ok),
            ("503", Verdict::Again),
            ("409 Consumer Deleted", Verdict::Again),
            ("409 Leadership Change", Verdict::Again),
            (
                "409 Exceeded MaxRequestBatch of 5",
                Verdict::Failed("409 Exceeded MaxRequestBatch of 5".into()),
            ),
        ] {
            progress.start();
            let (buffer, frame) = status(text);
            progress.take(&buffer, &frame);
            assert_eq!(progress.verdict(LONG), verdict, "{text}");
        }
    }
}
