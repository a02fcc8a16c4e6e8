//! NATS with JetStream, of the system's own release: one server, without authentication.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;

use super::process;
use super::tls::{self, Tls};
use super::{Entry, Place, Service, apt, files, variable};
use crate::{Result, run};

pub struct Nats;

impl Service for Nats {
    fn name(&self) -> &'static str {
        "nats"
    }

    fn port(&self) -> u16 {
        4222
    }

    fn install(&self, _place: &Place) -> Result<()> {
        if run::find_program("nats-server").is_some() {
            return Ok(());
        }
        apt::install(&["nats-server"])
    }

    fn start(&self, place: &Place, port: u16) -> Result<Entry> {
        let Tls { ca, certificate, key } = tls::ensure(&place.shared.join("tls"))?;
        let data_dir = place.own.join("data");
        files::remove_folder(&data_dir)?;
        files::make_folder(&data_dir)?;
        let configuration = place.own.join("nats.conf");
        files::write(&configuration, CONFIGURATION)?;
        let program =
            run::find_program("nats-server").ok_or("there is no nats-server, although it is installed")?;
        let program = program.display().to_string();
        let mut server = run::command(std::slice::from_ref(&program));
        server.args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js"]);
        server.arg("-c").arg(&configuration).arg("-sd").arg(&data_dir);
        let process = process::spawn(&mut server, &place.log())?;
        let more = [("certificate", certificate), ("key", key)];
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
            command: vec![program],
            template: PathBuf::new(),
            more: more.map(|(name, file)| (name.to_string(), file.display().to_string())).into(),
            env: [(variable(self.name()), format!("127.0.0.1:{port}"))].into(),
        })
    }

    /// What the server says first, and whether it answers.
    fn probe(&self, _place: &Place, entry: &Entry) -> Result<String> {
        let problem = |error: std::io::Error| format!("no answer: {error}");
        let mut stream = std::net::TcpStream::connect((&*entry.host, entry.port)).map_err(problem)?;
        stream.set_read_timeout(Some(std::time::Duration::from_secs(2))).map_err(problem)?;
        stream.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n").map_err(problem)?;
        let mut lines = BufReader::new(stream).lines();
        let mut line = || lines.next().unwrap_or_else(|| Ok(String::new())).map_err(problem);
        let info = line()?;
        if line()? != "PONG" {
            return Err("this is not a NATS server, or it wants a user".into());
        }
        let version = info.split_once("\"version\":\"").and_then(|(_, rest)| rest.split('"').next());
        version.map(str::to_string).ok_or_else(|| format!("its greeting says no version: {info}"))
    }
}

/// Messages of 4 MiB and values of stores of 1 MiB are more than the server takes unless told.
const CONFIGURATION: &str = "max_payload: 8MB\nmax_pending: 64MB\n";
