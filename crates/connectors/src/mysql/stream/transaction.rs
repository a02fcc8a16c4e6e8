//! The transaction at hand, and what of it was delivered before a restart.

use crate::mysql::gtid::TransactionId;
use crate::mysql::position::{step, step_parts};

/// What is known of the transaction that the stream stands in.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    /// Its first event has come, its last has not.
    pub open: bool,
    /// Another transaction than the one that was partly delivered: all of it is new.
    pub foreign: bool,
    /// BEGIN has come: DDL does not end it.
    pub begun: bool,
    /// MariaDB: one statement, which ends it.
    pub standalone: bool,
    pub id: Option<TransactionId>,
    /// The identifier's text, for the records.
    pub gtid: String,
    /// Its commit, milliseconds since the epoch, where the server tells it.
    pub commit_ms: Option<i64>,
    /// Rows events (and truncates) that are done.
    pub events: u32,
    pub thread: Option<u32>,
    /// The statement whose rows come, where the server logs it.
    pub query: Option<String>,
}

impl Transaction {
    pub(super) fn begin(id: Option<TransactionId>, commit_us: u64) -> Self {
        let commit_ms = i64::try_from(commit_us / 1000).ok().filter(|ms| *ms > 0);
        let gtid = id.as_ref().map(ToString::to_string).unwrap_or_default();
        Self { open: true, id, gtid, commit_ms, ..Self::default() }
    }
}

/// How much of one transaction is delivered already.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Delivered {
    /// The transaction meant; without one, the next.
    pub id: Option<TransactionId>,
    pub events: u32,
    pub images: u32,
}

impl Delivered {
    pub(super) fn read(stored: u64, id: Option<TransactionId>) -> Self {
        let (events, images) = step_parts(stored);
        Self { id, events, images }
    }

    pub(super) fn is_none(&self) -> bool {
        self.events == 0 && self.images == 0
    }

    /// Whether the rows event with this number was delivered as a whole.
    pub(super) fn has_event(&self, number: u32) -> bool {
        number < self.events
    }

    /// Row images of that event that were delivered.
    pub(super) fn images_of(&self, number: u32) -> u32 {
        if number == self.events { self.images } else { 0 }
    }

    /// The same with what has been delivered since.
    pub(super) fn reach(&mut self, events: u32, images: u32) {
        if step(events, images) > step(self.events, self.images) {
            (self.events, self.images) = (events, images);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_delivered_only_grows() {
        let mut delivered = Delivered::read(step(2, 5), None);
        assert!(delivered.has_event(1) && !delivered.has_event(2));
        assert_eq!((delivered.images_of(2), delivered.images_of(3)), (5, 0));
        delivered.reach(2, 3);
        assert_eq!(delivered.images, 5);
        delivered.reach(3, 0);
        assert_eq!((delivered.events, delivered.images), (3, 0));
    }
}
