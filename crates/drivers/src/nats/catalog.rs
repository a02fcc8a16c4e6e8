//! Which streams a queue is.

use std::sync::Arc;

use openmessaging::{Error, Result, StatusCode};
use tokio::time::Instant;

use super::api::{JetStream, StreamInfo};
use super::error;
use super::names::{self, Space};
use crate::common::names::check_queue;

/// A queue, as it was when somebody looked.
#[derive(Debug)]
pub(super) struct Queue {
    pub name: Arc<str>,
    pub partitions: Vec<Partition>,
}

#[derive(Debug)]
pub(super) struct Partition {
    pub stream: String,
    /// Where its messages are sent; `None` where the stream takes none from us: a mirror, only wildcards.
    pub subject: Option<String>,
    /// Headers and body of the largest message; `None`: as large as the server takes.
    pub max_bytes: Option<usize>,
    pub info: StreamInfo,
}

/// What the description of a partition's stream says, by which a queue of several is known. The token tells the streams of
/// two who make the same queue at the same time apart: the server takes the same configuration twice.
pub(super) fn description(partitions: u32, token: &str) -> String {
    let plural = if partitions == 1 { "" } else { "s" };
    format!("omsconnect queue of {partitions} partition{plural}, {token}")
}

/// How many partitions a description says; 1 for streams of others.
pub(super) fn partitions_of(description: &str) -> u32 {
    let count = description.strip_prefix("omsconnect queue of ").and_then(|rest| rest.split(' ').next());
    count.and_then(|count| count.parse().ok()).filter(|count| (1..=MOST).contains(count)).unwrap_or(1)
}

/// Partitions of a queue.
pub(super) const MOST: u32 = 1000;

impl Queue {
    /// # Errors
    /// `NotFound`, or `BadParameter` for what cannot be the name of a queue.
    pub async fn find(js: &JetStream, name: &str, deadline: Instant) -> Result<Self> {
        check_queue(name)?;
        let space = &js.link.config().space;
        let first = js.info(&space.stream(name, 0), deadline).await?;
        let first = first.ok_or_else(|| error::no_queue(js.server(), name))?;
        let count = partitions_of(&first.config.description);
        let others = (1..count).map(|partition| async move {
            let stream = space.stream(name, partition);
            js.info(&stream, deadline).await?.ok_or_else(|| incomplete(js.server(), name, &stream))
        });
        let mut infos = vec![first];
        infos.extend(futures::future::try_join_all(others).await?);
        let partitions =
            infos.into_iter().zip(0..).map(|(info, number)| Partition::new(space, name, number, info));
        Ok(Self { name: name.into(), partitions: partitions.collect() })
    }

    /// # Errors
    /// `PartitionNotFound`.
    pub fn partition(&self, number: u32) -> Result<&Partition> {
        let missing = || error::no_partition(&self.name, number, self.partitions.len());
        self.partitions.get(number as usize).ok_or_else(missing)
    }
}

impl Partition {
    fn new(space: &Space, queue: &str, number: u32, info: StreamInfo) -> Self {
        let mut subject = names::subject_for(&space.subject(queue, number), &info.config.subjects);
        if info.config.mirror.is_some() || info.config.sealed || info.config.no_ack {
            subject = None;
        }
        Self {
            stream: info.config.name.clone(),
            subject,
            max_bytes: usize::try_from(info.config.max_msg_size).ok().filter(|bytes| *bytes > 0),
            info,
        }
    }

    /// # Errors
    /// `Unsupported`: messages cannot be sent to this stream.
    pub fn subject(&self, server: &str) -> Result<&str> {
        self.subject.as_deref().ok_or_else(|| {
            let message = format!(
                "stream {} at {server} takes no messages from here: its subjects are {:?}, or it is a mirror, sealed or without acks",
                self.stream, self.info.config.subjects
            );
            Error::new(StatusCode::Unsupported, message)
                .with_remedy("add the queue's name to the stream's subjects, or send to another queue")
        })
    }
}

fn incomplete(server: &str, queue: &str, stream: &str) -> Error {
    let message = format!("queue \"{queue}\" at {server} is not whole: its stream {stream} is missing");
    Error::new(StatusCode::NotFound, message)
        .with_remedy("delete the queue and create it again, or restore that stream")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_say_the_partitions() {
        for count in [1, 2, MOST] {
            assert_eq!(partitions_of(&description(count, "x")), count);
        }
        assert_eq!(description(1, "t"), "omsconnect queue of 1 partition, t");
        for other in ["", "orders", "omsconnect queue of 0 partitions", "omsconnect queue of many"] {
            assert_eq!(partitions_of(other), 1);
        }
    }
}
