//! The thread that writes messages: whatever batches have come while it was writing are written and synced together,
//! and then acknowledged (group commit). One thread for an access point, so that a group costs one sync for each file,
//! not one for each batch.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use openmessaging::partitioner::partition_for;
use openmessaging::{Error, Message, MessageBatch, Result, StatusCode};
use tokio::sync::oneshot;

use super::appender::{Appender, Tools};
use super::catalog::{Catalog, Queue};
use super::config::Config;
use super::error;
use super::log::lock;
use super::meta::Meta;

/// A group is closed when it has this many bytes of messages: what waits behind it waits for its writing.
const GROUP_BYTES: usize = 4 * 1024 * 1024;

/// As many files are open at once for writing.
const OPEN_FILES: usize = 256;

/// As many partitions are remembered between groups.
const REMEMBERED: usize = 1024;

/// From this many files on they are synced by several threads: the file system commits what comes together at once.
const SYNC_ALONE: usize = 4;
const SYNC_THREADS: usize = 8;

/// What the writer must know of a producer.
#[derive(Debug, Default)]
pub(super) struct ProducerState {
    /// A batch failed: what comes behind it is refused until the producer recovers.
    pub failed: AtomicBool,
}

/// How a batch ended.
#[derive(Debug)]
pub(super) struct Outcome {
    pub prefix: usize,
    pub error: Option<Error>,
}

pub(super) enum Command {
    Send {
        producer: Arc<ProducerState>,
        batch: Arc<MessageBatch>,
        reply: oneshot::Sender<Outcome>,
    },
    /// Answered when everything before has ended; the producer may send again then.
    Recover {
        producer: Arc<ProducerState>,
        reply: oneshot::Sender<()>,
    },
    /// Ends the file that a partition is written to.
    Roll {
        queue: Arc<Queue>,
        partition: u32,
    },
    /// Lets go of the files of a queue that was deleted.
    Forget {
        queue: u64,
    },
}

/// The thread, as others see it.
pub(super) struct WriterHandle {
    folder: PathBuf,
    commands: Mutex<Option<Sender<Command>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl WriterHandle {
    pub fn start(folder: &Path, catalog: Arc<Catalog>, meta: Arc<Meta>, config: &Config) -> Result<Self> {
        let (commands, waiting) = channel();
        let tools = Tools::new(config.compress);
        let (appenders, touched) = (HashMap::new(), Vec::new());
        let max_message_bytes = config.max_message_bytes;
        let mut writer = Writer { catalog, meta, max_message_bytes, tools, appenders, touched, turn: 0 };
        let thread = std::thread::Builder::new()
            .name("oms-local-write".into())
            .spawn(move || writer.run(&waiting))
            .map_err(|cause| error::io("cannot start a thread for", folder, cause))?;
        let (commands, thread) = (Mutex::new(Some(commands)), Mutex::new(Some(thread)));
        Ok(Self { folder: folder.to_owned(), commands, thread })
    }

    /// Never blocks.
    pub fn submit(&self, command: Command) -> Result<()> {
        let sent = lock(&self.commands).as_ref().is_some_and(|commands| commands.send(command).is_ok());
        if sent { Ok(()) } else { Err(error::closed(&self.folder)) }
    }

    /// Writes what waits, then ends the thread. Blocks.
    pub fn close(&self) {
        drop(lock(&self.commands).take());
        if let Some(thread) = lock(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!(folder = %self.folder.display(), "the writer panicked");
        }
    }
}

/// A batch of the group being written.
struct Pending {
    producer: Arc<ProducerState>,
    reply: oneshot::Sender<Outcome>,
    /// `None`: the disk failed before all of it was gathered, or before its turn came.
    outcome: Option<Outcome>,
}

type Key = (u64, u32);

struct Writer {
    catalog: Arc<Catalog>,
    meta: Arc<Meta>,
    max_message_bytes: usize,
    tools: Tools,
    appenders: HashMap<Key, Appender>,
    /// The partitions of the group being written.
    touched: Vec<Key>,
    /// Where messages without a key go next.
    turn: u32,
}

impl Writer {
    fn run(&mut self, waiting: &Receiver<Command>) {
        while let Ok(first) = waiting.recv() {
            let mut next = Some(first);
            let mut group = Vec::new();
            let mut bytes = 0;
            let mut failure = None;
            self.begin();
            while let Some(command) = next.take() {
                match command {
                    Command::Send { producer, batch, reply } => {
                        bytes += batch.data_len();
                        let added = self.add(&producer, &batch).map_err(|cause| failure = Some(cause));
                        // The producer's future takes the batch back as the last that has it.
                        drop(batch);
                        group.push(Pending { producer, reply, outcome: added.ok() });
                    }
                    other => {
                        next = Some(other);
                        break;
                    }
                }
                if bytes < GROUP_BYTES && failure.is_none() {
                    next = waiting.try_recv().ok();
                }
            }
            self.end(group, failure);
            match next {
                Some(Command::Recover { producer, reply }) => {
                    producer.failed.store(false, Ordering::Release);
                    let _ = reply.send(());
                }
                Some(Command::Roll { queue, partition }) => self.roll(&queue, partition),
                Some(Command::Forget { queue }) => self.appenders.retain(|(id, _), _| *id != queue),
                _ => {}
            }
        }
    }

    fn begin(&mut self) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.tools.now = since.as_millis() as i64;
    }

    /// Adds a batch to the group. The outcome is that of the batch; an error is that of the disk, and of the whole
    /// group.
    fn add(&mut self, producer: &ProducerState, batch: &MessageBatch) -> Result<Outcome> {
        if producer.failed.load(Ordering::Acquire) {
            return Ok(Outcome { prefix: 0, error: Some(aborted()) });
        }
        let refuse = |prefix, cause| {
            producer.failed.store(true, Ordering::Release);
            Ok(Outcome { prefix, error: Some(cause) })
        };
        self.turn = self.turn.wrapping_add(1);
        let queues: Vec<_> = batch.queues().iter().map(|name| self.catalog.find(name)).collect();
        for (index, message) in batch.iter().enumerate() {
            let queue = match batch.queue_of(index).and_then(|queue| queues.get(queue)) {
                Some(Ok(queue)) => queue,
                Some(Err(cause)) => return refuse(index, error::again(cause)),
                None => return refuse(index, error::no_queue(message.queue)),
            };
            let partition = match self.accept(queue, &message) {
                Ok(partition) => partition,
                Err(cause) => return refuse(index, cause),
            };
            let key = (queue.record.id, partition);
            let Some(appender) = self.appenders.get_mut(&key) else {
                return refuse(index, error::no_partition(&queue.name, partition, queue.partitions()));
            };
            appender.push(&message, &mut self.tools)?;
        }
        Ok(Outcome { prefix: batch.len(), error: None })
    }

    /// The partition for a message, whose appender is ready then.
    fn accept(&mut self, queue: &Arc<Queue>, message: &Message<'_>) -> Result<u32> {
        let (shared, own) = message.headers.encoded();
        let parts = [message.key, Some(shared), Some(own), message.body];
        let bytes: usize = parts.into_iter().flatten().map(<[u8]>::len).sum();
        if bytes > self.max_message_bytes {
            let limit = self.max_message_bytes;
            let text =
                format!("a message for queue \"{}\" has {bytes} bytes; {limit} are allowed", queue.name);
            return Err(Error::new(StatusCode::MessageTooLarge, text)
                .with_remedy("make it smaller, or set max.message.bytes (up to 268435456)"));
        }
        let partition = match (message.partition, message.order_key()) {
            (Some(partition), _) => partition,
            (None, Some(key)) => partition_for(key, queue.partitions()),
            (None, None) => self.turn % queue.partitions(),
        };
        self.ready(queue, partition)?;
        Ok(partition)
    }

    fn ready(&mut self, queue: &Arc<Queue>, partition: u32) -> Result<()> {
        let key = (queue.record.id, partition);
        let appender = match self.appenders.entry(key) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => {
                let log = queue.log(partition, &self.meta)?;
                new.insert(Appender::new(log, queue.segment_bytes))
            }
        };
        if appender.begin(&mut self.tools)? {
            self.touched.push(key);
            if self.touched.len().is_multiple_of(OPEN_FILES) {
                self.write_and_close()?;
            }
        }
        Ok(())
    }

    /// Writes, syncs and closes the files of the group so far: too many are open.
    fn write_and_close(&mut self) -> Result<()> {
        self.write_and_sync()?;
        for key in &self.touched {
            if let Some(appender) = self.appenders.get_mut(key) {
                appender.close_file();
            }
        }
        Ok(())
    }

    fn write_and_sync(&mut self) -> Result<()> {
        for key in &self.touched {
            if let Some(appender) = self.appenders.get_mut(key) {
                appender.flush(&mut self.tools)?;
            }
        }
        let mut dirty: Vec<_> = self.appenders.values_mut().filter(|appender| appender.is_dirty()).collect();
        if dirty.len() <= SYNC_ALONE {
            return dirty.iter_mut().try_for_each(|appender| appender.sync());
        }
        let share = dirty.len().div_ceil(SYNC_THREADS);
        std::thread::scope(|scope| {
            let parts: Vec<_> = dirty
                .chunks_mut(share)
                .map(|part| scope.spawn(|| part.iter_mut().try_for_each(|appender| appender.sync())))
                .collect();
            let panicked = || Error::new(StatusCode::ServerError, "syncing panicked");
            parts.into_iter().try_for_each(|part| part.join().unwrap_or_else(|_| Err(panicked())))
        })
    }

    /// Makes the group durable and answers its batches; or takes all of it back.
    fn end(&mut self, group: Vec<Pending>, failure: Option<Error>) {
        let result = failure.map_or_else(|| self.write_and_sync(), Err);
        for key in self.touched.drain(..) {
            if let Some(appender) = self.appenders.get_mut(&key) {
                match &result {
                    Ok(()) => appender.commit(&mut self.tools),
                    Err(_) => appender.roll_back(&mut self.tools),
                }
            }
        }
        if self.appenders.len() > REMEMBERED {
            self.appenders.clear();
        } else if result.is_err() || self.appenders.len() > OPEN_FILES {
            // What failed is read anew; what is many is closed.
            self.appenders.retain(|_, appender| {
                appender.close_file();
                appender.log.check_writable().is_ok()
            });
        }
        answer(group, result);
    }

    fn roll(&mut self, queue: &Arc<Queue>, partition: u32) {
        self.begin();
        let rolled = self.ready(queue, partition).and_then(|()| {
            let appender = self.appenders.get_mut(&(queue.record.id, partition));
            appender.map_or(Ok(()), |appender| appender.roll().map(|_| ()))
        });
        if let Err(cause) = &rolled {
            tracing::warn!(queue = %queue.name, partition, %cause, "cannot begin a new file");
        }
        self.end(Vec::new(), rolled.err());
    }
}

/// Tells each batch how it ended. After a failure of the disk none of the group is there: the first batch of each
/// producer has the cause, those behind it were aborted; what was refused for its own sake keeps its own error.
fn answer(group: Vec<Pending>, result: Result<()>) {
    let mut failed: Vec<Arc<ProducerState>> = Vec::new();
    for Pending { producer, reply, outcome } in group {
        let outcome = match (&result, outcome) {
            (Ok(()), Some(outcome)) => outcome,
            (Err(_), Some(outcome @ Outcome { prefix: 0, error: Some(_) })) => outcome,
            (Ok(()), None) => Outcome { prefix: 0, error: Some(aborted()) },
            (Err(cause), _) => {
                producer.failed.store(true, Ordering::Release);
                let behind = failed.iter().any(|known| Arc::ptr_eq(known, &producer));
                let error = if behind { aborted() } else { error::again(cause) };
                Outcome { prefix: 0, error: Some(error) }
            }
        };
        if outcome.error.is_some() {
            failed.push(producer);
        }
        // Who waited may have gone: a dropped future takes nothing back.
        let _ = reply.send(outcome);
    }
}

fn aborted() -> Error {
    Error::new(StatusCode::Aborted, "an earlier batch of this producer failed, so this one was not written")
        .with_remedy("recover the producer, then send what was not acknowledged again, in order")
}
