//! The batches that a producer was given, and what became of their messages.

use std::collections::VecDeque;

use openmessaging::{Acknowledged, Error, MessageBatch, SendReport};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::common::gate::{Ticket, aborted};

/// A place among all messages of a producer: the number of the batch, the index in it.
pub(super) type Place = (u64, u32);

/// One batch.
pub(super) struct Job {
    pub batch: MessageBatch,
    pub arrived: Instant,
    pub deadline: Instant,
    reply: oneshot::Sender<SendReport>,
    /// Counts as in flight until this is gone.
    ticket: Ticket,
    /// Messages that are neither stored nor lost, but those behind `cut`.
    open: usize,
    /// The first message that is not stored and will not be.
    lost: Option<u32>,
    error: Option<Error>,
}

impl Job {
    pub fn new(
        batch: MessageBatch,
        reply: oneshot::Sender<SendReport>,
        ticket: Ticket,
        deadline: Instant,
    ) -> Self {
        let open = batch.len();
        Self { batch, arrived: Instant::now(), deadline, reply, ticket, open, lost: None, error: None }
    }

    fn end(self) {
        let report = match self.lost {
            None => SendReport::all(self.batch),
            Some(lost) => {
                let error = self.error.unwrap_or_else(aborted);
                SendReport::failed(self.batch, Acknowledged::Prefix(lost as usize), error)
            }
        };
        // Whoever dropped the future does not want to know; and only who knows may recover.
        let _ = self.reply.send(report);
        drop(self.ticket);
    }
}

/// The batches that have not ended, by number.
#[derive(Default)]
pub(super) struct Jobs {
    /// The number of the first one.
    base: u64,
    jobs: VecDeque<Option<Job>>,
}

impl Jobs {
    /// Takes a batch, and says its number.
    pub fn add(&mut self, job: Job) -> u64 {
        self.jobs.push_back(Some(job));
        self.base + self.jobs.len() as u64 - 1
    }

    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// The number that the next batch will have.
    pub fn next(&self) -> u64 {
        self.base + self.jobs.len() as u64
    }

    pub fn get(&self, number: u64) -> Option<&Job> {
        self.jobs.get(number.checked_sub(self.base)? as usize)?.as_ref()
    }

    /// The numbers of those that have not ended.
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        let each = self.jobs.iter().zip(self.base..);
        each.filter(|(job, _)| job.is_some()).map(|(_, number)| number)
    }

    fn slot(&mut self, number: u64) -> Option<&mut Option<Job>> {
        self.jobs.get_mut(number.checked_sub(self.base)? as usize)
    }

    /// The oldest batch.
    pub fn oldest(&self) -> Option<(u64, &Job)> {
        self.jobs.front()?.as_ref().map(|job| (self.base, job))
    }

    /// These messages are durable.
    pub fn stored(&mut self, number: u64, count: usize) {
        self.settle(number, count, None);
    }

    /// These are not, and will not be.
    pub fn lost(&mut self, number: u64, from: u32, count: usize) {
        self.settle(number, count, Some(from));
    }

    fn settle(&mut self, number: u64, count: usize, lost: Option<u32>) {
        let Some(slot) = self.slot(number) else { return };
        let Some(job) = slot else { return };
        job.open = job.open.saturating_sub(count);
        job.lost = [job.lost, lost].into_iter().flatten().min();
        if job.open == 0
            && let Some(job) = slot.take()
        {
            job.end();
            while matches!(self.jobs.front(), Some(None)) {
                self.jobs.pop_front();
                self.base += 1;
            }
        }
    }

    /// Why the message at this place failed, or one before it.
    pub fn explain(&mut self, (number, _): Place, error: Error) {
        if let Some(Some(job)) = self.slot(number) {
            job.error.get_or_insert(error);
        }
    }
}
