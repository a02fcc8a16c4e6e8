//! Which partition each message of a batch goes to.

use std::collections::HashMap;
use std::sync::Arc;

use openmessaging::partitioner::partition_for;
use openmessaging::{Error, Message, StatusCode};
use tokio::time::Instant;

use super::jobs::Job;
use super::lane::Lane;
use crate::common::names;
use crate::kafka::cluster::{BACKOFF, Cluster, MAX_BACKOFF, TopicInfo};
use crate::kafka::error;
use crate::kafka::records::record_bound;

/// So often a topic that was there must be said not to be.
const CONFIRMATIONS: u32 = 3;

/// Messages without a key stay with a partition for so many bytes.
const STICKY_BYTES: usize = 256 * 1024;

/// What a producer knows of a queue.
pub(super) struct Topic {
    pub queue: Arc<str>,
    /// Its name at the broker.
    pub name: Arc<str>,
    pub info: Option<Arc<TopicInfo>>,
    /// Why there is no such topic, and when that was found.
    failed: Option<(Instant, Error)>,
    /// A question is under way.
    pub asking: bool,
    /// It must be asked for, since what is known is not so any more.
    pub stale: bool,
    pub not_before: Option<Instant>,
    /// So often it was said not to be there, although it was.
    missing: u32,
    backoff: std::time::Duration,
    lanes: Vec<Option<usize>>,
    sticky: (u32, usize),
}

/// All queues that a producer has sent to, and the lanes of their partitions.
#[derive(Default)]
pub(super) struct Plan {
    by_queue: HashMap<Arc<str>, usize>,
    pub topics: Vec<Topic>,
    pub lanes: Vec<Lane>,
    /// Reused: the topic of each queue of a batch; lane and bytes of each message.
    of_queue: Vec<usize>,
    choices: Vec<(usize, usize)>,
}

/// What came of planning a batch.
pub(super) enum Planned {
    /// All of it has its place.
    All,
    /// All before this message; this one failed.
    Until(u32, Error),
    /// A topic has to be asked for first.
    Later,
}

impl Plan {
    /// Finds the partition of each message, and puts it there.
    pub fn plan(&mut self, cluster: &Cluster, number: u64, job: &Job) -> Planned {
        self.of_queue.clear();
        let mut missing = false;
        for queue in job.batch.queues() {
            let topic = self.topic(cluster, queue);
            self.of_queue.push(topic);
            missing |= !self.topics[topic].is_known(cluster, job.arrived);
        }
        if missing {
            return Planned::Later;
        }
        let max = cluster.config.max_message_bytes;
        self.choices.clear();
        let mut failed = None;
        for (index, message) in job.batch.iter().enumerate() {
            let home = self.of_queue[job.batch.queue_of(index).unwrap_or_default()];
            match self.topics[home].choose(&message, max) {
                Ok(partition) => {
                    let bytes = record_bound(&message);
                    let lane = self.lane(home, partition);
                    self.choices.push((lane, bytes));
                }
                Err(Refused::Partition(partition, count)) => {
                    let topic = &mut self.topics[home];
                    if topic.info.as_ref().is_some_and(|info| info.fetched < job.arrived) {
                        // There may be more of them by now.
                        topic.stale = true;
                        return Planned::Later;
                    }
                    failed = Some((index, error::no_partition(&topic.queue, partition, count)));
                    break;
                }
                Err(Refused::For(error)) => {
                    failed = Some((index, error));
                    break;
                }
            }
        }
        for (index, (lane, bytes)) in self.choices.iter().enumerate() {
            self.lanes[*lane].push(number, index as u32, *bytes);
        }
        match failed {
            None => Planned::All,
            Some((index, error)) => Planned::Until(index as u32, error),
        }
    }

    /// The lanes that the last batch went to.
    pub fn touched(&self) -> impl Iterator<Item = usize> {
        self.choices.iter().map(|(lane, _)| *lane)
    }

    fn topic(&mut self, cluster: &Cluster, queue: &Arc<str>) -> usize {
        if let Some(index) = self.by_queue.get(queue) {
            return *index;
        }
        self.by_queue.insert(queue.clone(), self.topics.len());
        self.topics.push(Topic {
            queue: queue.clone(),
            name: cluster.topic_of(queue).into(),
            info: None,
            failed: None,
            asking: false,
            stale: false,
            not_before: None,
            missing: 0,
            backoff: BACKOFF,
            lanes: Vec::new(),
            sticky: (0, STICKY_BYTES),
        });
        self.topics.len() - 1
    }

    fn lane(&mut self, home: usize, partition: u32) -> usize {
        let topic = &mut self.topics[home];
        if topic.lanes.len() <= partition as usize {
            topic.lanes.resize(partition as usize + 1, None);
        }
        *topic.lanes[partition as usize].get_or_insert_with(|| {
            self.lanes.push(Lane::new(home, topic.name.clone(), partition));
            self.lanes.len() - 1
        })
    }

    /// The broker that leads a lane's partition.
    pub fn leader(&self, lane: &Lane) -> Option<i32> {
        self.topics[lane.home].info.as_ref()?.leader(lane.partition)
    }
}

enum Refused {
    For(Error),
    Partition(u32, usize),
}

impl Topic {
    /// Whether the topic is known, or known not to be there; else it is to be asked for.
    fn is_known(&mut self, cluster: &Cluster, arrived: Instant) -> bool {
        if let Some(info) = &self.info {
            // What is old is asked for anew, and used meanwhile.
            self.stale |= info.fetched.elapsed() > cluster.config.client.metadata_age;
            return true;
        }
        if let Err(error) = names::check_queue(&self.queue) {
            self.failed = Some((arrived, error));
            return true;
        }
        // That it was not there before a batch came says nothing.
        if self.failed.as_ref().is_some_and(|(found, _)| *found >= arrived) {
            return true;
        }
        self.stale = true;
        false
    }

    fn choose(&mut self, message: &Message<'_>, max: usize) -> Result<u32, Refused> {
        let Some(info) = &self.info else {
            let missing = || error::no_queue("the broker", &self.queue);
            return Err(Refused::For(
                self.failed.as_ref().map_or_else(missing, |(_, why)| error::again(why)),
            ));
        };
        let count = info.leaders.len();
        if message.size() > max {
            return Err(Refused::For(too_large(&self.queue, message.size(), max)));
        }
        if let Some(named) = message.partition {
            return if (named as usize) < count { Ok(named) } else { Err(Refused::Partition(named, count)) };
        }
        if let Some(key) = message.order_key() {
            return Ok(partition_for(key, count as u32));
        }
        let (partition, bytes) = &mut self.sticky;
        if *bytes >= STICKY_BYTES {
            let count = count.max(1) as u32;
            // The next one that has a leader.
            let next = (1..=count).map(|step| (*partition + step) % count);
            *partition = next.clone().find(|next| info.leader(*next).is_some()).unwrap_or(*partition % count);
            *bytes = 0;
        }
        *bytes += message.size();
        Ok(*partition)
    }

    /// An answer about it has come.
    pub fn found(&mut self, result: openmessaging::Result<Arc<TopicInfo>>, now: Instant) -> Option<Error> {
        self.asking = false;
        match result {
            Ok(info) => {
                // The number of partitions only grows, unless the topic was made anew.
                let same = self.info.as_ref().is_some_and(|known| known.leaders.len() == info.leaders.len());
                if !same {
                    self.sticky.1 = STICKY_BYTES;
                }
                self.missing = 0;
                let led = info.leaders.iter().all(Option::is_some);
                (self.stale, self.info, self.failed) = (!led, Some(info), None);
                self.wait(led, now);
                None
            }
            Err(error) if error.is_retriable() => {
                self.wait(false, now);
                None
            }
            // A broker that just started may not know a topic that was there.
            Err(error)
                if error.status == StatusCode::NotFound
                    && self.info.is_some()
                    && self.missing + 1 < CONFIRMATIONS =>
            {
                self.missing += 1;
                self.wait(false, now);
                None
            }
            Err(error) => {
                self.missing = 0;
                self.wait(true, now);
                (self.stale, self.info) = (false, None);
                self.failed = Some((now, error::again(&error)));
                Some(error)
            }
        }
    }

    fn wait(&mut self, well: bool, now: Instant) {
        if well {
            (self.backoff, self.not_before) = (BACKOFF, None);
        } else {
            self.not_before = Some(now + self.backoff);
            self.backoff = (self.backoff * 2).min(MAX_BACKOFF);
        }
    }
}

fn too_large(queue: &str, size: usize, max: usize) -> Error {
    let message = format!("a message of {size} bytes for queue \"{queue}\" is larger than {max} bytes");
    Error::new(StatusCode::MessageTooLarge, message)
        .with_remedy("raise max.message.bytes of the driver and of the topic, or send less in a message")
}
