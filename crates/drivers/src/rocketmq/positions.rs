//! Positions of consumer groups.
//!
//! RocketMQ's own table of offsets is written to disk every 5 s (`flushConsumerOffsetInterval`): what is committed to it may
//! be lost with the broker's process. So positions are kept in a key/value store of the driver (`omsconnect-store-positions`),
//! and are told to the broker besides, for its tools (`mqadmin consumerProgress`). A group that was never committed here
//! starts where the broker has it, so that a group of another client goes on at its place.

use std::sync::Arc;

use openmessaging::{Error, Result, StatusCode};

use super::client::expect;
use super::codes::*;
use super::frame::Request;
use super::routes::{Route, Routes};
use super::stores::Stores;
use crate::store::queue::PREFIX;

/// The store of positions.
const STORE: &str = "positions";

pub(super) struct Positions {
    pub routes: Arc<Routes>,
    pub stores: Arc<Stores>,
}

impl Positions {
    /// Durable when it returns. The caller looked for the partitions.
    ///
    /// # Errors
    /// What the store fails with.
    pub async fn commit(&self, group: &str, positions: &[(Arc<Route>, u32, u64)]) -> Result<()> {
        let store = self.stores.store(STORE).await?;
        let puts = positions.iter().map(|(route, partition, offset)| {
            let (store, key) = (store.clone(), key(&route.queue, *partition, group));
            async move { store.put(&key, offset.to_string().as_bytes()).await }
        });
        futures::future::try_join_all(puts).await?;
        for (route, partition, offset) in positions {
            self.tell(group, route, *partition, *offset).await;
        }
        Ok(())
    }

    /// Tells the broker, for its tools. Positions are safe without.
    async fn tell(&self, group: &str, route: &Route, partition: u32, offset: u64) {
        let (Ok(group), Ok(place)) = (self.routes.names.group(group), route.partition(partition)) else {
            return;
        };
        let request = Request::new(UPDATE_CONSUMER_OFFSET)
            .field("consumerGroup", group)
            .field("topic", &route.topic)
            .field("queueId", place.queue_id)
            .field("commitOffset", offset);
        let client = &self.routes.client;
        if let Err(failure) = client.broker(&place.broker, &request, client.deadline()).await {
            tracing::debug!(error = %failure.error(), "the broker was not told a position");
        }
    }

    pub async fn committed(&self, group: &str, route: &Route, partition: u32) -> Result<Option<u64>> {
        let store = self.stores.store(STORE).await?;
        if let Some(found) = store.get(&key(&route.queue, partition, group)).await? {
            let offset = str::from_utf8(&found.value).ok().and_then(|text| text.parse().ok());
            return offset.map(Some).ok_or_else(|| {
                let message = format!("the position of group {group} in queue {} is unreadable", route.queue);
                Error::new(StatusCode::Corrupt, message).with_remedy("commit a position anew")
            });
        }
        self.of_the_broker(group, route, partition).await
    }

    async fn of_the_broker(&self, group: &str, route: &Route, partition: u32) -> Result<Option<u64>> {
        let place = route.partition(partition)?;
        let request = Request::new(QUERY_CONSUMER_OFFSET)
            .field("consumerGroup", self.routes.names.group(group)?)
            .field("topic", &route.topic)
            .field("queueId", place.queue_id)
            .field("setZeroIfNotFound", false);
        let client = &self.routes.client;
        let answer = client.broker_again(&place.broker, &request, client.deadline()).await?;
        if answer.code == QUERY_NOT_FOUND {
            return Ok(None);
        }
        let answer =
            expect(&place.broker, &format!("asking for a position in queue {}", route.queue), answer)?;
        Ok(answer.offset("offset"))
    }

    /// The queue is gone.
    pub async fn forget(&self, queue: &str) -> Result<()> {
        // Where nobody ever committed there is no store.
        match self.routes.of(&format!("{PREFIX}{STORE}"), self.routes.client.deadline()).await {
            Err(error) if error.status == StatusCode::NotFound => return Ok(()),
            other => other?,
        };
        let store = self.stores.store(STORE).await?;
        loop {
            let page = store.list(&format!("{queue}/"), None, 500).await?;
            for entry in &page.entries {
                store.delete(&entry.key).await?;
            }
            if page.next.is_none() {
                return Ok(());
            }
        }
    }
}

fn key(queue: &str, partition: u32, group: &str) -> String {
    format!("{queue}/{partition}/{group}")
}
