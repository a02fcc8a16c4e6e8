//! Queues as resources: topics.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use openmessaging::{
    Error, PartitionDescription, QueueDescription, QueueSpec, ResourceManager, Result, StatusCode,
};
use serde::Deserialize;
use tokio::time::Instant;

use super::client::{Client, expect};
use super::codes::*;
use super::error;
use super::frame::Request;
use super::offsets::Offsets;
use super::positions::Positions;
use super::routes::{Routes, parse};
use crate::common::settings::bad_parameter;

/// Attributes of a topic that a queue's properties may set.
const ATTRIBUTES: [&str; 2] = ["message.type", "cleanup.policy"];

/// Every queue of a topic is a folder at the broker.
const MAX_PARTITIONS: u32 = 4096;

pub(super) struct RocketMqResources {
    pub routes: Arc<Routes>,
    /// Of groups, which go with their queue; stores have none.
    pub positions: Option<Arc<Positions>>,
}

#[derive(Deserialize)]
struct TopicList {
    #[serde(rename = "topicList", default)]
    topics: Vec<String>,
}

impl RocketMqResources {
    fn client(&self) -> &Arc<Client> {
        &self.routes.client
    }

    /// Makes a topic on one master, chosen by its name, and waits until the name servers tell of it.
    pub async fn create(&self, queue: &str, partitions: u32, attributes: &str) -> Result<()> {
        let deadline = self.client().deadline();
        let topic = self.routes.names.topic(queue)?;
        match self.routes.look(queue, deadline).await {
            Ok(_) => {
                let message = format!("there is a queue \"{queue}\" already");
                return Err(
                    Error::new(StatusCode::AlreadyExists, message).with_remedy("use it, or delete it first")
                );
            }
            Err(error) if error.status == StatusCode::NotFound => {}
            Err(error) => return Err(error),
        }
        let masters = self.routes.masters(deadline).await?;
        let index = openmessaging::partitioner::partition_for(topic.as_bytes(), masters.len() as u32);
        let Some((_, broker)) = masters.get(index as usize) else { return Err(error::no_queue(queue)) };
        let mut request = Request::new(UPDATE_AND_CREATE_TOPIC)
            .field("topic", &topic)
            .field("defaultTopic", "TBW102")
            .field("readQueueNums", partitions)
            .field("writeQueueNums", partitions)
            // To read and to write.
            .field("perm", 6)
            .field("topicFilterType", "SINGLE_TAG")
            .field("topicSysFlag", 0)
            .field("order", false);
        if !attributes.is_empty() {
            request = request.field("attributes", attributes);
        }
        let answer = self.client().broker_again(broker, &request, deadline).await?;
        expect(broker, &format!("creating queue {queue}"), answer)?;
        self.await_route(queue, deadline).await
    }

    async fn await_route(&self, queue: &str, deadline: Instant) -> Result<()> {
        let mut pause = Duration::from_millis(5);
        loop {
            match self.routes.look(queue, deadline).await {
                Err(error) if error.status == StatusCode::NotFound && Instant::now() + pause < deadline => {}
                other => return other.map(|_| ()),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(250));
        }
    }

    /// Topics named as a cluster or a broker are the broker's own.
    async fn is_listed(&self, deadline: Instant) -> Result<impl Fn(&str) -> bool + use<>> {
        let info = self.routes.cluster_info(deadline).await?;
        let names: Vec<String> = info.clusters.into_keys().chain(info.brokers.into_keys()).collect();
        Ok(move |topic: &str| !names.iter().any(|name| name == topic))
    }
}

#[async_trait]
impl ResourceManager for RocketMqResources {
    async fn create_queue(&self, spec: &QueueSpec) -> Result<()> {
        self.client().check()?;
        if spec.retention_ms.is_some() || spec.retention_bytes.is_some() {
            let message = format!("RocketMQ has no retention of its own for queue \"{}\"", spec.name);
            return Err(Error::new(StatusCode::Unsupported, message)
                .with_remedy("leave it out, and set fileReservedTime of the broker"));
        }
        if !(1..=MAX_PARTITIONS).contains(&spec.partitions) {
            return Err(bad_parameter(format!(
                "queue \"{}\" cannot have {} partitions",
                spec.name, spec.partitions
            ))
            .with_remedy(format!("use 1 to {MAX_PARTITIONS}")));
        }
        let mut attributes = Vec::new();
        for (key, value) in &spec.properties {
            if !ATTRIBUTES.contains(&key.as_str()) {
                return Err(bad_parameter(format!("a queue of RocketMQ has no property \"{key}\""))
                    .with_remedy(format!("known: {}", ATTRIBUTES.join(", "))));
            }
            attributes.push(format!("+{key}={value}"));
        }
        self.create(&spec.name, spec.partitions, &attributes.join(",")).await
    }

    async fn describe_queue(&self, name: &str) -> Result<QueueDescription> {
        self.client().check()?;
        let deadline = self.client().deadline();
        let route = self.routes.look(name, deadline).await?;
        let (routes, of) = (&*self.routes, &*route);
        let described = route.partitions.iter().zip(0..).map(|(partition, number)| async move {
            let offsets = Offsets { routes, route: of, partition, deadline };
            let (begin, end) = (offsets.begin().await?, offsets.end().await?);
            Ok::<_, Error>(PartitionDescription { partition: number, begin, end: end.max(begin) })
        });
        let partitions = futures::future::try_join_all(described).await?;
        Ok(QueueDescription { name: name.to_owned(), partitions })
    }

    async fn list_queues(&self) -> Result<Vec<String>> {
        self.client().check()?;
        let deadline = self.client().deadline();
        let request = match &self.routes.names.region {
            None => Request::new(GET_ALL_TOPIC_LIST_FROM_NAMESERVER),
            Some(cluster) => Request::new(GET_TOPICS_BY_CLUSTER).field("cluster", cluster),
        };
        let answer = self.client().name_server(&request, deadline).await?;
        let answer = expect(&self.client().servers, "listing queues", answer)?;
        let list: TopicList = parse(&answer.body, &self.client().servers)?;
        let is_listed = self.is_listed(deadline).await?;
        let own = list.topics.iter().filter(|topic| is_listed(topic));
        let mut queues: Vec<String> = own.filter_map(|topic| self.routes.names.queue(topic)).collect();
        queues.sort_unstable();
        queues.dedup();
        Ok(queues)
    }

    async fn delete_queue(&self, name: &str) -> Result<()> {
        self.client().check()?;
        let deadline = self.client().deadline();
        let route = self.routes.look(name, deadline).await?;
        for broker in &route.brokers {
            let request = Request::new(DELETE_TOPIC_IN_BROKER).field("topic", &route.topic);
            let answer = self.client().broker_again(broker, &request, deadline).await?;
            expect(broker, &format!("deleting queue {name}"), answer)?;
        }
        for index in 0..self.client().name_servers().len() {
            let mut request = Request::new(DELETE_TOPIC_IN_NAMESRV).field("topic", &route.topic);
            if let Some(cluster) = &self.routes.names.region {
                request = request.field("clusterName", cluster);
            }
            match self.client().name_server_at(index, &request, deadline).await {
                Ok(answer) => {
                    expect(&self.client().name_servers()[index], &format!("deleting queue {name}"), answer)?;
                }
                // What a name server knows, brokers tell it when it is back.
                Err(error) if error.is_retriable() && self.client().name_servers().len() > 1 => {}
                Err(error) => return Err(error),
            }
        }
        self.routes.forget(name);
        match &self.positions {
            Some(positions) => positions.forget(name).await,
            None => Ok(()),
        }
    }
}
