//! Which queues there are, and what is known of those that are used here.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::try_join_all;
use openmessaging::{Error, PartitionDescription, QueueSpec, Result, StatusCode};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::super::common::settings::bad_parameter;
use super::super::common::{lock, names};
use super::client::{Again, Client};
use super::keys::Keys;
use super::resp::{Reply, command};
use super::{error, offset, scripts};

/// What is known of a queue is asked for again after so long: somebody may have made it anew.
const FRESH: Duration = Duration::from_secs(60);

const MAX_PARTITIONS: u32 = 1024;

/// Keys that the server looks at in one step of a listing.
const SCAN: &str = "1000";

/// A queue that is there, or was a moment ago.
pub(super) struct Queue {
    pub name: Arc<str>,
    /// The stream of each partition.
    pub streams: Vec<Arc<str>>,
    pub retention_ms: Option<u64>,
    pub retention_bytes: Option<u64>,
    /// What was written here since retention last looked, in bytes.
    pub written: AtomicU64,
    seen: Instant,
}

impl Queue {
    pub fn partitions(&self) -> u32 {
        self.streams.len() as u32
    }

    /// # Errors
    /// `PartitionNotFound`.
    pub fn stream(&self, partition: u32) -> Result<&Arc<str>> {
        let stream = self.streams.get(partition as usize);
        stream.ok_or_else(|| error::no_partition(&self.name, partition, self.partitions()))
    }

    pub fn has_retention(&self) -> bool {
        self.retention_ms.is_some() || self.retention_bytes.is_some()
    }

    /// Counts bytes that were written; says whether retention should look now, without waiting for its turn.
    pub fn count_written(&self, bytes: u64) -> bool {
        let Some(limit) = self.retention_bytes else { return false };
        let step = (limit / 8).max(1);
        let before = self.written.fetch_add(bytes, Ordering::Relaxed);
        before / step != (before + bytes) / step
    }
}

pub(super) struct Catalog {
    pub client: Arc<Client>,
    pub keys: Keys,
    /// Retention should look now.
    pub due: Notify,
    known: Mutex<HashMap<Arc<str>, Arc<Queue>>>,
}

impl Catalog {
    pub fn new(client: Arc<Client>) -> Self {
        let keys = Keys::new(&client.link.config.prefix);
        Self { client, keys, due: Notify::new(), known: Mutex::default() }
    }

    /// The queue, if it was seen not long ago.
    pub fn known(&self, name: &str) -> Option<Arc<Queue>> {
        let known = lock(&self.known);
        known.get(name).filter(|queue| queue.seen.elapsed() < FRESH).cloned()
    }

    /// Those seen here that have a retention.
    pub fn with_retention(&self) -> Vec<Arc<Queue>> {
        lock(&self.known).values().filter(|queue| queue.has_retention()).cloned().collect()
    }

    /// It is not there any more, or another one.
    pub fn forget(&self, name: &str) {
        lock(&self.known).remove(name);
    }

    /// Asks the server for the queue.
    ///
    /// # Errors
    /// `NotFound`; `BadParameter` where the key is no stream.
    pub async fn find(&self, name: &str) -> Result<Arc<Queue>> {
        names::check_queue(name)?;
        let keys = [self.keys.single(name), self.keys.descriptor(name), self.keys.partition(name, 0)];
        let keys = keys.each_ref().map(String::as_bytes);
        let what = format!("looking for queue {name}");
        let reply = self.client.script(&what, scripts::FIND, &keys, &[], Again::Yes).await?;
        let fields = match reply {
            Reply::Nil => {
                self.forget(name);
                return Err(error::no_queue(name));
            }
            reply => reply.array().filter(|fields| fields.len() == 3),
        };
        let fields = fields.ok_or_else(|| self.unexpected(&what))?;
        let partitions = fields[0].integer().and_then(|number| u32::try_from(number).ok());
        let partitions = partitions.filter(|number| (1..=MAX_PARTITIONS).contains(number));
        let partitions = partitions.ok_or_else(|| self.unexpected(&what))?;
        let queue = Arc::new(Queue {
            name: name.into(),
            streams: self.streams(name, partitions),
            retention_ms: fields[1].integer().and_then(|number| u64::try_from(number).ok()),
            retention_bytes: fields[2].integer().and_then(|number| u64::try_from(number).ok()),
            written: AtomicU64::new(0),
            seen: Instant::now(),
        });
        lock(&self.known).insert(queue.name.clone(), queue.clone());
        Ok(queue)
    }

    fn streams(&self, name: &str, partitions: u32) -> Vec<Arc<str>> {
        match partitions {
            1 => vec![self.keys.single(name).into()],
            _ => (0..partitions).map(|number| self.keys.partition(name, number).into()).collect(),
        }
    }

    /// # Errors
    /// `AlreadyExists`, `BadParameter`.
    pub async fn create(&self, spec: &QueueSpec) -> Result<()> {
        let name = spec.name.as_str();
        names::check_queue(name)?;
        if let Some(key) = spec.properties.keys().next() {
            return Err(bad_parameter(format!("queues of the redis driver have no property \"{key}\""))
                .with_remedy("leave it out: partitions and retention are all there is to set"));
        }
        if !(1..=MAX_PARTITIONS).contains(&spec.partitions) {
            let message = format!("queue \"{name}\" cannot have {} partitions", spec.partitions);
            return Err(bad_parameter(message).with_remedy(format!("ask for 1 to {MAX_PARTITIONS}")));
        }
        self.forget(name);
        let streams = self.streams(name, spec.partitions);
        let first = [self.keys.single(name), self.keys.descriptor(name), self.keys.partition(name, 0)];
        let keys: Vec<&[u8]> = first
            .iter()
            .map(String::as_bytes)
            .chain(streams.iter().map(|stream| stream.as_bytes()))
            .collect();
        let text = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
        let (milliseconds, bytes) = (text(spec.retention_ms), text(spec.retention_bytes));
        let arguments = [spec.partitions.to_string(), milliseconds, bytes];
        let arguments = arguments.each_ref().map(String::as_bytes);
        let what = format!("creating queue {name}");
        let made = self.client.script(&what, scripts::CREATE, &keys, &arguments, Again::No).await?;
        if made.integer() == Some(1) {
            return Ok(());
        }
        Err(Error::new(StatusCode::AlreadyExists, format!("there is a queue \"{name}\" already"))
            .with_remedy("use it as it is, or another name"))
    }

    /// # Errors
    /// `NotFound`.
    pub async fn delete(&self, name: &str) -> Result<()> {
        let queue = self.find(name).await?;
        self.forget(name);
        let descriptor = self.keys.descriptor(name);
        let mut keys = vec![descriptor.as_bytes()];
        keys.extend(queue.streams.iter().map(|stream| stream.as_bytes()));
        let what = format!("deleting queue {name}");
        let deleted = self.client.script(&what, scripts::DELETE, &keys, &[], Again::No).await?;
        if deleted.integer().is_some_and(|count| count > 0) { Ok(()) } else { Err(error::no_queue(name)) }
    }

    /// Names in order.
    pub async fn list(&self) -> Result<Vec<String>> {
        let what = "listing queues";
        let mut found = BTreeSet::new();
        let mut cursor = b"0".to_vec();
        loop {
            let step = command(&[b"SCAN", &cursor, b"COUNT", SCAN.as_bytes(), b"TYPE", b"stream"]);
            let reply = self.client.call(what, step, Again::Yes).await?.array();
            let Some([next, Reply::Array(keys)]) = reply.and_then(|parts| <[Reply; 2]>::try_from(parts).ok())
            else {
                return Err(self.unexpected(what));
            };
            for key in keys.iter().filter_map(Reply::text) {
                if let Some(queue) = self.keys.queue_of(key) {
                    found.insert(queue.to_owned());
                }
            }
            cursor = next.bytes().ok_or_else(|| self.unexpected(what))?;
            if cursor == b"0" {
                return Ok(found.into_iter().collect());
            }
        }
    }

    /// Begin and end of each partition.
    pub async fn describe(&self, queue: &Queue) -> Result<Vec<PartitionDescription>> {
        let each = queue.streams.iter().enumerate().map(|(partition, stream)| async move {
            let (begin, end) = self.bounds(&queue.name, stream).await?;
            Ok(PartitionDescription { partition: partition as u32, begin, end })
        });
        try_join_all(each).await
    }

    /// The offset of the oldest entry of a stream, and the one that the next will have.
    pub async fn bounds(&self, queue: &str, stream: &str) -> Result<(u64, u64)> {
        let what = format!("looking at stream {stream}");
        let info = command(&[b"XINFO", b"STREAM", stream.as_bytes()]);
        let info = self.client.call(&what, info, Again::Yes).await.map_err(|error| match error.status {
            StatusCode::NotFound => error::no_queue(queue),
            _ => error,
        })?;
        bounds(&info).ok_or_else(|| {
            bad_parameter(format!("stream {stream} has ids that are no offsets")).with_remedy(
                "let the server make them (XADD with *), or keep both parts small: see the driver's terms",
            )
        })
    }

    pub fn unexpected(&self, what: &str) -> Error {
        error::unexpected(self.client.link.server(), what)
    }
}

fn bounds(info: &Reply) -> Option<(u64, u64)> {
    let at = |reply: &Reply| match reply {
        Reply::Bytes(id) => offset::at_most(id),
        _ => None,
    };
    let end = at(info.field("last-generated-id")?)? + 1;
    let begin = match info.field("first-entry")? {
        Reply::Array(entry) => at(entry.first()?)?,
        _ => end,
    };
    Some((begin, end))
}

#[cfg(test)]
impl Queue {
    /// One that is nowhere, whose streams are `name/0` and so on.
    pub fn sample(name: &str, partitions: u32) -> Self {
        Self {
            name: name.into(),
            streams: (0..partitions).map(|number| format!("{name}/{number}").into()).collect(),
            retention_ms: None,
            retention_bytes: None,
            written: AtomicU64::new(0),
            seen: Instant::now(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_of_the_ids() {
        let bytes = |text: &str| Reply::Bytes(text.as_bytes().to_vec());
        let info = |last: &str, first: Reply| {
            Reply::Array(vec![bytes("last-generated-id"), bytes(last), bytes("first-entry"), first])
        };
        assert_eq!(bounds(&info("0-0", Reply::Nil)), Some((1, 1)));
        let first = Reply::Array(vec![bytes("0-3"), Reply::Array(Vec::new())]);
        assert_eq!(bounds(&info("0-9", first)), Some((3, 10)));
        assert_eq!(bounds(&info("x", Reply::Nil)), None);
    }
}
