//! Producers: hand batches to their task and wait for its answer.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use openmessaging::{
    Acknowledged, Error, MessageBatch, Producer, ProducerOptions, Result, SendFuture, SendReport, StatusCode,
};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::common::gate::{Gate, Ticket};
use super::super::common::runtime;
use super::catalog::Catalog;
use super::error;
use super::job::Job;
use super::link::Link;
use super::sender::Sender;

pub(super) struct RedisProducer {
    link: Arc<Link>,
    gate: Arc<Gate>,
    jobs: Option<UnboundedSender<Job>>,
    timeout: Duration,
}

impl RedisProducer {
    pub fn start(catalog: Arc<Catalog>, options: &ProducerOptions) -> Result<Self> {
        let link = catalog.client.link.clone();
        let timeout = options.timeout.unwrap_or(link.config.timeout);
        let (jobs, incoming) = unbounded_channel();
        runtime::handle()?.spawn(Sender::new(catalog, incoming).run());
        Ok(Self { link, gate: Arc::default(), jobs: Some(jobs), timeout })
    }

    fn check(&self) -> Result<Ticket> {
        self.link.check()?;
        self.gate.enter()
    }
}

#[async_trait]
impl Producer for RedisProducer {
    fn send(&mut self, batch: MessageBatch) -> SendFuture {
        let refused = |batch, error| -> SendFuture {
            Box::pin(std::future::ready(SendReport::failed(batch, Acknowledged::Prefix(0), error)))
        };
        let Some(jobs) = &self.jobs else { return refused(batch, error::closed(self.link.server())) };
        let ticket = match self.check() {
            Ok(ticket) => ticket,
            Err(error) => return refused(batch, error),
        };
        let (report, reported) = oneshot::channel();
        let job = Job::new(batch, ticket, report, Instant::now() + self.timeout, self.timeout);
        match jobs.send(job) {
            Ok(()) => Box::pin(async move { reported.await.unwrap_or_else(|_| lost()) }),
            Err(back) => refused(back.0.into_batch(), error::closed(self.link.server())),
        }
    }

    async fn recover(&mut self) -> Result<()> {
        self.link.check()?;
        self.gate.recover().await
    }

    async fn close(&mut self) -> Result<()> {
        self.gate.close();
        self.gate.drained().await;
        self.jobs = None;
        Ok(())
    }
}

/// The task has ended with the batch: it panicked.
fn lost() -> SendReport {
    let mut error = Error::new(StatusCode::ServerError, "the sending task of the redis driver has ended")
        .with_remedy("look into the log for the reason, and start this process again");
    error.retriable = Some(false);
    SendReport::failed(MessageBatch::new(), Acknowledged::Prefix(0), error)
}
