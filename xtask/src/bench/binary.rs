//! The program that is measured: `omsconnect`, as users build it.

use std::path::PathBuf;
use std::process::Command;

use crate::{Result, run, workspace};

/// Builds it unless it is up to date, and returns where it is.
pub fn build() -> Result<PathBuf> {
    println!("building omsconnect (release)");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--quiet", "--release", "--locked", "--package", "cli"])
        .current_dir(workspace::root());
    let status = command.status().map_err(|error| format!("cannot run cargo: {error}"))?;
    if !status.success() {
        return Err(format!("omsconnect does not build ({status})"));
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let binary = workspace::root().join(target).join("release/omsconnect");
    match binary.is_file() {
        true => Ok(binary),
        false => Err(format!("cargo built no {}", binary.display())),
    }
}

/// The version of the sources, with what is not committed said.
pub fn revision() -> String {
    let git =
        |arguments: &[&str]| run::output(Command::new("git").args(arguments).current_dir(workspace::root()));
    match (git(&["rev-parse", "--short=10", "HEAD"]), git(&["status", "--porcelain", "--untracked-files=no"]))
    {
        (Ok(revision), Ok(changes)) if changes.trim().is_empty() => revision.trim().to_string(),
        (Ok(revision), _) => format!("{} and changes", revision.trim()),
        _ => "without a revision".to_string(),
    }
}
