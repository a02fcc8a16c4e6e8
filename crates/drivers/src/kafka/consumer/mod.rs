//! Pull consumers: partitions are assigned by hand, without membership in a group. A task of its own fetches ahead into the
//! inbox that the caller polls.

mod fetcher;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use openmessaging::{
    ConsumedBatch, ConsumerOptions, Error, PullConsumer, QueuePartition, Result, StartAt, StatusCode,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use self::fetcher::{Command, Fetcher};
use super::cluster::Cluster;
use super::positions;
use crate::common::inbox::{Feed, Inbox, not_assigned};
use crate::common::runtime;
use crate::common::settings::bad_parameter;

pub(super) struct KafkaConsumer {
    cluster: Arc<Cluster>,
    group: String,
    inbox: Arc<Inbox>,
    commands: Option<mpsc::UnboundedSender<Command>>,
    /// What was assigned and not polled since: fetching begins with the first poll.
    unread: Vec<Feed>,
    /// Ends when something of each partition was fetched.
    first_round: Option<oneshot::Receiver<()>>,
}

/// How long the first poll waits for something of each partition.
const FIRST_ROUND: Duration = Duration::from_secs(1);

impl KafkaConsumer {
    pub fn new(cluster: Arc<Cluster>, options: ConsumerOptions) -> Result<Self> {
        let inbox = Inbox::new(options.prefetch_bytes);
        let (commands, received) = mpsc::unbounded_channel();
        runtime::handle()?.spawn(Fetcher::new(cluster.clone(), inbox.clone(), received).run());
        Ok(Self {
            cluster,
            group: options.group,
            inbox,
            commands: Some(commands),
            unread: Vec::new(),
            first_round: None,
        })
    }

    fn check(&self) -> Result<&mpsc::UnboundedSender<Command>> {
        self.cluster.check()?;
        self.commands.as_ref().ok_or_else(|| {
            Error::new(StatusCode::Closed, "the consumer is closed").with_remedy("make another one")
        })
    }

    /// The group, where there is one.
    fn group(&self) -> Result<String> {
        if self.group.is_empty() {
            return Err(bad_parameter("the consumer has no group, so no positions are kept for it")
                .with_remedy("name a group when the consumer is made"));
        }
        Ok(self.group.clone())
    }

    /// The offsets to start at.
    async fn resolve(&self, wanted: Vec<(QueuePartition, StartAt)>) -> Result<Vec<u64>> {
        let cluster = self.cluster.clone();
        let group = match wanted.iter().any(|(_, at)| *at == StartAt::Committed) {
            true => self.group()?,
            false => String::new(),
        };
        runtime::on_own(async move { positions::resolve(&cluster, &group, &wanted).await }).await
    }
}

#[async_trait]
impl PullConsumer for KafkaConsumer {
    async fn assign(&mut self, partitions: &[(QueuePartition, StartAt)]) -> Result<()> {
        self.check()?;
        for (index, (partition, _)) in partitions.iter().enumerate() {
            if partitions[..index].iter().any(|(other, _)| other == partition) {
                return Err(bad_parameter(format!("{partition} is named twice in an assignment"))
                    .with_remedy("name each partition once"));
            }
        }
        let offsets = self.resolve(partitions.to_vec()).await?;
        let places: Vec<_> =
            partitions.iter().zip(offsets).map(|((place, _), offset)| (place.clone(), offset)).collect();
        self.unread = self.inbox.assign(&places);
        // A task that has ended is that of a closed access point.
        let _ = self.check()?.send(Command::Assign(Vec::new(), None));
        Ok(())
    }

    async fn poll(&mut self, max_bytes: usize, wait: Duration) -> Result<Option<ConsumedBatch>> {
        if !self.unread.is_empty() {
            let feeds = std::mem::take(&mut self.unread);
            let (ready, first_round) = oneshot::channel();
            self.first_round = Some(first_round);
            let _ = self.check()?.send(Command::Assign(feeds, Some(ready)));
        }
        let begin = Instant::now();
        if let Some(first_round) = &mut self.first_round {
            // Whichever it was: there is no second wait.
            let _ = tokio::time::timeout(FIRST_ROUND.min(wait), first_round).await;
            self.first_round = None;
        }
        let wait = wait.saturating_sub(begin.elapsed());
        self.inbox.poll(max_bytes, wait, || self.check().map(|_| ())).await
    }

    async fn seek(&mut self, partition: &QueuePartition, to: StartAt) -> Result<()> {
        self.check()?;
        if !self.inbox.is_assigned(partition) {
            return Err(not_assigned(partition));
        }
        let offset =
            self.resolve(vec![(partition.clone(), to)]).await?.into_iter().next().unwrap_or_default();
        let feed = self.inbox.seek(partition, offset)?;
        match self.unread.iter_mut().find(|unread| unread.place == *partition) {
            Some(unread) => *unread = feed,
            None => {
                let _ = self.check()?.send(Command::Seek(feed));
            }
        }
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
        let (cluster, group, positions) = (self.cluster.clone(), self.group()?, positions.to_vec());
        runtime::on_own(async move { positions::commit(&cluster, &group, &positions).await }).await
    }

    async fn committed(&mut self, partition: &QueuePartition) -> Result<Option<u64>> {
        self.check()?;
        let (cluster, group, partition) = (self.cluster.clone(), self.group()?, partition.clone());
        runtime::on_own(async move { positions::committed(&cluster, &group, &partition).await }).await
    }

    async fn close(&mut self) -> Result<()> {
        self.commands = None;
        self.inbox.close();
        Ok(())
    }
}
