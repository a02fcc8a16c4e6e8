//! Whether the connections of one access point are up: what is logged is about the server, not about each of them.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use openmessaging::Error;

use crate::common::outage::Outage;
use crate::lock;

pub(super) struct Health {
    outage: Outage,
    /// The connections that are down.
    down: Mutex<BTreeSet<u64>>,
    numbers: AtomicU64,
}

impl Health {
    pub fn new(server: &str) -> Self {
        Self { outage: Outage::new(server), down: Mutex::default(), numbers: AtomicU64::new(0) }
    }

    /// The number of another connection.
    pub fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    pub fn failed(&self, connection: u64, why: &Error) {
        lock(&self.down).insert(connection);
        self.outage.failed(why);
    }

    pub fn works(&self, connection: u64) {
        self.up(connection);
    }

    /// The connection was closed, up or not.
    pub fn gone(&self, connection: u64) {
        self.up(connection);
    }

    fn up(&self, connection: u64) {
        let mut down = lock(&self.down);
        if down.remove(&connection) && down.is_empty() {
            self.outage.works();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_ends_with_the_last_connection() {
        let health = Health::new("nats at h:1");
        let why = Error::new(openmessaging::StatusCode::Unavailable, "gone");
        let (one, two) = (health.number(), health.number());
        health.failed(one, &why);
        health.failed(two, &why);
        health.failed(one, &why);
        health.works(one);
        assert!(health.outage.is_out());
        health.gone(two);
        assert!(!health.outage.is_out());
    }
}
