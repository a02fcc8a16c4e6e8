//! Dependencies point one way: which crate of the workspace may use which other, and which do no I/O.

use serde_json::Value;

use super::{SourceFile, Violation, rust_text};

/// A crate, what it may depend on, and what its tests may use besides (`testkit` is for everybody's).
type Rule = (&'static str, &'static [&'static str], &'static [&'static str]);

const ALLOWED: &[Rule] = &[
    ("openmessaging", &[], &[]),
    ("openmessaging-connector", &[], &[]),
    ("drivers", &["openmessaging"], &[]),
    ("connectors", &["openmessaging-connector"], &["drivers"]),
    ("connect-runtime", &["openmessaging", "openmessaging-connector"], &["drivers"]),
    (
        "connect-rest",
        &["connect-runtime", "openmessaging", "openmessaging-connector"],
        &["connectors", "drivers"],
    ),
    ("testkit", &["openmessaging", "openmessaging-connector"], &[]),
    (
        "cli",
        &[
            "drivers",
            "connectors",
            "connect-runtime",
            "connect-rest",
            "openmessaging",
            "openmessaging-connector",
        ],
        &[],
    ),
    ("xtask", &[], &[]),
];

/// These two are the contracts: whoever implements or uses them chooses how I/O is done.
const NO_IO: [&str; 2] = ["openmessaging", "openmessaging-connector"];

/// Crates that do I/O or bring a runtime for it; also everything that begins with one of these and a hyphen.
const IO_CRATES: [&str; 14] = [
    "tokio",
    "mio",
    "async-std",
    "async-io",
    "smol",
    "socket2",
    "hyper",
    "reqwest",
    "ureq",
    "axum",
    "rustls",
    "redb",
    "rusqlite",
    "nix",
];

const IO_MODULES: [&str; 6] =
    ["std::fs", "std::process", "std::net::Tcp", "std::net::Udp", "std::os::unix::net", "tokio::"];

pub fn check(metadata: &Value, files: &[SourceFile]) -> Vec<Violation> {
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let members: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut found: Vec<Violation> =
        packages.iter().flat_map(|package| of_package(package, &members, files)).collect();
    found.extend(files.iter().flat_map(io_in_source));
    found
}

fn of_package(package: &Value, members: &[&str], files: &[SourceFile]) -> Vec<Violation> {
    let name = package["name"].as_str().unwrap_or_default();
    let manifest = manifest(package, files);
    let path = manifest.map(|file| file.path.as_str()).unwrap_or(name);
    let Some((_, normal, tests)) = ALLOWED.iter().find(|(known, ..)| *known == name) else {
        let remedy = "add it to ALLOWED in xtask/src/tidy/dependencies.rs and to docs/architecture.md";
        return vec![Violation::new(
            path,
            1,
            format!("{name} has no rule that says what it may depend on"),
            remedy,
        )];
    };
    let dependencies = package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
    let complaint = |dependency: &Value| {
        let other = dependency["name"].as_str()?;
        let for_tests = dependency["kind"].as_str() == Some("dev");
        let allowed = normal.contains(&other) || for_tests && (other == "testkit" || tests.contains(&other));
        let line = manifest.map(|file| line_of(&file.text, other)).unwrap_or(1);
        if members.contains(&other) && !allowed {
            let kind = if for_tests { "its tests depend" } else { "depends" };
            let known =
                if normal.is_empty() { "no crate of the workspace".into() } else { normal.join(", ") };
            let remedy = format!("{name} may depend on {known}; move the code to where it belongs");
            return Some(Violation::new(path, line, format!("{name}: {kind} on {other}"), remedy));
        }
        if NO_IO.contains(&name) && !for_tests && does_io(other) {
            let remedy = "keep I/O in drivers, connectors and the runtime; here are only contracts";
            return Some(Violation::new(path, line, format!("{name} does no I/O, and {other} does"), remedy));
        }
        None
    };
    dependencies.iter().filter_map(complaint).collect()
}

fn io_in_source(file: &SourceFile) -> Vec<Violation> {
    let ours = NO_IO.iter().any(|name| file.path.starts_with(&format!("crates/{name}/src/")));
    if !ours || !file.path.ends_with(".rs") {
        return Vec::new();
    }
    let uses_io = |(line, code): (usize, String)| {
        let module = IO_MODULES.iter().find(|module| code.contains(*module))?;
        let remedy = "keep I/O in drivers, connectors and the runtime; here are only contracts";
        Some(Violation::new(&file.path, line, format!("{module} in a crate that does no I/O"), remedy))
    };
    rust_text::code_lines(&file.text).filter_map(uses_io).collect()
}

fn does_io(name: &str) -> bool {
    IO_CRATES.iter().any(|known| name == *known || name.starts_with(&format!("{known}-")))
}

fn manifest<'a>(package: &Value, files: &'a [SourceFile]) -> Option<&'a SourceFile> {
    let absolute = package["manifest_path"].as_str()?;
    let matches =
        |file: &&SourceFile| file.path.contains('/') && absolute.ends_with(&format!("/{}", file.path));
    files.iter().find(matches)
}

fn line_of(manifest: &str, dependency: &str) -> usize {
    let names = |line: &str| {
        let rest = line.strip_prefix(dependency);
        rest.is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
    };
    manifest.lines().position(names).map(|index| index + 1).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn complaints(name: &str, dependency: &str, kind: Option<&str>) -> Vec<Violation> {
        let path = format!("crates/{name}/Cargo.toml");
        let text = format!("[dependencies]\nbytes = \"1\"\n{dependency}.workspace = true\n");
        let package = json!({
            "name": name,
            "manifest_path": format!("/checkout/{path}"),
            "dependencies": [{"name": dependency, "kind": kind}],
        });
        of_package(
            &package,
            &["drivers", "connectors", "testkit", "openmessaging"],
            &[SourceFile { path, text }],
        )
    }

    #[test]
    fn a_dependency_the_wrong_way_is_found_in_its_line() {
        let found = complaints("connectors", "drivers", None);
        assert_eq!((found[0].file.as_str(), found[0].line), ("crates/connectors/Cargo.toml", 3));
        assert_eq!(complaints("connectors", "drivers", Some("dev")), []);
        assert_eq!(complaints("drivers", "connectors", Some("dev")).len(), 1);
        assert_eq!(complaints("drivers", "openmessaging", None), []);
        assert_eq!(complaints("cli", "testkit", None).len(), 1);
    }

    #[test]
    fn contracts_do_no_io() {
        assert_eq!(complaints("openmessaging", "tokio", None).len(), 1);
        assert_eq!(complaints("openmessaging", "tokio-util", None).len(), 1);
        assert_eq!(complaints("openmessaging", "tokio", Some("dev")), []);
        assert_eq!(complaints("openmessaging", "bytes", None), []);
    }

    #[test]
    fn a_new_crate_needs_a_rule() {
        assert!(complaints("newcomer", "bytes", None)[0].problem.contains("no rule"));
    }
}
