//! The thread that looks after the folder: it removes what retention lets go, and notes how far partitions are synced,
//! so that the next start reads little. It sleeps in between.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use openmessaging::Result;

use super::catalog::{Catalog, Queue};
use super::config::Config;
use super::error;
use super::log::{PartitionLog, lock};
use super::meta::{CHECKPOINTS, Meta};
use super::writer::{Command, WriterHandle};

const CHECKPOINT_EVERY: Duration = Duration::from_secs(10);

/// What the thread works with.
pub(super) struct Housekeeping {
    pub catalog: Arc<Catalog>,
    pub meta: Arc<Meta>,
    pub writer: Arc<WriterHandle>,
    pub config: Config,
}

/// The thread, as others see it.
pub(super) struct Housekeeper {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Housekeeper {
    pub fn start(folder: &Path, work: Housekeeping) -> Result<Self> {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name("oms-local-keep".into())
            .spawn(move || work.run(&stopped))
            .map_err(|cause| error::io("cannot start a thread for", folder, cause))?;
        Ok(Self { stop, thread: Mutex::new(Some(thread)) })
    }

    /// Blocks.
    pub fn close(&self) {
        *lock(&self.stop.0) = true;
        self.stop.1.notify_all();
        if let Some(thread) = lock(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the housekeeping thread panicked");
        }
    }
}

impl Housekeeping {
    fn run(&self, stop: &(Mutex<bool>, Condvar)) {
        let pause = self.config.retention_check.min(CHECKPOINT_EVERY);
        let (mut checked, mut noted) = (Instant::now(), Instant::now());
        loop {
            let stopped = lock(&stop.0);
            let waited = stop.1.wait_timeout_while(stopped, pause, |stopped| !*stopped);
            if *waited.unwrap_or_else(PoisonError::into_inner).0 {
                return;
            }
            if checked.elapsed() >= self.config.retention_check {
                checked = Instant::now();
                self.expire();
            }
            if noted.elapsed() >= CHECKPOINT_EVERY {
                noted = Instant::now();
                store_checkpoints(&self.catalog, &self.meta);
            }
        }
    }

    fn expire(&self) {
        for queue in self.catalog.all() {
            let age = queue.record.retention_ms.or(self.config.retention_ms);
            let size = queue.record.retention_bytes.or(self.config.retention_bytes);
            if age.is_none() && size.is_none() {
                continue;
            }
            for partition in 0..queue.partitions() {
                if let Err(error) = self.expire_partition(&queue, partition, age, size) {
                    tracing::warn!(queue = %queue.name, partition, %error, "retention cannot be kept");
                }
            }
        }
    }

    fn expire_partition(
        &self,
        queue: &Arc<Queue>,
        partition: u32,
        age: Option<u64>,
        size: Option<u64>,
    ) -> Result<()> {
        let log = queue.log(partition, &self.meta)?;
        let before = age.map(|age| now().saturating_sub(i64::try_from(age).unwrap_or(i64::MAX)));
        if before.is_some_and(|before| log.has_expired_whole(before)) {
            self.writer.submit(Command::Roll { queue: queue.clone(), partition })?;
        }
        for path in log.expire(before, size)? {
            std::fs::remove_file(&path).map_err(|cause| error::io("cannot remove", &path, cause))?;
        }
        Ok(())
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64
}

/// Stores how far each partition that changed is synced. Where that fails the next start reads more, that is all.
pub(super) fn store_checkpoints(catalog: &Catalog, meta: &Meta) {
    let mut changed = Vec::new();
    for queue in catalog.all() {
        let logs =
            (0..queue.partitions()).filter_map(|partition| Some((partition, queue.loaded(partition)?)));
        let id = queue.record.id;
        changed.extend(logs.filter_map(|(partition, log)| Some((id, partition, checkpoint(&log)?))));
    }
    if changed.is_empty() {
        return;
    }
    let stored = meta.write_blocking(move |transaction| {
        let mut table = transaction.open_table(CHECKPOINTS)?;
        for (queue, partition, place) in changed {
            table.insert((queue, partition), (place.base, place.len, place.end, place.last_time))?;
        }
        Ok(Ok(()))
    });
    if let Err(error) = stored {
        tracing::warn!(%error, "cannot note how far the folder is synced");
    }
}

/// The log's state, if it is newer than the one stored.
fn checkpoint(log: &PartitionLog) -> Option<super::segment::Checkpoint> {
    log.changed.swap(false, Ordering::AcqRel).then(|| log.checkpoint()).flatten()
}
