//! What a user wants a connector to be: running, paused, stopped. Kept over restarts of the worker.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use connect_runtime::cluster::TargetState;

use crate::app::App;
use crate::deadline::Deadline;
use crate::error::{ErrorBody, Result};
use crate::extract::{NoBody, Params};

/// Pauses a connector: its tasks stay where they are and do nothing.
#[utoipa::path(put, operation_id = "pauseConnector", path = "/connectors/{name}/pause", tag = "Connectors", params(("name" = String, Path)), responses(
    (status = 202, description = "Taken; the status will say PAUSED"),
    (status = 404, body = ErrorBody),
))]
pub async fn pause(
    State(app): State<Arc<App>>,
    Params(name): Params<String>,
    deadline: Deadline,
    _: NoBody,
) -> Result<StatusCode> {
    set(&app, &name, deadline, TargetState::Paused).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Lets a paused or stopped connector go on.
#[utoipa::path(put, operation_id = "resumeConnector", path = "/connectors/{name}/resume", tag = "Connectors", params(("name" = String, Path)), responses(
    (status = 202, description = "Taken; the status will say RUNNING"),
    (status = 404, body = ErrorBody),
))]
pub async fn resume(
    State(app): State<Arc<App>>,
    Params(name): Params<String>,
    deadline: Deadline,
    _: NoBody,
) -> Result<StatusCode> {
    set(&app, &name, deadline, TargetState::Started).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Stops a connector: its tasks end, its configuration and positions stay.
#[utoipa::path(put, operation_id = "stopConnector", path = "/connectors/{name}/stop", tag = "Connectors", params(("name" = String, Path)), responses(
    (status = 204, description = "Taken; the status will say STOPPED"),
    (status = 404, body = ErrorBody),
))]
pub async fn stop(
    State(app): State<Arc<App>>,
    Params(name): Params<String>,
    deadline: Deadline,
    _: NoBody,
) -> Result<StatusCode> {
    set(&app, &name, deadline, TargetState::Stopped).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn set(app: &App, name: &str, deadline: Deadline, target: TargetState) -> Result<()> {
    let stage = || format!("writing the target state of connector {name}");
    let set = deadline.within(stage, app.worker.set_target(name, target)).await;
    set.map_err(|error| error.or_missing(|| format!("Unknown connector {name}")))
}
