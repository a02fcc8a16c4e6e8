//! What the server says about messages that were sent: read on the connection's task, kept for the sender's.

use std::sync::{Arc, Mutex};

use openmessaging::Error;
use serde::Deserialize;
use tokio::sync::Notify;

use super::error::{self, ApiError};
use super::link::Sink;
use super::wire::{self, Frame};
use crate::lock;

/// What became of one message.
#[derive(Debug)]
pub(super) enum Outcome {
    Stored,
    /// Nobody takes messages of that subject.
    Nobody,
    Refused(Box<ApiError>),
    /// The user may not send to that subject: whatever was sent to it.
    Forbidden(String, Error),
}

#[derive(Debug)]
pub(super) struct Answer {
    pub round: u64,
    pub way: u32,
    pub number: u64,
    pub outcome: Outcome,
}

pub(super) struct Answers {
    answers: Arc<Mutex<Vec<Answer>>>,
    ready: Arc<Notify>,
}

impl Answers {
    pub fn new(answers: Arc<Mutex<Vec<Answer>>>, ready: Arc<Notify>) -> Self {
        Self { answers, ready }
    }
}

impl Sink for Answers {
    fn messages(&mut self, buffer: &[u8], frames: &[Frame]) {
        let mut answers = lock(&self.answers);
        for frame in frames {
            let Some((round, way, number)) = numbers(&buffer[frame.subject.clone()]) else { continue };
            let outcome = outcome(&buffer[frame.headers.clone()], &buffer[frame.payload.clone()]);
            answers.push(Answer { round, way, number, outcome });
        }
        drop(answers);
        self.ready.notify_one();
    }

    fn forbidden(&mut self, subject: &str, error: &Error) {
        let outcome = Outcome::Forbidden(subject.to_owned(), error::again(error));
        lock(&self.answers).push(Answer { round: 0, way: 0, number: 0, outcome });
        self.ready.notify_one();
    }
}

/// `<inbox>.<round>.<way>.<number>`
fn numbers(subject: &[u8]) -> Option<(u64, u32, u64)> {
    let mut parts = subject.rsplit(|byte| *byte == b'.').map(wire::number);
    let (number, way, round) = (parts.next()??, parts.next()??, parts.next()??);
    Some((round, u32::try_from(way).ok()?, number))
}

fn outcome(headers: &[u8], payload: &[u8]) -> Outcome {
    // As servers write it; anything else is read as JSON.
    if payload.starts_with(b"{\"stream\":") {
        return Outcome::Stored;
    }
    if payload.is_empty() && wire::status(headers).is_some_and(|(code, _)| code == 503) {
        return Outcome::Nobody;
    }
    #[derive(Deserialize)]
    struct Answered {
        error: Option<ApiError>,
        seq: Option<u64>,
    }
    match serde_json::from_slice(payload) {
        Ok(Answered { error: Some(error), .. }) => Outcome::Refused(Box::new(error)),
        Ok(Answered { seq: Some(_), .. }) => Outcome::Stored,
        _ => {
            let shown = String::from_utf8_lossy(&payload[..payload.len().min(100)]).into_owned();
            let description = format!("an answer that cannot be read: {shown}");
            Outcome::Refused(Box::new(ApiError { code: 500, err_code: 0, description }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        assert_eq!(numbers(b"_INBOX.abc.s1.7.0.123"), Some((7, 0, 123)));
        assert_eq!(numbers(b"x.1"), None);
        for stored in
            [r#"{"stream":"q", "seq":5}"#, r#"{"stream":"q","seq":5,"duplicate": true}"#, r#"{"seq":5}"#]
        {
            assert!(matches!(outcome(b"", stored.as_bytes()), Outcome::Stored), "{stored}");
        }
        assert!(matches!(outcome(b"NATS/1.0 503\r\n\r\n", b""), Outcome::Nobody));
        let refused = br#"{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"},"stream":"q","seq":0}"#;
        assert!(matches!(outcome(b"", refused), Outcome::Refused(error) if error.err_code == 10077));
        assert!(matches!(outcome(b"", b"nonsense"), Outcome::Refused(_)));
    }
}
