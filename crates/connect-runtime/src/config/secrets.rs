//! References to secrets: `${env:NAME}` and `${file:PATH:KEY}`, resolved when work starts and never stored or shown.

use std::path::Path;

use openmessaging_connector::config::MASK;
use openmessaging_connector::{Config, ConfigDef, Error, Key, Result};

/// The largest file that is read for a secret, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// The text with every reference replaced. Text without `${` comes back as it is; a reference to an unknown provider
/// too, since it may mean something to the connector.
///
/// # Errors
/// `secret.missing`: the variable, file or key is not there. The error names it and never its value.
pub fn resolve(text: &str) -> Result<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let Some(length) = rest[start..].find('}') else { break };
        out.push_str(&rest[..start]);
        let reference = &rest[start + 2..start + length];
        match lookup(reference)? {
            Some(value) => out.push_str(&value),
            None => out.push_str(&rest[start..=start + length]),
        }
        rest = &rest[start + length + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

fn lookup(reference: &str) -> Result<Option<String>> {
    let missing = |what: String, remedy: &str| {
        Err(Error::config("secret.missing", format!("${{{reference}}}"), what).with_remedy(remedy))
    };
    if let Some(name) = reference.strip_prefix("env:") {
        return match std::env::var(name) {
            Ok(value) => Ok(Some(value)),
            Err(_) => missing(
                format!("the environment variable {name} is not set"),
                "set it for the worker's process and restart it",
            ),
        };
    }
    let Some((path, key)) = reference.strip_prefix("file:").and_then(|rest| rest.rsplit_once(':')) else {
        return Ok(None);
    };
    match read_property(Path::new(path), key) {
        Ok(Some(value)) => Ok(Some(value)),
        Ok(None) => {
            missing(format!("the file {path} has no line {key}=..."), "add the line, or correct the key")
        }
        Err(error) => {
            missing(format!("the file {path} cannot be read: {error}"), "make it readable to the worker")
        }
    }
}

/// The value of `key` in a properties file. The escapes of Java properties are not read here: a secret stands as it is.
fn read_property(path: &Path, key: &str) -> std::io::Result<Option<String>> {
    if std::fs::metadata(path)?.len() > MAX_FILE {
        return Err(std::io::Error::other("it is larger than 1 MiB"));
    }
    let text = std::fs::read_to_string(path)?;
    let lines = text.lines().filter(|line| !line.trim_start().starts_with(['#', '!']));
    let mut pairs = lines.filter_map(|line| line.split_once('='));
    Ok(pairs.find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim().to_owned()))
}

/// A configuration with its references resolved, and what must not be seen of it.
#[derive(Clone, Default)]
pub struct Resolved {
    pub config: Config,
    pub scrubber: Scrubber,
}

/// Resolves every value of a configuration.
pub fn resolve_config(config: &Config, def: &ConfigDef) -> Result<Resolved> {
    let mut resolved = Resolved::default();
    for (name, value) in config {
        let plain = resolve(value).map_err(|error| Error {
            message: format!("{} ({})", error.message, error.key.as_deref().unwrap_or_default()),
            ..error
        })?;
        if plain != *value || def.find(name).is_some_and(Key::is_secret) {
            resolved.scrubber.add(&plain);
        }
        resolved.config.insert(name.clone(), plain);
    }
    Ok(resolved)
}

/// Puts back the references: a task's configuration made from resolved values, as it may be stored.
pub fn unresolve(task: &Config, connector: &Config, resolved: &Config) -> Config {
    let back = |name: &String, value: &String| match (connector.get(name), resolved.get(name)) {
        (Some(reference), Some(plain)) if plain == value => reference.clone(),
        _ => value.clone(),
    };
    task.iter().map(|(name, value)| (name.clone(), back(name, value))).collect()
}

/// Takes secrets out of text (invariant 6): what came from a provider or from a password-typed key, wherever a plugin
/// or a server repeats it.
#[derive(Clone, Default)]
pub struct Scrubber {
    secrets: Vec<String>,
}

impl Scrubber {
    fn add(&mut self, secret: &str) {
        // Shorter ones would blank out ordinary text and are no secret anyway.
        if secret.len() >= 3 {
            self.secrets.push(secret.to_owned());
            self.secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        }
    }

    pub fn scrub(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, MASK))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_resolved_and_errors_name_them() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "# comment\nuser = me\npw=a=b\n").expect("written");
        let path = file.path().display();
        assert_eq!(resolve(&format!("x${{file:{path}:pw}}y")).expect("there"), "xa=by");
        let home = std::env::var("PATH").expect("PATH");
        assert_eq!(resolve("${env:PATH}").expect("set"), home);
        let error = resolve(&format!("${{file:{path}:none}}")).expect_err("no such key").to_string();
        assert!(error.contains("has no line none="), "{error}");
        let error = resolve("${env:OMS_SURELY_NOT_SET}").expect_err("not set").to_string();
        assert!(error.contains("OMS_SURELY_NOT_SET"), "{error}");
        assert_eq!(resolve("${other:x} $").expect("not ours"), "${other:x} $");
    }

    #[test]
    fn secrets_are_scrubbed_and_put_back_as_references() {
        let config = Config::from_iter([("pw".to_owned(), "${env:PATH}".to_owned())]);
        let resolved = resolve_config(&config, &ConfigDef::new()).expect("resolved");
        let plain = std::env::var("PATH").expect("PATH");
        assert_eq!(resolved.scrubber.scrub(&format!("denied for {plain}")), format!("denied for {MASK}"));
        let task = Config::from_iter([("pw".to_owned(), plain), ("x".to_owned(), "1".to_owned())]);
        assert_eq!(unresolve(&task, &config, &resolved.config)["pw"], "${env:PATH}");
    }
}
