//! `/queues`: the queues of the worker's access point.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use openmessaging::{QueueDescription, QueueSpec};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Json;
use crate::app::App;
use crate::body;
use crate::deadline::Deadline;
use crate::error::{ErrorBody, RestError, Result};
use crate::extract::{JsonBody, NoBody, Params};
use crate::tap;

/// More than any broker takes; it keeps a mistyped number from filling a disk.
const MAX_PARTITIONS: u32 = 10_000;

/// A queue to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewQueue {
    name: String,
    /// Without it 1.
    partitions: Option<u32>,
    /// Messages older than this may be removed, in milliseconds; without it as the broker is set up.
    retention_ms: Option<u64>,
    /// The oldest messages of a larger partition may be removed; without it as the broker is set up.
    retention_bytes: Option<u64>,
}

/// A queue.
#[derive(Debug, Serialize, ToSchema)]
pub struct Queue {
    name: String,
    partitions: Vec<Partition>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Partition {
    /// Counted from 0.
    partition: u32,
    /// The offset of the oldest message that is kept; `end` where there is none.
    begin: u64,
    /// The offset that the next message will have.
    end: u64,
}

impl From<QueueDescription> for Queue {
    fn from(queue: QueueDescription) -> Self {
        let partitions = queue.partitions.into_iter();
        let partitions =
            partitions.map(|p| Partition { partition: p.partition, begin: p.begin, end: p.end }).collect();
        Self { name: queue.name, partitions }
    }
}

/// The names of the queues, in order. Those that belong to worker groups are left out.
#[utoipa::path(get, operation_id = "listQueues", path = "/queues", tag = "Queues", responses((status = 200, body = Vec<String>)))]
pub async fn list(State(app): State<Arc<App>>, deadline: Deadline) -> Result<Json<Vec<String>>> {
    let resources = app.worker.access_point().resources();
    let stage = || "listing the broker's queues".to_owned();
    let mut names = deadline.within(stage, resources.list_queues()).await?;
    names.retain(|name| !tap::is_internal(name));
    Ok(Json(names))
}

/// Creates a queue.
#[utoipa::path(post, operation_id = "createQueue", path = "/queues", tag = "Queues", request_body = NewQueue, responses(
    (status = 201, body = Queue),
    (status = 400, body = ErrorBody),
    (status = 409, description = "There is one of that name", body = ErrorBody),
))]
pub async fn create(
    State(app): State<Arc<App>>,
    deadline: Deadline,
    JsonBody(body): JsonBody,
) -> Result<Response> {
    let new: NewQueue = body::typed(&body)?;
    refuse_internal(&new.name)?;
    let partitions = new.partitions.unwrap_or(1);
    if !(1..=MAX_PARTITIONS).contains(&partitions) {
        let message = format!("partitions is {partitions}: write a number from 1 to {MAX_PARTITIONS}");
        return Err(RestError::bad_request("queue.partitions", message));
    }
    let spec = QueueSpec {
        retention_ms: new.retention_ms,
        retention_bytes: new.retention_bytes,
        ..QueueSpec::new(new.name, partitions)
    };
    let resources = app.worker.access_point().resources();
    let stage = || format!("creating the queue {}", spec.name);
    let create = async {
        resources.create_queue(&spec).await?;
        resources.describe_queue(&spec.name).await
    };
    let created = deadline.within(stage, create).await?;
    Ok((StatusCode::CREATED, Json(Queue::from(created))).into_response())
}

/// A queue with the offsets of its partitions.
#[utoipa::path(get, operation_id = "getQueue", path = "/queues/{queue}", tag = "Queues", params(("queue" = String, Path)), responses(
    (status = 200, body = Queue),
    (status = 404, body = ErrorBody),
))]
pub async fn get(
    State(app): State<Arc<App>>,
    Params(queue): Params<String>,
    deadline: Deadline,
) -> Result<Json<Queue>> {
    let resources = app.worker.access_point().resources();
    let stage = || format!("asking the broker for the queue {queue}");
    let description = deadline.within(stage, resources.describe_queue(&queue)).await?;
    Ok(Json(description.into()))
}

/// Deletes a queue with its messages.
#[utoipa::path(delete, operation_id = "deleteQueue", path = "/queues/{queue}", tag = "Queues", params(("queue" = String, Path)), responses(
    (status = 204),
    (status = 403, description = "It belongs to a worker group", body = ErrorBody),
    (status = 404, body = ErrorBody),
))]
pub async fn delete(
    State(app): State<Arc<App>>,
    Params(queue): Params<String>,
    deadline: Deadline,
    _: NoBody,
) -> Result<StatusCode> {
    refuse_internal(&queue)?;
    let resources = app.worker.access_point().resources();
    let stage = || format!("deleting the queue {queue}");
    deadline.within(stage, resources.delete_queue(&queue)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// # Errors
/// 403 for the queues in which worker groups keep their connectors.
pub fn refuse_internal(queue: &str) -> Result<()> {
    if !tap::is_internal(queue) {
        return Ok(());
    }
    let message = format!("Refused: {queue} belongs to a worker group, which keeps its connectors there");
    Err(RestError::new(StatusCode::FORBIDDEN, "queue.internal", message))
}
