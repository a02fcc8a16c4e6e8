//! The task of a consumer, which fetches ahead: one connection, on which it reads all streams that there is room for at
//! once (`XREAD BLOCK`). When that changes while the server waits for messages, the wait is ended (`CLIENT UNBLOCK`).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, select_all};
use openmessaging::Error;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use super::super::common::inbox::{Feed, Inbox};
use super::super::common::settings::bad_parameter;
use super::client::{Again, Client, or_never, until};
use super::connection::Connection;
use super::error;
use super::fetched::{self, Answer, Large, Piece, Problem, Wanted};
use super::offset;
use super::resp::{self, Reply, command};

/// How long the server waits for messages until it answers that there are none; then it is asked whether the queues are
/// still there.
const BLOCK: Duration = Duration::from_secs(2);

/// How long a stream that failed is left alone.
const PAUSE: Duration = Duration::from_secs(1);

/// Until the server answered that no connection waits, how long until it is asked to end the wait again.
const UNBLOCK_AGAIN: Duration = Duration::from_millis(2);

/// What an entry is taken to be large before one was seen.
const ENTRY: usize = 1024;

/// A stream that is assigned.
pub(super) struct Source {
    pub feed: Feed,
    pub stream: Arc<str>,
    /// The offset of the next entry to read.
    pub next: u64,
    entry_bytes: usize,
    /// Seen when what is in front of it was read.
    large: Option<Large>,
    /// Left alone until then, after a failure.
    paused: Option<Instant>,
}

impl Source {
    pub fn new(feed: Feed, stream: Arc<str>) -> Self {
        let next = feed.from;
        Self { feed, stream, next, entry_bytes: ENTRY, large: None, paused: None }
    }

    fn is_paused(&self) -> bool {
        self.paused.is_some_and(|until| until > Instant::now())
    }

    fn fail(&mut self, error: Error) {
        self.feed.fail(error);
        self.paused = Some(Instant::now() + PAUSE);
    }
}

pub(super) struct Fetcher {
    pub client: Arc<Client>,
    pub inbox: Arc<Inbox>,
    /// What is assigned or sought from now on. The consumer is gone when it ends.
    pub incoming: UnboundedReceiver<Source>,
    pub sources: Vec<Source>,
    /// How many entries were asked for last.
    pub count: usize,
}

/// Why a connection is not used any more.
enum Ended {
    Closed,
    Broken,
}

/// What happened while the server was asked.
enum Event {
    Answered(Result<(), Problem>),
    Broken,
    /// Other streams than those asked for are wanted.
    Changed,
    Closed,
}

impl Fetcher {
    pub async fn run(mut self) {
        while let Some(connection) = self.connect().await {
            match self.serve(connection).await {
                Ended::Closed => break,
                Ended::Broken => {}
            }
        }
        // Whoever polls is told that the access point is closed.
        self.inbox.close();
    }

    /// Connects, however long it takes; who polls is told when it takes too long.
    async fn connect(&mut self) -> Option<Connection> {
        let link = self.client.link.clone();
        let connecting = link.connect();
        tokio::pin!(connecting);
        let (mut patience, mut told) = (link.deadline(), false);
        loop {
            tokio::select! {
                () = link.closed.cancelled() => return None,
                connection = &mut connecting => {
                    if told {
                        self.sources.iter().for_each(|source| source.feed.works());
                    }
                    return Some(connection);
                }
                source = self.incoming.recv() => self.sources.push(source?),
                () = tokio::time::sleep_until(patience) => {
                    told = true;
                    let why = link.too_late("connecting", link.config.timeout);
                    self.sources.retain(|source| source.feed.fail(error::again(&why)));
                    patience = link.deadline();
                }
            }
        }
    }

    async fn serve(&mut self, mut connection: Connection) -> Ended {
        loop {
            while let Ok(source) = self.incoming.try_recv() {
                self.sources.push(source);
            }
            let (indexes, wanted) = self.wanted();
            let event = if wanted.is_empty() {
                self.idle().await
            } else {
                self.fetch(&mut connection, &indexes, &wanted).await
            };
            match event {
                Event::Closed => return Ended::Closed,
                Event::Broken => return Ended::Broken,
                Event::Changed | Event::Answered(Ok(())) => {}
                Event::Answered(Err(Problem::BadId { index, id })) => {
                    self.failed(&indexes[index..=index], Problem::BadId { index, id });
                    // The rest of the answer was not read.
                    return Ended::Broken;
                }
                Event::Answered(Err(problem)) => self.failed(&indexes, problem),
            }
        }
    }

    /// The sources that there is room for, and forgets those whose feed has ended.
    fn wanted(&mut self) -> (Vec<usize>, Vec<Wanted>) {
        let (mut indexes, mut wanted) = (Vec::new(), Vec::new());
        let mut index = 0;
        self.sources.retain(|source| {
            match source.feed.ample_room().now_or_never() {
                Some(None) => return false,
                Some(Some(room)) if !source.is_paused() => {
                    indexes.push(index);
                    wanted.push(Wanted {
                        stream: source.stream.clone(),
                        queue: source.feed.place.queue.clone(),
                        partition: source.feed.place.partition,
                        room,
                    });
                }
                _ => {}
            }
            index += 1;
            true
        });
        (indexes, wanted)
    }

    /// Waits until something is wanted.
    async fn idle(&mut self) -> Event {
        let closed = self.client.link.closed.clone();
        let changed = changed(&self.sources, &[]);
        tokio::select! {
            () = closed.cancelled() => Event::Closed,
            source = self.incoming.recv() => match source {
                Some(source) => {
                    self.sources.push(source);
                    Event::Changed
                }
                None => Event::Closed,
            },
            () = changed => Event::Changed,
        }
    }

    /// Asks for entries of these streams and puts them in.
    async fn fetch(&mut self, connection: &mut Connection, indexes: &[usize], wanted: &[Wanted]) -> Event {
        self.count = self.decide(indexes, wanted);
        let asked = self.command(indexes, wanted);
        let limit = self.client.link.config.timeout;
        match tokio::time::timeout(limit, connection.output.write_all(&asked)).await {
            Ok(Ok(())) => {}
            _ => return Event::Broken,
        }
        let mut answer = Answer::new(wanted);
        let (event, new, unblocked) = self.await_answer(connection, indexes, &mut answer).await;
        let empty = answer.seen.iter().all(|seen| seen.entries == 0);
        for (index, seen) in indexes.iter().zip(&answer.seen) {
            let source = &mut self.sources[*index];
            source.large = fetched::large_ahead(source.large, seen);
            if let Some(bytes) = seen.bytes.checked_div(seen.entries) {
                source.entry_bytes = bytes;
            }
        }
        self.sources.extend(new);
        match event {
            Event::Answered(Ok(())) if empty && !unblocked => self.check_streams(connection, indexes).await,
            event => event,
        }
    }

    fn decide(&self, indexes: &[usize], wanted: &[Wanted]) -> usize {
        let each = indexes.iter().zip(wanted);
        let fits = each.map(|(index, wanted)| {
            let source = &self.sources[*index];
            fetched::count(wanted.room, source.entry_bytes, self.count, source.large)
        });
        fits.min().unwrap_or(1)
    }

    fn command(&self, indexes: &[usize], wanted: &[Wanted]) -> Vec<u8> {
        let mut out = Vec::new();
        resp::array(&mut out, 6 + 2 * wanted.len());
        resp::bulk(&mut out, b"XREAD");
        resp::bulk(&mut out, b"COUNT");
        resp::number(&mut out, self.count as i64);
        resp::bulk(&mut out, b"BLOCK");
        resp::number(&mut out, BLOCK.as_millis() as i64);
        resp::bulk(&mut out, b"STREAMS");
        for wanted in wanted {
            resp::bulk(&mut out, wanted.stream.as_bytes());
        }
        for index in indexes {
            resp::bulk(&mut out, offset::id_before(self.sources[*index].next).as_bytes());
        }
        out
    }

    /// Reads the answer. Beside the event: what was assigned meanwhile, and whether the server was told to wait no longer.
    async fn await_answer(
        &mut self,
        connection: &mut Connection,
        indexes: &[usize],
        answer: &mut Answer<'_>,
    ) -> (Event, Vec<Source>, bool) {
        let Self { client, incoming, sources, .. } = self;
        let link = client.link.clone();
        let mut next: Vec<u64> = indexes.iter().map(|index| sources[*index].next).collect();
        let feeds: Vec<&Feed> = indexes.iter().map(|index| &sources[*index].feed).collect();
        let mut deliver = |piece: Piece| {
            let behind = piece.offsets.last().map_or(next[piece.index], |last| last + 1);
            next[piece.index] = behind;
            // A feed that has ended is noticed later.
            let _ = feeds[piece.index].deliver(piece.messages, piece.offsets, behind);
        };
        let mut new = Vec::new();
        let mut change = Some(changed(sources, indexes));
        let mut unblock: Option<BoxFuture<'static, Wait>> = None;
        let mut unblocked = false;
        let mut silence = Instant::now() + BLOCK + link.config.timeout;
        let event = loop {
            match answer.advance(connection.input.bytes(), &mut deliver) {
                Ok((used, ended)) => {
                    connection.input.consume(used);
                    if ended {
                        break Event::Answered(Ok(()));
                    }
                    if answer.is_too_much() {
                        answer.hand_on(&mut deliver);
                        break Event::Broken;
                    }
                }
                Err(Problem::Answered(text)) => {
                    // The error is one line, all of which is there.
                    match connection.input.ready() {
                        Ok(_) => break Event::Answered(Err(Problem::Answered(text))),
                        Err(_) => break Event::Broken,
                    }
                }
                Err(problem @ Problem::BadId { .. }) => break Event::Answered(Err(problem)),
                Err(Problem::Malformed(_)) => break Event::Broken,
            }
            let waits = !answer.has_begun();
            tokio::select! {
                biased;
                () = link.closed.cancelled() => break Event::Closed,
                read = connection.input.read() => match read {
                    Ok(()) => silence = Instant::now() + link.config.timeout,
                    Err(_) => break Event::Broken,
                },
                source = incoming.recv() => match source {
                    Some(source) => {
                        new.push(source);
                        unblock = waits.then(|| end_wait(client.clone(), connection.id, Duration::ZERO));
                    }
                    None => break Event::Closed,
                },
                () = or_never(change.as_mut()) => {
                    change = None;
                    unblock = waits.then(|| end_wait(client.clone(), connection.id, Duration::ZERO));
                }
                wait = or_never(unblock.as_mut()) => {
                    unblock = None;
                    match wait {
                        Wait::Ended => unblocked = true,
                        // It was told too early, or the answer is under way.
                        Wait::None if waits => {
                            unblock = Some(end_wait(client.clone(), connection.id, UNBLOCK_AGAIN));
                        }
                        Wait::None => {}
                        // Another connection goes on, with what is wanted now.
                        Wait::Refused if waits => break Event::Broken,
                        Wait::Refused => {}
                    }
                }
                () = until(Some(silence)) => break Event::Broken,
            }
        };
        drop(change);
        for (index, next) in indexes.iter().zip(next) {
            sources[*index].next = next;
        }
        (event, new, unblocked)
    }

    /// Nothing came for a while: are the streams still there?
    async fn check_streams(&mut self, connection: &mut Connection, indexes: &[usize]) -> Event {
        let limit = self.client.link.config.timeout;
        let mut asked = Vec::new();
        for index in indexes {
            asked.extend(command(&[b"EXISTS", self.sources[*index].stream.as_bytes()]));
        }
        let asking = async {
            connection.output.write_all(&asked).await?;
            let mut there = Vec::with_capacity(indexes.len());
            for _ in indexes {
                there.push(connection.input.reply().await?);
            }
            Ok::<_, Error>(there)
        };
        let Ok(Ok(there)) = tokio::time::timeout(limit, asking).await else { return Event::Broken };
        for (index, there) in indexes.iter().zip(there) {
            if there == Reply::Integer(0) {
                let source = &mut self.sources[*index];
                let error = error::no_queue(&source.feed.place.queue);
                source.fail(error);
            }
        }
        Event::Answered(Ok(()))
    }

    /// The server refused to answer, or what it answered cannot be used.
    fn failed(&mut self, indexes: &[usize], problem: Problem) {
        let server = self.client.link.server().to_owned();
        let indexes: HashSet<usize> = indexes.iter().copied().collect();
        for (index, source) in
            self.sources.iter_mut().enumerate().filter(|(index, _)| indexes.contains(index))
        {
            let what = format!("reading {}", source.feed.place);
            let _ = index;
            source.fail(match &problem {
                Problem::Answered(text) => error::answered(&server, &what, text),
                Problem::Malformed(malformed) => malformed.at(&server),
                Problem::BadId { id, .. } => {
                    bad_parameter(format!("{server}: {what}: the id {id} is no offset"))
                        .with_remedy("let the server make ids (XADD with *), and seek behind this one")
                }
            });
        }
    }
}

/// Ends when another source than those at `asked` is wanted, or one of these is not any more.
fn changed<'a>(sources: &'a [Source], asked: &[usize]) -> BoxFuture<'a, ()> {
    let asked: HashSet<usize> = asked.iter().copied().collect();
    let each = sources.iter().enumerate().map(|(index, source)| {
        let change: BoxFuture<'_, ()> = if asked.contains(&index) {
            source.feed.ended().boxed()
        } else {
            async {
                if let Some(paused) = source.paused {
                    tokio::time::sleep_until(paused).await;
                }
                source.feed.ample_room().await;
            }
            .boxed()
        };
        change
    });
    let each: Vec<_> = each.collect();
    if each.is_empty() { std::future::pending().boxed() } else { select_all(each).map(|_| ()).boxed() }
}

/// What became of telling the server to wait no longer.
enum Wait {
    Ended,
    /// It did not wait at that moment.
    None,
    /// The user may not, or the server cannot be asked.
    Refused,
}

/// Tells the server to wait no longer on that connection.
fn end_wait(client: Arc<Client>, id: i64, after: Duration) -> BoxFuture<'static, Wait> {
    async move {
        tokio::time::sleep(after).await;
        let unblock = command(&[b"CLIENT", b"UNBLOCK", id.to_string().as_bytes()]);
        match client.call("ending a wait for messages", unblock, Again::Yes).await {
            Ok(Reply::Integer(1)) => Wait::Ended,
            Ok(_) => Wait::None,
            Err(_) => Wait::Refused,
        }
    }
    .boxed()
}
