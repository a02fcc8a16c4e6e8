//! The binary log of MySQL and MariaDB: events from bytes, and the reader that brings those bytes.
//!
//! Parsing is pure: [`Event::parse`] looks at the bytes of one event and borrows from them. What stays between events
//! is for the caller to keep: the [`FormatDescription`] that is in force, and the table maps of a transaction.
//!
//! Format: the MySQL Internals documentation ("Binary Log Event"), `libs/mysql/binlog/event` of the MySQL server and
//! `sql/log_event.h` of the MariaDB server, checked against MySQL 9.7 and MariaDB 10.11.

mod collation;
mod compressed;
mod cursor;
mod event;
mod format;
mod gtid;
mod gtid_set;
mod metadata;
mod payload;
mod query;
pub mod reader;
mod rows;
pub mod server_error;
mod table;
mod table_map;

pub use collation::charset_of_collation;
pub use event::{Event, EventKind, Header, event_type};
pub use format::FormatDescription;
pub use gtid::{Gtid, GtidInterval, MariaDbGtid, MariaDbGtidEvent};
pub use payload::{PayloadCompression, PayloadEvents, TransactionPayload};
pub use query::Query;
pub use reader::{Reader, ReaderOptions, Start};
pub use rows::{Bitmap, Rows, RowsKind};
pub use table_map::{ColumnType, TableMap, column_type};

pub(crate) use compressed::inflate_column;
pub(crate) use cursor::Cursor;

use openmessaging_connector::Error;

/// The most bytes that one event, inflated or not, may have: the servers allow no packet beyond 1 GiB.
pub const MAX_EVENT_BYTES: usize = 1 << 30;

/// The bytes are not what the format says.
pub(crate) fn malformed(message: impl Into<String>) -> Error {
    Error::fatal("mysql.binlog_malformed", message).with_remedy(
        "the binary log or the connection is damaged; check the log on the server with mysqlbinlog",
    )
}
