//! The file sink. The clauses cited are those of `docs/specs/sink.md`.

use std::sync::Arc;

use async_trait::async_trait;
use openmessaging_connector::{
    Config, Error, Reporter, Result, SinkBatch, SinkConnector, SinkTask, SinkTaskContext, TaskState,
};

use super::append::{Append, Mark, Written};
use super::config::Sink;
use super::{error, follow, text};

/// The name of the task's [`Mark`] in its state.
const MARK: &str = "file-sink";

/// One file, one task: several writers would have to take turns at it.
#[derive(Debug, Default)]
pub(super) struct FileSink {
    config: Config,
}

#[async_trait]
impl SinkConnector for FileSink {
    async fn validate(&mut self, config: &Config) -> Vec<Error> {
        let settings = match Sink::parse(config) {
            Ok(settings) => settings,
            Err(error) => return vec![error],
        };
        match tokio::task::spawn_blocking(move || follow::check(&settings.path)).await {
            Ok(found) => found.into_iter().collect(),
            Err(error) => vec![error::interrupted(error)],
        }
    }

    async fn start(&mut self, config: &Config) -> Result<()> {
        Sink::parse(config)?;
        self.config = config.clone();
        Ok(())
    }

    fn task_configs(&self, _max_tasks: usize) -> Result<Vec<Config>> {
        Ok(vec![self.config.clone()])
    }

    fn task(&self) -> Box<dyn SinkTask> {
        Box::new(FileSinkTask::default())
    }
}

/// Repeats show (K3): a batch that comes again after it was written is in the file twice. A tombstone is the line
/// `null` (K6), as Kafka's `FileStreamSink` writes it.
#[derive(Default)]
struct FileSinkTask(Option<Writer>);

struct Writer {
    settings: Sink,
    state: Arc<dyn TaskState>,
    reporter: Arc<dyn Reporter>,
    /// `None` while a blocking call has it.
    append: Option<Box<Append>>,
    buffer: Vec<u8>,
}

#[async_trait]
impl SinkTask for FileSinkTask {
    async fn start(&mut self, context: SinkTaskContext) -> Result<()> {
        let settings = Sink::parse(&context.config)?;
        let append = Some(Box::new(Append::new(settings.path.clone())));
        let (state, reporter) = (context.state, context.reporter);
        let mut writer = Writer { settings, state, reporter, append, buffer: Vec::new() };
        let known = writer.state.get(MARK).await?;
        // A mark that cannot be read is one of a later version: nothing is cut by it.
        let known: Option<Mark> = known.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let mark = writer.blocking(move |append| append.open(known.as_ref())).await?;
        writer.keep(mark).await?;
        self.0 = Some(writer);
        Ok(())
    }

    async fn put(&mut self, batch: &SinkBatch<'_>) -> Result<()> {
        let writer = self.writer()?;
        let mut lines = std::mem::take(&mut writer.buffer);
        lines.clear();
        for record in &batch.records {
            text::line(&mut lines, &record.value, writer.settings.escape);
        }
        if lines.is_empty() {
            return Ok(());
        }
        loop {
            let (back, written) = writer
                .blocking(move |append| {
                    let written = append.write(&lines);
                    Ok((lines, written))
                })
                .await?;
            lines = back;
            match written? {
                Written::Done => break,
                // K5: that the file is ours must be known before a part of a line can be in it.
                Written::Opened(mark) => writer.keep(mark).await?,
            }
        }
        // One batch of large records must not hold its memory for ever.
        if lines.capacity() <= 4 << 20 {
            writer.buffer = lines;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        let writer = self.writer()?;
        if let Some(mark) = writer.blocking(Append::sync).await? {
            // Before the positions are committed: a task that starts with them finds a mark at least as far.
            writer.keep(mark).await?;
        }
        Ok(())
    }

    async fn stop(&mut self) {
        let Some(mut writer) = self.0.take() else { return };
        if let Ok(Some(mark)) = writer.blocking(|append| Ok(append.close())).await {
            // Without it the next start takes a torn line for ours, as after a kill.
            if let Err(error) = writer.keep(mark).await {
                tracing::warn!(%error, "the state of the file sink could not be stored");
            }
        }
    }
}

impl FileSinkTask {
    fn writer(&mut self) -> Result<&mut Writer> {
        let not_started =
            || Error::fatal("file.not_started", "the task is not started").with_remedy("restart the task");
        self.0.as_mut().ok_or_else(not_started)
    }
}

impl Writer {
    async fn keep(&self, mark: Mark) -> Result<()> {
        let text = serde_json::to_vec(&mark).unwrap_or_default();
        self.state.put(MARK, &text).await
    }

    /// Runs what blocks on another thread.
    async fn blocking<T: Send + 'static>(
        &mut self,
        act: impl FnOnce(&mut Append) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let Some(mut append) = self.append.take() else {
            return Err(
                Error::fatal("file.interrupted", "a write was interrupted").with_remedy("restart the task")
            );
        };
        let done = tokio::task::spawn_blocking(move || {
            let outcome = act(&mut append);
            (append, outcome)
        });
        let (mut append, outcome) = done.await.map_err(error::interrupted)?;
        for (code, text) in append.said.drain(..) {
            self.reporter.warning(code, &text);
        }
        self.append = Some(append);
        outcome
    }
}
