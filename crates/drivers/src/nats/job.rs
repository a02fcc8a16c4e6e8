//! A batch that is being sent, and a stream that is sent to: what `sender` keeps of them.

use std::sync::Arc;
use std::time::Duration;

use openmessaging::{Acknowledged, Error, MessageBatch, SendReport};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::encode::Envelope;
use super::error::ApiError;
use super::lane::{Chain, Lane};
use super::link::Link;
use crate::common::gate::{Ticket, aborted};

/// A stream that answers nothing for so long may have a new leader.
pub(super) const SILENCE: Duration = Duration::from_secs(3);

/// A batch that is being sent.
pub(super) struct Job {
    pub batch: MessageBatch,
    pub ticket: Option<Ticket>,
    pub reply: Option<oneshot::Sender<SendReport>>,
    pub deadline: Instant,
    /// The number of its first message.
    pub first: u64,
    /// The lane of each message that is to be sent.
    pub lanes: Vec<u32>,
    /// How many were sent at least once.
    pub next: usize,
    pub stored: Vec<bool>,
    pub missing: usize,
    /// Why not all of it is, or will be, stored.
    pub error: Option<Error>,
}

/// A stream that is sent to.
pub(super) struct Way {
    pub stream: String,
    pub subject: String,
    pub queue: Arc<str>,
    pub lane: Lane,
    /// Nobody listens to the subject: whether the stream is still there must be looked at.
    pub doubtful: bool,
    /// When what is queued may be sent again.
    pub not_before: Option<Instant>,
    /// What the server said last, for a timeout's error.
    pub trouble: Option<ApiError>,
    /// When something was answered last, or sent with nothing unanswered before.
    pub heard: Instant,
    /// The server was asked whether it has read everything, and nothing was answered since.
    pub asked: Option<u64>,
}

pub(super) fn envelope(way: &Way, index: usize, number: u64, chain: Chain) -> Envelope<'_> {
    Envelope {
        subject: &way.subject,
        stream: &way.stream,
        round: way.lane.round(),
        way: index as u32,
        number,
        chain,
    }
}

impl Way {
    pub fn is_heard(&mut self) {
        (self.heard, self.asked) = (Instant::now(), None);
    }

    /// Whether the server has read everything and answers nothing: the leader of a stream has changed. It is asked first, since
    /// a slow connection is no reason to send everything again.
    pub fn is_forgotten(&mut self, link: &Link) -> bool {
        if self.heard.elapsed() < SILENCE {
            return false;
        }
        self.heard = Instant::now();
        match self.asked {
            None => {
                self.asked = Some(link.ping());
                false
            }
            Some(ping) if link.answered(ping) => {
                self.asked = None;
                true
            }
            Some(_) => false,
        }
    }
}

impl Job {
    pub fn answer(mut self) {
        if let Some(reply) = self.reply.take() {
            let report = report(self.batch, &self.stored, self.missing, self.error);
            // Whoever is told must find the gate as it is.
            drop(self.ticket.take());
            let _ = reply.send(report);
        }
    }

    pub fn answer_early(&mut self) {
        if let Some(reply) = self.reply.take() {
            let batch = std::mem::take(&mut self.batch);
            let report = report(batch, &self.stored, self.missing, self.error.take());
            drop(self.ticket.take());
            let _ = reply.send(report);
        }
    }
}

fn report(batch: MessageBatch, stored: &[bool], missing: usize, error: Option<Error>) -> SendReport {
    let prefix = stored.iter().take_while(|stored| **stored).count();
    match error {
        None if missing == 0 => SendReport::all(batch),
        error => SendReport::failed(batch, Acknowledged::Prefix(prefix), error.unwrap_or_else(aborted)),
    }
}
