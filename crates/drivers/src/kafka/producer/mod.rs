//! Producers: a handle that hands whole batches to a task of its own, which sends them.
//!
//! | module | what it does |
//! |---|---|
//! | `jobs` | what became of the messages of each batch |
//! | `lane` | what waits for one partition, in order, and the numbers by which the broker knows repetitions |
//! | `look` | what is stored already, where the broker may have forgotten the producer |
//! | `sender` | the task: who is sent what, and when |
//! | `plan` | which partition a message goes to |

mod jobs;
mod lane;
mod look;
mod plan;
mod sender;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use openmessaging::{
    Acknowledged, Error, MessageBatch, Producer, ProducerOptions, Result, SendFuture, SendReport, StatusCode,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use self::jobs::Job;
use self::sender::Sender;
use super::cluster::Cluster;
use super::error;
use crate::common::gate::Gate;
use crate::common::runtime;

pub(super) struct KafkaProducer {
    cluster: Arc<Cluster>,
    gate: Arc<Gate>,
    jobs: Option<mpsc::UnboundedSender<Job>>,
    timeout: std::time::Duration,
}

impl KafkaProducer {
    pub fn new(cluster: Arc<Cluster>, options: &ProducerOptions) -> Result<Self> {
        let (jobs, incoming) = mpsc::unbounded_channel();
        let gate = Arc::new(Gate::default());
        let client_id = cluster.config.client_id(&options.name);
        let sender = Sender::new(cluster.clone(), client_id, gate.clone(), incoming);
        runtime::handle()?.spawn(sender.run());
        let timeout = options.timeout.unwrap_or(cluster.config.timeout);
        Ok(Self { cluster, gate, jobs: Some(jobs), timeout })
    }

    fn check(&self) -> Result<()> {
        self.cluster.check()?;
        if self.jobs.is_some() {
            return Ok(());
        }
        Err(Error::new(StatusCode::Closed, "the producer is closed").with_remedy("make another one"))
    }
}

#[async_trait]
impl Producer for KafkaProducer {
    fn send(&mut self, batch: MessageBatch) -> SendFuture {
        let refused = |batch, error| -> SendFuture {
            Box::pin(async move { SendReport::failed(batch, Acknowledged::Prefix(0), error) })
        };
        let ticket = match self.check().and_then(|()| self.gate.enter()) {
            Ok(ticket) => ticket,
            Err(error) => return refused(batch, error),
        };
        let (reply, answer) = oneshot::channel();
        let job = Job::new(batch, reply, ticket, Instant::now() + self.timeout);
        let Some(jobs) = &self.jobs else { return refused(job.batch, error::closed(&self.cluster.server)) };
        if let Err(unsent) = jobs.send(job) {
            return refused(unsent.0.batch, error::closed(&self.cluster.server));
        }
        Box::pin(async move {
            answer.await.unwrap_or_else(|_| {
                let error = Error::new(StatusCode::ServerError, "the task of the producer has ended")
                    .with_remedy("look into the log for the reason, and make another producer");
                SendReport::failed(MessageBatch::new(), Acknowledged::Prefix(0), error)
            })
        })
    }

    async fn recover(&mut self) -> Result<()> {
        self.check()?;
        self.gate.recover().await?;
        self.check()
    }

    async fn close(&mut self) -> Result<()> {
        self.gate.drained().await;
        self.gate.close();
        self.jobs = None;
        Ok(())
    }
}
