//! `/connector-plugins`: the plugins of this worker and the keys of each.

use std::sync::Arc;

use axum::extract::State;
use connect_runtime::cluster::ConnectorKind;
use connect_runtime::config::keys;
use openmessaging_connector::config::Key;
use openmessaging_connector::{PluginInfo, PluginKind};
use serde::Serialize;
use utoipa::ToSchema;

use super::Json;
use crate::app::App;
use crate::error::{ErrorBody, RestError, Result};
use crate::extract::{Pairs, Params};

/// A plugin.
#[derive(Debug, Serialize, ToSchema)]
pub struct Plugin {
    pub class: String,
    /// `source`, `sink` or `converter`.
    #[serde(rename = "type")]
    pub kind: String,
    pub version: String,
}

/// A configuration key, in the shape of Kafka Connect's `ConfigKeyInfo`.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyInfo {
    pub name: String,
    /// `BOOLEAN`, `STRING`, `INT`, `LONG`, `DOUBLE`, `LIST`, `CLASS` or `PASSWORD`.
    #[serde(rename = "type")]
    pub ty: String,
    pub required: bool,
    pub default_value: Option<String>,
    /// `HIGH`, `MEDIUM` or `LOW`.
    pub importance: String,
    pub documentation: String,
    pub group: Option<String>,
    /// Within its group, from 1; -1 without a group.
    pub order: i32,
    /// `NONE`, `SHORT`, `MEDIUM` or `LONG`.
    pub width: String,
    pub display_name: String,
    pub dependents: Vec<String>,
}

impl KeyInfo {
    pub fn new(key: &Key, order: i32) -> Self {
        let grouped = !key.group.is_empty();
        Self {
            name: key.name.to_owned(),
            ty: key.ty.to_string(),
            required: key.required,
            default_value: key.default.map(str::to_owned),
            importance: key.importance.to_string(),
            documentation: key.documentation.to_owned(),
            group: grouped.then(|| key.group.to_owned()),
            order,
            width: if grouped { key.width.to_string() } else { "NONE".to_owned() },
            display_name: key.display_name.to_owned(),
            dependents: key.dependents.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    /// A key that nothing defines. Clients such as kcctl count on a definition wherever there is an error.
    pub fn undefined(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ty: "STRING".to_owned(),
            required: false,
            default_value: None,
            importance: "LOW".to_owned(),
            documentation: String::new(),
            group: None,
            order: -1,
            width: "NONE".to_owned(),
            display_name: name.to_owned(),
            dependents: Vec::new(),
        }
    }
}

/// The plugins of this worker: sinks, sources and, with `connectorsOnly=false`, converters; by class name.
#[utoipa::path(get, operation_id = "listPlugins", path = "/connector-plugins", tag = "Plugins",
    params(("connectorsOnly" = Option<bool>, Query, description = "Without it true")),
    responses((status = 200, body = Vec<Plugin>)))]
pub async fn list(State(app): State<Arc<App>>, pairs: Pairs) -> Json<Vec<Plugin>> {
    let all =
        pairs.get("connectorsOnly").is_some_and(|value| !value.is_empty()) && !pairs.flag("connectorsOnly");
    let mut plugins: Vec<_> = app.worker.plugins().plugins().iter().collect();
    plugins.retain(|plugin| all || plugin.kind() != PluginKind::Converter);
    plugins.sort_by_key(|plugin| (plugin.kind(), plugin.class));
    let shown = |plugin: &Arc<PluginInfo>| Plugin {
        class: plugin.class.to_owned(),
        kind: plugin.kind().to_string(),
        version: plugin.version.to_owned(),
    };
    Json(plugins.into_iter().map(shown).collect())
}

/// A plugin's keys; for a connector its own and then those that the runtime gives to every one.
#[utoipa::path(get, operation_id = "getPluginConfig", path = "/connector-plugins/{plugin}/config", tag = "Plugins",
    params(("plugin" = String, Path, description = "Full class name, simple name or alias")),
    responses((status = 200, body = Vec<KeyInfo>), (status = 404, body = ErrorBody)))]
pub async fn config(State(app): State<Arc<App>>, Params(name): Params<String>) -> Result<Json<Vec<KeyInfo>>> {
    let plugin = app
        .worker
        .plugins()
        .find(&name, &[PluginKind::Source, PluginKind::Sink, PluginKind::Converter])
        .map_err(|error| {
            let hint = error.remedy.map(|remedy| format!(" ({remedy})")).unwrap_or_default();
            RestError::not_found("plugin.unknown", format!("Unknown plugin {name}.{hint}"))
        })?;
    let own = (plugin.config_def)();
    let framework = match plugin.kind() {
        PluginKind::Source => Some(keys::framework(ConnectorKind::Source)),
        PluginKind::Sink => Some(keys::framework(ConnectorKind::Sink)),
        PluginKind::Converter => None,
    };
    let all = own.keys().iter().chain(framework.iter().flat_map(|def| def.keys()));
    Ok(Json(in_order(all)))
}

/// The keys with their places in their groups.
fn in_order<'k>(keys: impl Iterator<Item = &'k Key>) -> Vec<KeyInfo> {
    let mut shown: Vec<KeyInfo> = Vec::new();
    for key in keys {
        let before = shown.iter().filter(|known| known.group.as_deref() == Some(key.group)).count();
        let order = if key.group.is_empty() { -1 } else { before as i32 + 1 };
        shown.push(KeyInfo::new(key, order));
    }
    shown
}
