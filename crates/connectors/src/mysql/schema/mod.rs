//! What the tables look like at each point of the stream.
//!
//! Row events name neither columns nor, by default, signs and character sets. So the connector keeps the tables'
//! definitions itself: read from the catalog where the stream begins, moved on by every DDL statement that comes by, and
//! stored with the point where each change holds.

pub mod catalog;
mod ddl;
mod history;
mod lexer;
mod stored;
mod tables;
mod types;

pub use history::History;
pub use tables::{Effect, Tables};

/// `MODE_NO_BACKSLASH_ESCAPES`
const NO_BACKSLASH_ESCAPES: u64 = 0x0010_0000;

/// Moves the tables on by one statement that ran with `session` as its default database.
pub fn apply_statement(
    tables: &mut Tables,
    sql: &str,
    session: &str,
    mariadb: bool,
    sql_mode: Option<u64>,
) -> Effect {
    let backslash = sql_mode.unwrap_or(0) & NO_BACKSLASH_ESCAPES == 0;
    tables.apply(ddl::parse(sql, mariadb, backslash), session)
}
