//! The connector API of OpenMessaging Connect: what a source or sink connector is to the runtime.
//!
//! A *source connector* reads a system and drives records into a [`RecordSink`]; a *sink connector* is handed
//! batches of decoded records and makes them durable. A connector sees no broker, and this crate does no I/O.
//! The promises each side makes are numbered clauses in `docs/specs/source.md` and `docs/specs/sink.md`; the
//! conformance suites in `testkit` hold every connector to them.

pub mod config;
pub mod converter;
pub mod error;
pub mod position;
pub mod record;
pub mod registry;
pub mod schema;
pub mod sink;
pub mod source;
pub mod value;

pub use config::{Config, ConfigDef, Importance, Key, Secret};
pub use converter::{Converter, Decoder, Encoder};
pub use error::{Error, ErrorKind, Result};
pub use position::{Position, SourcePartition};
pub use record::{EntryType, Flow, RecordHead, RecordSink};
pub use registry::{PluginInfo, PluginKind, Registry};
pub use schema::{Field, Logical, Schema, Type};
pub use sink::{QueuePartition, SinkBatch, SinkConnector, SinkHeader, SinkRecord, SinkTask, SinkTaskContext};
pub use source::{Polled, Progress, Reporter, SourceConnector, SourceTask, SourceTaskContext, TaskState};
pub use value::{Scalar, Value, ValueBuilder, Visitor};
