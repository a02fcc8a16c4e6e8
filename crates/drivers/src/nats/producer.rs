//! Producers: hand batches to their task and wait for its answer.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use openmessaging::{
    Acknowledged, Error, MessageBatch, Producer, ProducerOptions, Result, SendFuture, SendReport, StatusCode,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::access_point::Handle;
use super::error;
use super::sender::{Sender, Submitted};
use crate::common::deadline::late;
use crate::common::gate::Gate;

pub(super) struct NatsProducer {
    handle: Arc<Handle>,
    gate: Arc<Gate>,
    commands: mpsc::UnboundedSender<Submitted>,
    timeout: Duration,
    closed: bool,
}

impl NatsProducer {
    pub async fn open(handle: Arc<Handle>, options: &ProducerOptions) -> Result<Self> {
        let timeout = options.timeout.unwrap_or(handle.config.timeout);
        let (commands, received) = mpsc::unbounded_channel();
        let own = handle.clone();
        let link = handle.link().await?;
        crate::common::runtime::handle()?.spawn(Sender::new(own, Arc::new(link), received, timeout).run());
        Ok(Self { handle, gate: Arc::default(), commands, timeout, closed: false })
    }

    fn check(&self) -> Result<()> {
        if self.closed {
            return Err(
                Error::new(StatusCode::Closed, "the producer is closed").with_remedy("make another one")
            );
        }
        self.handle.check()
    }

    fn submit(
        &self,
        batch: MessageBatch,
    ) -> std::result::Result<oneshot::Receiver<SendReport>, Box<SendReport>> {
        let failed = |batch, error| Box::new(SendReport::failed(batch, Acknowledged::Prefix(0), error));
        let ticket = match self.check().and_then(|()| self.gate.enter()) {
            Ok(ticket) => ticket,
            Err(error) => return Err(failed(batch, error)),
        };
        let (reply, answer) = oneshot::channel();
        let deadline = Instant::now() + self.timeout;
        self.commands
            .send(Submitted { batch, ticket, deadline, reply })
            .map_err(|unsent| failed(unsent.0.batch, error::closed(&self.handle.config.server)))?;
        Ok(answer)
    }
}

#[async_trait]
impl Producer for NatsProducer {
    fn send(&mut self, batch: MessageBatch) -> SendFuture {
        let submitted = self.submit(batch);
        let handle = self.handle.clone();
        Box::pin(async move {
            match submitted {
                Err(report) => *report,
                Ok(answer) => answer.await.unwrap_or_else(|_| {
                    let ended = match handle.check() {
                        Err(closed) => closed,
                        Ok(()) => Error::new(StatusCode::ServerError, "the task of the producer has ended"),
                    };
                    SendReport::failed(MessageBatch::new(), Acknowledged::Prefix(0), ended)
                }),
            }
        })
    }

    async fn recover(&mut self) -> Result<()> {
        self.check()?;
        let patience = self.timeout + Duration::from_secs(5);
        match tokio::time::timeout(patience, self.gate.recover()).await {
            Ok(recovered) => recovered.and_then(|()| self.check()),
            Err(_) => Err(late(patience, &self.handle.config.server, "ending what was sent before")),
        }
    }

    async fn close(&mut self) -> Result<()> {
        if !self.closed {
            self.closed = true;
            let patience = self.timeout + Duration::from_secs(5);
            let drained = tokio::time::timeout(patience, self.gate.drained()).await;
            self.gate.close();
            // The task ends with its channel, and its connection with it.
            self.commands = mpsc::unbounded_channel().0;
            if drained.is_err() {
                return Err(late(patience, &self.handle.config.server, "ending what was sent before"));
            }
        }
        Ok(())
    }
}
