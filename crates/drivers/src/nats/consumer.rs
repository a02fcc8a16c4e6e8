//! Pull consumers: one connection, and a consumer at the server for each assigned partition.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use openmessaging::{
    ConsumedBatch, ConsumerOptions, Error, MessageBatch, PullConsumer, QueuePartition, Result, StartAt,
    StatusCode,
};
use tokio_util::sync::CancellationToken;

use super::access_point::Handle;
use super::api::JetStream;
use super::catalog::{Partition, Queue};
use super::headers::Parts;
use super::link::Link;
use super::pull::{Delivered, Reading, Target, from_sequence};
use crate::common::inbox::{Feed, Inbox, not_assigned};
use crate::common::settings::bad_parameter;
use crate::lock;

pub(super) struct NatsConsumer {
    handle: Arc<Handle>,
    link: Arc<Link>,
    inbox: Arc<Inbox>,
    group: String,
    /// Partitions that had nothing behind their place when they were assigned or sought: they are read from the first poll
    /// on, so that whoever does not poll keeps nothing of what comes meanwhile.
    waiting: Vec<Reading<ToInbox>>,
    /// Cancelled with the access point, or with this.
    ended: CancellationToken,
    closed: bool,
}

/// Puts what arrives into the consumer's inbox.
struct ToInbox {
    feed: Feed,
    /// For what headers are unescaped into.
    scratch: Mutex<Vec<u8>>,
}

#[async_trait]
impl Target for ToInbox {
    fn take(&self, delivered: &[Delivered<'_>]) {
        let Some(last) = delivered.last() else { return };
        let bytes = delivered.iter().map(|message| message.headers.len() + message.payload.len()).sum();
        let mut messages = MessageBatch::new();
        let mut buffer: Vec<u8> = messages.lend_buffer();
        buffer.reserve(bytes);
        messages.return_buffer(buffer);
        let scratch = &mut *lock(&self.scratch);
        let place = &self.feed.place;
        for message in delivered {
            let parts = Parts::of(message.headers);
            let mut writer = messages.start();
            parts.write(&mut writer, scratch);
            let body = (!parts.null_body).then_some(message.payload);
            writer.finish(&place.queue, Some(place.partition), parts.timestamp.unwrap_or(message.time), body);
        }
        let offsets = delivered.iter().map(|message| message.sequence).collect();
        self.feed.deliver(messages, offsets, last.sequence + 1);
    }

    fn fail(&self, error: Error) {
        self.feed.fail(error);
    }

    async fn room(&self, least: usize) -> Option<usize> {
        self.feed.room_of(least).await
    }

    async fn ended(&self) {
        self.feed.ended().await;
    }
}

impl NatsConsumer {
    pub async fn open(handle: Arc<Handle>, options: ConsumerOptions) -> Result<Self> {
        let link = Arc::new(handle.link().await?);
        let inbox = Inbox::new(options.prefetch_bytes);
        let ended = handle.closed.child_token();
        let (closed, own_inbox) = (ended.clone(), inbox.clone());
        crate::common::runtime::handle()?.spawn(async move {
            closed.cancelled().await;
            own_inbox.close();
        });
        Ok(Self { handle, link, inbox, group: options.group, waiting: Vec::new(), ended, closed: false })
    }

    fn check(&self) -> Result<()> {
        if self.closed {
            return Err(
                Error::new(StatusCode::Closed, "the consumer is closed").with_remedy("make another one")
            );
        }
        self.handle.check()
    }

    async fn resolve(&self, place: &QueuePartition, partition: &Partition, at: StartAt) -> Result<u64> {
        let (js, deadline) = (&self.handle.js, self.handle.deadline());
        let state = &partition.info.state;
        Ok(match at {
            StartAt::Begin => state.begin(),
            StartAt::End => state.end(),
            StartAt::Offset(offset) => offset.max(state.begin()),
            StartAt::Timestamp(time) => {
                let found = js.sequence_at(&partition.stream, time, deadline).await?;
                found.map_err(|error| {
                    error.into_error(js.server(), &format!("looking for a time in queue {}", place.queue))
                })?
            }
            StartAt::Committed => {
                let at = (&*place.queue, place.partition);
                let stored = self.handle.positions.get(js, at, partition, &self.group, deadline).await?;
                stored.map_or(state.begin(), |offset| offset.max(state.begin()))
            }
        })
    }

    /// Reads into a feed until the feed ends: what is there at once, so that each partition has something at the first poll.
    fn start(&mut self, feed: Feed, partition: &Partition) -> Result<()> {
        let (from, queue) = (feed.from, feed.place.queue.clone());
        let reading = Reading {
            js: JetStream { link: self.link.clone() },
            control: self.handle.js.link.clone(),
            stream: partition.stream.clone(),
            created: Some(partition.info.created.clone()),
            from,
            start: Box::new(move |next| from_sequence(next.unwrap_or(from))),
            what: format!("queue {queue}"),
            target: Arc::new(ToInbox { feed, scratch: Mutex::default() }),
        };
        if from < partition.info.state.end() {
            crate::common::runtime::handle()?.spawn(reading.run());
        } else {
            self.waiting.push(reading);
        }
        Ok(())
    }

    /// The queues of these partitions, each looked at once.
    async fn find<'a>(
        &self,
        places: impl Iterator<Item = &'a QueuePartition>,
    ) -> Result<HashMap<Arc<str>, Queue>> {
        let mut queues: HashMap<Arc<str>, Queue> = HashMap::new();
        for place in places {
            if !queues.contains_key(&place.queue) {
                let queue = Queue::find(&self.handle.js, &place.queue, self.handle.deadline()).await?;
                queues.insert(place.queue.clone(), queue);
            }
        }
        Ok(queues)
    }
}

fn partition<'a>(queues: &'a HashMap<Arc<str>, Queue>, place: &QueuePartition) -> Result<&'a Partition> {
    let queue = queues.get(&place.queue).ok_or_else(|| not_assigned(place))?;
    queue.partition(place.partition)
}

#[async_trait]
impl PullConsumer for NatsConsumer {
    async fn assign(&mut self, partitions: &[(QueuePartition, StartAt)]) -> Result<()> {
        self.check()?;
        for (index, (place, _)) in partitions.iter().enumerate() {
            if partitions[..index].iter().any(|(other, _)| other == place) {
                return Err(bad_parameter(format!("{place} is named twice in an assignment"))
                    .with_remedy("name it once"));
            }
        }
        let queues = self.find(partitions.iter().map(|(place, _)| place)).await?;
        let mut found = Vec::with_capacity(partitions.len());
        for (place, at) in partitions {
            let partition = partition(&queues, place)?;
            found.push((partition, (place.clone(), self.resolve(place, partition, *at).await?)));
        }
        let places: Vec<_> = found.iter().map(|(_, place)| place.clone()).collect();
        let feeds = self.inbox.assign(&places);
        self.waiting.clear();
        feeds.into_iter().zip(found).try_for_each(|(feed, (partition, _))| self.start(feed, partition))
    }

    async fn poll(&mut self, max_bytes: usize, wait: Duration) -> Result<Option<ConsumedBatch>> {
        self.check()?;
        if !self.waiting.is_empty() {
            let runtime = crate::common::runtime::handle()?;
            self.waiting.drain(..).for_each(|reading| drop(runtime.spawn(reading.run())));
        }
        self.inbox.poll(max_bytes, wait, || self.handle.check()).await
    }

    async fn seek(&mut self, place: &QueuePartition, to: StartAt) -> Result<()> {
        self.check()?;
        if !self.inbox.is_assigned(place) {
            return Err(not_assigned(place));
        }
        let queues = self.find(std::iter::once(place)).await?;
        let partition = partition(&queues, place)?;
        let position = self.resolve(place, partition, to).await?;
        let feed = self.inbox.seek(place, position)?;
        self.start(feed, partition)
    }

    fn pause(&mut self, partitions: &[QueuePartition]) {
        self.inbox.pause(partitions, true);
    }

    fn resume(&mut self, partitions: &[QueuePartition]) {
        self.inbox.pause(partitions, false);
    }

    fn position(&self, partition: &QueuePartition) -> Option<u64> {
        self.inbox.position(partition)
    }

    async fn commit(&mut self, positions: &[(QueuePartition, u64)]) -> Result<()> {
        self.check()?;
        let queues = self.find(positions.iter().map(|(place, _)| place)).await?;
        let (js, deadline) = (&self.handle.js, self.handle.deadline());
        for (place, offset) in positions {
            let (at, partition) = ((&*place.queue, place.partition), partition(&queues, place)?);
            self.handle.positions.put(js, at, partition, &self.group, *offset, deadline).await?;
        }
        Ok(())
    }

    async fn committed(&mut self, place: &QueuePartition) -> Result<Option<u64>> {
        self.check()?;
        let queues = self.find(std::iter::once(place)).await?;
        let (at, partition) = ((&*place.queue, place.partition), partition(&queues, place)?);
        self.handle.positions.get(&self.handle.js, at, partition, &self.group, self.handle.deadline()).await
    }

    async fn close(&mut self) -> Result<()> {
        self.closed = true;
        self.ended.cancel();
        self.inbox.close();
        Ok(())
    }
}

impl Drop for NatsConsumer {
    fn drop(&mut self) {
        self.ended.cancel();
        self.inbox.close();
    }
}
