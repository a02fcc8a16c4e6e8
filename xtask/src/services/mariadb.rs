//! MariaDB of the system's own release.

use std::path::PathBuf;
use std::process::Command;

use super::{Entry, Place, Service, apt, files, mysql_family};
use crate::{Result, run};

pub struct MariaDb {
    name: &'static str,
    port: u16,
    on_request: bool,
}

/// The one of the tests.
pub const TESTS: MariaDb = MariaDb { name: "mariadb", port: 13306, on_request: false };

/// The one of `cargo xtask bench`: apart, so that its binlog holds the workload and nothing else.
pub const BENCH: MariaDb = MariaDb { name: "mariadb-bench", port: 13307, on_request: true };

impl Service for MariaDb {
    fn name(&self) -> &'static str {
        self.name
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn on_request(&self) -> bool {
        self.on_request
    }

    /// The programs alone: the package `mariadb-server` would also set up and start a server of the system.
    fn install(&self, _place: &Place) -> Result<()> {
        let programs = ["mariadbd", "mariadb-install-db", "mariadb"];
        if programs.iter().all(|program| run::find_program(program).is_some()) {
            return Ok(());
        }
        apt::install(&["mariadb-server-core", "mariadb-client-core"])
    }

    fn start(&self, place: &Place, port: u16) -> Result<Entry> {
        let template = template(place)?;
        let mut command = vec![program("mariadbd")?.display().to_string(), "--no-defaults".into()];
        command.extend(mysql_family::common_arguments(place)?);
        command.extend(["--binlog-format=ROW".into(), "--gtid-strict-mode=1".into()]);
        // No NULL here as MySQL has: an empty folder keeps LOAD DATA and OUTFILE in.
        let nowhere = place.own.join("files");
        files::make_folder(&nowhere)?;
        command.push(format!("--secure-file-priv={}", nowhere.display()));
        let own = ["--server-id=1", "--innodb-buffer-pool-size=512M", "--innodb-log-file-size=512M"];
        mysql_family::start(self.name(), place, port, command, &template, &own)
    }

    fn probe(&self, _place: &Place, entry: &Entry) -> Result<String> {
        mysql_family::probe(client(entry)?)
    }
}

/// The command-line client, connected.
pub fn client(entry: &Entry) -> Result<Command> {
    let mut client = Command::new(program("mariadb")?);
    client.arg("--no-defaults");
    Ok(mysql_family::connected(client, &["--ssl-verify-server-cert"], entry))
}

/// The reader of binlogs, connected. It is in the package `mariadb-client`, which no test needs.
pub fn binlog_tool(entry: &Entry) -> Result<Command> {
    let mut tool = Command::new(program("mariadb-binlog")?);
    tool.args(["--no-defaults", "--read-from-remote-server", "--raw", "--host=127.0.0.1", "--protocol=TCP"])
        .args([format!("--port={}", entry.port), format!("--user={}", entry.user)])
        .env("MYSQL_PWD", &entry.password);
    Ok(tool)
}

fn program(name: &str) -> Result<PathBuf> {
    run::find_program(name).ok_or_else(|| format!("there is no {name}, although MariaDB is installed"))
}

/// An initialised data folder, made once. Its redo log is small, since it is copied often.
fn template(place: &Place) -> Result<PathBuf> {
    let template = place.own.join("template");
    if template.exists() {
        return Ok(template);
    }
    let draft = place.own.join("template.new");
    files::remove_folder(&draft)?;
    files::make_folder(&draft)?;
    let mut command = Command::new(program("mariadb-install-db")?);
    command.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
    command.args(["--innodb-log-file-size=16M".into(), format!("--datadir={}", draft.display())]);
    if nix::unistd::geteuid().is_root() {
        command.arg("--user=root");
    }
    run::logged(&mut command, &place.own.join("init.log"))?;
    std::fs::rename(&draft, &template)
        .map_err(|error| format!("cannot write {}: {error}", template.display()))?;
    Ok(template)
}
