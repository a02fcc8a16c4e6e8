//! The entries of the control log and their bytes.

use std::fmt;

use openmessaging_connector::Config;
use serde::{Deserialize, Serialize};

use super::state::{ConnectorKind, State, Status, Work};

/// The version of the entries' format (invariant 7). Every version ever released can be read.
pub const VERSION: u32 = 1;

/// What a user wants of a connector; kept over restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TargetState {
    #[default]
    Started,
    Paused,
    Stopped,
}

/// One task of a connector.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskId {
    pub connector: String,
    pub task: u32,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.connector, self.task)
    }
}

/// What a restart is to touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartScope {
    /// The connector itself.
    pub connector: bool,
    /// All of its tasks.
    pub tasks: bool,
    /// This task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<u32>,
    /// Only what is FAILED.
    pub only_failed: bool,
}

/// One entry. Everything that changes the cluster is one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Entry {
    /// A worker is there, or still there. `at` is its clock, for people to read: nothing is decided by it.
    Heartbeat {
        worker: String,
        url: String,
        at: i64,
    },
    WorkerLeft {
        worker: String,
    },
    /// A connector's configuration. `replaces` is the version it was made from, 0 for none; another version than that
    /// being current refuses the entry. `None` replaces whatever is there.
    PutConnector {
        name: String,
        kind: ConnectorKind,
        config: Config,
        replaces: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Option<TargetState>,
    },
    DeleteConnector {
        name: String,
    },
    SetTarget {
        name: String,
        target: TargetState,
    },
    /// The tasks that a connector splits into, made from this version of its configuration.
    TaskConfigs {
        name: String,
        version: u64,
        configs: Vec<Config>,
    },
    Restart {
        name: String,
        scope: RestartScope,
    },
    /// How a piece of work is, by the worker that has it, under the epoch it has it in.
    Report {
        work: Work,
        epoch: u64,
        worker: String,
        status: Status,
    },
    /// All that the entries up to and including `up_to` came to.
    Snapshot {
        up_to: u64,
        state: Box<State>,
    },
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    v: u32,
    #[serde(flatten)]
    entry: T,
}

/// Why bytes are no entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryError {
    /// Written by a newer release.
    Newer(u32),
    Unreadable(String),
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EntryError::Newer(version) => {
                write!(
                    f,
                    "control entry of format {version}, this release reads up to {VERSION}: update this worker"
                )
            }
            EntryError::Unreadable(why) => write!(f, "unreadable control entry: {why}"),
        }
    }
}

impl Entry {
    pub fn encode(&self) -> Vec<u8> {
        // Maps with text keys, numbers and text: there is nothing in an entry that JSON cannot hold.
        serde_json::to_vec(&Versioned { v: VERSION, entry: self }).unwrap_or_default()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        #[derive(Deserialize)]
        struct Head {
            v: u32,
        }
        let unreadable = |error: serde_json::Error| EntryError::Unreadable(error.to_string());
        let head: Head = serde_json::from_slice(bytes).map_err(unreadable)?;
        if head.v > VERSION {
            return Err(EntryError::Newer(head.v));
        }
        let versioned: Versioned<Entry> = serde_json::from_slice(bytes).map_err(unreadable)?;
        Ok(versioned.entry)
    }
}
