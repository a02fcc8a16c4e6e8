//! What fetches one queue ahead for a consumer (`queue.type=quorum`).
//!
//! A queue has no offsets. Messages are counted as they come, from 0; what is committed is acknowledged, and gone. What was
//! not comes again on another channel, with new numbers: so a number never means another message than it did.
//!
//! A broker gives so many messages to a consumer until some are acknowledged. Whoever reads need not commit to go on: when
//! all that were asked for came, and there is room, the consumer is replaced by another one on the same channel. Not before,
//! and with no acknowledgement under way: what the broker sends to a consumer that was cancelled is not seen by anybody.
//!
//! When a channel is lost, the broker takes its messages back consumer by consumer, in the order of their tags; beyond 32
//! consumers that still hold messages, in no order (3.10, a map of Erlang). So tags sort as they were made, and what was
//! not committed comes again in its order as long as that is less than 32 windows: 32,000 messages of up to 2 KiB.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lapin::Channel;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, ConfirmSelectOptions,
};
use lapin::types::{FieldTable, ShortString};
use openmessaging::{Error, MessageBatch, Result};
use tokio::time::Instant;

use super::access_point::Shared;
use super::incoming::Incoming;
use super::link::Link;
use super::stream_feed::ENOUGH;
use super::window::{Pace, Window};
use super::{bounds, error, layout, message};
use crate::common::inbox::Feed;
use crate::common::lock;

/// After a connection was lost, and there is another one: so long the broker has to notice, and to take back what was not
/// acknowledged, so that it comes before what is behind it.
const AFTER_LOSS: Duration = Duration::from_millis(1000);

/// So much longer it has while it counts the consumer that was lost; what it counts may be another's.
const UNTIL_ALONE: Duration = Duration::from_millis(1500);

/// So often it may have given what is behind what it should have taken back, before that is believed to be gone: read by
/// another, expired, purged.
const TOO_EARLY: u32 = 4;

/// Between attempts to connect, and between looks.
const PAUSE: Duration = Duration::from_millis(100);

/// So much is put in at once.
const CHUNK: usize = 1000;
const CHUNK_BYTES: usize = 256 * 1024;

/// What the consumer and the task that feeds it know of a queue.
#[derive(Default)]
pub(super) struct Delivered {
    state: Mutex<State>,
    /// Acknowledging lets a consumer get more, so none is cancelled meanwhile.
    turn: tokio::sync::Mutex<()>,
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
        Self { state: Mutex::new(State { skip, ..State::default() }), ..Self::default() }
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
    /// taken note; or has been told, where its answer lies behind messages that there is no room for.
    pub async fn commit(&self, link: &Link, offset: u64, deadline: Instant) -> Result<()> {
        let what = "acknowledging messages";
        let turn = tokio::time::timeout_at(deadline, self.turn.lock()).await;
        let _turn = turn.map_err(|_| link.late(what))?;
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
        link.tell(what, deadline, channel.basic_ack(tag, BasicAckOptions { multiple: true })).await?;
        // An acknowledgement has no answer; this has, behind it, and changes nothing.
        let answer = link.tell(what, deadline, channel.confirm_select(ConfirmSelectOptions::default()));
        tokio::select! {
            biased;
            answered = answer => answered,
            () = link.intake.until_shut() => Ok(()),
        }
    }

    /// How many messages count against what a consumer asked for that began with the message `from`, and left out so many.
    fn unacknowledged(&self, from: u64, skipped: u64) -> u64 {
        let state = lock(&self.state);
        let left_out = if state.committed > state.base { 0 } else { skipped };
        left_out + state.next.saturating_sub(from.max(state.committed))
    }
}

pub(super) struct QueueFeed {
    pub shared: Arc<Shared>,
    pub link: Arc<Link>,
    pub feed: Feed,
    pub queue: ShortString,
    pub delivered: Arc<Delivered>,
    /// How many bytes may be under way: this partition's share of what is fetched ahead.
    pub bytes: usize,
    /// Counts the partitions that brought something.
    pub brought: Arc<AtomicUsize>,
}

impl QueueFeed {
    pub async fn run(self) {
        let mut window = Window::new(self.bytes);
        let (mut arrived, mut again) = (0, Again::default());
        loop {
            let pumped = tokio::select! {
                biased;
                () = self.feed.ended() => break,
                () = self.shared.closed.cancelled() => break,
                pumped = self.pump(&mut window, &mut arrived, &mut again) => pumped,
            };
            match pumped {
                Ok(()) => break,
                Err(error) if error.is_retriable() => {
                    again.lost = true;
                    tokio::time::sleep(PAUSE).await;
                }
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

    async fn pump(&self, window: &mut Window, arrived: &mut usize, again: &mut Again) -> Result<()> {
        let (shared, link, queue) = (&self.shared, &self.link, &self.queue);
        let deadline = Instant::now() + shared.config.timeout;
        // What went out before comes first: its channel must be closed.
        let old = lock(&self.delivered.state).channel.take();
        if let Some(old) = old.filter(|old| old.status().connected()) {
            let _ = tokio::time::timeout_at(deadline, old.close(200, "to begin again".into())).await;
        }
        let channel = link.try_channel(deadline).await?;
        if again.lost {
            tokio::time::sleep(AFTER_LOSS).await;
        }
        self.await_alone(deadline).await?;
        let (mut line, uncommitted) = {
            let mut state = lock(&self.delivered.state);
            state.base = state.next;
            if state.committed > 0 {
                state.skip = 0;
            }
            (state.channel, state.owner) = (Some(channel.clone()), Some(self.feed_number()));
            (Line { skip: state.skip, tag: 0 }, state.next > state.committed)
        };
        let mut comes_again = again.lost && uncommitted;
        let what = format!("reading queue {queue}");
        let mut pace = Pace::new();
        for number in 0_u64.. {
            let asked = window.wanted();
            let consumer = self.consume(&channel, number, asked, &what).await?;
            let mut incoming = Incoming::new(consumer, link.intake.clone());
            let (from, mut skipped) = (self.delivered.next(), 0);
            loop {
                if self.delivered.unacknowledged(from, skipped) >= u64::from(asked) {
                    let _turn = self.delivered.turn.lock().await;
                    if self.delivered.unacknowledged(from, skipped) >= u64::from(asked) {
                        // As many came as were asked for; whoever reads need not commit to get more.
                        let deadline = Instant::now() + shared.config.timeout;
                        let cancel =
                            channel.basic_cancel(incoming.consumer().tag(), BasicCancelOptions::default());
                        link.call(&what, deadline, cancel).await?;
                        break;
                    }
                }
                let first = match incoming.next().await {
                    Some(Ok(delivery)) => delivery,
                    Some(Err(error)) => return Err(link.failed(&what, &error)),
                    None => return Err(bounds::gone(link, queue)),
                };
                if std::mem::take(&mut comes_again) && !first.redelivered && again.early < TOO_EARLY {
                    again.early += 1;
                    return Err(error::too_early(&link.config, queue.as_str()));
                }
                again.early = 0;
                pace.gather().await;
                let came = self.take(&mut incoming, first, &mut line, window);
                pace.taken();
                skipped += came.skipped as u64;
                if !self.put(came, arrived)? || incoming.until(self.feed.room()).await.is_none() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Waits until nobody else consumes the queue, but not for long.
    async fn await_alone(&self, deadline: Instant) -> Result<()> {
        let limit = Instant::now() + UNTIL_ALONE;
        while layout::consumers(&self.shared.link, self.queue.as_str(), deadline).await? > 0
            && Instant::now() < limit
        {
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    async fn consume(
        &self,
        channel: &Channel,
        number: u64,
        messages: u16,
        what: &str,
    ) -> Result<lapin::Consumer> {
        let (link, deadline) = (&self.link, Instant::now() + self.shared.config.timeout);
        link.call(what, deadline, channel.basic_qos(messages, BasicQosOptions::default())).await?;
        let tag = layout::short(&format!("feed-{number:010}"))?;
        let options = BasicConsumeOptions::default();
        link.call(
            what,
            deadline,
            channel.basic_consume(self.queue.clone(), tag, options, FieldTable::default()),
        )
        .await
    }

    /// What is there, from this delivery on.
    fn take(&self, incoming: &mut Incoming, first: Delivery, line: &mut Line, window: &mut Window) -> Came {
        let mut first = Some(first);
        let mut came = Came { messages: MessageBatch::new(), count: 0, skipped: 0, problem: None };
        let mut bytes = 0;
        while came.count < CHUNK && bytes < CHUNK_BYTES {
            let delivery = match first.take() {
                Some(first) => first,
                None => match incoming.next_now() {
                    Some(Some(Ok(delivery))) => delivery,
                    Some(Some(Err(error))) => {
                        came.problem = Some(self.link.failed("reading a queue", &error));
                        break;
                    }
                    // Its end, or nothing more yet; the next call tells.
                    Some(None) | None => break,
                },
            };
            // What is acknowledged is counted: a message that was not seen would be taken for another.
            if delivery.delivery_tag != line.tag + 1 {
                came.problem = Some(error::unseen(&self.shared.config, self.queue.as_str()));
                break;
            }
            line.tag += 1;
            came.count += 1;
            bytes += delivery.data.len();
            if line.skip > 0 {
                line.skip -= 1;
                came.skipped += 1;
                continue;
            }
            let place = &self.feed.place;
            let (queue, partition) = (&place.queue, place.partition);
            message::take(&mut came.messages, queue, partition, &delivery.properties, &delivery.data);
        }
        if came.count > 0 {
            window.saw(came.count, bytes.max(came.messages.data_len()));
        }
        came
    }

    /// Gives it to the consumer; `false`: nobody wants it any more.
    fn put(&self, came: Came, arrived: &mut usize) -> Result<bool> {
        let count = (came.count - came.skipped) as u64;
        let from = {
            let mut state = lock(&self.delivered.state);
            let from = state.next;
            state.next += count;
            from
        };
        let next = from + count;
        if count > 0 && !self.feed.deliver(came.messages, (from..next).collect(), next) {
            return Ok(false);
        }
        let before = std::mem::replace(arrived, *arrived + count as usize);
        if before < ENOUGH && *arrived >= ENOUGH {
            self.brought.fetch_add(1, Ordering::Relaxed);
        }
        came.problem.map_or(Ok(true), Err)
    }
}

/// How far a channel is.
struct Line {
    /// So many messages more are left out.
    skip: u64,
    /// Of the last message.
    tag: u64,
}

/// What is known when it is begun again.
#[derive(Default)]
struct Again {
    /// The connection was lost.
    lost: bool,
    /// How often what came then was not what was to come.
    early: u32,
}

/// What came in one go.
struct Came {
    messages: MessageBatch,
    /// With those that were left out.
    count: usize,
    skipped: usize,
    problem: Option<Error>,
}
