//! Bodies that other clients compressed: zlib, lz4 (in frames) and zstd (`rocketmq.message.compressType`).

use std::io::Read;

use super::bytes::Bytes;

/// A body does not unpack to more.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// MessageSysFlag: how a body is compressed; 0, of old clients, means zlib too.
const KIND: u32 = 0x700;
const LZ4: u32 = 0x100;
const ZSTD: u32 = 0x200;
const ZLIB: u32 = 0x300;

/// The body as it was; `None`: it cannot be unpacked, or only to more than 64 MiB.
pub(super) fn unpack(body: &[u8], flags: u32) -> Option<Vec<u8>> {
    match flags & KIND {
        0 | ZLIB => all(flate2::read::ZlibDecoder::new(body)),
        ZSTD => all(zstd::stream::read::Decoder::new(body).ok()?),
        LZ4 => lz4(Bytes(body)),
        _ => None,
    }
}

fn all(reader: impl Read) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let length = reader.take(MAX_BODY as u64 + 1).read_to_end(&mut out).ok()?;
    (length <= MAX_BODY).then_some(out)
}

const LZ4_MAGIC: u32 = 0x184d_2204;
const HAS_DICTIONARY: u8 = 0x01;
const HAS_CHECKSUM: u8 = 0x04;
const HAS_SIZE: u8 = 0x08;
const HAS_BLOCK_CHECKSUMS: u8 = 0x10;
/// In the length of a block: it is not compressed.
const STORED: u32 = 0x8000_0000;
/// Blocks may refer to so much of what was before them.
const WINDOW: usize = 64 * 1024;

/// The frame format of lz4, version 1. Its checksums are not looked at: the broker's CRC covers all of it.
fn lz4(mut bytes: Bytes<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    while !bytes.0.is_empty() {
        if bytes.u32_le()? != LZ4_MAGIC {
            return None;
        }
        let flags = bytes.u8()?;
        let largest = match bytes.u8()? >> 4 & 7 {
            4 => 64 * 1024,
            5 => 256 * 1024,
            6 => 1024 * 1024,
            7 => 4 * 1024 * 1024,
            _ => return None,
        };
        if flags >> 6 != 1 || flags & HAS_DICTIONARY != 0 {
            return None;
        }
        bytes.take(if flags & HAS_SIZE == 0 { 1 } else { 9 })?;
        loop {
            let length = bytes.u32_le()?;
            if length == 0 {
                break;
            }
            let block = bytes.take((length & !STORED) as usize)?;
            if length & STORED == 0 {
                let window = &out[out.len().saturating_sub(WINDOW)..];
                let unpacked = lz4_flex::block::decompress_with_dict(block, largest, window).ok()?;
                out.extend_from_slice(&unpacked);
            } else {
                out.extend_from_slice(block);
            }
            if flags & HAS_BLOCK_CHECKSUMS != 0 {
                bytes.take(4)?;
            }
            if out.len() > MAX_BODY {
                return None;
            }
        }
        if flags & HAS_CHECKSUM != 0 {
            bytes.take(4)?;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lz4_frames_are_unpacked() {
        let text = b"0123456789".repeat(500);
        let (first, second) = text.split_at(3000);
        let mut frame = LZ4_MAGIC.to_le_bytes().to_vec();
        frame.extend([0x40 | HAS_CHECKSUM, 0x40, 0]);
        let packed = lz4_flex::block::compress(first);
        frame.extend((packed.len() as u32).to_le_bytes());
        frame.extend(packed);
        frame.extend((second.len() as u32 | STORED).to_le_bytes());
        frame.extend(second);
        frame.extend([0; 8]);
        assert_eq!(unpack(&frame, LZ4), Some(text));
        assert_eq!(unpack(&frame[..40], LZ4), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100), kind in 0..8_u32) {
            let _ = unpack(&bytes, kind << 8);
            let frame = [&LZ4_MAGIC.to_le_bytes()[..], &[0x60, 0x40, 0], &bytes].concat();
            let _ = unpack(&frame, LZ4);
        }
    }
}
