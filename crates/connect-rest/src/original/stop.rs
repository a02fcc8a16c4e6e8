//! `GET /connectors/{name}/stop`, which deletes.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::{switched_off, text};
use crate::app::App;
use crate::deadline::Deadline;
use crate::extract::Params;

/// Deletes a connector, as the original runtime has it: `success`, also where there is none of that name, or `failed`.
/// Kafka Connect's `PUT` here only stops it.
#[utoipa::path(get, operation_id = "deleteConnectorOverGet", path = "/connectors/{name}/stop", tag = "Original runtime", params(("name" = String, Path)), responses(
    (status = 200, description = "`success` or `failed`", body = String, content_type = "text/plain"),
    (status = 403, description = "Sent by a page of another site, or switched off"),
))]
pub async fn stop(
    State(app): State<Arc<App>>,
    Params(name): Params<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    deadline: Deadline,
) -> Response {
    if method != Method::GET {
        return StatusCode::OK.into_response();
    }
    if !app.options.create_over_get {
        return switched_off("DELETE /connectors/NAME");
    }
    if let Err(refused) = app.guard.check_change_over_get(&uri, &headers) {
        return text(refused.status, refused.message);
    }
    let stage = || format!("writing that connector {name} is deleted");
    match deadline.within(stage, app.worker.delete_connector(&name)).await {
        Ok(()) => text(StatusCode::OK, "success"),
        Err(error) if error.status == StatusCode::NOT_FOUND => text(StatusCode::OK, "success"),
        Err(error) => text(StatusCode::OK, format!("failed: {}", error.message)),
    }
}
