//! What is logged when a broker goes away and comes back: one line each, however often it was tried meanwhile.

use std::sync::Mutex;
use std::time::Instant;

use super::lock;

/// The state of one connection, or of one server.
pub(crate) struct Outage {
    server: String,
    since: Mutex<Option<(Instant, u64)>>,
}

impl Outage {
    /// `server` as in errors: "kafka at 127.0.0.1:9092".
    pub fn new(server: impl Into<String>) -> Self {
        Self { server: server.into(), since: Mutex::new(None) }
    }

    /// Something failed. Only the first time since it worked is logged.
    pub fn failed(&self, why: &dyn std::fmt::Display) {
        let mut since = lock(&self.since);
        match since.as_mut() {
            Some((_, attempts)) => *attempts += 1,
            None => {
                *since = Some((Instant::now(), 1));
                tracing::warn!(server = %self.server, error = %why, "the broker cannot be used; trying until it can");
            }
        }
    }

    /// It works.
    pub fn works(&self) {
        if let Some((begin, attempts)) = lock(&self.since).take() {
            let milliseconds = begin.elapsed().as_millis() as u64;
            tracing::info!(server = %self.server, attempts, milliseconds, "the broker can be used again");
        }
    }

    #[cfg(test)]
    pub fn is_out(&self) -> bool {
        lock(&self.since).is_some()
    }
}
