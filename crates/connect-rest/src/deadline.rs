//! The time a request has.

use std::future::Future;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use tokio::time::Instant;

use crate::error::{RestError, Result};

/// When a request must be answered. Every wait of a handler is bounded by it, and the error names what was waited for.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    at: Instant,
    total: Duration,
}

impl Deadline {
    pub fn after(total: Duration) -> Self {
        Self { at: Instant::now() + total, total }
    }

    /// Runs `work` until the deadline. `stage` says what the worker does meanwhile: "writing the configuration of x".
    ///
    /// # Errors
    /// What `work` fails with, or 500 that names the stage. The work is dropped then; what it had begun may still happen.
    pub async fn within<T, E: Into<RestError>>(
        &self,
        stage: impl FnOnce() -> String,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T> {
        match tokio::time::timeout_at(self.at, work).await {
            Ok(done) => done.map_err(Into::into),
            Err(_) => {
                let message = format!(
                    "Request timed out after {} s. The worker is currently {} (look at its log; the request may still take \
                     effect)",
                    self.total.as_secs_f64(),
                    stage()
                );
                Err(RestError::new(StatusCode::INTERNAL_SERVER_ERROR, "request.timeout", message))
            }
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Deadline {
    type Rejection = RestError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        // Set by the outermost layer, `middleware::outer`.
        parts.extensions.get().copied().ok_or_else(|| {
            let message = "the request has no deadline: it did not pass the outer layer";
            RestError::new(StatusCode::INTERNAL_SERVER_ERROR, "request.internal", message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_that_takes_too_long_names_its_stage() {
        let deadline = Deadline::after(Duration::from_millis(20));
        let stage = || "waiting for the moon".to_owned();
        let error = deadline.within(stage, std::future::pending::<Result<()>>()).await.expect_err("too long");
        assert_eq!((error.status.as_u16(), error.code), (500, "request.timeout"));
        assert!(
            error.message.contains("after 0.02 s") && error.message.contains("waiting for the moon"),
            "{error:?}"
        );
        let fine =
            Deadline::after(Duration::from_secs(1)).within(stage, async { Ok::<_, RestError>(7) }).await;
        assert_eq!(fine, Ok(7));
    }
}
