//! Positions of consumer groups: a bucket of our own, one key for each queue, partition and group.
//!
//! ```text
//! $KV.omsconnect-positions.<queue>.<partition>.<group>     4711 2025-11-22T08:26:40.123456789Z
//! ```
//!
//! The value is the offset of the next message, and when the partition's stream was made: a position in a stream that was
//! deleted and made anew is none.

use std::sync::atomic::{AtomicBool, Ordering};

use openmessaging::Result;
use tokio::time::Instant;

use super::api::JetStream;
use super::bucket::{self, Write};
use super::catalog::Partition;
use super::error::STREAM_NOT_FOUND;
use super::names::{bucket_prefix, bucket_stream, push_part};

pub(super) struct Positions {
    bucket: String,
    /// The bucket is there.
    made: AtomicBool,
}

impl Positions {
    pub fn new(bucket: String) -> Self {
        Self { bucket, made: AtomicBool::new(false) }
    }

    fn subject(&self, queue: &str, partition: u32, group: &str) -> String {
        let mut subject = bucket_prefix(&self.bucket);
        push_part(&mut subject, queue);
        subject.push_str(&format!(".{partition}."));
        push_part(&mut subject, group);
        subject
    }

    pub async fn get(
        &self,
        js: &JetStream,
        (queue, number): (&str, u32),
        partition: &Partition,
        group: &str,
        deadline: Instant,
    ) -> Result<Option<u64>> {
        let subject = self.subject(queue, number, group);
        match js.last(&bucket_stream(&self.bucket), &subject, deadline).await? {
            Ok(stored) => Ok(stored.and_then(|stored| decode(&stored.data, &partition.info.created))),
            Err(error) if error.err_code == STREAM_NOT_FOUND => Ok(None),
            Err(error) => Err(error.into_error(js.server(), &format!("reading a position of queue {queue}"))),
        }
    }

    pub async fn put(
        &self,
        js: &JetStream,
        (queue, number): (&str, u32),
        partition: &Partition,
        group: &str,
        offset: u64,
        deadline: Instant,
    ) -> Result<()> {
        if !self.made.swap(true, Ordering::Relaxed) {
            bucket::create(js, &self.bucket, deadline)
                .await
                .inspect_err(|_| self.made.store(false, Ordering::Relaxed))?;
        }
        let value = format!("{offset} {}", partition.info.created);
        let what = format!("writing a position of queue {queue}");
        let write = Write {
            subject: &self.subject(queue, number, group),
            value: Some(value.as_bytes()),
            expected: None,
        };
        let written = bucket::write(js, &self.bucket, write, deadline, &what).await?;
        written.map(|_| ()).map_err(|error| error.into_error(js.server(), &what))
    }

    /// Removes all positions of a queue.
    pub async fn forget(&self, js: &JetStream, queue: &str, deadline: Instant) -> Result<()> {
        let mut filter = bucket_prefix(&self.bucket);
        push_part(&mut filter, queue);
        js.purge(&bucket_stream(&self.bucket), &format!("{filter}.>"), deadline).await
    }
}

fn decode(value: &[u8], created: &str) -> Option<u64> {
    let (offset, of) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    if of == created { offset.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_of_one_stream() {
        assert_eq!(decode(b"7 today", "today"), Some(7));
        assert_eq!(decode(b"7 today", "tomorrow"), None);
        assert_eq!(decode(b"7", "today"), None);
        let positions = Positions::new("b".into());
        assert_eq!(positions.subject("a.b", 3, ""), "$KV.b.a=2Eb.3.=");
    }
}
