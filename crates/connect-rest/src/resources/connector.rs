//! `/connectors/{name}`: one connector, and deleting it. The original creates here, over GET.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::Json;
use super::views::ConnectorInfo;
use crate::app::App;
use crate::deadline::Deadline;
use crate::error::{ErrorBody, RestError, Result};
use crate::extract::{NoBody, Pairs, Params};
use crate::original;

/// A connector with its configuration and the ids of its tasks.
///
/// With `config`, as the original runtime has it: creates the connector, or replaces its configuration, and answers in
/// plain text. `success`, or what is wrong.
#[utoipa::path(get, operation_id = "getConnector", path = "/connectors/{name}", tag = "Connectors",
    params(
        ("name" = String, Path),
        ("config" = Option<String>, Query, description = "The original's creation over GET: a JSON object of strings"),
    ),
    responses(
        (status = 200, description = "The connector; with `config` a plain text", body = ConnectorInfo),
        (status = 403, description = "With `config`: sent by a page of another site, or switched off"),
        (status = 404, body = ErrorBody),
        (status = 500, description = "With `config`: it cannot be read"),
    ))]
pub async fn get(
    State(app): State<Arc<App>>,
    Params(name): Params<String>,
    pairs: Pairs,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    deadline: Deadline,
) -> Result<Response> {
    match pairs.get("config").filter(|_| method == Method::GET) {
        Some(config) => Ok(original::create(&app, &name, config, &uri, &headers, deadline).await),
        None => {
            let info = app.worker.connector_info(&name).ok_or_else(|| not_found(&name))?;
            Ok(Json(ConnectorInfo::from(info)).into_response())
        }
    }
}

/// Deletes a connector. Its queues and positions stay.
#[utoipa::path(delete, operation_id = "deleteConnector", path = "/connectors/{name}", tag = "Connectors", params(("name" = String, Path)), responses(
    (status = 204),
    (status = 404, body = ErrorBody),
))]
pub async fn delete(
    State(app): State<Arc<App>>,
    Params(name): Params<String>,
    deadline: Deadline,
    _: NoBody,
) -> Result<StatusCode> {
    let stage = || format!("writing that connector {name} is deleted");
    let deleted = deadline.within(stage, app.worker.delete_connector(&name)).await;
    deleted.map_err(|error| error.or_missing(|| not_found(&name).message))?;
    Ok(StatusCode::NO_CONTENT)
}

/// In Kafka Connect's words.
pub fn not_found(name: &str) -> RestError {
    RestError::not_found("connector.unknown", format!("Connector {name} not found"))
}
