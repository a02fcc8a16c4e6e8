//! `GET /connectors/{name}?config={...}`, which creates and updates.

use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use connect_runtime::config::keys;
use connect_runtime::worker::{PutMode, ValidatedKey, Validation};
use openmessaging_connector::Config;
use serde_json::value::RawValue;

use super::{switched_off, text};
use crate::app::App;
use crate::body;
use crate::deadline::Deadline;
use crate::error::RestError;

/// What the original answers where the request itself cannot be read.
const UNREADABLE: &str = "Internal server error";

/// The keys that the original asks for, in its order, each with its other names here.
const REQUIRED: [(&str, &[&str]); 3] = [
    (keys::VALUE_CONVERTER_ORIGINAL, &[keys::VALUE_CONVERTER]),
    (keys::CLASS_ORIGINAL, &[keys::CLASS]),
    (keys::DRIVER_URL, &[]),
];

/// Creates the connector or replaces its configuration: `success`, or what is wrong.
pub async fn create(
    app: &App,
    name: &str,
    config: &str,
    uri: &Uri,
    headers: &HeaderMap,
    deadline: Deadline,
) -> Response {
    if !app.options.create_over_get {
        return switched_off("POST /connectors or PUT /connectors/NAME/config");
    }
    if let Err(refused) = app.guard.check_change_over_get(uri, headers) {
        return text(refused.status, refused.message);
    }
    let config = match read(config) {
        Ok(config) => config,
        Err(why) => return text(StatusCode::INTERNAL_SERVER_ERROR, format!("{UNREADABLE}: {why}")),
    };
    let stored = app.worker.state();
    let stored = stored.connectors.get(name).map(|connector| &connector.config);
    if stored.is_some_and(|stored| same(stored, &config)) {
        return text(StatusCode::OK, "Connector with same config already exist.");
    }
    if let Some(key) = missing(&config) {
        return text(StatusCode::OK, request_key(key));
    }
    match put(app, name, config, deadline).await {
        Ok(()) => text(StatusCode::OK, "success"),
        Err(why) => text(StatusCode::OK, why),
    }
}

/// The configuration: an object of strings.
///
/// # Errors
/// What is wrong with it and where, without what it holds.
fn read(config: &str) -> Result<Config, String> {
    let members = body::object(config.as_bytes(), "config").map_err(|error| error.message)?;
    let text = |(key, raw): (String, Box<RawValue>)| match serde_json::from_str(raw.get()) {
        Ok(text) => Ok((key, text)),
        Err(_) => {
            let kind = body::kind(raw.get().bytes().next().unwrap_or_default());
            Err(format!("the value of {key:?} is {kind}: write it as a string, in quotes"))
        }
    };
    members.into_iter().map(text).collect()
}

/// Whether the connector has this configuration already, in whatever order.
fn same(stored: &Config, sent: &Config) -> bool {
    let without_name = |config: &Config| {
        let mut config = config.clone();
        config.shift_remove(keys::NAME);
        config
    };
    without_name(stored) == without_name(sent)
}

/// The first of the original's required keys that is not there under any name.
fn missing(config: &Config) -> Option<&'static str> {
    let absent = |name: &str| config.get(name).is_none_or(String::is_empty);
    let missing =
        REQUIRED.iter().find(|(name, others)| absent(name) && others.iter().all(|other| absent(other)));
    missing.map(|(name, _)| *name)
}

fn request_key(key: &str) -> String {
    format!("Request config key: {key}")
}

async fn put(app: &App, name: &str, mut config: Config, deadline: Deadline) -> Result<(), String> {
    config.insert(keys::NAME.to_owned(), name.to_owned());
    let stage = || format!("checking and writing the configuration of connector {name}");
    let put = app.worker.put_connector(name, config.clone(), PutMode::CreateOrReplace, None);
    let error = match deadline.within(stage, put).await {
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    if error.status != StatusCode::BAD_REQUEST {
        return Err(format!("failed: {}", error.message));
    }
    // The original reports one thing at a time and names a missing key in its own words: look again, key by key.
    let class = connect_runtime::config::class_of(&config).unwrap_or_default();
    let stage = || format!("validating the configuration of connector {name}");
    match deadline.within(stage, app.worker.validate(class, &config)).await {
        Ok(validation) => Err(wrong(&validation, &error)),
        Err(_) => Err(error.message),
    }
}

fn wrong(validation: &Validation, error: &RestError) -> String {
    let missing = |key: &&ValidatedKey| {
        key.value.value.is_none()
            && key.value.errors.iter().any(|error| error.starts_with("Missing required"))
    };
    if let Some(key) = validation.configs.iter().find(missing) {
        return request_key(&key.value.name);
    }
    let errors: Vec<_> = validation.errors().map(|(_, error)| error).collect();
    if errors.is_empty() { error.message.clone() } else { errors.join("\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn only_an_object_of_strings_is_read() {
        assert_eq!(read(r#"{"a":"1","b":""}"#), Ok(config(&[("a", "1"), ("b", "")])));
        for (text, what) in [
            (r#"{"mysqlPort":3306}"#, "\"mysqlPort\" is a number"),
            (r#"{"a":null}"#, "\"a\" is null"),
            (r#"{"a":{}}"#, "\"a\" is an object"),
            (r#"{"a":"x""#, "line 1 column 8"),
            ("[]", "an array"),
            ("", "empty"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(what), "{text}: {error}");
        }
        assert!(!read(r#"{"password": hunter2}"#).expect_err("unquoted").contains("hunter2"));
    }

    #[test]
    fn missing_keys_are_reported_in_the_originals_order() {
        assert_eq!(missing(&config(&[])), Some("source-record-converter"));
        assert_eq!(missing(&config(&[("source-record-converter", "c")])), Some("connector-class"));
        let both = [("value.converter", "c"), ("connector.class", "k")];
        assert_eq!(missing(&config(&both)), Some("oms-driver-url"));
        assert_eq!(missing(&config(&[both[0], both[1], ("oms-driver-url", "u")])), None);
    }

    #[test]
    fn the_same_configuration_is_known_in_any_order() {
        let stored = config(&[("a", "1"), ("b", "2"), ("name", "x")]);
        assert!(same(&stored, &config(&[("b", "2"), ("a", "1")])));
        assert!(!same(&stored, &config(&[("b", "2")])));
    }
}
