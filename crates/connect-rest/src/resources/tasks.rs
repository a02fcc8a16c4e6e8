//! `/connectors/{name}/tasks` and the status of one.

use std::sync::Arc;

use axum::extract::State;

use super::Json;
use super::connector::not_found;
use super::views::{TaskInfo, TaskStatus};
use crate::app::App;
use crate::error::{ErrorBody, RestError, Result};
use crate::extract::Params;

/// A connector's tasks with their configurations, secrets masked.
#[utoipa::path(get, operation_id = "listTasks", path = "/connectors/{name}/tasks", tag = "Tasks", params(("name" = String, Path)), responses(
    (status = 200, body = Vec<TaskInfo>),
    (status = 404, body = ErrorBody),
))]
pub async fn list(State(app): State<Arc<App>>, Params(name): Params<String>) -> Result<Json<Vec<TaskInfo>>> {
    let tasks = app.worker.connector_tasks(&name).ok_or_else(|| not_found(&name))?;
    Ok(Json(tasks.into_iter().map(Into::into).collect()))
}

/// How one task is.
#[utoipa::path(get, operation_id = "getTaskStatus", path = "/connectors/{name}/tasks/{task}/status", tag = "Tasks",
    params(("name" = String, Path), ("task" = u32, Path)),
    responses((status = 200, body = TaskStatus), (status = 404, body = ErrorBody)))]
pub async fn status(
    State(app): State<Arc<App>>,
    Params((name, task)): Params<(String, String)>,
) -> Result<Json<TaskStatus>> {
    let task = task_number(&task)?;
    let status = app.worker.connector_status(&name);
    let status = status.and_then(|status| status.tasks.into_iter().find(|status| status.id == task));
    status.map(|status| Json(status.into())).ok_or_else(|| {
        RestError::not_found("task.unknown", format!("No status found for task {name}-{task}"))
    })
}

/// A task's number in the path; what is none is a path that does not exist.
pub fn task_number(text: &str) -> Result<u32> {
    text.parse().map_err(|_| RestError::no_such_path())
}
