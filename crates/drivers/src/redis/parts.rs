//! Batches in parts: what one call of the script stores. Small enough that the server is not held up and little is held
//! twice, large enough that a call costs little.

use std::sync::Arc;

use openmessaging::partitioner::partition_for;
use openmessaging::{Error, Message, MessageBatch, Result, StatusCode};

use super::super::common::settings::bad_parameter;
use super::catalog::Queue;
use super::entry::Shape;
use super::error;
use super::resp::{array, bulk, number};

/// A part ends behind so many bytes, or messages.
const PART_BYTES: usize = 128 * 1024;
const PART_MESSAGES: usize = 512;

/// Each is two arguments of one call in the script, which takes 8,000.
const MAX_HEADERS: usize = 3_000;

/// What is known of each queue of a batch, in the order of `MessageBatch::queues`.
pub(super) type Queues = Vec<Result<Arc<Queue>>>;

/// What decides where messages go and which are refused.
pub(super) struct Rules<'a> {
    pub queues: &'a Queues,
    /// Messages without key go to the partition of this number, so that those of one batch stay together.
    pub turn: u64,
    pub max_message_bytes: usize,
}

/// Messages of a batch that follow each other and are stored by one call.
pub(super) struct Part {
    pub count: usize,
    pub bytes: usize,
    shape: Shape,
    streams: Vec<Arc<str>>,
    /// Which of the streams each message goes to.
    targets: Vec<u32>,
}

/// Everything else that the script is told.
pub(super) struct Call<'a> {
    pub sha: &'a [u8],
    /// The key of the producer.
    pub producer: &'a [u8],
    pub epoch: u64,
    pub number: u64,
    pub keep_ms: u64,
    pub auto_ids: bool,
}

impl Part {
    /// The part that begins with the message at `from`, of at most `limit` messages; and why the message behind it can
    /// never be stored, where it cannot.
    pub fn plan(
        batch: &MessageBatch,
        from: usize,
        limit: Option<usize>,
        rules: &Rules<'_>,
    ) -> (Self, Option<Error>) {
        let mut part =
            Self { count: 0, bytes: 0, shape: Shape::Any, streams: Vec::new(), targets: Vec::new() };
        while let Some(message) = batch.get(from + part.count) {
            let full = match limit {
                Some(limit) => part.count >= limit,
                None => part.bytes >= PART_BYTES || part.count >= PART_MESSAGES,
            };
            if full {
                break;
            }
            let index = batch.queue_of(from + part.count).unwrap_or_default();
            match rules.target(index, &message) {
                Ok(stream) => part.add(stream, &message),
                Err(error) => return (part, Some(error)),
            }
        }
        (part, None)
    }

    fn add(&mut self, stream: &Arc<str>, message: &Message<'_>) {
        let known = self.streams.iter().rposition(|known| Arc::ptr_eq(known, stream) || known == stream);
        let target = known.unwrap_or_else(|| {
            self.streams.push(stream.clone());
            self.streams.len() - 1
        });
        let shape = Shape::of(message);
        if self.count == 0 {
            self.shape = shape;
        } else if self.shape != shape {
            self.shape = Shape::Any;
        }
        self.targets.push(target as u32);
        self.count += 1;
        self.bytes += message.size();
    }

    /// Appends the call that stores the part, which begins with the message at `from`.
    pub fn encode(&self, batch: &MessageBatch, from: usize, call: &Call<'_>, out: &mut Vec<u8>) {
        let several = self.streams.len() > 1;
        let messages = || (from..from + self.count).filter_map(|index| batch.get(index));
        let arguments: usize = messages().map(|message| self.shape.arguments(&message)).sum();
        let targets = if several { self.count } else { 0 };
        out.reserve(self.bytes + 32 * (arguments + targets));
        array(out, 3 + 1 + self.streams.len() + 5 + arguments + targets);
        bulk(out, b"EVALSHA");
        bulk(out, call.sha);
        number(out, 1 + self.streams.len() as i64);
        bulk(out, call.producer);
        for stream in &self.streams {
            bulk(out, stream.as_bytes());
        }
        number(out, call.epoch as i64);
        number(out, call.number as i64);
        number(out, call.keep_ms as i64);
        bulk(out, if call.auto_ids { b"1" } else { b"0" });
        bulk(out, self.shape.name());
        for (message, target) in messages().zip(&self.targets) {
            if several {
                // The first key is the producer's, and counting begins with 1.
                number(out, i64::from(*target) + 2);
            }
            self.shape.write(&message, out);
        }
    }
}

impl Rules<'_> {
    /// The stream that a message goes to.
    fn target(&self, index: usize, message: &Message<'_>) -> Result<&Arc<str>> {
        let queue = match self.queues.get(index) {
            Some(Ok(queue)) => queue,
            Some(Err(error)) => return Err(error::again(error)),
            None => return Err(error::no_queue(message.queue)),
        };
        let size = message.size();
        if size > self.max_message_bytes {
            let limit = self.max_message_bytes;
            let text =
                format!("a message for queue \"{}\" has {size} bytes; {limit} are allowed", queue.name);
            return Err(Error::new(StatusCode::MessageTooLarge, text)
                .with_remedy("make it smaller, or raise max.message.bytes"));
        }
        if !message.headers.is_empty() && message.headers.into_iter().count() > MAX_HEADERS {
            let text = format!("a message for queue \"{}\" has more than {MAX_HEADERS} headers", queue.name);
            return Err(bad_parameter(text).with_remedy("put them into one, or into the body"));
        }
        let partitions = queue.partitions();
        let partition = match (message.partition, message.order_key()) {
            (Some(partition), _) => partition,
            (None, Some(key)) => partition_for(key, partitions),
            (None, None) => (self.turn % u64::from(partitions.max(1))) as u32,
        };
        queue.stream(partition)
    }
}

#[cfg(test)]
mod tests {
    use super::super::resp::{Reply, reply};
    use super::*;

    fn rules(queues: &Queues) -> Rules<'_> {
        Rules { queues, turn: 5, max_message_bytes: 1 << 20 }
    }

    fn queue(name: &str, partitions: u32) -> Result<Arc<Queue>> {
        Ok(Arc::new(Queue::sample(name, partitions)))
    }

    fn encoded(batch: &MessageBatch, from: usize, part: &Part) -> Vec<String> {
        let call = Call { sha: b"s", producer: b"p", epoch: 1, number: 9, keep_ms: 5, auto_ids: true };
        let mut out = Vec::new();
        part.encode(batch, from, &call, &mut out);
        let (Reply::Array(parts), used) = reply(&out).expect("well formed").expect("whole") else {
            panic!("a command is an array");
        };
        assert_eq!(used, out.len());
        parts.iter().map(|part| part.text().expect("text").to_owned()).collect()
    }

    #[test]
    fn a_part_is_one_call() {
        let name: Arc<str> = "q".into();
        let mut batch = MessageBatch::new();
        for partition in [Some(1), None, Some(1)] {
            batch.start().finish(&name, partition, 7, Some(b"x"));
        }
        let queues = vec![queue("q", 3)];
        let (part, end) = Part::plan(&batch, 0, Some(1), &rules(&queues));
        assert!(end.is_none());
        let expected = ["EVALSHA", "s", "2", "p", "q/1", "1", "9", "5", "1", "b", "7", "x"];
        assert_eq!(encoded(&batch, 0, &part), expected);
        let (part, _) = Part::plan(&batch, 0, None, &rules(&queues));
        let text = encoded(&batch, 0, &part);
        assert_eq!(text[2..6], ["3", "p", "q/1", "q/2"]);
        assert_eq!(
            text[11..],
            ["2", "7", "x", "3", "7", "x", "2", "7", "x"],
            "the turn's partition is 5 % 3"
        );
        let (part, _) = Part::plan(&batch, 2, None, &rules(&queues));
        assert_eq!(part.count, 1);
    }

    #[test]
    fn parts_end_where_they_are_large_enough() {
        let name: Arc<str> = "q".into();
        let mut batch = MessageBatch::new();
        for _ in 0..1000 {
            batch.start().finish(&name, None, 7, Some(&[b'x'; 1000]));
        }
        let queues = vec![queue("q", 1)];
        assert_eq!(Part::plan(&batch, 0, None, &rules(&queues)).0.count, 132);
        assert_eq!(Part::plan(&batch, 900, None, &rules(&queues)).0.count, 100);
    }

    #[test]
    fn what_can_never_be_stored_ends_a_part() {
        let (name, absent): (Arc<str>, Arc<str>) = ("q".into(), "absent".into());
        let mut batch = MessageBatch::new();
        batch.start().finish(&name, None, 7, Some(b"x"));
        batch.start().finish(&absent, None, 7, Some(b"x"));
        batch.start().finish(&name, Some(3), 7, Some(b"x"));
        batch.start().finish(&name, None, 7, Some(&vec![0; (1 << 20) + 1]));
        let queues = vec![queue("q", 1), Err(error::no_queue("absent"))];
        for (from, count, status) in [
            (0, 1, StatusCode::NotFound),
            (2, 0, StatusCode::PartitionNotFound),
            (3, 0, StatusCode::MessageTooLarge),
        ] {
            let (part, end) = Part::plan(&batch, from, None, &rules(&queues));
            assert_eq!((part.count, end.map(|error| error.status)), (count, Some(status)));
        }
    }
}
