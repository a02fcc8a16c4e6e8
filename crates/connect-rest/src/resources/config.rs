//! `/connectors/{name}/config`: the configuration as a flat object.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use connect_runtime::worker::PutMode;
use openmessaging_connector::Config;

use super::Json;
use super::connector::not_found;
use super::connectors::{put_answer, with_name};
use super::views::ConnectorInfo;
use crate::app::App;
use crate::body;
use crate::deadline::Deadline;
use crate::error::{ErrorBody, Result};
use crate::extract::{JsonBody, Params};

/// A connector's configuration: secrets masked, references to secrets unresolved.
#[utoipa::path(get, operation_id = "getConnectorConfig", path = "/connectors/{name}/config", tag = "Connectors", params(("name" = String, Path)), responses(
    (status = 200, body = std::collections::BTreeMap<String, String>),
    (status = 404, body = ErrorBody),
))]
pub async fn get(State(app): State<Arc<App>>, Params(name): Params<String>) -> Result<Json<Config>> {
    app.worker.connector_info(&name).map(|info| Json(info.config)).ok_or_else(|| not_found(&name))
}

/// Creates a connector or replaces its configuration. A masked secret that is sent back keeps what is stored.
#[utoipa::path(put, operation_id = "putConnectorConfig", path = "/connectors/{name}/config", tag = "Connectors",
    params(("name" = String, Path)),
    request_body = std::collections::BTreeMap<String, String>,
    responses(
        (status = 200, description = "Replaced", body = ConnectorInfo),
        (status = 201, description = "Created; `Location` is its address", body = ConnectorInfo),
        (status = 400, description = "The request or the configuration is wrong", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 415, description = "The body is not said to be JSON", body = ErrorBody),
    ))]
pub async fn put(
    State(app): State<Arc<App>>,
    Params(name): Params<String>,
    deadline: Deadline,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> Result<Response> {
    let config = body::without_nulls(with_name(body::config(&body)?, &name)?)?;
    let stage = || format!("checking and writing the configuration of connector {name}");
    let put = app.worker.put_connector(&name, config, PutMode::CreateOrReplace, None);
    let put = deadline.within(stage, put).await?;
    Ok(put_answer(&app, &headers, put))
}
