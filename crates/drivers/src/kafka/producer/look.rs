//! Looks into a partition for what may be stored already.
//!
//! A broker that is started again forgets producers whose newest message is older than `producer.id.expiration.ms` (a day):
//! it goes by the timestamps that messages bring. What is sent to it again would then be stored twice. So, where the
//! messages are old, the producer looks for its numbers behind what was acknowledged before it sends again.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openmessaging::Result;

use crate::kafka::cluster::Cluster;
use crate::kafka::error::{self, code};
use crate::kafka::positions;
use crate::kafka::protocol::fetch::{self, Wanted};
use crate::kafka::protocol::offsets::LATEST;
use crate::kafka::records::{self, Numbers};

/// Older messages may be forgotten. Less than the shortest time that anybody would set.
const OLD: Duration = Duration::from_secs(30 * 60);

/// So much is read at once, and in all: others write too.
const STEP: i32 = 1024 * 1024;
const ALL: usize = 32 * 1024 * 1024;

const MAX_ANSWER: usize = 600 * 1024 * 1024;

/// Whether a broker may forget a producer by a message of this time.
pub(super) fn is_old(timestamp: i64) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (timestamp as i128) < now.as_millis() as i128 - OLD.as_millis() as i128
}

/// The numbers of all batches from that offset on.
pub(super) async fn look(
    cluster: &Cluster,
    topic: &Arc<str>,
    partition: u32,
    from: i64,
) -> Result<Vec<Numbers>> {
    let end = positions::list(cluster, &[(topic.clone(), partition, LATEST)], false).await?;
    let end = end.first().copied().flatten().unwrap_or_default() as i64;
    let (mut at, mut bytes, mut found) = (from, 0, Vec::new());
    while at < end && bytes < ALL {
        let what = "looking for what is stored";
        let step = cluster.attempts(what, |left, _| step(cluster, topic, partition, at, what, left));
        let (read, next, numbers) = step.await?;
        found.extend(numbers);
        if next <= at {
            break;
        }
        (at, bytes) = (next, bytes + read);
    }
    Ok(found)
}

/// Bytes read, the offset to go on at, numbers.
async fn step(
    cluster: &Cluster,
    topic: &str,
    partition: u32,
    at: i64,
    what: &str,
    left: Duration,
) -> Result<(usize, i64, Vec<Numbers>)> {
    let no_leader = || error::of(code::LEADER_NOT_AVAILABLE, &format!("{}: {what}", cluster.server));
    let info = cluster.topic(topic, cluster.config.client.metadata_age).await?;
    let connection = cluster.node(info.leader(partition).ok_or_else(no_leader)?).await?;
    let wanted = [Wanted { topic, partition: partition as i32, offset: at, max_bytes: STEP }];
    let terms = fetch::Terms { max_wait_ms: 0, max_bytes: STEP, read_committed: false };
    let call = connection.call(fetch::request(&cluster.config.client.id, terms, &wanted), MAX_ANSWER);
    let frame = crate::common::deadline::within(left, connection.server(), what, call).await?;
    let (code, fetched) = fetch::answer(&frame)?;
    let fetched = fetched.into_iter().next().ok_or_else(no_leader)?;
    match if code == code::NONE { fetched.error } else { code } {
        code::NONE => {
            let (next, numbers) = records::numbers(&frame[fetched.records.clone()])?;
            Ok((fetched.records.len(), next.unwrap_or(at), numbers))
        }
        code => {
            cluster.forget(topic);
            Err(error::of(code, &format!("{}: {what} in {topic}", connection.server())))
        }
    }
}
