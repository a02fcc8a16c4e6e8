//! The connect runtime: one worker that runs source and sink connectors on any message queue.
//!
//! - [`cluster`]: the control log, folded by a pure `apply` and placed by a pure `assign`.
//! - [`storage`]: positions and task state in the broker's key/value operations, fenced by epoch.
//! - [`task`]: the data path, from poll to acknowledgement and from queue to destination.
//! - [`worker`]: what REST and the command line talk to.
//! - [`converter`]: wire formats. [`config`]: the runtime's own keys, validation, secrets.
//!
//! It names no broker and no system; the numbered invariants it cites are those of `docs/architecture.md`.

pub mod cluster;
pub mod config;
pub mod converter;
pub mod error;
pub mod storage;
pub mod task;
pub mod worker;

pub use error::{ApiError, ApiErrorKind};
pub use worker::{Worker, WorkerOptions};
