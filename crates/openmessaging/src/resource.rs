//! Queues as resources. The clauses cited are those of `docs/specs/driver.md`.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// A queue to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueSpec {
    pub name: String,
    /// 1 where not said.
    #[serde(default = "one")]
    pub partitions: u32,
    /// Messages older than this may be removed; `None`: the broker's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_ms: Option<u64>,
    /// The oldest messages of a partition that is larger may be removed; `None`: the broker's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_bytes: Option<u64>,
    /// Settings of this broker's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
}

fn one() -> u32 {
    1
}

impl QueueSpec {
    pub fn new(name: impl Into<String>, partitions: u32) -> Self {
        Self {
            name: name.into(),
            partitions,
            retention_ms: None,
            retention_bytes: None,
            properties: BTreeMap::new(),
        }
    }
}

/// A queue as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueDescription {
    pub name: String,
    pub partitions: Vec<PartitionDescription>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionDescription {
    pub partition: u32,
    /// The offset of the oldest message that is kept; `end` where there is none.
    pub begin: u64,
    /// The offset that the next message will have.
    pub end: u64,
}

/// Creates, lists, describes and deletes queues. Calls may be made in parallel.
///
/// Names: 1 to 200 characters; letters, digits, `.`, `_`, `-` work on every broker, and a driver says `BadParameter`
/// to what its broker does not take.
#[async_trait]
pub trait ResourceManager: Send + Sync {
    /// `AlreadyExists` where there is one of that name, whatever its partitions (D2).
    async fn create_queue(&self, spec: &QueueSpec) -> Result<()>;

    /// `NotFound` where there is none (D3).
    async fn describe_queue(&self, name: &str) -> Result<QueueDescription>;

    /// Names in order, those of the broker's own internal queues left out (D4).
    async fn list_queues(&self) -> Result<Vec<String>>;

    /// Deletes the queue and its messages; a queue created later with the same name is empty (D5). `NotFound` where
    /// there is none.
    async fn delete_queue(&self, name: &str) -> Result<()>;
}
