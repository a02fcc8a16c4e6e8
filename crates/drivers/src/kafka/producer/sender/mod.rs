//! The task of a producer.
//!
//! Per broker one connection with up to five requests in the air; a request holds one record batch for each partition. What
//! comes while nothing is in the air goes at once; under load, what gathers while requests are in the air goes together.

mod outcome;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use openmessaging::Result;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::jobs::{Job, Jobs, Place};
use super::lane::{Lane, Part, Run};
use super::look;
use super::plan::{Plan, Planned};
use crate::common::gate::Gate;
use crate::kafka::cluster::{BACKOFF, Cluster, MAX_BACKOFF, TopicInfo, no_such_node};
use crate::kafka::connection::{Connection, MAX_ANSWER};
use crate::kafka::error::{self, code};
use crate::kafka::protocol::produce;
use crate::kafka::records::{Encoder, Numbers, record_bound};
use crate::kafka::wire::Reader;

/// With so many requests in the air, less than [`WORTH_SENDING`] waits for more.
const FEW: usize = 2;
const WORTH_SENDING: usize = 64 * 1024;

pub(super) struct Sender {
    cluster: Arc<Cluster>,
    client_id: String,
    gate: Arc<Gate>,
    incoming: mpsc::UnboundedReceiver<Job>,
    jobs: Jobs,
    /// The number of the first batch that is not planned.
    planned: u64,
    plan: Plan,
    /// Lanes with something to send.
    listed: Vec<usize>,
    nodes: HashMap<i32, Node>,
    /// The number that the broker gave this producer.
    producer: Option<i64>,
    asking_producer: bool,
    producer_not_before: Option<Instant>,
    flights: HashMap<u64, Flight>,
    next_flight: u64,
    events: FuturesUnordered<Pin<Box<dyn Future<Output = Event> + Send>>>,
    /// What is here or behind is not sent any more, until the producer recovers.
    limit: Option<Place>,
    encoder: Encoder,
}

/// A broker.
struct Node {
    link: Link,
    /// Requests in the air.
    in_air: usize,
    not_before: Option<Instant>,
    backoff: Duration,
}

enum Link {
    None,
    Opening,
    Open(Connection),
}

/// One request in the air.
struct Flight {
    node: i32,
    parts: Vec<Part>,
}

enum Event {
    Answered(u64, Result<Vec<u8>>),
    Opened(i32, Result<Connection>),
    Topic(usize, Result<Arc<TopicInfo>>),
    Producer(Result<i64>),
    /// Of a lane, the numbers of what is stored.
    Looked(usize, Result<Vec<Numbers>>),
}

impl Sender {
    pub fn new(
        cluster: Arc<Cluster>,
        client_id: String,
        gate: Arc<Gate>,
        incoming: mpsc::UnboundedReceiver<Job>,
    ) -> Self {
        let encoder = Encoder::new(cluster.config.client.compression);
        Self {
            cluster,
            client_id,
            gate,
            incoming,
            jobs: Jobs::default(),
            planned: 0,
            plan: Plan::default(),
            listed: Vec::new(),
            nodes: HashMap::new(),
            producer: None,
            asking_producer: false,
            producer_not_before: None,
            flights: HashMap::new(),
            next_flight: 0,
            events: FuturesUnordered::new(),
            limit: None,
            encoder,
        }
    }

    /// Runs until the producer was dropped and everything has ended, or the access point is closed.
    pub async fn run(mut self) {
        let closed = self.cluster.closed.clone();
        let mut open = true;
        while open || !self.jobs.is_empty() {
            let wake = self.wake();
            tokio::select! {
                () = closed.cancelled() => return self.give_up(),
                job = self.incoming.recv(), if open => match job {
                    Some(job) => self.take(job),
                    None => open = false,
                },
                Some(event) = self.events.next(), if !self.events.is_empty() => self.on(event),
                () = tokio::time::sleep_until(wake) => {}
            }
            while let Ok(job) = self.incoming.try_recv() {
                self.take(job);
            }
            while let Some(Some(event)) = self.events.next().now_or_never() {
                self.on(event);
            }
            self.expire();
            self.pump();
        }
    }

    fn take(&mut self, job: Job) {
        if self.limit.is_some() && !self.gate.has_failed() {
            // It recovered: everything before has ended.
            self.limit = None;
        }
        let (refused, empty) = (self.limit.is_some(), job.batch.is_empty());
        let number = self.jobs.add(job);
        if refused || empty {
            self.planned = self.jobs.next();
        }
        if empty {
            self.jobs.stored(number, 0);
        } else if refused {
            self.jobs.lost(number, 0, usize::MAX);
        }
    }

    fn on(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Answered(flight, answer) => self.answered(flight, answer),
            Event::Opened(id, opened) => self.opened(id, opened, now),
            Event::Topic(index, found) => {
                let Some(error) = self.plan.topics[index].found(found, now) else { return };
                // What already waits for it has no place to go.
                let lanes = self.plan.lanes.iter().filter(|lane| lane.home == index);
                if let Some(place) = lanes.filter_map(Lane::first_waiting).min() {
                    self.fail_at(place, error);
                }
            }
            Event::Looked(index, Ok(found)) => {
                for part in self.plan.lanes[index].found(&found) {
                    part.runs.iter().for_each(|run| self.jobs.stored(run.job, run.count()));
                }
            }
            Event::Looked(index, Err(error)) if error.is_retriable() => {
                self.plan.lanes[index].not_found(now);
            }
            // Who may not read must trust the broker's memory.
            Event::Looked(index, Err(_)) => drop(self.plan.lanes[index].found(&[])),
            Event::Producer(result) => {
                self.asking_producer = false;
                match result {
                    Ok(producer) => self.producer = Some(producer),
                    Err(error) if error.is_retriable() => {
                        self.producer_not_before = Some(now + MAX_BACKOFF);
                    }
                    Err(error) => {
                        if let Some(place) = self.plan.lanes.iter().filter_map(Lane::first_waiting).min() {
                            self.fail_at(place, error);
                        }
                    }
                }
            }
        }
    }

    fn opened(&mut self, id: i32, opened: Result<Connection>, now: Instant) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        match opened {
            Ok(connection) => {
                (node.link, node.backoff, node.not_before) = (Link::Open(connection), BACKOFF, None);
            }
            Err(error) => {
                node.link = Link::None;
                node.not_before = Some(now + node.backoff);
                node.backoff = (node.backoff * 2).min(MAX_BACKOFF);
                let led = |lane: &&Lane| self.plan.leader(lane) == Some(id);
                let first = self.plan.lanes.iter().filter(led).filter_map(Lane::first_waiting).min();
                if !error.is_retriable()
                    && let Some(place) = first
                {
                    self.fail_at(place, error);
                }
                // Others may lead by now.
                self.suspect(id);
            }
        }
    }

    /// What a broker leads is to be asked for again.
    fn suspect(&mut self, id: i32) {
        for topic in &mut self.plan.topics {
            topic.stale |= topic.info.as_ref().is_some_and(|info| info.leaders.contains(&Some(id)));
        }
    }

    fn list(&mut self, index: usize) {
        let lane = &mut self.plan.lanes[index];
        if lane.has_work() && !std::mem::replace(&mut lane.listed, true) {
            self.listed.push(index);
        }
    }

    /// Plans what came, asks what must be known, and sends what can be sent.
    fn pump(&mut self) {
        self.plan_jobs();
        let now = Instant::now();
        self.ask(now);
        self.listed.retain(|index| {
            let lane = &mut self.plan.lanes[*index];
            lane.listed = lane.has_work();
            lane.listed
        });
        let mut leaders: Vec<i32> = Vec::new();
        for index in &self.listed {
            if let Some(leader) = self.plan.leader(&self.plan.lanes[*index])
                && !leaders.contains(&leader)
            {
                leaders.push(leader);
            }
        }
        for leader in leaders {
            while self.fly(leader, now) {}
        }
    }

    fn plan_jobs(&mut self) {
        while let Some(job) = self.jobs.get(self.planned) {
            let number = self.planned;
            match self.plan.plan(&self.cluster, number, job) {
                Planned::Later => return,
                planned => {
                    self.planned += 1;
                    for index in self.plan.touched().collect::<Vec<_>>() {
                        self.list(index);
                    }
                    if let Planned::Until(index, error) = planned {
                        let rest = self.jobs.get(number).map_or(0, |job| job.batch.len()) - index as usize;
                        self.jobs.explain((number, index), error::again(&error));
                        self.jobs.lost(number, index, rest);
                        self.fail_at((number, index), error);
                    }
                }
            }
        }
    }

    /// Asks for topics that are not known, for what may be stored, and for the producer's number.
    fn ask(&mut self, now: Instant) {
        for (index, topic) in self.plan.topics.iter_mut().enumerate() {
            if !topic.stale || topic.asking || topic.not_before.is_some_and(|not_before| not_before > now) {
                continue;
            }
            topic.asking = true;
            let (cluster, name) = (self.cluster.clone(), topic.name.clone());
            self.events.push(Box::pin(async move {
                Event::Topic(index, cluster.refresh(&name, cluster.config.timeout).await)
            }));
        }
        for index in self.listed.iter().copied() {
            let lane = &mut self.plan.lanes[index];
            let Some(from) = lane.begin_look(now) else { continue };
            let (cluster, topic, partition) = (self.cluster.clone(), lane.topic.clone(), lane.partition);
            self.events.push(Box::pin(async move {
                Event::Looked(index, look::look(&cluster, &topic, partition, from).await)
            }));
        }
        let lanes = &self.plan.lanes;
        let needed = || self.listed.iter().any(|index| lanes[*index].needs_identity());
        let waits = self.producer_not_before.is_some_and(|not_before| not_before > now);
        if self.producer.is_none() && !self.asking_producer && !waits && needed() {
            self.asking_producer = true;
            let (cluster, client_id) = (self.cluster.clone(), self.client_id.clone());
            self.events
                .push(Box::pin(async move { Event::Producer(producer_number(&cluster, &client_id).await) }));
        }
    }

    /// Sends one request to a broker, if there is something to send and it may be.
    fn fly(&mut self, id: i32, now: Instant) -> bool {
        let client = &self.cluster.config.client;
        let node = self.nodes.entry(id).or_insert_with(Node::new);
        if matches!(&node.link, Link::Open(connection) if !connection.is_open()) {
            node.link = Link::None;
        }
        let Link::Open(connection) = &node.link else {
            if matches!(node.link, Link::None) && node.not_before.is_none_or(|not_before| not_before <= now) {
                node.link = Link::Opening;
                let (cluster, client_id) = (self.cluster.clone(), self.client_id.clone());
                self.events.push(Box::pin(async move {
                    let opened = match cluster.address(id) {
                        Some(address) => cluster.open(&address, &client_id).await,
                        None => Err(no_such_node(&cluster.server, id)),
                    };
                    Event::Opened(id, opened)
                }));
            }
            return false;
        };
        if node.in_air >= client.in_flight {
            return false;
        }
        let connection = connection.clone();
        let may_wait = node.in_air >= FEW;
        let Some(parts) = self.parts_for(id, may_wait, now) else { return false };
        let request = self.encode(&parts);
        let answer = connection.call(request, MAX_ANSWER);
        let flight = self.next_flight;
        self.next_flight += 1;
        self.flights.insert(flight, Flight { node: id, parts });
        if let Some(node) = self.nodes.get_mut(&id) {
            node.in_air += 1;
        }
        self.events.push(Box::pin(async move { Event::Answered(flight, answer.await) }));
        true
    }

    /// What goes to a broker with the next request: one part for each partition, sorted by topic.
    fn parts_for(&mut self, id: i32, may_wait: bool, now: Instant) -> Option<Vec<Part>> {
        let client = &self.cluster.config.client;
        let ready: Vec<usize> = self
            .listed
            .iter()
            .copied()
            .filter(|index| {
                let lane = &self.plan.lanes[*index];
                lane.is_ready(now)
                    && self.plan.leader(lane) == Some(id)
                    && (self.producer.is_some() || !lane.needs_identity())
                    && lingered(lane, &self.jobs, client.linger, client.batch_bytes) <= now
            })
            .collect();
        let lanes = &mut self.plan.lanes;
        let waiting: usize = ready.iter().map(|index| lanes[*index].waiting_bytes).sum();
        if ready.is_empty()
            || may_wait && waiting < WORTH_SENDING && !ready.iter().any(|index| lanes[*index].resends())
        {
            return None;
        }
        let (mut parts, mut bytes): (Vec<Part>, usize) = (Vec::new(), 0);
        let jobs = &self.jobs;
        let cut = |run: &Run, room: usize, one: bool| cut(jobs, run, room, one);
        let producer = self.producer.unwrap_or(-1);
        for index in &ready {
            let room = client.request_bytes.saturating_sub(bytes);
            if bytes > 0 && room < client.request_bytes / 8 {
                break;
            }
            let part = lanes[*index].take(*index, producer, client.batch_bytes.min(room), cut);
            bytes += part.as_ref().map_or(0, Part::bytes);
            parts.extend(part);
        }
        // Those that had their turn come last the next time.
        let served = parts.len().min(self.listed.len());
        self.listed.rotate_left(served);
        parts.sort_by(|a, b| lanes[a.lane].topic.cmp(&lanes[b.lane].topic));
        (!parts.is_empty()).then_some(parts)
    }

    fn encode(&mut self, parts: &[Part]) -> Vec<u8> {
        let client = &self.cluster.config.client;
        let bytes: usize = parts.iter().map(Part::bytes).sum();
        let memory = Vec::with_capacity(bytes / 2 + 4096);
        let timeout = self.cluster.config.timeout.as_millis() as i32;
        let mut builder = produce::Builder::new(memory, &self.client_id, client.acks, timeout);
        let mut topic: Option<&Arc<str>> = None;
        for part in parts {
            let lane = &self.plan.lanes[part.lane];
            let new = topic != Some(&lane.topic);
            topic = Some(&lane.topic);
            let at = builder.begin(&lane.topic, new, lane.partition as i32);
            let jobs = &self.jobs;
            let messages = part.runs.iter().flat_map(|run| {
                let batch = jobs.get(run.job).map(|job| &job.batch);
                (run.start..run.end).filter_map(move |index| batch?.get(index as usize))
            });
            self.encoder.encode(&mut builder.out, part.numbers, messages);
            builder.end(at);
        }
        builder.finish()
    }

    /// When something is to be done although nothing comes.
    fn wake(&self) -> Instant {
        let now = Instant::now();
        let mut wake = now + Duration::from_secs(60);
        let mut sooner = |at: Option<Instant>| wake = wake.min(at.unwrap_or(wake));
        sooner(self.jobs.oldest().map(|(_, job)| job.deadline));
        let client = &self.cluster.config.client;
        for lane in self.listed.iter().map(|index| &self.plan.lanes[*index]) {
            sooner(lane.not_before.filter(|at| *at > now));
            sooner(
                Some(lingered(lane, &self.jobs, client.linger, client.batch_bytes)).filter(|at| *at > now),
            );
        }
        let topics = self.plan.topics.iter().filter(|topic| topic.stale && !topic.asking);
        topics.for_each(|topic| sooner(topic.not_before.filter(|at| *at > now)));
        if !self.listed.is_empty() {
            self.nodes.values().for_each(|node| sooner(node.not_before.filter(|at| *at > now)));
            sooner(self.producer_not_before.filter(|at| *at > now));
        }
        wake
    }
}

impl Node {
    fn new() -> Self {
        Self { link: Link::None, in_air: 0, not_before: None, backoff: BACKOFF }
    }
}

/// Until when a lane waits for more (`client.linger.ms`).
fn lingered(lane: &Lane, jobs: &Jobs, linger: Duration, batch_bytes: usize) -> Instant {
    let first = lane.first_waiting().and_then(|(number, _)| jobs.get(number)).map(|job| job.arrived);
    match first {
        Some(arrived) if !linger.is_zero() && !lane.resends() && lane.waiting_bytes < batch_bytes => {
            arrived + linger
        }
        Some(arrived) => arrived,
        None => Instant::now(),
    }
}

/// How many messages of a run fit, and what they take.
fn cut(jobs: &Jobs, run: &Run, room: usize, at_least_one: bool) -> (u32, usize) {
    let Some(job) = jobs.get(run.job) else { return (0, 0) };
    let (mut count, mut bytes) = (0, 0);
    for index in run.start..run.end {
        let size = job.batch.get(index as usize).map_or(0, |message| record_bound(&message));
        if bytes + size > room && !(at_least_one && count == 0) {
            break;
        }
        (count, bytes) = (count + 1, bytes + size);
    }
    (count, bytes)
}

/// Asks for a number that no other producer has.
async fn producer_number(cluster: &Cluster, client_id: &str) -> Result<i64> {
    let connection = cluster.any().await?;
    let what = "asking for the number of a producer";
    let request = produce::init_producer_id(client_id);
    let answer = cluster.call(&connection, request, what, cluster.config.timeout).await?;
    match produce::init_producer_id_answer(Reader::new(&answer))? {
        (code::NONE, producer) => Ok(producer),
        (code, _) => Err(error::of(code, &format!("{}: {what}", connection.server()))),
    }
}
