//! What handlers take out of a request, with errors in the form of this API.

use std::sync::Arc;

use axum::RequestExt;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use futures::StreamExt;
use serde::de::DeserializeOwned;

use crate::app::App;
use crate::deadline::Deadline;
use crate::error::{RestError, Result};

/// How much of a body that is too large is taken from the connection and thrown away, so that a client that writes
/// everything before it reads gets to see the answer.
const DISCARD_BYTES: usize = 1 << 30;

/// The variable parts of the path, percent-decoded.
pub struct Params<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = RestError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        // The parts are text, so all that can be wrong is that they are no UTF-8: nothing has such a name.
        Path::from_request_parts(parts, state)
            .await
            .map(|Path(params)| Self(params))
            .map_err(|_| RestError::no_such_path())
    }
}

/// The names and values of the query in their order, percent-decoded.
pub struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// The last value of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All values of that name.
    pub fn all<'p>(&'p self, name: &'p str) -> impl Iterator<Item = &'p str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Whether the value is `true`; anything else is false, as Kafka Connect reads its flags.
    pub fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

impl<S: Sync> FromRequestParts<S> for Pairs {
    type Rejection = RestError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let Query(pairs) = Query::try_from_uri(&parts.uri)
            .map_err(|_| RestError::bad_request("request.query", "the query cannot be read"))?;
        Ok(Self(pairs))
    }
}

/// The body of a request that needs JSON.
pub struct JsonBody(pub Vec<u8>);

impl FromRequest<Arc<App>> for JsonBody {
    type Rejection = RestError;

    async fn from_request(mut request: Request, app: &Arc<App>) -> Result<Self> {
        if !request.headers().get(header::CONTENT_TYPE).is_some_and(is_json) {
            return Err(unsupported_media_type());
        }
        let deadline: Deadline = request.extract_parts().await?;
        let expects = request.headers().contains_key(header::EXPECT);
        let announced = content_length(request.headers());
        let stage = || "reading the request's body".to_owned();
        let read = read(request.into_body(), app.options.max_body_bytes, announced, expects);
        deadline.within(stage, read).await.map(Self)
    }
}

/// Checks a request that needs no body: one of another type than JSON is refused, what it holds is not looked at.
pub struct NoBody;

impl<S: Sync> FromRequestParts<S> for NoBody {
    type Rejection = RestError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        match parts.headers.get(header::CONTENT_TYPE) {
            Some(given) if !is_json(given) => Err(unsupported_media_type()),
            _ => Ok(Self),
        }
    }
}

fn is_json(value: &header::HeaderValue) -> bool {
    let media = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    media.trim().eq_ignore_ascii_case("application/json")
}

fn unsupported_media_type() -> RestError {
    let message = "HTTP 415 Unsupported Media Type (send the header Content-Type: application/json)";
    RestError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "request.media_type", message)
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads a body of at most `limit` bytes. `expects`: the client waits for a sign before it sends, so there is nothing to
/// throw away.
async fn read(body: Body, limit: usize, announced: Option<usize>, expects: bool) -> Result<Vec<u8>> {
    let too_large = announced.is_some_and(|length| length > limit);
    if too_large && expects {
        return Err(payload_too_large(limit));
    }
    let mut stream = body.into_data_stream();
    let mut taken = Vec::new();
    let mut total = 0;
    while let Some(chunk) = stream.next().await {
        let chunk: Bytes = chunk.map_err(|_| {
            RestError::bad_request("request.body", "the request's body ended before it was complete")
        })?;
        total += chunk.len();
        match too_large || total > limit {
            true => taken = Vec::new(),
            false => taken.extend_from_slice(&chunk),
        }
        if total > limit.saturating_add(DISCARD_BYTES) {
            break;
        }
    }
    if too_large || total > limit { Err(payload_too_large(limit)) } else { Ok(taken) }
}

fn payload_too_large(limit: usize) -> RestError {
    let message = format!(
        "The request's body is larger than {limit} bytes, which is the most this worker takes (send less, or raise its limit)"
    );
    RestError::new(StatusCode::PAYLOAD_TOO_LARGE, "request.too_large", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bodies_are_bounded_with_and_without_a_length() {
        let body = || {
            Body::from_stream(futures::stream::iter((0..10).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 10]))))
        };
        assert_eq!(read(body(), 100, Some(100), false).await.expect("fits").len(), 100);
        for announced in [None, Some(100)] {
            let error = read(body(), 99, announced, false).await.expect_err("too large");
            assert_eq!(error.status, StatusCode::PAYLOAD_TOO_LARGE);
            assert!(error.message.contains("99 bytes"));
        }
        let endless = Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
        assert!(read(endless, 99, Some(100), true).await.is_err());
    }

    #[test]
    fn json_is_told_by_its_media_type() {
        for fine in ["application/json", "Application/JSON; charset=utf-8", " application/json ;x"] {
            assert!(is_json(&header::HeaderValue::from_static(fine)), "{fine}");
        }
        for other in ["text/plain", "application/jsonx", "application/x-www-form-urlencoded", ""] {
            assert!(!is_json(&header::HeaderValue::from_static(other)), "{other}");
        }
    }
}
