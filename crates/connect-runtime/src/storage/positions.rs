//! The positions of sources and sinks.

use std::collections::HashMap;
use std::sync::Arc;

use openmessaging::{KeyValueStore, QueuePartition};
use openmessaging_connector::{Position, SourcePartition};
use serde_json::{Map, Value as Json, json};

use super::fenced::{Fenced, FencedStore, read_all};
use crate::cluster::TaskId;

/// Longer names are replaced by their hash, so that keys stay within the store's limit.
const MAX_NAME: usize = 400;

fn short(text: &str) -> String {
    if text.len() <= MAX_NAME {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(MAX_NAME);
    format!("{}#{:016x}", &text[..end], fnv1a(text.as_bytes()))
}

/// FNV-1a, 64 bits: stored, so it must never change.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The values of a connector below `prefix`, the newest last: tasks write below their own number, and a partition that
/// went from one task to another is found below both.
async fn newest_last(store: &Arc<dyn KeyValueStore>, prefix: &str) -> Result<Vec<Json>, Fenced> {
    let mut values = read_all(store, prefix).await?;
    values.sort_by_key(|read| read.version);
    Ok(values.into_iter().map(|read| read.value).filter(|value| !value.is_null()).collect())
}

/// The positions of one task of a source connector.
pub struct SourcePositions {
    store: FencedStore,
}

impl SourcePositions {
    /// Takes the task's positions over, and reads those of the whole connector.
    pub async fn claim(
        store: Arc<dyn KeyValueStore>,
        task: &TaskId,
        epoch: u64,
    ) -> Result<(Self, HashMap<SourcePartition, Position>), Fenced> {
        let prefix = format!("position/source/{}/", task.connector);
        // First the claim, then the reading: what an older owner wrote before is seen, what it writes after is refused.
        let claimed = FencedStore::claim(store.clone(), format!("{prefix}{}/", task.task), epoch).await?;
        let mut positions = HashMap::new();
        for value in newest_last(&store, &prefix).await? {
            match read_source(&value) {
                Some((partition, position)) => drop(positions.insert(partition, position)),
                None => tracing::error!(%value, "a stored position cannot be read and is left out"),
            }
        }
        Ok((Self { store: claimed }, positions))
    }

    /// Stores positions; durable when it returns.
    pub async fn commit(&self, positions: &[(SourcePartition, Position)]) -> Result<(), Fenced> {
        for (partition, position) in positions {
            let value = json!({ "partition": partition.to_object(), "position": position.to_object() });
            self.store.put(&short(partition.as_str()), &value).await?;
        }
        Ok(())
    }
}

fn read_source(value: &Json) -> Option<(SourcePartition, Position)> {
    let object = |name| value.get(name).and_then(Json::as_object).cloned();
    let partition: Map<String, Json> = object("partition")?;
    Some((SourcePartition::new(&partition), Position::from_object(object("position")?)?))
}

/// The queue positions of one task of a sink connector: the offset of the next message.
pub struct SinkPositions {
    store: FencedStore,
}

impl SinkPositions {
    pub async fn claim(
        store: Arc<dyn KeyValueStore>,
        task: &TaskId,
        epoch: u64,
    ) -> Result<(Self, HashMap<QueuePartition, u64>), Fenced> {
        let prefix = format!("position/sink/{}/", task.connector);
        let claimed = FencedStore::claim(store.clone(), format!("{prefix}{}/", task.task), epoch).await?;
        let values = newest_last(&store, &prefix).await?;
        let read = values.iter().filter_map(|value| {
            let partition = u32::try_from(value.get("partition")?.as_u64()?).ok()?;
            let queue = value.get("queue")?.as_str()?;
            Some((QueuePartition::new(queue, partition), value.get("offset")?.as_u64()?))
        });
        Ok((Self { store: claimed }, read.collect()))
    }

    pub async fn commit(&self, positions: &[(QueuePartition, u64)]) -> Result<(), Fenced> {
        for (at, offset) in positions {
            let value = json!({ "queue": &*at.queue, "partition": at.partition, "offset": offset });
            self.store.put(&short(&format!("{}/{}", at.queue, at.partition)), &value).await?;
        }
        Ok(())
    }
}
