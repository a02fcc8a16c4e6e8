//! The task of a consumer: one connection and one request in the air for each broker that leads partitions of it.
//!
//! A request asks for all partitions that have room in the inbox, and waits at the broker until one of them has a message.
//! A broker answers the requests of a connection one after the other, so what has no room when a request is sent must wait
//! for its answer: while that is the case, requests wait only a little (longer and longer while nothing is taken, so that a
//! paused partition costs nothing). What an answer brings is unpacked as the inbox has room for it.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use openmessaging::{Error, Result, StatusCode};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::common::inbox::{Feed, Inbox};
use crate::kafka::cluster::{BACKOFF, Cluster, MAX_BACKOFF, TopicInfo, no_such_node};
use crate::kafka::connection::Connection;
use crate::kafka::error::{self, code};
use crate::kafka::positions;
use crate::kafka::protocol::fetch::{self, Fetched, Wanted};
use crate::kafka::records::Cursor;

/// The largest answer: what was asked for, and a batch that is larger.
const MAX_ANSWER: usize = 600 * 1024 * 1024;

/// At least so much is asked for from a partition.
const MIN_BYTES: usize = 64 * 1024;

/// So much is unpacked at once.
const PIECE: usize = 1024 * 1024;

/// How long a request waits at first while others have no room.
const SHORT_WAIT: Duration = Duration::from_millis(4);

/// Where the next message is not written yet, far behind the end.
const AHEAD_WAIT: Duration = Duration::from_millis(100);

/// So often a topic must be said not to be there until that is believed: a broker that just started may not know.
const CONFIRMATIONS: u32 = 3;

pub(super) enum Command {
    /// The sender is told when each partition had its first answer: so that the first turns have something of each.
    Assign(Vec<Feed>, Option<oneshot::Sender<()>>),
    Seek(Feed),
}

pub(super) struct Fetcher {
    cluster: Arc<Cluster>,
    inbox: Arc<Inbox>,
    commands: mpsc::UnboundedReceiver<Command>,
    parts: Vec<Part>,
    first_round: Option<oneshot::Sender<()>>,
    nodes: HashMap<i32, Node>,
    /// The number of the next part, or of the next request.
    next: u64,
    turn: usize,
    events: FuturesUnordered<Pin<Box<dyn Future<Output = Event> + Send>>>,
}

/// An assigned partition.
struct Part {
    number: u64,
    feed: Feed,
    topic: Arc<str>,
    /// The offset to fetch next.
    next: u64,
    leader: Option<i32>,
    /// Who leads is being asked.
    asking: bool,
    missing: u32,
    /// Something came of it, be it an error.
    answered: bool,
    /// What was fetched and not yet unpacked.
    fetched: Option<Cursor>,
    limit: usize,
    had_no_room: bool,
    not_before: Option<Instant>,
    backoff: Duration,
    /// It failed, and is not read until it is assigned or sought.
    failed: bool,
}

struct Node {
    link: Link,
    /// The request in the air.
    in_air: Option<u64>,
    short_wait: Duration,
    not_before: Option<Instant>,
    backoff: Duration,
}

enum Link {
    None,
    Opening,
    Open(Connection),
}

enum Event {
    Opened(i32, Result<Connection>),
    /// Of a node's request, the partitions that it asked for.
    Answered(i32, u64, Vec<u64>, Result<Vec<u8>>),
    Leader(u64, Result<Arc<TopicInfo>>),
    /// Where a partition begins whose place was out of range.
    Begin(u64, Result<u64>),
}

impl Fetcher {
    pub fn new(cluster: Arc<Cluster>, inbox: Arc<Inbox>, commands: mpsc::UnboundedReceiver<Command>) -> Self {
        let (parts, nodes, events) = (Vec::new(), HashMap::new(), FuturesUnordered::new());
        Self { cluster, inbox, commands, parts, first_round: None, nodes, next: 0, turn: 0, events }
    }

    /// Runs until the consumer or the access point is closed.
    pub async fn run(mut self) {
        let (closed, inbox) = (self.cluster.closed.clone(), self.inbox.clone());
        loop {
            // What is taken from now on is seen.
            let taken = inbox.taken();
            let waits_for_room = self.step();
            let wake = self.wake();
            tokio::select! {
                () = closed.cancelled() => break,
                command = self.commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => break,
                },
                Some(event) = self.events.next(), if !self.events.is_empty() => self.on(event),
                () = taken, if waits_for_room => {}
                () = tokio::time::sleep_until(wake) => {}
            }
        }
        // Whoever polls sees that it is closed.
        inbox.close();
    }

    fn obey(&mut self, command: Command) {
        let feeds = match command {
            Command::Assign(feeds, first_round) => {
                self.parts.clear();
                self.first_round = first_round;
                feeds
            }
            Command::Seek(feed) => {
                self.parts.retain(|part| part.feed.place != feed.place);
                vec![feed]
            }
        };
        for feed in feeds {
            self.next += 1;
            let topic: Arc<str> = self.cluster.topic_of(&feed.place.queue).into();
            self.parts.push(Part {
                number: self.next,
                topic,
                next: feed.from,
                feed,
                leader: None,
                asking: false,
                missing: 0,
                answered: false,
                fetched: None,
                limit: MIN_BYTES,
                had_no_room: false,
                not_before: None,
                backoff: BACKOFF,
                failed: false,
            });
        }
        // A request that waits at a broker would hold up the new places.
        for node in self.nodes.values_mut().filter(|node| node.in_air.is_some()) {
            if let Link::Open(connection) = std::mem::replace(&mut node.link, Link::None) {
                connection.close();
            }
            node.in_air = None;
        }
    }

    /// Unpacks what there is room for, and sends what can be sent. Says whether something waits for room.
    fn step(&mut self) -> bool {
        let now = Instant::now();
        let mut waits = false;
        self.parts.retain_mut(|part| part.unpack(&mut waits));
        if self.first_round.is_some() && self.parts.iter().all(|part| part.answered) {
            // Whoever waited may have gone.
            self.first_round.take().map(|ready| ready.send(()));
        }
        for index in 0..self.parts.len() {
            self.ask_leader(index, now);
        }
        let mut leaders: Vec<i32> = self.parts.iter().filter_map(|part| part.leader).collect();
        leaders.sort_unstable();
        leaders.dedup();
        for leader in leaders {
            waits |= self.fetch(leader, now);
        }
        waits
    }

    fn ask_leader(&mut self, index: usize, now: Instant) {
        let part = &mut self.parts[index];
        if part.leader.is_some() || part.asking || part.failed || part.waits(now) {
            return;
        }
        part.asking = true;
        let (cluster, topic, number) = (self.cluster.clone(), part.topic.clone(), part.number);
        // What another partition or the assignment has just asked is new enough, unless it did not help.
        let fresh = if part.backoff == BACKOFF { Duration::from_millis(200) } else { Duration::ZERO };
        self.events
            .push(Box::pin(async move { Event::Leader(number, cluster.topic_once(&topic, fresh).await) }));
    }

    /// Sends a request to a broker, where none is in the air; says whether something waits for room.
    fn fetch(&mut self, id: i32, now: Instant) -> bool {
        let client = &self.cluster.config.client;
        let node = self.nodes.entry(id).or_insert_with(Node::new);
        if matches!(&node.link, Link::Open(connection) if !connection.is_open()) && node.in_air.is_none() {
            node.link = Link::None;
        }
        let led = |part: &&mut Part| part.leader == Some(id) && !part.failed;
        let (mut wanted, mut full, mut first) = (Vec::new(), false, false);
        for part in self.parts.iter_mut().filter(led) {
            let Some((room, share)) = part.feed.room_now() else { continue };
            // Half of the share at once is worth a request.
            if part.fetched.is_some() || room < share.div_ceil(2) {
                full = true;
                part.had_no_room = true;
                continue;
            }
            if std::mem::take(&mut part.had_no_room) {
                node.short_wait = SHORT_WAIT;
            }
            if !part.waits(now) {
                first |= !part.answered;
                let limit = room.clamp(MIN_BYTES, client.fetch_bytes.max(MIN_BYTES)).max(part.limit);
                wanted.push((
                    part.topic.clone(),
                    part.feed.place.partition as i32,
                    part.next,
                    limit,
                    part.number,
                ));
            }
        }
        if node.in_air.is_some() || wanted.is_empty() {
            return full;
        }
        let Link::Open(connection) = &node.link else {
            let may = node.not_before.is_none_or(|not_before| not_before <= now);
            if may && matches!(node.link, Link::None) {
                node.link = Link::Opening;
                self.events.push(Box::pin(open(self.cluster.clone(), id)));
            }
            return full;
        };
        let wait = match (first, full) {
            // Whoever polls for the first time waits for something of each, or for that there is nothing.
            (true, _) => Duration::ZERO,
            (false, true) => node.short_wait,
            (false, false) => client.fetch_wait,
        };
        if full {
            node.short_wait = (node.short_wait * 2).min(client.fetch_wait);
        }
        wanted.sort_by(|a, b| a.0.cmp(&b.0));
        // A broker fills its answer from the front.
        self.turn += 1;
        let begin = self.turn % wanted.len();
        wanted.rotate_left(begin);
        let asked: Vec<Wanted<'_>> = wanted
            .iter()
            .map(|(topic, partition, offset, limit, _)| Wanted {
                topic,
                partition: *partition,
                offset: *offset as i64,
                max_bytes: *limit as i32,
            })
            .collect();
        let total: usize = wanted.iter().map(|wanted| wanted.3).sum();
        let terms = fetch::Terms {
            max_wait_ms: wait.as_millis() as i32,
            max_bytes: total.min(client.fetch_bytes.max(16 * PIECE)) as i32,
            read_committed: client.read_committed,
        };
        let request = fetch::request(&client.id, terms, &asked);
        let answer = connection.call(request, MAX_ANSWER);
        let server = connection.clone();
        self.next += 1;
        let (flight, numbers) = (self.next, wanted.iter().map(|wanted| wanted.4).collect());
        node.in_air = Some(flight);
        // A broker that keeps the request for longer than it was told says nothing any more.
        let limit = wait + self.cluster.config.timeout;
        self.events.push(Box::pin(async move {
            let answer =
                crate::common::deadline::within(limit, server.server(), "fetching messages", answer).await;
            Event::Answered(id, flight, numbers, answer)
        }));
        full
    }

    fn on(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Opened(id, opened) => self.opened(id, opened, now),
            Event::Answered(id, flight, numbers, answer) => self.answered(id, flight, &numbers, answer, now),
            Event::Leader(number, found) => {
                if let Some(part) = self.parts.iter_mut().find(|part| part.number == number) {
                    part.led(found, now);
                }
            }
            Event::Begin(number, begin) => {
                let Some(part) = self.parts.iter_mut().find(|part| part.number == number) else { return };
                part.asking = false;
                match begin {
                    Ok(begin) if begin > part.next => {
                        tracing::warn!(
                            queue = %part.feed.place, offset = part.next, begin,
                            "messages were removed before they were read; reading goes on behind them"
                        );
                        part.next = begin;
                        part.feed.deliver(openmessaging::MessageBatch::new(), Vec::new(), begin);
                        part.not_before = None;
                    }
                    // Behind the end: until it is written.
                    Ok(_) => part.not_before = Some(now + AHEAD_WAIT),
                    Err(error) => part.trouble(error, now),
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
                for part in self.parts.iter_mut().filter(|part| part.leader == Some(id)) {
                    part.trouble(error::again(&error), now);
                }
            }
        }
    }

    fn answered(&mut self, id: i32, flight: u64, numbers: &[u64], answer: Result<Vec<u8>>, now: Instant) {
        let Some(node) = self.nodes.get_mut(&id).filter(|node| node.in_air == Some(flight)) else { return };
        node.in_air = None;
        let server = match &node.link {
            Link::Open(connection) => connection.server().to_owned(),
            _ => self.cluster.server.clone(),
        };
        let read = answer.and_then(|frame| {
            let (code, fetched) = fetch::answer(&frame)?;
            match code {
                code::NONE => Ok((Bytes::from(frame), fetched)),
                code => Err(error::of(code, &format!("{server}: fetching"))),
            }
        });
        let (frame, fetched) = match read {
            Ok(read) => read,
            Err(error) => {
                if let Link::Open(connection) = std::mem::replace(&mut node.link, Link::None) {
                    connection.close();
                }
                if error.status == StatusCode::Timeout {
                    self.cluster.note(&server, Some(&error));
                }
                let asked = |part: &&mut Part| numbers.contains(&part.number);
                self.parts.iter_mut().filter(asked).for_each(|part| part.trouble(error::again(&error), now));
                return;
            }
        };
        self.cluster.note(&server, None);
        for fetched in fetched {
            let is_it = |part: &&mut Part| {
                part.feed.place.partition as i32 == fetched.partition
                    && *part.topic == *fetched.topic
                    && numbers.contains(&part.number)
            };
            let Some(part) = self.parts.iter_mut().find(is_it) else { continue };
            part.answered = true;
            if fetched.error == code::OFFSET_OUT_OF_RANGE {
                part.asking = true;
                part.not_before = Some(now + AHEAD_WAIT);
                let (cluster, topic, partition) =
                    (self.cluster.clone(), part.topic.clone(), part.feed.place.partition);
                let number = part.number;
                self.events.push(Box::pin(async move {
                    Event::Begin(number, positions::begin(&cluster, &topic, partition).await)
                }));
            } else {
                part.take(&server, &frame, fetched, now);
            }
        }
    }

    fn wake(&self) -> Instant {
        let now = Instant::now();
        let parts = self.parts.iter().filter_map(|part| part.not_before);
        let nodes = self.nodes.values().filter_map(|node| node.not_before);
        let soonest = parts.chain(nodes).filter(|at| *at > now).min();
        soonest.unwrap_or(now + Duration::from_secs(60))
    }
}

async fn open(cluster: Arc<Cluster>, id: i32) -> Event {
    let opened = match cluster.address(id) {
        Some(address) => cluster.open(&address, &cluster.config.client.id).await,
        None => Err(no_such_node(&cluster.server, id)),
    };
    Event::Opened(id, opened)
}

impl Node {
    fn new() -> Self {
        Self { link: Link::None, in_air: None, short_wait: SHORT_WAIT, not_before: None, backoff: BACKOFF }
    }
}

impl Part {
    fn waits(&self, now: Instant) -> bool {
        self.asking || self.not_before.is_some_and(|not_before| not_before > now)
    }

    /// Puts what was fetched into the inbox, as far as there is room; `false` when the feed has ended. `waits` is set
    /// where there is none.
    fn unpack(&mut self, waits: &mut bool) -> bool {
        loop {
            let Some((room, _)) = self.feed.room_now() else { return false };
            let Some(cursor) = &mut self.fetched else { return true };
            if room == 0 {
                *waits = true;
                return true;
            }
            let place = &self.feed.place;
            match cursor.read(&place.queue, place.partition, room.min(PIECE)) {
                Ok(piece) => {
                    let moved = piece.next > self.next;
                    self.next = piece.next;
                    if piece.done {
                        self.fetched = None;
                        // A batch that did not come whole: more is asked for.
                        self.limit = if moved { MIN_BYTES } else { (self.limit * 4).min(MAX_ANSWER / 2) };
                    }
                    if moved && !self.feed.deliver(piece.messages, piece.offsets, piece.next) {
                        return false;
                    }
                }
                Err(error) => {
                    let error = Error { message: format!("{place}: {}", error.message), ..error };
                    (self.fetched, self.failed) = (None, true);
                    return self.feed.fail(error);
                }
            }
        }
    }

    /// An answer about this partition has come.
    fn take(&mut self, server: &str, frame: &Bytes, fetched: Fetched, now: Instant) {
        match fetched.error {
            code::NONE => {
                (self.backoff, self.not_before) = (BACKOFF, None);
                if !fetched.records.is_empty() {
                    self.fetched =
                        Some(Cursor::new(frame.slice(fetched.records), self.next, fetched.aborted));
                }
            }
            code if error::leader_moved(code) => {
                self.leader = None;
                self.wait(now);
            }
            code => {
                let error = error::of(code, &format!("{server}: fetching from {}", self.feed.place));
                self.trouble(error, now);
            }
        }
    }

    /// Who leads it is known, or why not.
    fn led(&mut self, found: Result<Arc<TopicInfo>>, now: Instant) {
        self.asking = false;
        match found {
            Ok(info) => {
                self.missing = 0;
                self.leader = info.leader(self.feed.place.partition);
                if self.leader.is_none() {
                    self.wait(now);
                }
            }
            Err(error) if error.status == StatusCode::NotFound && self.missing + 1 < CONFIRMATIONS => {
                self.missing += 1;
                self.wait(now);
            }
            Err(error) => self.trouble(error, now),
        }
    }

    /// Something failed: it is tried again, unless that cannot help.
    fn trouble(&mut self, error: Error, now: Instant) {
        self.answered = true;
        self.leader = None;
        self.wait(now);
        if !error.is_retriable() {
            self.failed = true;
            self.feed.fail(error);
        }
    }

    fn wait(&mut self, now: Instant) {
        self.not_before = Some(now + self.backoff);
        self.backoff = (self.backoff * 2).min(MAX_BACKOFF);
    }
}
