//! The file source. The clauses cited are those of `docs/specs/source.md`.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use openmessaging_connector::value::Scalar;
use openmessaging_connector::{
    Config, EntryType, Error, Flow, Polled, Position, RecordHead, RecordSink, Reporter, Result, Schema,
    SourceConnector, SourcePartition, SourceTask, SourceTaskContext,
};

use super::config::Source;
use super::error;
use super::follow::{Event, Follow, check};
use super::identity;
use super::lines::Next;

/// After this long without a line the file is looked at less often.
const IDLE_AFTER: Duration = Duration::from_secs(10);
const IDLE_INTERVAL: Duration = Duration::from_millis(50);

/// One file, one task.
#[derive(Debug, Default)]
pub(super) struct FileSource {
    config: Config,
}

#[async_trait]
impl SourceConnector for FileSource {
    async fn validate(&mut self, config: &Config) -> Vec<Error> {
        let settings = match Source::parse(config) {
            Ok(settings) => settings,
            Err(error) => return vec![error],
        };
        match tokio::task::spawn_blocking(move || check(&settings.path)).await {
            Ok(found) => found.into_iter().collect(),
            Err(error) => vec![error::interrupted(error)],
        }
    }

    async fn start(&mut self, config: &Config) -> Result<()> {
        Source::parse(config)?;
        self.config = config.clone();
        Ok(())
    }

    fn task_configs(&self, _max_tasks: usize) -> Result<Vec<Config>> {
        Ok(vec![self.config.clone()])
    }

    fn task(&self) -> Box<dyn SourceTask> {
        Box::new(FileSourceTask::default())
    }
}

#[derive(Default)]
struct FileSourceTask(Option<Tail>);

/// A started task.
struct Tail {
    settings: Source,
    partition: SourcePartition,
    schema: Arc<Schema>,
    reporter: Arc<dyn Reporter>,
    /// `None` while a blocking call has it.
    follow: Option<Box<Follow>>,
    /// The position at the start of the bytes at hand, and which byte of the file that is.
    base: Arc<str>,
    base_offset: u64,
    last_line: Instant,
    /// The place where the start found the file was not told yet.
    started_at: bool,
}

impl FileSourceTask {
    fn tail(&mut self) -> Result<&mut Tail> {
        let not_started =
            || Error::fatal("file.not_started", "the task is not started").with_remedy("restart the task");
        self.0.as_mut().ok_or_else(not_started)
    }
}

#[async_trait]
impl SourceTask for FileSourceTask {
    async fn start(&mut self, context: SourceTaskContext) -> Result<()> {
        let settings = Source::parse(&context.config)?;
        let partition = SourcePartition::of("filename", settings.name.clone());
        let stored = context.positions.get(&partition).map(identity::parse).transpose()?;
        let mut tail = Tail {
            follow: Some(Box::new(Follow::new(settings.clone(), stored))),
            settings,
            partition,
            schema: Schema::string(),
            reporter: context.reporter,
            base: "{}".into(),
            base_offset: 0,
            last_line: Instant::now(),
            started_at: false,
        };
        // S1: where the end is, is decided now.
        tail.started_at = tail.step().await? == Event::Moved;
        self.0 = Some(tail);
        Ok(())
    }

    async fn poll(&mut self, out: &mut dyn RecordSink, wait: Duration) -> Result<Polled> {
        self.tail()?.poll(out, wait).await
    }

    async fn stop(&mut self) {
        self.0 = None;
    }
}

impl Tail {
    async fn poll(&mut self, out: &mut dyn RecordSink, wait: Duration) -> Result<Polled> {
        let deadline = Instant::now() + wait;
        let mut taken = 0;
        if std::mem::take(&mut self.started_at) {
            out.advance(&self.partition, Position::at(&self.base, 0));
        }
        loop {
            if self.drain(out, &mut taken)? == Flow::Full {
                return Ok(Polled::Ready);
            }
            match self.step().await? {
                Event::Data => {}
                // The new place is a position of its own: a file that was finished is not looked for again.
                Event::Moved => out.advance(&self.partition, Position::at(&self.base, 0)),
                Event::Nothing if taken > 0 => return Ok(Polled::Idle),
                Event::Nothing => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Ok(Polled::Idle);
                    }
                    tokio::time::sleep(self.interval().min(left)).await;
                }
            }
        }
    }

    fn interval(&self) -> Duration {
        let idle = self.last_line.elapsed() >= IDLE_AFTER;
        if idle { self.settings.interval.max(IDLE_INTERVAL) } else { self.settings.interval }
    }

    /// S4: reading blocks, so it is done on another thread; a megabyte at a time, so that this costs nothing.
    async fn step(&mut self) -> Result<Event> {
        let Some(mut follow) = self.follow.take() else {
            return Err(
                Error::fatal("file.interrupted", "a read was interrupted").with_remedy("restart the task")
            );
        };
        let done = tokio::task::spawn_blocking(move || {
            let event = follow.step();
            (follow, event)
        });
        let (mut follow, event) = done.await.map_err(error::interrupted)?;
        for (code, text) in follow.said.drain(..) {
            self.reporter.warning(code, &text);
        }
        if !matches!(event, Ok(Event::Nothing))
            && let Some((base, offset)) = follow.base()
        {
            (self.base, self.base_offset) = (base.into(), offset);
        }
        self.follow = Some(follow);
        event
    }

    /// Gives the lines at hand, as long as they are wanted.
    fn drain(&mut self, out: &mut dyn RecordSink, taken: &mut usize) -> Result<Flow> {
        let Some(follow) = &mut self.follow else { return Ok(Flow::More) };
        let head = RecordHead {
            queue: &self.settings.queue,
            queue_partition: None,
            sharding_key: None,
            entry: EntryType::Create,
            timestamp_ms: now_ms(),
            source_partition: &self.partition,
        };
        let before = *taken;
        let flow = loop {
            if *taken >= self.settings.batch {
                break Flow::Full;
            }
            match follow.lines.next() {
                Next::Line(line, behind) => {
                    // Counted first: a record that the sink refuses is behind us as well (S6).
                    *taken += 1;
                    out.begin(head)?;
                    let value = out.value(Some(&self.schema));
                    match std::str::from_utf8(line) {
                        Ok(text) => value.scalar(Scalar::Str(text)),
                        Err(_) => value.scalar(Scalar::Str(&String::from_utf8_lossy(line))),
                    }
                    if out.end(&self.base, behind.saturating_sub(self.base_offset))? == Flow::Full {
                        break Flow::Full;
                    }
                }
                Next::TooLong(start) => return Err(too_long(&self.settings, start)),
                Next::Passed(behind) => {
                    out.advance(
                        &self.partition,
                        Position::at(&self.base, behind.saturating_sub(self.base_offset)),
                    );
                }
                Next::More => break Flow::More,
            }
        };
        if *taken > before {
            self.last_line = Instant::now();
        }
        Ok(flow)
    }
}

fn too_long(settings: &Source, start: u64) -> Error {
    let (name, most) = (&settings.name, settings.max_line);
    Error::record(
        "file.line_too_long",
        format!("the line at byte {start} of {name} is longer than {most} bytes"),
    )
    .with_key("max.line.bytes")
    .with_remedy("raise max.line.bytes, or set line.too.long to truncate")
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
