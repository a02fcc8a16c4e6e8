//! Pull consumers. What was just written is read on the caller's thread, from memory; a backlog on a thread for
//! blocking work. A consumer at the end sleeps until the writer wakes it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use openmessaging::{
    ConsumedBatch, ConsumerOptions, Error, PullConsumer, QueuePartition, Result, StartAt, StatusCode,
};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::access_point::{Handle, blocking};
use super::error::{self, bad_parameter};
use super::log::PartitionLog;
use super::meta::POSITIONS;
use super::reader::{self, Buffers, OpenSegment};

/// Up to so many fresh bytes are read on the caller's thread: a fraction of a millisecond.
const INLINE_BYTES: u64 = 256 * 1024;

/// A consumer of more partitions closes each file after reading.
const OPEN_FILES: usize = 128;

/// An assigned partition.
struct Assigned {
    log: Arc<PartitionLog>,
    queue: u64,
    /// Of the next message to return.
    offset: u64,
    open: Option<OpenSegment>,
    paused: bool,
}

/// What a read on another thread gives back.
type Finished = (Option<OpenSegment>, Box<Buffers>, Result<Option<ConsumedBatch>>);

/// A read on another thread. It outlives a poll that is dropped.
struct Reading {
    log: u64,
    from: u64,
    task: JoinHandle<Finished>,
}

pub(super) struct LocalConsumer {
    handle: Arc<Handle>,
    group: String,
    assigned: Vec<Assigned>,
    /// Whose turn it is.
    turn: usize,
    buffers: Option<Box<Buffers>>,
    reading: Option<Reading>,
    wakened: Arc<Notify>,
    closed: bool,
}

impl LocalConsumer {
    pub fn new(handle: Arc<Handle>, options: ConsumerOptions) -> Self {
        Self {
            handle,
            group: options.group,
            assigned: Vec::new(),
            turn: 0,
            buffers: None,
            reading: None,
            wakened: Arc::default(),
            closed: false,
        }
    }

    fn check(&self) -> Result<()> {
        if self.closed { Err(error::closed(&self.handle.shared.folder)) } else { self.handle.check() }
    }

    fn index(&self, partition: &QueuePartition) -> Option<usize> {
        self.assigned.iter().position(|assigned| assigned.log.partition == *partition)
    }

    fn assigned(&mut self, partition: &QueuePartition) -> Result<&mut Assigned> {
        let missing = || bad_parameter(format!("{partition} is not assigned to this consumer"));
        let index = self.index(partition).ok_or_else(missing)?;
        self.assigned.get_mut(index).ok_or_else(missing)
    }

    /// The next partition in turn that has something to say.
    fn ready(&mut self) -> Option<usize> {
        let count = self.assigned.len();
        (0..count).map(|step| (self.turn + step) % count).find(|index| {
            let Assigned { log, offset, paused, .. } = &self.assigned[*index];
            !*paused && (log.end() > *offset || log.check_exists().is_err())
        })
    }

    /// Reads from that partition, or begins to.
    fn read(&mut self, index: usize, max_bytes: usize) -> Result<Option<ConsumedBatch>> {
        self.turn = index + 1;
        let mut buffers = self.buffers.take().unwrap_or_default();
        let assigned = &mut self.assigned[index];
        assigned.log.check_exists()?;
        let (log, from, mut open) = (assigned.log.clone(), assigned.offset, assigned.open.take());
        if reader::fresh_bytes(&log, open.as_ref()).is_some_and(|bytes| bytes <= INLINE_BYTES) {
            let result = reader::read(&log, from, &mut open, &mut buffers, max_bytes);
            return self.take_over(log.id, from, (open, buffers, result));
        }
        let id = log.id;
        let task = tokio::task::spawn_blocking(move || {
            let result = reader::read(&log, from, &mut open, &mut buffers, max_bytes);
            (open, buffers, result)
        });
        self.reading = Some(Reading { log: id, from, task });
        Ok(None)
    }

    /// The result of a read, unless its partition was paused, moved or taken away meanwhile.
    fn take_over(&mut self, log: u64, from: u64, finished: Finished) -> Result<Option<ConsumedBatch>> {
        let (open, buffers, result) = finished;
        self.buffers = Some(buffers);
        let keep_open = self.assigned.len() <= OPEN_FILES;
        let wanted = |assigned: &&mut Assigned| assigned.log.id == log && assigned.offset == from;
        let Some(assigned) = self.assigned.iter_mut().find(wanted) else { return Ok(None) };
        if assigned.paused {
            // The file's place may be behind what was not returned: it is found again from the start.
            return Ok(None);
        }
        assigned.open = open.filter(|_| keep_open);
        let batch = result?;
        assigned.offset = match batch.as_ref().and_then(|batch| batch.offsets.last()) {
            Some(last) => last + 1,
            // All of it was removed by retention.
            None => from.max(assigned.log.state().begin()),
        };
        Ok(batch)
    }

    async fn finish_reading(&mut self) -> Result<Option<ConsumedBatch>> {
        let Some(reading) = &mut self.reading else { return Ok(None) };
        let finished = (&mut reading.task).await;
        let Some(Reading { log, from, .. }) = self.reading.take() else { return Ok(None) };
        match finished {
            Ok(finished) => self.take_over(log, from, finished),
            // The runtime it ran on has ended: it is read again.
            Err(ended) if ended.is_cancelled() => Ok(None),
            Err(_) => Err(Error::new(StatusCode::ServerError, "reading the folder panicked")),
        }
    }

    async fn resolve(&self, log: &Arc<PartitionLog>, queue: u64, at: StartAt) -> Result<u64> {
        let (begin, end) = {
            let state = log.state();
            (state.begin(), state.end)
        };
        Ok(match at {
            StartAt::Begin => begin,
            StartAt::End => end,
            StartAt::Offset(offset) => offset.max(begin),
            StartAt::Timestamp(time) => {
                let log = log.clone();
                blocking(move || log.offset_at(time)).await?
            }
            StartAt::Committed => {
                let stored = self.stored(queue, log.partition.partition)?;
                stored.map_or(begin, |offset| offset.max(begin))
            }
        })
    }

    fn stored(&self, queue: u64, partition: u32) -> Result<Option<u64>> {
        self.handle.shared.meta.read(|reading| {
            let table = reading.open_table(POSITIONS)?;
            Ok(table.get((queue, partition, self.group.as_str()))?.map(|offset| offset.value()))
        })
    }

    fn let_go(&mut self) {
        for assigned in self.assigned.drain(..) {
            assigned.log.unsubscribe(&self.wakened);
        }
    }
}

impl Drop for LocalConsumer {
    fn drop(&mut self) {
        self.let_go();
    }
}

#[async_trait]
impl PullConsumer for LocalConsumer {
    async fn assign(&mut self, partitions: &[(QueuePartition, StartAt)]) -> Result<()> {
        self.check()?;
        let mut assigned: Vec<Assigned> = Vec::with_capacity(partitions.len());
        for (partition, at) in partitions {
            let shared = self.handle.shared.clone();
            let queue = shared.catalog.find(&partition.queue)?;
            let (id, number) = (queue.record.id, partition.partition);
            let log = match queue.loaded(number) {
                Some(log) => log,
                None => blocking(move || queue.log(number, &shared.meta)).await?,
            };
            if assigned.iter().any(|other| other.log.id == log.id) {
                return Err(bad_parameter(format!("{partition} is named twice in an assignment")));
            }
            let offset = self.resolve(&log, id, *at).await?;
            assigned.push(Assigned { log, queue: id, offset, open: None, paused: false });
        }
        self.let_go();
        self.reading = None;
        self.assigned = assigned;
        self.turn = 0;
        self.assigned.iter().for_each(|assigned| assigned.log.subscribe(&self.wakened));
        Ok(())
    }

    async fn poll(&mut self, max_bytes: usize, wait: Duration) -> Result<Option<ConsumedBatch>> {
        let deadline = Instant::now() + wait;
        loop {
            self.check()?;
            if let Some(batch) = self.finish_reading().await? {
                return Ok(Some(batch));
            }
            if let Some(index) = self.ready() {
                match self.read(index, max_bytes)? {
                    Some(batch) => return Ok(Some(batch)),
                    None => continue,
                }
            }
            tokio::select! {
                () = self.wakened.notified() => {}
                () = self.handle.closed.cancelled() => {}
                () = tokio::time::sleep_until(deadline) => return Ok(None),
            }
        }
    }

    async fn seek(&mut self, partition: &QueuePartition, to: StartAt) -> Result<()> {
        self.check()?;
        let Assigned { log, queue, .. } = self.assigned(partition)?;
        let (log, queue) = (log.clone(), *queue);
        log.check_exists()?;
        let offset = self.resolve(&log, queue, to).await?;
        if self.reading.as_ref().is_some_and(|reading| reading.log == log.id) {
            self.reading = None;
        }
        let assigned = self.assigned(partition)?;
        (assigned.offset, assigned.open) = (offset, None);
        Ok(())
    }

    fn pause(&mut self, partitions: &[QueuePartition]) {
        for assigned in &mut self.assigned {
            assigned.paused |= partitions.contains(&assigned.log.partition);
        }
    }

    fn resume(&mut self, partitions: &[QueuePartition]) {
        for assigned in &mut self.assigned {
            assigned.paused &= !partitions.contains(&assigned.log.partition);
        }
    }

    fn position(&self, partition: &QueuePartition) -> Option<u64> {
        self.index(partition).map(|index| self.assigned[index].offset)
    }

    async fn commit(&mut self, positions: &[(QueuePartition, u64)]) -> Result<()> {
        self.check()?;
        let mut stored = Vec::with_capacity(positions.len());
        for (partition, offset) in positions {
            let queue = self.handle.shared.catalog.find(&partition.queue)?;
            if partition.partition >= queue.partitions() {
                return Err(error::no_partition(&queue.name, partition.partition, queue.partitions()));
            }
            stored.push((queue.record.id, partition.partition, *offset));
        }
        let group = self.group.clone();
        let write = move |transaction: &redb::WriteTransaction| {
            let mut table = transaction.open_table(POSITIONS)?;
            for (queue, partition, offset) in stored {
                table.insert((queue, partition, group.as_str()), offset)?;
            }
            Ok(Ok(()))
        };
        self.handle.shared.meta.write(write, |()| {}).await
    }

    async fn committed(&mut self, partition: &QueuePartition) -> Result<Option<u64>> {
        self.check()?;
        let queue = self.handle.shared.catalog.find(&partition.queue)?;
        if partition.partition >= queue.partitions() {
            return Err(error::no_partition(&queue.name, partition.partition, queue.partitions()));
        }
        self.stored(queue.record.id, partition.partition)
    }

    async fn close(&mut self) -> Result<()> {
        self.let_go();
        self.reading = None;
        self.closed = true;
        Ok(())
    }
}
