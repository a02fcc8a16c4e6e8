//! NATS servers of a test's own.

use std::io::Read;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use super::{Instance, Launch};
use crate::services::recorded;

/// So many other servers a test may start beside, on ports of their own: TLS, TLS with certificates of clients, users and NKeys, a token, accounts with JWTs.
pub const EXTRAS: usize = 5;

/// The first port is the server's, the others are for servers with other ways to connect.
pub const PORTS: usize = 1 + EXTRAS;

pub struct Nats {
    pub configuration: String,
}

impl Default for Nats {
    fn default() -> Self {
        Self { configuration: "max_payload: 8MB\n".to_owned() }
    }
}

pub fn program() -> String {
    match std::env::var("OMS_TEST_NATS_SERVER") {
        // Another release than the recorded one.
        Ok(program) if !program.is_empty() => program,
        _ => recorded("nats")["command"][0].as_str().expect("the server's program").to_owned(),
    }
}

/// A server that stays in the foreground, on that port.
pub fn server(place: &Instance, port: u16, configuration: &str) -> Command {
    let file = place.folder.join(format!("nats-{port}.conf"));
    std::fs::write(&file, configuration).expect("a configuration");
    let mut command = Command::new(program());
    command.args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-c"]).arg(&file);
    command.arg("-sd").arg(place.folder.join(format!("data-{port}")));
    command
}

impl Launch for Nats {
    fn name(&self) -> &'static str {
        "nats"
    }

    fn ports(&self) -> usize {
        PORTS
    }

    fn prepare(&self, _place: &Instance) {}

    fn commands(&self, place: &Instance) -> Vec<Command> {
        vec![server(place, place.port(), &self.configuration)]
    }

    fn probe(&self, place: &Instance) -> Result<(), String> {
        greets(place.port())
    }
}

/// Whether a server says who it is.
pub fn greets(port: u16) -> Result<(), String> {
    let problem = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(problem)?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).map_err(problem)?;
    let mut start = [0; 4];
    stream.read_exact(&mut start).map_err(problem)?;
    if &start == b"INFO" { Ok(()) } else { Err("no greeting".into()) }
}
