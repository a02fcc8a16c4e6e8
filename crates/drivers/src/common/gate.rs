//! What may be sent: nothing behind a failure until the producer recovered (D9), nothing after the access point was
//! closed (D6); and when everything that was sent has ended.

use std::sync::{Arc, Mutex};

use openmessaging::{Error, Result, StatusCode};
use tokio::sync::Notify;

use super::lock;

/// The gate of one producer.
#[derive(Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    in_flight: usize,
    failed: bool,
    closed: bool,
}

/// A batch that was let through. It counts as in flight until this is dropped.
pub(crate) struct Ticket(Arc<Gate>);

impl Gate {
    /// # Errors
    /// `Aborted` after a failure, `Closed` after [`close`](Self::close).
    pub fn enter(self: &Arc<Self>) -> Result<Ticket> {
        let mut state = lock(&self.state);
        if state.closed {
            return Err(Error::new(StatusCode::Closed, "the producer is closed"));
        }
        if state.failed {
            return Err(aborted());
        }
        state.in_flight += 1;
        Ok(Ticket(self.clone()))
    }

    /// Nothing is let through until [`recover`](Self::recover).
    pub fn fail(&self) {
        lock(&self.state).failed = true;
        self.changed.notify_waiters();
    }

    /// Whether something failed: what is in flight and not yet written must not be.
    pub fn has_failed(&self) -> bool {
        lock(&self.state).failed
    }

    /// Waits until nothing is in flight, then lets sends through again.
    pub async fn recover(&self) -> Result<()> {
        self.drained().await;
        let mut state = lock(&self.state);
        if state.closed {
            return Err(Error::new(StatusCode::Closed, "the producer is closed"));
        }
        state.failed = false;
        Ok(())
    }

    pub async fn drained(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if lock(&self.state).in_flight == 0 {
                return;
            }
            changed.await;
        }
    }

    /// Nothing is let through any more.
    pub fn close(&self) {
        lock(&self.state).closed = true;
        self.changed.notify_waiters();
    }
}

/// What a batch behind a failure is answered.
pub(crate) fn aborted() -> Error {
    Error::new(StatusCode::Aborted, "an earlier batch of this producer failed, and this one was not sent")
        .with_remedy("recover the producer, and send again from the message that failed")
}

impl Ticket {
    /// The gate that it was let through.
    pub fn gate(&self) -> &Gate {
        &self.0
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        lock(&self.0.state).in_flight -= 1;
        self.0.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failure_closes_the_gate_until_all_in_flight_has_ended() {
        let gate = Arc::new(Gate::default());
        let (one, two) = (gate.enter().expect("open"), gate.enter().expect("open"));
        one.gate().fail();
        assert_eq!(gate.enter().err().map(|error| error.status), Some(StatusCode::Aborted));
        let waiting = {
            let gate = gate.clone();
            tokio::spawn(async move { gate.recover().await })
        };
        tokio::task::yield_now().await;
        drop(one);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished() && gate.has_failed());
        drop(two);
        waiting.await.expect("ended").expect("recovered");
        assert!(gate.enter().is_ok());
        gate.close();
        assert_eq!(gate.enter().err().map(|error| error.status), Some(StatusCode::Closed));
        assert!(gate.recover().await.is_err());
    }
}
