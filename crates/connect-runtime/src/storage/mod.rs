//! What the runtime keeps in the broker's key/value operations: positions and the state of tasks, each write under the
//! epoch of the one that makes it (invariant 4).

mod fenced;
mod positions;
mod task_state;

pub use fenced::{Fenced, FencedStore};
pub use positions::{SinkPositions, SourcePositions};
pub use task_state::KeyedTaskState;
