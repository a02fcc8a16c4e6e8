//! The endpoints of the original OpenMessaging Connect runtime: all GET, all plain text. What it answered was recorded
//! from a running one; its `/connectors/{name}/config` and `/status` are Kafka Connect's here.

mod create;
mod information;
mod stop;

use std::sync::Arc;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
pub use create::create;
pub use stop::{__path_stop, stop};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;

pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(information::cluster_info))
        .routes(routes!(information::config_info))
        .routes(routes!(information::allocated_info))
}

fn text(status: StatusCode, body: impl Into<String>) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain;charset=utf-8")], body.into()).into_response()
}

/// Where changes over GET are switched off.
fn switched_off(instead: &str) -> Response {
    let body =
        format!("Refused: changing connectors over GET is switched off on this worker (use {instead})");
    text(StatusCode::FORBIDDEN, body)
}
