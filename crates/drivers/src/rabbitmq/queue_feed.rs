//! What fetches one queue ahead for a consumer (`queue.type=quorum`).
//!
//! A queue has no offsets. Messages are counted as they come, from 0; what is committed is acknowledged, and gone. What was
//! not comes again on another channel, with new numbers: so a number never means another message than it did.

use std::sync::{Arc, Mutex};

use futures::{FutureExt, StreamExt};
use lapin::Channel;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use openmessaging::{Error, MessageBatch, Result};
use tokio::time::Instant;

use super::access_point::Shared;
use super::bounds;
use super::message;
use super::stream_feed::PAUSE;
use crate::common::inbox::Feed;
use crate::common::lock;

/// So much is put in at once.
const CHUNK: usize = 1000;
const CHUNK_BYTES: usize = 256 * 1024;

/// What the consumer and the task that feeds it know of a queue.
#[derive(Default)]
pub(super) struct Delivered {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    channel: Option<Channel>,
    /// Which feed's it is.
    owner: Option<usize>,
    /// Of the first message of the channel.
    base: u64,
    /// Of the next message.
    next: u64,
    /// What is before is acknowledged.
    committed: u64,
    /// So many messages at the front are not wanted: reading began at the end.
    skip: u64,
}

impl Delivered {
    pub fn skipping(skip: u64) -> Self {
        Self { state: Mutex::new(State { skip, ..State::default() }) }
    }

    /// Where what was not committed comes again.
    pub fn next(&self) -> u64 {
        lock(&self.state).next
    }

    /// Whether it was given out and not committed.
    pub fn is_open(&self, offset: u64) -> bool {
        let state = lock(&self.state);
        (state.committed..=state.next).contains(&offset)
    }

    /// Acknowledges what is before, so far as it came on the channel that is open now. Once this returns the broker has
    /// taken note.
    pub async fn commit(&self, shared: &Shared, offset: u64, deadline: Instant) -> Result<()> {
        let (channel, tag) = {
            let mut state = lock(&self.state);
            let until = offset.min(state.next);
            let Some(channel) = state.channel.clone().filter(|_| until > state.base.max(state.committed))
            else {
                return Ok(());
            };
            let tag = until - state.base + state.skip;
            state.committed = until;
            // What was left out goes with it: it does not come again.
            (channel, tag)
        };
        let link = &shared.link;
        let what = "acknowledging messages";
        link.call(what, deadline, channel.basic_ack(tag, BasicAckOptions { multiple: true })).await?;
        let answered = channel.basic_qos(shared.config.max_uncommitted, BasicQosOptions::default());
        link.call(what, deadline, answered).await
    }
}

pub(super) struct QueueFeed {
    pub shared: Arc<Shared>,
    pub feed: Feed,
    pub queue: ShortString,
    pub delivered: Arc<Delivered>,
}

impl QueueFeed {
    pub async fn run(self) {
        loop {
            let pumped = tokio::select! {
                biased;
                () = self.feed.ended() => break,
                () = self.shared.closed.cancelled() => break,
                pumped = self.pump() => pumped,
            };
            match pumped {
                Ok(()) => break,
                Err(error) if error.is_retriable() => tokio::time::sleep(PAUSE).await,
                Err(error) => {
                    self.feed.fail(error);
                    break;
                }
            }
        }
        // With the channel its messages go back to the queue. Another feed may have taken over, and closed it.
        let mut state = lock(&self.delivered.state);
        if state.owner == Some(self.feed_number())
            && let Some(channel) = state.channel.take()
        {
            super::layout::close(channel);
        }
    }

    /// Tells this feed from the others of its queue.
    fn feed_number(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }

    async fn pump(&self) -> Result<()> {
        let (shared, queue) = (&self.shared, &self.queue);
        let (link, deadline) = (&shared.link, Instant::now() + shared.config.timeout);
        let what = format!("reading queue {queue}");
        // What went out before comes first: its channel must be closed.
        let old = lock(&self.delivered.state).channel.take();
        if let Some(old) = old.filter(|old| old.status().connected()) {
            let _ = tokio::time::timeout_at(deadline, old.close(200, "to begin again".into())).await;
        }
        let channel = link.try_channel(deadline).await?;
        let mut skip = {
            let mut state = lock(&self.delivered.state);
            state.base = state.next;
            if state.committed > 0 {
                state.skip = 0;
            }
            state.skip
        };
        let prefetch = u64::from(shared.config.max_uncommitted) + skip;
        let prefetch = u16::try_from(prefetch).unwrap_or(u16::MAX);
        link.call(&what, deadline, channel.basic_qos(prefetch, BasicQosOptions::default())).await?;
        let options = BasicConsumeOptions::default();
        let consumed = channel.basic_consume(queue.clone(), "feed".into(), options, FieldTable::default());
        let mut consumer = link.call(&what, deadline, consumed).await?;
        {
            let mut state = lock(&self.delivered.state);
            (state.channel, state.owner) = (Some(channel.clone()), Some(self.feed_number()));
        }
        loop {
            let mut first = Some(match consumer.next().await {
                Some(Ok(delivery)) => delivery,
                Some(Err(error)) => return Err(link.failed(&what, &error)),
                None => return Err(bounds::gone(link, queue)),
            });
            let (mut messages, mut count, mut bytes) = (MessageBatch::new(), 0, 0);
            let mut problem: Option<Error> = None;
            while count < CHUNK && bytes < CHUNK_BYTES {
                let delivery: Delivery = match first.take() {
                    Some(first) => first,
                    None => match consumer.next().now_or_never() {
                        Some(Some(Ok(delivery))) => delivery,
                        Some(Some(Err(error))) => {
                            problem = Some(link.failed(&what, &error));
                            break;
                        }
                        Some(None) => {
                            problem = Some(bounds::gone(link, queue));
                            break;
                        }
                        None => break,
                    },
                };
                if skip > 0 {
                    skip -= 1;
                    continue;
                }
                let place = &self.feed.place;
                message::take(
                    &mut messages,
                    &place.queue,
                    place.partition,
                    &delivery.properties,
                    &delivery.data,
                );
                count += 1;
                bytes += delivery.data.len();
            }
            let from = {
                let mut state = lock(&self.delivered.state);
                let from = state.next;
                state.next += count as u64;
                from
            };
            let next = from + count as u64;
            if count > 0 && !self.feed.deliver(messages, (from..next).collect(), next) {
                return Ok(());
            }
            if let Some(problem) = problem {
                return Err(problem);
            }
            if self.feed.room().await.is_none() {
                return Ok(());
            }
        }
    }
}
