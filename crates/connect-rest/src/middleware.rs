//! What happens to every request before and after it reaches its resource.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::body::HttpBody;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;

use crate::app::App;
use crate::connection::NextRequest;
use crate::deadline::Deadline;
use crate::error::RestError;
use crate::guard::Intent;

/// The outermost layer: a deadline, the guard, panics, trailing slashes, the access log.
pub async fn outer(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let connection =
        request.extensions().get::<ConnectInfo<NextRequest>>().map(|ConnectInfo(next)| next.clone());
    let connection = connection.filter(|_| request.body().is_end_stream());
    request.extensions_mut().insert(Deadline::after(app.options.request_timeout));
    if let Some(uri) = without_trailing_slash(request.uri()) {
        *request.uri_mut() = uri;
    }
    let response = match guarded(&app, &request) {
        Ok(()) => without_panic(next.run(request)).await,
        Err(refused) => refused.into_response(),
    };
    if let Some(connection) = connection {
        connection.begins();
    }
    log(&method, &path, response.status(), began);
    response
}

/// Whether this request may be looked at. Changes over GET are checked once more where they are served.
fn guarded(app: &App, request: &Request) -> Result<(), RestError> {
    let intent = match request.method().is_safe() {
        // Probes come under whatever name the machine has, and there is nothing to learn from the answer.
        true if matches!(request.uri().path(), "/health" | "/ready") => return Ok(()),
        true => Intent::Read,
        false => Intent::Change,
    };
    app.guard.check(request.uri(), request.headers(), intent)
}

/// Paths are logged without their query, which may hold a configuration with secrets (invariant 6).
fn log(method: &Method, path: &str, status: StatusCode, began: Instant) {
    let (status, ms) = (status.as_u16(), began.elapsed().as_millis() as u64);
    match (status, method.is_safe()) {
        (500.., _) => tracing::warn!(%method, path, status, ms, "request failed"),
        (_, true) => tracing::debug!(%method, path, status, ms, "request"),
        (_, false) => tracing::info!(%method, path, status, ms, "request"),
    }
}

async fn without_panic(answer: impl Future<Output = Response>) -> Response {
    AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(|_| {
        let message =
            "The worker failed on this request; its log says where. Other requests are not affected.";
        RestError::new(StatusCode::INTERNAL_SERVER_ERROR, "request.internal", message).into_response()
    })
}

/// `/connectors/` is `/connectors`, also with a query behind it.
fn without_trailing_slash(uri: &Uri) -> Option<Uri> {
    let path = uri.path().strip_suffix('/').filter(|path| !path.is_empty())?;
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    Uri::from_parts(parts).ok()
}

/// Refuses requests whose `Accept` has no room for JSON.
pub async fn accepts_json(request: Request, next: Next) -> Response {
    match takes_json(request.headers()) {
        true => next.run(request).await,
        false => {
            let message = "HTTP 406 Not Acceptable (answers are application/json)";
            RestError::new(StatusCode::NOT_ACCEPTABLE, "request.not_acceptable", message).into_response()
        }
    }
}

fn takes_json(headers: &HeaderMap) -> bool {
    let mut ranges =
        headers.get_all(header::ACCEPT).iter().flat_map(|value| value.to_str().unwrap_or("*/*").split(','));
    let takes = |range: &str| {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default().to_ascii_lowercase();
        let refused = parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
        matches!(media.as_str(), "*/*" | "application/*" | "application/json" | "") && !refused
    };
    !headers.contains_key(header::ACCEPT) || ranges.any(takes)
}

/// The answer where the path is known and the method is not; `Allow` is added by the router.
pub async fn method_not_allowed(method: Method) -> Response {
    match method {
        Method::OPTIONS => StatusCode::OK.into_response(),
        _ => {
            let message = "HTTP 405 Method Not Allowed";
            RestError::new(StatusCode::METHOD_NOT_ALLOWED, "request.method", message).into_response()
        }
    }
}

pub async fn not_found() -> RestError {
    RestError::no_such_path()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_trailing_slash_is_dropped() {
        for (given, expected) in [
            ("/connectors/", Some("/connectors")),
            ("/connectors/?expand=info", Some("/connectors?expand=info")),
            ("/a/b/?x=/", Some("/a/b?x=/")),
            ("/connectors", None),
            ("/", None),
            ("/?a", None),
        ] {
            let uri: Uri = given.parse().expect("a URI");
            assert_eq!(
                without_trailing_slash(&uri).map(|uri| uri.to_string()).as_deref(),
                expected,
                "{given}"
            );
        }
    }

    #[test]
    fn accept_is_read_as_media_ranges() {
        let takes = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().expect("a header"));
            takes_json(&headers)
        };
        assert!(takes_json(&HeaderMap::new()));
        for fine in [
            "application/json; charset=utf-8",
            "text/html, */*;q=0.8",
            "APPLICATION/*",
            "text/html,application/json",
        ] {
            assert!(takes(fine), "{fine}");
        }
        for other in ["text/html", "application/xml", "application/json;q=0"] {
            assert!(!takes(other), "{other}");
        }
    }
}
