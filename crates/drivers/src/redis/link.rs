//! What all connections of an access point share: how to connect, what is logged of outages, and when it is closed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use openmessaging::{Error, Result};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::common::lock;
use super::super::common::outage::Outage;
use super::config::Config;
use super::connection::Connection;
use super::error;

/// The pauses between attempts to connect: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

pub(super) struct Link {
    pub config: Arc<Config>,
    pub closed: CancellationToken,
    outage: Outage,
    /// Why the last attempt failed.
    why: Mutex<Option<Error>>,
}

impl Link {
    pub fn new(config: Arc<Config>) -> Self {
        let outage = Outage::new(&*config.server);
        Self { config, closed: CancellationToken::new(), outage, why: Mutex::default() }
    }

    pub fn server(&self) -> &str {
        &self.config.server
    }

    /// # Errors
    /// `Closed`.
    pub fn check(&self) -> Result<()> {
        if self.closed.is_cancelled() { Err(error::closed(self.server())) } else { Ok(()) }
    }

    /// Connects, however long it takes; cancel-safe.
    pub async fn connect(&self) -> Connection {
        let mut pause = PAUSES.0;
        loop {
            match Connection::open(&self.config).await {
                Ok(connection) => {
                    lock(&self.why).take();
                    self.outage.works();
                    return connection;
                }
                Err(error) => {
                    self.outage.failed(&error);
                    *lock(&self.why) = Some(error);
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// What a call is told whose time is over: why there is no connection, or that the server is silent.
    pub fn too_late(&self, what: &str, limit: Duration) -> Error {
        match lock(&self.why).as_ref() {
            Some(why) => error::again(why),
            None => error::late(self.server(), what, limit),
        }
    }

    /// When what is asked now must have ended.
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.config.timeout
    }
}
