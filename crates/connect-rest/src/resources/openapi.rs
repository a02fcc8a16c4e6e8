//! `GET /openapi.json`: the description of this API.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::router::openapi_json;

/// This document (OpenAPI 3.1).
#[utoipa::path(get, operation_id = "getOpenApi", path = "/openapi.json", tag = "Worker", responses((status = 200, description = "OpenAPI 3.1 document")))]
pub async fn document() -> Response {
    static DOCUMENT: LazyLock<String> = LazyLock::new(openapi_json);
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response()
}
