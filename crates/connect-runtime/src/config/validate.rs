//! Validation of a whole connector configuration: the framework's keys, the connector's, its converters'.

use std::sync::Arc;

use openmessaging_connector::config::KeyValue;
use openmessaging_connector::{Config, ConfigDef, Error, Key, PluginInfo, PluginKind, Registry};

use super::keys;
use crate::cluster::ConnectorKind;
use crate::error::ApiError;
use crate::worker::{ValidatedKey, Validation};

/// The connector plugin of that name, or the error in the words that clients of Kafka Connect look for.
pub fn find_connector(registry: &Registry, class: &str) -> Result<Arc<PluginInfo>, ApiError> {
    registry.connector(class).map_err(|error| {
        let known = registry.plugins().iter().filter(|plugin| plugin.kind() != PluginKind::Converter);
        let known: Vec<_> = known.map(|plugin| plugin.class).collect();
        let hint = error.remedy.as_deref().filter(|remedy| remedy.starts_with("did you mean")).unwrap_or_default();
        let hint = hint.split("? known").next().map(|hint| format!(" {hint}?")).filter(|h| h.len() > 2).unwrap_or_default();
        ApiError::invalid(
            "connector.class_unknown",
            format!(
                "Failed to find any class that implements Connector and which name matches {class}, available \
                 connectors are: {}.{hint}",
                known.join(", ")
            ),
        )
    })
}

pub fn kind_of(plugin: &PluginInfo) -> ConnectorKind {
    match plugin.kind() {
        PluginKind::Sink => ConnectorKind::Sink,
        _ => ConnectorKind::Source,
    }
}

/// Everything that can be checked without calling the connector. `class` is the name as the request wrote it.
pub fn validate(registry: &Registry, plugin: &PluginInfo, class: &str, config: &Config) -> Validation {
    let framework = keys::framework(kind_of(plugin));
    let own = (plugin.config_def)();
    let mut configs = Vec::new();
    collect(&mut configs, &framework, config);
    collect(&mut configs, &own, config);
    for key in [keys::KEY_CONVERTER, keys::VALUE_CONVERTER] {
        check_converter(&mut configs, registry, &framework, key, config);
    }
    for error in framework.extend(own).unknown_keys(config) {
        let name = error.key.clone().unwrap_or_default();
        add_error(&mut configs, &name, sentence(&error));
    }
    let mut groups: Vec<String> = Vec::new();
    for group in configs.iter().filter_map(|key| key.definition.as_ref()).map(|key| key.group) {
        if !group.is_empty() && !groups.iter().any(|known| known == group) {
            groups.push(group.to_owned());
        }
    }
    Validation { name: class.to_owned(), groups, configs }
}

/// Adds what the connector itself found to the keys it names, or to `connector.class` where it names none.
pub fn add_connector_errors(validation: &mut Validation, errors: Vec<Error>) {
    for error in errors {
        let name = error.key.clone().unwrap_or_else(|| keys::CLASS.to_owned());
        add_error(&mut validation.configs, &name, sentence(&error));
    }
}

/// An error without its key, which stands beside it.
fn sentence(error: &Error) -> String {
    let remedy = error.remedy.as_deref().map(|remedy| format!(" ({remedy})")).unwrap_or_default();
    match &error.key {
        Some(key) => format!("[{}] {key}: {}{remedy}", error.code, error.message),
        None => format!("[{}] {}{remedy}", error.code, error.message),
    }
}

/// The error for a configuration that is not valid, in Kafka Connect's words.
pub fn invalid(validation: &Validation) -> ApiError {
    let errors: Vec<_> = validation.errors().map(|(_, error)| error).collect();
    ApiError::invalid(
        "config.invalid",
        format!(
            "Connector configuration is invalid and contains the following {} error(s):\n{}\nYou can also find the above \
             list of errors at the endpoint `/connector-plugins/{{connectorType}}/config/validate`",
            errors.len(),
            errors.join("\n")
        ),
    )
}

fn collect(configs: &mut Vec<ValidatedKey>, def: &ConfigDef, config: &Config) {
    for (key, value) in def.keys().iter().zip(def.validate(config)) {
        let same_group =
            |known: &&ValidatedKey| known.definition.as_ref().is_some_and(|k| k.group == key.group);
        let order = match key.group {
            "" => -1,
            _ => configs.iter().filter(same_group).count() as i32 + 1,
        };
        configs.push(ValidatedKey { order, definition: Some(key.clone()), value });
    }
}

fn add_error(configs: &mut Vec<ValidatedKey>, name: &str, error: String) {
    let answers = |key: &&mut ValidatedKey| {
        key.value.name == name
            || key.definition.as_ref().is_some_and(|definition: &Key| definition.answers_to(name))
    };
    match configs.iter_mut().find(answers) {
        Some(key) => key.value.errors.push(error),
        None => configs.push(ValidatedKey {
            order: -1,
            definition: None,
            value: KeyValue {
                name: name.to_owned(),
                value: None,
                recommended_values: Vec::new(),
                errors: vec![error],
                visible: true,
            },
        }),
    }
}

/// The converter must exist and take its options.
fn check_converter(
    configs: &mut Vec<ValidatedKey>,
    registry: &Registry,
    framework: &ConfigDef,
    key: &'static str,
    config: &Config,
) {
    let Some(definition) = framework.find(key) else { return };
    if let Err(error) = crate::task::converter(registry, definition, config, &Config::new()) {
        let remedy = error.remedy.as_deref().map(|remedy| format!(" ({remedy})")).unwrap_or_default();
        add_error(configs, key, format!("[{}] {key}: {}{remedy}", error.code, error.message));
    }
}
