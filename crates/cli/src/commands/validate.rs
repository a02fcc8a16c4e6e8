//! `omsconnect validate`

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use connect_runtime::config::{class_of, keys};
use connect_runtime::worker::{Validation, validate_config};
use openmessaging_connector::Config;
use serde_json::Value;

use crate::failure::{Failure, Result};
use crate::settings::read_properties;
use crate::{output, plugins};

pub const EXAMPLES: &str = "\
Examples:
  omsconnect validate orders.json
  omsconnect validate orders.json --offline              without connecting to anything
  omsconnect validate examples/mysql-source.properties

The file is what is sent to a worker: {\"name\": ..., \"config\": {...}}, or the configuration alone; or
a properties file. Everything found is told at once. When the keys are right the connector's own
checks are made, which connect to its system.

Exit codes: 0 valid, 1 not valid, 2 wrongly called.";

/// The largest file that is read, in bytes; a worker takes no larger one.
const MAX: u64 = 4 << 20;

#[derive(Debug, Args)]
pub struct Arguments {
    /// A connector's configuration, JSON or Java properties
    file: PathBuf,
    /// Look at the keys alone, and connect to nothing
    #[arg(long)]
    offline: bool,
    /// How long the connector's own checks may take
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
}

pub async fn run(arguments: Arguments) -> Result<()> {
    let config = read(&arguments.file)?;
    let shown = arguments.file.display();
    let Some(class) = class_of(&config).map(str::to_owned) else {
        return Err(Failure::new("connector.class_missing", format!("{shown}: connector.class is missing"))
            .with_remedy("`omsconnect plugins` lists the connectors"));
    };
    let registry = plugins::registry();
    let limit = (!arguments.offline).then(|| Duration::from_secs(arguments.timeout));
    let validation = validate_config(&registry, &plugins::drivers(), &class, &config, limit).await?;
    match problems(&validation) {
        Some(failure) => Err(failure),
        None => {
            let checked = if arguments.offline { "its keys are valid" } else { "valid" };
            output::line(format!("{shown}: {checked} ({class})"))
        }
    }
}

/// What validation found, with the code where the text has one in front.
fn problems(validation: &Validation) -> Option<Failure> {
    Failure::all(validation.errors().map(|(key, text)| {
        let coded = text.strip_prefix('[').and_then(|rest| rest.split_once("] "));
        let (code, text) = coded.unwrap_or(("config.invalid", text));
        if text.contains(key) {
            Failure::new(code, text)
        } else {
            Failure::new(code, format!("{key}: {text}"))
        }
    }))
}

fn read(path: &Path) -> Result<Config> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let mut config: Config = match extension {
        "properties" | "conf" => {
            read_properties(path)?.into_iter().map(|property| (property.key, property.value)).collect()
        }
        _ => from_json(&text(path)?, &path.display().to_string())?,
    };
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    config.entry(keys::NAME.to_owned()).or_insert_with(|| stem.unwrap_or_else(|| "connector".to_owned()));
    Ok(config)
}

fn text(path: &Path) -> Result<String> {
    let unreadable = |what: &str| {
        Failure::new("config.file", format!("cannot read {}: {what}", path.display()))
            .with_remedy("name a JSON or properties file with a connector's configuration")
    };
    let length = std::fs::metadata(path).map_err(|error| unreadable(&error.to_string()))?.len();
    if length > MAX {
        return Err(unreadable("it is larger than 4 MiB"));
    }
    std::fs::read_to_string(path).map_err(|error| unreadable(&error.to_string()))
}

/// The configuration alone, or `{"name", "config"}`. Numbers and booleans become text, as a worker makes them.
fn from_json(text: &str, file: &str) -> Result<Config> {
    let syntax = |what: String| {
        Failure::new("config.syntax", format!("{file}: {what}"))
            .with_remedy("write {\"name\": \"...\", \"config\": {\"connector.class\": \"...\", ...}}")
    };
    // The parser's words about a value could repeat a secret; its place is enough.
    let value: Value = serde_json::from_str(text).map_err(|error| {
        syntax(format!("this is not JSON: line {}, column {}", error.line(), error.column()))
    })?;
    let Value::Object(mut outer) = value else { return Err(syntax("this is JSON but no object".to_owned())) };
    let name = outer.get("name").and_then(Value::as_str).map(str::to_owned);
    let inner = match outer.remove("config") {
        Some(Value::Object(inner)) => inner,
        Some(_) => return Err(syntax("config is no object".to_owned())),
        None => outer,
    };
    let mut failures = Vec::new();
    let mut config = Config::new();
    for (key, value) in inner {
        match value {
            Value::String(text) => drop(config.insert(key, text)),
            Value::Number(_) | Value::Bool(_) => drop(config.insert(key, value.to_string())),
            Value::Null => failures.push(Failure::new("config.invalid", format!("{key}: null is no value"))),
            Value::Array(_) | Value::Object(_) => failures.push(
                Failure::new("config.invalid", format!("{key}: a value is text, a number or a boolean"))
                    .with_remedy("write lists as \"a,b\""),
            ),
        }
    }
    if let Some(name) = name {
        config.entry(keys::NAME.to_owned()).or_insert(name);
    }
    Failure::all(failures).map_or(Ok(config), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_json_are_read() {
        for text in [
            r#"{"name":"n","config":{"connector.class":"x","tasks.max":1,"on":true}}"#,
            r#"{"name":"n","connector.class":"x","tasks.max":1,"on":true}"#,
        ] {
            let config = from_json(text, "f").expect("read");
            let pairs = [("name", "n"), ("connector.class", "x"), ("tasks.max", "1"), ("on", "true")];
            assert_eq!(config.len(), pairs.len());
            assert!(pairs.iter().all(|(key, value)| config[*key] == *value), "{config:?}");
        }
    }

    #[test]
    fn what_is_wrong_has_a_place_and_shows_no_value() {
        let error = from_json("{\n\"password\": hunter2}", "f.json").expect_err("no JSON").to_string();
        assert!(error.contains("f.json: this is not JSON: line 2") && !error.contains("hunter2"), "{error}");
        let error = from_json(r#"{"a":[1],"b":null}"#, "f").expect_err("no values").to_string();
        assert!(error.contains("a: a value is") && error.contains("b: null"), "{error}");
        assert!(from_json("[]", "f").is_err());
    }
}
