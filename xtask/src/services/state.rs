//! `target/services/state.json`: what `up` started, for `down`, for `status` and for `testkit`.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::process::Process;
use crate::Result;

/// Everything that is up, by the name of the service.
pub type State = BTreeMap<String, Entry>;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    #[serde(flatten)]
    pub process: Process,
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
    pub version: String,
    pub data_dir: PathBuf,
    pub log: PathBuf,
    /// The certificate authority (PEM) that signed the server's certificate.
    pub ca: PathBuf,
    /// The server program and the arguments that any instance of it takes; `testkit` adds a data folder and a port to
    /// start a private one.
    pub command: Vec<String>,
    /// An initialised data folder to copy for a private instance.
    pub template: PathBuf,
    /// What else tests of this service want to know: other ports, folders of jars, programs.
    #[serde(default)]
    pub more: BTreeMap<String, String>,
    /// What tests are told in their environment.
    pub env: BTreeMap<String, String>,
}

pub fn file(folder: &Path) -> PathBuf {
    folder.join("state.json")
}

pub fn read(folder: &Path) -> Result<State> {
    let file = file(folder);
    match std::fs::read_to_string(&file) {
        Ok(text) => serde_json::from_str(&text).map_err(|error| {
            format!("{} is not readable: {error}; end the servers by hand and delete it", file.display())
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(State::new()),
        Err(error) => Err(format!("cannot read {}: {error}", file.display())),
    }
}

/// Written whole or not at all: tests may be reading it.
pub fn write(folder: &Path, state: &State) -> Result<()> {
    let file = file(folder);
    let problem = |error: &dyn std::fmt::Display| format!("cannot write {}: {error}", file.display());
    let text = serde_json::to_string_pretty(state).map_err(|error| problem(&error))?;
    let draft = folder.join("state.json.new");
    std::fs::write(&draft, text + "\n").map_err(|error| problem(&error))?;
    std::fs::rename(&draft, &file).map_err(|error| problem(&error))
}

/// Held while servers are started or stopped, so that two `up` at once start each server once. Given up when dropped.
pub fn lock(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let problem = |error: &dyn std::fmt::Display| format!("cannot lock {}: {error}", path.display());
    std::fs::create_dir_all(folder).map_err(|error| problem(&error))?;
    let file = File::create(&path).map_err(|error| problem(&error))?;
    if file.try_lock().is_err() {
        eprintln!("another `cargo xtask` is starting or stopping servers: waiting for it");
        file.lock().map_err(|error| problem(&error))?;
    }
    Ok(file)
}
