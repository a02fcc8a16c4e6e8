//! The durable facts of a task beside its positions.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openmessaging::KeyValueStore;
use openmessaging_connector::{Error, Result, TaskState};
use serde_json::Value as Json;

use super::fenced::{Fenced, FencedStore};
use crate::cluster::TaskId;

/// The state of one connector's tasks, in the key/value operations under the epoch of the task.
pub struct KeyedTaskState {
    store: FencedStore,
}

impl KeyedTaskState {
    pub async fn claim(store: Arc<dyn KeyValueStore>, task: &TaskId, epoch: u64) -> Result<Self, Fenced> {
        let prefix = format!("state/{}/{}/", task.connector, task.task);
        let store = FencedStore::claim(store, prefix, epoch).await?;
        Ok(Self { store })
    }
}

fn failed(error: Fenced) -> Error {
    match error {
        Fenced::Newer { .. } => Error::fatal("task.fenced", error.to_string()),
        Fenced::Store(error) if error.is_retriable() => {
            Error::retriable("broker.unavailable", error.to_string())
        }
        Fenced::Store(error) => Error::fatal("broker.error", error.to_string()),
    }
}

#[async_trait]
impl TaskState for KeyedTaskState {
    async fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let value = self.store.get(name).await.map_err(failed)?;
        Ok(value.as_ref().and_then(Json::as_str).and_then(|text| STANDARD.decode(text).ok()))
    }

    async fn put(&self, name: &str, value: &[u8]) -> Result<()> {
        self.store.put(name, &Json::String(STANDARD.encode(value))).await.map_err(failed)
    }

    async fn delete(&self, name: &str) -> Result<()> {
        self.store.delete(name).await.map_err(failed)
    }

    async fn names(&self, prefix: &str) -> Result<Vec<String>> {
        self.store.names(prefix).await.map_err(failed)
    }
}
