//! What the driver reports, as errors with a stable code and a remedy.

use mysql_async::{DriverError, Error as Driver, IoError, ServerError};
use openmessaging_connector::{Error, ErrorKind};

use super::config::Address;
use super::position::BinlogPosition;
use super::server::Server;

/// Turns an error of the driver into one that names the server and says what to do. `doing` is what was tried, as in
/// "cannot {doing}".
pub fn from_driver(error: Driver, address: &Address, doing: &str) -> Error {
    let server = address.server();
    let made = match &error {
        Driver::Server(refused) => from_server(refused, address, doing),
        Driver::Io(IoError::Tls(problem)) => tls_refused(&server, &problem.to_string()),
        // A certificate that is not trusted comes as invalid data.
        Driver::Io(IoError::Io(problem)) if problem.kind() == std::io::ErrorKind::InvalidData => {
            tls_refused(&server, &problem.to_string())
        }
        Driver::Driver(DriverError::NoClientSslFlagFromServer) => {
            tls_refused(&server, "the server offers no TLS")
        }
        Driver::Driver(DriverError::UnknownAuthPlugin { name }) => Error::config(
            "mysql.access_denied",
            "mysqlUsername",
            format!(
                "{server} wants user '{}' to authenticate by {name}, which is not supported",
                address.user
            ),
        )
        .with_remedy("use caching_sha2_password or mysql_native_password for this user"),
        Driver::Io(_) | Driver::Driver(DriverError::ConnectionClosed | DriverError::PacketOutOfOrder) => {
            unreachable(&server, doing, &error.to_string())
        }
        _ => Error::fatal("mysql.failed", format!("cannot {doing} at {server}: {error}")),
    };
    made.with_source(error)
}

/// The server did not answer, or ended the connection.
pub fn unreachable(server: &str, doing: &str, problem: &str) -> Error {
    Error::retriable("mysql.unreachable", format!("cannot {doing} at {server}: {problem}"))
        .with_remedy("check mysqlAddr and mysqlPort, and that the server is up and reachable from here")
}

fn tls_refused(server: &str, problem: &str) -> Error {
    Error::config("mysql.tls_refused", "database.ssl.mode", format!("no TLS connection with {server}: {problem}"))
        .with_remedy("set database.ssl.ca to the file of the authority that signed the server's certificate, or choose another database.ssl.mode")
}

fn from_server(refused: &ServerError, address: &Address, doing: &str) -> Error {
    let server = address.server();
    let text = &refused.message;
    match refused.code {
        // Wrong password or user, plugin not loaded, host not allowed.
        1045 | 1130 | 1524 | 1698 => {
            let message = format!("{server} refuses user '{}': {text}", address.user);
            Error::config("mysql.access_denied", "mysqlUsername", message).with_remedy(
                "check mysqlUsername and mysqlPassword, and that the user may connect from this host",
            )
        }
        1044 | 1142 | 1143 | 1227 => {
            let message = format!("user '{}' may not {doing} at {server}: {text}", address.user);
            Error::config("mysql.missing_privilege", "mysqlUsername", message)
                .with_remedy(format!("run as an administrator: {}", grant_statement(text, &address.user)))
        }
        // Too many connections, shutting down, lock wait, deadlock, killed, read-only during failover.
        1040 | 1053 | 1203 | 1205 | 1213 | 1317 | 1927 | 3169 | 4031 => {
            Error::retriable("mysql.unreachable", format!("cannot {doing} at {server}: {text}"))
                .with_remedy("the server may be overloaded or restarting; it is tried again")
        }
        _ => Error::fatal(
            "mysql.failed",
            format!("cannot {doing} at {server}: {text} (error {})", refused.code),
        ),
    }
}

/// Completes an error of the binlog reader, which knows no address, with the server's name and the user's privileges.
pub fn from_reader(mut error: Error, address: &Address) -> Error {
    let server = address.server();
    match error.code {
        "mysql.binlog_purged" => return binlog_purged(&server, &error.message),
        "mysql.binlog_off" => return binlog_off(&server),
        "mysql.access_denied" => {
            let message =
                format!("user '{}' may not read the binlog of {server}: {}", address.user, error.message);
            return Error::config("mysql.missing_privilege", "mysqlUsername", message).with_remedy(format!(
                "run as an administrator: GRANT REPLICATION SLAVE ON *.* TO '{}'@'%'",
                address.user
            ));
        }
        "mysql.connection" => return unreachable(&server, "read the binlog", &error.message),
        _ => {}
    }
    if !error.message.contains(&server) {
        error.message = format!("{} ({server})", error.message);
    }
    if error.remedy.is_none() {
        error.remedy = Some(match error.is_retriable() {
            true => "it is tried again; look at the server's error log if it does not pass".to_owned(),
            false => "look at the server's error log".to_owned(),
        });
    }
    error
}

pub fn binlog_off(server: &str) -> Error {
    Error::new(ErrorKind::Config, "mysql.binlog_off", format!("{server} writes no binlog"))
        .with_remedy("start the server with log_bin and binlog_format=ROW")
}

/// The stored position is not in the server's binlog any more.
pub fn binlog_purged(server: &str, problem: &str) -> Error {
    Error::fatal(
        "mysql.binlog_purged",
        format!(
            "{server} no longer has the binlog behind the stored position, so changes are missing: {problem}"
        ),
    )
    .with_remedy(
        "set snapshot.mode=when_needed to read all rows again and go on, or reset the connector's offsets; \
         keep binlogs longer (binlog_expire_logs_seconds, expire_logs_days)",
    )
}

/// A file's position means nothing on another server, and there is no GTID to go by.
pub fn other_server(address: &str, position: &BinlogPosition, server: &Server) -> Error {
    let known = position.server.as_deref().unwrap_or("unknown");
    Error::fatal(
        "mysql.other_server",
        format!(
            "{address} is another server ({}) than the one where the stored position {}:{} is from ({known}), and without GTIDs \
             the position cannot be found there",
            server.identity, position.file, position.offset
        ),
    )
    .with_remedy("connect to the former server, or reset the connector's offsets (snapshot.mode=initial reads all rows again); use gtid_mode=ON for failover")
}

/// The statement that gives what an error message says is missing.
fn grant_statement(message: &str, user: &str) -> String {
    let privileges = ["REPLICATION SLAVE", "REPLICATION CLIENT", "BINLOG MONITOR", "RELOAD", "SELECT"];
    let upper = message.to_ascii_uppercase();
    let missing: Vec<_> = privileges.into_iter().filter(|privilege| upper.contains(privilege)).collect();
    let missing = if missing.is_empty() { "SELECT".to_owned() } else { missing.join(", ") };
    format!("GRANT {missing} ON *.* TO '{user}'@'%'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmessaging_connector::Secret;
    use std::time::Duration;

    fn address() -> Address {
        Address {
            host: "db".to_owned(),
            port: 3306,
            user: "cdc".to_owned(),
            password: Secret::new("hunter2"),
            ssl_mode: super::super::config::SslMode::Preferred,
            ssl_ca: None,
            ssl_identity: None,
            connect_timeout: Duration::from_secs(1),
        }
    }

    fn code(number: u16, message: &str) -> (&'static str, bool) {
        let server = ServerError { code: number, message: message.to_owned(), state: "HY000".to_owned() };
        let error = from_driver(Driver::Server(server), &address(), "read the binlog");
        assert!(error.to_string().contains("db:3306") && error.remedy.is_some(), "{error}");
        (error.code, error.is_retriable())
    }

    #[test]
    fn every_refusal_has_its_code() {
        assert_eq!(code(1045, "Access denied"), ("mysql.access_denied", false));
        assert_eq!(code(1227, "need REPLICATION SLAVE"), ("mysql.missing_privilege", false));
        assert_eq!(code(1040, "Too many connections"), ("mysql.unreachable", true));
    }

    #[test]
    fn errors_of_the_reader_are_completed() {
        let purged = from_reader(Error::fatal("mysql.binlog_purged", "gone"), &address());
        assert!(
            purged.to_string().contains("db:3306") && purged.to_string().contains("when_needed"),
            "{purged}"
        );
        let cut = from_reader(Error::retriable("mysql.connection", "reset"), &address());
        assert_eq!((cut.code, cut.is_retriable()), ("mysql.unreachable", true));
        let denied = from_reader(Error::fatal("mysql.access_denied", "no"), &address());
        assert!(denied.to_string().contains("GRANT REPLICATION SLAVE ON *.* TO 'cdc'@'%'"), "{denied}");
        let other = from_reader(Error::retriable("mysql.server_error", "odd"), &address());
        assert!(other.remedy.is_some() && other.message.contains("db:3306"));
    }

    #[test]
    fn a_missing_privilege_comes_with_its_grant() {
        assert_eq!(
            grant_statement("you need (at least one of) the REPLICATION SLAVE privilege(s)", "cdc"),
            "GRANT REPLICATION SLAVE ON *.* TO 'cdc'@'%'"
        );
    }
}
