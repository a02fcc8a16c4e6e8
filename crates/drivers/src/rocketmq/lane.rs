//! What waits for one queue of a topic, and the requests made of it.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use openmessaging::{Error, Message, MessageBatch};

use super::codes::{SEND_BATCH_MESSAGE, SEND_MESSAGE_V2};
use super::error;
use super::frame::Request;
use super::message::{MAX_PROPERTIES, batch_part, batch_size, body_of, properties};
use super::routes::Route;

/// So many messages of one batch wait in a lane: their places in it.
pub(super) struct Piece {
    pub job: u64,
    pub indexes: Vec<u32>,
    /// How many of them are acknowledged.
    pub done: usize,
}

impl Piece {
    /// The place of the first message that is not acknowledged.
    pub fn first(&self) -> usize {
        self.indexes.get(self.done).map_or(usize::MAX, |index| *index as usize)
    }
}

/// One partition of a queue. One request at a time is under way: so order is kept whatever the broker does in parallel.
pub(super) struct Lane {
    pub route: Arc<Route>,
    pub partition: u32,
    pub pieces: VecDeque<Piece>,
    /// So many messages from the front are under way.
    pub in_flight: usize,
    /// So many messages from the front go alone: together the broker refused them.
    pub alone: usize,
    /// The answer of the last request was lost: it may still be on its way to be stored.
    pub unsettled: bool,
}

/// A request made of the front of a lane.
pub(super) struct Made {
    pub request: Request,
    pub count: usize,
}

impl Lane {
    pub fn new(route: Arc<Route>, partition: u32) -> Self {
        Self { route, partition, pieces: VecDeque::new(), in_flight: 0, alone: 0, unsettled: false }
    }

    /// Adds a message behind those that wait; says whether it is the first of its batch here.
    pub fn push(&mut self, job: u64, index: usize) -> bool {
        match self.pieces.back_mut().filter(|piece| piece.job == job) {
            Some(piece) => {
                piece.indexes.push(index as u32);
                false
            }
            None => {
                self.pieces.push_back(Piece { job, indexes: vec![index as u32], done: 0 });
                true
            }
        }
    }

    /// Makes a request of as many messages as go together. `buffer` is empty, and is its body afterwards.
    ///
    /// # Errors
    /// The first message can never be sent.
    pub fn make<'a>(
        &self,
        limit: usize,
        group: &str,
        mut buffer: Vec<u8>,
        batch_of: impl Fn(u64) -> Option<&'a MessageBatch>,
    ) -> Result<Option<Made>, Error> {
        let waiting = || {
            self.pieces.iter().flat_map(|piece| {
                let batch = batch_of(piece.job);
                piece.indexes[piece.done..].iter().filter_map(move |index| batch?.get(*index as usize))
            })
        };
        let Some(first) = waiting().next() else { return Ok(None) };
        let goes_alone = self.alone > 0 || {
            let mut two = waiting().take(2).map(|message| batch_size(&message));
            two.next().unwrap_or(0) + two.next().unwrap_or(limit) > limit
        };
        if goes_alone {
            return self.single(&first, group, buffer).map(Some);
        }
        let born = first.timestamp;
        let mut count = 0;
        for message in waiting() {
            let before = buffer.len();
            if count > 0 && before + batch_size(&message) > limit {
                break;
            }
            let length = batch_part(&mut buffer, &message, born);
            if length > MAX_PROPERTIES {
                if count == 0 {
                    return Err(error::headers_too_large(&self.route.queue, length));
                }
                buffer.truncate(before);
                break;
            }
            count += 1;
        }
        let request =
            self.request(SEND_BATCH_MESSAGE, group, born).field("m", true).body(Bytes::from(buffer));
        Ok(Some(Made { request, count }))
    }

    fn single(&self, message: &Message<'_>, group: &str, mut buffer: Vec<u8>) -> Result<Made, Error> {
        let mut list = Vec::new();
        properties(&mut list, message, message.timestamp, false);
        if list.len() > MAX_PROPERTIES {
            return Err(error::headers_too_large(&self.route.queue, list.len()));
        }
        buffer.extend_from_slice(body_of(message));
        let request = self
            .request(SEND_MESSAGE_V2, group, message.timestamp)
            .field("i", String::from_utf8_lossy(&list))
            .body(Bytes::from(buffer));
        Ok(Made { request, count: 1 })
    }

    /// `SendMessageRequestHeaderV2`, whose fields have one letter each.
    fn request(&self, code: i32, group: &str, born: i64) -> Request {
        let queue_id = self.route.partitions.get(self.partition as usize).map_or(0, |found| found.queue_id);
        Request::new(code)
            .field("a", group)
            .field("b", &self.route.topic)
            // Of what a topic that is not there would be made: of nothing, so that it is not (D13).
            .field("c", "omsconnect-makes-no-topics")
            .field("d", 1)
            .field("e", queue_id)
            .field("f", 0)
            .field("g", born)
            .field("h", 0)
            .field("j", 0)
            .field("k", false)
    }

    /// Takes so many messages away from the front; for each batch that has none left here `ended` is called.
    pub fn acknowledge(&mut self, mut count: usize, mut ended: impl FnMut(u64)) {
        self.alone = self.alone.saturating_sub(count);
        while count > 0 {
            let Some(piece) = self.pieces.front_mut() else { return };
            let taken = count.min(piece.indexes.len() - piece.done);
            piece.done += taken;
            count -= taken;
            if piece.done == piece.indexes.len() {
                ended(piece.job);
                self.pieces.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use openmessaging::QueuePartition;

    use super::*;

    #[test]
    fn pieces_are_taken_from_the_front() {
        let route = Arc::new(Route::for_tests("q", 1));
        let mut lane = Lane::new(route, 0);
        assert!(lane.push(1, 0) && !lane.push(1, 2) && lane.push(2, 0));
        let mut batch = MessageBatch::new();
        for body in [&b"a"[..], b"b", b"c"] {
            batch.start().finish(&"q".into(), None, 5, Some(body));
        }
        let made = lane.make(10_000, "g", Vec::new(), |_| Some(&batch)).expect("made").expect("something");
        assert_eq!((made.count, made.request.code), (3, SEND_BATCH_MESSAGE));
        let made = lane.make(100, "g", Vec::new(), |_| Some(&batch)).expect("made").expect("something");
        assert_eq!((made.count, made.request.code, &made.request.body[..]), (1, SEND_MESSAGE_V2, &b"a"[..]));
        let mut ended = Vec::new();
        lane.acknowledge(2, |job| ended.push(job));
        assert_eq!((ended, lane.pieces.len(), lane.pieces[0].first()), (vec![1], 1, 0));
        let _ = QueuePartition::new("q", 0);
    }

    #[test]
    fn headers_have_a_limit() {
        let mut lane = Lane::new(Arc::new(Route::for_tests("q", 1)), 0);
        let mut batch = MessageBatch::new();
        batch.start().finish(&"q".into(), None, 5, Some(b"fine"));
        let mut writer = batch.start();
        writer.header("h", Some(&[b'x'; 33_000]));
        writer.finish(&"q".into(), None, 5, Some(b"not"));
        lane.push(1, 0);
        lane.push(1, 1);
        let made = lane.make(1_000_000, "g", Vec::new(), |_| Some(&batch)).expect("made").expect("something");
        assert_eq!(made.count, 1, "those before it");
        lane.acknowledge(1, |_| {});
        assert!(lane.make(1_000_000, "g", Vec::new(), |_| Some(&batch)).is_err());
    }
}
