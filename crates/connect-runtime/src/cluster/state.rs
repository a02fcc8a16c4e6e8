//! What the control log comes to.

use std::collections::BTreeMap;
use std::fmt;

use openmessaging_connector::Config;
use serde::{Deserialize, Serialize};

use super::entry::{TargetState, TaskId};

/// A worker of the group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Where its REST API is.
    pub url: String,
    /// Its clock at its last heartbeat, milliseconds since the epoch; for people to read.
    pub heartbeat: i64,
    /// The offset of its last entry.
    pub seen: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConnectorKind {
    Source,
    Sink,
}

impl fmt::Display for ConnectorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ConnectorKind::Source => "source",
            ConnectorKind::Sink => "sink",
        })
    }
}

/// How a connector or task is; the names are those of Kafka Connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RunState {
    #[default]
    Unassigned,
    Running,
    Paused,
    Stopped,
    Failed,
    /// Being started again, or waiting to be after an error that may pass.
    Restarting,
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RunState::Unassigned => "UNASSIGNED",
            RunState::Running => "RUNNING",
            RunState::Paused => "PAUSED",
            RunState::Stopped => "STOPPED",
            RunState::Failed => "FAILED",
            RunState::Restarting => "RESTARTING",
        })
    }
}

/// The state of one piece of work.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Status {
    pub state: RunState,
    /// The error, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

impl Status {
    pub fn of(state: RunState) -> Self {
        Self { state, trace: None }
    }

    pub fn failed(trace: impl Into<String>) -> Self {
        Self { state: RunState::Failed, trace: Some(trace.into()) }
    }
}

/// A piece of work that is placed on one worker.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    Connector(String),
    Task(TaskId),
}

impl Work {
    pub fn connector(&self) -> &str {
        match self {
            Work::Connector(name) => name,
            Work::Task(task) => &task.connector,
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Work::Connector(name) => f.write_str(name),
            Work::Task(task) => task.fmt(f),
        }
    }
}

/// Where a piece of work is, and since when: `epoch` is the offset of the entry that put it there, or that changed or
/// restarted it (invariant 4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    pub worker: String,
    pub epoch: u64,
    pub status: Status,
}

/// A connector as the group knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConnectorState {
    pub kind: ConnectorKind,
    /// As the user gave it: references to secrets unresolved.
    pub config: Config,
    /// The offset of the entry that made this configuration.
    pub version: u64,
    pub target: TargetState,
    /// One configuration for each task, references to secrets unresolved.
    pub tasks: Vec<Config>,
    /// The version of the configuration that `tasks` was made from.
    pub tasks_version: u64,
}

/// Everything the group knows.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct State {
    pub members: BTreeMap<String, Member>,
    pub connectors: BTreeMap<String, ConnectorState>,
    /// All work, with its place; a list in JSON, whose keys are text alone.
    #[serde(with = "placed_as_list")]
    pub work: BTreeMap<Work, Placed>,
    /// The offset behind the last entry that was applied.
    pub next: u64,
}

impl State {
    pub fn placed(&self, work: &Work) -> Option<&Placed> {
        self.work.get(work)
    }

    /// The tasks of a connector with their places, in order.
    pub fn tasks<'a>(&'a self, connector: &'a str) -> impl Iterator<Item = (u32, &'a Placed)> {
        let first = Work::Task(TaskId { connector: connector.to_owned(), task: 0 });
        self.work.range(first..).map_while(move |(work, placed)| match work {
            Work::Task(id) if id.connector == connector => Some((id.task, placed)),
            _ => None,
        })
    }
}

mod placed_as_list {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::{Placed, Work};

    pub fn serialize<S: Serializer>(map: &BTreeMap<Work, Placed>, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(map)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<Work, Placed>, D::Error> {
        Ok(Vec::<(Work, Placed)>::deserialize(from)?.into_iter().collect())
    }
}
