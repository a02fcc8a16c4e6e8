//! Pull consumers. Each has a connection. Each assigned partition has a task that fetches it ahead (`stream_feed`,
//! `queue_feed`); it starts with the first poll, so that nothing is fetched that nobody asked for.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::try_join_all;
use lapin::types::ShortString;
use openmessaging::{ConsumedBatch, ConsumerOptions, PullConsumer, QueuePartition, Result, StartAt};
use tokio::time::Instant;

use super::access_point::Shared;
use super::config::QueueType;
use super::intake::Intake;
use super::link::Link;
use super::queue_feed::{Delivered, QueueFeed};
use super::stream_feed::StreamFeed;
use super::{bounds, error, layout};
use crate::common::inbox::{DEFAULT_PREFETCH, Feed, Inbox, not_assigned};
use crate::common::runtime;
use crate::common::settings::bad_parameter;

/// With the first poll after an assignment: so long partitions have to bring something, so that none has the turn of all.
const HEAD_START: Duration = Duration::from_millis(500);

/// An assigned partition.
#[derive(Clone)]
struct Assigned {
    queue: ShortString,
    delivered: Arc<Delivered>,
}

pub(super) struct RabbitConsumer {
    shared: Arc<Shared>,
    link: Arc<Link>,
    group: String,
    prefetch: usize,
    inbox: Arc<Inbox>,
    assigned: HashMap<QueuePartition, Assigned>,
    /// Not started yet.
    waiting: Vec<Feed>,
    closed: bool,
}

impl RabbitConsumer {
    /// With a connection of its own.
    pub fn new(shared: Arc<Shared>, options: ConsumerOptions) -> Result<Self> {
        let intake = Intake::new(options.prefetch_bytes.unwrap_or(DEFAULT_PREFETCH).max(1));
        let link = Link::new(shared.config.clone(), "consumer", shared.outage.clone(), intake)?;
        Ok(Self::over(Arc::new(link), shared, options))
    }

    pub fn over(link: Arc<Link>, shared: Arc<Shared>, options: ConsumerOptions) -> Self {
        Self {
            shared,
            link,
            prefetch: options.prefetch_bytes.unwrap_or(DEFAULT_PREFETCH),
            group: options.group,
            inbox: Inbox::new(options.prefetch_bytes),
            assigned: HashMap::new(),
            waiting: Vec::new(),
            closed: false,
        }
    }

    async fn poll_inbox(&self, max_bytes: usize, wait: Duration) -> Result<Option<ConsumedBatch>> {
        tokio::select! {
            polled = self.inbox.poll(max_bytes, wait, || self.check()) => polled,
            () = self.shared.closed.cancelled() => Err(error::closed(&self.shared.config)),
        }
    }

    fn check(&self) -> Result<()> {
        check(&self.shared, self.closed)
    }

    fn start(&mut self) -> Result<Arc<AtomicUsize>> {
        let handle = runtime::handle()?;
        let brought = Arc::<AtomicUsize>::default();
        let bytes = self.prefetch / self.assigned.len().max(1);
        for feed in self.waiting.drain(..) {
            let Some(Assigned { queue, delivered }) = self.assigned.get(&feed.place).cloned() else {
                continue;
            };
            let (shared, link, brought) = (self.shared.clone(), self.link.clone(), brought.clone());
            match shared.config.queue_type {
                QueueType::Stream => {
                    handle.spawn(StreamFeed { shared, link, feed, stream: queue, bytes, brought }.run());
                }
                QueueType::Quorum => {
                    handle.spawn(QueueFeed { shared, link, feed, queue, delivered, bytes, brought }.run());
                }
            }
        }
        Ok(brought)
    }

    async fn places(&self, places: Vec<QueuePartition>) -> Result<Vec<ShortString>> {
        let (shared, deadline) = (self.shared.clone(), self.shared.deadline());
        runtime::on_own(async move {
            try_join_all(places.iter().map(|place| shared.find_place(place, deadline))).await
        })
        .await
    }
}

fn check(shared: &Shared, closed: bool) -> Result<()> {
    if closed { Err(error::closed(&shared.config)) } else { shared.check() }
}

/// Where that is.
async fn resolve(
    shared: &Shared,
    group: &str,
    place: &QueuePartition,
    at: StartAt,
    deadline: Instant,
) -> Result<(u64, Assigned)> {
    let queue = shared.find_place(place, deadline).await?;
    let (offset, delivered) = match shared.config.queue_type {
        QueueType::Stream => {
            (in_stream(shared, group, place, &queue, at, deadline).await?, Delivered::default())
        }
        QueueType::Quorum => (0, in_queue(shared, &queue, at, deadline).await?),
    };
    Ok((offset, Assigned { queue, delivered: Arc::new(delivered) }))
}

async fn in_stream(
    shared: &Shared,
    group: &str,
    place: &QueuePartition,
    stream: &ShortString,
    at: StartAt,
    deadline: Instant,
) -> Result<u64> {
    let at = match at {
        StartAt::Committed => {
            shared.positions.get(shared, group, place).await?.map_or(StartAt::Begin, StartAt::Offset)
        }
        other => other,
    };
    match at {
        StartAt::Offset(offset) => Ok(offset),
        StartAt::Begin | StartAt::Committed => Ok(bounds::of(&shared.link, stream, deadline).await?.0),
        StartAt::End => Ok(bounds::of(&shared.link, stream, deadline).await?.1),
        StartAt::Timestamp(time) => match bounds::at_time(&shared.link, stream, time, deadline).await? {
            Some(offset) => Ok(offset),
            None => Ok(bounds::of(&shared.link, stream, deadline).await?.1),
        },
    }
}

async fn in_queue(shared: &Shared, queue: &ShortString, at: StartAt, deadline: Instant) -> Result<Delivered> {
    match at {
        StartAt::Committed => Ok(Delivered::default()),
        StartAt::End => {
            let ready = layout::messages(&shared.link, queue.as_str(), deadline).await?;
            let ready = u64::from(ready.unwrap_or_default());
            Ok(Delivered::skipping(ready))
        }
        StartAt::Begin | StartAt::Offset(_) | StartAt::Timestamp(_) => Err(error::without_offsets()),
    }
}

#[async_trait]
impl PullConsumer for RabbitConsumer {
    async fn assign(&mut self, partitions: &[(QueuePartition, StartAt)]) -> Result<()> {
        self.check()?;
        for (index, (place, _)) in partitions.iter().enumerate() {
            if partitions[..index].iter().any(|(other, _)| other == place) {
                return Err(bad_parameter(format!("{place} is named twice in an assignment"))
                    .with_remedy("name each partition once"));
            }
        }
        let (shared, group, wanted) = (self.shared.clone(), self.group.clone(), partitions.to_vec());
        let deadline = self.shared.deadline();
        let resolved = runtime::on_own(async move {
            let each = wanted.iter().map(|(place, at)| resolve(&shared, &group, place, *at, deadline));
            try_join_all(each).await
        })
        .await?;
        let places: Vec<_> = partitions
            .iter()
            .zip(&resolved)
            .map(|((place, _), (offset, _))| (place.clone(), *offset))
            .collect();
        self.assigned = partitions
            .iter()
            .zip(resolved)
            .map(|((place, _), (_, assigned))| (place.clone(), assigned))
            .collect();
        self.waiting = self.inbox.assign(&places);
        Ok(())
    }

    async fn poll(&mut self, max_bytes: usize, wait: Duration) -> Result<Option<ConsumedBatch>> {
        self.check()?;
        if self.waiting.is_empty()
            && let Some(ready) = self.poll_inbox(max_bytes, Duration::ZERO).await?
        {
            return Ok(Some(ready));
        }
        // What comes next may lie behind what a partition has no room for.
        let link = self.link.clone();
        let _open = self.inbox.is_wanted().then(|| link.intake.open());
        let mut wait = wait;
        if !self.waiting.is_empty() {
            let many = self.waiting.len();
            let brought = self.start()?;
            let begin = Instant::now();
            let limit = if many > 1 { HEAD_START.min(wait) } else { Duration::ZERO };
            while brought.load(Ordering::Relaxed) < many && begin.elapsed() < limit {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            wait = wait.saturating_sub(begin.elapsed());
        }
        self.poll_inbox(max_bytes, wait).await
    }

    async fn seek(&mut self, partition: &QueuePartition, to: StartAt) -> Result<()> {
        self.check()?;
        let Some(assigned) = self.assigned.get(partition).cloned() else {
            return Err(not_assigned(partition));
        };
        let offset = match (self.shared.config.queue_type, to) {
            (QueueType::Stream, StartAt::Offset(offset)) => offset,
            // What was not committed comes again, from the first such message on.
            (QueueType::Quorum, StartAt::Offset(offset)) if assigned.delivered.is_open(offset) => {
                assigned.delivered.next()
            }
            (QueueType::Quorum, StartAt::Committed) => assigned.delivered.next(),
            (_, to) => {
                let (shared, group, place) = (self.shared.clone(), self.group.clone(), partition.clone());
                let deadline = self.shared.deadline();
                let (offset, found) =
                    runtime::on_own(async move { resolve(&shared, &group, &place, to, deadline).await })
                        .await?;
                self.assigned.insert(partition.clone(), found);
                offset
            }
        };
        let feed = self.inbox.seek(partition, offset)?;
        self.waiting.retain(|waiting| waiting.place != *partition);
        self.waiting.push(feed);
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
        self.places(positions.iter().map(|(place, _)| place.clone()).collect()).await?;
        let (shared, group, positions) = (self.shared.clone(), self.group.clone(), positions.to_vec());
        let deadline = self.shared.deadline();
        match self.shared.config.queue_type {
            QueueType::Stream => {
                runtime::on_own(async move { shared.positions.put(&shared, &group, &positions).await }).await
            }
            QueueType::Quorum => {
                let link = self.link.clone();
                let delivered: Vec<_> = positions
                    .iter()
                    .filter_map(|(place, offset)| {
                        Some((self.assigned.get(place)?.delivered.clone(), *offset))
                    })
                    .collect();
                runtime::on_own(async move {
                    for (delivered, offset) in delivered {
                        delivered.commit(&link, offset, deadline).await?;
                    }
                    Ok(())
                })
                .await
            }
        }
    }

    async fn committed(&mut self, partition: &QueuePartition) -> Result<Option<u64>> {
        self.check()?;
        self.places(vec![partition.clone()]).await?;
        if self.shared.config.queue_type == QueueType::Quorum {
            // What is committed is gone: there is no number that would stay.
            return Ok(None);
        }
        let (shared, group, place) = (self.shared.clone(), self.group.clone(), partition.clone());
        runtime::on_own(async move { shared.positions.get(&shared, &group, &place).await }).await
    }

    async fn close(&mut self) -> Result<()> {
        self.closed = true;
        self.assigned.clear();
        self.waiting.clear();
        self.inbox.close();
        Ok(())
    }
}

impl Drop for RabbitConsumer {
    fn drop(&mut self) {
        self.inbox.close();
    }
}
