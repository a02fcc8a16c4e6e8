//! From paths to resources.

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use connect_runtime::worker::Worker;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::app::App;
use crate::options::RestOptions;
use crate::{middleware, original, resources};

/// The whole API as a service that can be called without a socket. [`serve`](crate::serve) adds what a socket needs.
pub fn router(worker: Worker, options: RestOptions) -> Router {
    app_router(App::new(worker, options))
}

pub(crate) fn app_router(app: Arc<App>) -> Router {
    let (resources, _) = documented().split_for_parts();
    let resources = resources
        .method_not_allowed_fallback(middleware::method_not_allowed)
        .fallback(middleware::not_found)
        .with_state(app.clone());
    // A router routes before its layers run, so what changes the path must be around another one.
    Router::new().fallback_service(resources).layer(from_fn_with_state(app, middleware::outer))
}

#[derive(OpenApi)]
#[openapi(info(
    title = "OpenMessaging Connect",
    description = "The REST API of an omsconnect worker: the resources of Kafka Connect, those of the original \
                   OpenMessaging Connect runtime, and queues. Where the two collide on a path, Kafka Connect's answer is \
                   given. Every path is also served with a slash at its end.",
))]
struct Document;

/// All resources with their description: a handler cannot be served without being in the document.
fn documented() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(resources::kafka_connect().layer(from_fn(middleware::accepts_json)))
        .merge(resources::own())
        .merge(original::routes())
}

/// The OpenAPI 3.1 document, as it is served at `/openapi.json` and checked in as `docs/reference/openapi.json`.
pub fn openapi_json() -> String {
    let document = documented().into_openapi();
    // Plain data: it is always JSON.
    let mut text = document.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}
