//! The task of a producer: it says where each message goes, in the order of the batches, and has one request under way for
//! each partition. What waits for a partition goes together in its next request, whatever batches it came in.
//!
//! A request whose answer was lost fails its batches: whether it was stored is not known, and repeating it by itself could
//! store it twice. What the broker refused for the moment, or what was not sent at all, is tried again until its deadline.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use openmessaging::partitioner::partition_for;
use openmessaging::{Acknowledged, Error, MessageBatch, Result, SendReport, StatusCode};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::client::Client;
use super::codes::*;
use super::connection::Failure;
use super::error::{self, again};
use super::frame::{Request, Response};
use super::lane::{Lane, Made};
use super::routes::{Route, Routes};
use crate::common::gate::{Ticket, aborted};

/// A batch to send.
pub(super) struct Job {
    pub batch: MessageBatch,
    pub ticket: Ticket,
    pub reply: oneshot::Sender<SendReport>,
    pub deadline: Instant,
}

/// A batch under way.
struct Active {
    job: Job,
    /// In so many lanes some of it is not yet acknowledged.
    open: usize,
    /// The first message that failed, and why.
    failure: Option<(usize, Error)>,
}

/// What became of a request.
enum Outcome {
    /// Stored, the first message at this offset.
    Stored(u64),
    /// Not stored.
    Refused(Response),
    Failed {
        error: Error,
        /// It may be stored all the same.
        unknown: bool,
        /// It may be stored even later.
        unsettled: bool,
    },
}

type Sending = Pin<Box<dyn Future<Output = (usize, Outcome, Request)> + Send>>;
type Resolving = Pin<Box<dyn Future<Output = (Arc<str>, Result<Arc<Route>>)> + Send>>;

pub(super) struct Sender {
    routes: Arc<Routes>,
    group: String,
    jobs: mpsc::UnboundedReceiver<Job>,
    waiting: VecDeque<Job>,
    active: HashMap<u64, Active>,
    next: u64,
    lanes: Vec<Lane>,
    /// The lanes of a queue, by partition.
    by_queue: HashMap<Arc<str>, (Arc<Route>, Vec<usize>)>,
    /// Lanes with something to do.
    ready: Vec<usize>,
    sending: FuturesUnordered<Sending>,
    resolving: Option<Resolving>,
    /// The queues of the batch that waits which cannot be found.
    unresolved: Vec<(Arc<str>, Error)>,
    buffers: Vec<Vec<u8>>,
}

/// A buffer that was used for larger requests is not kept.
const KEEP: usize = 2 * 1024 * 1024;
const BUFFERS: usize = 4;

impl Sender {
    pub fn new(routes: Arc<Routes>, group: String, jobs: mpsc::UnboundedReceiver<Job>) -> Self {
        Self {
            routes,
            group,
            jobs,
            waiting: VecDeque::new(),
            active: HashMap::new(),
            next: 0,
            lanes: Vec::new(),
            by_queue: HashMap::new(),
            ready: Vec::new(),
            sending: FuturesUnordered::new(),
            resolving: None,
            unresolved: Vec::new(),
            buffers: Vec::new(),
        }
    }

    /// Until its producer is gone and everything was sent, or the access point is closed.
    pub async fn run(mut self) {
        let mut open = true;
        while open || !self.waiting.is_empty() || !self.active.is_empty() {
            let closed = self.routes.client.closed.clone();
            tokio::select! {
                biased;
                () = closed.cancelled() => break,
                Some((lane, outcome, request)) = self.sending.next(), if !self.sending.is_empty() => {
                    self.ended(lane, outcome, request);
                }
                (queue, found) = resolved(&mut self.resolving), if self.resolving.is_some() => {
                    self.resolving = None;
                    self.unresolved.extend(found.err().map(|error| (queue, error)));
                }
                job = self.jobs.recv(), if open => match job {
                    Some(job) => self.waiting.push_back(job),
                    None => open = false,
                }
            }
            while let Ok(job) = self.jobs.try_recv() {
                self.waiting.push_back(job);
            }
            self.plan();
            self.start();
        }
        self.give_up();
    }

    /// The access point was closed.
    fn give_up(mut self) {
        self.jobs.close();
        let error = || error::closed(&self.routes.client.servers);
        while let Ok(job) = self.jobs.try_recv() {
            self.waiting.push_back(job);
        }
        for (_, active) in self.active.drain() {
            reply(active.job, Some((0, error())));
        }
        for job in self.waiting.drain(..) {
            reply(job, Some((0, error())));
        }
    }

    /// Puts what waits into lanes, as long as it is known where its queues are.
    fn plan(&mut self) {
        while let Some(job) = self.waiting.front() {
            if job.ticket.gate().has_failed() {
                if let Some(job) = self.waiting.pop_front() {
                    reply(job, Some((0, aborted())));
                }
                continue;
            }
            if self.resolving.is_some() {
                return;
            }
            let unknown = job.batch.queues().iter().find(|queue| {
                let failed = self.unresolved.iter().any(|(failed, _)| failed == *queue);
                !failed && self.routes.fresh(queue).is_none()
            });
            if let Some(queue) = unknown {
                let (queue, routes, deadline) = (queue.clone(), self.routes.clone(), job.deadline);
                self.resolving = Some(Box::pin(async move {
                    let found = routes.of_patiently(&queue, deadline).await;
                    (queue, found)
                }));
                return;
            }
            if let Some(job) = self.waiting.pop_front() {
                self.place(job);
            }
        }
    }

    /// Puts one batch into lanes, up to the first message that cannot be sent.
    fn place(&mut self, job: Job) {
        let id = self.next;
        self.next += 1;
        let mut open = 0;
        let mut failure = None;
        let targets: Vec<_> = job.batch.queues().iter().map(|queue| self.target(queue)).collect();
        for (index, message) in job.batch.iter().enumerate() {
            let target = job.batch.queue_of(index).and_then(|queue| targets.get(queue));
            let found = match target {
                Some(Ok((route, lanes))) => {
                    self.partition(route, &message, id).map(|partition| lanes[partition])
                }
                Some(Err(error)) => Err(again(error)),
                None => Err(error::no_queue(message.queue)),
            };
            match found {
                Ok(lane) => {
                    if self.lanes[lane].push(id, index) {
                        open += 1;
                        self.ready.push(lane);
                    }
                }
                Err(error) => {
                    failure = Some((index, error));
                    break;
                }
            }
        }
        self.unresolved.clear();
        if failure.is_some() {
            job.ticket.gate().fail();
        }
        if open == 0 {
            return reply(job, failure);
        }
        self.active.insert(id, Active { job, open, failure });
    }

    /// Route and lanes of a queue.
    fn target(&mut self, queue: &Arc<str>) -> Result<(Arc<Route>, Vec<usize>)> {
        if let Some((_, error)) = self.unresolved.iter().find(|(failed, _)| failed == queue) {
            return Err(again(error));
        }
        let route = self.routes.known(queue).ok_or_else(|| error::no_queue(queue))?;
        let lanes = &mut self.lanes;
        let (known, own) = self.by_queue.entry(queue.clone()).or_insert_with(|| (route.clone(), Vec::new()));
        if !Arc::ptr_eq(known, &route) || own.len() != route.partitions.len() {
            *known = route.clone();
            for partition in own.len()..route.partitions.len() {
                own.push(lanes.len());
                lanes.push(Lane::new(route.clone(), partition as u32));
            }
            own.iter().for_each(|lane| lanes[*lane].route = route.clone());
        }
        Ok((route, own.clone()))
    }

    fn partition(&self, route: &Route, message: &openmessaging::Message<'_>, id: u64) -> Result<usize> {
        let limit = self.routes.client.config.max_message_bytes;
        let size = message.size();
        if size > limit {
            return Err(error::too_large(message.queue, size, limit));
        }
        let count = route.partitions.len();
        if let Some(partition) = message.partition {
            return route.partition(partition).map(|_| partition as usize);
        }
        Ok(match message.order_key() {
            Some(key) => partition_for(key, count as u32) as usize,
            // A batch without keys goes to one partition, the next one to the next.
            None => (id % count.max(1) as u64) as usize,
        })
    }

    /// Starts a request in each lane that has something and nothing under way.
    fn start(&mut self) {
        while let Some(lane) = self.ready.pop() {
            while self.lanes[lane].in_flight == 0 && !self.lanes[lane].pieces.is_empty() {
                match self.make(lane) {
                    Ok(None) => break,
                    Ok(Some(Made { request, count })) => {
                        self.lanes[lane].in_flight = count;
                        self.transmit(lane, request);
                    }
                    Err(error) => self.fail(lane, error, false),
                }
            }
        }
    }

    fn make(&mut self, lane: usize) -> Result<Option<Made>> {
        let first = self.lanes[lane].pieces.front().and_then(|piece| self.active.get(&piece.job));
        if first.is_some_and(|active| active.job.deadline <= Instant::now()) {
            let server = &self.routes.client.servers;
            return Err(crate::common::deadline::late(Duration::ZERO, server, "the batches before this one"));
        }
        let limit = self.routes.client.config.batch_bytes;
        let buffer = self.buffers.pop().unwrap_or_default();
        let active = &self.active;
        let batch_of = |job: u64| active.get(&job).map(|active| &active.job.batch);
        self.lanes[lane].make(limit, &self.group, buffer, batch_of)
    }

    fn transmit(&mut self, lane: usize, request: Request) {
        let own = &self.lanes[lane];
        let first = own.pieces.front().and_then(|piece| self.active.get(&piece.job));
        let deadline = first.map_or_else(Instant::now, |active| active.job.deadline);
        let (routes, route, partition) = (self.routes.clone(), own.route.clone(), own.partition);
        let unsettled = own.unsettled;
        self.sending.push(Box::pin(async move {
            if unsettled && let Err(error) = settle(&routes, &route, partition, deadline).await {
                return (lane, Outcome::Failed { error, unknown: false, unsettled }, request);
            }
            let outcome = transmit(&routes, &route, partition, &request, deadline).await;
            (lane, outcome, request)
        }));
    }

    fn ended(&mut self, lane: usize, outcome: Outcome, request: Request) {
        self.keep(request.body);
        let own = &mut self.lanes[lane];
        let count = std::mem::take(&mut own.in_flight);
        own.unsettled = matches!(outcome, Outcome::Failed { unsettled: true, .. });
        self.ready.push(lane);
        match outcome {
            Outcome::Stored(offset) => {
                if let Some(partition) = own.route.partitions.get(own.partition as usize) {
                    partition.was_acknowledged(offset + count as u64);
                }
                let mut ended = Vec::new();
                own.acknowledge(count, |job| ended.push(job));
                for job in ended {
                    self.close_lane(job);
                }
            }
            Outcome::Refused(answer) if count > 1 && is_about_size(&answer) => own.alone = count,
            Outcome::Refused(answer) => {
                let queue = own.route.queue.clone();
                if answer.code == TOPIC_NOT_EXIST {
                    self.routes.forget(&queue);
                }
                let broker =
                    own.route.partitions.get(own.partition as usize).map(|found| found.broker.clone());
                let server = format!("rocketmq at {}", broker.unwrap_or_default());
                let error = error::refused(&server, &format!("sending to queue {queue}"), &answer);
                self.fail(lane, error, false);
            }
            Outcome::Failed { error, unknown, .. } => {
                // So many were under way: what became of them is not known.
                self.lanes[lane].in_flight = if unknown { count } else { 0 };
                self.fail(lane, error, unknown);
                self.lanes[lane].in_flight = 0;
            }
        }
    }

    /// The first message of a lane failed: nothing behind it, in any lane, is sent.
    fn fail(&mut self, lane: usize, error: Error, unknown: bool) {
        let Some(first) = self.lanes[lane].pieces.front().map(|piece| piece.job) else { return };
        if let Some(active) = self.active.get(&first) {
            active.job.ticket.gate().fail();
        }
        let mut under_way = if unknown { self.lanes[lane].in_flight } else { 0 };
        let mut ended = Vec::new();
        for (index, other) in self.lanes.iter_mut().enumerate() {
            let own = index == lane;
            if !own && other.in_flight > 0 {
                // Their answers will say. What waits behind them is not sent.
                let mut keep = other.in_flight;
                other.pieces.retain_mut(|piece| {
                    let left = piece.indexes.len() - piece.done;
                    let kept = keep.min(left);
                    keep -= kept;
                    if kept == left || piece.job < first {
                        return true;
                    }
                    let at = piece.indexes.get(piece.done + kept).map_or(usize::MAX, |index| *index as usize);
                    ended.push((piece.job, at, false, kept > 0));
                    piece.indexes.truncate(piece.done + kept);
                    kept > 0
                });
                continue;
            }
            other.pieces.retain(|piece| {
                if piece.job < first {
                    return true;
                }
                let unsure = own && under_way > 0;
                if own {
                    under_way = under_way.saturating_sub(piece.indexes.len() - piece.done);
                }
                ended.push((piece.job, piece.first(), unsure, false));
                false
            });
            other.alone = 0;
        }
        for (job, at, unsure, still_open) in ended {
            if let Some(active) = self.active.get_mut(&job)
                && active.failure.as_ref().is_none_or(|(known, _)| at < *known)
            {
                let own = job == first || unsure;
                active.failure = Some((at, if own { again(&error) } else { aborted() }));
            }
            if !still_open {
                self.close_lane(job);
            }
        }
    }

    /// A batch has nothing left in some lane.
    fn close_lane(&mut self, job: u64) {
        let Some(active) = self.active.get_mut(&job) else { return };
        active.open -= 1;
        if active.open == 0
            && let Some(Active { job, failure, .. }) = self.active.remove(&job)
        {
            reply(job, failure);
        }
    }

    fn keep(&mut self, body: Bytes) {
        // Not while the connection still has it: a copy would be no gain.
        if self.buffers.len() < BUFFERS && body.len() <= KEEP && body.is_unique() {
            let mut buffer = Vec::from(body);
            buffer.clear();
            self.buffers.push(buffer);
        }
    }
}

async fn resolved(resolving: &mut Option<Resolving>) -> (Arc<str>, Result<Arc<Route>>) {
    match resolving {
        Some(resolving) => resolving.await,
        None => std::future::pending().await,
    }
}

fn reply(job: Job, failure: Option<(usize, Error)>) {
    let Job { batch, ticket, reply, .. } = job;
    let report = match failure {
        None => SendReport::all(batch),
        Some((index, error)) => {
            let prefix = Acknowledged::Prefix(index.min(batch.len()));
            ticket.gate().fail();
            SendReport::failed(batch, prefix, error)
        }
    };
    drop(ticket);
    // Whoever sent it may not want to know (D12).
    let _ = reply.send(report);
}

/// The broker refuses messages together that it may take one by one.
fn is_about_size(answer: &Response) -> bool {
    answer.code == MESSAGE_ILLEGAL || (answer.code == SYSTEM_ERROR && answer.remark.contains("size exceeded"))
}

/// Waits until a request whose answer was lost has been stored, or never will be: a broker that answers on a new connection
/// has read the old one to its end, and refuses what waits in its queue for longer than 200 ms (`waitTimeMillsInSendQueue`).
async fn settle(routes: &Routes, route: &Route, partition: u32, deadline: Instant) -> Result<()> {
    let broker = &route.partition(partition)?.broker;
    routes.client.broker_again(broker, &routes.client.heart_beat(), deadline).await?;
    tokio::time::sleep(SETTLED).await;
    Ok(())
}

const SETTLED: Duration = Duration::from_millis(300);

/// Sends one request until it is stored, refused, or its deadline is over.
async fn transmit(
    routes: &Routes,
    route: &Route,
    partition: u32,
    request: &Request,
    deadline: Instant,
) -> Outcome {
    let client: &Arc<Client> = &routes.client;
    let Ok(place) = route.partition(partition) else {
        let error = error::no_partition(&route.queue, partition, route.partitions.len());
        return Outcome::Failed { error, unknown: false, unsettled: false };
    };
    let mut broker = place.broker.clone();
    let mut pause = Duration::from_millis(20);
    loop {
        let again = match client.broker(&broker, request, deadline).await {
            Ok(answer) => match answer.code {
                SUCCESS => return Outcome::Stored(answer.offset("queueOffset").unwrap_or(0)),
                code if client.config.accepted.contains(&code) => {
                    return Outcome::Stored(answer.offset("queueOffset").unwrap_or(0));
                }
                SYSTEM_BUSY | FLOW_CONTROL | GO_AWAY => Outcome::Refused(answer),
                FLUSH_DISK_TIMEOUT | FLUSH_SLAVE_TIMEOUT | SLAVE_NOT_AVAILABLE => {
                    let server = format!("rocketmq at {broker}");
                    let what = format!("sending to queue {}", route.queue);
                    let error = error::refused(&server, &what, &answer);
                    return Outcome::Failed { error, unknown: true, unsettled: false };
                }
                _ => return Outcome::Refused(answer),
            },
            Err(Failure::NotSent(error)) => Outcome::Failed { error, unknown: false, unsettled: false },
            Err(Failure::Lost(error)) => return Outcome::Failed { error, unknown: true, unsettled: true },
            Err(Failure::Late(error)) => {
                client.give_up(&broker).await;
                return Outcome::Failed { error, unknown: true, unsettled: true };
            }
        };
        let for_good = matches!(&again, Outcome::Failed { error, .. } if !error.is_retriable());
        if for_good || Instant::now() + pause >= deadline {
            return again;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(500));
        // The broker may be elsewhere by now.
        if matches!(again, Outcome::Failed { .. })
            && let Ok(found) = routes.look(&route.queue, deadline).await
            && let Some(found) = found.partitions.get(partition as usize)
        {
            broker = found.broker.clone();
        }
    }
}

/// How a send that came too late is told.
pub(super) fn lost_report() -> SendReport {
    let error = Error::new(StatusCode::ServerError, "the task of the producer ended")
        .with_remedy("make a new producer; what was under way may be stored");
    SendReport::failed(MessageBatch::new(), Acknowledged::Prefix(0), error)
}
