//! `cargo xtask tidy`: what the compiler does not hold. Each rule is one module: a pure check of text that somebody else
//! read, returning what is wrong, where, and what to do about it.

mod clauses;
mod dependencies;
mod licences;
mod names;
mod rust_text;
mod spdx;
mod texts;

use std::path::Path;
use std::process::{Command, ExitCode};

use serde_json::Value;

use crate::{Result, run, workspace};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub file: String,
    pub line: usize,
    pub problem: String,
    pub remedy: String,
    /// A warning is printed and does not fail.
    pub warning: bool,
}

impl Violation {
    pub fn new(file: &str, line: usize, problem: impl Into<String>, remedy: impl Into<String>) -> Violation {
        Violation { file: file.into(), line, problem: problem.into(), remedy: remedy.into(), warning: false }
    }
}

/// A tracked text file.
pub struct SourceFile {
    /// Relative to the workspace, with `/`.
    pub path: String,
    pub text: String,
}

pub fn run() -> Result<ExitCode> {
    let files = tracked_files(&workspace::root())?;
    let found = check(&files)?;
    for Violation { file, line, problem, remedy, warning } in &found {
        let kind = if *warning { "warning" } else { "error" };
        println!("{file}:{line}: {kind}: {problem}\n    {remedy}");
    }
    let errors = found.iter().filter(|violation| !violation.warning).count();
    println!("tidy: {} files, {errors} errors, {} warnings", files.len(), found.len() - errors);
    Ok(if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check(files: &[SourceFile]) -> Result<Vec<Violation>> {
    let members = metadata(&["--no-deps", "--offline"])?;
    let everything = metadata(&["--locked"])?;
    let deny =
        files.iter().find(|file| file.path == "deny.toml").map(|file| file.text.as_str()).unwrap_or_default();
    let mut found = dependencies::check(&members, files);
    found.extend(texts::check(files));
    found.extend(names::check(files));
    found.extend(clauses::check(files));
    found.extend(licences::check(&everything, deny));
    found.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    Ok(found)
}

fn metadata(options: &[&str]) -> Result<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version", "1"]).args(options).current_dir(workspace::root());
    let text = run::output(&mut command)?;
    serde_json::from_str(&text)
        .map_err(|error| format!("`cargo metadata` wrote something else than JSON: {error}"))
}

/// What git tracks, and is text, and is there: a file may be deleted and not yet committed so.
fn tracked_files(root: &Path) -> Result<Vec<SourceFile>> {
    let listing = run::output(Command::new("git").args(["ls-files", "-z"]).current_dir(root))?;
    let paths = listing.split('\0').filter(|path| !path.is_empty());
    let read = |path: &str| {
        let text = String::from_utf8(std::fs::read(root.join(path)).ok()?).ok()?;
        Some(SourceFile { path: path.into(), text })
    };
    Ok(paths.filter_map(read).collect())
}
