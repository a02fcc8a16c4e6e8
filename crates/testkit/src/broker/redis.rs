//! Redis servers of a test's own.

use std::path::Path;
use std::process::Command;

use super::{Instance, Launch};
use crate::services::recorded;

/// Of the default user of private servers.
pub const PASSWORD: &str = "hush-hush";

/// A well-kept server: nothing acknowledged is lost, whatever happens. Two ports, the second one for TLS.
pub struct Redis {
    server: String,
    cli: String,
    ca: String,
    certificate: String,
    key: String,
}

impl Redis {
    pub fn of_services() -> Self {
        let entry = recorded("redis");
        let text = |value: &serde_json::Value| value.as_str().expect("state.json is whole").to_owned();
        Self {
            server: text(&entry["command"][0]),
            cli: text(&entry["more"]["redis-cli"]),
            ca: text(&entry["ca"]),
            certificate: text(&entry["more"]["certificate"]),
            key: text(&entry["more"]["key"]),
        }
    }
}

impl Launch for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn ports(&self) -> usize {
        2
    }

    fn prepare(&self, place: &Instance) {
        std::fs::create_dir_all(place.folder.join("data")).expect("a folder for the data");
    }

    fn commands(&self, place: &Instance) -> Vec<Command> {
        let mut command = Command::new(&self.server);
        let (port, tls_port) = (place.ports[0].to_string(), place.ports[1].to_string());
        command.args(["--bind", "127.0.0.1", "--port", &port, "--tls-port", &tls_port, "--daemonize", "no"]);
        command.args(["--tls-auth-clients", "optional", "--tls-ca-cert-file", &self.ca]);
        command.args(["--tls-cert-file", &self.certificate, "--tls-key-file", &self.key]);
        command.args(["--requirepass", PASSWORD, "--save", ""]);
        command
            .args(["--appendonly", "yes", "--appendfsync", "always", "--dir"])
            .arg(place.folder.join("data"));
        vec![command]
    }

    fn probe(&self, place: &Instance) -> Result<(), String> {
        let mut command = cli(Path::new(&self.cli), place.port(), PASSWORD);
        let output = command.arg("PING").output().map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if text == "PONG" {
            Ok(())
        } else {
            Err(format!("{text}{}", String::from_utf8_lossy(&output.stderr)))
        }
    }
}

/// A replica of a private server.
pub struct Replica {
    redis: Redis,
    of: u16,
}

impl Replica {
    pub fn of(port: u16) -> Self {
        Self { redis: Redis::of_services(), of: port }
    }
}

impl Launch for Replica {
    fn name(&self) -> &'static str {
        "replica"
    }

    fn ports(&self) -> usize {
        2
    }

    fn prepare(&self, place: &Instance) {
        self.redis.prepare(place);
    }

    fn commands(&self, place: &Instance) -> Vec<Command> {
        let mut commands = self.redis.commands(place);
        for command in &mut commands {
            command.args(["--replicaof", "127.0.0.1", &self.of.to_string(), "--masterauth", PASSWORD]);
        }
        commands
    }

    fn probe(&self, place: &Instance) -> Result<(), String> {
        self.redis.probe(place)
    }
}

/// `redis-cli`, connected.
pub fn cli(program: &Path, port: u16, password: &str) -> Command {
    let mut command = Command::new(program);
    command.args(["-h", "127.0.0.1", "-p", &port.to_string()]);
    if !password.is_empty() {
        // In the environment, not among the arguments, which every user of the machine can list.
        command.env("REDISCLI_AUTH", password);
    }
    command
}
