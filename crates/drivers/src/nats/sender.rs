//! The task behind a producer: it has the batches in order, sends their messages, and knows what became of each.
//!
//! A connection of its own, so that what is written on it is known: when it breaks, everything unanswered is sent again, in
//! order and under the same ids, and the server drops what it has already. See [`lane`](super::lane) for the order.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openmessaging::partitioner::partition_for;
use openmessaging::{Acknowledged, Error, MessageBatch, Result, SendReport, StatusCode};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::access_point::Handle;
use super::answers::{Answer, Answers, Outcome};
use super::catalog::Queue;
use super::encode::Encoder;
use super::error::{self, ApiError, WRONG_LAST_ID};
use super::job::{Job, SILENCE, Way, envelope};
use super::lane::Lane;
use super::link::Link;
use crate::common::deadline::late;
use crate::common::gate::{Ticket, aborted};
use crate::lock;

/// So many bytes may be unanswered (or one message).
const WINDOW_BYTES: usize = 2 * 1024 * 1024;

/// How long what was looked up about a queue counts.
const FRESH: Duration = Duration::from_secs(30);

/// How long to wait before something is sent again that the server could not take.
const PAUSE: Duration = Duration::from_millis(100);

/// After a failure: how long to wait for the answers that are still to come.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// A batch to be sent.
pub(super) struct Submitted {
    pub batch: MessageBatch,
    pub ticket: Ticket,
    pub deadline: Instant,
    pub reply: oneshot::Sender<SendReport>,
}

struct Route {
    queue: Arc<Queue>,
    ways: Vec<Option<u32>>,
    looked: Instant,
}

pub(super) struct Sender {
    handle: Arc<Handle>,
    link: Arc<Link>,
    commands: mpsc::UnboundedReceiver<Submitted>,
    answers: Arc<Mutex<Vec<Answer>>>,
    ready: Arc<Notify>,
    up: watch::Receiver<u64>,
    generation: u64,
    timeout: Duration,
    encoder: Encoder,
    jobs: VecDeque<Job>,
    /// Of the first job that is not sent whole.
    cursor: usize,
    /// The number of the next message.
    number: u64,
    ways: Vec<Way>,
    routes: HashMap<Arc<str>, Route>,
    in_flight: usize,
    turn: u32,
    /// After a failure: until when answers are waited for.
    failing: Option<Instant>,
}

impl Sender {
    pub fn new(
        handle: Arc<Handle>,
        link: Arc<Link>,
        commands: mpsc::UnboundedReceiver<Submitted>,
        timeout: Duration,
    ) -> Self {
        let (answers, ready): (Arc<Mutex<Vec<Answer>>>, Arc<Notify>) = Default::default();
        let inbox = link.own_subject();
        let sink = Answers::new(answers.clone(), ready.clone());
        link.subscribe(format!("{inbox}.*.*.*"), Arc::new(Mutex::new(sink)));
        let up = link.up();
        let encoder = Encoder::new(inbox, handle.config.ordered);
        Self {
            handle,
            link,
            commands,
            answers,
            ready,
            up,
            generation: 0,
            timeout,
            encoder,
            jobs: VecDeque::new(),
            cursor: 0,
            number: 0,
            ways: Vec::new(),
            routes: HashMap::new(),
            in_flight: 0,
            turn: 0,
            failing: None,
        }
    }

    pub async fn run(mut self) {
        let mut open = true;
        while open || !self.jobs.is_empty() {
            self.follow_connection();
            self.take_answers();
            self.look_after_ways().await;
            self.end_what_is_late();
            self.complete();
            self.fill();
            let wake = self.wake_at();
            tokio::select! {
                biased;
                () = self.handle.closed.cancelled() => {
                    self.close();
                    return;
                }
                command = self.commands.recv(), if open => match command {
                    Some(submitted) => self.accept(submitted).await,
                    None => open = false,
                },
                () = self.ready.notified() => {}
                changed = self.up.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    fn server(&self) -> &str {
        &self.handle.config.server
    }

    async fn accept(&mut self, first: Submitted) {
        let mut submitted = Some(first);
        while let Some(Submitted { mut batch, ticket, deadline, reply }) = submitted {
            if ticket.gate().has_failed() {
                let report = SendReport::failed(batch, Acknowledged::Prefix(0), aborted());
                drop(ticket);
                let _ = reply.send(report);
            } else {
                let (lanes, error) = self.route(&mut batch).await;
                if error.is_some() {
                    ticket.gate().fail();
                }
                let (first, due) = (self.number, lanes.len());
                self.number += due as u64;
                let (ticket, reply) = (Some(ticket), Some(reply));
                let stored = vec![false; due];
                self.jobs.push_back(Job {
                    batch,
                    ticket,
                    reply,
                    deadline,
                    first,
                    lanes,
                    next: 0,
                    stored,
                    missing: due,
                    error,
                });
            }
            submitted = self.commands.try_recv().ok();
        }
    }

    /// The lanes of the messages up to the first that cannot be sent, and why that one cannot.
    async fn route(&mut self, batch: &mut MessageBatch) -> (Vec<u32>, Option<Error>) {
        let mut known: Vec<Option<Arc<str>>> = vec![None; batch.queues().len()];
        let mut lanes = Vec::with_capacity(batch.len());
        self.turn = self.turn.wrapping_add(1);
        for index in 0..batch.len() {
            let Some(queue) = batch.queue_of(index) else { break };
            if known[queue].is_none() {
                let name = batch.queues()[queue].clone();
                if let Err(error) = self.look_up(&name).await {
                    return (lanes, Some(error));
                }
                known[queue] = Some(name);
            }
            let Some(name) = &known[queue] else { break };
            match self.lane_of(name, batch, index) {
                Ok(lane) => lanes.push(lane),
                Err(error) => return (lanes, Some(error)),
            }
        }
        (lanes, None)
    }

    async fn look_up(&mut self, name: &Arc<str>) -> Result<()> {
        if self.routes.get(name).is_some_and(|route| route.looked.elapsed() < FRESH) {
            return Ok(());
        }
        let deadline = Instant::now() + self.timeout;
        let queue = Arc::new(Queue::find(&self.handle.js, name, deadline).await?);
        let ways = vec![None; queue.partitions.len()];
        self.routes.insert(name.clone(), Route { queue, ways, looked: Instant::now() });
        Ok(())
    }

    fn lane_of(&mut self, name: &Arc<str>, batch: &MessageBatch, index: usize) -> Result<u32> {
        let server = &self.handle.config.server;
        let (Some(route), Some(message)) = (self.routes.get_mut(name), batch.get(index)) else {
            return Err(error::no_queue(server, name));
        };
        let count = route.queue.partitions.len() as u32;
        let number = match (message.partition, message.order_key()) {
            (Some(partition), _) => partition,
            (None, Some(key)) => partition_for(key, count),
            (None, None) => self.turn % count.max(1),
        };
        let partition = route.queue.partition(number)?;
        let subject = partition.subject(server)?;
        let limits = (self.handle.config.max_message_bytes, self.link.max_payload(), partition.max_bytes);
        self.encoder.check(server, &message, limits)?;
        if let Some(Some(way)) = route.ways.get(number as usize) {
            return Ok(*way);
        }
        let same = |way: &Way| way.stream == partition.stream && way.subject == subject;
        let way = self.ways.iter().position(same).unwrap_or_else(|| {
            self.ways.push(Way {
                stream: partition.stream.clone(),
                subject: subject.to_owned(),
                queue: name.clone(),
                lane: Lane::default(),
                doubtful: false,
                not_before: None,
                trouble: None,
                heard: Instant::now(),
                asked: None,
            });
            self.ways.len() - 1
        }) as u32;
        if let Some(slot) = route.ways.get_mut(number as usize) {
            *slot = Some(way);
        }
        Ok(way)
    }

    /// Everything unanswered is sent again on a new connection.
    fn follow_connection(&mut self) {
        let generation = *self.up.borrow_and_update();
        if generation != self.generation {
            self.generation = generation;
            for way in &mut self.ways {
                if !way.lane.is_empty() {
                    way.lane.start_again();
                }
            }
            self.in_flight = 0;
        }
    }

    fn take_answers(&mut self) {
        let answers = std::mem::take(&mut *lock(&self.answers));
        for Answer { round, way, number, outcome } in answers {
            match outcome {
                Outcome::Stored => self.is_stored(way, number),
                Outcome::Nobody => self.is_refused(round, way, number, None),
                Outcome::Refused(error) => self.is_refused(round, way, number, Some(*error)),
                Outcome::Forbidden(subject, error) => self.is_forbidden(&subject, &error),
            }
        }
    }

    fn is_stored(&mut self, way: u32, number: u64) {
        let Some(way) = self.ways.get_mut(way as usize) else { return };
        way.trouble = None;
        way.is_heard();
        let Some(bytes) = way.lane.is_stored(number) else { return };
        self.in_flight -= bytes.min(self.in_flight);
        if let Some((job, message)) = self.find(number)
            && let Some(job) = self.jobs.get_mut(job)
            && !std::mem::replace(&mut job.stored[message], true)
        {
            job.missing -= 1;
        }
    }

    /// The job and message of a number.
    fn find(&self, number: u64) -> Option<(usize, usize)> {
        let behind = self.jobs.partition_point(|job| job.first <= number);
        let job = behind.checked_sub(1)?;
        let message = (number - self.jobs.get(job)?.first) as usize;
        (message < self.jobs.get(job)?.stored.len()).then_some((job, message))
    }

    fn is_refused(&mut self, round: u64, index: u32, number: u64, error: Option<ApiError>) {
        let Some(way) = self.ways.get_mut(index as usize) else { return };
        let conflict = error.as_ref().is_some_and(|error| error.err_code == WRONG_LAST_ID);
        let Some(bytes) = way.lane.is_refused(round, number, conflict) else { return };
        way.is_heard();
        self.in_flight -= bytes.min(self.in_flight);
        match error {
            _ if conflict => {}
            None => way.doubtful = true,
            Some(error) if error.status() == StatusCode::Unavailable => {
                way.not_before = Some(Instant::now() + PAUSE);
                way.trouble = Some(error);
            }
            Some(error) => {
                let what = format!("sending to queue {} (subject {})", way.queue, way.subject);
                let error = error.into_error(self.server(), &what);
                self.fail(number, error);
            }
        }
    }

    fn is_forbidden(&mut self, subject: &str, error: &Error) {
        let hit = |way: &&Way| way.subject == subject && way.lane.waiting() > 0;
        let first = self.ways.iter().filter(hit).filter_map(|way| way.lane.first()).min();
        if let Some(first) = first {
            // The server answers nothing: what was sent there is not stored.
            self.ways.iter_mut().filter(|way| way.subject == subject).for_each(|way| way.lane.clear());
            self.fail(first, error::again(error));
        }
    }

    /// The message of that number cannot be stored: nothing new is sent, and all jobs end when what is on its way is answered.
    fn fail(&mut self, number: u64, error: Error) {
        let Some((job, _)) = self.find(number) else { return };
        if let Some(job) = self.jobs.get_mut(job) {
            if let Some(ticket) = &job.ticket {
                ticket.gate().fail();
            }
            // The first failure of a job is the one of its first message that is not stored.
            if self.failing.is_none() || job.error.is_none() {
                job.error = Some(error);
            }
        }
        self.routes.clear();
        self.failing.get_or_insert(Instant::now() + LAST_ANSWERS);
    }

    /// What was refused is sent again, once all is answered; what nobody took is looked after.
    async fn look_after_ways(&mut self) {
        for index in 0..self.ways.len() {
            let way = &mut self.ways[index];
            if !way.lane.is_settled() {
                if self.generation > 0 && way.lane.waiting() > 0 && way.is_forgotten(&self.link) {
                    self.in_flight -= way.lane.start_again().min(self.in_flight);
                }
                continue;
            }
            if self.failing.is_some() {
                way.lane.clear();
                continue;
            }
            way.lane.start_again();
            if !std::mem::take(&mut way.doubtful) {
                continue;
            }
            let (stream, queue, first) = (way.stream.clone(), way.queue.clone(), way.lane.first());
            let deadline = first.and_then(|first| self.find(first)).and_then(|(job, _)| self.jobs.get(job));
            let deadline = deadline.map_or_else(Instant::now, |job| job.deadline);
            match (self.handle.js.info(&stream, deadline).await, first) {
                (Ok(None), Some(first)) => {
                    let error = error::no_queue(self.server(), &queue);
                    self.fail(first, error);
                    self.ways[index].lane.clear();
                }
                (Err(error), Some(first)) => {
                    self.fail(first, error);
                    self.ways[index].lane.clear();
                }
                // Its leader is being elected.
                _ => self.ways[index].not_before = Some(Instant::now() + PAUSE),
            }
        }
    }

    /// Ends jobs whose time is over. What is on its way may still be stored: nobody can say.
    fn end_what_is_late(&mut self) {
        let now = Instant::now();
        let open = |job: &&Job| job.reply.is_some();
        let Some(late_job) = self.jobs.iter().filter(open).find(|job| job.deadline <= now && job.missing > 0)
        else {
            return;
        };
        if self.failing.is_some() {
            self.failing = Some(now);
            return;
        }
        let unsent = late_job.first + late_job.stored.iter().position(|stored| !stored).unwrap_or(0) as u64;
        let lane = late_job
            .lanes
            .get((unsent - late_job.first) as usize)
            .and_then(|way| self.ways.get(*way as usize));
        let what = format!("sending to queue {}", lane.map_or("", |way| &way.queue));
        let error = match lane.and_then(|way| way.trouble.clone()) {
            Some(trouble) => trouble.into_error(self.server(), &what),
            None if self.generation == 0 => self.link.why(),
            None => late(self.timeout, self.server(), &what),
        };
        self.fail(unsent, error);
        self.failing = Some(now);
        // What was written and not yet sent is taken back.
        if self.generation > 0 {
            self.link.reset();
        }
    }

    /// Answers what has ended.
    fn complete(&mut self) {
        if let Some(until) = self.failing {
            let waiting = self.generation > 0 && self.ways.iter().any(|way| way.lane.waiting() > 0);
            if waiting && Instant::now() < until {
                return;
            }
            self.end_all();
            return;
        }
        while self.jobs.front().is_some_and(|job| job.missing == 0) {
            if let Some(job) = self.jobs.pop_front() {
                self.cursor = self.cursor.saturating_sub(1);
                job.answer();
            }
        }
        // Those behind may be done before: other partitions.
        for job in self.jobs.iter_mut().filter(|job| job.missing == 0 && job.reply.is_some()) {
            job.answer_early();
        }
    }

    /// After a failure: every job ends, those that are not stored whole as failed or aborted.
    fn end_all(&mut self) {
        for way in &mut self.ways {
            way.lane.clear();
            (way.doubtful, way.not_before, way.trouble) = (false, None, None);
        }
        (self.in_flight, self.cursor, self.failing) = (0, 0, None);
        for job in std::mem::take(&mut self.jobs) {
            job.answer();
        }
    }

    fn close(&mut self) {
        self.commands.close();
        while let Ok(Submitted { batch, ticket, reply, .. }) = self.commands.try_recv() {
            drop(ticket);
            let closed = error::closed(self.server());
            let _ = reply.send(SendReport::failed(batch, Acknowledged::Prefix(0), closed));
        }
        self.take_answers();
        let closed = error::closed(self.server());
        for job in &mut self.jobs {
            if job.missing > 0 {
                job.error = Some(error::again(&closed));
            }
        }
        self.end_all();
    }

    /// Sends what may be sent.
    fn fill(&mut self) {
        if self.generation == 0 || self.failing.is_some() {
            return;
        }
        let link = self.link.clone();
        link.write(self.generation, |out| {
            let held = self.send_again(out);
            if !held {
                self.send_new(out);
            }
        });
    }

    /// Says whether something is left that must be sent again first.
    fn send_again(&mut self, out: &mut Vec<u8>) -> bool {
        let mut held = false;
        for index in 0..self.ways.len() {
            if !self.ways[index].lane.has_queued() {
                continue;
            }
            let now = Instant::now();
            if self.ways[index].not_before.is_some_and(|at| at > now) {
                held = true;
                continue;
            }
            self.ways[index].not_before = None;
            self.ways[index].is_heard();
            while self.in_flight < WINDOW_BYTES
                && let Some((number, bytes, chain)) = self.ways[index].lane.send_again()
            {
                self.in_flight += bytes;
                let Some((job, message)) = self.find(number) else { continue };
                let way = &self.ways[index];
                let Some(message) = self.jobs.get(job).and_then(|job| job.batch.get(message)) else {
                    continue;
                };
                self.encoder.write(out, &envelope(way, index, number, chain), &message);
            }
            held |= self.ways[index].lane.has_queued();
        }
        held
    }

    fn send_new(&mut self, out: &mut Vec<u8>) {
        while let Some(job) = self.jobs.get_mut(self.cursor) {
            let Some(index) = job.lanes.get(job.next) else {
                self.cursor += 1;
                continue;
            };
            let index = *index as usize;
            let (Some(way), Some(message)) = (self.ways.get_mut(index), job.batch.get(job.next)) else {
                return;
            };
            let number = job.first + job.next as u64;
            if self.in_flight >= WINDOW_BYTES || !way.lane.may_send() {
                return;
            }
            let bytes = message.size().max(1);
            if way.lane.waiting() == 0 {
                way.is_heard();
            }
            let chain = way.lane.send(number, bytes);
            self.in_flight += bytes;
            job.next += 1;
            self.encoder.write(out, &envelope(way, index, number, chain), &message);
        }
    }

    fn wake_at(&self) -> Instant {
        let deadlines = self.jobs.iter().filter(|job| job.reply.is_some()).map(|job| job.deadline).min();
        let pauses = self.ways.iter().filter_map(|way| way.not_before).min();
        let silences =
            self.ways.iter().filter(|way| way.lane.waiting() > 0).map(|way| way.heard + SILENCE).min();
        let far = Instant::now() + Duration::from_secs(3600);
        deadlines.into_iter().chain(pauses).chain(silences).chain(self.failing).min().unwrap_or(far)
    }
}
