//! MariaDB's zlib compressions: of whole events (`log_bin_compress`) and of columns (`COMPRESSED`).

use std::io::Read;

use flate2::bufread::{DeflateDecoder, ZlibDecoder};
use openmessaging_connector::Result;

use super::{Cursor, MAX_EVENT_BYTES, malformed};

/// Inflates what follows the header of a compressed event: one byte with bit 7 set, the algorithm in bits 4 to 6 (0 is
/// zlib) and the number of length bytes in bits 0 to 2; the length, most significant byte first; a zlib stream
/// (`binlog_buf_uncompress` of `sql/log_event.cc`).
pub(super) fn inflate_event(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut cursor = Cursor::new(bytes, "compressed event");
    let head = cursor.u8()?;
    if head & 0x80 == 0 || head >> 4 & 7 != 0 {
        return Err(cursor.wrong(format_args!("unknown compression {head:#x}")));
    }
    let length = big_endian(cursor.take(usize::from(head & 7))?);
    if length > MAX_EVENT_BYTES as u64 {
        return Err(cursor.wrong(format_args!("it claims to inflate to {length} bytes")));
    }
    let mut inflated = Vec::new();
    inflate(ZlibDecoder::new(cursor.rest()), length, &mut inflated, "compressed event")?;
    Ok(inflated)
}

/// Inflates the stored form of a `COMPRESSED` column into `into`, which is cleared first: an empty value is empty;
/// else one byte with the method in bits 4 to 7 (0 is none, 8 is zlib), bit 3 for a stream without zlib header, and
/// the number of length bytes in bits 0 to 2 (`Field_longstr::uncompress` of `sql/field.cc`).
pub(crate) fn inflate_column(bytes: &[u8], into: &mut Vec<u8>) -> Result<()> {
    into.clear();
    let Some((head, rest)) = bytes.split_first() else { return Ok(()) };
    match head >> 4 {
        0 => {
            into.extend_from_slice(rest);
            Ok(())
        }
        8 => {
            let mut cursor = Cursor::new(rest, "compressed column");
            let length = big_endian(cursor.take(usize::from(head & 7))?);
            if length > MAX_EVENT_BYTES as u64 {
                return Err(cursor.wrong(format_args!("it claims to inflate to {length} bytes")));
            }
            if head & 8 != 0 {
                inflate(DeflateDecoder::new(cursor.rest()), length, into, "compressed column")
            } else {
                inflate(ZlibDecoder::new(cursor.rest()), length, into, "compressed column")
            }
        }
        method => Err(malformed(format!("compressed column: unknown method {method}"))),
    }
}

/// Grows with what really comes out, never by the length that was claimed.
fn inflate(stream: impl Read, length: u64, into: &mut Vec<u8>, what: &str) -> Result<()> {
    into.reserve(usize::try_from(length).unwrap_or(0).min(64 << 10));
    match stream.take(length).read_to_end(into) {
        Ok(read) if read as u64 == length => Ok(()),
        Ok(read) => Err(malformed(format!("{what}: {read} bytes came out of {length}"))),
        Err(error) => Err(malformed(format!("{what}: {error}"))),
    }
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn zlib(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn inflates_events_and_columns() {
        let plain = vec![7; 300];
        let mut event = vec![0x82, 1, 44];
        event.extend(zlib(&plain));
        assert_eq!(inflate_event(&event).unwrap(), plain);

        let mut column = vec![0x82, 1, 44];
        column.extend(zlib(&plain));
        let mut out = vec![1];
        inflate_column(&column, &mut out).unwrap();
        assert_eq!(out, plain);
        inflate_column(b"\0plain", &mut out).unwrap();
        assert_eq!(out, b"plain");
        inflate_column(b"", &mut out).unwrap();
        assert!(out.is_empty());
    }

    #[test]
    fn a_false_length_is_an_error_and_no_allocation() {
        let mut event = vec![0x84, 0x3f, 255, 255, 255];
        event.extend(zlib(b"short"));
        assert!(inflate_event(&event).is_err());
        assert!(inflate_event(&[0x85, 255, 255, 255, 255, 255]).is_err());
        assert!(inflate_event(&[0x01, 1]).is_err());
    }
}
