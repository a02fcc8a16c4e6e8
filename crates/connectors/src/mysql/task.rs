//! The source task: snapshot where one is wanted, then the stream.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use openmessaging_connector::{
    Error, ErrorKind, Polled, Position, RecordSink, Result, SourcePartition, SourceTask, SourceTaskContext,
    TaskState,
};

use super::config::{Naming, Settings, SnapshotMode, StartAt};
use super::connect::connect;
use super::error;
use super::position::{BinlogPosition, Stored};
use super::record::Shapes;
use super::schema::{History, catalog};
use super::server::Server;
use super::snapshot::{self, Snapshot, Snapshotted};
use super::stream::{Core, Stream, Task};

/// The state that holds where a stream began which has no committed position yet.
const BEGINNING: &str = "stream-begin";

/// Reads one server.
#[derive(Default)]
pub struct MySqlTask {
    running: Option<Running>,
}

struct Running {
    task: Task,
    state: Arc<dyn TaskState>,
    phase: Phase,
    /// [`BEGINNING`] is stored.
    has_beginning: bool,
}

enum Phase {
    /// To begin from this position, or as on a first start.
    Begin(Option<Position>),
    Snapshot(Box<Snapshot>, Box<History>),
    /// Between two connections.
    Waiting(Box<Core>),
    Streaming(Box<Stream>),
    Finished,
    /// A phase is being changed.
    Changing,
}

#[async_trait]
impl SourceTask for MySqlTask {
    async fn start(&mut self, context: SourceTaskContext) -> Result<()> {
        let settings = Settings::parse(&context.config).map_err(first)?;
        let name: Arc<str> = match &settings.naming {
            Naming::Prefixed(prefix) => prefix.as_str().into(),
            Naming::Bare => context.connector.clone(),
        };
        let partition = SourcePartition::of("server", &*name);
        let position = context.positions.get(&partition).cloned();
        let shapes = Shapes::new(settings.naming.clone(), settings.decimal);
        let task = Task { settings, name, partition, reporter: context.reporter, shapes };
        let mut running =
            Running { task, state: context.state, phase: Phase::Begin(position), has_beginning: false };
        let begun = running.advance().await;
        self.running = Some(running);
        begun
    }

    async fn poll(&mut self, out: &mut dyn RecordSink, wait: Duration) -> Result<Polled> {
        let Some(running) = &mut self.running else { return Err(not_started()) };
        running.poll(out, wait).await
    }

    async fn committed(&mut self, partition: &SourcePartition, position: &Position) -> Result<()> {
        let Some(running) = &mut self.running else { return Ok(()) };
        if *partition != running.task.partition {
            return Ok(());
        }
        if std::mem::take(&mut running.has_beginning) {
            running.state.delete(BEGINNING).await?;
        }
        let history = match &mut running.phase {
            Phase::Streaming(stream) => stream.core().history(),
            Phase::Waiting(core) => core.history(),
            _ => return Ok(()),
        };
        if !history.wants_commit() {
            return Ok(());
        }
        let stored = Stored::read(position)?;
        history.committed(&stored.binlog).await
    }

    async fn stop(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.close().await;
        }
    }
}

fn not_started() -> Error {
    Error::fatal("mysql.not_started", "the task was not started").with_remedy("restart the task")
}

/// The first of all problems, with how many there are.
pub(super) fn first(errors: Vec<Error>) -> Error {
    let more = errors.len().saturating_sub(1);
    let Some(mut error) = errors.into_iter().next() else { return not_started() };
    if more > 0 {
        error.message = format!("{} (and {more} more problems, which validation lists)", error.message);
    }
    error
}

impl Running {
    /// Goes from [`Phase::Begin`] and [`Phase::Waiting`] to the one in which rows come. On an error the phase stays.
    async fn advance(&mut self) -> Result<()> {
        loop {
            match std::mem::replace(&mut self.phase, Phase::Changing) {
                Phase::Begin(position) => match self.begin(position.as_ref()).await {
                    Ok(phase) => self.phase = phase,
                    Err(error) => {
                        self.phase = Phase::Begin(position);
                        return Err(error);
                    }
                },
                Phase::Waiting(core) => match Stream::open(*core, &self.task).await {
                    Ok(stream) => self.phase = Phase::Streaming(Box::new(stream)),
                    Err((core, error)) => {
                        self.phase = Phase::Waiting(Box::new(core));
                        if !self.must_snapshot(&error) {
                            return Err(error);
                        }
                        self.task.reporter.warning(error.code, &format!("{error}; all rows are read again"));
                        self.phase = self.new_snapshot().await?;
                    }
                },
                phase => {
                    self.phase = phase;
                    return Ok(());
                }
            }
        }
    }

    fn must_snapshot(&self, error: &Error) -> bool {
        self.task.settings.snapshot_mode == SnapshotMode::WhenNeeded
            && matches!(error.code, "mysql.binlog_purged" | "mysql.other_server")
    }

    async fn begin(&mut self, position: Option<&Position>) -> Result<Phase> {
        match position {
            Some(position) => {
                self.has_beginning = self.state.get(BEGINNING).await?.is_some();
                self.resume(Stored::read(position)?).await
            }
            None if self.task.settings.snapshot_mode == SnapshotMode::Never => self.begin_stream().await,
            None => self.new_snapshot().await,
        }
    }

    /// Connects and looks at the server.
    async fn server(&mut self) -> Result<(mysql_async::Conn, Server)> {
        let address = &self.task.settings.address;
        let mut conn = connect(address).await?;
        let server = Server::read(&mut conn, address).await?;
        if let Some(problem) = server.problems(address).into_iter().next() {
            return Err(problem);
        }
        self.task.settings.filter = self.task.settings.filter.clone().folding_case(server.fold_case);
        Ok((conn, server))
    }

    /// The tail is somewhere else a moment later. So where it was is stored before the task runs, and until a position is
    /// committed a restart goes back to there (S11).
    async fn begin_stream(&mut self) -> Result<Phase> {
        let at_tail = matches!(self.task.settings.start_at, StartAt::Tail);
        if let Some(begun) = self.state.get(BEGINNING).await?.filter(|_| at_tail) {
            self.has_beginning = true;
            let base = String::from_utf8_lossy(&begun).into_owned();
            return self.resume(Stored::read(&Position::new(base))?).await;
        }
        let (mut conn, server) = self.server().await?;
        let (position, tables) = match self.task.settings.start_at.clone() {
            StartAt::Tail => snapshot::tail(&mut conn, &self.task.settings, &server).await?,
            StartAt::Specified { file, position } => {
                let address = &self.task.settings.address;
                let gtid = server.gtid_at(&mut conn, address, &file, position).await?;
                let tables = catalog::read(&mut conn, &server, address, &self.task.settings.filter).await?;
                let identity = Some(server.identity.clone());
                (BinlogPosition { file: file.into(), offset: position, gtid, server: identity }, tables)
            }
        };
        conn.disconnect().await.ok();
        let history = History::begin(self.state.clone(), tables).await?;
        if at_tail {
            self.state.put(BEGINNING, position.base().as_bytes()).await?;
            self.has_beginning = true;
        }
        let stored = Stored { binlog: position, snapshot: None, transaction: None, step: 0 };
        Ok(Phase::Waiting(Box::new(Core::new(server, history, stored))))
    }

    async fn new_snapshot(&mut self) -> Result<Phase> {
        let (conn, server) = self.server().await?;
        conn.disconnect().await.ok();
        let beginning = snapshot::begin(&self.task.settings, &server).await?;
        let history = History::begin(self.state.clone(), beginning.tables.clone()).await?;
        let snapshot = Snapshot::new(beginning, server, &self.task).await;
        Ok(Phase::Snapshot(Box::new(snapshot), Box::new(history)))
    }

    async fn resume(&mut self, stored: Stored) -> Result<Phase> {
        let mode = self.task.settings.snapshot_mode;
        if stored.snapshot.is_none() && mode == SnapshotMode::InitialOnly {
            return Ok(Phase::Finished);
        }
        let (mut conn, server) = self.server().await?;
        let mut stored = stored;
        if stored.binlog.gtid.is_none() && !stored.binlog.file.is_empty() {
            let same = stored.binlog.server.as_ref().is_none_or(|identity| *identity == server.identity);
            if same {
                let (file, offset) = (stored.binlog.file.clone(), stored.binlog.offset);
                // Fails where the file is gone, which opening the stream tells better.
                let found = server.gtid_at(&mut conn, &self.task.settings.address, &file, offset).await;
                stored.binlog.gtid = found.ok().flatten().filter(|set| !set.is_empty());
            }
        }
        let history = match History::load(self.state.clone(), &stored.binlog).await? {
            Some(history) => history,
            None => {
                let message =
                    "no schema history is stored with the position: the tables are taken as they are now";
                self.task.reporter.warning("mysql.history_missing", message);
                let settings = &self.task.settings;
                let tables = catalog::read(&mut conn, &server, &settings.address, &settings.filter).await?;
                History::begin(self.state.clone(), tables).await?
            }
        };
        conn.disconnect().await.ok();
        if let Some(at) = stored.snapshot.as_ref().filter(|_| mode != SnapshotMode::Never) {
            let snapshot = Snapshot::resumed(server, stored.binlog.clone(), at, history.tables(), &self.task);
            return Ok(Phase::Snapshot(Box::new(snapshot), Box::new(history)));
        }
        Ok(Phase::Waiting(Box::new(Core::new(server, history, Stored { snapshot: None, ..stored }))))
    }

    async fn poll(&mut self, out: &mut dyn RecordSink, wait: Duration) -> Result<Polled> {
        self.advance().await?;
        match &mut self.phase {
            Phase::Finished => Ok(Polled::Finished),
            Phase::Snapshot(snapshot, _) => {
                let polled = snapshot.poll(&mut self.task, out, wait).await?;
                match polled {
                    Snapshotted::Ready => Ok(Polled::Ready),
                    Snapshotted::Idle => Ok(Polled::Idle),
                    Snapshotted::Done => self.end_snapshot(out).await,
                }
            }
            Phase::Streaming(stream) => {
                let polled = stream.poll(&mut self.task, out, wait).await;
                if polled.is_err() && stream.is_broken() {
                    self.pause().await;
                }
                polled
            }
            // `advance` leaves no other, unless a poll was dropped half-way.
            Phase::Begin(_) | Phase::Waiting(_) | Phase::Changing => Err(Error::new(
                ErrorKind::Fatal,
                "mysql.interrupted",
                "a poll was cut off while the task connected",
            )
            .with_remedy("restart the task")),
        }
    }

    /// The rows are all there: positions go on in the stream from here.
    async fn end_snapshot(&mut self, out: &mut dyn RecordSink) -> Result<Polled> {
        let Phase::Snapshot(mut snapshot, history) = std::mem::replace(&mut self.phase, Phase::Changing)
        else {
            return Ok(Polled::Idle);
        };
        snapshot.stop().await;
        let binlog = snapshot.binlog().clone();
        out.advance(&self.task.partition, Position::new(binlog.base()));
        if self.task.settings.snapshot_mode == SnapshotMode::InitialOnly {
            self.phase = Phase::Finished;
            return Ok(Polled::Finished);
        }
        let stored = Stored { binlog, snapshot: None, transaction: None, step: 0 };
        self.phase = Phase::Waiting(Box::new(Core::new(snapshot.server.clone(), *history, stored)));
        Ok(Polled::Ready)
    }

    /// Closes the stream; the next poll opens it again where it stands.
    async fn pause(&mut self) {
        match std::mem::replace(&mut self.phase, Phase::Changing) {
            Phase::Streaming(stream) => self.phase = Phase::Waiting(Box::new(stream.close().await)),
            phase => self.phase = phase,
        }
    }

    async fn close(&mut self) {
        match std::mem::replace(&mut self.phase, Phase::Changing) {
            Phase::Streaming(stream) => drop(stream.close().await),
            Phase::Snapshot(mut snapshot, _) => snapshot.stop().await,
            _ => {}
        }
    }
}

/// Where the log must still be for a start at a given place.
pub(super) fn not_in_binlog(server: &str, file: &str) -> Error {
    let mut error = error::binlog_purged(server, &format!("{file} is not among its files"));
    error.key = Some("binlogFilename".to_owned());
    error.remedy = Some("set binlogFilename to a name that SHOW BINARY LOGS lists".to_owned());
    error
}
