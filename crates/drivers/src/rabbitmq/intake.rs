//! How much a consumer's connection reads from its socket. AMQP counts messages, not bytes: where large messages follow small
//! ones, the broker may send hundreds of large ones that nobody has room for. They stay in the broker and in the socket's
//! buffers: while more than so many bytes came that no partition had room for, the socket is not read.
//!
//! It is read all the same while somebody waits for something that lies behind: an answer, or a message where none is there.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;

use tokio::sync::Notify;

use crate::common::lock;

/// Of one connection.
#[derive(Debug)]
pub(super) struct Intake {
    limit: usize,
    held: AtomicUsize,
    /// How many wait for something.
    opened: AtomicUsize,
    /// Who wants to read.
    reader: Mutex<Option<Waker>>,
    shut: Notify,
}

/// While this lives, the socket is read.
pub(super) struct Opened<'a>(&'a Intake);

impl Intake {
    /// Of a connection that holds at most so many bytes that nobody has room for; and what is read from a socket at once.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            held: AtomicUsize::new(0),
            opened: AtomicUsize::new(0),
            reader: Mutex::new(None),
            shut: Notify::new(),
        })
    }

    /// Of a connection that gets only what was asked for.
    pub fn unlimited() -> Arc<Self> {
        Self::new(usize::MAX)
    }

    /// Whether the socket is read.
    pub fn is_open(&self) -> bool {
        self.held.load(Ordering::SeqCst) < self.limit || self.opened.load(Ordering::SeqCst) > 0
    }

    /// So many bytes came that nobody has room for.
    pub fn hold(&self, bytes: usize) {
        self.held.fetch_add(bytes, Ordering::SeqCst);
        self.changed();
    }

    /// There was room for them, or nobody wants them any more.
    pub fn release(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::SeqCst);
        self.changed();
    }

    /// For whoever waits for something that may lie behind what nobody has room for.
    pub fn open(&self) -> Opened<'_> {
        self.opened.fetch_add(1, Ordering::SeqCst);
        self.changed();
        Opened(self)
    }

    /// Waits until the socket is not read.
    pub async fn until_shut(&self) {
        loop {
            let shut = self.shut.notified();
            tokio::pin!(shut);
            shut.as_mut().enable();
            if !self.is_open() {
                return;
            }
            shut.await;
        }
    }

    /// Whether the socket may be read. If not, the waker is told when it may.
    pub fn lets_in(&self, reader: &Waker) -> bool {
        if self.is_open() {
            return true;
        }
        *lock(&self.reader) = Some(reader.clone());
        self.is_open()
    }

    fn changed(&self) {
        if self.limit == usize::MAX {
            return;
        }
        if !self.is_open() {
            self.shut.notify_waiters();
        } else if let Some(reader) = lock(&self.reader).take() {
            reader.wake();
        }
    }
}

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        self.0.opened.fetch_sub(1, Ordering::SeqCst);
        self.0.changed();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn it_is_shut_while_too_much_is_held_and_nobody_waits() {
        let intake = Intake::new(100);
        let waker = futures::task::noop_waker();
        intake.hold(99);
        assert!(intake.lets_in(&waker) && intake.until_shut().now_or_never().is_none());
        intake.hold(1);
        assert!(!intake.lets_in(&waker) && intake.until_shut().now_or_never().is_some());
        let (one, other) = (intake.open(), intake.open());
        drop(one);
        assert!(intake.lets_in(&waker));
        drop(other);
        assert!(!intake.lets_in(&waker));
        intake.release(1);
        assert!(intake.lets_in(&waker));
    }

    #[test]
    fn whoever_was_not_let_in_is_told() {
        struct Told(AtomicUsize);
        impl std::task::Wake for Told {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let (intake, told) = (Intake::new(10), Arc::new(Told(AtomicUsize::new(0))));
        intake.hold(30);
        assert!(!intake.lets_in(&Waker::from(told.clone())));
        intake.release(10);
        assert_eq!(told.0.load(Ordering::SeqCst), 0, "still too much");
        intake.release(15);
        assert_eq!(told.0.load(Ordering::SeqCst), 1);
    }
}
