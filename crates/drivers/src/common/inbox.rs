//! What a consumer fetched ahead: bounded in bytes, handed out in turns, thrown away by a seek.
//!
//! A driver has a task for each assigned partition that fetches into a [`Feed`]; the consumer polls the [`Inbox`]. Each
//! partition may hold its share of the consumer's bytes, so that one that is paused or has a backlog takes nothing from
//! the others (D17, D18, D20). A feed ends when its partition is assigned anew or sought: what its task still brings is
//! dropped (D15).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openmessaging::{ConsumedBatch, Error, MessageBatch, QueuePartition, Result};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::lock;
use super::settings::bad_parameter;

/// What a consumer fetches ahead where it was not told.
pub(crate) const DEFAULT_PREFETCH: usize = 4 * 1024 * 1024;

pub(crate) struct Inbox {
    prefetch: usize,
    state: Mutex<State>,
    arrived: Notify,
    /// Something was taken out, or a feed has ended.
    taken: Notify,
}

#[derive(Default)]
struct State {
    slots: Vec<Slot>,
    turn: usize,
    /// The generation of the next feed.
    next: u64,
}

struct Slot {
    place: QueuePartition,
    generation: u64,
    /// Of the next message to return.
    position: u64,
    ready: VecDeque<Chunk>,
    bytes: usize,
    paused: bool,
    failure: Option<Error>,
}

/// What one fetch brought, without the first `taken` messages.
struct Chunk {
    messages: MessageBatch,
    offsets: Vec<u64>,
    taken: usize,
    bytes: usize,
    /// The position behind all of it.
    next: u64,
}

/// Where the task of one partition puts what it fetched.
pub(crate) struct Feed {
    inbox: Arc<Inbox>,
    pub place: QueuePartition,
    /// Where fetching starts.
    pub from: u64,
    generation: u64,
}

impl Inbox {
    pub fn new(prefetch: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            prefetch: prefetch.unwrap_or(DEFAULT_PREFETCH),
            state: Mutex::default(),
            arrived: Notify::new(),
            taken: Notify::new(),
        })
    }

    /// Replaces the assignment; every feed of the old one has ended. One feed for each partition, in the same order.
    pub fn assign(self: &Arc<Self>, places: &[(QueuePartition, u64)]) -> Vec<Feed> {
        let mut state = lock(&self.state);
        state.slots.clear();
        state.turn = 0;
        let feeds = places
            .iter()
            .map(|(place, position)| {
                let generation = state.next;
                state.next += 1;
                state.slots.push(Slot::new(place.clone(), generation, *position));
                Feed { inbox: self.clone(), place: place.clone(), from: *position, generation }
            })
            .collect();
        drop(state);
        self.taken.notify_waiters();
        feeds
    }

    /// Whether a partition is assigned.
    pub fn is_assigned(&self, place: &QueuePartition) -> bool {
        lock(&self.state).find(place).is_some()
    }

    /// Goes on elsewhere: the partition's feed has ended, and this is its new one.
    ///
    /// # Errors
    /// `BadParameter`: it is not assigned.
    pub fn seek(self: &Arc<Self>, place: &QueuePartition, position: u64) -> Result<Feed> {
        let mut state = lock(&self.state);
        let generation = state.next;
        let slot = state.find(place);
        let slot = slot.ok_or_else(|| not_assigned(place))?;
        let paused = slot.paused;
        *slot = Slot { paused, ..Slot::new(place.clone(), generation, position) };
        state.next += 1;
        drop(state);
        self.taken.notify_waiters();
        Ok(Feed { inbox: self.clone(), place: place.clone(), from: position, generation })
    }

    pub fn pause(&self, places: &[QueuePartition], paused: bool) {
        let mut state = lock(&self.state);
        for slot in state.slots.iter_mut().filter(|slot| places.contains(&slot.place)) {
            slot.paused = paused;
        }
        drop(state);
        self.arrived.notify_waiters();
    }

    /// Whether there is a partition that is not paused.
    pub fn is_wanted(&self) -> bool {
        lock(&self.state).slots.iter().any(|slot| !slot.paused)
    }

    pub fn position(&self, place: &QueuePartition) -> Option<u64> {
        lock(&self.state).find(place).map(|slot| slot.position)
    }

    /// The next messages of the partition whose turn it is. Cancel-safe.
    ///
    /// # Errors
    /// What a feed [failed](Feed::fail) with, once; `stopped` is asked first, and again whenever something happens.
    pub async fn poll(
        &self,
        max_bytes: usize,
        wait: Duration,
        stopped: impl Fn() -> Result<()>,
    ) -> Result<Option<ConsumedBatch>> {
        let deadline = Instant::now() + wait;
        loop {
            let arrived = self.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            stopped()?;
            if let Some(result) = lock(&self.state).take(max_bytes) {
                self.taken.notify_waiters();
                return result.map(Some);
            }
            if tokio::time::timeout_at(deadline, arrived).await.is_err() {
                return Ok(None);
            }
        }
    }

    /// Ends when something was taken out, or a feed has ended, after this was called.
    pub fn taken(&self) -> impl Future<Output = ()> + '_ {
        self.taken.notified()
    }

    /// Makes whoever polls ask again whether it was stopped, and ends all feeds.
    pub fn close(&self) {
        lock(&self.state).slots.clear();
        self.taken.notify_waiters();
        self.arrived.notify_waiters();
    }
}

impl State {
    fn find(&mut self, place: &QueuePartition) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.place == *place)
    }

    fn of(&mut self, feed: &Feed) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.generation == feed.generation)
    }

    fn take(&mut self, max_bytes: usize) -> Option<Result<ConsumedBatch>> {
        let count = self.slots.len();
        let index = (0..count).map(|step| (self.turn + step) % count).find(|index| {
            let slot = &self.slots[*index];
            !slot.paused && (slot.failure.is_some() || !slot.ready.is_empty())
        })?;
        self.turn = (index + 1) % count;
        let slot = &mut self.slots[index];
        Some(match slot.take(max_bytes) {
            Some(batch) => Ok(batch),
            None => Err(slot.failure.take()?),
        })
    }
}

impl Slot {
    fn new(place: QueuePartition, generation: u64, position: u64) -> Self {
        Self { place, generation, position, ready: VecDeque::new(), bytes: 0, paused: false, failure: None }
    }

    fn take(&mut self, max_bytes: usize) -> Option<ConsumedBatch> {
        let chunk = self.ready.front_mut()?;
        let partition = self.place.clone();
        if chunk.taken == 0 && chunk.bytes <= max_bytes {
            let Chunk { messages, offsets, next, bytes, .. } = self.ready.pop_front()?;
            (self.position, self.bytes) = (next, self.bytes - bytes);
            return Some(ConsumedBatch { partition, messages, offsets });
        }
        let (mut messages, mut bytes) = (MessageBatch::new(), 0);
        let first = chunk.taken;
        while let Some(message) = chunk.messages.get(chunk.taken) {
            let size = message.size();
            if bytes + size > max_bytes && chunk.taken > first {
                break;
            }
            messages.push(&message);
            bytes += size;
            chunk.taken += 1;
        }
        let offsets = chunk.offsets[first..chunk.taken].to_vec();
        self.position = offsets.last().map_or(self.position, |last| last + 1);
        if chunk.taken == chunk.offsets.len() {
            self.position = chunk.next;
            self.bytes -= chunk.bytes;
            self.ready.pop_front();
        }
        Some(ConsumedBatch { partition, messages, offsets })
    }
}

impl Feed {
    /// Waits until there is room for half of the partition's share or more, and says how many bytes may be fetched; `None`
    /// when this feed has ended. For whoever fetches better much at once.
    pub async fn ample_room(&self) -> Option<usize> {
        loop {
            let taken = self.inbox.taken.notified();
            tokio::pin!(taken);
            taken.as_mut().enable();
            {
                let mut state = lock(&self.inbox.state);
                let share = (self.inbox.prefetch / state.slots.len().max(1)).max(1);
                let slot = state.of(self)?;
                if slot.bytes <= share / 2 {
                    return Some(share - slot.bytes);
                }
            }
            taken.await;
        }
    }

    /// Waits until there is room, and says how many bytes may be fetched; `None` when this feed has ended.
    pub async fn room(&self) -> Option<usize> {
        self.room_of(1).await
    }

    /// As [`room`](Self::room), waiting until there is room for so many bytes, or for the whole share of this partition.
    pub async fn room_of(&self, least: usize) -> Option<usize> {
        loop {
            let taken = self.inbox.taken.notified();
            tokio::pin!(taken);
            taken.as_mut().enable();
            {
                let mut state = lock(&self.inbox.state);
                let share = (self.inbox.prefetch / state.slots.len().max(1)).max(1);
                let slot = state.of(self)?;
                let room = share.saturating_sub(slot.bytes);
                if room >= least.clamp(1, share) {
                    return Some(room);
                }
            }
            taken.await;
        }
    }

    /// How many bytes may be fetched now (0: no room), and the partition's whole share; `None` when this feed has ended.
    pub fn room_now(&self) -> Option<(usize, usize)> {
        let mut state = lock(&self.inbox.state);
        let share = (self.inbox.prefetch / state.slots.len().max(1)).max(1);
        let slot = state.of(self)?;
        Some((share.saturating_sub(slot.bytes), share))
    }

    /// Waits until this feed has ended.
    pub async fn ended(&self) {
        loop {
            let taken = self.inbox.taken.notified();
            tokio::pin!(taken);
            taken.as_mut().enable();
            if lock(&self.inbox.state).of(self).is_none() {
                return;
            }
            taken.await;
        }
    }

    /// Puts in what was fetched; `next` is the offset behind it, also where there is no message (transaction markers,
    /// compaction). `false`: this feed has ended, and it was dropped.
    ///
    /// `messages` and `offsets` must be of the same length, offsets growing.
    pub fn deliver(&self, messages: MessageBatch, offsets: Vec<u64>, next: u64) -> bool {
        let mut state = lock(&self.inbox.state);
        let Some(slot) = state.of(self) else { return false };
        if offsets.is_empty() {
            match slot.ready.back_mut() {
                Some(chunk) => chunk.next = next,
                None => slot.position = next,
            }
            return true;
        }
        let bytes = messages.data_len().max(1);
        slot.bytes += bytes;
        slot.ready.push_back(Chunk { messages, offsets, taken: 0, bytes, next });
        drop(state);
        self.inbox.arrived.notify_waiters();
        true
    }

    /// What it failed with is over: a poll that was not told yet is not told any more.
    pub fn works(&self) {
        let mut state = lock(&self.inbox.state);
        if let Some(slot) = state.of(self) {
            slot.failure = None;
        }
    }

    /// The next poll whose turn this partition is fails with this, behind the messages that are there. `false`: this feed
    /// has ended.
    pub fn fail(&self, error: Error) -> bool {
        let mut state = lock(&self.inbox.state);
        let Some(slot) = state.of(self) else { return false };
        slot.failure = Some(error);
        drop(state);
        self.inbox.arrived.notify_waiters();
        true
    }
}

pub(crate) fn not_assigned(place: &QueuePartition) -> Error {
    bad_parameter(format!("{place} is not assigned to this consumer")).with_remedy("assign it first")
}

#[cfg(test)]
mod tests {
    use openmessaging::StatusCode;

    use super::*;

    fn messages(place: &QueuePartition, offsets: std::ops::Range<u64>) -> (MessageBatch, Vec<u64>) {
        let mut batch = MessageBatch::new();
        for offset in offsets.clone() {
            batch.start().finish(&place.queue, Some(place.partition), 0, Some(&offset.to_be_bytes()));
        }
        (batch, offsets.collect())
    }

    fn put(feed: &Feed, offsets: std::ops::Range<u64>) -> bool {
        let next = offsets.end;
        let (batch, offsets) = messages(&feed.place, offsets);
        feed.deliver(batch, offsets, next)
    }

    async fn poll(inbox: &Inbox, max_bytes: usize) -> Option<(u32, Vec<u64>)> {
        let batch = inbox.poll(max_bytes, Duration::ZERO, || Ok(())).await.expect("polled")?;
        assert_eq!(batch.messages.len(), batch.offsets.len());
        Some((batch.partition.partition, batch.offsets))
    }

    #[tokio::test]
    async fn partitions_take_turns_within_their_bytes() {
        let inbox = Inbox::new(Some(160));
        let places = [0, 1].map(|partition| QueuePartition::new("q", partition));
        let feeds = inbox.assign(&places.clone().map(|place| (place, 0)));
        assert_eq!(feeds[0].room().await, Some(80));
        assert!(put(&feeds[0], 0..10) && put(&feeds[1], 0..2));
        assert_eq!(feeds[1].room().await, Some(64));
        assert_eq!(poll(&inbox, 24).await, Some((0, vec![0, 1, 2])));
        assert_eq!(poll(&inbox, 24).await, Some((1, vec![0, 1])));
        assert_eq!(poll(&inbox, 1).await, Some((0, vec![3])), "one message at least");
        assert_eq!(inbox.position(&places[0]), Some(4));
        inbox.pause(&places[..1], true);
        assert_eq!(poll(&inbox, 1000).await, None);
        inbox.pause(&places[..1], false);
        assert_eq!(poll(&inbox, 1000).await, Some((0, vec![4, 5, 6, 7, 8, 9])));
        assert_eq!(feeds[0].room().await, Some(80));
    }

    #[tokio::test]
    async fn a_seek_ends_the_feed() {
        let inbox = Inbox::new(None);
        let place = QueuePartition::new("q", 0);
        let old = inbox.assign(&[(place.clone(), 5)]).remove(0);
        assert!(put(&old, 5..9));
        let new = inbox.seek(&place, 2).expect("assigned");
        assert!(!put(&old, 9..10) && old.room().await.is_none());
        old.ended().await;
        assert_eq!((inbox.position(&place), new.from), (Some(2), 2));
        assert!(new.deliver(MessageBatch::new(), Vec::new(), 4), "a gap moves the position");
        assert_eq!(inbox.position(&place), Some(4));
        assert!(put(&new, 4..6) && new.fail(Error::new(StatusCode::NotFound, "gone")));
        assert_eq!(poll(&inbox, 1000).await, Some((0, vec![4, 5])));
        let error = inbox.poll(1, Duration::ZERO, || Ok(())).await.expect_err("it failed");
        assert_eq!(error.status, StatusCode::NotFound);
        assert!(inbox.seek(&QueuePartition::new("q", 1), 0).is_err());
    }
}
