//! Running other programs, with errors that say which one and what it wrote.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::Result;

/// A command from a program and its arguments.
pub fn command<S: AsRef<OsStr>>(line: &[S]) -> Command {
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]);
    command
}

/// Runs to the end and returns standard output; a failure carries the last lines that the program wrote.
pub fn output(command: &mut Command) -> Result<String> {
    let name = describe(command);
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| format!("cannot run `{name}`: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("`{name}` failed ({}): {}", output.status, said(&output)))
}

/// Runs to the end with everything it writes appended to `log`.
pub fn logged(command: &mut Command, log: &Path) -> Result<()> {
    let name = describe(command);
    let status =
        append_to(command, log)?.status().map_err(|error| format!("cannot run `{name}`: {error}"))?;
    if status.success() {
        return Ok(());
    }
    Err(format!("`{name}` failed ({status}); the end of {}:\n{}", log.display(), tail(log, 15)))
}

/// Sends standard output and standard error of a command to the end of a file.
pub fn append_to<'a>(command: &'a mut Command, log: &Path) -> Result<&'a mut Command> {
    let problem = |error: std::io::Error| format!("cannot write {}: {error}", log.display());
    let file = File::options().create(true).append(true).open(log).map_err(problem)?;
    let copy = file.try_clone().map_err(problem)?;
    Ok(command.stdin(Stdio::null()).stdout(file).stderr(copy))
}

/// The last lines of a file, for an error message.
pub fn tail(file: &Path, lines: usize) -> String {
    let text =
        std::fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// The full path of a program, also in the `sbin` folders that a user's search path often leaves out.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn said(output: &Output) -> String {
    let both = [&output.stderr[..], &output.stdout[..]].concat();
    let text = String::from_utf8_lossy(&both).trim().to_string();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

fn describe(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}
