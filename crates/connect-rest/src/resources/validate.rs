//! `/connector-plugins/{plugin}/config/validate`: what is wrong with a configuration, key by key.

use std::sync::Arc;

use axum::extract::State;
use connect_runtime::config::keys;
use connect_runtime::worker::Validation;
use openmessaging_connector::{Config, Registry};
use serde::Serialize;
use utoipa::ToSchema;

use super::Json;
use super::plugins::KeyInfo;
use crate::app::App;
use crate::body;
use crate::deadline::Deadline;
use crate::error::{ErrorBody, RestError, Result};
use crate::extract::{JsonBody, Params};

/// The outcome of a validation.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConfigInfos {
    /// The class as it was sent.
    pub name: String,
    pub error_count: usize,
    pub groups: Vec<String>,
    pub configs: Vec<ConfigInfo>,
}

/// A key, its value, and what is wrong with it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConfigInfo {
    pub definition: KeyInfo,
    pub value: ValueInfo,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ValueInfo {
    pub name: String,
    /// As it is read: numbers trimmed, lists joined, secrets masked; null where it is missing or unreadable.
    pub value: Option<String>,
    pub recommended_values: Vec<String>,
    pub errors: Vec<String>,
    pub visible: bool,
}

/// Checks a configuration without creating anything. The answer is 200 also where there are errors.
#[utoipa::path(put, operation_id = "validatePluginConfig", path = "/connector-plugins/{plugin}/config/validate", tag = "Plugins",
    params(("plugin" = String, Path, description = "Full class name, simple name or alias")),
    request_body = std::collections::BTreeMap<String, String>,
    responses(
        (status = 200, body = ConfigInfos),
        (status = 400, description = "An unknown class, or another than the path's", body = ErrorBody),
    ))]
pub async fn validate(
    State(app): State<Arc<App>>,
    Params(plugin): Params<String>,
    deadline: Deadline,
    JsonBody(body): JsonBody,
) -> Result<Json<ConfigInfos>> {
    let sent = body::config(&body)?;
    let nulls: Vec<_> =
        sent.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| key.clone()).collect();
    let config: Config = sent.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    let class = class(app.worker.plugins(), &plugin, &config)?;
    let stage = || format!("validating a configuration of {plugin}");
    let validation = deadline.within(stage, app.worker.validate(class, &config)).await?;
    Ok(Json(shown(validation, &nulls)))
}

/// The class that the body names, else the path's.
///
/// # Errors
/// 400 where they are not the same plugin.
fn class<'c>(plugins: &Registry, path: &'c str, config: &'c Config) -> Result<&'c str> {
    let Some(included) = config.get(keys::CLASS).or_else(|| config.get(keys::CLASS_ORIGINAL)) else {
        return Ok(path);
    };
    match (plugins.connector(path), plugins.connector(included)) {
        (Ok(by_path), Ok(by_body)) if by_path.class != by_body.class => {
            let message = format!("Included connector type {included} does not match request type {path}");
            Err(RestError::bad_request("plugin.mismatch", message))
        }
        // An unknown class in the path is what the answer is about.
        (Err(_), _) => Ok(path),
        _ => Ok(included),
    }
}

fn shown(validation: Validation, nulls: &[String]) -> ConfigInfos {
    let Validation { name, groups, configs } = validation;
    let mut configs: Vec<_> = configs
        .into_iter()
        .map(|key| ConfigInfo {
            definition: match &key.definition {
                Some(definition) => KeyInfo::new(definition, key.order),
                None => KeyInfo::undefined(&key.value.name),
            },
            value: ValueInfo {
                name: key.value.name,
                value: key.value.value,
                recommended_values: key.value.recommended_values,
                errors: key.value.errors,
                visible: key.value.visible,
            },
        })
        .collect();
    for key in nulls {
        let error = body::null_error(key);
        match configs.iter_mut().find(|config| config.value.name == *key) {
            Some(config) => config.value.errors.push(error),
            None => configs.push(undefined(key, error)),
        }
    }
    let error_count = configs.iter().map(|config| config.value.errors.len()).sum();
    ConfigInfos { name, error_count, groups, configs }
}

fn undefined(name: &str, error: String) -> ConfigInfo {
    let value = ValueInfo {
        name: name.to_owned(),
        value: None,
        recommended_values: Vec::new(),
        errors: vec![error],
        visible: true,
    };
    ConfigInfo { definition: KeyInfo::undefined(name), value }
}
