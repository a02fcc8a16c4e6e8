//! The records of one poll, encoded as they come.

use std::sync::Arc;

use openmessaging::MessageBatch;
use openmessaging::message::{Draft, write_header};
use openmessaging_connector::{
    Converter, Encoder, EntryType, Error, Flow, Position, RecordHead, RecordSink, Result, Schema,
    SourcePartition, Visitor,
};

use super::marks::Marks;

/// Which part of a record is being written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Idle,
    Begun,
    Key,
    Value,
}

/// Takes a source's records and encodes them straight into a message batch.
pub struct BatchSink {
    batch: MessageBatch,
    marks: Marks,
    full_at: usize,
    key: Box<dyn Encoder>,
    value: Box<dyn Encoder>,
    stage: Stage,
    draft: Option<Draft>,
    head: Head,
    /// Encoded headers of the record at hand; they stand behind its key.
    headers: Vec<u8>,
    /// The key orders the message and is not part of it.
    keyless: bool,
    /// Why the record at hand cannot be encoded.
    failed: Option<Error>,
    /// A record was refused: its position must not be passed, whatever the source makes of the refusal (invariant 1).
    refused: Option<String>,
}

/// The head of the record at hand, kept; names are shared, so keeping one is cheap.
struct Head {
    queue: Arc<str>,
    queue_partition: Option<u32>,
    sharding_key: Vec<u8>,
    has_sharding_key: bool,
    entry: EntryType,
    timestamp_ms: i64,
    source_partition: SourcePartition,
}

impl Head {
    fn keep(&mut self, head: &RecordHead<'_>) {
        if !Arc::ptr_eq(&self.queue, head.queue) {
            self.queue = head.queue.clone();
        }
        if self.source_partition != *head.source_partition {
            self.source_partition = head.source_partition.clone();
        }
        self.queue_partition = head.queue_partition;
        self.sharding_key.clear();
        self.sharding_key.extend_from_slice(head.sharding_key.unwrap_or_default());
        self.has_sharding_key = head.sharding_key.is_some();
        self.entry = head.entry;
        self.timestamp_ms = head.timestamp_ms;
    }

    fn borrow(&self) -> RecordHead<'_> {
        RecordHead {
            queue: &self.queue,
            queue_partition: self.queue_partition,
            sharding_key: self.has_sharding_key.then_some(&self.sharding_key[..]),
            entry: self.entry,
            timestamp_ms: self.timestamp_ms,
            source_partition: &self.source_partition,
        }
    }
}

impl BatchSink {
    /// A batch is full at `full_at` bytes. Without keys, what `key` makes only keeps the order.
    pub fn new(key: &dyn Converter, value: &dyn Converter, keyless: bool, full_at: usize) -> Self {
        let head = Head {
            queue: "".into(),
            queue_partition: None,
            sharding_key: Vec::new(),
            has_sharding_key: false,
            entry: EntryType::Create,
            timestamp_ms: 0,
            source_partition: SourcePartition::new(&serde_json::Map::new()),
        };
        Self {
            batch: MessageBatch::new(),
            marks: Marks::default(),
            full_at,
            key: key.encoder(),
            value: value.encoder(),
            stage: Stage::Idle,
            draft: None,
            head,
            headers: Vec::new(),
            keyless,
            failed: None,
            refused: None,
        }
    }

    /// Why a record was refused since the last call.
    pub fn take_refused(&mut self) -> Option<String> {
        self.refused.take()
    }

    /// The whole records taken so far with their positions; `empty` is filled next.
    pub fn take(&mut self, empty: MessageBatch) -> (MessageBatch, Marks) {
        self.abandon();
        (std::mem::replace(&mut self.batch, empty), std::mem::take(&mut self.marks))
    }

    /// Throws a record away that was not ended.
    fn abandon(&mut self) {
        self.return_buffer().ok();
        if let Some(draft) = self.draft.take() {
            drop(self.batch.resume(draft));
        }
        self.failed = None;
        self.stage = Stage::Idle;
    }

    /// Ends the part at hand, once; says whether it has bytes.
    fn return_buffer(&mut self) -> Result<bool> {
        let encoder = match std::mem::replace(&mut self.stage, Stage::Begun) {
            Stage::Key => &mut self.key,
            Stage::Value => &mut self.value,
            Stage::Idle | Stage::Begun => return Ok(false),
        };
        let (buffer, written) = encoder.finish();
        self.batch.return_buffer(buffer);
        written
    }

    /// Ends the key, if one was written, and puts the headers behind it.
    fn end_key(&mut self) -> Result<()> {
        let has_key = self.return_buffer()?;
        let Some(draft) = self.draft.take() else { return Ok(()) };
        let mut writer = self.batch.resume(draft);
        match (has_key, self.keyless) {
            (false, _) => {}
            (true, false) => writer.key_written(),
            (true, true) if self.head.has_sharding_key => writer.drop_written(),
            (true, true) => writer.sharding_key_written(),
        }
        if !self.headers.is_empty() {
            writer.encoded_headers(&self.headers);
            self.headers.clear();
        }
        self.draft = Some(writer.suspend());
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        let has_body = if self.stage == Stage::Value {
            self.return_buffer()?
        } else {
            self.end_key()?;
            false
        };
        let Some(draft) = self.draft.take() else {
            return Err(Error::fatal("source.out_of_order", "a record was ended that was not begun"));
        };
        let head = &self.head;
        let writer = self.batch.resume(draft);
        writer.finish_written(&head.queue, head.queue_partition, head.timestamp_ms, has_body);
        Ok(())
    }
}

impl RecordSink for BatchSink {
    fn begin(&mut self, head: RecordHead<'_>) -> Result<()> {
        if let Some(why) = &self.refused {
            return Err(Error::record(
                "record.behind_refused",
                format!("a record before could not be written: {why}"),
            ));
        }
        if self.stage != Stage::Idle {
            self.abandon();
        }
        self.head.keep(&head);
        self.headers.clear();
        let mut writer = self.batch.start();
        writer.sharding_key(head.sharding_key);
        self.draft = Some(writer.suspend());
        self.stage = Stage::Begun;
        Ok(())
    }

    fn header(&mut self, name: &str, value: &[u8]) {
        write_header(&mut self.headers, name, Some(value));
    }

    fn key(&mut self, schema: Option<&Arc<Schema>>) -> &mut dyn Visitor {
        if self.stage == Stage::Begun {
            self.key.start(&self.head.borrow(), schema, self.batch.lend_buffer());
            self.stage = Stage::Key;
        }
        &mut *self.key
    }

    fn value(&mut self, schema: Option<&Arc<Schema>>) -> &mut dyn Visitor {
        if matches!(self.stage, Stage::Begun | Stage::Key) {
            // An error of the key is kept for `end`: the record has no place to report it before.
            self.failed = self.end_key().err();
            self.value.start(&self.head.borrow(), schema, self.batch.lend_buffer());
            self.stage = Stage::Value;
        }
        &mut *self.value
    }

    fn end(&mut self, base: &Arc<str>, step: u64) -> Result<Flow> {
        let outcome = match self.failed.take() {
            Some(error) => Err(error),
            None => self.finish(),
        };
        if let Err(error) = outcome {
            self.abandon();
            self.refused.get_or_insert_with(|| error.to_string());
            return Err(error);
        }
        self.stage = Stage::Idle;
        self.marks.record(&self.head.source_partition, base, step);
        Ok(if self.batch.data_len() >= self.full_at { Flow::Full } else { Flow::More })
    }

    fn advance(&mut self, partition: &SourcePartition, position: Position) {
        if self.refused.is_none() {
            self.marks.advance(partition, position);
        }
    }
}
