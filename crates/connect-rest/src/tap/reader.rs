//! Reads a queue for somebody who wants to look at it.

use std::time::Duration;

use openmessaging::{
    ConsumerOptions, Error, MessagingAccessPoint, PullConsumer, QueuePartition, Result, StartAt, StatusCode,
};
use tokio::time::Instant;

use super::line::write_line;

/// How much is read at a time: small, so that the first messages are shown at once and a tap costs little.
const BATCH_BYTES: usize = 256 << 10;
/// The longest wait of one poll. Messages end it at once, so this says only how often the deadline is looked at.
const POLL_WAIT: Duration = Duration::from_secs(5);

/// What to read.
#[derive(Debug, Clone, Copy)]
pub struct TapOptions {
    pub from: StartAt,
    /// This partition alone; `None`: all.
    pub partition: Option<u32>,
    /// End after this many messages.
    pub limit: Option<u64>,
    /// End after this time in all, whatever was read.
    pub timeout: Option<Duration>,
}

impl Default for TapOptions {
    fn default() -> Self {
        Self { from: StartAt::Begin, partition: None, limit: None, timeout: None }
    }
}

/// A reader of one queue. It commits nothing, so no other reader is disturbed. Dropped, it closes its consumer.
pub struct Tap {
    /// Taken when it closes.
    consumer: Option<Box<dyn PullConsumer>>,
    left: u64,
    deadline: Option<Instant>,
}

impl Tap {
    /// Starts to read; with `StartAt::End` every message sent after this returns is seen.
    ///
    /// # Errors
    /// `NotFound` and `PartitionNotFound`, or what the broker says.
    pub async fn open(
        access_point: &dyn MessagingAccessPoint,
        queue: &str,
        options: TapOptions,
    ) -> Result<Self> {
        let description = access_point.resources().describe_queue(queue).await?;
        let wanted = |partition: &u32| options.partition.is_none_or(|only| only == *partition);
        let partitions: Vec<_> = description
            .partitions
            .iter()
            .map(|partition| partition.partition)
            .filter(wanted)
            .map(|partition| (QueuePartition::new(queue, partition), options.from))
            .collect();
        if partitions.is_empty() {
            let wanted = options.partition.unwrap_or_default();
            let message = format!("queue {queue} has no partition {wanted}");
            let remedy = format!("it has {} partition(s), counted from 0", description.partitions.len());
            return Err(Error::new(StatusCode::PartitionNotFound, message).with_remedy(remedy));
        }
        let consumer_options =
            ConsumerOptions { prefetch_bytes: Some(BATCH_BYTES), ..ConsumerOptions::default() };
        let mut consumer = access_point.pull_consumer(consumer_options).await?;
        consumer.assign(&partitions).await?;
        let deadline = options.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Ok(Self { consumer: Some(consumer), left: options.limit.unwrap_or(u64::MAX), deadline })
    }

    /// The next messages, a line each, as soon as there are any; `None` when the limit or the timeout is reached.
    /// Dropping the future loses nothing (D19).
    ///
    /// # Errors
    /// What the broker says; the reader is of no more use then.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            let now = Instant::now();
            let remaining = self.deadline.map(|deadline| deadline.saturating_duration_since(now));
            let Some(consumer) = &mut self.consumer else { return Ok(None) };
            if self.left == 0 || remaining.is_some_and(|remaining| remaining.is_zero()) {
                self.close().await?;
                return Ok(None);
            }
            let wait = remaining.map_or(POLL_WAIT, |remaining| remaining.min(POLL_WAIT));
            let Some(batch) = consumer.poll(BATCH_BYTES, wait).await? else { continue };
            let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(batch.messages.len());
            let mut lines = Vec::with_capacity(batch.messages.data_len() + 128 * count);
            for (message, offset) in batch.messages.iter().zip(&batch.offsets).take(count) {
                write_line(&mut lines, &batch.partition, *offset, &message);
            }
            self.left -= count as u64;
            return Ok(Some(lines));
        }
    }

    /// Lets the broker know that nobody reads any more.
    pub async fn close(&mut self) -> Result<()> {
        match self.consumer.take() {
            Some(mut consumer) => consumer.close().await,
            None => Ok(()),
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        if let (Some(mut consumer), Ok(runtime)) =
            (self.consumer.take(), tokio::runtime::Handle::try_current())
        {
            runtime.spawn(async move {
                if let Err(error) = consumer.close().await {
                    tracing::debug!(%error, "a tap's consumer did not close");
                }
            });
        }
    }
}
