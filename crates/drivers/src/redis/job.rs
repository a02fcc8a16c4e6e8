//! A batch on its way.

use std::time::Duration;

use openmessaging::{Acknowledged, Error, MessageBatch, SendReport};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::common::gate::Ticket;
use super::parts::Queues;

/// A batch to send.
pub(super) struct Job {
    pub batch: MessageBatch,
    pub ticket: Ticket,
    report: oneshot::Sender<SendReport>,
    pub deadline: Instant,
    pub timeout: Duration,
    /// `None`: not looked up yet.
    pub queues: Option<Queues>,
    /// How many messages are in parts.
    pub planned: usize,
    /// How many of them are durable.
    pub stored: usize,
    /// Why the message behind what is planned can never be stored.
    pub end: Option<Error>,
}

impl Job {
    pub fn new(
        batch: MessageBatch,
        ticket: Ticket,
        report: oneshot::Sender<SendReport>,
        deadline: Instant,
        timeout: Duration,
    ) -> Self {
        Self { batch, ticket, report, deadline, timeout, queues: None, planned: 0, stored: 0, end: None }
    }

    pub fn into_batch(self) -> MessageBatch {
        self.batch
    }

    /// Whether all of it that can be stored is in parts.
    pub fn is_planned(&self) -> bool {
        self.end.is_some() || (self.queues.is_some() && self.planned == self.batch.len())
    }

    /// Tells the sender, and gives the batch back.
    pub fn finish(self, error: Option<Error>) {
        let Self { batch, ticket, report, stored, .. } = self;
        let made = match error {
            None => SendReport::all(batch),
            Some(error) => SendReport::failed(batch, Acknowledged::Prefix(stored), error),
        };
        // Whoever sent it may be gone, which takes nothing back.
        let _ = report.send(made);
        drop(ticket);
    }
}
