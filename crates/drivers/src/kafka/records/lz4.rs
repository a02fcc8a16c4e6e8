//! LZ4 frames, as Kafka reads and writes them: blocks of 64 KiB that do not depend on each other, without checksums.
//! Frames of others may be different, and are read as well.
//!
//! Source: "LZ4 Frame Format Description" 1.6; `Lz4BlockInputStream.java`.

use bytes::{Buf, Bytes};
use lz4_flex::block::{
    CompressTable, compress_into_with_table, decompress_into, decompress_into_with_dict,
    get_maximum_output_size,
};
use openmessaging::Result;

use super::compression::{damaged, room};

/// The magic number; version 1 with independent blocks; blocks of 64 KiB; the checksum of these two bytes.
const BEGIN: [u8; 7] = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
const END: [u8; 4] = [0; 4];
const BLOCK: usize = 64 * 1024;
const STORED_AS_IS: u32 = 0x8000_0000;

/// How far back a block may refer where blocks depend on each other.
const WINDOW: usize = 64 * 1024;

/// Compresses what is written to it into the frame.
pub(super) struct Packer {
    table: CompressTable,
    /// What waits until it is a block.
    block: Vec<u8>,
    packed: Vec<u8>,
}

impl Default for Packer {
    fn default() -> Self {
        Self {
            table: CompressTable::default(),
            block: Vec::with_capacity(BLOCK),
            packed: vec![0; get_maximum_output_size(BLOCK)],
        }
    }
}

impl Packer {
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        self.block.clear();
        out.extend_from_slice(&BEGIN);
    }

    pub fn put(&mut self, out: &mut Vec<u8>, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.block.is_empty() && bytes.len() >= BLOCK {
                let (whole, rest) = bytes.split_at(BLOCK);
                pack(&mut self.table, &mut self.packed, out, whole);
                bytes = rest;
                continue;
            }
            let (fits, rest) = bytes.split_at(bytes.len().min(BLOCK - self.block.len()));
            self.block.extend_from_slice(fits);
            bytes = rest;
            if self.block.len() == BLOCK {
                self.flush(out);
            }
        }
    }

    pub fn end(&mut self, out: &mut Vec<u8>) {
        self.flush(out);
        out.extend_from_slice(&END);
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        if !self.block.is_empty() {
            pack(&mut self.table, &mut self.packed, out, &self.block);
            self.block.clear();
        }
    }
}

fn pack(table: &mut CompressTable, packed: &mut [u8], out: &mut Vec<u8>, block: &[u8]) {
    let length = compress_into_with_table(block, packed, table).unwrap_or(usize::MAX);
    if length < block.len() {
        out.extend_from_slice(&(length as u32).to_le_bytes());
        out.extend_from_slice(&packed[..length]);
    } else {
        out.extend_from_slice(&(block.len() as u32 | STORED_AS_IS).to_le_bytes());
        out.extend_from_slice(block);
    }
}

/// Reads the blocks of a frame.
pub(super) struct Blocks {
    rest: Bytes,
    max_block: usize,
    checksums: bool,
    /// The end of what was read, where blocks depend on it.
    history: Option<Vec<u8>>,
}

impl Blocks {
    pub fn new(mut frame: Bytes) -> Result<Self> {
        if frame.len() < BEGIN.len() || frame[..4] != BEGIN[..4] {
            return Err(damaged(&"it does not begin as an LZ4 frame"));
        }
        let (flags, sizes) = (frame[4], frame[5]);
        if flags >> 6 != 1 {
            return Err(damaged(&"it is an LZ4 frame of another version"));
        }
        let max_block = match (sizes >> 4) & 7 {
            size @ 4..=7 => 1 << (8 + 2 * size),
            _ => return Err(damaged(&"its LZ4 blocks have no known size")),
        };
        let (sized, dictionary) = (flags & 0x08 != 0, flags & 0x01 != 0);
        if dictionary {
            return Err(damaged(&"its LZ4 frame needs a dictionary"));
        }
        let header = if sized { 15 } else { 7 };
        if frame.len() < header {
            return Err(damaged(&"its LZ4 frame ends too early"));
        }
        frame.advance(header);
        let history = (flags & 0x20 == 0).then(Vec::new);
        Ok(Self { rest: frame, max_block, checksums: flags & 0x10 != 0, history })
    }

    /// As `Source::read`.
    pub fn read(&mut self, buffer: &mut Vec<u8>, filled: usize) -> Result<usize> {
        // An empty block is no end.
        loop {
            match self.block(buffer, filled)? {
                Some(0) => {}
                read => return Ok(read.unwrap_or(0)),
            }
        }
    }

    /// One block; `None` at the end.
    fn block(&mut self, buffer: &mut Vec<u8>, filled: usize) -> Result<Option<usize>> {
        let Ok(header) = self.rest.try_get_u32_le() else { return Ok(None) };
        if header == 0 {
            self.rest.clear();
            return Ok(None);
        }
        let length = (header & !STORED_AS_IS) as usize;
        if length > self.rest.len() || length > self.max_block + BLOCK {
            return Err(damaged(&"an LZ4 block ends too early"));
        }
        let block = self.rest.split_to(length);
        if self.checksums {
            self.rest.advance(4.min(self.rest.len()));
        }
        room(buffer, filled, self.max_block.max(length));
        let target = &mut buffer[filled..];
        let read = if header & STORED_AS_IS != 0 {
            target[..length].copy_from_slice(&block);
            length
        } else {
            let target = &mut target[..self.max_block];
            match &self.history {
                None => decompress_into(&block, target),
                Some(history) => decompress_into_with_dict(&block, target, history),
            }
            .map_err(|error| damaged(&error))?
        };
        if let Some(history) = &mut self.history {
            history.extend_from_slice(&buffer[filled..filled + read]);
            let old = history.len().saturating_sub(WINDOW);
            history.drain(..old);
        }
        Ok(Some(read))
    }
}
