//! Every call ends.

use std::time::Duration;

use openmessaging::{Error, Result, StatusCode};

/// How long `connect` may take in all (D1).
pub(crate) const CONNECT: Duration = Duration::from_millis(9_500);

/// Waits for a call of a broker, and not longer than `limit`: then it is `Timeout`, and what was asked may have happened.
/// `what` and `server` are for the error: "kafka at 127.0.0.1:9092 did not answer within 30 s: creating queue x".
pub(crate) async fn within<T>(
    limit: Duration,
    server: &str,
    what: &str,
    call: impl Future<Output = Result<T>>,
) -> Result<T> {
    match tokio::time::timeout(limit, call).await {
        Ok(result) => result,
        Err(_) => Err(late(limit, server, what)),
    }
}

pub(crate) fn late(limit: Duration, server: &str, what: &str) -> Error {
    let message = format!("{server} did not answer within {} ms: {what}", limit.as_millis());
    Error::new(StatusCode::Timeout, message).with_remedy("look at the state and the load of that server")
}
