//! Offsets: where partitions begin and end, where a time is, and what groups have committed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use openmessaging::{QueuePartition, Result, StartAt};

use super::cluster::{Cluster, TopicInfo};
use super::error::{self, code};
use super::protocol::groups;
use super::protocol::offsets::{self, EARLIEST, Found, LATEST};
use super::wire::Reader;
use crate::common::names;

/// A question about one partition: topic, partition, the time (or [`EARLIEST`], [`LATEST`]).
pub(super) type Question = (Arc<str>, u32, i64);

/// The offsets that partitions are read from.
///
/// # Errors
/// `NotFound`, `PartitionNotFound`, `Forbidden`, `Timeout`.
pub(super) async fn resolve(
    cluster: &Cluster,
    group: &str,
    wanted: &[(QueuePartition, StartAt)],
) -> Result<Vec<u64>> {
    let (mut starts, mut later) = (Vec::with_capacity(wanted.len()), Vec::new());
    for (place, at) in wanted {
        names::check_queue(&place.queue)?;
        let topic: Arc<str> = cluster.topic_of(&place.queue).into();
        check(cluster, &topic, place).await?;
        let time = match at {
            StartAt::Begin | StartAt::Offset(_) | StartAt::Committed => EARLIEST,
            StartAt::End => LATEST,
            StartAt::Timestamp(time) => {
                later.push((topic.clone(), place.partition, LATEST));
                (*time).max(0)
            }
        };
        starts.push((topic, place.partition, time));
    }
    let read_committed = cluster.config.client.read_committed;
    let found = list(cluster, &starts, read_committed).await?;
    let mut ends = list(cluster, &later, read_committed).await?.into_iter();
    let mut offsets = Vec::with_capacity(wanted.len());
    for ((place, at), found) in wanted.iter().zip(found) {
        let offset = found.unwrap_or_default();
        offsets.push(match at {
            StartAt::Begin | StartAt::End => offset,
            StartAt::Offset(wanted) => offset.max(*wanted),
            // Where nothing is so new: behind the end.
            StartAt::Timestamp(_) => {
                let end = ends.next().flatten();
                found.or(end).unwrap_or_default()
            }
            StartAt::Committed => offset.max(committed(cluster, group, place).await?.unwrap_or_default()),
        });
    }
    Ok(offsets)
}

/// The partition is there, says a broker now.
async fn check(cluster: &Cluster, topic: &str, place: &QueuePartition) -> Result<Arc<TopicInfo>> {
    // Many partitions of one topic are asked for once.
    let info = cluster.topic(topic, Duration::from_millis(50)).await?;
    if (place.partition as usize) < info.leaders.len() {
        Ok(info)
    } else {
        Err(error::no_partition(&place.queue, place.partition, info.leaders.len()))
    }
}

/// The offsets of partitions, in the order of the questions; `None` where no message is so new.
pub(super) async fn list(
    cluster: &Cluster,
    questions: &[Question],
    read_committed: bool,
) -> Result<Vec<Option<u64>>> {
    if questions.is_empty() {
        return Ok(Vec::new());
    }
    cluster
        .attempts("asking for offsets", |left, _| async move {
            let tried = list_once(cluster, questions, read_committed, left).await;
            if tried.is_err() {
                // The leaders may be others by now.
                questions.iter().for_each(|(topic, ..)| cluster.forget(topic));
            }
            tried
        })
        .await
}

async fn list_once(
    cluster: &Cluster,
    questions: &[Question],
    read_committed: bool,
    left: Duration,
) -> Result<Vec<Option<u64>>> {
    let mut by_leader: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
    for (index, (topic, partition, _)) in questions.iter().enumerate() {
        let info = match cluster.known(topic) {
            Some(info) => info,
            None => cluster.refresh(topic, left).await?,
        };
        let leader = info.leader(*partition).ok_or_else(|| {
            error::of(code::LEADER_NOT_AVAILABLE, &format!("{}: {topic}-{partition}", cluster.server))
        })?;
        by_leader.entry(leader).or_default().push(index);
    }
    let mut found = vec![None; questions.len()];
    for (leader, mut indexes) in by_leader {
        indexes.sort_by(|a, b| questions[*a].0.cmp(&questions[*b].0));
        let connection = cluster.node(leader).await?;
        let asked: Vec<_> = indexes
            .iter()
            .map(|index| {
                let (topic, partition, time) = &questions[*index];
                (&**topic, *partition as i32, *time)
            })
            .collect();
        let request = offsets::request(&cluster.config.client.id, &asked, read_committed);
        let answer = cluster.call(&connection, request, "asking for offsets", left).await?;
        let answers = offsets::answer(Reader::new(&answer))?;
        for index in indexes {
            let (topic, partition, _) = &questions[index];
            let is_it = |found: &&Found| found.partition == *partition as i32 && found.topic == **topic;
            let what = || format!("{}: the offsets of {topic}-{partition}", connection.server());
            match answers.iter().find(is_it) {
                Some(answer) if answer.error == code::NONE => {
                    found[index] = u64::try_from(answer.offset).ok()
                }
                Some(answer) => return Err(error::of(answer.error, &what())),
                None => return Err(error::of(code::LEADER_NOT_AVAILABLE, &what())),
            }
        }
    }
    Ok(found)
}

/// The offset of the oldest message that is kept.
pub(super) async fn begin(cluster: &Cluster, topic: &Arc<str>, partition: u32) -> Result<u64> {
    let found = list(cluster, &[(topic.clone(), partition, EARLIEST)], false).await?;
    Ok(found.first().copied().flatten().unwrap_or_default())
}

/// Stores positions at the group's coordinator, without being a member of the group.
pub(super) async fn commit(
    cluster: &Cluster,
    group: &str,
    positions: &[(QueuePartition, u64)],
) -> Result<()> {
    let mut stored = Vec::with_capacity(positions.len());
    for (place, offset) in positions {
        names::check_queue(&place.queue)?;
        stored.push((cluster.topic_of(&place.queue), place.partition as i32, *offset as i64));
    }
    stored.sort();
    let (what, stored) = ("committing positions", &stored);
    cluster
        .attempts(what, |left, _| async move {
            let connection = cluster.coordinator(group, left).await?;
            let request = groups::commit(&cluster.config.client.id, group, stored);
            let answer = cluster.call(&connection, request, what, left).await?;
            let answers = groups::commit_answer(Reader::new(&answer))?;
            let Some((topic, partition, code)) = answers.into_iter().find(|(.., code)| *code != code::NONE)
            else {
                return Ok(());
            };
            note_coordinator(cluster, group, code);
            let what = format!("{}: committing {topic}-{partition} for group {group}", connection.server());
            Err(error::of(code, &what))
        })
        .await
}

/// The position that a group has committed.
pub(super) async fn committed(cluster: &Cluster, group: &str, place: &QueuePartition) -> Result<Option<u64>> {
    names::check_queue(&place.queue)?;
    let topic = &cluster.topic_of(&place.queue);
    let what = "asking for a committed position";
    cluster
        .attempts(what, |left, _| async move {
            let connection = cluster.coordinator(group, left).await?;
            let request = groups::fetch(&cluster.config.client.id, group, topic, place.partition as i32);
            let answer = cluster.call(&connection, request, what, left).await?;
            match groups::fetch_answer(Reader::new(&answer))? {
                (offset, code::NONE) => Ok(u64::try_from(offset).ok()),
                // Of a partition that is not there.
                (_, code::UNKNOWN_TOPIC) => Ok(None),
                (_, code) => {
                    note_coordinator(cluster, group, code);
                    let what = format!("{}: the position of {topic} for group {group}", connection.server());
                    Err(error::of(code, &what))
                }
            }
        })
        .await
}

fn note_coordinator(cluster: &Cluster, group: &str, code: i16) {
    if matches!(code, code::NOT_COORDINATOR | code::COORDINATOR_NOT_AVAILABLE) {
        cluster.forget_coordinator(group);
    }
}
