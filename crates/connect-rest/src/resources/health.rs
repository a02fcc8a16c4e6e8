//! `GET /health` and `GET /ready`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use connect_runtime::cluster::now_ms;
use serde::Serialize;
use utoipa::ToSchema;

use super::Json;
use crate::app::App;

/// How old the worker's own newest heartbeat may be, in milliseconds: three of the default interval.
const HEARTBEAT_AGE: i64 = 30_000;

/// How a worker is.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub struct Health {
    /// `healthy`, `starting` or `unhealthy`.
    pub status: &'static str,
    pub message: String,
}

/// Whether the worker works: whether what it writes to the broker comes back.
#[utoipa::path(get, operation_id = "getHealth", path = "/health", tag = "Worker", responses(
    (status = 200, body = Health),
    (status = 500, description = "Unhealthy", body = Health),
    (status = 503, description = "Starting", body = Health),
))]
pub async fn health(State(app): State<Arc<App>>) -> Response {
    answer(&app)
}

/// As `/health`, for load balancers and orchestrators that ask whether requests may be sent here.
#[utoipa::path(get, operation_id = "getReady", path = "/ready", tag = "Worker", responses(
    (status = 200, body = Health),
    (status = 500, description = "Unhealthy", body = Health),
    (status = 503, description = "Starting or stopping", body = Health),
))]
pub async fn ready(State(app): State<Arc<App>>) -> Response {
    if app.closing.is_cancelled() {
        let health = Health { status: "starting", message: "Worker is stopping.".to_owned() };
        return (StatusCode::SERVICE_UNAVAILABLE, Json(health)).into_response();
    }
    answer(&app)
}

fn answer(app: &App) -> Response {
    let id = app.worker.info().worker_id;
    let heartbeat = app.worker.state().members.get(&id).map(|member| member.heartbeat);
    let (status, health) = judge(heartbeat, now_ms());
    (status, Json(health)).into_response()
}

fn judge(heartbeat: Option<i64>, now: i64) -> (StatusCode, Health) {
    let (code, status, message) = match heartbeat.map(|at| now.saturating_sub(at)) {
        None => {
            let message = "Worker is still starting up, or has left its group.".to_owned();
            (StatusCode::SERVICE_UNAVAILABLE, "starting", message)
        }
        Some(age) if age > HEARTBEAT_AGE => {
            let message = format!(
                "Worker has not read its own heartbeat from the broker for {} s: the broker may not be reachable.",
                age / 1000
            );
            (StatusCode::INTERNAL_SERVER_ERROR, "unhealthy", message)
        }
        Some(_) => {
            let message = "Worker has completed startup and is ready to handle requests.".to_owned();
            (StatusCode::OK, "healthy", message)
        }
    };
    (code, Health { status, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_told_by_the_own_heartbeat() {
        assert_eq!(judge(Some(1_000), 5_000).0, 200);
        assert_eq!(judge(None, 5_000).0, 503);
        let (status, health) = judge(Some(1_000), 61_000);
        assert_eq!((status.as_u16(), health.status), (500, "unhealthy"));
        assert!(health.message.contains("60 s"), "{health:?}");
    }
}
