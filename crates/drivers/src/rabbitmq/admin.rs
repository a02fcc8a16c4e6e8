//! Queues as resources.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::try_join_all;
use lapin::options::{
    ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};
use openmessaging::{
    Error, PartitionDescription, QueueDescription, QueueSpec, ResourceManager, Result, StatusCode,
};
use serde_json::Value;
use tokio::time::Instant;

use super::access_point::Shared;
use super::config::QueueType;
use super::layout::{self, Layout, short, stream_name};
use super::link::{Link, table};
use super::{bounds, management};
use crate::common::runtime;
use crate::common::settings::bad_parameter;
use crate::store::queue::PREFIX;

const MOST_PARTITIONS: u32 = 1000;

/// A node notes half a second later which quorum queues it has (3.10.8). Killed before, it does not find them, nor what was
/// acknowledged: a queue counts as made when that is over (D10).
const NOTED: Duration = Duration::from_millis(1000);

pub(super) struct RabbitResources(pub Arc<Shared>);

#[async_trait]
impl ResourceManager for RabbitResources {
    async fn create_queue(&self, spec: &QueueSpec) -> Result<()> {
        self.0.check()?;
        layout::check_name(&spec.name)?;
        let (shared, spec) = (self.0.clone(), spec.clone());
        runtime::on_own(async move { create(&shared, &spec).await }).await
    }

    async fn describe_queue(&self, name: &str) -> Result<QueueDescription> {
        self.0.check()?;
        let (shared, name) = (self.0.clone(), name.to_owned());
        runtime::on_own(async move { describe(&shared, name).await }).await
    }

    async fn list_queues(&self) -> Result<Vec<String>> {
        self.0.check()?;
        let shared = self.0.clone();
        runtime::on_own(async move {
            let vhost = management::part(&shared.config.vhost);
            let queues = format!("queues/{vhost}?columns=name");
            let exchanges = format!("exchanges/{vhost}?columns=name,arguments");
            let both = [queues, exchanges].map(|path| {
                let shared = shared.clone();
                async move { management::get(&shared.config, &path).await }
            });
            let [queues, exchanges] = &try_join_all(both).await?[..] else { return Ok(Vec::new()) };
            Ok(names(queues, exchanges))
        })
        .await
    }

    async fn delete_queue(&self, name: &str) -> Result<()> {
        self.0.check()?;
        let (shared, name) = (self.0.clone(), name.to_owned());
        runtime::on_own(async move { delete(&shared, &name).await }).await
    }
}

pub(super) async fn create(shared: &Shared, spec: &QueueSpec) -> Result<()> {
    let config = &shared.config;
    if !(1..=MOST_PARTITIONS).contains(&spec.partitions) {
        return Err(bad_parameter(format!("a queue cannot have {} partitions", spec.partitions))
            .with_remedy(format!("name 1 to {MOST_PARTITIONS}")));
    }
    let deadline = shared.deadline();
    if layout::look(&shared.link, config.queue_type, &spec.name, deadline).await?.is_some() {
        return Err(exists(&spec.name));
    }
    if config.queue_type == QueueType::Quorum {
        let retained = spec.retention_ms.is_some() || spec.retention_bytes.is_some();
        let what = if spec.partitions > 1 { "more than one partition" } else { "retention" };
        if spec.partitions > 1 || retained {
            return Err(Error::new(StatusCode::Unsupported, format!("a queue of rabbitmq has not {what}"))
                .with_remedy("use streams: the property queue.type=stream of the access point"));
        }
    }
    let arguments = layout::arguments(config, spec)?;
    shared.link.retry(deadline, || make(shared, spec, &arguments, deadline)).await
}

async fn make(shared: &Shared, spec: &QueueSpec, arguments: &FieldTable, deadline: Instant) -> Result<()> {
    let channel = shared.link.channel(deadline).await?;
    let making = Making { shared, channel: &channel, deadline };
    let made = match spec.partitions {
        1 => {
            let made = making.queue(&short(&spec.name)?, arguments.clone()).await;
            if shared.config.queue_type == QueueType::Quorum {
                tokio::time::sleep(NOTED).await;
            }
            made
        }
        _ => making.super_stream(spec, arguments).await,
    };
    if channel.status().connected() {
        layout::close(channel);
    }
    made
}

fn exists(name: &str) -> Error {
    Error::new(StatusCode::AlreadyExists, format!("there is a queue \"{name}\" already"))
        .with_remedy("use it, or another name")
}

/// What is made on one channel.
struct Making<'a> {
    shared: &'a Shared,
    channel: &'a Channel,
    deadline: Instant,
}

impl Making<'_> {
    async fn queue(&self, name: &ShortString, arguments: FieldTable) -> Result<()> {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let declared = self.channel.queue_declare(name.clone(), options, arguments);
        match self.shared.link.call(&format!("creating queue {name}"), self.deadline, declared).await {
            Ok(_) => Ok(()),
            // Another one was quicker, with other arguments.
            Err(error) if error.message.contains("inequivalent") => Err(exists(name.as_str())),
            Err(error) => Err(error),
        }
    }

    async fn super_stream(&self, spec: &QueueSpec, arguments: &FieldTable) -> Result<()> {
        let link = &self.shared.link;
        let exchange = short(&spec.name)?;
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let marked = table([("x-super-stream", AMQPValue::Boolean(true))]);
        let declared = self.channel.exchange_declare(exchange.clone(), ExchangeKind::Direct, options, marked);
        link.call(&format!("creating exchange {exchange}"), self.deadline, declared).await?;
        for partition in (0..spec.partitions).rev() {
            let stream = short(&stream_name(&spec.name, partition))?;
            self.queue(&stream, arguments.clone()).await?;
            let order = table([("x-stream-partition-order", AMQPValue::LongInt(partition as i32))]);
            let key = short(&partition.to_string())?;
            let bound = self.channel.queue_bind(
                stream.clone(),
                exchange.clone(),
                key,
                QueueBindOptions::default(),
                order,
            );
            link.call(&format!("binding stream {stream}"), self.deadline, bound).await?;
        }
        Ok(())
    }
}

async fn describe(shared: &Shared, name: String) -> Result<QueueDescription> {
    let deadline = shared.deadline();
    let layout = layout::find(&shared.link, shared.config.queue_type, &name, deadline).await?;
    let partitions = match shared.config.queue_type {
        QueueType::Stream => {
            let queues = layout.queues();
            let each = queues.iter().map(|stream| bounds::of(&shared.link, stream, deadline));
            try_join_all(each).await?
        }
        QueueType::Quorum => {
            let ready = layout::messages(&shared.link, &name, deadline).await?;
            vec![(0, u64::from(ready.unwrap_or_default()))]
        }
    };
    let partitions = (0..).zip(partitions);
    let partitions =
        partitions.map(|(partition, (begin, end))| PartitionDescription { partition, begin, end }).collect();
    Ok(QueueDescription { name, partitions })
}

async fn delete(shared: &Shared, name: &str) -> Result<()> {
    let (link, deadline) = (&shared.link, shared.deadline());
    let layout = layout::find(link, shared.config.queue_type, name, deadline).await?;
    shared.positions.forget(shared, name).await?;
    link.retry(deadline, || remove(link, name, &layout, deadline)).await
}

async fn remove(link: &Link, name: &str, layout: &Layout, deadline: Instant) -> Result<()> {
    let channel = link.channel(deadline).await?;
    for queue in layout.queues() {
        let deleted = channel.queue_delete(queue.clone(), QueueDeleteOptions::default());
        link.call(&format!("deleting queue {queue}"), deadline, deleted).await?;
    }
    if let Layout::Super(_) = layout {
        let deleted = channel.exchange_delete(short(name)?, ExchangeDeleteOptions::default());
        link.call(&format!("deleting exchange {name}"), deadline, deleted).await?;
    }
    layout::close(channel);
    Ok(())
}

/// The queues in the answers of the management interface: streams of a super stream are that one, internal ones are left
/// out.
fn names(queues: &Value, exchanges: &Value) -> Vec<String> {
    let all = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let name = |value: &Value| value["name"].as_str().map(str::to_owned);
    let supers: HashSet<String> = all(exchanges)
        .iter()
        .filter(|exchange| exchange["arguments"]["x-super-stream"] == Value::Bool(true))
        .filter_map(name)
        .collect();
    let whole = |queue: String| match queue.rsplit_once('-') {
        Some((name, number)) if supers.contains(name) && number.parse::<u32>().is_ok() => name.to_owned(),
        _ => queue,
    };
    let found: BTreeSet<String> = all(queues)
        .iter()
        .filter_map(name)
        .filter(|name| !name.starts_with(PREFIX) && !name.starts_with("amq.gen-"))
        .map(whole)
        .collect();
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn super_streams_are_one_queue_and_internal_ones_none() {
        let queues = json!([
            {"name": "s-1"}, {"name": "s-0"}, {"name": "plain"}, {"name": "t-0"}, {"name": "omsconnect-store-x"},
            {"name": "amq.gen-abc"}, {"name": "s-x"}
        ]);
        let exchanges = json!([
            {"name": "s", "arguments": {"x-super-stream": true}}, {"name": "t", "arguments": {}}, {"name": ""}
        ]);
        assert_eq!(names(&queues, &exchanges), ["plain", "s", "s-x", "t-0"]);
    }
}
