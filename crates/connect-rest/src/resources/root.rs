//! `GET /`: the worker's versions.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Json;
use crate::app::App;

/// The version of Kafka Connect whose REST API this is. Clients such as kcctl look at it to see what they may ask for.
const KAFKA_CONNECT: &str = "3.9.0";

/// What a worker is.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServerInfo {
    /// The version of Kafka Connect whose API this is.
    pub version: &'static str,
    pub commit: &'static str,
    /// The worker's group: workers of one group on one broker share their connectors.
    pub kafka_cluster_id: String,
    pub omsconnect_version: &'static str,
    pub worker_id: String,
}

/// The worker's versions and its group.
#[utoipa::path(get, operation_id = "getServerInfo", path = "/", tag = "Worker", responses((status = 200, body = ServerInfo)))]
pub async fn info(State(app): State<Arc<App>>) -> Json<ServerInfo> {
    let info = app.worker.info();
    Json(ServerInfo {
        version: KAFKA_CONNECT,
        commit: option_env!("OMSCONNECT_COMMIT").unwrap_or("unknown"),
        kafka_cluster_id: info.group,
        omsconnect_version: info.version,
        worker_id: info.worker_id,
    })
}
