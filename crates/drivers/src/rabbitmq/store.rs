//! What is kept in internal streams: key/value stores, and the positions of consumer groups, which are in one of them (AMQP
//! 0.9.1 has no positions of streams).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use openmessaging::{
    ConsumerOptions, Error, KeyValueStore, Producer, ProducerOptions, PullConsumer, QueuePartition,
    QueueSpec, ResourceManager, Result, StatusCode,
};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::access_point::Shared;
use super::admin::{self, RabbitResources};
use super::consumer::RabbitConsumer;
use super::layout;
use super::producer::RabbitProducer;
use crate::common::settings::bad_parameter;
use crate::store::queue::{PREFIX, QueueStores, StoreQueue};

/// What a store's stream may hold before its front is removed. A snapshot of the store lies in it every 4,000 to 6,000
/// writes of at most 1 MiB: two of them fit.
const STORE_BYTES: u64 = 20 << 30;
const STORE_SEGMENT: u64 = 100_000_000;

/// The store that holds positions.
pub(super) const POSITIONS: &str = "oms-positions";

/// The streams of stores; `0` is an access point to streams.
pub(super) struct StoreStreams {
    pub streams: Arc<Shared>,
    pub server: String,
}

#[async_trait]
impl StoreQueue for StoreStreams {
    fn server(&self) -> &str {
        &self.server
    }

    async fn create(&self, queue: &str) -> Result<()> {
        let mut spec = QueueSpec::new(queue, 1);
        spec.retention_bytes = Some(STORE_BYTES);
        let segment = ("x-stream-max-segment-size-bytes".to_owned(), STORE_SEGMENT.to_string());
        spec.properties.extend([segment]);
        admin::create(&self.streams, &spec).await
    }

    fn resources(&self) -> Arc<dyn ResourceManager> {
        Arc::new(RabbitResources(self.streams.clone()))
    }

    async fn producer(&self) -> Result<Box<dyn Producer>> {
        let options = ProducerOptions { name: "store".to_owned(), timeout: None };
        Ok(Box::new(RabbitProducer::start(self.streams.clone(), &options)?))
    }

    async fn consumer(&self) -> Result<Box<dyn PullConsumer>> {
        // What it reads is taken at once.
        let (link, options) = (self.streams.link.clone(), ConsumerOptions::default());
        Ok(Box::new(RabbitConsumer::over(link, self.streams.clone(), options)))
    }

    /// A stream removes its front by its size alone.
    async fn trim(&self, _queue: &str, _before: u64) -> Result<()> {
        Ok(())
    }

    fn timeout(&self) -> Duration {
        self.streams.config.timeout
    }

    fn closed(&self) -> &CancellationToken {
        &self.streams.closed
    }
}

/// The positions of consumer groups.
#[derive(Default)]
pub(super) struct Positions {
    stores: OnceCell<Arc<QueueStores>>,
}

impl Positions {
    /// Where they are kept: told once, when the access point is made.
    pub fn kept_in(&self, stores: Arc<QueueStores>) {
        // Told twice, the first counts: it is the same.
        let _ = self.stores.set(stores);
    }

    async fn store(&self) -> Result<Arc<dyn KeyValueStore>> {
        match self.stores.get() {
            Some(stores) => stores.store(POSITIONS).await,
            None => Err(Error::new(StatusCode::Unsupported, "an internal queue has no positions")),
        }
    }

    /// Whether there are any: reading makes nothing.
    async fn is_there(&self, shared: &Shared) -> Result<bool> {
        if self.stores.get().is_none() {
            return Ok(false);
        }
        let name = format!("{PREFIX}{POSITIONS}");
        Ok(layout::messages(&shared.link, &name, shared.deadline()).await?.is_some())
    }

    pub async fn get(&self, shared: &Shared, group: &str, place: &QueuePartition) -> Result<Option<u64>> {
        let key = key(group, place)?;
        if !self.is_there(shared).await? {
            return Ok(None);
        }
        let value = self.store().await?.get(&key).await?;
        Ok(value.and_then(|value| std::str::from_utf8(&value.value).ok()?.parse().ok()))
    }

    pub async fn put(
        &self,
        _shared: &Shared,
        group: &str,
        positions: &[(QueuePartition, u64)],
    ) -> Result<()> {
        let store = self.store().await?;
        let mut entries = Vec::with_capacity(positions.len());
        for (place, offset) in positions {
            entries.push((key(group, place)?, offset.to_string()));
        }
        let puts = entries.iter().map(|(key, offset)| store.put(key, offset.as_bytes()));
        futures::future::try_join_all(puts).await.map(|_| ())
    }

    /// Those of a queue that is deleted.
    pub async fn forget(&self, shared: &Shared, queue: &str) -> Result<()> {
        if !self.is_there(shared).await? {
            return Ok(());
        }
        let store = self.store().await?;
        let (prefix, mut after) = (format!("{queue}/"), None::<String>);
        loop {
            let page = store.list(&prefix, after.as_deref(), 500).await?;
            for entry in &page.entries {
                store.delete(&entry.key).await?;
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }
}

/// A queue's name has no `/`.
fn key(group: &str, place: &QueuePartition) -> Result<String> {
    const LONGEST_GROUP: usize = 750;
    if group.len() > LONGEST_GROUP {
        return Err(bad_parameter(format!("the name of the group is longer than {LONGEST_GROUP} bytes"))
            .with_remedy("use a shorter one"));
    }
    Ok(format!("{}/{}/{group}", place.queue, place.partition))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_of_one_queue_have_a_prefix_of_their_own() {
        let at = |queue: &str| key("g", &QueuePartition::new(queue, 3)).expect("a key");
        assert_eq!(at("a"), "a/3/g");
        assert!(!at("a-b").starts_with("a/"));
        assert!(key(&"g".repeat(751), &QueuePartition::new("a", 0)).is_err());
    }
}
