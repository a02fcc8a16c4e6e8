//! Every numbered clause of `docs/specs/*.md` has a test in `testkit`, and no test cites a clause that is not there.

use std::collections::BTreeMap;

use super::{SourceFile, Violation};

pub fn check(files: &[SourceFile]) -> Vec<Violation> {
    let specs =
        files.iter().filter(|file| file.path.starts_with("docs/specs/") && file.path.ends_with(".md"));
    let clauses: Vec<Cited> = specs.flat_map(clauses_of).collect();
    let suites = files
        .iter()
        .filter(|file| file.path.starts_with("crates/testkit/src/") && file.path.ends_with(".rs"));
    let tests: Vec<Cited> = suites.flat_map(cited_by_functions).collect();
    compare(&clauses, &tests)
}

/// A clause's id (`D12`) where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cited {
    id: String,
    file: String,
    line: usize,
}

fn compare(clauses: &[Cited], tests: &[Cited]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut seen: BTreeMap<&str, &Cited> = BTreeMap::new();
    for clause in clauses {
        let Cited { id, file, line } = clause;
        if let Some(first) = seen.insert(id, clause) {
            let problem = format!("clause {id} is also in {}:{}", first.file, first.line);
            found.push(Violation::new(file, *line, problem, "give one of them another number"));
        }
        if !tests.iter().any(|test| test.id == *id) {
            let remedy =
                format!("write a function in crates/testkit/src whose documentation or name says {id}");
            found.push(Violation::new(file, *line, format!("clause {id} has no test in testkit"), remedy));
        }
    }
    for Cited { id, file, line } in tests {
        // Letters that no specification uses are not clauses: they may be anything.
        let in_use = clauses.iter().any(|clause| clause.id[..1] == id[..1]);
        if in_use && !seen.contains_key(id.as_str()) {
            let problem = format!("cites clause {id}, which no file of docs/specs has");
            found.push(Violation::new(
                file,
                *line,
                problem,
                "write the clause, or cite the one that is meant",
            ));
        }
    }
    found
}

/// `- **D12** text`, also as a heading or a paragraph.
fn clauses_of(file: &SourceFile) -> Vec<Cited> {
    let id_of = |line: &str| {
        let text = line.trim_start_matches(['-', '*', '#', ' ']);
        let marked = line.len() - text.len() >= 2 && line[..line.len() - text.len()].ends_with("**");
        let id = text.split("**").next().filter(|id| is_id(id))?;
        marked.then(|| id.to_string())
    };
    let cited = |(index, line)| Some(Cited { id: id_of(line)?, file: file.path.clone(), line: index + 1 });
    file.text.lines().enumerate().filter_map(cited).collect()
}

/// The ids in the names of functions (`d12_dropping_a_send`) and in the documentation above them (`D12: ...`).
fn cited_by_functions(file: &SourceFile) -> Vec<Cited> {
    let mut found = Vec::new();
    let mut documentation: Vec<String> = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        let line = line.trim_start();
        if let Some(text) = line.strip_prefix("///") {
            documentation.extend(words(text).filter(|word| is_id(word)).map(str::to_string));
        } else if let Some(name) = function_name(line) {
            let named = name.split('_').map(str::to_uppercase).filter(|word| is_id(word));
            let ids = documentation.drain(..).chain(named.map(without_leading_zeros));
            found.extend(ids.map(|id| Cited { id, file: file.path.clone(), line: index + 1 }));
        } else if !line.starts_with("#[") {
            documentation.clear();
        }
    }
    found
}

/// Names of functions sort better with `s03` than with `s3`.
fn without_leading_zeros(id: String) -> String {
    format!("{}{}", &id[..1], id[1..].trim_start_matches('0'))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !character.is_alphanumeric())
}

fn function_name(line: &str) -> Option<&str> {
    let mut rest = line;
    for prefix in ["pub(crate) ", "pub(super) ", "pub ", "const ", "async "] {
        rest = rest.strip_prefix(prefix).unwrap_or(rest);
    }
    rest.strip_prefix("fn ")?.split(['(', '<']).next()
}

fn is_id(word: &str) -> bool {
    let mut characters = word.chars();
    let letter = characters.next().is_some_and(|first| first.is_ascii_uppercase());
    letter && word.len() > 1 && characters.all(|character| character.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(spec: &str, suite: &str) -> Vec<String> {
        let file = |path: &str, text: &str| SourceFile { path: path.into(), text: text.into() };
        let files = [file("docs/specs/driver.md", spec), file("crates/testkit/src/driver.rs", suite)];
        check(&files)
            .into_iter()
            .map(|violation| format!("{}: {}", violation.line, violation.problem))
            .collect()
    }

    #[test]
    fn a_clause_is_tested_by_documentation_or_by_name() {
        let spec = "# Contract, as D9 says\n- **D1** one\n- **D2** two\n### **D3** three\n";
        let suite = "/// D1: one\n#[must_use]\npub async fn one() {}\n\npub fn d2_two() {}\n/// (D3)\nfn three<T>() {}\n";
        assert_eq!(found(spec, suite), [""; 0]);
    }

    #[test]
    fn a_number_in_a_name_may_have_leading_zeros() {
        assert!(found("- **D3** one", "pub fn d03_describing() {}").is_empty());
    }

    #[test]
    fn a_clause_without_a_test_is_found() {
        assert_eq!(
            found("- **D1** one\n- **D12** two", "/// D1\nfn one() {}"),
            ["2: clause D12 has no test in testkit"]
        );
        // A citation that belongs to no function does not count.
        assert_eq!(found("- **D1** one", "/// D1\nstruct One;\nfn one() {}").len(), 1);
    }

    #[test]
    fn a_test_without_a_clause_is_found() {
        let suite = "fn d1_one() {}\n/// D7\nfn two() {}\n/// As V8 does\nfn three() {}";
        assert_eq!(found("- **D1** one", suite), ["3: cites clause D7, which no file of docs/specs has"]);
    }

    #[test]
    fn a_number_is_given_once() {
        assert!(found("**D1** one\n**D1** again", "fn d1() {}")[0].contains("also in"));
    }
}
