//! An open access point.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use lapin::types::ShortString;
use openmessaging::{
    AccessPointUrl, Capabilities, ConsumerOptions, Diagnosis, Error, KeyValueStore, Message,
    MessagingAccessPoint, Producer, ProducerOptions, PullConsumer, QueuePartition, ResourceManager, Result,
    StatusCode, partitioner,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::admin::RabbitResources;
use super::config::{Config, QueueType};
use super::consumer::RabbitConsumer;
use super::intake::Intake;
use super::layout::{self, Layout};
use super::link::Link;
use super::producer::RabbitProducer;
use super::store::{POSITIONS, Positions, StoreStreams};
use super::{diagnose, error};
use crate::common::names;
use crate::common::outage::Outage;
use crate::common::runtime;
use crate::common::settings::bad_parameter;
use crate::store::queue::QueueStores;

/// What producers, consumers and resources of an access point share.
pub(super) struct Shared {
    pub config: Arc<Config>,
    /// For everything but sending and reading.
    pub link: Arc<Link>,
    pub outage: Arc<Outage>,
    pub closed: CancellationToken,
    pub positions: Positions,
    /// Whose turn it is among partitions, for messages without a key.
    turn: AtomicU32,
}

impl Shared {
    pub fn new(config: Config) -> Result<Arc<Self>> {
        let config = Arc::new(config);
        let outage = Arc::new(Outage::new(config.server()));
        let link = Arc::new(Link::new(config.clone(), "control", outage.clone(), Intake::unlimited())?);
        Ok(Arc::new(Self {
            config,
            link,
            outage,
            closed: CancellationToken::new(),
            positions: Positions::default(),
            turn: AtomicU32::new(0),
        }))
    }

    /// The same, with streams: stores lie in streams whatever queues are.
    fn streams(&self) -> Arc<Self> {
        let config = Config { queue_type: QueueType::Stream, ..(*self.config).clone() };
        Arc::new(Self {
            config: Arc::new(config),
            link: self.link.clone(),
            outage: self.outage.clone(),
            closed: self.closed.clone(),
            positions: Positions::default(),
            turn: AtomicU32::new(0),
        })
    }

    /// # Errors
    /// `Closed`.
    pub fn check(&self) -> Result<()> {
        if self.closed.is_cancelled() { Err(error::closed(&self.config)) } else { Ok(()) }
    }

    pub fn deadline(&self) -> Instant {
        Instant::now() + self.config.timeout
    }

    /// The broker's queue of a partition.
    pub async fn find_place(&self, place: &QueuePartition, deadline: Instant) -> Result<ShortString> {
        let layout = layout::find(&self.link, self.config.queue_type, &place.queue, deadline).await?;
        let queue = layout.queue(place.partition).cloned();
        queue.ok_or_else(|| error::no_partition(&place.queue, place.partition, layout.partitions()))
    }

    /// The broker's queue that a message goes to.
    pub fn place(&self, layout: &Layout, message: &Message<'_>) -> Result<ShortString> {
        let size = message.size();
        if size > self.config.max_message_bytes {
            let limit = self.config.max_message_bytes;
            return Err(Error::new(
                StatusCode::MessageTooLarge,
                format!("a message for queue \"{}\" has {size} bytes, more than {limit}", message.queue),
            )
            .with_remedy(
                "send smaller messages, or raise max.message.bytes and max_message_size of the server",
            ));
        }
        let partitions = layout.partitions();
        let partition = match (message.partition, message.order_key()) {
            (Some(partition), _) => partition,
            (None, _) if partitions == 1 => 0,
            (None, Some(key)) => partitioner::partition_for(key, partitions),
            (None, None) => self.turn.fetch_add(1, Ordering::Relaxed) % partitions,
        };
        let queue = layout.queue(partition).cloned();
        queue.ok_or_else(|| error::no_partition(message.queue, partition, partitions))
    }
}

pub(super) struct RabbitAccessPoint {
    url: AccessPointUrl,
    shared: Arc<Shared>,
    stores: Arc<QueueStores>,
}

impl RabbitAccessPoint {
    pub fn new(url: AccessPointUrl, shared: Arc<Shared>) -> Self {
        let server = shared.config.server();
        let stores = Arc::new(QueueStores::new(Arc::new(StoreStreams { streams: shared.streams(), server })));
        if shared.config.queue_type == QueueType::Stream {
            shared.positions.kept_in(stores.clone());
        }
        Self { url, shared, stores }
    }
}

#[async_trait]
impl MessagingAccessPoint for RabbitAccessPoint {
    fn url(&self) -> &AccessPointUrl {
        &self.url
    }

    fn capabilities(&self) -> Capabilities {
        super::capabilities(self.shared.config.queue_type, self.shared.config.max_message_bytes)
    }

    async fn producer(&self, options: ProducerOptions) -> Result<Box<dyn Producer>> {
        self.shared.check()?;
        let shared = self.shared.clone();
        let producer = runtime::on_own(async move { RabbitProducer::start(shared, &options) }).await?;
        Ok(Box::new(producer))
    }

    async fn pull_consumer(&self, options: ConsumerOptions) -> Result<Box<dyn PullConsumer>> {
        self.shared.check()?;
        Ok(Box::new(RabbitConsumer::new(self.shared.clone(), options)?))
    }

    fn resources(&self) -> Arc<dyn ResourceManager> {
        Arc::new(RabbitResources(self.shared.clone()))
    }

    async fn key_value_store(&self, name: &str) -> Result<Arc<dyn KeyValueStore>> {
        self.shared.check()?;
        names::check_store(name)?;
        if name == POSITIONS {
            return Err(bad_parameter(format!(
                "a store cannot be named {name}: positions are kept in that one"
            ))
            .with_remedy("use another name"));
        }
        let (stores, name) = (self.stores.clone(), name.to_owned());
        runtime::on_own(async move { stores.store(&name).await }).await
    }

    async fn diagnose(&self) -> Result<Diagnosis> {
        self.shared.check()?;
        let shared = self.shared.clone();
        runtime::on_own(async move { Ok(diagnose::look(&shared).await) }).await
    }

    async fn close(&self) -> Result<()> {
        self.shared.closed.cancel();
        let shared = self.shared.clone();
        runtime::on_own(async move {
            shared.link.close().await;
            Ok(())
        })
        .await
    }
}
