//! Fetches one partition into its feed.
//!
//! A broker gives at most some messages with each answer (32 by default), however many are asked for. Offsets have no gaps,
//! so where the next answers will begin can be guessed: several requests are under way, and an answer that does not follow
//! the one before it is thrown away. Behind the newest message one request waits at the broker until something comes.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::FuturesOrdered;
use futures::{FutureExt, StreamExt};
use openmessaging::{Error, MessageBatch, Result};
use tokio::time::Instant;

use super::client::Client;
use super::codes::*;
use super::connection::Failure;
use super::error;
use super::frame::{Request, Response};
use super::routes::Routes;
use super::stored;
use crate::common::inbox::Feed;

/// How long a request waits at the broker for a message.
const SUSPEND: Duration = Duration::from_secs(15);
/// So many requests are under way, as far as there is room for their answers.
const DEPTH: usize = 8;
/// What a broker's answer holds at most unless its settings say otherwise (`maxTransferBytesOnMessageInMemory`).
const ANSWER_BYTES: usize = 256 * 1024;
/// Asked for with each request; the broker gives fewer.
const MESSAGES: u64 = 1024;
/// What it gives by default (`maxTransferCountOnMessageInMemory`).
const STEP: u64 = 32;
const PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_millis(500);

/// PullSysFlag: wait for messages, and the subscription is in the request.
const WAITS: u32 = 0x2;
const SUBSCRIBES: u32 = 0x4;

type Answer = std::result::Result<Response, Failure>;
type Pulling = Pin<Box<dyn Future<Output = (u64, Answer)> + Send>>;

pub(super) struct Puller {
    routes: Arc<Routes>,
    client: Arc<Client>,
    group: String,
    feed: Feed,
    broker: Arc<str>,
    topic: Arc<str>,
    queue_id: u32,
    /// Messages before this are not wanted.
    from: u64,
    /// Where the next answer begins.
    next: u64,
    /// Where the next request will begin.
    guess: u64,
    /// How many messages an answer holds.
    step: u64,
    /// Behind the newest message that was told of.
    end: u64,
    under_way: FuturesOrdered<Pulling>,
    /// Where their answers are thought to begin.
    guesses: VecDeque<u64>,
    /// What the last answers held, on average.
    answer_bytes: usize,
}

/// What to do next.
enum Then {
    Go,
    Wait,
    End,
}

impl Puller {
    pub fn new(routes: Arc<Routes>, group: String, feed: Feed) -> Self {
        let from = feed.from;
        Self {
            client: routes.client.clone(),
            routes,
            group,
            broker: "".into(),
            topic: "".into(),
            queue_id: 0,
            from,
            next: from,
            guess: from,
            step: STEP,
            end: 0,
            under_way: FuturesOrdered::new(),
            guesses: VecDeque::new(),
            answer_bytes: 4096,
            feed,
        }
    }

    /// Until the feed ends, or something happens that no waiting mends, which the feed is told.
    pub async fn run(mut self) {
        let mut pause = PAUSE;
        loop {
            let then = match self.find().await {
                Ok(()) => self.pull().await,
                Err(error) => self.failed(error),
            };
            match then {
                Then::Go => pause = PAUSE,
                Then::End => return,
                Then::Wait => {
                    self.broker = "".into();
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = self.feed.ended() => return,
                        () = self.client.closed.cancelled() => return,
                    }
                    pause = (pause * 2).min(MAX_PAUSE);
                }
            }
        }
    }

    /// Where the partition is, where that is not known (any more).
    async fn find(&mut self) -> Result<()> {
        if !self.broker.is_empty() {
            return Ok(());
        }
        let place = self.feed.place.clone();
        let route = self.routes.look(&place.queue, self.client.deadline()).await?;
        let partition = route.partition(place.partition)?;
        (self.broker, self.topic) = (partition.broker.clone(), route.topic.clone());
        self.queue_id = partition.queue_id;
        self.restart();
        Ok(())
    }

    fn restart(&mut self) {
        self.under_way = FuturesOrdered::new();
        self.guesses.clear();
        self.guess = self.next;
    }

    /// Takes the next answer, keeping as many requests under way as there is room for.
    async fn pull(&mut self) -> Then {
        if self.under_way.is_empty() {
            let Some(_) = self.feed.room().await else { return Then::End };
            self.request(true);
        }
        while self.under_way.len() < DEPTH && self.guess < self.end && self.has_room() {
            self.request(false);
        }
        let answered = tokio::select! {
            answered = self.under_way.next() => answered,
            () = self.feed.ended() => return Then::End,
            () = self.client.closed.cancelled() => return Then::End,
        };
        self.guesses.pop_front();
        match answered {
            Some((at, Ok(answer))) => self.take(at, &answer).await,
            Some((_, Err(failure))) => self.failed(failure.error()),
            None => Then::Go,
        }
    }

    /// Whether what is under way leaves room for one more answer.
    fn has_room(&self) -> bool {
        match self.feed.room().now_or_never() {
            Some(Some(room)) => room > (self.under_way.len() + 1) * self.answer_bytes,
            _ => false,
        }
    }

    fn request(&mut self, waits: bool) {
        let at = self.guess;
        let suspend = if waits { SUSPEND } else { Duration::ZERO };
        let request = Request::new(PULL_MESSAGE)
            .field("consumerGroup", &self.group)
            .field("topic", &self.topic)
            .field("queueId", self.queue_id)
            .field("queueOffset", at)
            .field("maxMsgNums", MESSAGES)
            .field("sysFlag", SUBSCRIBES | if waits { WAITS } else { 0 })
            .field("commitOffset", 0)
            .field("suspendTimeoutMillis", suspend.as_millis())
            .field("subscription", "*")
            .field("subVersion", 0)
            .field("expressionType", "TAG");
        let (client, broker) = (self.client.clone(), self.broker.clone());
        let deadline = Instant::now() + suspend + client.config.request_timeout;
        let pulling = async move { (at, client.broker(&broker, &request, deadline).await) };
        self.under_way.push_back(Box::pin(pulling));
        self.guesses.push_back(at);
        self.guess = at + self.step;
    }

    async fn take(&mut self, at: u64, answer: &Response) -> Then {
        if let Some(end) = answer.offset("maxOffset") {
            self.end = end;
        }
        let next = answer.offset("nextBeginOffset");
        match answer.code {
            SUCCESS if at == self.next => self.messages(at, answer, next.unwrap_or(at)),
            // A guess that was wrong.
            SUCCESS | PULL_NOT_FOUND if at != self.next => self.go_on(),
            PULL_NOT_FOUND => self.go_on(),
            PULL_RETRY_IMMEDIATELY | PULL_OFFSET_MOVED => self.moved(next.unwrap_or(at)),
            SUBSCRIPTION_GROUP_NOT_EXIST => match self.make_group().await {
                Ok(()) => self.go_on(),
                Err(error) => self.failed(error),
            },
            SYSTEM_BUSY | FLOW_CONTROL | GO_AWAY => Then::Wait,
            code => {
                if code == TOPIC_NOT_EXIST {
                    self.routes.forget(&self.feed.place.queue);
                }
                let server = format!("rocketmq at {}", self.broker);
                let what = format!("reading queue {}", self.feed.place.queue);
                self.failed(error::refused(&server, &what, answer))
            }
        }
    }

    fn go_on(&mut self) -> Then {
        self.restart();
        Then::Go
    }

    fn messages(&mut self, at: u64, answer: &Response, next: u64) -> Then {
        let (mut batch, mut offsets) = (MessageBatch::new(), Vec::new());
        let place = &self.feed.place;
        if let Err(error) = stored::read(&answer.body, place, self.from.max(at), &mut batch, &mut offsets) {
            return self.failed(error);
        }
        let count = next.saturating_sub(at);
        self.next = next.max(at);
        let delivered = self.feed.deliver(batch, offsets, self.next.max(self.from));
        if !delivered {
            return Then::End;
        }
        self.answer_bytes = answer.body.len().clamp(4096, ANSWER_BYTES);
        let follows = self.guesses.front().is_some_and(|at| *at == self.next);
        if !follows {
            // An answer that ended where the messages do says nothing about the next.
            if self.next < self.end {
                self.step = count.max(1);
            }
            self.restart();
        }
        Then::Go
    }

    /// The broker names another place: where messages begin now, or, for one behind the end, the end.
    fn moved(&mut self, next: u64) -> Then {
        let stays = next == self.next;
        self.next = next;
        self.restart();
        if next > self.from {
            self.feed.deliver(MessageBatch::new(), Vec::new(), next);
        }
        if stays { Then::Wait } else { Then::Go }
    }

    /// Groups that do not make themselves (`autoCreateSubscriptionGroup=false`) are made.
    async fn make_group(&mut self) -> Result<()> {
        let body = serde_json::json!({ "groupName": self.group }).to_string();
        let request = Request::new(UPDATE_AND_CREATE_SUBSCRIPTIONGROUP).body(body.into_bytes().into());
        let answer = self.client.broker_again(&self.broker, &request, self.client.deadline()).await?;
        super::client::expect(&self.broker, &format!("making the consumer group {}", self.group), answer)?;
        Ok(())
    }

    fn failed(&mut self, error: Error) -> Then {
        self.restart();
        if error.is_retriable() {
            return Then::Wait;
        }
        self.feed.fail(error);
        Then::End
    }
}
