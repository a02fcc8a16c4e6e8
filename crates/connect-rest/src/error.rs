//! Failed requests, in the form that every resource answers them.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use connect_runtime::{ApiError, ApiErrorKind};
use serde::Serialize;
use utoipa::ToSchema;

/// A failed request: its status and what went wrong. It never repeats what a request's body or query held, which may be
/// a secret (invariant 6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestError {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
}

/// The body of every error.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// The HTTP status.
    pub error_code: u16,
    /// What is wrong, where, and what to do.
    pub message: String,
    /// Stable: `connector.unknown`.
    pub code: String,
}

pub type Result<T, E = RestError> = std::result::Result<T, E>;

impl RestError {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    /// Nothing has this path, in the words of Kafka Connect.
    pub fn no_such_path() -> Self {
        Self::not_found("request.no_such_path", "HTTP 404 Not Found")
    }

    /// Kafka Connect says "not found" in other words at each resource: these are used where the status is 404.
    pub fn or_missing(self, words: impl FnOnce() -> String) -> Self {
        match self.status {
            StatusCode::NOT_FOUND => Self { message: words(), ..self },
            _ => self,
        }
    }
}

impl From<ApiError> for RestError {
    fn from(error: ApiError) -> Self {
        let status = match error.kind {
            ApiErrorKind::Invalid => StatusCode::BAD_REQUEST,
            ApiErrorKind::NotFound => StatusCode::NOT_FOUND,
            ApiErrorKind::Conflict => StatusCode::CONFLICT,
            ApiErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            ApiErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self { status, code: error.code, message: error.message }
    }
}

impl From<openmessaging::Error> for RestError {
    fn from(error: openmessaging::Error) -> Self {
        ApiError::from(error).into()
    }
}

impl IntoResponse for RestError {
    fn into_response(self) -> Response {
        let body =
            ErrorBody { error_code: self.status.as_u16(), message: self.message, code: self.code.to_owned() };
        // Two texts and a number are always JSON.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        (self.status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}
