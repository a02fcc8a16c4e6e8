//! `/queues/{queue}/messages`: the messages of a queue as they come.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use openmessaging::StartAt;
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::queues::refuse_internal;
use crate::app::App;
use crate::deadline::Deadline;
use crate::error::{ErrorBody, RestError, Result};
use crate::extract::{Pairs, Params};
use crate::tap::{Tap, TapOptions};

/// Messages as lines of JSON (`application/x-ndjson`), each batch as soon as it is there: `{"queue", "partition",
/// "offset", "timestamp", "key", "headers", "value"}`. Bytes that are not UTF-8 are `{"base64": "..."}`. The stream ends
/// at `limit` or `timeout`, or when the worker stops; without them it goes on. Where the broker fails on the way the last
/// line is `{"error": {"code", "message"}}`.
#[utoipa::path(get, operation_id = "streamMessages", path = "/queues/{queue}/messages", tag = "Queues",
    params(
        ("queue" = String, Path),
        ("from" = Option<String>, Query, description = "`begin`, or `end`: only what is sent from now on. Without it `begin`"),
        ("limit" = Option<u64>, Query, description = "End after this many messages"),
        ("timeout" = Option<f64>, Query, description = "End after this many seconds in all"),
        ("partition" = Option<u32>, Query, description = "Only this partition"),
    ),
    responses(
        (status = 200, description = "Messages", body = String, content_type = "application/x-ndjson"),
        (status = 400, body = ErrorBody),
        (status = 403, description = "The queue belongs to a worker group", body = ErrorBody),
        (status = 404, body = ErrorBody),
        (status = 503, description = "As many queues are looked at as the worker allows", body = ErrorBody),
    ))]
pub async fn stream(
    State(app): State<Arc<App>>,
    Params(queue): Params<String>,
    pairs: Pairs,
    deadline: Deadline,
) -> Result<Response> {
    let options = options(&pairs)?;
    refuse_internal(&queue)?;
    let permit = app.taps.clone().try_acquire_owned().map_err(|_| {
        let message = format!(
            "{} queues are being looked at already: end one, or try again later",
            app.options.max_taps
        );
        RestError::new(StatusCode::SERVICE_UNAVAILABLE, "queue.too_many_taps", message)
    })?;
    let stage = || format!("opening the queue {queue}");
    let tap = deadline.within(stage, Tap::open(app.worker.access_point().as_ref(), &queue, options)).await?;
    let lines = lines(tap, app.closing.clone(), permit);
    let headers = [(header::CONTENT_TYPE, "application/x-ndjson"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(lines)).into_response())
}

/// Dropped when the client goes away, which closes the tap.
fn lines(
    tap: Tap,
    closing: CancellationToken,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Vec<u8>, Infallible>> + Send {
    futures::stream::unfold(Some((tap, closing, permit)), |open| async move {
        let (mut tap, closing, permit) = open?;
        let next = tokio::select! {
            next = tap.next() => next,
            () = closing.cancelled() => Ok(None),
        };
        match next {
            Ok(Some(lines)) => Some((Ok(lines), Some((tap, closing, permit)))),
            Ok(None) => None,
            Err(error) => Some((Ok(error_line(error)), None)),
        }
    })
}

fn error_line(error: openmessaging::Error) -> Vec<u8> {
    let error = RestError::from(error);
    format!("{}\n", json!({"error": {"code": error.code, "message": error.message}})).into_bytes()
}

fn options(pairs: &Pairs) -> Result<TapOptions> {
    const KNOWN: [&str; 4] = ["from", "limit", "timeout", "partition"];
    if let Some(unknown) = pairs.names().find(|name| !KNOWN.contains(name)) {
        let message =
            format!("{unknown:?} is no parameter here: there are from, limit, timeout and partition");
        return Err(RestError::bad_request("queue.unknown_parameter", message));
    }
    let from = match pairs.get("from") {
        None | Some("begin") => StartAt::Begin,
        Some("end") => StartAt::End,
        Some(other) => return Err(wrong("from", other, "begin or end")),
    };
    Ok(TapOptions {
        from,
        partition: number(pairs, "partition")?,
        limit: number(pairs, "limit")?,
        timeout: timeout(pairs)?,
    })
}

fn number<N: std::str::FromStr>(pairs: &Pairs, name: &str) -> Result<Option<N>> {
    let parse = |text: &str| text.parse().map_err(|_| wrong(name, text, "a whole number, 0 or more"));
    pairs.get(name).map(parse).transpose()
}

fn timeout(pairs: &Pairs) -> Result<Option<Duration>> {
    let Some(text) = pairs.get("timeout") else { return Ok(None) };
    let timeout = text.parse().ok().and_then(|seconds: f64| Duration::try_from_secs_f64(seconds).ok());
    timeout.map(Some).ok_or_else(|| wrong("timeout", text, "a number of seconds, 0 or more"))
}

fn wrong(name: &str, given: &str, expected: &str) -> RestError {
    let given: String = given.chars().take(40).collect();
    RestError::bad_request("queue.bad_parameter", format!("{name} is {given:?}: write {expected}"))
}
