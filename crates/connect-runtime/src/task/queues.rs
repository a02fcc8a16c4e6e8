//! The queues a source writes to: made when they are first met, their partitions known.

use std::collections::HashMap;
use std::sync::Arc;

use openmessaging::partitioner::partition_for;
use openmessaging::{Error, MessageBatch, MessagingAccessPoint, QueueSpec, Result, StatusCode};

/// What a task knows of its queues.
pub struct Queues {
    access_point: Arc<dyn MessagingAccessPoint>,
    /// Partitions of a queue that this task makes.
    partitions: u32,
    known: HashMap<Arc<str>, u32>,
}

impl Queues {
    pub fn new(access_point: Arc<dyn MessagingAccessPoint>, partitions: u32) -> Self {
        Self { access_point, partitions, known: HashMap::new() }
    }

    /// Makes the queues of the batch that do not exist, and chooses partitions where a queue has several: the same one for
    /// the same sharding key.
    pub async fn prepare(&mut self, batch: &mut MessageBatch) -> Result<()> {
        let mut several = false;
        for queue in batch.queues().to_vec() {
            let partitions = match self.known.get(&queue) {
                Some(partitions) => *partitions,
                None => {
                    let partitions = self.ensure(&queue).await?;
                    self.known.insert(queue, partitions);
                    partitions
                }
            };
            several |= partitions > 1;
        }
        if several {
            self.choose_partitions(batch);
        }
        Ok(())
    }

    /// Forgets what is known, after a queue turned out to be gone.
    pub fn forget(&mut self) {
        self.known.clear();
    }

    fn choose_partitions(&self, batch: &mut MessageBatch) {
        for index in 0..batch.len() {
            let Some(message) = batch.get(index).filter(|message| message.partition.is_none()) else {
                continue;
            };
            let partitions = self.known.get(message.queue).copied().unwrap_or(1);
            let partition = message.order_key().map_or(0, |key| partition_for(key, partitions));
            batch.set_partition(index, partition);
        }
    }

    async fn ensure(&self, queue: &str) -> Result<u32> {
        let resources = self.access_point.resources();
        match resources.describe_queue(queue).await {
            Ok(description) => return Ok(description.partitions.len() as u32),
            Err(error) if error.status == StatusCode::NotFound => {}
            Err(error) => return Err(error),
        }
        match resources.create_queue(&QueueSpec::new(queue, self.partitions)).await {
            Ok(()) => tracing::info!(queue, partitions = self.partitions, "queue created"),
            Err(error) if error.status == StatusCode::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        Ok(resources.describe_queue(queue).await?.partitions.len() as u32)
    }
}

/// An error of a broker as a task's error.
pub fn broker_error(error: Error) -> openmessaging_connector::Error {
    use openmessaging_connector::{Error as TaskError, ErrorKind};
    let (kind, code) = match error.status {
        _ if error.is_retriable() => (ErrorKind::Retriable, "broker.unavailable"),
        StatusCode::MessageTooLarge => (ErrorKind::Fatal, "broker.message_too_large"),
        StatusCode::Unauthorized | StatusCode::Forbidden => (ErrorKind::Fatal, "broker.forbidden"),
        _ => (ErrorKind::Fatal, "broker.refused"),
    };
    TaskError::new(kind, code, error.to_string())
}
