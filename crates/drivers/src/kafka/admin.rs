//! Topics as resources.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use openmessaging::{
    Error, PartitionDescription, QueueDescription, QueueSpec, ResourceManager, Result, StatusCode,
};
use tokio::time::Instant;

use super::cluster::{BACKOFF, Cluster};
use super::error::{self, code};
use super::positions;
use super::protocol::offsets::{EARLIEST, LATEST};
use super::protocol::topics::{self, NewTopic};
use super::protocol::{CREATE_TOPICS, CREATE_TOPICS_DEFAULTS};
use super::wire::Reader;
use crate::common::settings::bad_parameter;
use crate::common::{names, runtime};
use crate::store::queue::PREFIX;

/// A record batch is larger than its messages by so much at most: its head, and what incompressible bytes gain.
const BATCH_OVERHEAD: usize = 64 * 1024;

pub(super) struct KafkaResources(pub Arc<Cluster>);

/// Makes a topic. Its settings are those of the spec, and its own.
pub(super) async fn create(cluster: &Cluster, spec: &QueueSpec) -> Result<()> {
    names::check_queue(&spec.name)?;
    let name = cluster.topic_of(&spec.name);
    let partitions = i32::try_from(spec.partitions).ok().filter(|count| *count > 0);
    let partitions = partitions.ok_or_else(|| {
        bad_parameter(format!("queue \"{}\" cannot have {} partitions", spec.name, spec.partitions))
            .with_remedy("ask for 1 or more")
    })?;
    let settings = settings(spec, cluster.config.max_message_bytes);
    let what = format!("creating the topic {name}");
    let (name, settings, what) = (&name, &settings, &what);
    let attempt = |left: Duration, number| async move {
        let connection = cluster.controller().await?;
        let wanted = cluster.config.replication_factor;
        let (api, replicas) = if connection.versions().has(CREATE_TOPICS_DEFAULTS) {
            (CREATE_TOPICS_DEFAULTS, wanted)
        } else if wanted > 0 {
            (CREATE_TOPICS, wanted)
        } else {
            // Before 2.4 a broker could not be asked for its default.
            (CREATE_TOPICS, cluster.brokers().clamp(1, 3) as i16)
        };
        let topic = NewTopic { name, partitions, replicas, settings };
        let request = topics::create(&cluster.config.client.id, api, &topic, left.as_millis() as i32);
        let answer = cluster.call(&connection, request, what, left).await?;
        match topics::create_answer(Reader::new(&answer))? {
            (code::NONE, _) => Ok(()),
            // An attempt before this one whose answer was lost.
            (36, _) if number > 0 => Ok(()),
            (code, said) => {
                let mut error = error::of(code, &format!("{}: {what}", connection.server()));
                if !said.is_empty() {
                    error.message = format!("{}: {said}", error.message);
                }
                Err(error)
            }
        }
    };
    cluster.attempts(what, attempt).await?;
    until(cluster, name, |found| matches!(found, Ok(led) if *led)).await
}

fn settings(spec: &QueueSpec, max_message_bytes: usize) -> Vec<(String, String)> {
    let or_forever = |limit: Option<u64>| limit.map(|limit| limit.min(i64::MAX as u64).to_string());
    let own = [
        ("max.message.bytes", Some((max_message_bytes + BATCH_OVERHEAD).to_string())),
        ("retention.ms", or_forever(spec.retention_ms)),
        ("retention.bytes", or_forever(spec.retention_bytes)),
    ];
    let mut all = spec.properties.clone();
    for (name, value) in own {
        if let Some(value) = value {
            all.entry(name.to_owned()).or_insert(value);
        }
    }
    all.into_iter().collect()
}

/// Waits until what the brokers say of a topic (whether all partitions are led, or why not) is as wanted.
async fn until(cluster: &Cluster, topic: &str, wanted: impl Fn(&Result<bool>) -> bool) -> Result<()> {
    let end = Instant::now() + cluster.config.timeout;
    loop {
        let found = cluster.refresh(topic, end.saturating_duration_since(Instant::now())).await;
        let found = found.map(|info| info.leaders.iter().all(Option::is_some));
        if wanted(&found) {
            return Ok(());
        }
        if Instant::now() + BACKOFF > end {
            let message = format!("{}: the brokers do not agree on the topic {topic}", cluster.server);
            return Err(
                Error::new(StatusCode::Timeout, message).with_remedy("look at the state of the brokers")
            );
        }
        tokio::time::sleep(BACKOFF / 5).await;
    }
}

async fn describe(cluster: &Cluster, name: &str) -> Result<QueueDescription> {
    names::check_queue(name)?;
    let topic: Arc<str> = cluster.topic_of(name).into();
    let info = cluster.topic(&topic, Duration::ZERO).await?;
    let partitions = 0..info.leaders.len() as u32;
    let questions =
        |time: i64| partitions.clone().map(|partition| (topic.clone(), partition, time)).collect::<Vec<_>>();
    let begins = positions::list(cluster, &questions(EARLIEST), false).await?;
    let ends = positions::list(cluster, &questions(LATEST), false).await?;
    let each = partitions.clone().zip(begins.into_iter().zip(ends));
    let partitions = each.map(|(partition, (begin, end))| {
        let (begin, end) = (begin.unwrap_or_default(), end.unwrap_or_default());
        // Retention may have come between the two questions.
        PartitionDescription { partition, begin, end: end.max(begin) }
    });
    Ok(QueueDescription { name: name.to_owned(), partitions: partitions.collect() })
}

/// Names of queues among all topics: those with the prefix, without it, and none that is internal.
async fn list(cluster: &Cluster) -> Result<Vec<String>> {
    let found = cluster.attempts("listing topics", |left, _| cluster.metadata(None, left)).await?;
    let mut queues: Vec<String> = found
        .topics
        .iter()
        .filter(|topic| topic.error == code::NONE && !topic.internal && !topic.name.starts_with("__"))
        .filter_map(|topic| topic.name.strip_prefix(&*cluster.config.prefix))
        .filter(|queue| !queue.starts_with(PREFIX) && names::check_queue(queue).is_ok())
        .map(str::to_owned)
        .collect();
    queues.sort();
    Ok(queues)
}

/// Deletes a topic. The group coordinators forget the positions in it.
async fn delete(cluster: &Cluster, name: &str) -> Result<()> {
    names::check_queue(name)?;
    let topic = cluster.topic_of(name);
    let what = format!("deleting the topic {topic}");
    let (topic, what) = (&topic, &what);
    let attempt = |left: Duration, number| async move {
        let connection = cluster.controller().await?;
        let request = topics::delete(&cluster.config.client.id, topic, left.as_millis() as i32);
        let answer = cluster.call(&connection, request, what, left).await?;
        match topics::delete_answer(Reader::new(&answer))? {
            code::NONE => Ok(()),
            code::UNKNOWN_TOPIC if number > 0 => Ok(()),
            code::UNKNOWN_TOPIC => Err(error::no_queue(connection.server(), topic)),
            code => Err(error::of(code, &format!("{}: {what}", connection.server()))),
        }
    };
    cluster.attempts(what, attempt).await?;
    until(cluster, topic, |found| matches!(found, Err(error) if error.status == StatusCode::NotFound)).await
}

#[async_trait]
impl ResourceManager for KafkaResources {
    async fn create_queue(&self, spec: &QueueSpec) -> Result<()> {
        self.0.check()?;
        let (cluster, spec) = (self.0.clone(), spec.clone());
        runtime::on_own(async move { create(&cluster, &spec).await }).await
    }

    async fn describe_queue(&self, name: &str) -> Result<QueueDescription> {
        self.0.check()?;
        let (cluster, name) = (self.0.clone(), name.to_owned());
        runtime::on_own(async move { describe(&cluster, &name).await }).await
    }

    async fn list_queues(&self) -> Result<Vec<String>> {
        self.0.check()?;
        let cluster = self.0.clone();
        runtime::on_own(async move { list(&cluster).await }).await
    }

    async fn delete_queue(&self, name: &str) -> Result<()> {
        self.0.check()?;
        let (cluster, name) = (self.0.clone(), name.to_owned());
        runtime::on_own(async move { delete(&cluster, &name).await }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_a_topic_are_the_specs_and_the_users_win() {
        let mut spec = QueueSpec::new("q", 1);
        spec.retention_ms = Some(5);
        spec.properties.insert("segment.bytes".into(), "1048576".into());
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            settings(&spec, 1000),
            [pair("max.message.bytes", "66536"), pair("retention.ms", "5"), pair("segment.bytes", "1048576")]
        );
        spec.properties.insert("max.message.bytes".into(), "7".into());
        assert!(settings(&spec, 1000).contains(&pair("max.message.bytes", "7")));
    }
}
