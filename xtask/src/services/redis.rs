//! Redis of the system's own release: one node that appends every write to a file, with a plain and a TLS listener.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use super::process;
use super::tls::{self, Tls};
use super::{Entry, Place, Service, apt, files, variable};
use crate::{Result, run};

pub struct Redis;

impl Service for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn port(&self) -> u16 {
        6379
    }

    /// The programs alone: the package `redis-server` would also set up and start a server of the system. `redis-tools`
    /// has the server's program too.
    fn install(&self, _place: &Place) -> Result<()> {
        if ["redis-server", "redis-cli", "redis-benchmark"]
            .iter()
            .all(|name| run::find_program(name).is_some())
        {
            return Ok(());
        }
        apt::install(&["redis-server", "redis-tools"])
    }

    fn start(&self, place: &Place, port: u16) -> Result<Entry> {
        let Tls { ca, certificate, key } = tls::ensure(&place.shared.join("tls"))?;
        let data_dir = place.own.join("data");
        files::remove_folder(&data_dir)?;
        files::make_folder(&data_dir)?;
        let tls_port = free_port()?;
        let command: Vec<String> = [
            program("redis-server")?.display().to_string().as_str(),
            "--bind",
            "127.0.0.1",
            "--daemonize",
            "no",
            "--appendonly",
            "yes",
            "--save",
            "",
            "--tls-auth-clients",
            "optional",
            "--tls-ca-cert-file",
            &ca.display().to_string(),
            "--tls-cert-file",
            &certificate.display().to_string(),
            "--tls-key-file",
            &key.display().to_string(),
        ]
        .map(str::to_string)
        .into();
        let mut server = run::command(&command);
        server.args(["--port", &port.to_string(), "--tls-port", &tls_port.to_string()]);
        server.arg("--dir").arg(&data_dir);
        let process = process::spawn(&mut server, &place.log())?;
        let tools = ["redis-cli", "redis-benchmark"].map(|name| program(name).map(|path| (name, path)));
        let mut more = vec![("tls".to_string(), format!("127.0.0.1:{tls_port}"))];
        for tool in tools {
            let (name, path) = tool?;
            more.push((name.to_string(), path.display().to_string()));
        }
        for (name, file) in [("certificate", &certificate), ("key", &key)] {
            more.push((name.to_string(), file.display().to_string()));
        }
        Ok(Entry {
            process,
            host: "127.0.0.1".into(),
            port,
            user: String::new(),
            password: String::new(),
            version: String::new(),
            data_dir,
            log: place.log(),
            ca,
            command,
            template: PathBuf::new(),
            more: more.into_iter().collect(),
            env: [(variable(self.name()), format!("127.0.0.1:{port}"))].into(),
        })
    }

    fn probe(&self, _place: &Place, entry: &Entry) -> Result<String> {
        let mut client = Command::new(program("redis-cli")?);
        client.args(["-h", &entry.host, "-p", &entry.port.to_string(), "INFO", "server"]);
        let answer = run::output(&mut client)?;
        let version = answer.lines().find_map(|line| line.strip_prefix("redis_version:"));
        version.map(|version| version.trim().to_string()).ok_or_else(|| answer.trim().to_string())
    }
}

fn program(name: &str) -> Result<PathBuf> {
    run::find_program(name).ok_or_else(|| format!("there is no {name}, although Redis is installed"))
}

fn free_port() -> Result<u16> {
    let bound = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    bound.map(|address| address.port()).map_err(|error| format!("no free port: {error}"))
}
