//! Removes what is old or too much. Redis does not do it by itself for such limits, so whoever has the queue open does:
//! now and then, and earlier where much is written. Whole nodes of a stream are removed (`XTRIM` with `~`), and never more
//! than is beyond the limit.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use openmessaging::Result;

use super::catalog::{Catalog, Queue};
use super::client::Again;
use super::resp::command;
use super::{offset, positions};

/// So many nodes of a stream are looked at to know its size.
const SAMPLES: &str = "200";

/// How often a stream is cut at one look, a part of the surplus each time: sizes are estimated.
const CUTS: usize = 8;

/// Looks at the queues until the access point is closed.
pub(super) async fn keep(catalog: Arc<Catalog>) {
    let link = catalog.client.link.clone();
    loop {
        tokio::select! {
            () = link.closed.cancelled() => return,
            () = catalog.due.notified() => {}
            () = tokio::time::sleep(link.config.retention_check) => {}
        }
        for queue in catalog.with_retention() {
            queue.written.store(0, Ordering::Relaxed);
            for stream in &queue.streams {
                if let Err(error) = look(&catalog, &queue, stream).await {
                    // The next look is another attempt. A queue that is gone is nothing to look at.
                    tracing::debug!(queue = %queue.name, %error, "retention could not look at a queue");
                    catalog.forget(&queue.name);
                    break;
                }
            }
        }
    }
}

async fn look(catalog: &Catalog, queue: &Queue, stream: &str) -> Result<()> {
    if let Some(milliseconds) = queue.retention_ms {
        let oldest = now(catalog).await?.saturating_sub_unsigned(milliseconds);
        let bounds = catalog.bounds(&queue.name, stream).await?;
        let from = positions::first_stored_since(catalog, stream, bounds, oldest).await?;
        if from > bounds.0 {
            trim(catalog, stream, "MINID", &offset::id(from)).await?;
        }
    }
    if let Some(limit) = queue.retention_bytes {
        for _ in 0..CUTS {
            let bytes = memory(catalog, stream).await?;
            let length = length(catalog, stream).await?;
            let Some(count) = surplus(bytes, limit, length) else { break };
            if trim(catalog, stream, "MAXLEN", &(length - count).to_string()).await? == 0 {
                break;
            }
        }
    }
    Ok(())
}

/// How many of the oldest entries may go, by the average size; half of them, since the oldest may be larger. `None`:
/// there is no surplus.
fn surplus(bytes: u64, limit: u64, length: u64) -> Option<u64> {
    let over = bytes.checked_sub(limit).filter(|over| *over > 0)?;
    let count = u128::from(length) * u128::from(over) / u128::from(bytes.max(1));
    Some((count as u64).div_ceil(2)).filter(|count| *count > 0)
}

async fn memory(catalog: &Catalog, stream: &str) -> Result<u64> {
    let what = format!("measuring stream {stream}");
    let asked = command(&[b"MEMORY", b"USAGE", stream.as_bytes(), b"SAMPLES", SAMPLES.as_bytes()]);
    let reply = catalog.client.call(&what, asked, Again::Yes).await?;
    Ok(reply.integer().and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default())
}

async fn length(catalog: &Catalog, stream: &str) -> Result<u64> {
    let what = format!("counting stream {stream}");
    let reply = catalog.client.call(&what, command(&[b"XLEN", stream.as_bytes()]), Again::Yes).await?;
    Ok(reply.integer().and_then(|count| u64::try_from(count).ok()).unwrap_or_default())
}

/// The server's time, which entries are stored with.
async fn now(catalog: &Catalog) -> Result<i64> {
    let what = "asking for the time";
    let reply = catalog.client.call(what, command(&[b"TIME"]), Again::Yes).await?;
    let seconds = reply.array().and_then(|parts| parts.first()?.integer());
    seconds.map(|seconds| seconds * 1000).ok_or_else(|| catalog.unexpected(what))
}

/// Removes whole nodes of entries beyond that limit; says how many entries.
async fn trim(catalog: &Catalog, stream: &str, kind: &str, limit: &str) -> Result<i64> {
    let what = format!("trimming stream {stream}");
    let asked = command(&[b"XTRIM", stream.as_bytes(), kind.as_bytes(), b"~", limit.as_bytes()]);
    let reply = catalog.client.call(&what, asked, Again::Yes).await?;
    Ok(reply.integer().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_beyond_the_limit_may_go() {
        assert_eq!(surplus(1000, 1000, 10), None);
        assert_eq!(surplus(2000, 1000, 10), Some(3), "half of the five that are too many");
        assert_eq!(surplus(1001, 1000, 10), None, "less than one");
        assert_eq!(surplus(u64::MAX, 1, u64::MAX), Some(u64::MAX / 2));
    }
}
