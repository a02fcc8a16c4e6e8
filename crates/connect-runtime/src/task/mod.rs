//! Tasks: the data path from a source's poll to the broker's acknowledgement, and from a queue to a sink's flush.

mod batch;
mod flight;
mod isolate;
mod marks;
mod plugin;
mod queues;
mod report;
mod sink;
mod source;
mod spec;

pub use isolate::{Running, call_isolated};
pub use plugin::{converter, effective, source_or_sink};
pub use report::{TaskReport, TaskReports};
pub use spec::{AccessPoints, TaskEvent, TaskSpec, spawn};
