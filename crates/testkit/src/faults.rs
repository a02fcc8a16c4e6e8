//! Scripted faults around any driver: what a broker or a network does to a send, at the send it is meant for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use openmessaging::{
    AccessPointUrl, Acknowledged, Capabilities, ConsumerOptions, Diagnosis, Driver, Error, KeyValueStore,
    MessageBatch, MessagingAccessPoint, Producer, ProducerOptions, Properties, PullConsumer, ResourceManager,
    Result, SendFuture, SendReport, Setting, StatusCode, Terms,
};

/// What happens to one send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It goes through.
    None,
    /// Nothing is written.
    FailBefore(StatusCode),
    /// Everything is written and the answer is lost.
    LoseAnswer(StatusCode),
    /// This many messages are written and acknowledged, the rest is not.
    Prefix(usize, StatusCode),
    /// The answer comes late.
    Hold(Duration),
}

/// The faults to come, one for each send; when they are used up, sends go through. Only sends to queues whose name starts
/// with the prefix count, so that a runtime's own queues are left alone.
#[derive(Clone, Default)]
pub struct FaultScript {
    prefix: String,
    faults: Arc<Mutex<VecDeque<Fault>>>,
}

impl FaultScript {
    pub fn for_queues(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), faults: Arc::default() }
    }

    pub fn add(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).extend(faults);
    }

    /// How many faults have not come yet.
    pub fn left(&self) -> usize {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn next(&self, batch: &MessageBatch) -> Fault {
        if !batch.queues().iter().any(|queue| queue.starts_with(&self.prefix)) {
            return Fault::None;
        }
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).pop_front().unwrap_or(Fault::None)
    }
}

/// A driver whose producers follow a script.
pub struct FaultyDriver {
    pub inner: Arc<dyn Driver>,
    pub script: FaultScript,
}

#[async_trait]
impl Driver for FaultyDriver {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn settings(&self) -> &'static [Setting] {
        self.inner.settings()
    }

    fn terms(&self) -> Terms {
        self.inner.terms()
    }

    async fn connect(
        &self,
        url: &AccessPointUrl,
        properties: &Properties,
    ) -> Result<Arc<dyn MessagingAccessPoint>> {
        let inner = self.inner.connect(url, properties).await?;
        Ok(Arc::new(FaultyAccessPoint { inner, script: self.script.clone() }))
    }
}

struct FaultyAccessPoint {
    inner: Arc<dyn MessagingAccessPoint>,
    script: FaultScript,
}

#[async_trait]
impl MessagingAccessPoint for FaultyAccessPoint {
    fn url(&self) -> &AccessPointUrl {
        self.inner.url()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn producer(&self, options: ProducerOptions) -> Result<Box<dyn Producer>> {
        let inner = self.inner.producer(options).await?;
        Ok(Box::new(FaultyProducer { inner, script: self.script.clone(), failed: false }))
    }

    async fn pull_consumer(&self, options: ConsumerOptions) -> Result<Box<dyn PullConsumer>> {
        self.inner.pull_consumer(options).await
    }

    fn resources(&self) -> Arc<dyn ResourceManager> {
        self.inner.resources()
    }

    async fn key_value_store(&self, name: &str) -> Result<Arc<dyn KeyValueStore>> {
        self.inner.key_value_store(name).await
    }

    async fn diagnose(&self) -> Result<Diagnosis> {
        self.inner.diagnose().await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

struct FaultyProducer {
    inner: Box<dyn Producer>,
    script: FaultScript,
    /// D9: after a failure nothing is written until `recover`.
    failed: bool,
}

fn scripted(status: StatusCode) -> Error {
    Error::new(status, "scripted fault")
}

#[async_trait]
impl Producer for FaultyProducer {
    fn send(&mut self, batch: MessageBatch) -> SendFuture {
        if self.failed {
            let report = SendReport::failed(batch, Acknowledged::Prefix(0), scripted(StatusCode::Aborted));
            return Box::pin(std::future::ready(report));
        }
        let fault = self.script.next(&batch);
        self.failed = !matches!(fault, Fault::None | Fault::Hold(_));
        match fault {
            Fault::None => self.inner.send(batch),
            Fault::Hold(time) => {
                let sent = self.inner.send(batch);
                Box::pin(async move {
                    let report = sent.await;
                    tokio::time::sleep(time).await;
                    report
                })
            }
            Fault::FailBefore(status) => {
                let report = SendReport::failed(batch, Acknowledged::Prefix(0), scripted(status));
                Box::pin(std::future::ready(report))
            }
            Fault::LoseAnswer(status) => {
                let sent = self.inner.send(batch);
                Box::pin(async move {
                    SendReport::failed(sent.await.batch, Acknowledged::Prefix(0), scripted(status))
                })
            }
            Fault::Prefix(count, status) => {
                let mut front = MessageBatch::new();
                batch.iter().take(count).for_each(|message| front.push(&message));
                let sent = self.inner.send(front);
                Box::pin(async move {
                    let written = sent.await.acknowledged;
                    SendReport::failed(batch, written, scripted(status))
                })
            }
        }
    }

    async fn recover(&mut self) -> Result<()> {
        self.failed = false;
        self.inner.recover().await
    }

    async fn close(&mut self) -> Result<()> {
        self.inner.close().await
    }
}
