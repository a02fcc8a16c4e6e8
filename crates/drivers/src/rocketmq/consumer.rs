//! Pull consumers: an inbox, and a task for each assigned partition that fills it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use openmessaging::{
    ConsumedBatch, ConsumerOptions, Error, PullConsumer, QueuePartition, Result, StartAt, StatusCode,
};

use super::client::Client;
use super::error;
use super::offsets::Offsets;
use super::positions::Positions;
use super::puller::Puller;
use super::routes::Routes;
use crate::common::inbox::{Feed, Inbox, not_assigned};
use crate::common::runtime;

pub(super) struct RocketMqConsumer {
    routes: Arc<Routes>,
    client: Arc<Client>,
    /// None for the stores' own consumers, which commit nothing.
    positions: Option<Arc<Positions>>,
    /// As the caller names it.
    group: String,
    inbox: Arc<Inbox>,
    closed: bool,
}

impl RocketMqConsumer {
    pub fn new(
        routes: Arc<Routes>,
        positions: Option<Arc<Positions>>,
        options: &ConsumerOptions,
    ) -> Result<Self> {
        routes.names.group(&options.group)?;
        let client = routes.client.clone();
        let inbox = Inbox::new(options.prefetch_bytes);
        let consumer = Self { routes, client, positions, group: options.group.clone(), inbox, closed: false };
        Ok(consumer)
    }

    fn check(&self) -> Result<()> {
        if self.closed { Err(error::closed(&self.client.servers)) } else { self.client.check() }
    }

    fn positions(&self) -> Result<&Positions> {
        let none = || Error::new(StatusCode::Unsupported, "this consumer has no positions");
        self.positions.as_deref().ok_or_else(none)
    }

    async fn start(&self, place: &QueuePartition, from: StartAt) -> Result<u64> {
        let deadline = self.client.deadline();
        let route = self.routes.look(&place.queue, deadline).await?;
        let partition = route.partition(place.partition)?;
        let committed = match from {
            StartAt::Committed => self.positions()?.committed(&self.group, &route, place.partition).await?,
            _ => None,
        };
        Offsets { routes: &self.routes, route: &route, partition, deadline }.start(from, committed).await
    }

    fn follow(&self, feed: Feed) -> Result<()> {
        let puller = Puller::new(self.routes.clone(), self.routes.names.group(&self.group)?, feed);
        runtime::handle()?.spawn(puller.run());
        Ok(())
    }
}

impl Drop for RocketMqConsumer {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

#[async_trait]
impl PullConsumer for RocketMqConsumer {
    async fn assign(&mut self, partitions: &[(QueuePartition, StartAt)]) -> Result<()> {
        self.check()?;
        let starts = partitions.iter().map(|(place, from)| async {
            let start = self.start(place, *from).await?;
            Ok::<_, Error>((place.clone(), start))
        });
        let places = futures::future::try_join_all(starts).await?;
        for feed in self.inbox.assign(&places) {
            self.follow(feed)?;
        }
        Ok(())
    }

    async fn poll(&mut self, max_bytes: usize, wait: Duration) -> Result<Option<ConsumedBatch>> {
        self.check()?;
        let ended = async {
            self.client.closed.cancelled().await;
            self.check().map(|()| None)
        };
        tokio::select! {
            biased;
            ended = ended => ended,
            polled = self.inbox.poll(max_bytes, wait, || self.check()) => polled,
        }
    }

    async fn seek(&mut self, partition: &QueuePartition, to: StartAt) -> Result<()> {
        self.check()?;
        if !self.inbox.is_assigned(partition) {
            return Err(not_assigned(partition));
        }
        let start = self.start(partition, to).await?;
        let feed = self.inbox.seek(partition, start)?;
        self.follow(feed)
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
        let deadline = self.client.deadline();
        let mut places = Vec::with_capacity(positions.len());
        for (place, offset) in positions {
            let route = self.routes.of(&place.queue, deadline).await?;
            route.partition(place.partition)?;
            places.push((route, place.partition, *offset));
        }
        self.positions()?.commit(&self.group, &places).await
    }

    async fn committed(&mut self, partition: &QueuePartition) -> Result<Option<u64>> {
        self.check()?;
        let route = self.routes.of(&partition.queue, self.client.deadline()).await?;
        route.partition(partition.partition)?;
        self.positions()?.committed(&self.group, &route, partition.partition).await
    }

    async fn close(&mut self) -> Result<()> {
        self.closed = true;
        self.inbox.close();
        Ok(())
    }
}
