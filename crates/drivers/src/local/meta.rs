//! What is small and must not be lost: queues, consumers' positions, key/value stores, checkpoints; in one `redb` file.
//! One thread writes. Writes that arrive while it commits are committed together, each durable when it is answered.
//!
//! Format version 1. Table `meta`: `format`, `version` (the last one given to a key/value write), `next queue`. Table
//! `queues`: name to [`QueueRecord`](super::catalog::QueueRecord) as JSON. Table `positions`: queue, partition and group
//! to the offset to read next. Table `checkpoints`: queue and partition to base, length, end and last time. Tables
//! `kv/<store>`: key to the version (8 bytes, little-endian) and the value.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use openmessaging::{Error, Result, StatusCode};
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use tokio::sync::oneshot;

use super::error;
use super::log::lock;
use super::segment::Checkpoint;

pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
pub(super) const QUEUES: TableDefinition<&str, &[u8]> = TableDefinition::new("queues");
pub(super) const POSITIONS: TableDefinition<(u64, u32, &str), u64> = TableDefinition::new("positions");
pub(super) const CHECKPOINTS: TableDefinition<(u64, u32), (u64, u64, u64, i64)> =
    TableDefinition::new("checkpoints");

const FILE: &str = "meta.redb";
const FORMAT: &str = "format";
const FORMAT_VERSION: u64 = 1;
const VERSION: &str = "version";
const NEXT_QUEUE: &str = "next queue";

/// What redb may keep of its file in memory.
const CACHE_BYTES: usize = 1024 * 1024;

/// How long a write may take until it counts as failed.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How many writes go into one commit.
const GROUP: usize = 512;

/// What a write answers: the outer error is the store's and undoes the whole commit, the inner one is the caller's, who
/// has written nothing then.
pub(super) type Written<T> = std::result::Result<Result<T>, redb::Error>;

/// A write that waits for its commit.
trait Job: Send {
    fn run(&mut self, transaction: &WriteTransaction) -> std::result::Result<(), redb::Error>;

    /// Called once the commit has come to its end.
    fn finish(self: Box<Self>, committed: std::result::Result<(), &Error>);
}

struct Write<F, R, T> {
    write: Option<F>,
    result: Option<Result<T>>,
    reply: R,
}

impl<F, R, T> Job for Write<F, R, T>
where
    F: FnOnce(&WriteTransaction) -> Written<T> + Send,
    R: FnOnce(Result<T>) + Send,
    T: Send,
{
    fn run(&mut self, transaction: &WriteTransaction) -> std::result::Result<(), redb::Error> {
        if let Some(write) = self.write.take() {
            self.result = Some(write(transaction)?);
        }
        Ok(())
    }

    fn finish(self: Box<Self>, committed: std::result::Result<(), &Error>) {
        let Write { result, reply, .. } = *self;
        reply(match (committed, result) {
            (Ok(()), Some(result)) => result,
            (Err(cause), _) => Err(error::again(cause)),
            (Ok(()), None) => Err(Error::new(StatusCode::ServerError, "a write was not executed")),
        });
    }
}

pub(super) struct Meta {
    database: Arc<Store>,
    jobs: Mutex<Option<Sender<Box<dyn Job>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The database, opened again after an I/O error: redb refuses everything after one.
struct Store {
    path: PathBuf,
    open: RwLock<Option<Database>>,
}

impl Meta {
    /// Blocks.
    ///
    /// # Errors
    /// `UnsupportedVersion` for a folder of a newer version, `Corrupt`, and those of the disk.
    pub fn open(folder: &Path) -> Result<Self> {
        let store = Store { path: folder.join(FILE), open: RwLock::new(None) };
        store.reopen()?;
        let database = Arc::new(store);
        let (jobs, waiting) = channel();
        let writer = database.clone();
        let thread = std::thread::Builder::new()
            .name("oms-local-meta".into())
            .spawn(move || write_all(&writer, &waiting))
            .map_err(|e| error::io("cannot start a thread for", folder, e))?;
        Ok(Self { database, jobs: Mutex::new(Some(jobs)), thread: Mutex::new(Some(thread)) })
    }

    /// Writes with others in one durable commit; `after` is called, in the order of the commits, before anybody is
    /// answered. Dropping the future does not take the write back.
    pub async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&WriteTransaction) -> Written<T> + Send + 'static,
        after: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T> {
        let (send, answer) = oneshot::channel();
        let reply = move |result: Result<T>| {
            // Who waited may have gone.
            let _ = send.send(result.inspect(after));
        };
        self.submit(Box::new(Write { write: Some(write), result: None, reply }))?;
        match tokio::time::timeout(TIMEOUT, answer).await {
            Ok(answer) => answer.map_err(|_| self.ended())?,
            Err(_) => Err(self.late()),
        }
    }

    /// The same for a thread that may block.
    pub fn write_blocking<T: Send + 'static>(
        &self,
        write: impl FnOnce(&WriteTransaction) -> Written<T> + Send + 'static,
    ) -> Result<T> {
        let (send, answer) = sync_channel(1);
        let reply = move |result| {
            let _ = send.send(result);
        };
        self.submit(Box::new(Write { write: Some(write), result: None, reply }))?;
        answer.recv_timeout(TIMEOUT).map_err(|_| self.late())?
    }

    fn late(&self) -> Error {
        let message =
            format!("{} did not take a write within {} s", self.database.path.display(), TIMEOUT.as_secs());
        Error::new(StatusCode::Timeout, message).with_remedy("look at the state and the load of that disk")
    }

    fn submit(&self, job: Box<dyn Job>) -> Result<()> {
        let sent = lock(&self.jobs).as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        if sent { Ok(()) } else { Err(self.ended()) }
    }

    fn ended(&self) -> Error {
        error::closed(self.database.path.parent().unwrap_or(&self.database.path))
    }

    /// Reads what was committed last. Short: it runs on the caller's thread.
    pub fn read<T>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> std::result::Result<T, redb::Error>,
    ) -> Result<T> {
        let store = &self.database;
        let guard = store.open.read().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = guard.as_ref() else { return Err(self.ended()) };
        let result = database.begin_read().map_err(redb::Error::from).and_then(|reading| read(&reading));
        result.map_err(|error| store.error(error))
    }

    pub fn checkpoint(&self, queue: u64, partition: u32) -> Result<Option<Checkpoint>> {
        self.read(|reading| {
            let stored = reading.open_table(CHECKPOINTS)?.get((queue, partition))?;
            Ok(stored.map(|stored| {
                let (base, len, end, last_time) = stored.value();
                Checkpoint { base, len, end, last_time }
            }))
        })
    }

    /// Commits what waits, and closes the file. Blocks.
    pub fn close(&self) {
        drop(lock(&self.jobs).take());
        if let Some(thread) = lock(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!(file = %self.database.path.display(), "the writer of the file panicked");
        }
        self.database.open.write().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Gives the next number of a counter in `meta`.
fn count(transaction: &WriteTransaction, name: &str) -> std::result::Result<u64, redb::Error> {
    let mut table = transaction.open_table(META)?;
    let next = table.get(name)?.map_or(0, |last| last.value()) + 1;
    table.insert(name, next)?;
    Ok(next)
}

/// A version for a key/value write, never given before.
pub(super) fn next_version(transaction: &WriteTransaction) -> std::result::Result<u64, redb::Error> {
    count(transaction, VERSION)
}

/// The version given last.
pub(super) fn last_version(reading: &ReadTransaction) -> std::result::Result<u64, redb::Error> {
    Ok(reading.open_table(META)?.get(VERSION)?.map_or(0, |version| version.value()))
}

/// An id for a queue, never given before.
pub(super) fn next_queue(transaction: &WriteTransaction) -> std::result::Result<u64, redb::Error> {
    count(transaction, NEXT_QUEUE)
}

/// The thread: takes what waits, commits it, answers.
fn write_all(store: &Store, waiting: &Receiver<Box<dyn Job>>) {
    let mut group = Vec::new();
    while let Ok(first) = waiting.recv() {
        group.push(first);
        group.extend(waiting.try_iter().take(GROUP - 1));
        let committed = store.commit(&mut group);
        for job in group.drain(..) {
            job.finish(committed.as_ref().copied());
        }
    }
}

impl Store {
    fn commit(&self, group: &mut [Box<dyn Job>]) -> Result<()> {
        if self.open.read().unwrap_or_else(PoisonError::into_inner).is_none() {
            self.reopen()?;
        }
        let result = {
            let guard = self.open.read().unwrap_or_else(PoisonError::into_inner);
            let Some(database) = guard.as_ref() else {
                return Err(Error::new(StatusCode::Unavailable, "the file is not open"));
            };
            database.begin_write().map_err(redb::Error::from).and_then(|transaction| {
                for job in group {
                    job.run(&transaction)?;
                }
                Ok(transaction.commit()?)
            })
        };
        result.map_err(|cause| {
            let cause = self.error(cause);
            self.open.write().unwrap_or_else(PoisonError::into_inner).take();
            // Readers want it at once; where that fails the next write tries again.
            if let Err(error) = self.reopen() {
                tracing::warn!(%error, "cannot open the file again");
            }
            cause
        })
    }

    fn reopen(&self) -> Result<()> {
        let mut guard = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let database = self.create().map_err(|error| self.error(error))?;
        let reading = database.begin_read().map_err(|error| self.error(error.into()))?;
        let found = reading.open_table(META).map_err(redb::Error::from);
        let found = found.and_then(|table| Ok(table.get(FORMAT)?.map_or(0, |format| format.value())));
        let found = found.map_err(|error| self.error(error))?;
        if found != FORMAT_VERSION {
            let message = format!(
                "{} has format {found}; this program knows 1 to {FORMAT_VERSION}",
                self.path.display()
            );
            return Err(Error::new(StatusCode::UnsupportedVersion, message)
                .with_remedy("use the version of the program that wrote it, or a newer one"));
        }
        *guard = Some(database);
        Ok(())
    }

    /// Opens the file; a new one gets its tables.
    fn create(&self) -> std::result::Result<Database, redb::Error> {
        let database = Database::builder().set_cache_size(CACHE_BYTES).create(&self.path)?;
        let is_new = database.begin_read()?.list_tables()?.next().is_none();
        if is_new {
            let transaction = database.begin_write()?;
            transaction.open_table(META)?.insert(FORMAT, FORMAT_VERSION)?;
            transaction.open_table(QUEUES)?;
            transaction.open_table(POSITIONS)?;
            transaction.open_table(CHECKPOINTS)?;
            transaction.commit()?;
        }
        Ok(database)
    }

    fn error(&self, cause: redb::Error) -> Error {
        match cause {
            redb::Error::Io(cause) => error::io("cannot use", &self.path, cause),
            redb::Error::Corrupted(why) => error::corrupt(&self.path, 0, why),
            cause => Error::new(StatusCode::ServerError, format!("{}: {cause}", self.path.display()))
                .with_source(cause),
        }
    }
}
