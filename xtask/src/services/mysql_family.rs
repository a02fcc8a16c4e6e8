//! What MariaDB and MySQL have in common.

use std::path::Path;
use std::process::Command;

use nix::unistd::geteuid;

use super::process::{self, Process};
use super::tls::{self, Tls};
use super::{Entry, Place, files, variable};
use crate::{Result, run};

pub const USER: &str = "omstest";
pub const PASSWORD: &str = "omstest";

/// The server and its arguments, so far as any instance of it takes them (private ones of tests too).
pub fn common_arguments(place: &Place) -> Result<Vec<String>> {
    let Tls { ca, certificate, key } = tls::ensure(&place.shared.join("tls"))?;
    let users = place.own.join("users.sql");
    files::write(&users, USERS)?;
    let mut arguments = vec!["--bind-address=127.0.0.1".to_string()];
    // Both refuse to be run by root unless told so. Running as whoever asks needs no other user who would have to be
    // able to enter the checkout; they are throwaway servers on the loopback address.
    if geteuid().is_root() {
        arguments.push("--user=root".into());
    }
    arguments.extend([
        format!("--init-file={}", users.display()),
        format!("--ssl-ca={}", ca.display()),
        format!("--ssl-cert={}", certificate.display()),
        format!("--ssl-key={}", key.display()),
    ]);
    arguments.extend(COMMON.map(str::to_string));
    Ok(arguments)
}

const COMMON: [&str; 9] = [
    "--log-bin=bin",
    "--binlog-row-image=FULL",
    "--character-set-server=utf8mb4",
    "--skip-name-resolve",
    "--max-connections=500",
    "--max-allowed-packet=256M",
    // Test data need not survive a power cut, and every commit of every test waits for these two.
    "--innodb-flush-log-at-trx-commit=2",
    "--sync-binlog=0",
    // Relative to the data folder: an absolute path in a deep checkout is longer than a socket's name may be.
    "--socket=s.sock",
];

/// Run by the server at every start, before it takes connections, so that private instances have the user too. Not in
/// the binlog: a new server's binlog begins empty. The anonymous users of MariaDB would hide `omstest@%`.
const USERS: &str = "\
SET SESSION sql_log_bin=0;
CREATE USER IF NOT EXISTS 'omstest'@'%' IDENTIFIED BY 'omstest';
GRANT ALL PRIVILEGES ON *.* TO 'omstest'@'%' WITH GRANT OPTION;
DROP USER IF EXISTS ''@'localhost';
DROP USER IF EXISTS ''@'%';
";

/// Starts the shared instance on a fresh copy of the template.
pub fn start(
    name: &str,
    place: &Place,
    port: u16,
    command: Vec<String>,
    template: &Path,
    own: &[&str],
) -> Result<Entry> {
    let data_dir = place.own.join("data");
    files::remove_folder(&data_dir)?;
    files::copy_folder(template, &data_dir)?;
    let mut server = run::command(&command);
    server.arg(format!("--datadir={}", data_dir.display())).arg(format!("--port={port}")).args(own);
    let log = place.log();
    let process: Process = process::spawn(&mut server, &log)?;
    let host = "127.0.0.1".to_string();
    let ca = place.shared.join("tls/ca.pem");
    let variable = variable(name);
    let env = [
        (variable.clone(), format!("{host}:{port}")),
        (format!("{variable}_USER"), USER.into()),
        (format!("{variable}_PASSWORD"), PASSWORD.into()),
        (format!("{variable}_CA"), ca.display().to_string()),
    ];
    Ok(Entry {
        process,
        host,
        port,
        user: USER.into(),
        password: PASSWORD.into(),
        version: String::new(),
        data_dir,
        log,
        ca,
        command,
        template: template.into(),
        more: Default::default(),
        env: env.into(),
    })
}

/// A command-line client that is told how to connect: over TLS, with the certificate verified.
pub fn connected(mut client: Command, tls: &[&str], entry: &Entry) -> Command {
    client
        .args(["--host=127.0.0.1", "--protocol=TCP", "--connect-timeout=5", "--batch", "--skip-column-names"])
        .args([format!("--port={}", entry.port), format!("--user={}", entry.user)])
        .arg(format!("--ssl-ca={}", entry.ca.display()))
        .args(tls)
        // In the environment, not among the arguments, which every user of the machine can list.
        .env("MYSQL_PWD", &entry.password);
    client
}

/// Asks for the version.
pub fn probe(mut client: Command) -> Result<String> {
    run::output(client.args(["--execute", "SELECT VERSION()"])).map(|answer| answer.trim().to_string())
}
