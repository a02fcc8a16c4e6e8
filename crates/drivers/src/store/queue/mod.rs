//! A key/value store over an ordered queue of one partition, for any driver: puts and deletes are messages, each process
//! that uses the store reads them all and comes to the same state. See [`fold`] for what they mean, [`record`] for the format.
//!
//! - A write is done when its own message was read back: then it is known what became of it (D25).
//! - A read writes a mark, and reads until it comes back: then it has seen every write that was answered before (D24).
//!   Reads at the same time share a mark.
//! - Snapshots are written into the queue every so often, and what they cover is removed from its front, where the broker
//!   can do that ([`StoreQueue::trim`]). A queue that never loses its front needs none.
//! - What was read lies in a file without a name (`scratch`), not in memory.
//!
//! A driver implements [`StoreQueue`], and has one [`QueueStores`] for an access point.

mod append;
mod fold;
mod follow;
mod record;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use openmessaging::{
    Changes, Error, KeyValue, KeyValueStore, Page, Producer, PullConsumer, QueuePartition, ResourceManager,
    Result, StartAt, StatusCode,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::append::{Appender, Request, Waiters, Write};
use self::fold::{Fold, Outcome};
use self::follow::Follower;
use self::record::Condition;
use super::scratch::Scratch;
use super::table::{self, Newer, StoreTable};
use super::watch::{self, Feed, Watched};
use crate::lock;

/// What the name of a store's queue begins with. `list_queues` leaves these out.
pub(crate) const PREFIX: &str = "omsconnect-store-";

/// So many calls may wait to be written.
const WAITING: usize = 1024;

const TABLE: &str = "values";

/// The queues of stores at one broker: what a driver gives.
///
/// The messages written are up to 1 MiB and 2 KiB in size.
#[async_trait]
pub(crate) trait StoreQueue: Send + Sync + 'static {
    /// As errors name it: "kafka at 127.0.0.1:9092".
    fn server(&self) -> &str;

    /// Makes the queue: one partition, its messages kept for ever. That it exists is no error.
    async fn create(&self, queue: &str) -> Result<()>;

    fn resources(&self) -> Arc<dyn ResourceManager>;

    async fn producer(&self) -> Result<Box<dyn Producer>>;

    async fn consumer(&self) -> Result<Box<dyn PullConsumer>>;

    /// Removes the messages before that offset, where the broker can. It is called again with later ones.
    async fn trim(&self, queue: &str, before: u64) -> Result<()>;

    /// Where the broker removes old messages whatever was asked for: how old a snapshot may get.
    fn snapshot_every(&self) -> Option<Duration> {
        None
    }

    /// How long a call may take.
    fn timeout(&self) -> Duration;

    /// Cancelled when the access point is closed.
    fn closed(&self) -> &CancellationToken;
}

/// The stores of one access point.
pub(crate) struct QueueStores {
    source: Arc<dyn StoreQueue>,
    open: tokio::sync::Mutex<HashMap<String, Arc<Shared>>>,
}

/// One store.
struct Shared {
    source: Arc<dyn StoreQueue>,
    queue: Arc<str>,
    writer: u64,
    table: StoreTable,
    scratch: Scratch,
    feed: Feed,
    requests: mpsc::Sender<Request>,
    waiters: Arc<Waiters>,
    last_version: AtomicU64,
    closed: CancellationToken,
    /// Why nothing works any more.
    failure: Mutex<Option<Error>>,
}

/// When snapshots are written.
#[derive(Clone)]
struct Snapshots {
    last: Instant,
    every: Option<Duration>,
    running: Arc<AtomicBool>,
    /// What the last one that was written here covers.
    covered: Arc<AtomicU64>,
}

impl QueueStores {
    pub fn new(source: Arc<dyn StoreQueue>) -> Self {
        Self { source, open: tokio::sync::Mutex::default() }
    }

    /// The store of that name, made when it is first used. Must be called on the drivers' runtime
    /// (`common::runtime::on_own`): what follows the queue lives there.
    pub async fn store(&self, name: &str) -> Result<Arc<dyn KeyValueStore>> {
        table::check_name(name)?;
        let mut open = self.open.lock().await;
        if let Some(shared) = open.get(name).filter(|shared| !shared.has_failed()) {
            return Ok(Arc::new(QueueStore(shared.clone())));
        }
        let opened =
            tokio::time::timeout(self.source.timeout(), Shared::open(self.source.clone(), name)).await;
        let late = || {
            let message = format!("{} did not open the store {name} in time", self.source.server());
            Error::new(StatusCode::Timeout, message)
                .with_remedy("look at the state and the load of that server")
        };
        let shared = opened.map_err(|_| late())??;
        open.insert(name.to_owned(), shared.clone());
        Ok(Arc::new(QueueStore(shared)))
    }
}

impl Shared {
    async fn open(source: Arc<dyn StoreQueue>, name: &str) -> Result<Arc<Self>> {
        let queue: Arc<str> = format!("{PREFIX}{name}").into();
        source.create(&queue).await.or_else(|error| match error.status {
            StatusCode::AlreadyExists => Ok(()),
            _ => Err(error),
        })?;
        let mut consumer = source.consumer().await?;
        consumer.assign(&[(QueuePartition::new(queue.clone(), 0), StartAt::Begin)]).await?;
        let producer = source.producer().await?;
        let (requests, waiting) = mpsc::channel(WAITING);
        let scratch = Scratch::new()?;
        let closed = source.closed().child_token();
        let shared = Arc::new(Self {
            queue: queue.clone(),
            writer: RandomState::new().hash_one(&queue),
            table: StoreTable::new(TABLE.to_owned()),
            feed: Feed::default(),
            waiters: Arc::default(),
            last_version: AtomicU64::new(0),
            failure: Mutex::new(None),
            scratch: scratch.clone(),
            requests,
            closed,
            source,
        });
        let appender = Appender {
            queue,
            writer: shared.writer,
            producer,
            requests: waiting,
            waiters: shared.waiters.clone(),
            closed: shared.closed.clone(),
        };
        tokio::spawn(appender.run());
        let snapshots = Snapshots {
            last: Instant::now(),
            every: shared.source.snapshot_every(),
            running: Arc::default(),
            covered: Arc::default(),
        };
        let fold = Fold::new(TABLE, scratch);
        tokio::spawn(Follower { shared: shared.clone(), consumer, fold, snapshots }.run());
        let ready = async {
            let (begin, end) = shared.bounds().await?;
            // Nothing is there, and something was: never an empty store in its place.
            if begin == end && begin > 0 && shared.source.snapshot_every().is_some() {
                return Err(fold::no_base(&shared.queue, shared.source.server()));
            }
            if begin == end {
                shared.write(Write::Genesis).await?;
            }
            shared.write(Write::Mark).await
        };
        match ready.await {
            Ok(_) => Ok(shared),
            Err(error) => {
                shared.closed.cancel();
                Err(error)
            }
        }
    }

    /// Begin and end of the queue.
    async fn bounds(&self) -> Result<(u64, u64)> {
        let described = self.source.resources().describe_queue(&self.queue).await?;
        Ok(described.partitions.first().map_or((0, 0), |partition| (partition.begin, partition.end)))
    }

    fn check(&self) -> Result<()> {
        if let Some(failure) = lock(&self.failure).as_ref() {
            return Err(append::copy(failure));
        }
        if self.closed.is_cancelled() { Err(closed()) } else { Ok(()) }
    }

    fn has_failed(&self) -> bool {
        lock(&self.failure).is_some()
    }

    fn fail(&self, error: Error) {
        self.waiters.fail_all(&error);
        *lock(&self.failure) = Some(error);
        self.closed.cancel();
    }

    /// Writes, and waits until it was read back.
    async fn write(&self, write: Write) -> Result<Outcome> {
        self.check()?;
        let (reply, answer) = oneshot::channel();
        let limit = self.source.timeout();
        let request = Request { write, reply, deadline: Instant::now() + limit };
        let done = async {
            self.requests.send(request).await.map_err(|_| closed())?;
            answer.await.map_err(|_| closed())?
        };
        match tokio::time::timeout(limit, done).await {
            Ok(Err(error)) if error.status == StatusCode::Closed => self.check().and(Err(error)),
            Ok(outcome) => outcome,
            Err(_) => {
                let message = format!(
                    "{} did not give back a write to {} within {} ms",
                    self.source.server(),
                    self.queue,
                    limit.as_millis()
                );
                Err(Error::new(StatusCode::Timeout, message)
                    .with_remedy("look at the state and the load of that server"))
            }
        }
    }

    async fn put(&self, key: &str, value: &[u8], condition: Condition) -> Result<u64> {
        self.check()?;
        table::check_key(key)?;
        table::check_value(key, value)?;
        let write = Write::Put { condition, key: key.to_owned(), value: value.to_vec() };
        match (self.write(write).await?, condition) {
            (Outcome::Version(version), _) => Ok(version),
            (Outcome::Conflict(found), Condition::Version(expected)) => {
                Err(table::conflict(key, expected, found))
            }
            _ => Err(Error::new(StatusCode::ServerError, "a put came to something else")),
        }
    }
}

fn closed() -> Error {
    Error::new(StatusCode::Closed, "the access point is closed")
}

fn unreadable(cause: redb::Error) -> Error {
    Error::new(
        StatusCode::ServerError,
        format!("what a store keeps in {}: {cause}", std::env::temp_dir().display()),
    )
}

impl Watched for Shared {
    fn feed(&self) -> &Feed {
        &self.feed
    }

    fn closed(&self) -> &CancellationToken {
        &self.closed
    }

    fn last_version(&self) -> Result<u64> {
        Ok(self.last_version.load(Ordering::Acquire))
    }

    fn get(&self, key: &str) -> Result<Option<KeyValue>> {
        self.scratch.read(|reading| self.table.get(reading, key))
    }

    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page> {
        self.scratch.read(|reading| self.table.list(reading, prefix, after, limit))
    }

    fn newer(&self, prefix: &str, after: Option<&str>, version: u64, limit: usize) -> Result<Newer> {
        self.scratch.read(|reading| self.table.newer(reading, prefix, after, version, limit))
    }
}

/// One use of a store.
struct QueueStore(Arc<Shared>);

#[async_trait]
impl KeyValueStore for QueueStore {
    async fn get(&self, key: &str) -> Result<Option<KeyValue>> {
        table::check_key(key)?;
        self.0.write(Write::Mark).await?;
        Watched::get(&*self.0, key)
    }

    async fn put(&self, key: &str, value: &[u8]) -> Result<u64> {
        self.0.put(key, value, Condition::Always).await
    }

    async fn put_if_version(&self, key: &str, value: &[u8], expected: Option<u64>) -> Result<u64> {
        self.0.put(key, value, Condition::Version(expected)).await
    }

    async fn delete(&self, key: &str) -> Result<bool> {
        self.0.check()?;
        table::check_key(key)?;
        match self.0.write(Write::Delete { key: key.to_owned() }).await? {
            Outcome::Deleted(was_there) => Ok(was_there),
            _ => Err(Error::new(StatusCode::ServerError, "a delete came to something else")),
        }
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page> {
        self.0.check()?;
        table::check_limit(limit)?;
        self.0.write(Write::Mark).await?;
        Watched::list(&*self.0, prefix, after, limit)
    }

    async fn watch(&self, prefix: &str) -> Result<Changes> {
        // Whoever watches after a write was answered sees it.
        self.0.write(Write::Mark).await?;
        watch::watch(self.0.clone(), prefix)
    }
}
