//! MySQL's transaction payload event: a whole transaction, compressed (`binlog_transaction_compression=ON`).

use std::io::{BufRead, Read};

use openmessaging_connector::Result;

use super::{Cursor, MAX_EVENT_BYTES, malformed};

/// A transaction as one event. The events inside carry no checksum; parse them with
/// [`FormatDescription::inside_payload`](super::FormatDescription::inside_payload).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionPayload<'a> {
    pub compression: PayloadCompression,
    /// Length of all inner events together, where the server says it.
    pub uncompressed_size: Option<u64>,
    payload: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadCompression {
    None,
    Zstd,
}

/// A window beyond 128 MiB is refused, which is what the highest level (22) of the server needs; level 3, which it has
/// unless set otherwise, needs 2 MiB.
const MAX_WINDOW_LOG: u32 = 27;

impl<'a> TransactionPayload<'a> {
    const END: u64 = 0;
    const SIZE: u64 = 1;
    const COMPRESSION: u64 = 2;
    const UNCOMPRESSED_SIZE: u64 = 3;

    pub(super) fn parse(body: &'a [u8]) -> Result<Self> {
        let mut cursor = Cursor::new(body, "transaction payload event");
        let (mut size, mut compression, mut uncompressed_size) = (None, PayloadCompression::None, None);
        loop {
            let field = cursor.lenenc()?;
            if field == Self::END {
                break;
            }
            let length = cursor.lenenc()?;
            let mut value = Cursor::new(cursor.take_u64(length)?, "transaction payload event");
            match field {
                Self::SIZE => size = Some(value.lenenc()?),
                Self::COMPRESSION => {
                    compression = match value.lenenc()? {
                        0 => PayloadCompression::Zstd,
                        255 => PayloadCompression::None,
                        other => return Err(value.wrong(format_args!("unknown compression {other}"))),
                    }
                }
                Self::UNCOMPRESSED_SIZE => uncompressed_size = Some(value.lenenc()?),
                // The server may add fields: their length says how to skip them.
                _ => {}
            }
        }
        let payload = match size {
            Some(size) => cursor.take_u64(size)?,
            None => cursor.rest(),
        };
        Ok(Self { compression, uncompressed_size, payload })
    }

    /// The events inside, one after the other, in the memory of the largest.
    ///
    /// # Errors
    /// The stream's header is broken.
    pub fn events(&self) -> Result<PayloadEvents<'a>> {
        self.events_of(self.payload)
    }

    /// As [`events`](Self::events), with a copy of the compressed bytes, so that they can be kept while other events
    /// of the stream are read.
    pub fn owned_events(&self) -> Result<PayloadEvents<'static>> {
        self.events_of(std::io::Cursor::new(self.payload.to_vec()))
    }

    fn events_of<'b>(&self, payload: impl BufRead + Send + 'b) -> Result<PayloadEvents<'b>> {
        let stream: Box<dyn Read + Send + 'b> = match self.compression {
            PayloadCompression::None => Box::new(payload),
            PayloadCompression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(payload)
                    .map_err(|error| malformed(format!("transaction payload event: {error}")))?;
                decoder
                    .window_log_max(MAX_WINDOW_LOG)
                    .map_err(|error| malformed(format!("transaction payload event: {error}")))?;
                Box::new(decoder)
            }
        };
        Ok(PayloadEvents { stream, event: Vec::new(), read: 0, size: self.uncompressed_size })
    }

    /// How many bytes of inner events the client library inflates and hands out by itself.
    pub(super) fn handed_out_size(&self) -> u64 {
        match self.compression {
            PayloadCompression::None => self.payload.len() as u64,
            PayloadCompression::Zstd => self.uncompressed_size.unwrap_or(0),
        }
    }
}

/// Reads the events of a transaction payload. Holds one event and the decompressor's window.
pub struct PayloadEvents<'a> {
    stream: Box<dyn Read + Send + 'a>,
    event: Vec<u8>,
    read: u64,
    /// What the whole must come to.
    size: Option<u64>,
}

impl PayloadEvents<'_> {
    /// The next event's bytes; `None` after the last.
    ///
    /// # Errors
    /// The payload is damaged or ends within an event.
    pub fn next_event(&mut self) -> Result<Option<&[u8]>> {
        const HEADER: usize = 19;
        self.event.clear();
        if self.read(HEADER)? == 0 {
            return match self.size {
                Some(size) if size != self.read => Err(malformed(format!(
                    "transaction payload event: {} bytes came out of {size}",
                    self.read
                ))),
                _ => Ok(None),
            };
        }
        let header = match self.event.get(9..13) {
            Some(&[a, b, c, d]) => u32::from_le_bytes([a, b, c, d]) as usize,
            _ => return Err(malformed("transaction payload event: it ends within an event's header")),
        };
        if !(HEADER..=MAX_EVENT_BYTES).contains(&header) {
            return Err(malformed(format!("transaction payload event: an event of {header} bytes inside")));
        }
        self.read(header - HEADER)?;
        if self.event.len() != header {
            return Err(malformed("transaction payload event: it ends within an event"));
        }
        Ok(Some(&self.event))
    }

    /// Adds up to `length` bytes, growing with what comes, never by the length that was claimed.
    fn read(&mut self, length: usize) -> Result<usize> {
        let read = (&mut self.stream)
            .take(length as u64)
            .read_to_end(&mut self.event)
            .map_err(|error| malformed(format!("transaction payload event: {error}")))?;
        self.read += read as u64;
        Ok(read)
    }
}
