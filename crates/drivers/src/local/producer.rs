//! Producers: hand batches to the writer's thread and wait for its answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use openmessaging::{
    Acknowledged, Error, MessageBatch, Producer, ProducerOptions, Result, SendFuture, SendReport, StatusCode,
};
use tokio::sync::oneshot;

use super::access_point::Handle;
use super::error;
use super::writer::{Command, Outcome, ProducerState};

const TIMEOUT: Duration = Duration::from_secs(30);

pub(super) struct LocalProducer {
    handle: Arc<Handle>,
    state: Arc<ProducerState>,
    timeout: Duration,
    closed: bool,
}

impl LocalProducer {
    pub fn new(handle: Arc<Handle>, options: &ProducerOptions) -> Self {
        let timeout = options.timeout.unwrap_or(TIMEOUT);
        Self { handle, state: Arc::default(), timeout, closed: false }
    }

    fn submit(&self, batch: &Arc<MessageBatch>) -> Result<oneshot::Receiver<Outcome>> {
        self.check()?;
        let (reply, answer) = oneshot::channel();
        let (producer, batch) = (self.state.clone(), batch.clone());
        self.handle.shared.writer.submit(Command::Send { producer, batch, reply })?;
        Ok(answer)
    }

    fn check(&self) -> Result<()> {
        if self.closed { Err(error::closed(&self.handle.shared.folder)) } else { self.handle.check() }
    }
}

#[async_trait]
impl Producer for LocalProducer {
    fn send(&mut self, batch: MessageBatch) -> SendFuture {
        // Shared with the writer only while it encodes: after the answer this is the last one, and nothing is copied.
        let batch = Arc::new(batch);
        let submitted = self.submit(&batch);
        let deadline = tokio::time::Instant::now() + self.timeout;
        let (state, timeout) = (self.state.clone(), self.timeout);
        Box::pin(async move {
            let outcome = match submitted {
                Ok(answer) => match tokio::time::timeout_at(deadline, answer).await {
                    Ok(Ok(outcome)) => outcome,
                    Ok(Err(_)) => failed(writer_ended()),
                    Err(_) => {
                        // Nothing behind it may be written now; whether it was itself is not known.
                        state.failed.store(true, Ordering::Release);
                        failed(late(timeout))
                    }
                },
                Err(error) => failed(error),
            };
            let batch = Arc::try_unwrap(batch).unwrap_or_else(|shared| MessageBatch::clone(&shared));
            match outcome.error {
                None => SendReport::all(batch),
                Some(error) => SendReport::failed(batch, Acknowledged::Prefix(outcome.prefix), error),
            }
        })
    }

    async fn recover(&mut self) -> Result<()> {
        self.check()?;
        let (reply, answer) = oneshot::channel();
        let producer = self.state.clone();
        self.handle.shared.writer.submit(Command::Recover { producer, reply })?;
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(answer) => answer.map_err(|_| writer_ended()),
            Err(_) => Err(late(self.timeout)),
        }
    }

    async fn close(&mut self) -> Result<()> {
        let ended = if self.check().is_ok() { self.recover().await } else { Ok(()) };
        self.closed = true;
        ended
    }
}

fn failed(error: Error) -> Outcome {
    Outcome { prefix: 0, error: Some(error) }
}

fn late(timeout: Duration) -> Error {
    Error::new(
        StatusCode::Timeout,
        format!("the disk did not take a batch within {} ms", timeout.as_millis()),
    )
    .with_remedy("look at the state and the load of that disk")
}

fn writer_ended() -> Error {
    let mut error = Error::new(StatusCode::ServerError, "the writer of the folder has ended")
        .with_remedy("look into the log for the reason, and start this process again");
    error.retriable = Some(false);
    error
}
