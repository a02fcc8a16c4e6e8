//! `/connectors/{name}/status`.

use std::sync::Arc;

use axum::extract::State;

use super::Json;
use super::views::ConnectorStatus;
use crate::app::App;
use crate::error::{ErrorBody, RestError, Result};
use crate::extract::Params;

/// How a connector and its tasks are.
#[utoipa::path(get, operation_id = "getConnectorStatus", path = "/connectors/{name}/status", tag = "Connectors", params(("name" = String, Path)), responses(
    (status = 200, body = ConnectorStatus),
    (status = 404, body = ErrorBody),
))]
pub async fn get(State(app): State<Arc<App>>, Params(name): Params<String>) -> Result<Json<ConnectorStatus>> {
    let status = app.worker.connector_status(&name);
    status.map(|status| Json(status.into())).ok_or_else(|| {
        RestError::not_found("connector.unknown", format!("No status found for connector {name}"))
    })
}
