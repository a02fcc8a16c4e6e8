//! The resources, one file for each. Kafka Connect's that are to come (offsets, topics, loggers, PATCH of a
//! configuration) are a new file and a line here.

mod config;
mod connector;
mod connectors;
mod health;
mod lifecycle;
mod messages;
mod openapi;
mod plugins;
mod queues;
mod restart;
mod root;
mod status;
mod tasks;
mod validate;
mod views;

use std::sync::Arc;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;

/// Kafka Connect's resources, as `docs/reference/rest-compatibility.md` describes them.
pub fn kafka_connect() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(root::info))
        .routes(routes!(connectors::list, connectors::create))
        .routes(routes!(connector::get, connector::delete))
        .routes(routes!(config::get, config::put))
        .routes(routes!(status::get))
        .routes(routes!(tasks::list))
        .routes(routes!(tasks::status))
        .routes(routes!(restart::task))
        .routes(routes!(restart::connector))
        .routes(routes!(lifecycle::pause))
        .routes(routes!(lifecycle::resume))
        .routes(routes!(plugins::list))
        .routes(routes!(plugins::config))
        .routes(routes!(validate::validate))
        .routes(routes!(health::health))
        // `stop` shares its path with the original's, which is a GET.
        .routes(routes!(lifecycle::stop, crate::original::stop))
}

/// What this worker has beside them.
pub fn own() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(health::ready))
        .routes(routes!(queues::list, queues::create))
        .routes(routes!(queues::get, queues::delete))
        .routes(routes!(messages::stream))
        .routes(routes!(openapi::document))
}

/// An answer in JSON, without a space more than needed.
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        // Views are plain data with text keys: they are always JSON.
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}
