//! Producers: hand batches to their task.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use openmessaging::{Acknowledged, MessageBatch, Producer, ProducerOptions, Result, SendFuture, SendReport};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::client::Client;
use super::routes::Routes;
use super::sender::{Job, Sender, lost_report};
use crate::common::gate::Gate;
use crate::common::{deadline, runtime};

/// The producer group where none is named.
const GROUP: &str = "omsconnect";

pub(super) struct RocketMqProducer {
    client: Arc<Client>,
    gate: Arc<Gate>,
    jobs: mpsc::UnboundedSender<Job>,
    timeout: Duration,
}

impl RocketMqProducer {
    pub fn new(routes: Arc<Routes>, options: &ProducerOptions) -> Result<Self> {
        let client = routes.client.clone();
        let timeout = options.timeout.unwrap_or(client.config.request_timeout);
        let group = if options.name.is_empty() { GROUP } else { &options.name };
        let (jobs, queue) = mpsc::unbounded_channel();
        runtime::handle()?.spawn(Sender::new(routes, group.to_owned(), queue).run());
        Ok(Self { client, gate: Arc::default(), jobs, timeout })
    }

    async fn drained(&self, what: &str) -> Result<()> {
        // What is in flight ends by its own deadline.
        let limit = self.timeout + Duration::from_secs(1);
        let drained = async {
            self.gate.drained().await;
            Ok(())
        };
        deadline::within(limit, &self.client.servers, what, drained).await
    }
}

fn refused(batch: MessageBatch, error: openmessaging::Error) -> SendFuture {
    Box::pin(async { SendReport::failed(batch, Acknowledged::Prefix(0), error) })
}

#[async_trait]
impl Producer for RocketMqProducer {
    fn send(&mut self, batch: MessageBatch) -> SendFuture {
        let ticket = match self.client.check().and_then(|()| self.gate.enter()) {
            Ok(ticket) => ticket,
            Err(error) => return refused(batch, error),
        };
        let (reply, answer) = oneshot::channel();
        let job = Job { batch, ticket, reply, deadline: Instant::now() + self.timeout };
        if let Err(unsent) = self.jobs.send(job) {
            return refused(unsent.0.batch, super::error::closed(&self.client.servers));
        }
        Box::pin(async { answer.await.unwrap_or_else(|_| lost_report()) })
    }

    async fn recover(&mut self) -> Result<()> {
        self.client.check()?;
        self.drained("recovering a producer").await?;
        self.gate.recover().await
    }

    async fn close(&mut self) -> Result<()> {
        let ended = self.drained("closing a producer").await;
        self.gate.close();
        ended
    }
}
