//! Producers. Each has a connection and a task: the task publishes whole batches, with publisher confirms, and waits for
//! the confirms in the order of sending. What was not confirmed when something failed is not counted as stored.
//!
//! The first message to a queue on a channel goes alone, and the next one when it is confirmed: while a broker starts, it
//! takes no message for a queue, and then the next ones, which would be behind a failure.
//!
//! A message that no queue takes comes back (`mandatory`), before its confirm, and the confirm says yes all the same. lapin
//! gives what came back with the next confirm that comes, which may be that of an earlier message: so what counts is which
//! queue it was for. Messages to that queue fail from then on.

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::{MaybeDone, maybe_done};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, PublisherConfirm};
use openmessaging::{
    Acknowledged, Error, MessageBatch, Producer, ProducerOptions, Result, SendFuture, SendReport, StatusCode,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::access_point::Shared;
use super::config::QueueType;
use super::error;
use super::intake::Intake;
use super::layout::{self, Layout};
use super::link::Link;
use crate::common::gate::{self, Gate, Ticket};

/// So many messages, or bytes, are handed to lapin until it has written them.
const CHUNK: usize = 256;
const CHUNK_BYTES: usize = 1024 * 1024;

/// How often it is looked whether an alarm is on.
const LOOK: Duration = Duration::from_millis(100);

/// How long it is believed which queues there are. A queue that went is told by its messages that come back.
const BELIEVED: Duration = Duration::from_secs(30);

/// How long it may take to find out why a message came back.
const CHECK: Duration = Duration::from_secs(1);

/// So long the first confirm on a connection may take, and the next after another, until messages are sent again on a new
/// channel; from then on twice as long, so that a slow broker gets the time that it needs. A broker may forget messages
/// that came while it started the stream's writer: no confirm ever comes (seen with 3.10.8 after a SIGKILL).
const PATIENCE: Duration = Duration::from_secs(1);

struct Job {
    batch: MessageBatch,
    ticket: Ticket,
    deadline: Instant,
    reply: oneshot::Sender<SendReport>,
}

pub(super) struct RabbitProducer {
    shared: Arc<Shared>,
    gate: Arc<Gate>,
    jobs: mpsc::UnboundedSender<Job>,
    timeout: Duration,
}

impl RabbitProducer {
    /// Must be called on the drivers' runtime.
    pub fn start(shared: Arc<Shared>, options: &ProducerOptions) -> Result<Self> {
        let name = if options.name.is_empty() { "producer" } else { options.name.as_str() };
        let link = Link::new(shared.config.clone(), name, shared.outage.clone(), Intake::unlimited())?;
        let (jobs, waiting) = mpsc::unbounded_channel();
        let gate = Arc::new(Gate::default());
        let timeout = options.timeout.unwrap_or(shared.config.timeout);
        let task = Task {
            shared: shared.clone(),
            gate: gate.clone(),
            link,
            channel: None,
            layouts: HashMap::new(),
            under_way: VecDeque::new(),
            held: None,
            proven: HashSet::new(),
            gone: HashSet::new(),
            told: false,
            progress: Instant::now(),
            patience: PATIENCE,
        };
        tokio::spawn(task.run(waiting));
        Ok(Self { shared, gate, jobs, timeout })
    }

    fn submit(
        &self,
        batch: MessageBatch,
    ) -> std::result::Result<oneshot::Receiver<SendReport>, Box<SendReport>> {
        let failed = |batch, error| Box::new(SendReport::failed(batch, Acknowledged::Prefix(0), error));
        if let Err(error) = self.shared.check() {
            return Err(failed(batch, error));
        }
        let ticket = match self.gate.enter() {
            Ok(ticket) => ticket,
            Err(error) => return Err(failed(batch, error)),
        };
        let (reply, answer) = oneshot::channel();
        let job = Job { batch, ticket, deadline: Instant::now() + self.timeout, reply };
        self.jobs.send(job).map_err(|job| failed(job.0.batch, error::closed(&self.shared.config)))?;
        Ok(answer)
    }
}

#[async_trait]
impl Producer for RabbitProducer {
    fn send(&mut self, batch: MessageBatch) -> SendFuture {
        let submitted = self.submit(batch);
        let shared = self.shared.clone();
        Box::pin(async move {
            match submitted {
                Err(report) => *report,
                Ok(answer) => answer.await.unwrap_or_else(|_| {
                    let error = error::closed(&shared.config);
                    SendReport::failed(MessageBatch::new(), Acknowledged::Prefix(0), error)
                }),
            }
        })
    }

    async fn recover(&mut self) -> Result<()> {
        self.shared.check()?;
        self.gate.recover().await
    }

    async fn close(&mut self) -> Result<()> {
        self.gate.drained().await;
        self.gate.close();
        Ok(())
    }
}

impl Drop for RabbitProducer {
    fn drop(&mut self) {
        self.gate.close();
    }
}

/// A batch that was published, as far as it could be.
struct Sent {
    job: Job,
    /// Of the messages from the first on, with the queues that they went to.
    confirms: VecDeque<(ShortString, Confirming)>,
    confirmed: usize,
    /// Why the message behind those was not published.
    failure: Option<Error>,
}

/// Its confirm, which may have come.
type Confirming = MaybeDone<PublisherConfirm>;

/// A message that can be published.
type Ready = (ShortString, BasicProperties);

struct Task {
    shared: Arc<Shared>,
    gate: Arc<Gate>,
    link: Link,
    channel: Option<Channel>,
    layouts: HashMap<Arc<str>, (Layout, Instant)>,
    under_way: VecDeque<Sent>,
    /// Waits until nothing is under way: it has messages for a queue that is not proven.
    held: Option<Job>,
    /// Queues that took a message on this channel.
    proven: HashSet<ShortString>,
    /// Queues whose messages came back since the last failure was over.
    gone: HashSet<ShortString>,
    /// The reason of the last failure was told.
    told: bool,
    /// When the last confirm came, or the last message was written.
    progress: Instant,
    /// For how long no confirm may come.
    patience: Duration,
}

impl Task {
    async fn run(mut self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        let closed = self.shared.closed.clone();
        let mut open = true;
        while open || !self.under_way.is_empty() {
            if self.under_way.is_empty()
                && let Some(job) = self.held.take()
            {
                self.publish(job).await;
                continue;
            }
            tokio::select! {
                biased;
                confirmation = confirmed(&mut self.under_way), if !self.under_way.is_empty() => {
                    self.take(confirmation).await;
                    // What came with it needs no turn of its own.
                    while !self.under_way.is_empty()
                        && let Some(more) = confirmed(&mut self.under_way).now_or_never()
                    {
                        self.take(more).await;
                    }
                    self.progress = Instant::now();
                }
                job = jobs.recv(), if open && self.held.is_none() => match job {
                    Some(job) => self.publish(job).await,
                    None => open = false,
                },
                () = closed.cancelled(), if open => {
                    jobs.close();
                    if let Some(job) = self.held.take() {
                        finish(job, 0, Some(error::closed(&self.shared.config)));
                    }
                    while let Ok(job) = jobs.try_recv() {
                        finish(job, 0, Some(error::closed(&self.shared.config)));
                    }
                    open = false;
                }
                () = tokio::time::sleep(LOOK), if !self.under_way.is_empty() => {
                    if self.link.is_blocked().await {
                        let why = error::full(&self.shared.config);
                        self.give_up(&why);
                    } else if self.progress.elapsed() > self.patience {
                        self.begin_again().await;
                    }
                }
            }
        }
        self.link.close().await;
    }

    /// Publishes a batch, up to the first message that cannot be.
    async fn publish(&mut self, job: Job) {
        if self.gate.has_failed() {
            return finish(job, 0, Some(gate::aborted()));
        }
        self.told = false;
        if self.under_way.is_empty() {
            self.gone.clear();
        }
        let (ready, failure) = self.prepare(&job).await;
        if !self.under_way.is_empty() && ready.iter().any(|(queue, _)| !self.proven.contains(queue)) {
            self.held = Some(job);
            return;
        }
        let mut sent = Sent { job, confirms: VecDeque::with_capacity(ready.len()), confirmed: 0, failure };
        if !ready.is_empty()
            && let Err(error) = self.write(&mut sent, ready).await
        {
            sent.failure = Some(error);
        }
        if sent.failure.is_some() {
            self.gate.fail();
        }
        self.progress = Instant::now();
        self.under_way.push_back(sent);
    }

    /// The messages that can be published, from the first on, and why the next cannot.
    async fn prepare(&mut self, job: &Job) -> (Vec<Ready>, Option<Error>) {
        let mut ready = Vec::with_capacity(job.batch.len());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
        let sent = (self.shared.config.queue_type == QueueType::Stream).then_some(now);
        let mut layouts: Vec<Result<Layout>> = Vec::new();
        for queue in job.batch.queues() {
            layouts.push(self.layout(queue, job.deadline).await);
        }
        for (index, message) in job.batch.iter().enumerate() {
            let layout = job.batch.queue_of(index).and_then(|queue| layouts.get(queue));
            let made = match layout {
                Some(Ok(layout)) => self.shared.place(layout, &message).and_then(|queue| {
                    super::message::properties(&message, sent).map(|properties| (queue, properties))
                }),
                Some(Err(error)) => Err(error::again(error)),
                None => Err(error::no_queue(&self.shared.config, message.queue)),
            };
            match made {
                Ok(made) => ready.push(made),
                Err(error) => return (ready, Some(error)),
            }
        }
        (ready, None)
    }

    async fn layout(&mut self, queue: &Arc<str>, deadline: Instant) -> Result<Layout> {
        if let Some((layout, when)) = self.layouts.get(queue)
            && when.elapsed() < BELIEVED
        {
            return Ok(layout.clone());
        }
        self.layouts.remove(queue);
        let layout = layout::find(&self.shared.link, self.shared.config.queue_type, queue, deadline).await?;
        self.layouts.insert(queue.clone(), (layout.clone(), Instant::now()));
        Ok(layout)
    }

    async fn channel(&mut self, deadline: Instant) -> Result<Channel> {
        if let Some(channel) = self.channel.as_ref().filter(|channel| channel.status().connected()) {
            return Ok(channel.clone());
        }
        // What is under way on a channel that was lost fails first: nothing may be published behind it.
        if !self.under_way.is_empty() {
            return Err(Error::new(
                StatusCode::Unavailable,
                format!(
                    "the connection to {} was lost while messages were under way",
                    self.shared.config.server()
                ),
            )
            .with_remedy("recover the producer, and send again"));
        }
        let channel = self.link.channel(deadline).await?;
        let select = channel.confirm_select(ConfirmSelectOptions::default());
        self.link.call("asking for confirms", deadline, select).await?;
        self.channel = Some(channel.clone());
        self.proven.clear();
        Ok(channel)
    }

    /// Hands the messages to lapin, and waits until they are written.
    async fn write(&mut self, sent: &mut Sent, ready: Vec<Ready>) -> Result<()> {
        let deadline = sent.job.deadline;
        let channel = self.channel(deadline).await?;
        let mut ready = ready.into_iter().enumerate().peekable();
        while let Some((_, (queue, _))) = ready.peek() {
            if self.link.is_blocked().await {
                return Err(error::full(&self.shared.config));
            }
            let first = (!self.proven.contains(queue)).then(|| queue.clone());
            let most = if first.is_some() { 1 } else { CHUNK };
            let (mut bytes, mut writing) = (0, Vec::with_capacity(most));
            while writing.len() < most && bytes < CHUNK_BYTES {
                let goes = |(_, (queue, _)): &(usize, Ready)| first.is_some() || self.proven.contains(queue);
                let Some((index, (queue, properties))) = ready.next_if(goes) else { break };
                let body = sent.job.batch.get(index).and_then(|message| message.body).unwrap_or_default();
                bytes += body.len();
                let options = BasicPublishOptions { mandatory: true, immediate: false };
                let mut publish: Pin<Box<dyn Future<Output = lapin::Result<PublisherConfirm>> + Send + '_>> =
                    Box::pin(channel.basic_publish("".into(), queue.clone(), options, body, properties));
                // The first poll is what puts it in line.
                let polled = poll_fn(|cx| Poll::Ready(publish.as_mut().poll(cx))).await;
                writing.push((queue, publish, polled));
            }
            for (queue, publish, polled) in writing {
                let written = match polled {
                    Poll::Ready(written) => Some(written),
                    Poll::Pending => unless_blocked(&self.link, publish, deadline).await,
                };
                match written {
                    Some(Ok(confirm)) => sent.confirms.push_back((queue, maybe_done(confirm))),
                    Some(Err(error)) => return Err(self.link.failed("sending", &error)),
                    None => return Err(self.stuck().await),
                }
            }
            if let Some(queue) = first {
                self.prove(sent).await?;
                self.proven.insert(queue);
            }
        }
        Ok(())
    }

    /// Waits until what was published is confirmed, which ends with the first message to a queue.
    ///
    /// # Errors
    /// What came behind must not be published. The confirms say why, where there is one for each message.
    async fn prove(&mut self, sent: &mut Sent) -> Result<()> {
        let begin = Instant::now();
        let late = sent.job.deadline.min(begin + self.patience);
        for (_, confirm) in &mut sent.confirms {
            if unless_blocked(&self.link, &mut *confirm, late).await.is_none() {
                if Instant::now() < late || self.link.is_blocked().await {
                    return Err(error::full(&self.shared.config));
                }
                let why = error::unconfirmed(&self.shared.config, begin.elapsed());
                self.leave_channel().await;
                sent.confirms.pop_back();
                return Err(why);
            }
            match Pin::new(confirm).output_mut() {
                Some(Ok(Confirmation::Ack(None))) | None => {}
                Some(_) => return Err(gate::aborted()),
            }
        }
        Ok(())
    }

    /// Why nothing is written or confirmed.
    async fn stuck(&self) -> Error {
        if self.link.is_blocked().await { error::full(&self.link.config) } else { self.link.late("sending") }
    }

    /// The next confirm of the first batch, or the end of that batch.
    async fn take(&mut self, confirmation: Outcome) {
        let Some(first) = self.under_way.front_mut() else { return };
        let failure = match confirmation {
            Outcome::Ended => first.failure.take(),
            Outcome::Confirm(queue, Ok(Confirmed { nack, returned })) => {
                self.gone.extend(returned);
                if self.gone.contains(&queue) {
                    let deadline = first.job.deadline.min(Instant::now() + CHECK);
                    Some(why_it_came_back(&self.shared, &queue, deadline).await)
                } else if nack {
                    Some(error::refused(&self.shared.config, queue.as_str()))
                } else {
                    first.confirmed += 1;
                    return;
                }
            }
            Outcome::Confirm(_, Err(error)) => {
                (self.channel, self.patience) = (None, PATIENCE);
                Some(self.link.failed("sending", &error))
            }
            Outcome::Late => {
                let why = self.stuck().await;
                return self.give_up(&why);
            }
        };
        if let Some(sent) = self.under_way.pop_front() {
            self.end(sent, failure);
        }
    }

    /// Answers a batch. The first that failed says why; those that were published behind it are answered by what became of
    /// them.
    fn end(&mut self, sent: Sent, failure: Option<Error>) {
        let failure = failure.map(|error| {
            self.gate.fail();
            self.layouts.clear();
            if std::mem::replace(&mut self.told, true) { gate::aborted() } else { error }
        });
        finish(sent.job, sent.confirmed, failure);
    }

    /// No confirm came for too long. Once the channel is closed, the broker has handed on what came on it: what is sent on
    /// another one goes behind it.
    async fn begin_again(&mut self) {
        let why = error::unconfirmed(&self.shared.config, self.patience);
        self.leave_channel().await;
        self.give_up(&why);
    }

    /// The next messages go on another channel, and their confirms may take longer.
    async fn leave_channel(&mut self) {
        self.patience *= 2;
        if let Some(channel) = self.channel.take() {
            let closed = channel.close(200, "no confirms came".into());
            if timeout_at(Instant::now() + CHECK, closed).await.is_err() {
                self.link.close().await;
            }
        }
    }

    /// Nothing of what is under way is waited for any longer. It may be stored yet, and then in its place: the connection
    /// stays, and what is sent later goes behind it.
    fn give_up(&mut self, why: &Error) {
        self.gate.fail();
        self.layouts.clear();
        for mut sent in std::mem::take(&mut self.under_way) {
            while let Some((_, confirm)) = sent.confirms.front_mut() {
                match take(confirm).now_or_never() {
                    Some(Ok(Confirmation::Ack(None))) => {
                        sent.confirms.pop_front();
                        sent.confirmed += 1;
                    }
                    _ => break,
                }
            }
            let whole = sent.confirms.is_empty() && sent.failure.is_none();
            let failure = (!whole).then(|| error::again(why));
            self.end(sent, failure);
        }
    }
}

/// A message comes back where there is no queue, and also while the broker starts the queue.
async fn why_it_came_back(shared: &Shared, queue: &ShortString, deadline: Instant) -> Error {
    match layout::messages(&shared.link, queue.as_str(), deadline).await {
        Ok(None) => error::no_queue(&shared.config, queue.as_str()),
        Ok(Some(_)) => {
            let message = format!("{} could not reach queue \"{queue}\"", shared.config.server());
            Error::new(StatusCode::Unavailable, message)
                .with_remedy("send again; where it stays so, look whether the queue has a leader")
        }
        Err(error) => error,
    }
}

struct Confirmed {
    nack: bool,
    /// The queue of a message that came back meanwhile.
    returned: Option<ShortString>,
}

enum Outcome {
    Confirm(ShortString, lapin::Result<Confirmed>),
    /// Everything that was published is confirmed.
    Ended,
    /// It took too long.
    Late,
}

/// The next confirm that is due. Nothing is lost when it is dropped.
async fn confirmed(under_way: &mut VecDeque<Sent>) -> Outcome {
    let Some(first) = under_way.front_mut() else { return std::future::pending().await };
    let deadline = first.job.deadline;
    let Some((_, confirm)) = first.confirms.front_mut() else { return Outcome::Ended };
    match timeout_at(deadline, take(confirm)).await {
        Ok(confirmation) => match first.confirms.pop_front() {
            Some((queue, _)) => {
                let told = |confirmation: Confirmation| Confirmed {
                    nack: confirmation.is_nack(),
                    returned: confirmation.take_message().map(|message| message.delivery.routing_key),
                };
                Outcome::Confirm(queue, confirmation.map(told))
            }
            None => Outcome::Ended,
        },
        Err(_) => Outcome::Late,
    }
}

/// What a confirm says. Nothing is lost when this is dropped before.
async fn take(confirm: &mut Confirming) -> lapin::Result<Confirmation> {
    (&mut *confirm).await;
    match Pin::new(confirm).take_output() {
        Some(confirmation) => confirmation,
        // Each is taken once.
        None => Ok(Confirmation::NotRequested),
    }
}

/// Waits for lapin; `None`: it does not get on, for an alarm or for too long.
async fn unless_blocked<T>(
    link: &Link,
    mut work: impl Future<Output = T> + Unpin,
    deadline: Instant,
) -> Option<T> {
    loop {
        let look = deadline.min(Instant::now() + LOOK);
        match timeout_at(look, &mut work).await {
            Ok(done) => return Some(done),
            Err(_) if Instant::now() >= deadline || link.is_blocked().await => return None,
            Err(_) => {}
        }
    }
}

fn finish(job: Job, confirmed: usize, failure: Option<Error>) {
    let Job { batch, reply, ticket, .. } = job;
    let report = match failure {
        None => SendReport::all(batch),
        Some(error) => SendReport::failed(batch, Acknowledged::Prefix(confirmed), error),
    };
    // Nobody may be waiting for it (D12).
    let _ = reply.send(report);
    drop(ticket);
}
