//! Positions of consumer groups, kept without being a member of them.

use openmessaging::Result;

use super::super::wire::{Reader, Write};
use super::{FIND_COORDINATOR, OFFSET_COMMIT, OFFSET_FETCH, begin, end, write_topics};

/// Who keeps a group's positions.
pub(in super::super) struct Coordinator {
    pub error: i16,
    pub message: String,
    pub node: super::metadata::Node,
}

pub(in super::super) fn find_coordinator(client_id: &str, group: &str) -> Vec<u8> {
    let mut out = begin(FIND_COORDINATOR, client_id);
    out.string(group);
    out.i8(0);
    end(&mut out);
    out
}

pub(in super::super) fn find_coordinator_answer(mut reader: Reader<'_>) -> Result<Coordinator> {
    reader.i32()?;
    let (error, message) = (reader.i16()?, reader.string()?.to_owned());
    let (id, host, port) = (reader.i32()?, reader.string()?.to_owned(), reader.i32()? as u16);
    Ok(Coordinator { error, message, node: super::metadata::Node { id, host, port } })
}

/// Topic, partition, the next offset to read; one topic's partitions stand together.
pub(in super::super) fn commit(client_id: &str, group: &str, positions: &[(String, i32, i64)]) -> Vec<u8> {
    let mut out = begin(OFFSET_COMMIT, client_id);
    out.string(group);
    // No generation and no member: a consumer that assigns its partitions itself.
    out.i32(-1);
    out.string("");
    write_topics(
        &mut out,
        positions,
        |each| &each.0,
        |out, each| {
            out.i32(each.1);
            out.i64(each.2);
            out.string("");
        },
    );
    end(&mut out);
    out
}

/// The error code of each partition.
pub(in super::super) fn commit_answer(mut reader: Reader<'_>) -> Result<Vec<(String, i32, i16)>> {
    reader.i32()?;
    super::topics_of(&mut reader, |topic, each| Ok((topic.to_owned(), each.i32()?, each.i16()?)))
}

pub(in super::super) fn fetch(client_id: &str, group: &str, topic: &str, partition: i32) -> Vec<u8> {
    let mut out = begin(OFFSET_FETCH, client_id);
    out.string(group);
    out.i32(1);
    out.string(topic);
    out.i32(1);
    out.i32(partition);
    end(&mut out);
    out
}

/// The position, -1 for none, and the error code.
pub(in super::super) fn fetch_answer(mut reader: Reader<'_>) -> Result<(i64, i16)> {
    reader.i32()?;
    let found = super::topics_of(&mut reader, |_, each| {
        each.i32()?;
        let offset = each.i64()?;
        each.i32()?;
        each.nullable_string()?;
        Ok((offset, each.i16()?))
    })?;
    let whole = reader.i16()?;
    let (offset, own) = found.first().copied().unwrap_or((-1, 0));
    Ok((offset, if whole != 0 { whole } else { own }))
}
