//! What fetches one stream ahead for a consumer.
//!
//! A stream gives credit by messages, not bytes (see `window`). They are acknowledged, which is what lets the broker send
//! more, only when there is room.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lapin::message::Delivery;
use lapin::options::BasicAckOptions;
use lapin::types::ShortString;
use openmessaging::{Error, MessageBatch, Result};
use tokio::time::Instant;

use super::access_point::Shared;
use super::bounds::{self, Place};
use super::incoming::Incoming;
use super::link::Link;
use super::message;
use super::window::{Pace, Window};
use crate::common::inbox::Feed;

/// So much is put in at once.
const CHUNK: usize = 1000;
const CHUNK_BYTES: usize = 256 * 1024;

/// So many messages of a partition are some turns' worth.
pub(super) const ENOUGH: usize = 120;

/// Between attempts to go on after a failure.
const PAUSE: Duration = Duration::from_millis(200);

/// A consumer that gets nothing for so long is replaced; the next one may be quiet for twice as long. A broker may forget
/// a consumer that came while it started the stream's writer (seen with 3.10.8 after a SIGKILL).
const QUIET: Duration = Duration::from_secs(1);
const MOST_QUIET: Duration = Duration::from_secs(30);

/// What was asked for came if nothing more does for so long.
const LEAVE: Duration = Duration::from_millis(250);

pub(super) struct StreamFeed {
    pub shared: Arc<Shared>,
    pub link: Arc<Link>,
    pub feed: Feed,
    pub stream: ShortString,
    /// How many bytes may be under way: this partition's share of what is fetched ahead.
    pub bytes: usize,
    /// Counts the partitions that brought something.
    pub brought: Arc<AtomicUsize>,
}

enum End {
    /// Nobody wants it any more.
    Ended,
    /// To be asked anew: for another number of messages, or because nothing came for long.
    Again,
}

impl StreamFeed {
    pub async fn run(self) {
        let mut next = self.feed.from;
        let mut window = Window::new(self.bytes);
        let mut first = true;
        let mut quiet = QUIET;
        loop {
            let before = next;
            let pumped = tokio::select! {
                biased;
                () = self.feed.ended() => return,
                () = self.shared.closed.cancelled() => return,
                pumped = self.pump(&mut next, &mut window, &mut first, quiet) => pumped,
            };
            quiet = if next > before { QUIET } else { MOST_QUIET.min(quiet * 2) };
            match pumped {
                Ok(End::Ended) => return,
                Ok(End::Again) => {}
                Err(error) if error.is_retriable() => {
                    quiet = QUIET;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => {
                    self.feed.fail(error);
                    return;
                }
            }
        }
    }

    async fn pump(
        &self,
        next: &mut u64,
        window: &mut Window,
        first_time: &mut bool,
        quiet: Duration,
    ) -> Result<End> {
        let (link, stream) = (&self.link, &self.stream);
        let deadline = || Instant::now() + self.shared.config.timeout;
        let channel = link.try_channel(deadline()).await?;
        let asked = window.messages();
        let place = Place::Offset(*next);
        let consumer = bounds::consume(link, &channel, stream, place, asked, "feed", deadline()).await?;
        let mut incoming = Incoming::new(consumer, link.intake.clone());
        let failed = |error: Option<lapin::Error>| match error {
            Some(error) => link.failed(&format!("reading stream {stream}"), &error),
            None => bounds::gone(link, stream),
        };
        let (mut unacknowledged, mut arrived): (u16, usize) = (0, 0);
        // Another number of messages is to be asked for, once what is under way came.
        let mut leaving = false;
        let mut pace = Pace::new();
        loop {
            let patience = if leaving { LEAVE } else { quiet };
            let first = match tokio::time::timeout(patience, incoming.next()).await {
                Ok(Some(Ok(delivery))) => delivery,
                Ok(Some(Err(error))) => return Err(failed(Some(error))),
                Ok(None) => return Err(failed(None)),
                // It may lie behind what another partition has no room for.
                Err(_) if !link.intake.is_open() => continue,
                Err(_) => {
                    super::layout::close(channel);
                    return Ok(End::Again);
                }
            };
            pace.gather().await;
            let mut chunk = Chunk { messages: MessageBatch::new(), offsets: Vec::new() };
            let (mut count, mut bytes) = (1, first.data.len());
            let mut tag = first.delivery_tag;
            self.take(&mut chunk, &first, next)?;
            let mut problem: Option<Error> = None;
            while count < CHUNK && bytes < CHUNK_BYTES {
                match incoming.next_now() {
                    Some(Some(Ok(delivery))) => {
                        count += 1;
                        bytes += delivery.data.len();
                        tag = delivery.delivery_tag;
                        self.take(&mut chunk, &delivery, next)?;
                    }
                    Some(Some(Err(error))) => problem = Some(failed(Some(error))),
                    Some(None) => problem = Some(failed(None)),
                    None => break,
                }
                if problem.is_some() {
                    break;
                }
            }
            pace.taken();
            window.saw(count, chunk.messages.data_len().max(bytes));
            unacknowledged = unacknowledged.saturating_add(count as u16);
            if !self.feed.deliver(chunk.messages, chunk.offsets, *next) {
                return Ok(End::Ended);
            }
            if let Some(problem) = problem {
                return Err(problem);
            }
            if incoming.until(self.feed.room()).await.is_none() {
                return Ok(End::Ended);
            }
            leaving |= window.should_change(asked);
            if leaving && unacknowledged >= asked {
                super::layout::close(channel);
                return Ok(End::Again);
            }
            // Not with the first few messages, which only tell how many to ask for.
            arrived += count;
            if *first_time && arrived >= ENOUGH.min(asked as usize) {
                *first_time = false;
                self.brought.fetch_add(1, Ordering::Relaxed);
            }
            if !leaving && unacknowledged >= asked.div_ceil(4) {
                unacknowledged = 0;
                let ack = channel.basic_ack(tag, BasicAckOptions { multiple: true });
                link.call("reading a stream", deadline(), ack).await?;
            }
        }
    }

    /// Adds a message, unless it lies before what is wanted: the broker begins with a whole chunk.
    fn take(&self, chunk: &mut Chunk, delivery: &Delivery, next: &mut u64) -> Result<()> {
        let offset = bounds::offset(&self.stream, delivery)?;
        if offset >= *next {
            let place = &self.feed.place;
            message::take(
                &mut chunk.messages,
                &place.queue,
                place.partition,
                &delivery.properties,
                &delivery.data,
            );
            chunk.offsets.push(offset);
            *next = offset + 1;
        }
        Ok(())
    }
}

struct Chunk {
    messages: MessageBatch,
    offsets: Vec<u64>,
}
