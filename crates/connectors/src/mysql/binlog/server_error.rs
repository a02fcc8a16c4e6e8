//! What the server refuses, as errors of ours with stable codes.

use mysql_async::{DriverError, Error as LibraryError, ServerError};
use openmessaging_connector::Error;

/// Server error numbers (`mysqld_error.h`).
mod number {
    pub const ACCESS_DENIED: u16 = 1045;
    pub const DATABASE_ACCESS_DENIED: u16 = 1044;
    pub const SPECIFIC_ACCESS_DENIED: u16 = 1227;
    pub const ACCESS_DENIED_NO_PASSWORD: u16 = 1698;
    pub const FATAL_READING_BINLOG: u16 = 1236;
    pub const NO_BINARY_LOGGING: u16 = 1381;
    pub const TOO_MANY_CONNECTIONS: u16 = 1040;
    pub const SHUTDOWN: u16 = 1053;
    pub const KILLED: u16 = 1317;
    pub const CONNECTION_KILLED: u16 = 1927;
}

/// Any error of the client library, as long as it is about a connection. Its text holds no secret: the library puts
/// none into its errors, and the server's messages name the user and host only.
pub fn map(error: LibraryError) -> Error {
    match error {
        LibraryError::Server(error) => server(error),
        LibraryError::Io(error) => {
            Error::retriable("mysql.connection", format!("the connection to the server failed: {error}"))
        }
        LibraryError::Driver(DriverError::ConnectionClosed | DriverError::PoolDisconnected) => {
            Error::retriable("mysql.connection", "the server closed the connection")
        }
        LibraryError::Driver(DriverError::PacketTooLarge) => packet_too_large(),
        error => {
            Error::retriable("mysql.connection", format!("the conversation with the server failed: {error}"))
        }
    }
}

fn packet_too_large() -> Error {
    Error::fatal("mysql.packet_too_large", "an event is larger than max_allowed_packet of the connection")
        .with_remedy("raise max_allowed_packet of the connector to 1 GiB")
}

fn server(error: ServerError) -> Error {
    let text = format!("the server says: {} (error {})", error.message, error.code);
    match error.code {
        number::ACCESS_DENIED
        | number::DATABASE_ACCESS_DENIED
        | number::SPECIFIC_ACCESS_DENIED
        | number::ACCESS_DENIED_NO_PASSWORD => Error::fatal("mysql.access_denied", text).with_remedy(
            "check user and password; the user needs GRANT REPLICATION SLAVE, REPLICATION CLIENT, SELECT ON *.*",
        ),
        number::NO_BINARY_LOGGING => binlog_off(),
        number::FATAL_READING_BINLOG => reading(&error.message, text),
        number::TOO_MANY_CONNECTIONS | number::SHUTDOWN | number::KILLED | number::CONNECTION_KILLED => {
            Error::retriable("mysql.connection", text)
        }
        _ => Error::retriable("mysql.server_error", text),
    }
}

pub fn binlog_off() -> Error {
    Error::fatal("mysql.binlog_off", "the server writes no binary log")
        .with_remedy("start the server with log_bin, binlog_format=ROW and binlog_row_metadata=FULL")
}

/// Error 1236 stands for much; only its text tells what.
fn reading(message: &str, text: String) -> Error {
    let message = message.to_ascii_lowercase();
    let says = |parts: &[&str]| parts.iter().any(|part| message.contains(part));
    if says(&["binary log is not open"]) {
        return binlog_off();
    }
    if says(&["max_allowed_packet"]) {
        return packet_too_large();
    }
    if says(&["same server_uuid", "server_id as this", "same server_id", "slave with the same"]) {
        return Error::retriable("mysql.server_id_in_use", text)
            .with_remedy("give each connector and replica of this server its own server id");
    }
    if says(&[
        "purged",
        "could not find first log file",
        "could not find gtid state",
        "not in the master",
        "not in the binlog",
        "does not exist",
        "could not open log file",
        "position > file size",
        "start replication from impossible position",
        "more gtids than",
    ]) {
        return Error::fatal("mysql.binlog_purged", text).with_remedy(
            "the server no longer has the log from where the connector stopped: reset its offset and take a new snapshot, \
             and keep logs longer (binlog_expire_logs_seconds)",
        );
    }
    Error::retriable("mysql.binlog_read", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(number: u16, message: &str) -> &'static str {
        let error = ServerError { code: number, message: message.into(), state: "HY000".into() };
        map(LibraryError::Server(error)).code
    }

    #[test]
    fn error_1236_is_told_apart_by_its_text() {
        for (message, wanted) in [
            ("Could not find first log file name in binary log index file", "mysql.binlog_purged"),
            (
                "Cannot replicate because the source purged required binary logs. Replicate the missing transactions",
                "mysql.binlog_purged",
            ),
            (
                "Could not find GTID state requested by slave in any binlog files. Probably the slave state is too old",
                "mysql.binlog_purged",
            ),
            ("Binary log is not open", "mysql.binlog_off"),
            (
                "A slave with the same server_uuid/server_id as this slave has connected",
                "mysql.server_id_in_use",
            ),
            ("log event entry exceeded max_allowed_packet", "mysql.packet_too_large"),
            ("binlog truncated in the middle of event", "mysql.binlog_read"),
        ] {
            assert_eq!(code(1236, message), wanted, "{message}");
        }
    }

    #[test]
    fn refused_users_are_told_what_they_need() {
        assert_eq!(code(1045, "Access denied for user 'x'@'localhost'"), "mysql.access_denied");
        assert_eq!(
            code(1227, "Access denied; you need the REPLICATION SLAVE privilege"),
            "mysql.access_denied"
        );
        assert_eq!(code(1053, "Server shutdown in progress"), "mysql.connection");
    }
}
