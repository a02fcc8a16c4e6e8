//! MySQL, which the stable release of Debian does not have: unpacked from the unstable one beside the system, and run
//! through the loader and the libraries that came with it.

use std::path::{Path, PathBuf};

use super::{Entry, Place, Service, apt, files, mysql_family};
use crate::{Result, run};

pub struct MySql;

const PACKAGES: apt::Beside<'static> = apt::Beside {
    suite: "sid",
    packages: &["mysql-server-core", "mysql-client-core"],
    wanted: &["lib", "mysql-server-core", "mysql-client-core", "zlib1g"],
};

impl Service for MySql {
    fn name(&self) -> &'static str {
        "mysql"
    }

    fn port(&self) -> u16 {
        23306
    }

    fn install(&self, place: &Place) -> Result<()> {
        files::make_folder(&place.dist)?;
        PACKAGES.unpack(&place.dist).map(|_| ())
    }

    fn start(&self, place: &Place, port: u16) -> Result<Entry> {
        let root = place.dist.join("root");
        let server = server(&root)?;
        let template = template(place, &server)?;
        let mut command = server;
        command.extend(mysql_family::common_arguments(place)?);
        command.extend([
            "--mysqlx=OFF".into(),
            "--gtid-mode=ON".into(),
            "--enforce-gtid-consistency=ON".into(),
        ]);
        let own = ["--server-id=2", "--innodb-buffer-pool-size=512M", "--innodb-redo-log-capacity=512M"];
        mysql_family::start(self.name(), place, port, command, &template, &own)
    }

    fn probe(&self, place: &Place, entry: &Entry) -> Result<String> {
        let mut client = loaded(&place.dist.join("root"), "usr/bin/mysql")?;
        client.push("--no-defaults".into());
        mysql_family::probe(mysql_family::connected(
            run::command(&client),
            &["--ssl-mode=VERIFY_IDENTITY"],
            entry,
        ))
    }
}

/// A program of the unpacked tree, started by the tree's own loader with the tree's own libraries.
fn loaded(root: &Path, program: &str) -> Result<Vec<String>> {
    let loader = loader(root).ok_or_else(|| {
        format!(
            "no ld-linux under {}: delete the folder and run `cargo xtask services up` again",
            root.display()
        )
    })?;
    let libraries = loader.parent().unwrap_or(root).display();
    Ok(vec![
        loader.display().to_string(),
        "--library-path".into(),
        format!("{libraries}:{}", root.join("usr/lib/mysql/private").display()),
        root.join(program).display().to_string(),
    ])
}

/// `usr/lib/MACHINE-linux-gnu/ld-linux-MACHINE.so.N`
fn loader(root: &Path) -> Option<PathBuf> {
    let folders = std::fs::read_dir(root.join("usr/lib")).ok()?.flatten();
    let files = folders
        .filter_map(|folder| std::fs::read_dir(folder.path()).ok())
        .flat_map(|listing| listing.flatten());
    files
        .map(|file| file.path())
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ld-linux")))
}

fn server(root: &Path) -> Result<Vec<String>> {
    let mut command = loaded(root, "usr/sbin/mysqld")?;
    let at = |path: &str| root.join(path).display().to_string();
    command.extend([
        "--no-defaults".into(),
        "--secure-file-priv=NULL".into(),
        format!("--lc-messages-dir={}", at("usr/share/mysql")),
        format!("--character-sets-dir={}", at("usr/share/mysql/charsets")),
        format!("--plugin-dir={}", at("usr/lib/mysql/plugin")),
    ]);
    Ok(command)
}

/// An initialised data folder, made once.
fn template(place: &Place, server: &[String]) -> Result<PathBuf> {
    let template = place.own.join("template");
    if template.exists() {
        return Ok(template);
    }
    let draft = place.own.join("template.new");
    files::remove_folder(&draft)?;
    let mut command = run::command(server);
    command.args(["--initialize-insecure", "--innodb-redo-log-capacity=16M"]);
    command.arg(format!("--datadir={}", draft.display()));
    if nix::unistd::geteuid().is_root() {
        command.arg("--user=root");
    }
    run::logged(&mut command, &place.own.join("init.log"))?;
    // The server's UUID: every copy must make one of its own.
    let uuid = draft.join("auto.cnf");
    std::fs::remove_file(&uuid).map_err(|error| format!("cannot remove {}: {error}", uuid.display()))?;
    std::fs::rename(&draft, &template)
        .map_err(|error| format!("cannot write {}: {error}", template.display()))?;
    Ok(template)
}
