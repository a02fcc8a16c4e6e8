//! MySQL and MariaDB: row changes from the binlog, and snapshots of tables.
//!
//! ```text
//! config, filter       what the user asked for
//! connect, server      a connection, and what is known of the server behind it
//! validate, connector  everything that may be wrong, before anything is started
//! task                 the phases: snapshot, then stream
//! snapshot/            every row once, resumable
//! stream/              events into records and positions
//! schema/              what the tables look like at each point of the stream
//! binlog/, decode/     bytes into events, and into values
//! record               how a record looks
//! position, gtid       where a stream goes on
//! ```

pub mod binlog;
mod config;
mod connect;
mod connector;
pub mod decode;
mod error;
mod filter;
mod gtid;
mod position;
mod record;
mod schema;
mod server;
mod snapshot;
mod stream;
pub mod table;
mod task;
mod validate;

pub use config::config_def;
pub use connector::{MySqlConnector, plugin, register};
