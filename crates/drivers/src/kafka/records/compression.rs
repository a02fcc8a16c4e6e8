//! How the records of a batch are compressed: all ways that Kafka has.

use std::io::{Read, Write};

use bytes::{Buf, Bytes};
use openmessaging::{Error, Result, StatusCode};

use super::lz4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Compression {
    None = 0,
    Gzip = 1,
    Snappy = 2,
    Lz4 = 3,
    Zstd = 4,
}

/// The names as the setting `compression.type` of Kafka's clients has them.
pub(in super::super) const NAMES: [(&str, Compression); 5] = [
    ("none", Compression::None),
    ("gzip", Compression::Gzip),
    ("snappy", Compression::Snappy),
    ("lz4", Compression::Lz4),
    ("zstd", Compression::Zstd),
];

/// What Kafka's Java client puts before blocks of snappy.
const XERIAL: [u8; 16] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];
const SNAPPY_BLOCK: usize = 32 * 1024;

/// A snappy block of another program may hold so much, and not more.
const MAX_SNAPPY_BLOCK: usize = 256 * 1024 * 1024;

impl Compression {
    pub fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, compression)| *compression)
    }

    pub(super) fn of(bits: i16) -> Result<Self> {
        let found = NAMES.iter().find(|(_, compression)| *compression as i16 == bits);
        let unknown = || {
            Error::new(StatusCode::UnsupportedVersion, format!("compression {bits} is not known"))
                .with_remedy("use one of none, gzip, snappy, lz4, zstd")
        };
        found.map(|(_, compression)| *compression).ok_or_else(unknown)
    }
}

/// Compresses all at once; `None` and `Lz4` are done elsewhere, as the records come.
pub(super) fn compress(compression: Compression, records: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
    match compression {
        Compression::None | Compression::Lz4 => out.extend_from_slice(records),
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::default());
            encoder.write_all(records)?;
            encoder.finish()?;
        }
        Compression::Zstd => {
            let mut encoder = zstd::stream::Encoder::new(out, zstd::DEFAULT_COMPRESSION_LEVEL)?;
            encoder.write_all(records)?;
            encoder.finish()?;
        }
        Compression::Snappy => {
            out.extend_from_slice(&XERIAL);
            let mut encoder = snap::raw::Encoder::new();
            for block in records.chunks(SNAPPY_BLOCK) {
                let packed = encoder.compress_vec(block).map_err(std::io::Error::other)?;
                out.extend_from_slice(&(packed.len() as u32).to_be_bytes());
                out.extend_from_slice(&packed);
            }
        }
    }
    Ok(())
}

/// What of compressed records comes out piece by piece.
pub(super) enum Source {
    Lz4(lz4::Blocks),
    Snappy { rest: Bytes, framed: bool },
    Stream(Box<dyn Read + Send>),
}

const PIECE: usize = 64 * 1024;

impl Source {
    pub fn new(compression: Compression, packed: Bytes) -> Result<Self> {
        Ok(match compression {
            Compression::Lz4 => Self::Lz4(lz4::Blocks::new(packed)?),
            Compression::Snappy => {
                let framed = packed.starts_with(&XERIAL[..8]) && packed.len() >= XERIAL.len();
                let rest = if framed { packed.slice(XERIAL.len()..) } else { packed };
                Self::Snappy { rest, framed }
            }
            Compression::Zstd => {
                let decoder = zstd::stream::Decoder::new(packed.reader()).map_err(|error| damaged(&error))?;
                Self::Stream(Box::new(decoder))
            }
            Compression::Gzip | Compression::None => {
                Self::Stream(Box::new(flate2::read::MultiGzDecoder::new(packed.reader())))
            }
        })
    }

    /// Writes the next piece behind the first `filled` bytes of `buffer`, which grows as it must, and says how long it is;
    /// 0 at the end.
    pub fn read(&mut self, buffer: &mut Vec<u8>, filled: usize) -> Result<usize> {
        match self {
            Self::Lz4(blocks) => blocks.read(buffer, filled),
            Self::Stream(stream) => {
                room(buffer, filled, PIECE);
                stream.read(&mut buffer[filled..]).map_err(|error| damaged(&error))
            }
            Self::Snappy { rest, framed } => {
                if rest.is_empty() {
                    return Ok(0);
                }
                let block = if *framed {
                    let length = rest.try_get_u32().map_err(|error| damaged(&error))? as usize;
                    if length > rest.len() {
                        return Err(damaged(&"a block ends too early"));
                    }
                    rest.split_to(length)
                } else {
                    std::mem::take(rest)
                };
                let length = snap::raw::decompress_len(&block).map_err(|error| damaged(&error))?;
                if length > MAX_SNAPPY_BLOCK {
                    return Err(damaged(&"a block is larger than any message"));
                }
                room(buffer, filled, length);
                let read = snap::raw::Decoder::new().decompress(&block, &mut buffer[filled..]);
                read.map_err(|error| damaged(&error))
            }
        }
    }
}

/// So many bytes can be written behind the first `filled`.
pub(super) fn room(buffer: &mut Vec<u8>, filled: usize, more: usize) {
    if buffer.len() < filled + more {
        buffer.resize((filled + more).max(2 * filled), 0);
    }
}

/// Stored bytes are not what a producer wrote.
pub(super) fn damaged(why: &dyn std::fmt::Display) -> Error {
    Error::new(StatusCode::Corrupt, format!("a record batch cannot be read: {why}"))
        .with_remedy("seek behind it to go on, and look at the disk of the broker")
}
