//! Pull consumers: what a task fetched ahead, in turns.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use openmessaging::{ConsumedBatch, ConsumerOptions, PullConsumer, QueuePartition, Result, StartAt};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::super::common::inbox::{Inbox, not_assigned};
use super::super::common::runtime;
use super::super::common::settings::bad_parameter;
use super::catalog::Catalog;
use super::fetcher::{Fetcher, Source};
use super::{error, positions};

pub(super) struct RedisConsumer {
    catalog: Arc<Catalog>,
    inbox: Arc<Inbox>,
    group: String,
    /// What the task is told of with the next poll: who never polls fetches nothing.
    fresh: Vec<Source>,
    task: Option<UnboundedSender<Source>>,
    closed: bool,
}

impl RedisConsumer {
    pub fn new(catalog: Arc<Catalog>, options: ConsumerOptions) -> Self {
        let inbox = Inbox::new(options.prefetch_bytes);
        Self { catalog, inbox, group: options.group, fresh: Vec::new(), task: None, closed: false }
    }

    fn check(&self) -> Result<()> {
        if self.closed {
            return Err(error::closed(self.catalog.client.link.server()));
        }
        self.catalog.client.link.check()
    }

    async fn find(&self, place: &QueuePartition, at: StartAt) -> Result<(Arc<str>, u64)> {
        let queue = self.catalog.find(&place.queue).await?;
        let stream = queue.stream(place.partition)?.clone();
        let from = positions::resolve(&self.catalog, &queue, place.partition, &self.group, at).await?;
        Ok((stream, from))
    }

    /// Tells the task what to fetch from now on, having started it.
    fn start(&mut self) -> Result<()> {
        let task = match &self.task {
            Some(task) => task,
            None => {
                let (task, incoming) = unbounded_channel();
                let client = self.catalog.client.clone();
                let fetcher =
                    Fetcher { client, inbox: self.inbox.clone(), incoming, sources: Vec::new(), count: 1 };
                runtime::handle()?.spawn(fetcher.run());
                self.task.insert(task)
            }
        };
        for source in self.fresh.drain(..) {
            // It ends only with the access point, of which the poll is told.
            let _ = task.send(source);
        }
        Ok(())
    }
}

impl Drop for RedisConsumer {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

#[async_trait]
impl PullConsumer for RedisConsumer {
    async fn assign(&mut self, partitions: &[(QueuePartition, StartAt)]) -> Result<()> {
        self.check()?;
        let mut named = HashSet::new();
        let (mut places, mut streams) = (Vec::new(), Vec::new());
        for (place, at) in partitions {
            if !named.insert(place) {
                return Err(bad_parameter(format!("{place} is named twice in an assignment"))
                    .with_remedy("name each partition once"));
            }
            let (stream, from) = self.find(place, *at).await?;
            places.push((place.clone(), from));
            streams.push(stream);
        }
        let feeds = self.inbox.assign(&places);
        self.fresh = feeds.into_iter().zip(streams).map(|(feed, stream)| Source::new(feed, stream)).collect();
        Ok(())
    }

    async fn poll(&mut self, max_bytes: usize, wait: Duration) -> Result<Option<ConsumedBatch>> {
        self.check()?;
        self.start()?;
        let (link, server) = (&self.catalog.client.link, self.catalog.client.link.server());
        let stopped = || if link.closed.is_cancelled() { Err(error::closed(server)) } else { Ok(()) };
        self.inbox.poll(max_bytes, wait, stopped).await
    }

    async fn seek(&mut self, partition: &QueuePartition, to: StartAt) -> Result<()> {
        self.check()?;
        if !self.inbox.is_assigned(partition) {
            return Err(not_assigned(partition));
        }
        let (stream, from) = self.find(partition, to).await?;
        let feed = self.inbox.seek(partition, from)?;
        self.fresh.retain(|source| source.feed.place != *partition);
        self.fresh.push(Source::new(feed, stream));
        Ok(())
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
        positions::commit(&self.catalog, &self.group, positions).await
    }

    async fn committed(&mut self, partition: &QueuePartition) -> Result<Option<u64>> {
        self.check()?;
        let queue = self.catalog.find(&partition.queue).await?;
        positions::committed(&self.catalog, &queue, partition.partition, &self.group).await
    }

    async fn close(&mut self) -> Result<()> {
        self.inbox.close();
        self.fresh.clear();
        self.task = None;
        self.closed = true;
        Ok(())
    }
}
