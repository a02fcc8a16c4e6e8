//! What is known of a cluster, and the connections that calls share: which brokers there are, who leads which partition.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openmessaging::{Error, Result, StatusCode};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::config::{Config, address};
use super::connection::{Connection, MAX_ANSWER};
use super::error::{self, code};
use super::protocol::groups;
use super::protocol::metadata::{self, Metadata, Topic};
use super::wire::Reader;
use crate::common::deadline;
use crate::common::lock;
use crate::common::outage::Outage;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);

/// Between attempts, at first and at most.
pub(super) const BACKOFF: Duration = Duration::from_millis(50);
pub(super) const MAX_BACKOFF: Duration = Duration::from_millis(500);

/// Shared by everything of one access point.
pub(super) struct Cluster {
    pub config: Config,
    /// As errors name it.
    pub server: String,
    /// Cancelled when the access point is closed.
    pub closed: CancellationToken,
    state: Mutex<State>,
    /// Connections for calls, one for each broker.
    shared: tokio::sync::Mutex<HashMap<(String, u16), Connection>>,
}

#[derive(Default)]
struct State {
    nodes: HashMap<i32, (String, u16)>,
    controller: i32,
    coordinators: HashMap<String, i32>,
    topics: HashMap<Arc<str>, Arc<TopicInfo>>,
    outages: HashMap<String, Arc<Outage>>,
}

/// Who leads the partitions of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TopicInfo {
    /// By partition; `None`: nobody now.
    pub leaders: Vec<Option<i32>>,
    pub fetched: Instant,
}

impl Cluster {
    pub fn new(config: Config) -> Self {
        let server = config.server();
        Self {
            config,
            server,
            closed: CancellationToken::new(),
            state: Mutex::default(),
            shared: Default::default(),
        }
    }

    /// # Errors
    /// `Closed`.
    pub fn check(&self) -> Result<()> {
        if self.closed.is_cancelled() { Err(error::closed(&self.server)) } else { Ok(()) }
    }

    /// The topic of a queue.
    pub fn topic_of(&self, queue: &str) -> String {
        format!("{}{queue}", self.config.prefix)
    }

    /// Lets go of the connections.
    pub async fn close(&self) {
        self.closed.cancel();
        self.shared.lock().await.drain().for_each(|(_, connection)| connection.close());
    }

    fn outage(&self, server: &str) -> Arc<Outage> {
        let mut state = lock(&self.state);
        match state.outages.get(server) {
            Some(outage) => outage.clone(),
            None => {
                let outage = Arc::new(Outage::new(server));
                state.outages.insert(server.to_owned(), outage.clone());
                outage
            }
        }
    }

    /// What failed with a broker is an outage, where it is about reaching it.
    pub fn note(&self, server: &str, failed: Option<&Error>) {
        match failed {
            None => self.outage(server).works(),
            Some(error) if matches!(error.status, StatusCode::Unavailable | StatusCode::Timeout) => {
                self.outage(server).failed(error);
            }
            Some(_) => {}
        }
    }

    /// A new connection.
    pub async fn open(&self, (host, port): &(String, u16), client_id: &str) -> Result<Connection> {
        self.check()?;
        let server = format!("kafka at {}", address(host, *port));
        let limit = CONNECT.min(self.config.timeout);
        let opened = deadline::within(
            limit,
            &server,
            "connecting",
            Connection::open(&self.config, host, *port, client_id),
        )
        .await;
        self.note(&server, opened.as_ref().err());
        opened
    }

    /// How many brokers there are, as far as is known.
    pub fn brokers(&self) -> usize {
        lock(&self.state).nodes.len()
    }

    /// The address of a broker.
    pub fn address(&self, node: i32) -> Option<(String, u16)> {
        lock(&self.state).nodes.get(&node).cloned()
    }

    /// A connection that calls share.
    async fn shared(&self, address: &(String, u16)) -> Result<Connection> {
        let open = self.shared.lock().await.get(address).filter(|connection| connection.is_open()).cloned();
        if let Some(connection) = open {
            return Ok(connection);
        }
        // Two may do this at once: one of the connections is then used for that one call.
        let connection = self.open(address, &self.config.client.id).await?;
        self.shared.lock().await.insert(address.clone(), connection.clone());
        Ok(connection)
    }

    /// A connection to any broker: one that is there, else to those known, else to those of the URL.
    pub async fn any(&self) -> Result<Connection> {
        self.check()?;
        let open = self.shared.lock().await.values().find(|connection| connection.is_open()).cloned();
        if let Some(connection) = open {
            return Ok(connection);
        }
        let mut addresses = self.config.servers.clone();
        let known: Vec<_> = lock(&self.state).nodes.values().cloned().collect();
        addresses.extend(known.into_iter().filter(|known| !self.config.servers.contains(known)));
        let mut problem = None;
        for address in addresses {
            match self.shared(&address).await {
                Ok(connection) => return Ok(connection),
                // An error that no other server would mend comes before others.
                Err(error) if !error.is_retriable() => return Err(error),
                Err(error) => problem = problem.or(Some(error)),
            }
        }
        Err(problem.unwrap_or_else(|| Error::new(StatusCode::BadUrl, "the URL names no server")))
    }

    /// A connection to one broker.
    pub async fn node(&self, node: i32) -> Result<Connection> {
        match self.address(node) {
            Some(address) => self.shared(&address).await,
            None => Err(no_such_node(&self.server, node)),
        }
    }

    pub async fn controller(&self) -> Result<Connection> {
        let controller = lock(&self.state).controller;
        let Some(address) = self.address(controller) else { return self.any().await };
        let connected = self.shared(&address).await;
        if connected.is_err() {
            // Another one may be it by now; whoever is asked next knows.
            lock(&self.state).controller = -1;
        }
        connected
    }

    /// One call on a shared connection. When it takes longer than `limit`, the connection is given up: what comes behind
    /// it would wait too.
    pub async fn call(
        &self,
        on: &Connection,
        request: Vec<u8>,
        what: &str,
        limit: Duration,
    ) -> Result<Vec<u8>> {
        let answer = deadline::within(limit, on.server(), what, on.call(request, MAX_ANSWER)).await;
        match &answer {
            Ok(_) => self.note(on.server(), None),
            Err(error) if error.status == StatusCode::Timeout => {
                on.close();
                self.note(on.server(), Some(error));
            }
            Err(_) => {}
        }
        answer
    }

    /// Makes attempts until one succeeds, fails for good, or `request.timeout.ms` is over. Each is told how much is left,
    /// and how many were made before it.
    pub async fn attempts<T, F>(&self, what: &str, mut attempt: impl FnMut(Duration, u32) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let end = Instant::now() + self.config.timeout;
        let mut backoff = BACKOFF;
        for number in 0.. {
            self.check()?;
            let left = end.saturating_duration_since(Instant::now());
            let tried = tokio::select! {
                tried = tokio::time::timeout(left, attempt(left, number)) => tried,
                () = self.closed.cancelled() => return Err(error::closed(&self.server)),
            };
            let Ok(result) = tried else { break };
            match result {
                Err(error) if error.is_retriable() && Instant::now() + backoff < end => {
                    tracing::debug!(%error, what, "trying again");
                    tokio::time::sleep(backoff).await;
                    backoff = (backoff * 2).min(MAX_BACKOFF);
                }
                result => return result,
            }
        }
        Err(deadline::late(self.config.timeout, &self.server, what))
    }

    /// The first contact, at which nothing is tried twice.
    pub async fn meet(&self) -> Result<()> {
        let connection = self.any().await?;
        let begin = Instant::now();
        match self.metadata(Some(&[]), self.config.timeout).await {
            // A broker that wants to know who asks ends the connection at the first real request.
            Err(error)
                if error.status == StatusCode::Unavailable
                    && self.config.login.is_none()
                    && !connection.is_open()
                    && begin.elapsed() < Duration::from_secs(2) =>
            {
                let message = format!("{} takes no requests without credentials", connection.server());
                Err(Error::new(StatusCode::Unauthorized, message)
                    .with_remedy("give user and password (and sasl.mechanism, where it is not PLAIN)"))
            }
            result => result.map(|_| ()),
        }
    }

    /// Asks any broker for the cluster and these topics (`None`: all).
    pub async fn metadata(&self, topics: Option<&[&str]>, limit: Duration) -> Result<Metadata> {
        let connection = self.any().await?;
        let request = metadata::request(&self.config.client.id, topics);
        let answer = self.call(&connection, request, "asking for the cluster", limit).await?;
        let found = metadata::answer(Reader::new(&answer))?;
        let mut state = lock(&self.state);
        state.nodes = found.nodes.iter().map(|node| (node.id, (node.host.clone(), node.port))).collect();
        state.controller = found.controller;
        Ok(found)
    }

    /// Who leads the partitions of a topic, as it was known at most so long ago.
    pub async fn topic(&self, topic: &str, max_age: Duration) -> Result<Arc<TopicInfo>> {
        match self.known(topic).filter(|info| info.fetched.elapsed() <= max_age) {
            Some(info) => Ok(info),
            None => self.attempts("asking for a topic", |left, _| self.refresh(topic, left)).await,
        }
    }

    /// The same, asked at most once.
    pub async fn topic_once(&self, topic: &str, max_age: Duration) -> Result<Arc<TopicInfo>> {
        match self.known(topic).filter(|info| info.fetched.elapsed() <= max_age) {
            Some(info) => Ok(info),
            None => self.refresh(topic, self.config.timeout).await,
        }
    }

    /// What is known of a topic, however old.
    pub fn known(&self, topic: &str) -> Option<Arc<TopicInfo>> {
        lock(&self.state).topics.get(topic).cloned()
    }

    /// Asks for a topic now, once.
    pub async fn refresh(&self, topic: &str, limit: Duration) -> Result<Arc<TopicInfo>> {
        let found = self.metadata(Some(&[topic]), limit).await?;
        let described = found.topics.into_iter().find(|found| found.name == topic);
        match described {
            Some(described)
                if described.error == code::NONE || described.error == code::LEADER_NOT_AVAILABLE =>
            {
                let info = Arc::new(TopicInfo::of(&described));
                lock(&self.state).topics.insert(topic.into(), info.clone());
                Ok(info)
            }
            other => {
                lock(&self.state).topics.remove(topic);
                let code = other.map_or(code::UNKNOWN_TOPIC, |described| described.error);
                Err(match code {
                    code::UNKNOWN_TOPIC => error::no_queue(&self.server, topic),
                    code => error::of(code, &format!("{}: asking for the topic {topic}", self.server)),
                })
            }
        }
    }

    /// What is known of a topic is not so any more.
    pub fn forget(&self, topic: &str) {
        lock(&self.state).topics.remove(topic);
    }

    /// A connection to the broker that keeps a group's positions.
    pub async fn coordinator(&self, group: &str, limit: Duration) -> Result<Connection> {
        let known = lock(&self.state).coordinators.get(group).copied();
        if let Some(address) = known.and_then(|node| self.address(node)) {
            let connected = self.shared(&address).await;
            if connected.is_err() {
                self.forget_coordinator(group);
            }
            return connected;
        }
        let connection = self.any().await?;
        let request = groups::find_coordinator(&self.config.client.id, group);
        let answer = self.call(&connection, request, "asking for a coordinator", limit).await?;
        let found = groups::find_coordinator_answer(Reader::new(&answer))?;
        if found.error != code::NONE {
            let mut error = error::of(found.error, &format!("{}: asking for the group {group}", self.server));
            if !found.message.is_empty() {
                error.message = format!("{}: {}", error.message, found.message);
            }
            return Err(error);
        }
        let address = (found.node.host, found.node.port);
        {
            let mut state = lock(&self.state);
            state.nodes.insert(found.node.id, address.clone());
            state.coordinators.insert(group.to_owned(), found.node.id);
        }
        self.shared(&address).await
    }

    pub fn forget_coordinator(&self, group: &str) {
        lock(&self.state).coordinators.remove(group);
    }
}

impl TopicInfo {
    fn of(topic: &Topic) -> Self {
        let count = topic.partitions.iter().map(|partition| partition.index + 1).max().unwrap_or(0).max(0);
        // Partitions are numbered from 0 without gaps; a broker that says otherwise takes no memory here.
        let mut leaders = vec![None; (count as usize).min(topic.partitions.len())];
        for partition in &topic.partitions {
            if let Some(leader) = leaders.get_mut(partition.index as usize) {
                *leader = Some(partition.leader).filter(|leader| *leader >= 0);
            }
        }
        Self { leaders, fetched: Instant::now() }
    }

    pub fn leader(&self, partition: u32) -> Option<i32> {
        self.leaders.get(partition as usize).copied().flatten()
    }
}

pub(super) fn no_such_node(server: &str, node: i32) -> Error {
    Error::new(StatusCode::Unavailable, format!("{server}: broker {node} is not in the cluster now"))
        .with_remedy("bring that broker back")
}
