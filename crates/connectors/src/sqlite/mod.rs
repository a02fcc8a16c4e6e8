//! SQLite: a source that captures the row changes of a database file, whichever process makes them.
//!
//! Triggers on the captured tables write every change into a change table of the same file, within the transaction
//! that makes it; the task reads that table and empties it as positions are committed. [`triggers`] has the SQL,
//! [`install`] puts it there and follows `ALTER TABLE`, [`read`] takes the changes out, [`group`] makes records of them.

mod capture;
mod config;
mod emit;
mod error;
mod group;
mod install;
mod position;
mod read;
mod schema;
mod shape;
mod source;
mod table;
mod triggers;

use openmessaging_connector::registry::Factory;
use openmessaging_connector::{PluginInfo, Registry};

/// The source: each changed row is a record in the queue of its table's name.
pub fn source() -> PluginInfo {
    PluginInfo {
        class: "io.openmessaging.sqlite.connector.SqliteConnector",
        aliases: &["sqlite"],
        version: env!("CARGO_PKG_VERSION"),
        doc: "Captures the row changes of an SQLite file, made by any process, with triggers. Needs no server.",
        config_def: config::def,
        factory: Factory::Source(|| Box::new(source::SqliteSource::default())),
    }
}

pub fn register(registry: &mut Registry) {
    registry.register(source());
}
