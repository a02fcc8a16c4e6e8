//! The control plane: a log of entries in the broker, folded into one state, from which the placement of all work is
//! computed. `apply` and `assign` are pure, so that every worker of a group computes the same; this worker being the
//! only member today changes nothing about that.

mod apply;
mod assign;
mod entry;
mod log;
mod state;

pub use apply::apply;
pub use assign::assign;
pub use entry::{Entry, EntryError, RestartScope, TargetState, TaskId, VERSION};
pub use log::{ControlLog, ControlReader, now_ms};
pub use state::{ConnectorKind, ConnectorState, Member, Placed, RunState, State, Status, Work};
