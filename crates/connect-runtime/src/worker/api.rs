//! What a worker answers: plain data, shaped as REST shows it.

use indexmap::IndexMap;
use openmessaging_connector::config::KeyValue;
use openmessaging_connector::{Config, Key, Progress};
use serde::Serialize;

use crate::cluster::{ConnectorKind, RunState, TaskId};

/// A worker of the group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorkerInfo {
    pub worker_id: String,
    pub group: String,
    /// `host:port` of its REST API, by which statuses name it.
    pub address: String,
    pub version: &'static str,
    /// The access point it lives on, without password.
    pub driver_url: String,
}

/// A connector as `GET /connectors/NAME` shows it. Secrets in `config` are masked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConnectorInfo {
    pub name: String,
    pub config: Config,
    pub tasks: Vec<TaskId>,
    #[serde(rename = "type")]
    pub kind: ConnectorKind,
}

/// How a connector and its tasks are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConnectorStatus {
    pub name: String,
    pub connector: WorkStatus,
    pub tasks: Vec<TaskStatus>,
    #[serde(rename = "type")]
    pub kind: ConnectorKind,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkStatus {
    pub state: RunState,
    /// `host:port` of the worker that has it.
    pub worker_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskStatus {
    pub id: u32,
    #[serde(flatten)]
    pub work: WorkStatus,
    /// How far a snapshot is, where this worker has the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Warnings that the task gave, newest last, at most ten; where this worker has the task.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A task's configuration as the connector made it. Secrets are masked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskInfo {
    pub id: TaskId,
    pub config: Config,
}

/// The outcome of validation: every key that the framework, the connector and its converters define.
#[derive(Debug, Clone)]
pub struct Validation {
    /// The class as the request wrote it.
    pub name: String,
    pub groups: Vec<String>,
    pub configs: Vec<ValidatedKey>,
}

#[derive(Debug, Clone)]
pub struct ValidatedKey {
    /// Order within its group, from 1; -1 without group.
    pub order: i32,
    /// `None` for a key that nothing defines and that is in error for it.
    pub definition: Option<Key>,
    pub value: KeyValue,
}

impl Validation {
    pub fn error_count(&self) -> usize {
        self.configs.iter().map(|key| key.value.errors.len()).sum()
    }

    /// All errors, in the order of the keys.
    pub fn errors(&self) -> impl Iterator<Item = (&str, &str)> {
        self.configs
            .iter()
            .flat_map(|key| key.value.errors.iter().map(|error| (key.value.name.as_str(), error.as_str())))
    }
}

/// Whether a put made a connector or changed one.
#[derive(Debug, Clone, PartialEq)]
pub struct Put {
    pub created: bool,
    pub info: ConnectorInfo,
}

/// What the original's `/getAllocatedInfo` lists: the work of this worker with its configurations, secrets masked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Allocated {
    pub connectors: IndexMap<String, Config>,
    pub tasks: Vec<(String, Config)>,
}

/// Whether a put may create, replace, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutMode {
    /// `Conflict` when it exists.
    Create,
    CreateOrReplace,
}
