//! What the cluster is made of, what is configured, what this worker does.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use connect_runtime::worker::Allocated;
use openmessaging_connector::Config;
use serde::Serialize;

use super::text;
use crate::app::App;

/// How the original wrote a configuration.
#[derive(Serialize)]
struct Configs<'c> {
    properties: &'c Config,
}

/// The workers that are alive, each with its latest heartbeat in milliseconds since the epoch.
#[utoipa::path(get, operation_id = "getClusterInfo", path = "/getClusterInfo", tag = "Original runtime", responses(
    (status = 200, description = "`{\"workerId\": epochMs}`", body = String, content_type = "text/plain"),
))]
pub async fn cluster_info(State(app): State<Arc<App>>) -> Response {
    let state = app.worker.state();
    let heartbeats: BTreeMap<_, _> =
        state.members.iter().map(|(id, member)| (id, member.heartbeat)).collect();
    text(StatusCode::OK, json(&heartbeats))
}

/// The configurations of all connectors and tasks, secrets masked.
#[utoipa::path(get, operation_id = "getConfigInfo", path = "/getConfigInfo", tag = "Original runtime", responses(
    (status = 200, description = "`ConnectorConfigs:{...}`, `TaskConfigs:{...}`", body = String, content_type = "text/plain"),
))]
pub async fn config_info(State(app): State<Arc<App>>) -> Response {
    let mut connectors = BTreeMap::new();
    let mut tasks = BTreeMap::new();
    for name in app.worker.connector_names() {
        let (Some(info), Some(task_infos)) =
            (app.worker.connector_info(&name), app.worker.connector_tasks(&name))
        else {
            continue;
        };
        connectors.insert(name.clone(), info.config);
        tasks.insert(name, task_infos.into_iter().map(|task| task.config).collect());
    }
    text(StatusCode::OK, config_text(&connectors, &tasks))
}

fn config_text(connectors: &BTreeMap<String, Config>, tasks: &BTreeMap<String, Vec<Config>>) -> String {
    let connectors: BTreeMap<_, _> =
        connectors.iter().map(|(name, properties)| (name, Configs { properties })).collect();
    let tasks: BTreeMap<_, Vec<_>> = tasks
        .iter()
        .map(|(name, configs)| (name, configs.iter().map(|properties| Configs { properties }).collect()))
        .collect();
    format!("ConnectorConfigs:{}\nTaskConfigs:{}", json(&connectors), json(&tasks))
}

/// The connectors and tasks that this worker runs, with their configurations, secrets masked.
#[utoipa::path(get, operation_id = "getAllocatedInfo", path = "/getAllocatedInfo", tag = "Original runtime", responses(
    (status = 200, description = "`working connectors:`, `working tasks:`", body = String, content_type = "text/plain"),
))]
pub async fn allocated_info(State(app): State<Arc<App>>) -> Response {
    text(StatusCode::OK, allocated_text(&app.worker.allocated()))
}

fn allocated_text(allocated: &Allocated) -> String {
    let mut body = "working connectors:\n".to_owned();
    for (name, properties) in &allocated.connectors {
        entry(&mut body, name, properties);
    }
    body.push_str("working tasks:\n");
    for (name, properties) in &allocated.tasks {
        entry(&mut body, name, properties);
    }
    body
}

fn entry(body: &mut String, name: &str, properties: &Config) {
    // Writing to a string cannot fail.
    let _ = writeln!(body, "connectorName:{name}\nConfigs:{}", json(&Configs { properties }));
}

/// Maps with text keys: they are always JSON.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(value: &str) -> Config {
        Config::from_iter([("k".to_owned(), value.to_owned())])
    }

    #[test]
    fn the_texts_are_the_originals() {
        let connectors = BTreeMap::from([("a".to_owned(), config("1"))]);
        let tasks = BTreeMap::from([("a".to_owned(), vec![config("2"), config("3")])]);
        assert_eq!(
            config_text(&connectors, &tasks),
            "ConnectorConfigs:{\"a\":{\"properties\":{\"k\":\"1\"}}}\n\
             TaskConfigs:{\"a\":[{\"properties\":{\"k\":\"2\"}},{\"properties\":{\"k\":\"3\"}}]}"
        );
        assert_eq!(config_text(&BTreeMap::new(), &BTreeMap::new()), "ConnectorConfigs:{}\nTaskConfigs:{}");
        let mut allocated = Allocated::default();
        assert_eq!(allocated_text(&allocated), "working connectors:\nworking tasks:\n");
        allocated.connectors.insert("a".to_owned(), config("1"));
        allocated.tasks.push(("a".to_owned(), config("2")));
        assert_eq!(
            allocated_text(&allocated),
            "working connectors:\nconnectorName:a\nConfigs:{\"properties\":{\"k\":\"1\"}}\n\
             working tasks:\nconnectorName:a\nConfigs:{\"properties\":{\"k\":\"2\"}}\n"
        );
    }
}
