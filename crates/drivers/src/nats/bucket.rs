//! Buckets: streams that keep the newest message of each subject, as JetStream's key/value stores are by convention.
//! (Source: the NATS architecture decision record 8, "JetStream based Key-Value Stores".)

use openmessaging::{Result, StatusCode};
use serde_json::json;
use tokio::time::Instant;

use super::api::{Answer, JetStream};
use super::error::{self, NAME_IN_USE};
use super::headers::FIRST_LINE;
use super::link::unique;
use super::names::{bucket_prefix, bucket_stream};
use super::wire;

/// So many of the newest entries of a key are kept. One would be enough for whoever reads; a watcher sees each change that it
/// is not more than so many behind with.
const HISTORY: u64 = 16;

const OPERATION: &str = "KV-Operation";

/// Makes a bucket, unless it is there.
pub(super) async fn create(js: &JetStream, bucket: &str, deadline: Instant) -> Result<()> {
    let stream = bucket_stream(bucket);
    if js.info(&stream, deadline).await?.is_some() {
        return Ok(());
    }
    let config = json!({
        "name": stream,
        "description": "omsconnect",
        "subjects": [format!("{}>", bucket_prefix(bucket))],
        "retention": "limits",
        "max_consumers": -1,
        "max_msgs": -1,
        "max_bytes": -1,
        "max_age": 0,
        "max_msg_size": -1,
        "max_msgs_per_subject": HISTORY,
        "storage": "file",
        "discard": "new",
        "num_replicas": js.link.config().replicas,
        "duplicate_window": 120_000_000_000_u64,
        "allow_rollup_hdrs": true,
        "deny_delete": true,
        "allow_direct": true,
    });
    match js.create(&config, deadline).await? {
        Ok(_) => Ok(()),
        // Somebody else made it meanwhile.
        Err(error) if error.err_code == NAME_IN_USE => Ok(()),
        Err(error) => Err(error.into_error(js.server(), &format!("making bucket {bucket}"))),
    }
}

/// One write.
#[derive(Clone, Copy)]
pub(super) struct Write<'a> {
    pub subject: &'a str,
    /// `None`: a deletion.
    pub value: Option<&'a [u8]>,
    /// The sequence of the subject's newest message, 0 for none; `None`: whatever it is.
    pub expected: Option<u64>,
}

/// Writes, and gives the sequence. It is done once, also where the answer of the first attempt was lost: the server knows
/// its id. A bucket that is not there (any more) is made.
pub(super) async fn write(
    js: &JetStream,
    bucket: &str,
    write: Write<'_>,
    deadline: Instant,
    what: &str,
) -> Answer<u64> {
    let mut headers = FIRST_LINE.to_vec();
    headers.extend_from_slice(format!("Nats-Msg-Id: {}\r\n", unique()).as_bytes());
    if let Some(expected) = write.expected {
        headers.extend_from_slice(format!("Nats-Expected-Last-Subject-Sequence: {expected}\r\n").as_bytes());
    }
    if write.value.is_none() {
        headers.extend_from_slice(format!("{OPERATION}: DEL\r\n").as_bytes());
    }
    headers.extend_from_slice(b"\r\n");
    let value = write.value.unwrap_or_default();
    let (size, limit) = (headers.len() + value.len(), js.link.max_payload());
    if size > limit {
        let message = format!(
            "{} bytes are more than the {limit} that {} takes (max_payload): {what}",
            size,
            js.server()
        );
        return Err(openmessaging::Error::new(StatusCode::MessageTooLarge, message).with_remedy(
            "raise max_payload in the server's configuration (1MB unless set), or make the value smaller",
        ));
    }
    let mut made = false;
    loop {
        match js.publish(write.subject, &headers, value, deadline, what).await? {
            Ok(Some(published)) => return Ok(Ok(published.seq)),
            Err(error) if error.status() == StatusCode::Unavailable && Instant::now() < deadline => {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            Err(error) => return Ok(Err(error)),
            // Nobody takes it: it was deleted, or its leader is being elected.
            Ok(None) if !made => {
                create(js, bucket, deadline).await?;
                made = true;
            }
            Ok(None) if Instant::now() < deadline => {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            Ok(None) => {
                return Err(error::unavailable(
                    js.server(),
                    &format!("nobody takes messages of {}", write.subject),
                ));
            }
        }
    }
}

/// Whether a message of a bucket says that its key is not there.
pub(super) fn is_deletion(headers: &[u8]) -> bool {
    wire::header(headers, OPERATION).is_some_and(|operation| operation == b"DEL" || operation == b"PURGE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deletions_are_told() {
        assert!(is_deletion(b"NATS/1.0\r\nKV-Operation: DEL\r\n\r\n"));
        assert!(is_deletion(b"NATS/1.0\r\nkv-operation:PURGE\r\nNats-Rollup: sub\r\n\r\n"));
        assert!(!is_deletion(b"NATS/1.0\r\nNats-Msg-Id: x\r\n\r\n") && !is_deletion(b""));
    }
}
