//! The worker's settings: one table of keys, from which the properties file, the flags, the environment variables,
//! `--help` and `docs/reference/worker-config.md` are all made.
//!
//! Precedence, for each key alone: flag, then environment variable, then file, then default.

mod arguments;
mod key;
mod properties;
mod reference;
mod resolve;
mod table;
mod worker;

pub use arguments::WorkerArguments;
pub use properties::read as read_properties;
pub use reference::markdown;
pub use worker::{LogSettings, WorkerSettings};
