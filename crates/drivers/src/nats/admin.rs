//! Queues as resources.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use openmessaging::{
    Error, PartitionDescription, QueueDescription, QueueSpec, ResourceManager, Result, StatusCode,
};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::access_point::Handle;
use super::catalog::{MOST, Queue, description, partitions_of};
use super::error::{self, NAME_IN_USE};
use super::link::unique;
use crate::common::names::check_queue;
use crate::common::settings::bad_parameter;

/// How long the server remembers ids of messages, unless messages are not kept as long.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// The least that the server takes as an age.
const LEAST_AGE_MS: u64 = 100;

/// The properties of a queue, which win over those of the access point.
const REPLICAS: &str = "replicas";
const STORAGE: &str = "storage";
const DISCARD: &str = "discard";
const MAX_MSGS: &str = "max_msgs";
const QUEUE_KEYS: [&str; 4] = [REPLICAS, STORAGE, DISCARD, MAX_MSGS];

pub(super) struct NatsResources {
    pub handle: Arc<Handle>,
}

/// The configuration of one partition's stream.
fn stream_config(spec: &QueueSpec, name: &str, subject: &str, replicas: u64, token: &str) -> Result<Value> {
    for key in spec.properties.keys() {
        if !QUEUE_KEYS.contains(&key.as_str()) {
            return Err(bad_parameter(format!("a queue of the nats driver has no property \"{key}\""))
                .with_remedy(format!("known: {}", QUEUE_KEYS.join(", "))));
        }
    }
    let wrong = |key: &str, value: &str, wanted: &str| {
        bad_parameter(format!("property {key} of queue \"{}\" is \"{value}\"", spec.name))
            .with_remedy(format!("write {wanted}"))
    };
    let choice = |key: &str, choices: [&'static str; 2]| match spec.properties.get(key) {
        None => Ok(choices[0]),
        Some(given) => choices
            .into_iter()
            .find(|choice| choice == given)
            .ok_or_else(|| wrong(key, given, &choices.join(" or "))),
    };
    let number = |key: &str, to: u64| match spec.properties.get(key) {
        None => Ok(None),
        Some(given) => {
            let parsed = given.parse().ok().filter(|number| (1..=to).contains(number));
            parsed.map(Some).ok_or_else(|| wrong(key, given, &format!("a number from 1 to {to}")))
        }
    };
    let age = spec.retention_ms.map(|age| Duration::from_millis(age.max(LEAST_AGE_MS)));
    let nanos = |duration: Duration| {
        u64::try_from(duration.as_nanos()).unwrap_or(i64::MAX as u64).min(i64::MAX as u64)
    };
    let limit = |value: Option<u64>| value.map_or(json!(-1), |value| json!(value.min(i64::MAX as u64)));
    Ok(json!({
        "name": name,
        "description": description(spec.partitions, token),
        "subjects": [subject],
        "retention": "limits",
        "max_consumers": -1,
        "max_msgs": limit(number(MAX_MSGS, i64::MAX as u64)?),
        "max_bytes": limit(spec.retention_bytes),
        "max_age": age.map_or(0, nanos),
        "max_msg_size": -1,
        "max_msgs_per_subject": -1,
        "storage": choice(STORAGE, ["file", "memory"])?,
        "discard": choice(DISCARD, ["old", "new"])?,
        "num_replicas": number(REPLICAS, 5)?.unwrap_or(replicas),
        "duplicate_window": nanos(age.map_or(DUPLICATE_WINDOW, |age| age.min(DUPLICATE_WINDOW))),
    }))
}

impl NatsResources {
    /// Makes one stream. One of that name that is left from a queue that was not made or deleted whole is removed.
    async fn create_stream(
        &self,
        config: &Value,
        partition: u32,
        queue: &str,
        deadline: Instant,
    ) -> Result<()> {
        let (js, stream) = (&self.handle.js, config["name"].as_str().unwrap_or_default());
        for _ in 0..2 {
            match js.create(config, deadline).await? {
                Ok(_) => return Ok(()),
                Err(error) if error.err_code == NAME_IN_USE && partition > 0 => {
                    js.delete(stream, deadline).await?;
                }
                Err(error) if error.err_code == NAME_IN_USE => break,
                Err(error) => return Err(error.into_error(js.server(), &format!("creating queue {queue}"))),
            }
        }
        Err(exists(js.server(), queue))
    }
}

fn exists(server: &str, queue: &str) -> Error {
    Error::new(StatusCode::AlreadyExists, format!("queue \"{queue}\" exists already at {server}"))
        .with_remedy("use it, or name another one")
}

#[async_trait]
impl ResourceManager for NatsResources {
    async fn create_queue(&self, spec: &QueueSpec) -> Result<()> {
        self.handle.check()?;
        check_queue(&spec.name)?;
        if !(1..=MOST).contains(&spec.partitions) {
            return Err(bad_parameter(format!(
                "queue \"{}\" cannot have {} partitions",
                spec.name, spec.partitions
            ))
            .with_remedy(format!("give it 1 to {MOST}")));
        }
        let (js, deadline) = (&self.handle.js, self.handle.deadline());
        let config = &self.handle.config;
        let (space, token) = (&config.space, unique());
        let configs = (0..spec.partitions)
            .map(|partition| {
                let (name, subject) =
                    (space.stream(&spec.name, partition), space.subject(&spec.name, partition));
                stream_config(spec, &name, &subject, config.replicas, &token)
            })
            .collect::<Result<Vec<_>>>()?;
        if js.info(&space.stream(&spec.name, 0), deadline).await?.is_some() {
            return Err(exists(js.server(), &spec.name));
        }
        // The first partition last: with it the queue is there.
        for (partition, config) in (0..spec.partitions).zip(&configs).rev() {
            let created = self.create_stream(config, partition, &spec.name, deadline).await;
            if let Err(error) = created {
                for made in configs.iter().skip(partition as usize + 1) {
                    if error.status == StatusCode::AlreadyExists {
                        // Somebody else was faster, and has streams of these names now, or will.
                        break;
                    }
                    let _ = js.delete(made["name"].as_str().unwrap_or_default(), deadline).await;
                }
                return Err(error);
            }
        }
        Ok(())
    }

    async fn describe_queue(&self, name: &str) -> Result<QueueDescription> {
        self.handle.check()?;
        let queue = Queue::find(&self.handle.js, name, self.handle.deadline()).await?;
        let describe = |(partition, found): (u32, &super::catalog::Partition)| PartitionDescription {
            partition,
            begin: found.info.state.begin(),
            end: found.info.state.end(),
        };
        let partitions = (0..).zip(&queue.partitions).map(describe).collect();
        Ok(QueueDescription { name: name.to_owned(), partitions })
    }

    async fn list_queues(&self) -> Result<Vec<String>> {
        self.handle.check()?;
        let names = self.handle.js.names(self.handle.deadline()).await?;
        let mut queues: Vec<_> =
            names.iter().filter_map(|stream| self.handle.config.space.queue(stream)).collect();
        queues.sort_unstable();
        queues.dedup();
        Ok(queues)
    }

    async fn delete_queue(&self, name: &str) -> Result<()> {
        self.handle.check()?;
        check_queue(name)?;
        let (js, deadline) = (&self.handle.js, self.handle.deadline());
        let space = &self.handle.config.space;
        let first = space.stream(name, 0);
        let info = js.info(&first, deadline).await?.ok_or_else(|| error::no_queue(js.server(), name))?;
        // Positions first: they must not be there for a queue made anew.
        self.handle.positions.forget(js, name, deadline).await?;
        js.delete(&first, deadline).await?;
        let others = (1..partitions_of(&info.config.description))
            .map(|partition| async move { js.delete(&space.stream(name, partition), deadline).await });
        futures::future::try_join_all(others).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(change: impl FnOnce(&mut QueueSpec)) -> Result<Value> {
        let mut spec = QueueSpec::new("q", 2);
        change(&mut spec);
        stream_config(&spec, "q=1", "q=1", 1, "token")
    }

    #[test]
    fn a_queue_is_a_stream_on_disk() {
        let plain = config(|_| {}).expect("made");
        assert_eq!(
            (&plain["storage"], &plain["max_age"], &plain["max_bytes"]),
            (&json!("file"), &json!(0), &json!(-1))
        );
        assert_eq!(plain["duplicate_window"], json!(120_000_000_000_u64));
        let kept = config(|spec| {
            spec.retention_ms = Some(60_000);
            spec.retention_bytes = Some(5);
            spec.properties.insert("discard".into(), "new".into());
            spec.properties.insert("replicas".into(), "3".into());
        })
        .expect("made");
        assert_eq!(
            (&kept["max_age"], &kept["duplicate_window"]),
            (&json!(60_000_000_000_u64), &json!(60_000_000_000_u64))
        );
        assert_eq!(
            (&kept["max_bytes"], &kept["discard"], &kept["num_replicas"]),
            (&json!(5), &json!("new"), &json!(3))
        );
        for (key, value) in [("replica", "1"), ("replicas", "9"), ("discard", "both"), ("max_msgs", "x")] {
            let error = config(|spec| drop(spec.properties.insert(key.into(), value.into()))).expect_err(key);
            assert!(error.status == StatusCode::BadParameter && error.to_string().contains(key), "{error}");
        }
    }
}
