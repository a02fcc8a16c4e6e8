//! What is written is read, in every compression; what is damaged is refused.

use std::sync::Arc;

use bytes::Bytes;
use openmessaging::{MessageBatch, StatusCode};
use proptest::prelude::*;

use super::compression::NAMES;
use super::*;

const NUMBERS: Numbers = Numbers { producer: 77, epoch: 3, sequence: 5 };

fn encode(compression: Compression, messages: &MessageBatch, first_offset: i64) -> Vec<u8> {
    let mut out = b"before".to_vec();
    Encoder::new(compression).encode(&mut out, NUMBERS, messages.iter());
    let mut batch = out.split_off(6);
    // What the broker does.
    batch[..8].copy_from_slice(&first_offset.to_be_bytes());
    batch
}

fn queue() -> Arc<str> {
    "q".into()
}

fn sample(count: usize) -> MessageBatch {
    let (queue, mut batch) = (queue(), MessageBatch::new());
    for number in 0..count {
        let mut writer = batch.start();
        let key = number.to_le_bytes();
        writer.key((number % 3 != 0).then_some(&key[..]));
        if number % 4 == 0 {
            writer.header("h", None);
            writer.header("\u{e9}", Some(&[0, 255]));
        }
        let body = vec![number as u8; number * 7919 % 3000];
        writer.finish(&queue, Some(0), 1_000 - number as i64, (number % 5 != 0).then_some(&body[..]));
    }
    batch
}

fn same(a: &MessageBatch, b: &MessageBatch) -> bool {
    let parts = |batch: &MessageBatch| {
        let each = |m: openmessaging::Message<'_>| {
            let headers: Vec<_> =
                m.headers.into_iter().map(|h| (h.name.to_owned(), h.value.map(<[u8]>::to_vec))).collect();
            (m.timestamp, m.key.map(<[u8]>::to_vec), m.body.map(<[u8]>::to_vec), headers)
        };
        batch.iter().map(each).collect::<Vec<_>>()
    };
    parts(a) == parts(b)
}

#[test]
fn every_compression_gives_back_what_was_written() {
    let mut sent = sample(300);
    let noise: Vec<u8> = (0..300_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    sent.start().finish(&queue(), None, 5, Some(&noise));
    sent.start().finish(&queue(), None, 5, Some(b""));
    for (name, compression) in NAMES {
        let batch = encode(compression, &sent, 40);
        let mut cursor = Cursor::new(Bytes::from(batch), 40, Vec::new());
        let all = cursor.read(&queue(), 0, usize::MAX / 8).expect(name);
        assert!(all.done && same(&all.messages, &sent), "{name}");
        assert_eq!(all.offsets, (40..342).collect::<Vec<u64>>());
        assert_eq!(all.next, 342);
    }
}

#[test]
fn pieces_are_bounded_and_lose_nothing() {
    let sent = sample(500);
    let mut bytes = encode(Compression::Lz4, &sent, 0);
    bytes.extend(encode(Compression::None, &sent, 500));
    // Cut off, as a broker may.
    bytes.extend(&encode(Compression::None, &sent, 1000)[..100]);
    let mut cursor = Cursor::new(Bytes::from(bytes), 13, Vec::new());
    let mut offsets = Vec::new();
    loop {
        let piece = cursor.read(&queue(), 0, 5_000).expect("read");
        assert!(piece.messages.data_len() < 5_000 + 3_100);
        offsets.extend(piece.offsets);
        if piece.done {
            assert_eq!(piece.next, 1000);
            break;
        }
    }
    assert_eq!(offsets, (13..1000).collect::<Vec<u64>>());
}

/// Makes a batch transactional, or the end of a transaction.
fn mark(mut batch: Vec<u8>, bits: i16, producer: i64) -> Vec<u8> {
    let attributes = i16::from_be_bytes([batch[21], batch[22]]) | bits;
    batch[21..23].copy_from_slice(&attributes.to_be_bytes());
    batch[43..51].copy_from_slice(&producer.to_be_bytes());
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

#[test]
fn aborted_transactions_and_markers_are_left_out() {
    let two = sample(2);
    let one = sample(1);
    let none = Compression::None;
    let log = [
        mark(encode(none, &two, 0), TRANSACTIONAL, 1),
        mark(encode(none, &two, 2), TRANSACTIONAL, 2),
        mark(encode(none, &one, 4), TRANSACTIONAL | CONTROL, 1),
        mark(encode(none, &two, 5), TRANSACTIONAL, 1),
        encode(none, &two, 7),
        mark(encode(none, &one, 9), TRANSACTIONAL | CONTROL, 2),
        mark(encode(none, &one, 10), TRANSACTIONAL | CONTROL, 1),
    ]
    .concat();
    let mut cursor = Cursor::new(Bytes::from(log.clone()), 0, vec![(1, 0)]);
    let read = cursor.read(&queue(), 0, 100_000).expect("read");
    assert_eq!(
        read.offsets,
        [2, 3, 5, 6, 7, 8],
        "the first transaction of producer 1 was aborted, not its second"
    );
    assert_eq!((read.next, read.done), (11, true));
    let mut all_aborted = Cursor::new(Bytes::from(log), 5, vec![(1, 5)]);
    let read = all_aborted.read(&queue(), 0, 100_000).expect("read");
    assert_eq!(read.offsets, [7, 8]);
}

#[test]
fn times_set_by_the_broker_are_those_of_all_records() {
    let batch = mark(encode(Compression::Lz4, &sample(3), 0), LOG_APPEND_TIME, 1);
    let read = Cursor::new(Bytes::from(batch), 0, Vec::new()).read(&queue(), 0, 1000).expect("read");
    assert!(read.messages.iter().all(|message| message.timestamp == 1_000));
}

#[test]
fn whose_batches_they_are_is_read_without_unpacking() {
    let mut bytes = encode(Compression::Lz4, &sample(3), 10);
    bytes.extend(mark(encode(Compression::None, &sample(2), 13), 0, 5));
    bytes.extend(&encode(Compression::None, &sample(2), 15)[..70]);
    let (next, found) = numbers(&bytes).expect("read");
    assert_eq!((next, found), (Some(15), vec![NUMBERS, Numbers { producer: 5, ..NUMBERS }]));
}

#[test]
fn damage_is_told() {
    let batch = encode(Compression::Lz4, &sample(3), 0);
    for at in [LENGTH, CRC, ATTRIBUTES, HEADER + 9, batch.len() - 1] {
        let mut damaged = batch.clone();
        damaged[at] ^= 0x81;
        let mut cursor = Cursor::new(Bytes::from(damaged), 0, Vec::new());
        let read = cursor.read(&queue(), 0, 1000);
        assert!(read.err().is_none_or(|error| error.status == StatusCode::Corrupt), "byte {at}");
    }
}

#[test]
fn lz4_frames_of_others_are_read() {
    // Blocks that depend on each other, with checksums of blocks, and the size in the header.
    let text: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
    let mut frame = vec![0x04, 0x22, 0x4d, 0x18, 0x40 | 0x10 | 0x08, 0x40];
    frame.extend_from_slice(&[0; 8]);
    frame.push(0);
    for (index, block) in text.chunks(64 * 1024).enumerate() {
        let dictionary = &text[(index * 65_536).saturating_sub(65_536)..index * 65_536];
        let packed = lz4_flex::block::compress_with_dict(block, dictionary);
        frame.extend_from_slice(&(packed.len() as u32).to_le_bytes());
        frame.extend_from_slice(&packed);
        frame.extend_from_slice(b"sum!");
    }
    frame.extend_from_slice(&[0; 4]);
    let mut blocks = lz4::Blocks::new(Bytes::from(frame)).expect("a frame");
    let (mut buffer, mut filled) = (Vec::new(), 0);
    loop {
        match blocks.read(&mut buffer, filled).expect("read") {
            0 => break,
            more => filled += more,
        }
    }
    assert!(buffer[..filled] == text[..]);
}

proptest! {
    /// Any bytes behind a right checksum: an error or messages, never a panic.
    #[test]
    fn nothing_that_is_stored_can_harm(
        kind in 0_i16..8,
        count in any::<i32>(),
        records in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut batch = encode(Compression::None, &sample(1), 0);
        batch.truncate(HEADER);
        batch.extend_from_slice(&records);
        batch[8..12].copy_from_slice(&(HEADER as i32 - 12 + records.len() as i32).to_be_bytes());
        batch[COUNT..HEADER].copy_from_slice(&count.to_be_bytes());
        batch[21..23].copy_from_slice(&[0, 0]);
        let batch = mark(batch, kind, 1);
        let _ = numbers(&batch);
        let _ = Cursor::new(Bytes::from(batch), 0, Vec::new()).read(&queue(), 0, 10_000);
    }
}
