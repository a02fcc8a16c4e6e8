//! What a request to a worker can fail with.

use std::fmt;

/// The kind of a failed request; REST maps each to one status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiErrorKind {
    /// 400: the request or a configuration is wrong.
    Invalid,
    /// 404.
    NotFound,
    /// 409: it exists already, or somebody else changed it first.
    Conflict,
    /// 500: the worker failed, or did not finish in time.
    Internal,
    /// 503: the broker cannot be reached.
    Unavailable,
}

/// A failed request. Its text holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    pub kind: ApiErrorKind,
    /// Stable: `connector.unknown`.
    pub code: &'static str,
    pub message: String,
}

impl ApiError {
    pub fn new(kind: ApiErrorKind, code: &'static str, message: impl Into<String>) -> Self {
        Self { kind, code, message: message.into() }
    }

    pub fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ApiErrorKind::Invalid, code, message)
    }

    pub fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ApiErrorKind::NotFound, code, message)
    }

    pub fn internal(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ApiErrorKind::Internal, code, message)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

impl From<openmessaging::Error> for ApiError {
    fn from(error: openmessaging::Error) -> Self {
        use openmessaging::StatusCode as S;
        let (kind, code) = match error.status {
            S::NotFound | S::PartitionNotFound => (ApiErrorKind::NotFound, "queue.not_found"),
            S::AlreadyExists => (ApiErrorKind::Conflict, "queue.exists"),
            S::Conflict => (ApiErrorKind::Conflict, "store.conflict"),
            S::BadParameter | S::BadUrl | S::UnknownDriver | S::MessageTooLarge | S::OffsetOutOfRange => {
                (ApiErrorKind::Invalid, "queue.bad_request")
            }
            S::Unavailable | S::Timeout | S::Full => (ApiErrorKind::Unavailable, "broker.unavailable"),
            _ => (ApiErrorKind::Internal, "broker.error"),
        };
        Self::new(kind, code, error.to_string())
    }
}

impl From<openmessaging_connector::Error> for ApiError {
    fn from(error: openmessaging_connector::Error) -> Self {
        use openmessaging_connector::ErrorKind as K;
        let kind = match error.kind {
            K::Config => ApiErrorKind::Invalid,
            _ => ApiErrorKind::Internal,
        };
        Self::new(kind, error.code, error.to_string())
    }
}
