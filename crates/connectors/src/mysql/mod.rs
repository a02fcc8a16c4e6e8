//! MySQL and MariaDB: row changes from the binlog, and snapshots of tables.

use openmessaging_connector::Registry;

pub mod binlog;
mod config;
mod connect;
pub mod decode;
mod error;
mod filter;
mod gtid;
mod position;
mod schema;
mod server;
pub mod table;

pub use config::config_def;

pub fn register(_registry: &mut Registry) {}
