//! The queues of a folder, by name.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use openmessaging::{Error, QueuePartition, QueueSpec, Result, StatusCode};
use redb::ReadableTable;
use serde::{Deserialize, Serialize};

use super::config::{Config, queue_segment_bytes};
use super::error::{self, bad_parameter};
use super::log::{PartitionLog, lock};
use super::meta::{self, CHECKPOINTS, Meta, POSITIONS, QUEUES};

const FOLDER: &str = "queues";
const MAX_PARTITIONS: u32 = 10_000;

/// A queue as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct QueueRecord {
    /// Of this form: 1.
    v: u32,
    pub id: u64,
    pub partitions: u32,
    pub retention_ms: Option<u64>,
    pub retention_bytes: Option<u64>,
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
}

/// A queue of an open folder. Its partitions are read when they are first used.
pub(super) struct Queue {
    pub name: Arc<str>,
    pub record: QueueRecord,
    pub segment_bytes: u64,
    folder: PathBuf,
    logs: Vec<Mutex<Option<Arc<PartitionLog>>>>,
    deleted: AtomicBool,
}

impl Queue {
    fn new(root: &Path, name: &str, record: QueueRecord, config: &Config) -> Result<Self> {
        let segment_bytes = queue_segment_bytes(&record.properties)?.unwrap_or(config.segment_bytes);
        let folder = root.join(folder_name(name, record.id));
        let logs = (0..record.partitions).map(|_| Mutex::new(None)).collect();
        Ok(Self { name: name.into(), record, segment_bytes, folder, logs, deleted: AtomicBool::new(false) })
    }

    pub fn partitions(&self) -> u32 {
        self.record.partitions
    }

    /// The partition's log, read from disk the first time: that may block for as long as it takes to read one segment.
    pub fn log(&self, partition: u32, meta: &Meta) -> Result<Arc<PartitionLog>> {
        let Some(slot) = self.logs.get(partition as usize) else {
            return Err(error::no_partition(&self.name, partition, self.partitions()));
        };
        let mut slot = lock(slot);
        if let Some(log) = slot.as_ref() {
            return Ok(log.clone());
        }
        let checkpoint = meta.checkpoint(self.record.id, partition)?;
        let name = QueuePartition::new(self.name.clone(), partition);
        let log = Arc::new(PartitionLog::load(name, self.folder.join(partition.to_string()), checkpoint)?);
        if self.deleted.load(Ordering::Acquire) {
            return Err(error::no_queue(&self.name));
        }
        *slot = Some(log.clone());
        Ok(log)
    }

    /// The partition's log if it is in use.
    pub fn loaded(&self, partition: u32) -> Option<Arc<PartitionLog>> {
        self.logs.get(partition as usize).and_then(|slot| lock(slot).clone())
    }
}

/// Names are kept in the folder's name, for people; the id keeps a queue apart from an earlier one of its name.
fn folder_name(name: &str, id: u64) -> String {
    format!("{name}.{id}")
}

pub(super) struct Catalog {
    root: PathBuf,
    config: Config,
    queues: RwLock<HashMap<Arc<str>, Arc<Queue>>>,
}

impl Catalog {
    /// Reads the names of all queues, and removes what a deletion that was cut short left behind. Blocks.
    pub fn open(folder: &Path, config: &Config, meta: &Meta) -> Result<Self> {
        let root = folder.join(FOLDER);
        std::fs::create_dir_all(&root).map_err(|e| error::io("cannot create", &root, e))?;
        let stored: Vec<(String, Vec<u8>)> = meta.read(|reading| {
            let table = reading.open_table(QUEUES)?;
            let entry =
                |entry: std::result::Result<(redb::AccessGuard<&str>, redb::AccessGuard<&[u8]>), _>| {
                    entry.map(|(name, record)| (name.value().to_owned(), record.value().to_owned()))
                };
            Ok(table.iter()?.map(entry).collect::<std::result::Result<_, redb::StorageError>>()?)
        })?;
        let mut queues = HashMap::new();
        for (name, record) in stored {
            let record = serde_json::from_slice(&record).map_err(|cause| {
                let message = format!("the entry of queue \"{name}\" in {} cannot be read", folder.display());
                Error::new(StatusCode::Corrupt, message).with_source(cause)
            })?;
            let queue = Arc::new(Queue::new(&root, &name, record, config)?);
            queues.insert(queue.name.clone(), queue);
        }
        let catalog = Self { root, config: config.clone(), queues: RwLock::new(queues) };
        catalog.remove_orphans();
        Ok(catalog)
    }

    fn remove_orphans(&self) {
        let known: Vec<_> = self.all().iter().map(|queue| queue.folder.clone()).collect();
        let found = std::fs::read_dir(&self.root).into_iter().flatten().flatten();
        for orphan in found.map(|entry| entry.path()).filter(|path| !known.contains(path)) {
            remove(&orphan);
        }
    }

    pub fn all(&self) -> Vec<Arc<Queue>> {
        let queues = self.queues.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = queues.values().cloned().collect();
        all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// # Errors
    /// `NotFound`.
    pub fn find(&self, name: &str) -> Result<Arc<Queue>> {
        let queues = self.queues.read().unwrap_or_else(PoisonError::into_inner);
        queues.get(name).cloned().ok_or_else(|| error::no_queue(name))
    }

    pub async fn create(self: &Arc<Self>, spec: &QueueSpec, meta: &Meta) -> Result<()> {
        check(spec)?;
        let (spec, catalog) = (spec.clone(), self.clone());
        let name = spec.name.clone();
        let write = move |transaction: &redb::WriteTransaction| {
            let mut table = transaction.open_table(QUEUES)?;
            if table.get(spec.name.as_str())?.is_some() {
                let message = format!("queue \"{}\" exists already", spec.name);
                return Ok(Err(Error::new(StatusCode::AlreadyExists, message)));
            }
            let record = QueueRecord {
                v: 1,
                id: meta::next_queue(transaction)?,
                partitions: spec.partitions,
                retention_ms: spec.retention_ms,
                retention_bytes: spec.retention_bytes,
                properties: spec.properties,
            };
            let bytes = match serde_json::to_vec(&record) {
                Ok(bytes) => bytes,
                Err(cause) => return Ok(Err(bad_parameter("the queue cannot be stored").with_source(cause))),
            };
            table.insert(spec.name.as_str(), bytes.as_slice())?;
            Ok(Ok(record))
        };
        let publish = move |record: &QueueRecord| {
            // Its properties were checked.
            if let Ok(queue) = Queue::new(&catalog.root, &name, record.clone(), &catalog.config) {
                let mut queues = catalog.queues.write().unwrap_or_else(PoisonError::into_inner);
                queues.insert(queue.name.clone(), Arc::new(queue));
            }
        };
        meta.write(write, publish).await.map(|_| ())
    }

    /// Forgets the queue, then removes its files; answers its id. When the process is killed in between, the next one removes them.
    pub async fn delete(self: &Arc<Self>, name: &str, meta: &Meta) -> Result<u64> {
        let (wanted, catalog) = (name.to_owned(), self.clone());
        let write = move |transaction: &redb::WriteTransaction| {
            let mut table = transaction.open_table(QUEUES)?;
            let record = table.remove(wanted.as_str())?.map(|old| old.value().to_owned());
            let id = record.and_then(|old| serde_json::from_slice::<QueueRecord>(&old).ok());
            let Some(QueueRecord { id, .. }) = id else { return Ok(Err(error::no_queue(&wanted))) };
            let (first, behind) = ((id, 0, ""), (id + 1, 0, ""));
            transaction.open_table(POSITIONS)?.retain_in(first..behind, |_, _| false)?;
            transaction.open_table(CHECKPOINTS)?.retain_in((id, 0)..(id + 1, 0), |_, _| false)?;
            Ok(Ok(id))
        };
        let name = name.to_owned();
        let forget = move |_: &u64| {
            let removed =
                catalog.queues.write().unwrap_or_else(PoisonError::into_inner).remove(name.as_str());
            if let Some(queue) = removed {
                queue.deleted.store(true, Ordering::Release);
                for log in (0..queue.partitions()).filter_map(|partition| queue.loaded(partition)) {
                    log.delete();
                }
                // Removing large files takes its time, and nobody needs to wait for it.
                std::thread::spawn(move || remove(&queue.folder));
            }
        };
        meta.write(write, forget).await
    }
}

fn remove(folder: &Path) {
    match std::fs::remove_dir_all(folder) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(folder = %folder.display(), %cause, "cannot remove the files of a deleted queue");
        }
        _ => {}
    }
}

fn check(spec: &QueueSpec) -> Result<()> {
    let name = &spec.name;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.len() > 200 || !name.chars().all(allowed) {
        let shown: String = name.chars().take(60).collect();
        return Err(bad_parameter(format!("\"{shown}\" cannot be the name of a queue"))
            .with_remedy("use 1 to 200 letters, digits, \".\", \"_\" and \"-\""));
    }
    if !(1..=MAX_PARTITIONS).contains(&spec.partitions) {
        return Err(bad_parameter(format!("queue \"{name}\" cannot have {} partitions", spec.partitions))
            .with_remedy(format!("ask for 1 to {MAX_PARTITIONS}")));
    }
    queue_segment_bytes(&spec.properties).map(|_| ())
}
