//! Rules for single lines and for the length of files.

use super::{SourceFile, Violation, rust_text};

/// Lines of a Rust file from which on it is reported, and from which on it fails.
const LONG: usize = 600;
const TOO_LONG: usize = 800;

/// What must not be in Rust code, and why. Put together from halves, so that this file may be checked too.
const UNFINISHED: [(&str, &str); 3] = [
    (concat!("todo", "!"), "write it, or leave the function out"),
    (concat!("unimplemented", "!"), "write it, or return an error that says what is not supported"),
    (concat!("#[ig", "nore"), "a test runs or is deleted: one that is skipped looks like one that passed"),
];

/// Folders of one machine.
const MACHINE: [&str; 2] = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];

/// Hosts of package registries: which mirror is used is the matter of each machine's own settings.
const REGISTRIES: [&str; 8] = [
    concat!("crates", ".io"),
    concat!("deb.debian", ".org"),
    concat!("ftp.debian", ".org"),
    concat!("repo1.maven", ".org"),
    concat!("repo.maven.apache", ".org"),
    concat!("registry.npmjs", ".org"),
    concat!("pypi", ".org"),
    concat!("files.pythonhosted", ".org"),
];

pub fn check(files: &[SourceFile]) -> Vec<Violation> {
    files
        .iter()
        .flat_map(|file| if is_rust(file) { [rust(file), places(file)].concat() } else { places(file) })
        .collect()
}

fn is_rust(file: &SourceFile) -> bool {
    file.path.ends_with(".rs")
}

fn rust(file: &SourceFile) -> Vec<Violation> {
    // Comments may speak of these; tests may not hold them, so all lines are looked at.
    let unfinished = file.text.lines().enumerate().flat_map(|(index, line)| {
        let code = line.split("//").next().unwrap_or_default();
        let hits = UNFINISHED.iter().filter(|(token, _)| code.contains(token));
        hits.map(move |(token, remedy)| {
            Violation::new(&file.path, index + 1, format!("`{token}` in the code"), *remedy)
        })
        .collect::<Vec<_>>()
    });
    unfinished.chain(length(file)).collect()
}

fn length(file: &SourceFile) -> Option<Violation> {
    let lines = file.text.lines().count();
    if lines <= LONG {
        return None;
    }
    let code = rust_text::code_lines(&file.text).count();
    let problem = format!("{lines} lines ({code} without unit tests); {LONG} are many, {TOO_LONG} too many");
    let remedy = "divide the file by what its parts are about";
    Some(Violation { warning: lines <= TOO_LONG, ..Violation::new(&file.path, lines, problem, remedy) })
}

/// Lock files are written by the package managers and name where each package is from.
fn places(file: &SourceFile) -> Vec<Violation> {
    let name = file.path.rsplit('/').next().unwrap_or_default();
    if name == "Cargo.lock" || name == "package-lock.json" {
        return Vec::new();
    }
    let lines = file.text.lines().enumerate();
    lines
        .filter_map(|(index, line)| place_in(line).map(|(what, remedy)| (index + 1, what, remedy)))
        .map(|(line, what, remedy)| Violation::new(&file.path, line, what, remedy))
        .collect()
}

fn place_in(line: &str) -> Option<(String, &'static str)> {
    let machine =
        MACHINE.iter().find(|path| line.match_indices(*path).any(|(at, _)| !ends_a_word(&line[..at])));
    if let Some(path) = machine {
        return Some((format!("`{path}` is a folder of one machine"), "use a path relative to the checkout"));
    }
    let host =
        REGISTRIES.iter().find(|host| line.match_indices(*host).any(|(at, _)| !ends_a_label(&line[..at])))?;
    Some((
        format!("`{host}` is the host of a registry"),
        "read the mirror from the system's own settings, or leave it out",
    ))
}

fn ends_a_word(text: &str) -> bool {
    text.chars()
        .next_back()
        .is_some_and(|character| character.is_alphanumeric() || "_.-*}".contains(character))
}

/// A host's name is found after `https://` and as a part of a longer one, not at the end of another label.
fn ends_a_label(text: &str) -> bool {
    text.chars().next_back().is_some_and(|character| character.is_alphanumeric() || character == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<Violation> {
        check(&[SourceFile { path: path.into(), text: text.into() }])
    }

    #[test]
    fn unfinished_code_is_found_in_its_line() {
        let text = format!("fn a() {{\n    {}()\n}}\n", UNFINISHED[0].0);
        assert_eq!(found("a.rs", &text)[0].line, 2);
        assert_eq!(found("a.rs", &format!("// no {}() here", UNFINISHED[0].0)), []);
        assert_eq!(found("a.rs", &format!("{} = \"why\"]", UNFINISHED[2].0)).len(), 1);
    }

    #[test]
    fn long_files_are_warned_of_and_longer_ones_fail() {
        assert_eq!(found("a.rs", &"x\n".repeat(LONG)), []);
        assert!(found("a.rs", &"x\n".repeat(LONG + 1))[0].warning);
        assert!(!found("a.rs", &"x\n".repeat(TOO_LONG + 1))[0].warning);
        assert_eq!(found("a.md", &"x\n".repeat(TOO_LONG + 1)), []);
    }

    #[test]
    fn places_of_one_machine_are_found() {
        assert_eq!(found("a.md", &format!("see {}x", MACHINE[0])).len(), 1);
        assert_eq!(found("a.md", &format!("target{}x", MACHINE[0])), []);
        assert_eq!(found("a.md", &format!("https://{}/x", REGISTRIES[0])).len(), 1);
        assert_eq!(found("Cargo.lock", &format!("https://{}/x", REGISTRIES[0])), []);
    }
}
