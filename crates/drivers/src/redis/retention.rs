//! Removes what is old or too much. Redis does not do it by itself for such limits, so whoever has the queue open does:
//! now and then, and earlier where much is written. Whole nodes of a stream are removed (`XTRIM` with `~`), and never more
//! than is beyond the limit.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use openmessaging::Result;

use super::catalog::{Catalog, Queue};
use super::client::Again;
use super::resp::command;
use super::{offset, positions, scripts};

/// So many nodes of a stream are looked at to know its size.
const SAMPLES: &[u8] = b"200";

/// How often a stream is cut at one look.
const CUTS: &[u8] = b"16";

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
            let what = format!("trimming stream {stream}");
            let asked = command(&[b"XTRIM", stream.as_bytes(), b"MINID", b"~", offset::id(from).as_bytes()]);
            catalog.client.call(&what, asked, Again::Yes).await?;
        }
    }
    if let Some(limit) = queue.retention_bytes {
        let what = format!("trimming stream {stream}");
        let limit = limit.to_string();
        let arguments = [limit.as_bytes(), SAMPLES, CUTS];
        catalog.client.script(&what, scripts::CUT, &[stream.as_bytes()], &arguments, Again::Yes).await?;
    }
    Ok(())
}

/// The server's time, which entries are stored with.
async fn now(catalog: &Catalog) -> Result<i64> {
    let what = "asking for the time";
    let reply = catalog.client.call(what, command(&[b"TIME"]), Again::Yes).await?;
    let seconds = reply.array().and_then(|parts| parts.first()?.integer());
    seconds.map(|seconds| seconds * 1000).ok_or_else(|| catalog.unexpected(what))
}
