//! Where the queues of topics are: what the name servers say, kept for a while.
//!
//! The partitions of a queue are the write queues of its topic, counted from 0 over the master brokers in the order of
//! their names, and on each in the order of its queue numbers. (A topic made here lies on one broker.)

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openmessaging::{Error, Result, StatusCode};
use serde::Deserialize;
use tokio::time::Instant;

use super::client::{Client, NAME_SERVER_LIMIT, expect};
use super::codes::*;
use super::error;
use super::frame::Request;
use super::name::Names;
use crate::common::lock;

/// After so long the name servers are asked again: a topic may have got more queues, or another broker.
const FRESH: Duration = Duration::from_secs(30);

/// One queue of a topic at a broker.
#[derive(Debug)]
pub(super) struct Partition {
    /// The master's address.
    pub broker: Arc<str>,
    pub queue_id: u32,
    /// Behind the newest message that was acknowledged here: the broker's own index may be a moment behind it.
    acknowledged: AtomicU64,
}

impl Partition {
    pub fn was_acknowledged(&self, end: u64) {
        self.acknowledged.fetch_max(end, Ordering::AcqRel);
    }

    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Acquire)
    }
}

/// A topic as it was when it was looked at.
#[derive(Debug)]
pub(super) struct Route {
    /// The queue, as the caller names it.
    pub queue: Arc<str>,
    pub topic: Arc<str>,
    pub partitions: Vec<Partition>,
    /// Every broker that has it, slaves too.
    pub brokers: Vec<String>,
}

impl Route {
    pub fn partition(&self, number: u32) -> Result<&Partition> {
        let found = self.partitions.get(number as usize);
        found.ok_or_else(|| error::no_partition(&self.queue, number, self.partitions.len()))
    }

    #[cfg(test)]
    pub fn for_tests(queue: &str, partitions: u32) -> Self {
        let partition =
            |queue_id| Partition { broker: "h:1".into(), queue_id, acknowledged: AtomicU64::new(0) };
        Self {
            queue: queue.into(),
            topic: queue.into(),
            partitions: (0..partitions).map(partition).collect(),
            brokers: Vec::new(),
        }
    }

    /// Whether each of its brokers is among these (names and addresses).
    fn all_here(&self, masters: &[(String, String)]) -> bool {
        self.partitions
            .iter()
            .all(|partition| masters.iter().any(|(_, address)| **address == *partition.broker))
    }

    fn same_places(&self, other: &Route) -> bool {
        let place = |partition: &Partition| (partition.broker.clone(), partition.queue_id);
        self.partitions.iter().map(place).eq(other.partitions.iter().map(place))
    }
}

/// The brokers of a cluster.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ClusterInfo {
    #[serde(rename = "brokerAddrTable", default)]
    pub brokers: HashMap<String, BrokerData>,
    #[serde(rename = "clusterAddrTable", default)]
    pub clusters: HashMap<String, Vec<String>>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct BrokerData {
    #[serde(default)]
    pub cluster: String,
    #[serde(rename = "brokerName")]
    pub name: String,
    #[serde(rename = "brokerAddrs", default)]
    pub addresses: HashMap<String, String>,
}

impl BrokerData {
    /// The broker that takes writes has the number 0.
    pub fn master(&self) -> Option<&String> {
        self.addresses.get("0")
    }
}

#[derive(Debug, Deserialize)]
struct TopicRoute {
    #[serde(rename = "queueDatas", default)]
    queues: Vec<QueueData>,
    #[serde(rename = "brokerDatas", default)]
    brokers: Vec<BrokerData>,
}

#[derive(Debug, Deserialize)]
struct QueueData {
    #[serde(rename = "brokerName")]
    broker: String,
    #[serde(rename = "writeQueueNums", default)]
    writes: u32,
}

/// More queues than this on one broker are not believed.
const MAX_QUEUES: u32 = 65_536;

struct Known {
    /// When it was looked at last.
    at: Instant,
    route: Arc<Route>,
}

pub(super) struct Routes {
    pub client: Arc<Client>,
    pub names: Names,
    known: Mutex<HashMap<Arc<str>, Known>>,
}

impl Routes {
    pub fn new(client: Arc<Client>, names: Names) -> Self {
        Self { client, names, known: Mutex::default() }
    }

    /// What is known, if it is fresh.
    pub fn fresh(&self, queue: &str) -> Option<Arc<Route>> {
        let known = lock(&self.known);
        known.get(queue).filter(|known| known.at.elapsed() < FRESH).map(|known| known.route.clone())
    }

    /// What is known, however old.
    pub fn known(&self, queue: &str) -> Option<Arc<Route>> {
        lock(&self.known).get(queue).map(|known| known.route.clone())
    }

    pub fn forget(&self, queue: &str) {
        lock(&self.known).remove(queue);
    }

    /// The route, from memory while it is fresh.
    ///
    /// # Errors
    /// `NotFound`, `BadParameter` for a name that cannot be; `Unavailable` while the broker of it is away.
    pub async fn of(&self, queue: &str, deadline: Instant) -> Result<Arc<Route>> {
        match self.fresh(queue) {
            Some(route) => Ok(route),
            None => self.look(queue, deadline).await,
        }
    }

    /// The same, trying again while nobody can tell.
    pub async fn of_patiently(&self, queue: &str, deadline: Instant) -> Result<Arc<Route>> {
        let mut pause = Duration::from_millis(50);
        loop {
            match self.of(queue, deadline).await {
                Err(error) if error.is_retriable() && Instant::now() + pause < deadline => {}
                other => return other,
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(500));
        }
    }

    /// Asks the name servers. Where they cannot say, what was known before counts: messages go on while they are away.
    ///
    /// A name server tells of fewer queues, or of no topic, where it is gone, and also where its broker is not (yet)
    /// registered: only what it says after every broker of the topic was seen there counts. Partitions keep their
    /// numbers meanwhile.
    pub async fn look(&self, queue: &str, deadline: Instant) -> Result<Arc<Route>> {
        let topic = self.names.topic(queue)?;
        let known = self.known(queue);
        let or_known = |error: Error| match &known {
            Some(known) if error.is_retriable() => Ok(self.stay(known)),
            _ => Err(error),
        };
        let soon = Instant::now() + NAME_SERVER_LIMIT;
        let deadline = if known.is_some() { deadline.min(soon) } else { deadline };
        let found = match self.ask(queue, &topic, deadline).await {
            Ok(found) => found,
            Err(error) => return or_known(error),
        };
        let before = known.as_ref().map_or(1, |known| known.partitions.len());
        if let Some(route) = found.filter(|route| route.partitions.len() >= before) {
            return Ok(self.keep(route));
        }
        let masters = match self.masters(deadline).await {
            Ok(masters) => masters,
            Err(error) => return or_known(error),
        };
        if let Some(known) = known.as_ref().filter(|known| !known.all_here(&masters)) {
            return Ok(self.stay(known));
        }
        match self.ask(queue, &topic, deadline).await {
            Ok(Some(route)) => Ok(self.keep(route)),
            Ok(None) => {
                self.forget(queue);
                Err(error::no_queue(queue))
            }
            Err(error) => or_known(error),
        }
    }

    /// What a name server says now. `None`: no broker of the region has the topic, as far as it knows.
    async fn ask(&self, queue: &str, topic: &str, deadline: Instant) -> Result<Option<Route>> {
        let request =
            Request::new(GET_ROUTEINFO_BY_TOPIC).field("topic", topic).field("acceptStandardJsonOnly", true);
        let answer = self.client.name_server(&request, deadline).await?;
        if answer.code == TOPIC_NOT_EXIST {
            return Ok(None);
        }
        let answer = expect(&self.client.servers, &format!("looking for queue {queue}"), answer)?;
        Ok(self.route(queue, topic, parse(&answer.body, &self.client.servers)?))
    }

    /// The masters of the region: name and address, in order of names.
    ///
    /// # Errors
    /// `Unavailable`: no broker is there; `NotFound`: the region is no cluster.
    pub async fn masters(&self, deadline: Instant) -> Result<Vec<(String, String)>> {
        let info = self.cluster_info(deadline).await?;
        let servers = &self.client.servers;
        if info.brokers.is_empty() {
            let message = format!("no broker is registered at {servers}");
            return Err(Error::new(StatusCode::Unavailable, message)
                .with_remedy("start the broker, or look at its namesrvAddr"));
        }
        let region = self.names.region.as_deref();
        if let Some(region) = region.filter(|region| !info.clusters.contains_key(*region)) {
            let mut known: Vec<&str> = info.clusters.keys().map(String::as_str).collect();
            known.sort_unstable();
            let message = format!("{servers} knows no cluster \"{region}\", which the URL names as region");
            return Err(Error::new(StatusCode::NotFound, message)
                .with_remedy(format!("write default, or one of: {}", known.join(", "))));
        }
        let mut masters: Vec<(String, String)> = info
            .brokers
            .into_values()
            .filter(|broker| region.is_none_or(|region| broker.cluster == region))
            .filter_map(|broker| Some((broker.name.clone(), broker.master()?.clone())))
            .collect();
        masters.sort_unstable();
        if masters.is_empty() {
            let message = format!("no master broker is registered at {servers}");
            return Err(Error::new(StatusCode::Unavailable, message).with_remedy("start the master broker"));
        }
        Ok(masters)
    }

    pub async fn cluster_info(&self, deadline: Instant) -> Result<ClusterInfo> {
        let answer = self.client.name_server(&Request::new(GET_BROKER_CLUSTER_INFO), deadline).await?;
        let answer = expect(&self.client.servers, "asking for the brokers", answer)?;
        parse(&answer.body, &self.client.servers)
    }

    fn keep(&self, route: Route) -> Arc<Route> {
        if let Some(old) = self.known(&route.queue).filter(|old| old.same_places(&route)) {
            for (new, old) in route.partitions.iter().zip(&old.partitions) {
                new.was_acknowledged(old.acknowledged());
            }
        }
        self.stay(&Arc::new(route))
    }

    /// It counts from now on, for as long as any.
    fn stay(&self, route: &Arc<Route>) -> Arc<Route> {
        let known = Known { at: Instant::now(), route: route.clone() };
        lock(&self.known).insert(route.queue.clone(), known);
        route.clone()
    }

    /// `None`: no broker of the region has it.
    fn route(&self, queue: &str, topic: &str, read: TopicRoute) -> Option<Route> {
        let mut brokers: Vec<BrokerData> = read.brokers;
        brokers.retain(|broker| self.names.region.as_ref().is_none_or(|region| *region == broker.cluster));
        brokers.sort_by(|one, other| one.name.cmp(&other.name));
        let mut partitions = Vec::new();
        for broker in &brokers {
            let Some(address) = broker.master() else { continue };
            let address: Arc<str> = address.as_str().into();
            let queues = read.queues.iter().find(|data| data.broker == broker.name);
            for queue_id in 0..queues.map_or(0, |data| data.writes.min(MAX_QUEUES)) {
                partitions.push(Partition {
                    broker: address.clone(),
                    queue_id,
                    acknowledged: AtomicU64::new(0),
                });
            }
        }
        let brokers = brokers.iter().flat_map(|broker| broker.addresses.values().cloned()).collect();
        (!partitions.is_empty()).then(|| Route {
            queue: queue.into(),
            topic: topic.into(),
            partitions,
            brokers,
        })
    }
}

/// Reads the JSON of a body. Servers before 4.9.4, and some answers of later ones, have numbers as names of members
/// (`{0:"host"}`), which is no JSON.
pub(super) fn parse<T: serde::de::DeserializeOwned>(body: &[u8], server: &str) -> Result<T> {
    serde_json::from_slice(&quoted(body)).map_err(|error| {
        Error::new(StatusCode::ServerError, format!("{server} answers what cannot be read: {error}"))
            .with_remedy("look whether that is a RocketMQ server of version 4.9 to 5.3")
    })
}

/// The same JSON with numbers that are names of members in quotes.
fn quoted(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 16);
    let (mut in_text, mut escaped, mut at_name) = (false, false, false);
    let mut index = 0;
    while let Some(byte) = body.get(index) {
        if in_text {
            in_text = *byte != b'"' || escaped;
            escaped = *byte == b'\\' && !escaped;
        } else if at_name && byte.is_ascii_digit() {
            let digits = body[index..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            let end = index + digits;
            let is_name = body.get(end) == Some(&b':');
            let quote: &[u8] = if is_name { b"\"" } else { b"" };
            out.extend_from_slice(quote);
            out.extend_from_slice(&body[index..end]);
            out.extend_from_slice(quote);
            (index, at_name) = (end, false);
            continue;
        } else {
            in_text = *byte == b'"';
            at_name = matches!(byte, b'{' | b',') || (at_name && byte.is_ascii_whitespace());
        }
        out.push(*byte);
        index += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(name_server: &str) -> Routes {
        let url = "oms:rocketmq://h/c".parse().expect("a URL");
        let config = super::super::config::Config::parse(&url, &Default::default()).expect("read");
        Routes::new(Client::new(config, vec![name_server.into()]), Names::of(&url).expect("names"))
    }

    #[test]
    fn what_is_known_counts_on_while_no_name_server_answers() {
        // Nothing listens there.
        let routes = routes("127.0.0.1:1");
        let at = Instant::now().checked_sub(FRESH * 2).expect("a machine that runs for a minute");
        lock(&routes.known).insert("q".into(), Known { at, route: Arc::new(Route::for_tests("q", 2)) });
        assert!(routes.fresh("q").is_none());
        let runtime = crate::common::runtime::handle().expect("a runtime");
        let found = runtime.block_on(routes.look("q", Instant::now() + FRESH)).expect("what was known");
        assert_eq!(found.partitions.len(), 2);
        assert!(routes.fresh("q").is_some(), "it would be asked for again at once, and for ever");
        let other = runtime.block_on(routes.look("other", Instant::now() + FRESH));
        assert_eq!(other.expect_err("nobody knows").status, StatusCode::Unavailable);
    }

    #[test]
    fn partitions_are_counted_over_brokers_in_the_order_of_their_names() {
        let text = br#"{"brokerDatas":[
            {"brokerName":"b","cluster":"c","brokerAddrs":{0:"h:2",1:"h:3"}},
            {"brokerName":"a","cluster":"c","brokerAddrs":{0:"h:1"}},
            {"brokerName":"x","cluster":"other","brokerAddrs":{0:"h:9"}}],
            "queueDatas":[{"brokerName":"a","writeQueueNums":2},{"brokerName":"b","writeQueueNums":1},
            {"brokerName":"x","writeQueueNums":8}]}"#;
        let routes = routes("h:9876");
        let route = routes.route("q", "q", parse(text, "x").expect("read")).expect("a route");
        let places: Vec<_> = route.partitions.iter().map(|found| (&*found.broker, found.queue_id)).collect();
        assert_eq!(places, [("h:1", 0), ("h:1", 1), ("h:2", 0)]);
        assert_eq!(route.brokers.len(), 3);
        assert!(route.partition(2).is_ok() && route.partition(3).is_err());
        let masters = |addresses: &[&str]| -> Vec<_> {
            addresses.iter().map(|address| (String::new(), address.to_string())).collect()
        };
        assert!(route.all_here(&masters(&["h:1", "h:2"])) && !route.all_here(&masters(&["h:1"])));
    }

    #[test]
    fn numbers_as_names_are_read() {
        let text = br#"{"a{0:b\"":{0:"h:1",10:"x"},"n":[1,2,{ 3:4}]}"#;
        let value: serde_json::Value = parse(text, "x").expect("JSON");
        assert_eq!(value, serde_json::json!({"a{0:b\"": {"0": "h:1", "10": "x"}, "n": [1, 2, {"3": 4}]}));
        assert!(parse::<serde_json::Value>(b"{", "x").is_err());
    }
}
