//! What a consumer of lapin brings, in its order. lapin takes in whatever the socket brings and has no limit of its own; so
//! what comes while there is no room is counted here, for the connection's [`Intake`] to know.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use lapin::Consumer;
use lapin::message::Delivery;

use super::intake::Intake;

/// Let pass between looks at what came while there is no room: nobody is in a hurry.
const GATHER: Duration = Duration::from_millis(1);

/// `None`: the consumer has ended.
type Arrived = Option<lapin::Result<Delivery>>;

pub(super) struct Incoming {
    consumer: Consumer,
    /// What came while there was no room.
    ahead: VecDeque<Arrived>,
    held: usize,
    intake: Arc<Intake>,
}

impl Incoming {
    pub fn new(consumer: Consumer, intake: Arc<Intake>) -> Self {
        Self { consumer, ahead: VecDeque::new(), held: 0, intake }
    }

    pub fn consumer(&self) -> &Consumer {
        &self.consumer
    }

    /// The next delivery. Cancel-safe.
    pub async fn next(&mut self) -> Arrived {
        match self.front() {
            Some(arrived) => arrived,
            None => self.consumer.next().await,
        }
    }

    /// The next one, if it is there.
    pub fn next_now(&mut self) -> Option<Arrived> {
        self.front().or_else(|| self.consumer.next().now_or_never())
    }

    fn front(&mut self) -> Option<Arrived> {
        let arrived = self.ahead.pop_front()?;
        let bytes = size(&arrived);
        self.held -= bytes;
        self.intake.release(bytes);
        Some(arrived)
    }

    /// Waits for that, and takes in what comes meanwhile. Cancel-safe.
    pub async fn until<T>(&mut self, room: impl Future<Output = T>) -> T {
        tokio::pin!(room);
        loop {
            let ended = matches!(self.ahead.back(), Some(None));
            tokio::select! {
                biased;
                there = &mut room => return there,
                arrived = self.consumer.next(), if !ended => self.keep(arrived),
            }
            while !matches!(self.ahead.back(), Some(None)) {
                let Some(arrived) = self.consumer.next().now_or_never() else { break };
                self.keep(arrived);
            }
            tokio::select! {
                biased;
                there = &mut room => return there,
                () = tokio::time::sleep(GATHER) => {}
            }
        }
    }

    fn keep(&mut self, arrived: Arrived) {
        let bytes = size(&arrived);
        self.held += bytes;
        self.ahead.push_back(arrived);
        self.intake.hold(bytes);
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.intake.release(self.held);
    }
}

/// Without headers: they have to fit in a frame, and messages are counted.
fn size(arrived: &Arrived) -> usize {
    match arrived {
        Some(Ok(delivery)) => delivery.data.len(),
        Some(Err(_)) | None => 0,
    }
}
