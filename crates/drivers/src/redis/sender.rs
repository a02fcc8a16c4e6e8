//! The task of a producer: batches in parts, each one call of the script `PRODUCE`, several in flight on one connection.
//!
//! Exact by numbers: each part has an epoch and a number, and the server stores it only if it is the next one. So what
//! is in flight behind a failure is refused (D9), and what is sent again after a lost connection is stored once. Recovering
//! begins a new epoch, which shuts out whatever an old connection may still bring.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, join_all};
use openmessaging::{Error, StatusCode};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use super::super::common::gate;
use super::catalog::Catalog;
use super::client::{or_never, until};
use super::connection::{Connection, Input, Output};
use super::error;
use super::job::Job;
use super::parts::{Call, Part, Queues, Rules};
use super::resp::{Reply, command, push_command};
use super::session::{Outcome, Session, outcome};

/// So many bytes may be in flight, and one part more.
const WINDOW: usize = 2 * 1024 * 1024;

/// How long the server remembers how far a producer is.
const KEEP: Duration = Duration::from_secs(3600);

/// How long until a connection is tried again that was made and could not be used.
const AGAIN: Duration = Duration::from_millis(50);

/// A part in flight.
struct Flight {
    /// Which job it belongs to; `None`: to one that was reported already, and the answer is of no interest.
    job: Option<u64>,
    first: usize,
    count: usize,
    bytes: usize,
    number: u64,
    /// Whether it was ever written, to whatever connection.
    sent: bool,
    /// The script's answer, while that of `WAIT` has not come.
    answered: Option<Outcome>,
}

enum Ended {
    Closed,
    Broken,
}

pub(super) struct Sender {
    catalog: Arc<Catalog>,
    incoming: UnboundedReceiver<Job>,
    /// Whether the producer is still there.
    open: bool,
    /// The key of this producer.
    key: String,
    epoch: u64,
    /// Of the last part.
    number: u64,
    last_used: Instant,
    /// A job failed, and its producer has not recovered.
    failed: bool,
    jobs: VecDeque<Job>,
    /// The number of the first of them.
    first_job: u64,
    flights: VecDeque<Flight>,
    /// How many of them were written to this connection.
    written: usize,
    in_flight: usize,
    lookup: Option<BoxFuture<'static, Queues>>,
}

impl Sender {
    pub fn new(catalog: Arc<Catalog>, incoming: UnboundedReceiver<Job>) -> Self {
        let random = || RandomState::new().build_hasher().finish();
        let key = catalog.keys.producer(&format!("{:016x}{:016x}", random(), random()));
        Self {
            catalog,
            incoming,
            open: true,
            key,
            epoch: 1,
            number: 0,
            last_used: Instant::now(),
            failed: false,
            jobs: VecDeque::new(),
            first_job: 0,
            flights: VecDeque::new(),
            written: 0,
            in_flight: 0,
            lookup: None,
        }
    }

    pub async fn run(mut self) {
        let closed = self.catalog.client.link.closed.clone();
        loop {
            while self.jobs.is_empty() {
                if !self.open {
                    return;
                }
                tokio::select! {
                    () = closed.cancelled() => return self.close(),
                    job = self.incoming.recv() => self.accept(job),
                }
            }
            let ended = match self.connect().await {
                Some((connection, session)) => self.serve(connection, &session).await,
                None if closed.is_cancelled() => Ended::Closed,
                None => continue,
            };
            match ended {
                Ended::Closed => return self.close(),
                Ended::Broken => self.rewind(),
            }
        }
    }

    fn accept(&mut self, job: Option<Job>) {
        let Some(job) = job else {
            self.open = false;
            return;
        };
        if job.ticket.gate().has_failed() {
            return job.finish(Some(gate::aborted()));
        }
        let idle = self.jobs.is_empty() && self.flights.is_empty() && self.last_used.elapsed() > KEEP / 2;
        if self.failed || idle {
            self.failed = false;
            self.epoch += 1;
            self.number = 0;
        }
        self.jobs.push_back(job);
    }

    /// Everything that was written must be written again.
    fn rewind(&mut self) {
        self.flights.retain(|flight| flight.job.is_some());
        self.flights.iter_mut().for_each(|flight| flight.answered = None);
        self.written = 0;
        self.in_flight = 0;
    }

    /// Connects, however long it takes; jobs whose time is over end. `None`: there is nothing to connect for.
    async fn connect(&mut self) -> Option<(Connection, Session)> {
        let link = self.catalog.client.link.clone();
        while !self.jobs.is_empty() {
            let ready = {
                let link = link.clone();
                async move {
                    let mut connection = link.connect().await;
                    let session =
                        tokio::time::timeout(link.config.timeout, Session::begin(&link, &mut connection));
                    let late = || error::late(link.server(), "preparing to send", link.config.timeout);
                    session.await.unwrap_or_else(|_| Err(late())).map(|session| (connection, session))
                }
            };
            tokio::pin!(ready);
            let failure = loop {
                let deadline = self.deadline();
                tokio::select! {
                    () = link.closed.cancelled() => return None,
                    result = &mut ready => match result {
                        Ok(ready) => return Some(ready),
                        Err(error) => break error,
                    },
                    job = self.incoming.recv(), if self.open => self.accept(job),
                    () = until(deadline) => {
                        let timeout = self.jobs.front().map_or(link.config.timeout, |job| job.timeout);
                        let why = link.too_late("sending", timeout);
                        self.expire(why);
                    }
                }
                if self.jobs.is_empty() {
                    return None;
                }
            };
            if !failure.is_retriable() {
                self.fail(failure);
            }
            tokio::time::sleep(AGAIN).await;
        }
        None
    }

    fn deadline(&self) -> Option<Instant> {
        self.jobs.front().map(|job| job.deadline)
    }

    async fn serve(&mut self, connection: Connection, session: &Session) -> Ended {
        let Connection { mut input, mut output, .. } = connection;
        let closed = self.catalog.client.link.closed.clone();
        let (mut out, mut at) = (Vec::new(), 0);
        loop {
            if at == out.len() {
                at = 0;
                out.clear();
                out.shrink_to(WINDOW);
                self.write_next(session, &mut out);
            }
            if self.jobs.is_empty() && !self.open {
                say_goodbye(&self.key, &mut input, &mut output).await;
                return Ended::Closed;
            }
            let deadline = self.deadline();
            tokio::select! {
                () = closed.cancelled() => return Ended::Closed,
                read = input.read() => {
                    if read.is_err() {
                        return Ended::Broken;
                    }
                    loop {
                        match input.ready() {
                            Ok(Some(reply)) => {
                                if let Some(ended) = self.answered(reply, session) {
                                    return ended;
                                }
                            }
                            Ok(None) => break,
                            Err(_) => return Ended::Broken,
                        }
                    }
                }
                written = output.write(&out[at..]), if at < out.len() => match written {
                    Ok(count) => at += count,
                    Err(_) => return Ended::Broken,
                },
                job = self.incoming.recv(), if self.open => self.accept(job),
                queues = or_never(self.lookup.as_mut()) => {
                    self.lookup = None;
                    self.looked_up(queues);
                }
                () = until(deadline) => {
                    let timeout = self.jobs.front().map_or(KEEP, |job| job.timeout);
                    let why = error::late(self.catalog.client.link.server(), "sending", timeout);
                    self.expire(why);
                    // What was written may still be stored: a new connection, and a new epoch, are in front of it.
                    return Ended::Broken;
                }
            }
        }
    }

    /// Appends the next part, if one may be in flight.
    fn write_next(&mut self, session: &Session, out: &mut Vec<u8>) {
        if self.in_flight >= WINDOW {
            return;
        }
        if self.written == self.flights.len() && !self.plan_next() {
            return;
        }
        let Some(flight) = self.flights.get(self.written) else { return };
        let Some(job) = flight.job.and_then(|job| self.jobs.get((job - self.first_job) as usize)) else {
            return;
        };
        let Some(queues) = &job.queues else { return };
        let rules = self.rules(queues, flight.job.unwrap_or_default());
        let (part, _) = Part::plan(&job.batch, flight.first, Some(flight.count), &rules);
        let call = Call {
            sha: &session.sha,
            producer: self.key.as_bytes(),
            epoch: self.epoch,
            number: flight.number,
            keep_ms: KEEP.as_millis() as u64,
            auto_ids: session.auto_ids,
        };
        part.encode(&job.batch, flight.first, &call, out);
        if !session.wait.is_empty() {
            let left = job.deadline.saturating_duration_since(Instant::now()).as_millis().max(1).to_string();
            let mut parts: Vec<&[u8]> = session.wait.iter().map(String::as_bytes).collect();
            parts.push(left.as_bytes());
            push_command(out, &parts);
        }
        self.in_flight += flight.bytes;
        if let Some(flight) = self.flights.get_mut(self.written) {
            flight.sent = true;
        }
        self.written += 1;
        self.last_used = Instant::now();
    }

    fn rules<'a>(&self, queues: &'a Queues, turn: u64) -> Rules<'a> {
        Rules { queues, turn, max_message_bytes: self.catalog.client.link.config.max_message_bytes }
    }

    /// Plans the next part, or begins to look up the queues that it needs; whether there is one.
    fn plan_next(&mut self) -> bool {
        loop {
            // Nothing is planned behind a message that can never be stored.
            if self.jobs.iter().any(|job| job.end.is_some()) {
                self.complete();
                return false;
            }
            let Some(index) = self.jobs.iter().position(|job| !job.is_planned()) else { return false };
            let number = self.first_job + index as u64;
            if self.jobs[index].queues.is_none() {
                let known: Vec<_> =
                    self.jobs[index].batch.queues().iter().map(|name| self.catalog.known(name)).collect();
                if known.iter().any(Option::is_none) {
                    self.look_up(index);
                    return false;
                }
                self.jobs[index].queues = Some(known.into_iter().flatten().map(Ok).collect());
            }
            let job = &self.jobs[index];
            let Some(queues) = &job.queues else { return false };
            let (part, end) = Part::plan(&job.batch, job.planned, None, &self.rules(queues, number));
            let (first, count, bytes) = (job.planned, part.count, part.bytes);
            let job = &mut self.jobs[index];
            job.planned += count;
            job.end = end;
            if count == 0 {
                // An empty batch, or one that ends here.
                self.complete();
                continue;
            }
            self.number += 1;
            let (job, number) = (Some(number), self.number);
            self.flights.push_back(Flight { job, first, count, bytes, number, sent: false, answered: None });
            return true;
        }
    }

    fn look_up(&mut self, index: usize) {
        if self.lookup.is_some() {
            return;
        }
        let catalog = self.catalog.clone();
        let names: Vec<Arc<str>> = self.jobs[index].batch.queues().to_vec();
        let find = move |name: Arc<str>| {
            let catalog = catalog.clone();
            async move {
                match catalog.known(&name) {
                    Some(queue) => Ok(queue),
                    None => catalog.find(&name).await,
                }
            }
        };
        self.lookup = Some(join_all(names.into_iter().map(find)).boxed());
    }

    /// The queues of the first job that waits for its queues.
    fn looked_up(&mut self, queues: Queues) {
        // Jobs may have ended meanwhile: it is asked for again where it is of another one.
        let fits = |job: &Job| {
            let names = job.batch.queues();
            names.len() == queues.len()
                && names.iter().zip(&queues).all(|(name, queue)| match queue {
                    Ok(queue) => queue.name == *name,
                    Err(_) => true,
                })
        };
        if let Some(job) = self.jobs.iter_mut().find(|job| job.queues.is_none())
            && fits(job)
        {
            job.queues = Some(queues);
        }
    }

    /// Ends the jobs in front of which nothing is in flight and that are done.
    fn complete(&mut self) {
        while let Some(job) = self.jobs.front() {
            if !job.is_planned() || job.stored < job.planned {
                return;
            }
            let Some(mut job) = self.jobs.pop_front() else { return };
            self.first_job += 1;
            match job.end.take() {
                None => job.finish(None),
                Some(error) => return self.fail_job(job, error),
            }
        }
    }

    /// One answer of the server, to the oldest part in flight.
    fn answered(&mut self, reply: Reply, session: &Session) -> Option<Ended> {
        let Some(flight) = self.flights.front_mut().filter(|_| self.written > 0) else {
            return Some(Ended::Broken);
        };
        let outcome = match flight.answered.take() {
            None => {
                let outcome = match outcome(reply) {
                    Ok(outcome) => outcome,
                    // The script is not known (any more), or the server cannot run it now: from the beginning.
                    Err(()) => return Some(Ended::Broken),
                };
                if !session.wait.is_empty() {
                    flight.answered = Some(outcome);
                    return None;
                }
                outcome
            }
            Some(Outcome::Stored) => session.waited(&reply),
            Some(outcome) => outcome,
        };
        let flight = self.flights.pop_front()?;
        self.written -= 1;
        self.in_flight -= flight.bytes;
        if flight.job == Some(self.first_job) {
            self.settle(&flight, outcome);
        }
        None
    }

    /// A part of the first job has ended.
    fn settle(&mut self, flight: &Flight, outcome: Outcome) {
        let Some(job) = self.jobs.front_mut() else { return };
        let server = self.catalog.client.link.server();
        let error = match outcome {
            Outcome::Stored => {
                job.stored += flight.count;
                for queue in job.queues.iter().flatten().flatten() {
                    if queue.count_written(flight.bytes as u64) {
                        self.catalog.due.notify_one();
                    }
                }
                return self.complete();
            }
            Outcome::Failed(count, text) => {
                job.stored += count;
                let message = job.batch.get(flight.first + count);
                let name = message.map_or("?", |message| message.queue);
                let error = error::answered(server, &format!("sending to queue {name}"), &text);
                if error.status == StatusCode::NotFound {
                    self.catalog.forget(name);
                    error::no_queue(name)
                } else {
                    error
                }
            }
            Outcome::Refused | Outcome::Unknown => {
                let text = format!("{server} does not know how far this producer was: it may have lost data");
                Error::new(StatusCode::Unavailable, text).with_remedy(
                    "recover the producer and send again; look whether keys are evicted or were flushed there",
                )
            }
        };
        self.fail(error);
    }

    /// The first job fails with this.
    fn fail(&mut self, error: Error) {
        if let Some(job) = self.jobs.pop_front() {
            self.first_job += 1;
            self.fail_job(job, error);
        }
    }

    /// This job fails, and those behind it are not sent, or are refused by the server.
    fn fail_job(&mut self, job: Job, error: Error) {
        job.ticket.gate().fail();
        self.failed = true;
        job.finish(Some(error));
        self.abort_rest(|_| gate::aborted());
    }

    /// The first job's time is over. Whether it was stored is not known, and the same of those behind it that were
    /// written.
    fn expire(&mut self, why: Error) {
        let written: Vec<u64> =
            self.flights.iter().filter(|flight| flight.sent).filter_map(|flight| flight.job).collect();
        let Some(job) = self.jobs.pop_front() else { return };
        self.first_job += 1;
        job.ticket.gate().fail();
        self.failed = true;
        job.finish(Some(error::again(&why)));
        self.abort_rest(
            |number| {
                if written.contains(&number) { error::again(&why) } else { gate::aborted() }
            },
        );
    }

    fn abort_rest(&mut self, error: impl Fn(u64) -> Error) {
        for job in std::mem::take(&mut self.jobs) {
            job.finish(Some(error(self.first_job)));
            self.first_job += 1;
        }
        self.lookup = None;
        self.flights.truncate(self.written);
        for flight in &mut self.flights {
            flight.job = None;
        }
    }

    fn close(mut self) {
        let server = self.catalog.client.link.server().to_owned();
        self.incoming.close();
        while let Ok(job) = self.incoming.try_recv() {
            self.jobs.push_back(job);
        }
        for job in self.jobs.drain(..) {
            job.ticket.gate().fail();
            job.finish(Some(error::closed(&server)));
        }
    }
}

/// The server need not remember this producer any longer. Best effort: it forgets by itself, later.
async fn say_goodbye(key: &str, input: &mut Input, output: &mut Output) {
    let forget = command(&[b"DEL", key.as_bytes()]);
    let told = async {
        output.write_all(&forget).await?;
        input.reply().await
    };
    let _ = tokio::time::timeout(Duration::from_secs(1), told).await;
}
