//! The real servers of the tests: the shared ones, which `cargo xtask services up` started (or which the environment
//! names), and private ones, which a test may restart, stop and kill.
//!
//! A server that cannot be had is a panic with the remedy: a test that did not run must not look like one that passed.

mod private;

use std::io::Read;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

pub use private::PrivateServer;
pub(crate) use private::{free_port, new_folder};

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    MariaDb,
    MySql,
}

impl Kind {
    /// As `cargo xtask services` names it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::MariaDb => "mariadb",
            Kind::MySql => "mysql",
        }
    }

    /// The variable that names a server which is there already, as `host:port`.
    pub fn variable(self) -> &'static str {
        match self {
            Kind::MariaDb => "OMS_TEST_MARIADB",
            Kind::MySql => "OMS_TEST_MYSQL",
        }
    }
}

/// How a server is reached: by a user who may do everything, over TCP, with or without TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub kind: Kind,
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
    /// The authority (PEM file) that signed the server's certificate, which is valid for 127.0.0.1 and localhost.
    pub ca: Option<PathBuf>,
}

impl Server {
    /// `host:port`
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The version that the server says in the first packet of a connection.
    pub fn version(&self) -> Result<String, String> {
        let address = self.address();
        let unreachable = |error: std::io::Error| format!("{} at {address}: {error}", self.kind.name());
        let socket = address.to_socket_addrs().map_err(unreachable)?.next();
        let socket = socket.ok_or_else(|| format!("{address} has no address"))?;
        let patience = Duration::from_secs(5);
        let mut stream = TcpStream::connect_timeout(&socket, patience).map_err(unreachable)?;
        stream.set_read_timeout(Some(patience)).map_err(unreachable)?;
        let mut header = [0; 4];
        stream.read_exact(&mut header).map_err(unreachable)?;
        let length = u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize;
        let mut packet = vec![0; length];
        stream.read_exact(&mut packet).map_err(unreachable)?;
        handshake_version(&packet).map_err(|error| format!("{} at {address}: {error}", self.kind.name()))
    }
}

/// The shared MariaDB.
pub fn mariadb() -> Server {
    shared(Kind::MariaDb)
}

/// The shared MySQL.
pub fn mysql() -> Server {
    shared(Kind::MySql)
}

/// The shared server of that kind. Other tests use it at the same time: make a database of your own in it.
pub fn shared(kind: Kind) -> Server {
    let variable = |suffix: &str| {
        let name = format!("{}{suffix}", kind.variable());
        std::env::var(name).ok().filter(|value| !value.is_empty())
    };
    match from_environment(kind, variable) {
        Some(server) => server,
        None => from_entry(kind, &recorded(kind.name())),
    }
    .unwrap_or_else(|problem| panic!("{problem}"))
}

fn from_environment(kind: Kind, variable: impl Fn(&str) -> Option<String>) -> Option<Result<Server, String>> {
    let address = variable("")?;
    let parts =
        address.rsplit_once(':').and_then(|(host, port)| Some((host.to_string(), port.parse().ok()?)));
    let Some((host, port)) = parts else {
        return Some(Err(format!("{} is {address:?}, which is not host:port", kind.variable())));
    };
    let user = variable("_USER").unwrap_or_else(|| "omstest".into());
    let password = variable("_PASSWORD").unwrap_or_else(|| "omstest".into());
    Some(Ok(Server { kind, host, port, user, password, ca: variable("_CA").map(PathBuf::from) }))
}

fn from_entry(kind: Kind, entry: &Value) -> Result<Server, String> {
    let text = |key: &str| {
        let value = entry[key].as_str().map(str::to_string);
        value.ok_or_else(|| format!("state.json says no {key} for {}", kind.name()))
    };
    let port = entry["port"].as_u64().and_then(|port| u16::try_from(port).ok());
    Ok(Server {
        kind,
        host: text("host")?,
        port: port.ok_or_else(|| format!("state.json says no port for {}", kind.name()))?,
        user: text("user")?,
        password: text("password")?,
        ca: Some(text("ca")?.into()),
    })
}

/// What `cargo xtask services up` wrote about the service of that name.
pub fn recorded(name: &str) -> Value {
    let file = state_file();
    let remedy = "run `cargo xtask services up` (or the tests with `cargo xtask test`)";
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| {
        panic!("no {name} for the tests: cannot read {} ({error}); {remedy}", file.display())
    });
    let state: Value = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{} is not JSON ({error}); {remedy}", file.display()));
    match state.get(name) {
        Some(entry) => entry.clone(),
        None => panic!("{name} is not up, says {}; {remedy}", file.display()),
    }
}

/// Where the shared broker of that name is, `host:port`: the one that `OMS_TEST_<NAME>` names, else the one of
/// `cargo xtask services up`.
pub fn broker_address(name: &str) -> String {
    let named = std::env::var(format!("OMS_TEST_{}", name.to_uppercase())).ok();
    named.filter(|address| !address.is_empty()).unwrap_or_else(|| {
        let entry = recorded(name);
        let (Some(host), Some(port)) = (entry["host"].as_str(), entry["port"].as_u64()) else {
            panic!("state.json says no host and port for {name}");
        };
        format!("{host}:{port}")
    })
}

fn state_file() -> PathBuf {
    match std::env::var_os("OMS_SERVICES_STATE") {
        Some(file) => file.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/services/state.json"),
    }
}

/// The server's version in the first packet of a connection, or the error that it sends instead.
fn handshake_version(packet: &[u8]) -> Result<String, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match packet {
        [10, rest @ ..] => {
            let end = rest.iter().position(|byte| *byte == 0);
            end.map(|end| text(&rest[..end])).ok_or_else(|| "the handshake ends in the middle".into())
        }
        [0xff, _, _, message @ ..] => Err(format!("the server refuses the connection: {}", text(message))),
        _ => Err("this is not the handshake of a MySQL or MariaDB server".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handshake_says_the_version() {
        assert_eq!(handshake_version(b"\x0a9.7.4-2\0\x01\0\0\0"), Ok("9.7.4-2".into()));
        assert!(handshake_version(b"\x0a9.7.4").is_err());
        let refused = handshake_version(b"\xff\x10\x04Too many connections").expect_err("an error");
        assert!(refused.contains("Too many connections"), "{refused}");
        assert!(handshake_version(b"HTTP/1.1").is_err());
    }

    #[test]
    fn the_environment_names_a_server() {
        let only_address = |suffix: &str| suffix.is_empty().then(|| "db.example:3306".to_string());
        let server = from_environment(Kind::MySql, only_address).expect("named").expect("well named");
        assert_eq!((server.address().as_str(), server.user.as_str()), ("db.example:3306", "omstest"));
        assert_eq!(from_environment(Kind::MySql, |_| None), None);
        let wrong = |suffix: &str| suffix.is_empty().then(|| "db.example".to_string());
        let error = from_environment(Kind::MySql, wrong).expect("named").expect_err("an error");
        assert!(error.contains("OMS_TEST_MYSQL"), "{error}");
    }

    #[test]
    fn a_recorded_server_lacks_nothing() {
        let entry = serde_json::json!({"host": "h", "port": 1, "user": "u", "password": "p", "ca": "c"});
        let server = from_entry(Kind::MariaDb, &entry).expect("complete");
        assert_eq!((server.address().as_str(), server.ca), ("h:1", Some("c".into())));
        let error = from_entry(Kind::MariaDb, &serde_json::json!({"host": "h"})).expect_err("an error");
        assert!(error.contains("no port"), "{error}");
    }
}
