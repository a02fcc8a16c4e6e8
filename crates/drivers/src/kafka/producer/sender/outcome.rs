//! What became of what was sent: stored, to be sent again, given up.

use openmessaging::{Error, Result, StatusCode};
use tokio::time::Instant;

use super::super::jobs::{Jobs, Place};
use super::super::lane::{Part, halves};
use super::super::look;
use super::{Flight, Link, Node, Sender};
use crate::kafka::error::{self, Verdict, code};
use crate::kafka::protocol::produce;
use crate::kafka::wire::Reader;

impl Sender {
    /// The access point is closed: nothing more is sent.
    pub(super) fn give_up(mut self) {
        self.gate.fail();
        while let Ok(job) = self.incoming.try_recv() {
            self.jobs.add(job);
        }
        let numbers: Vec<u64> = self.jobs.numbers().collect();
        for number in numbers {
            self.jobs.explain((number, 0), error::closed(&self.cluster.server));
            let first = self.first_open(number);
            self.jobs.lost(number, first, usize::MAX);
        }
    }

    pub(super) fn answered(&mut self, flight: u64, answer: Result<Vec<u8>>) {
        let Some(Flight { node: id, parts }) = self.flights.remove(&flight) else { return };
        let server = self.nodes.get_mut(&id).map(|node| {
            node.in_air -= 1;
            match &node.link {
                Link::Open(connection) => connection.server().to_owned(),
                _ => self.cluster.server.clone(),
            }
        });
        let server = server.unwrap_or_default();
        let mut parts: Vec<Option<Part>> = parts.into_iter().map(Some).collect();
        let mut codes = Vec::with_capacity(parts.len());
        let read = answer.and_then(|answer| {
            let lanes = &self.plan.lanes;
            let mut at = 0;
            produce::answer(Reader::new(&answer), |topic, partition, code, offset| {
                // Answers mostly come in the order of the request.
                let count = parts.len();
                let is_it = |index: &usize| {
                    parts[*index].as_ref().is_some_and(|part| {
                        let lane = &lanes[part.lane];
                        lane.partition as i32 == partition && *lane.topic == *topic
                    })
                };
                if let Some(index) = (0..count).map(|step| (at + step) % count).find(is_it) {
                    codes.extend(parts[index].take().map(|part| (part, code, offset)));
                    at = index + 1;
                }
            })
        });
        match read {
            Ok(()) => self.cluster.note(&server, None),
            Err(error) => {
                tracing::debug!(%error, "a request was not answered");
                self.suspect(id);
                if let Some(node) = self.nodes.get_mut(&id)
                    && matches!(&node.link, Link::Open(connection) if !connection.is_open())
                {
                    node.link = Link::None;
                }
            }
        }
        for (part, code, offset) in codes {
            self.settle(part, code, offset, &server);
        }
        // What was not answered may be stored or not.
        for part in parts.into_iter().flatten() {
            self.settle(part, code::NETWORK_EXCEPTION, -1, &server);
        }
    }

    /// Decides about a part that has come back.
    fn settle(&mut self, part: Part, code: i16, offset: i64, server: &str) {
        let now = Instant::now();
        let given_up = self.limit.is_some_and(|limit| part.place() >= limit);
        let index = part.lane;
        let lane = &mut self.plan.lanes[index];
        match error::verdict(code) {
            Verdict::Stored => {
                let before = lane.stored(&part, offset);
                let runs = before.iter().chain([&part]).flat_map(|part| &part.runs);
                runs.for_each(|run| self.jobs.stored(run.job, run.count()));
            }
            _ if given_up => self.give_up_part(&part),
            Verdict::Again { refresh } => {
                lane.doubt |= newest(&self.jobs, &part).is_some_and(look::is_old);
                lane.returned(part, now);
                let home = lane.home;
                self.plan.topics[home].stale |= refresh;
            }
            Verdict::OutOfOrder => lane.returned(Part { out_of_order: true, ..part }, now),
            Verdict::Split if part.count() > 1 => {
                let halves = halves(&part.runs);
                lane.split(part, halves, now);
            }
            Verdict::Split | Verdict::Failed => {
                let what = format!("{server}: sending to the topic {}", lane.topic);
                let place = part.place();
                self.jobs.explain(place, error::of(code, &what));
                self.give_up_part(&part);
                self.fail_at(place, error::of(code, &what));
            }
        }
        self.list(index);
    }

    fn give_up_part(&mut self, part: &Part) {
        self.plan.lanes[part.lane].gave_up();
        part.runs.iter().for_each(|run| self.jobs.lost(run.job, run.start, run.count()));
    }

    /// The message at this place failed: what is behind it is not sent (D9).
    pub(super) fn fail_at(&mut self, place: Place, error: Error) {
        self.gate.fail();
        self.jobs.explain(place, error);
        let limit = self.limit.map_or(place, |limit| limit.min(place));
        self.limit = Some(limit);
        for number in self.planned..self.jobs.next() {
            self.jobs.lost(number, 0, usize::MAX);
        }
        self.planned = self.jobs.next();
        let jobs = &mut self.jobs;
        for lane in &mut self.plan.lanes {
            lane.drop_from(limit, |run| jobs.lost(run.job, run.start, run.count()));
        }
    }

    /// The first message of a batch that has not ended.
    fn first_open(&self, number: u64) -> u32 {
        if number >= self.planned {
            return 0;
        }
        let waiting = self.plan.lanes.iter().filter_map(|lane| lane.first_of(number));
        let runs = self.flights.values().flat_map(|flight| &flight.parts).flat_map(|part| &part.runs);
        let in_air = runs.filter(|run| run.job == number).map(|run| run.start);
        waiting.chain(in_air).min().unwrap_or(0)
    }

    /// Fails the oldest batch when its time is over.
    pub(super) fn expire(&mut self) {
        let Some((number, job)) = self.jobs.oldest() else { return };
        let now = Instant::now();
        if job.deadline > now {
            return;
        }
        let after = job.deadline.saturating_duration_since(job.arrived).as_millis();
        let place = (number, self.first_open(number));
        let message = format!("{} did not acknowledge a batch within {after} ms", self.cluster.server);
        let error = Error::new(StatusCode::Timeout, message).with_remedy(
            "look at the state and the load of the brokers; recover the producer and send again",
        );
        let holds =
            |flight: &Flight| flight.parts.iter().any(|part| part.runs.iter().any(|run| run.job == number));
        let silent: Vec<i32> = self.flights.values().filter(|flight| holds(flight)).map(|f| f.node).collect();
        for id in silent {
            // Its requests come back as not answered.
            if let Some(Node { link, .. }) = self.nodes.get_mut(&id)
                && let Link::Open(connection) = std::mem::replace(link, Link::None)
            {
                self.cluster.note(connection.server(), Some(&error));
                connection.close();
            }
        }
        self.fail_at(place, error);
        // What is not in the air, and not before the limit, has ended; a batch without such has nothing left to wait for.
        if self.jobs.oldest().is_some_and(|(oldest, _)| oldest == number) && !self.flies(number) {
            self.jobs.lost(number, place.1, usize::MAX);
        }
    }

    fn flies(&self, number: u64) -> bool {
        let mut runs = self.flights.values().flat_map(|flight| &flight.parts).flat_map(|part| &part.runs);
        runs.any(|run| run.job == number)
    }
}

/// The time of the newest message of a part.
fn newest(jobs: &Jobs, part: &Part) -> Option<i64> {
    let times = part.runs.iter().flat_map(|run| {
        let batch = jobs.get(run.job).map(|job| &job.batch);
        (run.start..run.end).filter_map(move |index| Some(batch?.get(index as usize)?.timestamp))
    });
    times.max()
}
