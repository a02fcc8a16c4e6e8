//! Which of the given values counts, and whether it can be read. Pure: files, flags and variables come in as data.

use std::collections::BTreeMap;
use std::fmt;

use openmessaging_connector::config::nearest;

use super::key::{Default, Key, Kind, PREFIX};
use super::properties::Property;
use super::table::{KEYS, PREFIXES};
use crate::failure::{Failure, Result};

/// Where a value is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Flag(String),
    Variable(String),
    File { path: String, line: usize },
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(flag) => write!(f, "flag {flag}"),
            Origin::Variable(name) => write!(f, "environment variable {name}"),
            Origin::File { path, line } => write!(f, "{path}, line {line}"),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// A value as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    pub text: String,
    pub origin: Origin,
}

/// Everything that was given, by the name used there.
#[derive(Debug, Default)]
pub struct Sources {
    /// Flag name (without dashes) and value.
    pub flags: Vec<(String, String)>,
    /// `--set KEY=VALUE`.
    pub set: Vec<(String, String)>,
    /// The whole environment.
    pub variables: Vec<(String, String)>,
    /// The file's name and content.
    pub file: Option<(String, Vec<Property>)>,
}

/// The value of every key, and those behind prefixes.
#[derive(Debug)]
pub struct Resolved {
    values: BTreeMap<&'static str, Given>,
    /// By full key.
    pub prefixed: BTreeMap<String, Given>,
    /// Variables that look like ours and are not.
    pub warnings: Vec<String>,
}

impl Resolved {
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(|given| given.text.as_str())
    }

    /// The value of a key that has a default; empty where it has none.
    pub fn text(&self, key: &str) -> &str {
        self.get(key).unwrap_or_default()
    }

    pub fn origin(&self, key: &str) -> &Origin {
        self.values.get(key).map_or(&Origin::Default, |given| &given.origin)
    }

    pub fn number(&self, key: &str) -> u64 {
        number(self.text(key)).unwrap_or_default()
    }

    pub fn bool(&self, key: &str) -> bool {
        self.text(key).eq_ignore_ascii_case("true")
    }

    /// The keys behind `prefix`, without it.
    pub fn behind<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Given)> {
        self.prefixed.iter().filter_map(move |(key, given)| Some((key.strip_prefix(prefix)?, given)))
    }
}

/// Variables of ours that are no setting of a worker: its file, and the worker that `tap` and `queues` ask.
const OTHERS: [&str; 2] = ["CONFIG_FILE", "WORKER"];

/// Takes for each key the first of flag, environment variable, file and default, and checks that it can be read.
/// `expand` replaces references to secrets.
///
/// # Errors
/// All unknown keys (`config.unknown_key`) and all values that cannot be read (`config.invalid`) at once.
pub fn resolve(sources: &Sources, expand: impl Fn(&str) -> Result<String>) -> Result<Resolved> {
    let mut failures = Vec::new();
    let mut given: BTreeMap<&'static str, Given> = BTreeMap::new();
    let mut prefixed: BTreeMap<String, Given> = BTreeMap::new();
    let mut warnings = Vec::new();
    // From the weakest to the strongest, so that the last one stays.
    for (name, text, origin) in from_file(sources) {
        place(&mut given, &mut prefixed, &mut failures, name, text, origin);
    }
    for (name, text) in &sources.variables {
        let Some(rest) = name.strip_prefix(PREFIX).filter(|rest| !OTHERS.contains(rest)) else { continue };
        let key = from_variable(name, rest);
        match key {
            Some(key) => {
                place(&mut given, &mut prefixed, &mut failures, &key, text, Origin::Variable(name.clone()));
            }
            // Not an error: containers put variables of such names there for any service named omsconnect.
            None => warnings.push(unknown_variable(name)),
        }
    }
    for (name, text) in &sources.set {
        let origin = Origin::Flag(format!("--set {name}"));
        place(&mut given, &mut prefixed, &mut failures, name, text, origin);
    }
    for (flag, text) in &sources.flags {
        if let Some(key) = KEYS.iter().find(|key| key.flag() == *flag) {
            let origin = Origin::Flag(format!("--{flag}"));
            given.insert(key.name, Given { text: text.clone(), origin });
        }
    }
    for key in KEYS {
        if let (Default::Is(text), false) = (key.default, given.contains_key(key.name)) {
            given.insert(key.name, Given { text: text.to_owned(), origin: Origin::Default });
        }
    }
    for key in KEYS {
        if let Some(value) = given.get_mut(key.name)
            && let Err(failure) = check(key, value, &expand)
        {
            failures.push(failure);
        }
    }
    match Failure::all(failures) {
        Some(failure) => Err(failure),
        None => Ok(Resolved { values: given, prefixed, warnings }),
    }
}

fn from_file(sources: &Sources) -> impl Iterator<Item = (&str, &str, Origin)> {
    sources.file.iter().flat_map(|(path, properties)| {
        properties.iter().map(|property| {
            let origin = Origin::File { path: path.clone(), line: property.line };
            (property.key.as_str(), property.value.as_str(), origin)
        })
    })
}

fn place(
    given: &mut BTreeMap<&'static str, Given>,
    prefixed: &mut BTreeMap<String, Given>,
    failures: &mut Vec<Failure>,
    name: &str,
    text: &str,
    origin: Origin,
) {
    let value = Given { text: text.to_owned(), origin };
    if let Some(key) = KEYS.iter().find(|key| key.answers_to(name)) {
        given.insert(key.name, value);
    } else if PREFIXES.iter().any(|prefix| name.len() > prefix.name.len() && name.starts_with(prefix.name)) {
        prefixed.insert(name.to_owned(), value);
    } else {
        failures.push(unknown(name, &value.origin));
    }
}

fn unknown(name: &str, origin: &Origin) -> Failure {
    let known = KEYS.iter().flat_map(|key| std::iter::once(key.name).chain(key.aliases.iter().copied()));
    let remedy = match nearest(name, known) {
        Some(near) => format!("did you mean {near}?"),
        None => "`omsconnect worker --help` lists the keys".to_owned(),
    };
    Failure::new("config.unknown_key", format!("{name} is no key of a worker ({origin})")).with_remedy(remedy)
}

/// The key that a variable means: one of the table, or one behind a prefix in lower case with dots.
fn from_variable(name: &str, rest: &str) -> Option<String> {
    if let Some(key) = KEYS.iter().find(|key| key.variable() == *name) {
        return Some(key.name.to_owned());
    }
    let dotted = rest.to_ascii_lowercase().replace('_', ".");
    PREFIXES
        .iter()
        .any(|prefix| dotted.len() > prefix.name.len() && dotted.starts_with(prefix.name))
        .then_some(dotted)
}

fn unknown_variable(name: &str) -> String {
    let known: Vec<String> = KEYS.iter().map(Key::variable).collect();
    match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("the environment variable {name} means nothing here: did you mean {near}?"),
        None => format!("the environment variable {name} means nothing here"),
    }
}

/// Expands the value in place and reads it once, so that whoever uses it later can rely on its form.
fn check(key: &Key, value: &mut Given, expand: &impl Fn(&str) -> Result<String>) -> Result<()> {
    let plain = expand(value.text.trim()).map_err(|mut failure| {
        for problem in &mut failure.problems {
            problem.message = format!("{}: {} ({})", key.name, problem.message, value.origin);
        }
        failure
    })?;
    match readable(key.kind, &plain) {
        Ok(()) => {
            value.text = plain;
            Ok(())
        }
        Err(problem) => {
            // What came from a secret is not shown, nor a URL, which may hold a password.
            let shown = match key.kind {
                Kind::Url => String::new(),
                _ => format!("\"{}\" ", value.text),
            };
            Err(Failure::new("config.invalid", format!("{}: {shown}{problem} ({})", key.name, value.origin)))
        }
    }
}

fn readable(kind: Kind, text: &str) -> std::result::Result<(), String> {
    let range = |min: u64, max: u64, what: &str| match number(text) {
        Some(number) if (min..=max).contains(&number) => Ok(()),
        _ => Err(format!("is not {what}")),
    };
    match kind {
        Kind::Text | Kind::Folder | Kind::Class if text.is_empty() => Err("is empty".to_owned()),
        Kind::Text | Kind::Folder | Kind::Class | Kind::List => Ok(()),
        Kind::Bool if ["true", "false"].iter().any(|word| text.eq_ignore_ascii_case(word)) => Ok(()),
        Kind::Bool => Err("is neither true nor false".to_owned()),
        Kind::Port if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            range(0, u64::from(u16::MAX), "a port from 0 to 65535")
        }
        Kind::Port => Err("is not a port from 0 to 65535".to_owned()),
        Kind::Millis { min, max } => {
            range(min, max, &format!("a number of milliseconds from {min} to {max}"))
        }
        Kind::Bytes { min } => {
            range(min, 1 << 50, &format!("a number of bytes, at least {min}; k, m and g are understood"))
        }
        Kind::Count { min, max } => range(min, max, &format!("a number from {min} to {max}")),
        Kind::Url => text.parse::<openmessaging::AccessPointUrl>().map(|_| ()).map_err(|error| {
            let remedy = error.remedy.map(|remedy| format!("; {remedy}")).unwrap_or_default();
            format!("{}{remedy}", error.message)
        }),
    }
}

/// A whole number, with `k`, `m` or `g` behind it for powers of 1024.
fn number(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let (digits, unit) = match lower.char_indices().last()? {
        (at, 'k') => (&lower[..at], 1 << 10),
        (at, 'm') => (&lower[..at], 1 << 20),
        (at, 'g') => (&lower[..at], 1 << 30),
        _ => (lower.as_str(), 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Result<String> {
        Ok(text.to_owned())
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn file(list: &[(&str, &str)]) -> Option<(String, Vec<Property>)> {
        let property =
            |(line, (key, value)): (usize, (String, String))| Property { key, value, line: line + 1 };
        Some(("f.conf".to_owned(), pairs(list).into_iter().enumerate().map(property).collect()))
    }

    #[test]
    fn a_flag_beats_a_variable_beats_the_file_beats_the_default() {
        let mut sources = Sources::default();
        let port = |sources: &Sources| resolve(sources, plain).expect("valid").text("httpPort").to_owned();
        assert_eq!(port(&sources), "8081");
        sources.file = file(&[("httpPort", "1")]);
        assert_eq!(port(&sources), "1");
        sources.variables = pairs(&[("OMSCONNECT_HTTP_PORT", "2")]);
        assert_eq!(port(&sources), "2");
        sources.set = pairs(&[("httpPort", "3")]);
        assert_eq!(port(&sources), "3");
        sources.flags = pairs(&[("http-port", "4")]);
        assert_eq!(port(&sources), "4");
    }

    #[test]
    fn an_overridden_value_is_not_held_against_anybody() {
        let sources = Sources {
            flags: pairs(&[("http-port", "4")]),
            file: file(&[("httpPort", "nonsense")]),
            ..Sources::default()
        };
        assert_eq!(resolve(&sources, plain).expect("valid").number("httpPort"), 4);
    }

    #[test]
    fn everything_wrong_is_told_at_once_with_its_place() {
        let sources = Sources {
            variables: pairs(&[("OMSCONNECT_LOG_STDOUT", "maybe"), ("PATH", "x")]),
            file: file(&[("htpPort", "1"), ("httpPort", "70000"), ("omsDriverUrl", "oms:x://me:pw@:1/d")]),
            ..Sources::default()
        };
        let text = resolve(&sources, plain).expect_err("wrong").to_string();
        for part in [
            "error[config.unknown_key]: htpPort is no key of a worker (f.conf, line 1)\n  help: did you mean httpPort?",
            "httpPort: \"70000\" is not a port from 0 to 65535 (f.conf, line 2)",
            "a host is empty",
            "logStdout: \"maybe\" is neither true nor false (environment variable OMSCONNECT_LOG_STDOUT)",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("pw"), "{text}");
    }

    #[test]
    fn options_stand_behind_prefixes_everywhere() {
        let sources = Sources {
            variables: pairs(&[("OMSCONNECT_VALUE_CONVERTER_SCHEMAS_ENABLE", "false")]),
            file: file(&[
                ("value.converter.schemas.enable", "true"),
                ("driver.user", "u"),
                ("group.id", "g"),
            ]),
            ..Sources::default()
        };
        let resolved = resolve(&sources, plain).expect("valid");
        assert_eq!(resolved.prefixed["value.converter.schemas.enable"].text, "false");
        assert_eq!(resolved.behind("driver.").map(|(key, _)| key).collect::<Vec<_>>(), ["user"]);
        assert_eq!(resolved.text("group"), "g");
    }

    #[test]
    fn a_foreign_variable_is_a_warning() {
        let sources = Sources { variables: pairs(&[("OMSCONNECT_HTTPPORT", "1")]), ..Sources::default() };
        let warnings = resolve(&sources, plain).expect("valid").warnings;
        assert!(warnings[0].contains("did you mean OMSCONNECT_HTTP_PORT?"), "{warnings:?}");
    }

    #[test]
    fn sizes_have_units_and_do_not_overflow() {
        assert_eq!(number("64m"), Some(64 << 20));
        assert_eq!(number("2K"), Some(2048));
        assert_eq!(number("99999999999999999g"), None);
        assert_eq!(number("-1"), None);
        assert_eq!(number(""), None);
    }

    #[test]
    fn the_defaults_are_valid() {
        assert!(resolve(&Sources::default(), plain).is_ok());
    }
}
