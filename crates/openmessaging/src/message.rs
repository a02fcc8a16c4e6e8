//! Messages in batches: one buffer for the bytes of all, so that a message costs no allocation.

use std::sync::Arc;

/// Messages for, or from, any number of queues, in order. All keys, headers and bodies lie in one buffer; a batch that
/// was sent comes back from the producer and can be [cleared](Self::clear) and filled again.
///
/// Limits: the buffer holds less than 4 GiB; header names are UTF-8 of at most 65,535 bytes.
#[derive(Debug, Clone, Default)]
pub struct MessageBatch {
    data: Vec<u8>,
    entries: Vec<Entry>,
    queues: Vec<Arc<str>>,
    /// Headers that every message of the batch has, encoded as those of a message are.
    shared: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    queue: u32,
    partition: u32,
    timestamp: i64,
    /// Where the message starts in `data`; its parts follow each other: sharding key, key, headers, body.
    start: u32,
    sharding: u32,
    key: u32,
    headers: u32,
    body: u32,
}

/// Marks a part that is not there (a null is not an empty part), and a partition that is not chosen.
const NONE: u32 = u32::MAX;

fn length(part: u32) -> usize {
    if part == NONE { 0 } else { part as usize }
}

/// One message, borrowed from its batch.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    pub queue: &'a Arc<str>,
    /// `None`: the driver chooses, the same one for the same sharding key.
    pub partition: Option<u32>,
    /// When it was born, milliseconds since the epoch.
    pub timestamp: i64,
    /// What order is kept by; where it is `None`, the key is.
    pub sharding_key: Option<&'a [u8]>,
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone, which is not an empty body.
    pub body: Option<&'a [u8]>,
    pub headers: Headers<'a>,
}

impl<'a> Message<'a> {
    /// The bytes that order is kept by: the sharding key, else the key, else nothing.
    pub fn order_key(&self) -> Option<&'a [u8]> {
        self.sharding_key.or(self.key)
    }

    /// The bytes of key, headers and body, as limits count them.
    pub fn size(&self) -> usize {
        let part = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
        let (shared, own) = self.headers.encoded();
        part(self.key) + shared.len() + own.len() + part(self.body)
    }
}

/// The headers of a message: those of its batch, then its own. Names may repeat.
#[derive(Debug, Clone, Copy)]
pub struct Headers<'a> {
    shared: &'a [u8],
    own: &'a [u8],
}

/// One header. The value may be any bytes, or null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    pub name: &'a str,
    pub value: Option<&'a [u8]>,
}

impl<'a> Headers<'a> {
    pub fn is_empty(&self) -> bool {
        self.shared.is_empty() && self.own.is_empty()
    }

    /// The headers in the form that [`write_header`] writes, in two parts that follow each other.
    pub fn encoded(&self) -> (&'a [u8], &'a [u8]) {
        (self.shared, self.own)
    }

    /// The first header of that name.
    pub fn get(&self, name: &str) -> Option<Header<'a>> {
        self.into_iter().find(|header| header.name == name)
    }
}

impl<'a> IntoIterator for Headers<'a> {
    type Item = Header<'a>;
    type IntoIter = HeaderIter<'a>;

    fn into_iter(self) -> HeaderIter<'a> {
        HeaderIter { rest: self.shared, next: self.own }
    }
}

/// Iterates over headers.
#[derive(Debug, Clone)]
pub struct HeaderIter<'a> {
    rest: &'a [u8],
    next: &'a [u8],
}

impl<'a> Iterator for HeaderIter<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        if self.rest.is_empty() {
            self.rest = std::mem::take(&mut self.next);
        }
        let (name_length, rest) = self.rest.split_first_chunk::<2>()?;
        let (name, rest) = rest.split_at_checked(u16::from_le_bytes(*name_length) as usize)?;
        let (value_length, rest) = rest.split_first_chunk::<4>()?;
        let value_length = u32::from_le_bytes(*value_length);
        let (value, rest) = rest.split_at_checked(length(value_length))?;
        self.rest = rest;
        let value = (value_length != NONE).then_some(value);
        Some(Header { name: std::str::from_utf8(name).ok()?, value })
    }
}

/// Appends one header in the form that [`Headers`] reads: two bytes of name length, the name, four bytes of value
/// length (all ones: null), the value; little-endian. A name that is too long is cut at a character.
pub fn write_header(out: &mut Vec<u8>, name: &str, value: Option<&[u8]>) {
    let name = &name[..name.floor_char_boundary(u16::MAX as usize)];
    out.extend_from_slice(&(name.len() as u16).to_le_bytes());
    out.extend_from_slice(name.as_bytes());
    match value {
        None => out.extend_from_slice(&NONE.to_le_bytes()),
        Some(value) => {
            out.extend_from_slice(&(value.len() as u32).to_le_bytes());
            out.extend_from_slice(value);
        }
    }
}

impl MessageBatch {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What the batch holds in memory, in bytes.
    pub fn memory(&self) -> usize {
        self.data.capacity() + self.entries.capacity() * size_of::<Entry>() + self.shared.capacity()
    }

    /// The bytes of all messages.
    pub fn data_len(&self) -> usize {
        self.data.len()
    }

    /// The queues of the batch's messages, each once.
    pub fn queues(&self) -> &[Arc<str>] {
        &self.queues
    }

    /// Empties the batch, keeping its memory but not more than `keep` bytes of it.
    pub fn clear(&mut self, keep: usize) {
        self.data.clear();
        self.data.shrink_to(keep);
        self.entries.clear();
        self.queues.clear();
        self.shared.clear();
    }

    /// Gives every message of the batch a header.
    pub fn share_header(&mut self, name: &str, value: Option<&[u8]>) {
        write_header(&mut self.shared, name, value);
    }

    /// Adds a copy of a message. Headers of `message`'s batch become the message's own.
    pub fn push(&mut self, message: &Message<'_>) {
        let mut writer = self.start();
        writer.sharding_key(message.sharding_key);
        writer.key(message.key);
        for header in message.headers {
            writer.header(header.name, header.value);
        }
        writer.finish(message.queue, message.partition, message.timestamp, message.body);
    }

    /// Starts a message, whose parts are written in the order sharding key, key, headers, body.
    pub fn start(&mut self) -> MessageWriter<'_> {
        let start = self.data.len();
        let draft = Draft { start, at: start, sharding: NONE, key: NONE, headers: 0 };
        MessageWriter { batch: self, draft }
    }

    /// Goes on with a message that was [suspended](MessageWriter::suspend); nothing else may have been written since.
    pub fn resume(&mut self, draft: Draft) -> MessageWriter<'_> {
        MessageWriter { batch: self, draft }
    }

    /// Lends the buffer out, to whoever appends the next part of a suspended message; it must come back through
    /// [`return_buffer`](Self::return_buffer) before anything else is done with the batch.
    pub fn lend_buffer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.data)
    }

    pub fn return_buffer(&mut self, data: Vec<u8>) {
        self.data = data;
    }

    /// The message at `index`.
    pub fn get(&self, index: usize) -> Option<Message<'_>> {
        let entry = self.entries.get(index)?;
        let mut at = entry.start as usize;
        let mut part = |part: u32| {
            let bytes = &self.data[at..at + length(part)];
            at += bytes.len();
            (part != NONE).then_some(bytes)
        };
        let (sharding_key, key, own, body) =
            (part(entry.sharding), part(entry.key), part(entry.headers), part(entry.body));
        Some(Message {
            queue: &self.queues[entry.queue as usize],
            partition: (entry.partition != NONE).then_some(entry.partition),
            timestamp: entry.timestamp,
            sharding_key,
            key,
            body,
            headers: Headers { shared: &self.shared, own: own.unwrap_or_default() },
        })
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = Message<'_>> {
        (0..self.len())
            .map(|index| self.get(index).unwrap_or_else(|| unreachable!("index is below the length")))
    }

    /// Which of [`queues`](Self::queues) the message at `index` belongs to.
    pub fn queue_of(&self, index: usize) -> Option<usize> {
        self.entries.get(index).map(|entry| entry.queue as usize)
    }

    /// Sets the partition of a message that has none.
    pub fn set_partition(&mut self, index: usize, partition: u32) {
        if let Some(entry) = self.entries.get_mut(index) {
            entry.partition = partition;
        }
    }

    /// Takes the messages before `count` away; what is left moves to the front.
    pub fn drop_front(&mut self, count: usize) {
        self.entries.drain(..count.min(self.entries.len()));
    }

    fn queue_index(&mut self, queue: &Arc<str>) -> u32 {
        let same = |known: &Arc<str>| Arc::ptr_eq(known, queue) || known == queue;
        let index = match self.queues.iter().rposition(same) {
            Some(index) => index,
            None => {
                self.queues.push(queue.clone());
                self.queues.len() - 1
            }
        };
        index as u32
    }
}

/// A message half written, set aside.
#[derive(Debug, Clone, Copy)]
pub struct Draft {
    start: usize,
    /// Where the part being written starts.
    at: usize,
    sharding: u32,
    key: u32,
    headers: u32,
}

/// Writes one message into a batch. Dropped without [`finish`](Self::finish) it leaves nothing behind.
#[derive(Debug)]
pub struct MessageWriter<'a> {
    batch: &'a mut MessageBatch,
    draft: Draft,
}

impl MessageWriter<'_> {
    /// Ends the part that was written and gives its length.
    fn part(&mut self) -> u32 {
        let end = self.batch.data.len();
        (end - std::mem::replace(&mut self.draft.at, end)) as u32
    }

    pub fn sharding_key(&mut self, key: Option<&[u8]>) {
        if let Some(key) = key {
            self.batch.data.extend_from_slice(key);
            self.draft.sharding = self.part();
        }
    }

    /// What was appended to the lent buffer is nothing.
    pub fn drop_written(&mut self) {
        self.batch.data.truncate(self.draft.at);
    }

    /// What was appended to the lent buffer is the sharding key.
    pub fn sharding_key_written(&mut self) {
        self.draft.sharding = self.part();
    }

    pub fn key(&mut self, key: Option<&[u8]>) {
        if let Some(key) = key {
            self.batch.data.extend_from_slice(key);
            self.key_written();
        }
    }

    /// What was appended to the lent buffer is the key.
    pub fn key_written(&mut self) {
        self.draft.key = self.part();
    }

    pub fn header(&mut self, name: &str, value: Option<&[u8]>) {
        write_header(&mut self.batch.data, name, value);
        self.draft.headers += self.part();
    }

    /// Headers as [`write_header`] wrote them.
    pub fn encoded_headers(&mut self, headers: &[u8]) {
        self.batch.data.extend_from_slice(headers);
        self.draft.headers += self.part();
    }

    /// Sets the message aside, so that the batch can lend its buffer.
    pub fn suspend(self) -> Draft {
        let draft = self.draft;
        std::mem::forget(self);
        draft
    }

    /// Ends the message with a body from a slice.
    pub fn finish(self, queue: &Arc<str>, partition: Option<u32>, timestamp: i64, body: Option<&[u8]>) {
        if let Some(body) = body {
            self.batch.data.extend_from_slice(body);
        }
        self.finish_written(queue, partition, timestamp, body.is_some());
    }

    /// Ends the message; what was appended to the lent buffer is the body, unless `has_body` says that there is none.
    pub fn finish_written(
        mut self,
        queue: &Arc<str>,
        partition: Option<u32>,
        timestamp: i64,
        has_body: bool,
    ) {
        let body = self.part();
        let Draft { start, sharding, key, headers, .. } = self.draft;
        let entry = Entry {
            queue: self.batch.queue_index(queue),
            partition: partition.unwrap_or(NONE),
            timestamp,
            start: start as u32,
            sharding,
            key,
            headers,
            body: if has_body { body } else { NONE },
        };
        self.batch.entries.push(entry);
        self.draft.start = self.batch.data.len();
    }
}

impl Drop for MessageWriter<'_> {
    fn drop(&mut self) {
        self.batch.data.truncate(self.draft.start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back_as_written_and_null_is_not_empty() {
        let queue: Arc<str> = "q".into();
        let mut batch = MessageBatch::new();
        batch.share_header("all", Some(b"1"));
        let mut writer = batch.start();
        writer.sharding_key(Some(b"s"));
        writer.key(Some(b""));
        writer.header("h", None);
        writer.header("h", Some(&[0, 255]));
        writer.finish(&queue, Some(3), 7, None);
        batch.start().finish(&queue, None, 8, Some(b""));
        let first = batch.get(0).expect("first");
        assert_eq!((first.sharding_key, first.key, first.body), (Some(&b"s"[..]), Some(&b""[..]), None));
        assert_eq!((first.partition, first.timestamp), (Some(3), 7));
        let headers: Vec<_> = first.headers.into_iter().map(|h| (h.name, h.value)).collect();
        assert_eq!(headers, [("all", Some(&b"1"[..])), ("h", None), ("h", Some(&[0u8, 255][..]))]);
        let second = batch.get(1).expect("second");
        assert_eq!((second.key, second.body, second.partition), (None, Some(&b""[..]), None));
        assert_eq!(batch.queues().len(), 1);
    }

    #[test]
    fn encoded_headers_are_carried_over_as_they_are() {
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let mut from = MessageBatch::new();
        from.share_header("all", Some(b"1"));
        let mut writer = from.start();
        writer.header("own", None);
        writer.finish(&a, None, 0, None);
        from.start().finish(&b, None, 0, None);
        let mut to = MessageBatch::new();
        let (shared, own) = from.get(0).expect("first").headers.encoded();
        let mut writer = to.start();
        writer.encoded_headers(shared);
        writer.encoded_headers(own);
        writer.finish(&a, None, 0, Some(b"x"));
        let message = to.get(0).expect("copied");
        let headers: Vec<_> = message.headers.into_iter().map(|h| (h.name, h.value)).collect();
        assert_eq!(headers, [("all", Some(&b"1"[..])), ("own", None)]);
        assert_eq!(message.body, Some(&b"x"[..]));
        assert_eq!((from.queue_of(0), from.queue_of(1), from.queue_of(2)), (Some(0), Some(1), None));
    }

    #[test]
    fn a_message_that_fails_half_way_leaves_nothing() {
        let queue: Arc<str> = "q".into();
        let mut batch = MessageBatch::new();
        let mut writer = batch.start();
        writer.key(Some(b"kkk"));
        let draft = writer.suspend();
        let mut buffer = batch.lend_buffer();
        buffer.extend_from_slice(b"half");
        batch.return_buffer(buffer);
        drop(batch.resume(draft));
        assert!(batch.is_empty());
        assert_eq!(batch.data_len(), 0);
        batch.start().finish(&queue, None, 0, Some(b"next"));
        assert_eq!(batch.get(0).and_then(|m| m.body), Some(&b"next"[..]));
    }
}
