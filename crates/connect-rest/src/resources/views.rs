//! The shapes of answers, in Kafka Connect's order of members.

use connect_runtime::cluster::RunState;
use connect_runtime::worker;
use openmessaging_connector::{Config, Progress};
use serde::Serialize;
use utoipa::ToSchema;

/// A connector.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConnectorInfo {
    pub name: String,
    /// As it was sent, secrets masked, references to secrets unresolved.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    pub config: Config,
    pub tasks: Vec<TaskId>,
    /// `source` or `sink`.
    #[serde(rename = "type")]
    pub kind: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct TaskId {
    pub connector: String,
    /// Counted from 0.
    pub task: u32,
}

/// A task with its configuration.
#[derive(Debug, Serialize, ToSchema)]
pub struct TaskInfo {
    pub id: TaskId,
    /// Secrets are masked.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    pub config: Config,
}

/// How a connector and its tasks are.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConnectorStatus {
    pub name: String,
    pub connector: WorkStatus,
    pub tasks: Vec<TaskStatus>,
    /// `source` or `sink`.
    #[serde(rename = "type")]
    pub kind: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct WorkStatus {
    /// `RUNNING`, `PAUSED`, `STOPPED`, `FAILED`, `UNASSIGNED` or `RESTARTING`.
    pub state: String,
    /// `host:port` of the worker that has it.
    pub worker_id: String,
    /// The plugin's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The error, where it is FAILED.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct TaskStatus {
    /// Counted from 0.
    pub id: u32,
    #[serde(flatten)]
    pub work: WorkStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<TaskProgress>,
    /// What the task warned of, newest last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// How far a long phase is.
#[derive(Debug, Serialize, ToSchema)]
pub struct TaskProgress {
    /// `snapshot`, `streaming`.
    pub phase: String,
    /// The table or file at hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    pub rows: u64,
    /// All rows expected, an estimate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimated_rows: Option<u64>,
    pub rows_per_second: f64,
}

impl From<connect_runtime::cluster::TaskId> for TaskId {
    fn from(id: connect_runtime::cluster::TaskId) -> Self {
        Self { connector: id.connector, task: id.task }
    }
}

impl From<worker::ConnectorInfo> for ConnectorInfo {
    fn from(info: worker::ConnectorInfo) -> Self {
        Self {
            name: info.name,
            config: info.config,
            tasks: info.tasks.into_iter().map(Into::into).collect(),
            kind: info.kind.to_string(),
        }
    }
}

impl From<worker::TaskInfo> for TaskInfo {
    fn from(info: worker::TaskInfo) -> Self {
        Self { id: info.id.into(), config: info.config }
    }
}

impl From<worker::ConnectorStatus> for ConnectorStatus {
    fn from(status: worker::ConnectorStatus) -> Self {
        Self {
            name: status.name,
            connector: status.connector.into(),
            tasks: status.tasks.into_iter().map(Into::into).collect(),
            kind: status.kind.to_string(),
        }
    }
}

impl From<worker::WorkStatus> for WorkStatus {
    fn from(status: worker::WorkStatus) -> Self {
        // Clients count on a trace wherever something FAILED.
        let trace = match status.state {
            RunState::Failed => Some(status.trace.unwrap_or_else(|| "The worker's log says why.".to_owned())),
            _ => status.trace,
        };
        Self { state: status.state.to_string(), worker_id: status.worker_id, version: status.version, trace }
    }
}

impl From<worker::TaskStatus> for TaskStatus {
    fn from(status: worker::TaskStatus) -> Self {
        Self {
            id: status.id,
            work: status.work.into(),
            progress: status.progress.map(Into::into),
            warnings: status.warnings,
        }
    }
}

impl From<Progress> for TaskProgress {
    fn from(progress: Progress) -> Self {
        let Progress { phase, current, rows, estimated_rows, rows_per_second } = progress;
        Self { phase, current, rows, estimated_rows, rows_per_second }
    }
}
