//! The SQLite source. The clauses cited are those of `docs/specs/source.md`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use openmessaging_connector::{
    Config, Error, Flow, Polled, Position, Progress, RecordSink, Reporter, Result, SourceConnector,
    SourcePartition, SourceTask, SourceTaskContext,
};

use super::capture::{self, Capture};
use super::config::Settings;
use super::emit::Emitter;
use super::error;
use super::position::Place;
use super::read::{self, Step};

/// After this long without a change the file is asked less often.
const IDLE_AFTER: Duration = Duration::from_secs(10);
const IDLE_INTERVAL: Duration = Duration::from_millis(50);
/// A lock that is held longer is an error; until then it is waited for.
const LOCKED_AFTER: Duration = Duration::from_secs(10);
const PROGRESS_EVERY: Duration = Duration::from_secs(2);

/// One database, one task.
#[derive(Debug, Default)]
pub(super) struct SqliteSource {
    config: Config,
}

#[async_trait]
impl SourceConnector for SqliteSource {
    async fn validate(&mut self, config: &Config) -> Vec<Error> {
        let settings = match Settings::parse(config) {
            Ok(settings) => settings,
            Err(error) => return vec![error],
        };
        match tokio::task::spawn_blocking(move || capture::check(&settings)).await {
            Ok(done) => done.err().into_iter().collect(),
            Err(error) => vec![error::interrupted(error)],
        }
    }

    async fn start(&mut self, config: &Config) -> Result<()> {
        Settings::parse(config)?;
        self.config = config.clone();
        Ok(())
    }

    fn task_configs(&self, _max_tasks: usize) -> Result<Vec<Config>> {
        Ok(vec![self.config.clone()])
    }

    fn task(&self) -> Box<dyn SourceTask> {
        Box::new(SqliteSourceTask::default())
    }

    async fn deleted(&mut self, connector: &str, config: &Config) -> Result<()> {
        let settings = Settings::parse(config)?;
        if !settings.remove {
            return Ok(());
        }
        let connector = connector.to_owned();
        tokio::task::spawn_blocking(move || capture::remove(&settings, &connector))
            .await
            .map_err(error::interrupted)?
    }
}

#[derive(Default)]
struct SqliteSourceTask(Option<Running>);

/// A started task.
struct Running {
    /// `None` while a blocking call has it.
    capture: Option<Box<Capture>>,
    interval: Duration,
    partition: SourcePartition,
    emit: Emitter,
    reporter: Arc<dyn Reporter>,
    /// Changes up to here were read.
    cursor: i64,
    /// The place where it began was not told yet.
    began: bool,
    busy_since: Option<Instant>,
    last_record: Instant,
    /// Changes up to here are committed and still to be given up.
    release: Option<Place>,
    snapshot: Option<(Instant, Instant, u64)>,
}

#[async_trait]
impl SourceTask for SqliteSourceTask {
    async fn start(&mut self, context: SourceTaskContext) -> Result<()> {
        let settings = Settings::parse(&context.config)?;
        let partition = SourcePartition::of("file", settings.name.clone());
        let stored = context.positions.get(&partition).map(Place::parse).transpose()?;
        let emit = Emitter::new(&context.connector, &settings.name, &partition);
        let (connector, interval) = (context.connector.clone(), settings.interval);
        let started = tokio::task::spawn_blocking(move || Capture::start(settings, &connector, stored));
        let (capture, place) = started.await.map_err(error::interrupted)??;
        let mut running = Running {
            capture: Some(Box::new(capture)),
            interval,
            partition,
            emit,
            reporter: context.reporter,
            cursor: 0,
            began: false,
            busy_since: None,
            last_record: Instant::now(),
            release: None,
            snapshot: None,
        };
        running.place(place);
        running.tell();
        self.0 = Some(running);
        Ok(())
    }

    async fn poll(&mut self, out: &mut dyn RecordSink, wait: Duration) -> Result<Polled> {
        self.running()?.poll(out, wait).await
    }

    async fn committed(&mut self, partition: &SourcePartition, position: &Position) -> Result<()> {
        let running = self.running()?;
        if *partition != running.partition {
            return Ok(());
        }
        running.release = Some(Place::parse(position)?);
        running.release().await
    }

    async fn stop(&mut self) {
        let Some(mut running) = self.0.take() else { return };
        // Closing the last connection may write (a checkpoint of the WAL), which blocks.
        if let Some(capture) = running.capture.take() {
            let _ = tokio::task::spawn_blocking(move || drop(capture)).await;
        }
    }
}

impl SqliteSourceTask {
    fn running(&mut self) -> Result<&mut Running> {
        self.0.as_mut().ok_or_else(error::not_started)
    }
}

impl Running {
    fn place(&mut self, place: Place) {
        self.cursor = place.change;
        self.emit.reset(place);
        self.began = true;
    }

    async fn begin(&mut self, stored: Option<Place>) -> Result<()> {
        let place = self.blocking(move |capture| capture.begin(stored)).await?;
        self.place(place);
        Ok(())
    }

    async fn poll(&mut self, out: &mut dyn RecordSink, wait: Duration) -> Result<Polled> {
        let deadline = Instant::now() + wait;
        let before = self.emit.count;
        if std::mem::take(&mut self.began) {
            self.emit.advance(out);
        }
        loop {
            let count = self.emit.count;
            let flow = self.emit.drain(out);
            if self.emit.count > count {
                self.last_record = Instant::now();
            }
            if flow? == Flow::Full {
                return Ok(Polled::Ready);
            }
            self.progress();
            if self.step(out).await? {
                continue;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if self.emit.count > before || left.is_zero() {
                return Ok(Polled::Idle);
            }
            let idle = self.last_record.elapsed() >= IDLE_AFTER;
            let interval = if idle { self.interval.max(IDLE_INTERVAL) } else { self.interval };
            tokio::time::sleep(interval.min(left)).await;
        }
    }

    /// Reads on; `false` where there is nothing for now.
    async fn step(&mut self, out: &mut dyn RecordSink) -> Result<bool> {
        let (cursor, upto, snapshot) = (self.cursor, self.emit.upto(), self.emit.wants_chunk());
        let step = self.blocking(move |capture| read::step(capture, cursor, upto, snapshot.as_ref())).await?;
        if step != Step::Busy {
            self.busy_since = None;
        }
        match step {
            Step::Changes { changes, head, chunk } => {
                let found = !changes.is_empty() || chunk.is_some();
                self.cursor = changes.last().map_or(self.cursor, |change| change.n);
                let has_chunk = upto.is_some() || chunk.is_some();
                self.emit.push(changes, chunk);
                if head && has_chunk {
                    self.emit.reached_watermark();
                } else if head {
                    self.emit.reached_head(self.cursor, out);
                }
                Ok(found || has_chunk)
            }
            Step::Nothing => {
                if self.release.is_some() {
                    self.release().await?;
                }
                Ok(false)
            }
            Step::Replaced => {
                let place = self.emit.place().clone();
                self.begin(Some(place)).await?;
                Ok(true)
            }
            Step::Busy => {
                if self.busy_since.get_or_insert_with(Instant::now).elapsed() < LOCKED_AFTER {
                    return Ok(false);
                }
                let message =
                    format!("{} has been locked by another process for some time", self.emit.file());
                Err(Error::retriable("sqlite.locked", message)
                    .with_remedy("end the transaction that holds the lock; the task goes on by itself"))
            }
        }
    }

    async fn release(&mut self) -> Result<()> {
        let Some(place) = self.release.clone() else { return Ok(()) };
        if self.blocking(move |capture| capture.release(&place)).await? {
            self.release = None;
        }
        Ok(())
    }

    /// S4: what blocks runs on another thread.
    async fn blocking<T: Send + 'static>(
        &mut self,
        act: impl FnOnce(&mut Capture) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let Some(mut capture) = self.capture.take() else {
            return Err(
                Error::fatal("sqlite.interrupted", "a read was interrupted").with_remedy("restart the task")
            );
        };
        let done = tokio::task::spawn_blocking(move || {
            let outcome = act(&mut capture);
            (capture, outcome)
        });
        let (capture, outcome) = done.await.map_err(error::interrupted)?;
        self.capture = Some(capture);
        self.tell();
        outcome
    }

    fn tell(&mut self) {
        for (code, text) in self.capture.iter_mut().flat_map(|capture| capture.installed.said.drain(..)) {
            self.reporter.warning(code, &text);
        }
    }

    /// How far a snapshot is, now and then, and that it is over.
    fn progress(&mut self) {
        let Some(table) = self.emit.snapshot_of() else {
            if let Some((_, _, rows)) = self.snapshot.take() {
                let phase = "streaming".to_owned();
                self.reporter.progress(Progress {
                    phase,
                    current: None,
                    rows,
                    estimated_rows: None,
                    rows_per_second: 0.0,
                });
            }
            return;
        };
        let now = Instant::now();
        let (start, told, _) = *self.snapshot.get_or_insert((now, now, 0));
        let rows = self.emit.snapshot_rows;
        if now.duration_since(told) < PROGRESS_EVERY {
            self.snapshot = Some((start, told, rows));
            return;
        }
        self.snapshot = Some((start, now, rows));
        self.reporter.progress(Progress {
            phase: "snapshot".to_owned(),
            current: Some(table),
            rows,
            estimated_rows: None,
            rows_per_second: rows as f64 / now.duration_since(start).as_secs_f64().max(0.001),
        });
    }
}
