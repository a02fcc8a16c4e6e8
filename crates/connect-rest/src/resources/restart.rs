//! Restarting a connector or one of its tasks.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use connect_runtime::cluster::{RestartScope, RunState, TargetState};
use connect_runtime::worker::{ConnectorStatus as Status, WorkStatus};

use super::Json;
use super::tasks::task_number;
use super::views::ConnectorStatus;
use crate::app::App;
use crate::deadline::Deadline;
use crate::error::{ErrorBody, RestError, Result};
use crate::extract::{NoBody, Pairs, Params};

/// Restarts a connector, and with `includeTasks` its tasks; with `onlyFailed` only what is FAILED of them. What is paused
/// or stopped stays so.
#[utoipa::path(post, operation_id = "restartConnector", path = "/connectors/{name}/restart", tag = "Connectors",
    params(
        ("name" = String, Path),
        ("includeTasks" = Option<bool>, Query),
        ("onlyFailed" = Option<bool>, Query),
    ),
    responses(
        (status = 202, description = "With a flag: the status, what is restarted shown as RESTARTING", body = ConnectorStatus),
        (status = 204, description = "Without a flag"),
        (status = 404, body = ErrorBody),
    ))]
pub async fn connector(
    State(app): State<Arc<App>>,
    Params(name): Params<String>,
    pairs: Pairs,
    deadline: Deadline,
    _: NoBody,
) -> Result<Response> {
    let (tasks, only_failed) = (pairs.flag("includeTasks"), pairs.flag("onlyFailed"));
    let scope = RestartScope { connector: true, tasks, task: None, only_failed };
    let unknown = || format!("Unknown connector: {name}");
    let before = app.worker.connector_status(&name);
    let before = before.ok_or_else(|| RestError::not_found("connector.unknown", unknown()))?;
    let running = target(&app, &name) == Some(TargetState::Started);
    let stage = || format!("writing that connector {name} is to be restarted");
    let restarted = deadline.within(stage, app.worker.restart(&name, scope)).await;
    restarted.map_err(|error| error.or_missing(unknown))?;
    if !tasks && !only_failed {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let status = if running { planned(before, scope) } else { before };
    Ok((StatusCode::ACCEPTED, Json(ConnectorStatus::from(status))).into_response())
}

/// Restarts one task.
#[utoipa::path(post, operation_id = "restartTask", path = "/connectors/{name}/tasks/{task}/restart", tag = "Tasks",
    params(("name" = String, Path), ("task" = u32, Path)),
    responses(
        (status = 204),
        (status = 404, body = ErrorBody),
        (status = 409, description = "The connector is stopped and has no tasks", body = ErrorBody),
    ))]
pub async fn task(
    State(app): State<Arc<App>>,
    Params((name, task)): Params<(String, String)>,
    deadline: Deadline,
    _: NoBody,
) -> Result<StatusCode> {
    let task = task_number(&task)?;
    let unknown_connector = || format!("Unknown connector: {name}");
    let status = app.worker.connector_status(&name);
    let status = status.ok_or_else(|| RestError::not_found("connector.unknown", unknown_connector()))?;
    if target(&app, &name) == Some(TargetState::Stopped) {
        let message = format!("Connector {name} is STOPPED and has no tasks: resume it first");
        return Err(RestError::new(StatusCode::CONFLICT, "connector.stopped", message));
    }
    if !status.tasks.iter().any(|status| status.id == task) {
        return Err(RestError::not_found("task.unknown", format!("Unknown task: {name}-{task}")));
    }
    let scope = RestartScope { connector: false, tasks: false, task: Some(task), only_failed: false };
    let stage = || format!("writing that task {name}-{task} is to be restarted");
    let restarted = deadline.within(stage, app.worker.restart(&name, scope)).await;
    restarted.map_err(|error| error.or_missing(unknown_connector))?;
    Ok(StatusCode::NO_CONTENT)
}

fn target(app: &App, name: &str) -> Option<TargetState> {
    app.worker.state().connectors.get(name).map(|connector| connector.target)
}

/// The status with what will be restarted shown as such. By the time of the answer it may be running again already.
fn planned(mut status: Status, scope: RestartScope) -> Status {
    let mark = |work: &mut WorkStatus| {
        if !scope.only_failed || work.state == RunState::Failed {
            work.state = RunState::Restarting;
        }
    };
    mark(&mut status.connector);
    if scope.tasks {
        status.tasks.iter_mut().for_each(|task| mark(&mut task.work));
    }
    status
}

#[cfg(test)]
mod tests {
    use connect_runtime::cluster::ConnectorKind;
    use connect_runtime::worker::TaskStatus;

    use super::*;

    fn states(tasks: bool, only_failed: bool) -> Vec<RunState> {
        let work = |state| WorkStatus { state, worker_id: String::new(), version: None, trace: None };
        let task = |id, state| TaskStatus { id, work: work(state), progress: None, warnings: Vec::new() };
        let status = Status {
            name: "x".into(),
            connector: work(RunState::Running),
            tasks: vec![task(0, RunState::Running), task(1, RunState::Failed)],
            kind: ConnectorKind::Source,
        };
        let status = planned(status, RestartScope { connector: true, tasks, task: None, only_failed });
        std::iter::once(status.connector.state)
            .chain(status.tasks.iter().map(|task| task.work.state))
            .collect()
    }

    #[test]
    fn the_answer_shows_what_is_restarted() {
        use RunState::{Failed, Restarting, Running};
        assert_eq!(states(false, true), [Running, Running, Failed]);
        assert_eq!(states(true, true), [Running, Running, Restarting]);
        assert_eq!(states(true, false), [Restarting, Restarting, Restarting]);
    }
}
