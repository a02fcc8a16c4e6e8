//! The connection that all ordinary calls of an access point share: queues, positions, stores. Commands of many callers
//! are written one behind the other without waiting, and the answers come in the same order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use openmessaging::{Result, StatusCode};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::super::common::runtime;
use super::connection::Connection;
use super::error;
use super::link::Link;
use super::resp::Reply;

/// Whether a command may be sent a second time when its answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// It reads, or writes the same.
    Yes,
    /// It may have happened: the caller is told so.
    No,
}

struct Request {
    command: Vec<u8>,
    again: Again,
    what: Box<str>,
    deadline: Instant,
    /// When it was written; `None`: not yet.
    sent: Option<Instant>,
    /// `None`: nobody waits any more.
    answer: Option<oneshot::Sender<Result<Reply>>>,
}

pub(super) struct Client {
    pub link: Arc<Link>,
    requests: mpsc::UnboundedSender<Request>,
}

impl Client {
    /// Goes on with a connection that is open.
    pub fn start(link: Arc<Link>, connection: Connection) -> Result<Self> {
        let (requests, incoming) = mpsc::unbounded_channel();
        let task = Task { link: link.clone(), incoming, waiting: VecDeque::new(), pending: VecDeque::new() };
        runtime::handle()?.spawn(task.run(connection));
        Ok(Self { link, requests })
    }

    /// One command (made by `resp::command`) and its answer; what the server answers with an error is one. `what` is
    /// for errors: "creating queue x".
    pub async fn call(&self, what: &str, command: Vec<u8>, again: Again) -> Result<Reply> {
        match self.ask(what, command, again).await? {
            Reply::Error(text) => Err(error::answered(self.link.server(), what, &text)),
            reply => Ok(reply),
        }
    }

    /// The same, with the server's errors as answers.
    pub async fn ask(&self, what: &str, command: Vec<u8>, again: Again) -> Result<Reply> {
        self.link.check()?;
        let (answer, answered) = oneshot::channel();
        let request = Request {
            command,
            again,
            what: what.into(),
            deadline: self.link.deadline(),
            sent: None,
            answer: Some(answer),
        };
        let closed = || error::closed(self.link.server());
        self.requests.send(request).map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }

    /// Calls a script, all of whose keys come first.
    pub async fn script(
        &self,
        what: &str,
        text: &str,
        keys: &[&[u8]],
        arguments: &[&[u8]],
        again: Again,
    ) -> Result<Reply> {
        let count = keys.len().to_string();
        let mut parts: Vec<&[u8]> = vec![b"EVAL", text.as_bytes(), count.as_bytes()];
        parts.extend_from_slice(keys);
        parts.extend_from_slice(arguments);
        self.call(what, super::resp::command(&parts), again).await
    }
}

struct Task {
    link: Arc<Link>,
    incoming: mpsc::UnboundedReceiver<Request>,
    /// Not written yet.
    waiting: VecDeque<Request>,
    /// Written, at least in part.
    pending: VecDeque<Request>,
}

/// Why serving a connection ended.
enum Ended {
    /// Nobody needs it any more.
    Closed,
    Broken(openmessaging::Error),
}

impl Task {
    async fn run(mut self, first: Connection) {
        let mut connection = first;
        loop {
            match self.serve(connection).await {
                Ended::Closed => return,
                Ended::Broken(why) => self.sort_out(&why),
            }
            match self.connect().await {
                Some(opened) => connection = opened,
                None => return,
            }
        }
    }

    /// Connects again; meanwhile requests come in, and those whose time is over end.
    async fn connect(&mut self) -> Option<Connection> {
        let link = self.link.clone();
        let connecting = link.connect();
        tokio::pin!(connecting);
        loop {
            let deadline = earliest(&self.waiting);
            tokio::select! {
                () = link.closed.cancelled() => return None,
                connection = &mut connecting => return Some(connection),
                request = self.incoming.recv() => self.waiting.push_back(request?),
                () = until(deadline) => self.expire(),
            }
        }
    }

    async fn serve(&mut self, connection: Connection) -> Ended {
        let Connection { mut input, mut output, .. } = connection;
        let (mut out, mut at) = (Vec::new(), 0);
        let mut heard = Instant::now();
        let closed = self.link.closed.clone();
        loop {
            if at == out.len() {
                out.clear();
                at = 0;
                self.write_waiting(&mut out);
            }
            let deadline = [earliest(&self.waiting), earliest(&self.pending)].into_iter().flatten().min();
            tokio::select! {
                () = closed.cancelled() => return Ended::Closed,
                read = input.read() => {
                    if let Err(why) = read {
                        return Ended::Broken(why);
                    }
                    heard = Instant::now();
                    loop {
                        match input.ready() {
                            Ok(Some(reply)) => self.answer(reply),
                            Ok(None) => break,
                            Err(why) => return Ended::Broken(why),
                        }
                    }
                }
                written = output.write(&out[at..]), if at < out.len() => match written {
                    Ok(count) => at += count,
                    Err(why) => return Ended::Broken(why),
                },
                request = self.incoming.recv() => match request {
                    Some(request) => self.waiting.push_back(request),
                    None => return Ended::Closed,
                },
                () = until(deadline) => {
                    if let Some(why) = self.expire_pending(heard) {
                        return Ended::Broken(why);
                    }
                }
            }
        }
    }

    fn write_waiting(&mut self, out: &mut Vec<u8>) {
        // A large value goes alone, so that little is held twice.
        const AT_ONCE: usize = 256 * 1024;
        while out.len() < AT_ONCE
            && let Some(mut request) = self.waiting.pop_front()
        {
            out.extend_from_slice(&request.command);
            request.sent = Some(Instant::now());
            if request.again == Again::No {
                request.command = Vec::new();
            }
            self.pending.push_back(request);
        }
    }

    fn answer(&mut self, reply: Reply) {
        if let Some(request) = self.pending.pop_front()
            && let Some(answer) = request.answer
        {
            // Who asked may be gone.
            let _ = answer.send(Ok(reply));
        }
    }

    /// Ends what waited too long to be written.
    fn expire(&mut self) {
        let now = Instant::now();
        let limit = self.link.config.timeout;
        let mut kept = VecDeque::with_capacity(self.waiting.len());
        for mut request in self.waiting.drain(..) {
            if request.deadline > now {
                kept.push_back(request);
            } else if let Some(answer) = request.answer.take() {
                let _ = answer.send(Err(self.link.too_late(&request.what, limit)));
            }
        }
        self.waiting = kept;
    }

    /// The same for what was written, whose answers may still come. A connection on which nothing was heard since is
    /// given up.
    fn expire_pending(&mut self, heard: Instant) -> Option<openmessaging::Error> {
        self.expire();
        let now = Instant::now();
        let limit: Duration = self.link.config.timeout;
        let mut dead = None;
        for request in self.pending.iter_mut().filter(|request| request.deadline <= now) {
            let late = || error::late(self.link.server(), &request.what, limit);
            if request.sent.is_some_and(|sent| sent > heard) {
                dead = Some(late());
            }
            if let Some(answer) = request.answer.take() {
                let _ = answer.send(Err(late()));
            }
        }
        dead
    }

    /// The connection broke: what may be is sent again, the rest has failed.
    fn sort_out(&mut self, why: &openmessaging::Error) {
        for mut request in self.pending.drain(..).rev() {
            let Some(answer) = request.answer.take() else { continue };
            if request.again == Again::Yes {
                request.answer = Some(answer);
                request.sent = None;
                self.waiting.push_front(request);
            } else {
                let mut error = error::again(why);
                error.status = StatusCode::Unavailable;
                error.message = format!("{}; it may have happened: {}", error.message, request.what);
                let _ = answer.send(Err(error));
            }
        }
    }
}

fn earliest(requests: &VecDeque<Request>) -> Option<Instant> {
    // All have the same time, so the first has the least left.
    requests.iter().find(|request| request.answer.is_some()).map(|request| request.deadline)
}

/// At that time, or never.
pub(super) async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// That future, or none that ends.
pub(super) async fn or_never<F: Future + Unpin>(future: Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
