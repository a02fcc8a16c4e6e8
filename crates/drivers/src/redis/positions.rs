//! Where reading starts, and positions of groups. A group is a consumer group of the stream, whose last delivered id is
//! the position: Redis's own tools show it, and it goes with the stream.

use openmessaging::{Error, QueuePartition, Result, StartAt, StatusCode};

use super::catalog::{Catalog, Queue};
use super::client::Again;
use super::entry::{self, Field};
use super::resp::{Reply, command};
use super::{error, offset, scripts};

/// The offset that reading starts from; the queue is there and has that partition.
pub(super) async fn resolve(
    catalog: &Catalog,
    queue: &Queue,
    partition: u32,
    group: &str,
    at: StartAt,
) -> Result<u64> {
    let stream = queue.stream(partition)?;
    let (begin, end) = catalog.bounds(&queue.name, stream).await?;
    Ok(match at {
        StartAt::Begin => begin,
        StartAt::End => end,
        StartAt::Offset(offset) => offset.max(begin),
        StartAt::Timestamp(time) => first_stored_since(catalog, stream, (begin, end), time).await?,
        StartAt::Committed => {
            let position = committed(catalog, queue, partition, group).await?;
            position.map_or(begin, |offset| offset.max(begin))
        }
    })
}

/// The offset of the first entry that was stored at that time or later. Times do not go back within a stream.
pub(super) async fn first_stored_since(
    catalog: &Catalog,
    stream: &str,
    bounds: (u64, u64),
    time: i64,
) -> Result<u64> {
    let (mut low, mut high) = bounds;
    while low < high {
        let middle = low + (high - low) / 2;
        match entry_at_or_behind(catalog, stream, middle).await? {
            Some((at, stored)) if stored < time => low = at + 1,
            // What is asked for is at the middle (and what is behind it) or before.
            _ => high = middle,
        }
    }
    Ok(low)
}

/// The offset of the first entry from there on, and when it was stored.
async fn entry_at_or_behind(catalog: &Catalog, stream: &str, from: u64) -> Result<Option<(u64, i64)>> {
    let what = format!("looking into stream {stream}");
    let asked = command(&[b"XRANGE", stream.as_bytes(), offset::id(from).as_bytes(), b"+", b"COUNT", b"1"]);
    let reply = catalog.client.call(&what, asked, Again::Yes).await?;
    let entries = reply.array().ok_or_else(|| catalog.unexpected(&what))?;
    let Some(entry) = entries.into_iter().next() else { return Ok(None) };
    let read = || {
        let [id, fields] = <[Reply; 2]>::try_from(entry.array()?).ok()?;
        let at = offset::of_id(&id.bytes()?)?;
        let parts: Vec<Vec<u8>> = fields.array()?.into_iter().filter_map(Reply::bytes).collect();
        let fields: Vec<Field<'_>> = parts.chunks_exact(2).map(|pair| (&pair[0][..], &pair[1][..])).collect();
        Some((at, entry::stored_at(&fields, at)))
    };
    read().map(Some).ok_or_else(|| catalog.unexpected(&what))
}

/// The position of a group; `None`: it has none.
pub(super) async fn committed(
    catalog: &Catalog,
    queue: &Queue,
    partition: u32,
    group: &str,
) -> Result<Option<u64>> {
    let stream = queue.stream(partition)?;
    let what = format!("asking for the position of group {group} in stream {stream}");
    let asked = command(&[b"XINFO", b"GROUPS", stream.as_bytes()]);
    let reply = catalog.client.call(&what, asked, Again::Yes).await;
    let groups = reply.map_err(|error| missing(error, &queue.name))?.array();
    let groups = groups.ok_or_else(|| catalog.unexpected(&what))?;
    let own = groups.iter().find(|found| found.field("name").and_then(Reply::text) == Some(group));
    Ok(match own.and_then(|group| group.field("last-delivered-id")) {
        Some(Reply::Bytes(id)) => offset::at_most(id).map(|last| last + 1),
        _ => None,
    })
}

/// Stores positions, all or none.
pub(super) async fn commit(
    catalog: &Catalog,
    group: &str,
    positions: &[(QueuePartition, u64)],
) -> Result<()> {
    let mut streams = Vec::with_capacity(positions.len());
    let mut arguments = vec![group.as_bytes().to_vec()];
    for (place, offset) in positions {
        let queue = match catalog.known(&place.queue) {
            Some(queue) => queue,
            None => catalog.find(&place.queue).await?,
        };
        streams.push(queue.stream(place.partition)?.clone());
        arguments.push(offset::id_before(*offset).into_bytes());
    }
    if positions.is_empty() {
        return Ok(());
    }
    let what = format!("storing positions of group {group}");
    let keys: Vec<&[u8]> = streams.iter().map(|stream| stream.as_bytes()).collect();
    let arguments: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
    let reply = catalog.client.script(&what, scripts::COMMIT, &keys, &arguments, Again::Yes).await?;
    match reply.integer() {
        Some(0) => Ok(()),
        Some(number) => {
            let place = usize::try_from(number - 1).ok().and_then(|index| positions.get(index));
            let name = place.map_or("?", |(place, _)| &place.queue);
            catalog.forget(name);
            Err(error::no_queue(name))
        }
        None => Err(catalog.unexpected(&what)),
    }
}

fn missing(error: Error, queue: &str) -> Error {
    if error.status == StatusCode::NotFound { error::no_queue(queue) } else { error }
}
