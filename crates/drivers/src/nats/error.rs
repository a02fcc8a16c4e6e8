//! What the server says, in terms of the OpenMessaging API.

use std::fmt;

use openmessaging::{Error, StatusCode};
use serde::Deserialize;

/// An error of JetStream's API. The numbers are those of the server's `errors.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct ApiError {
    #[serde(default)]
    pub code: u16,
    #[serde(default)]
    pub err_code: u32,
    #[serde(default)]
    pub description: String,
}

pub(super) const STREAM_NOT_FOUND: u32 = 10059;
pub(super) const NO_MESSAGE: u32 = 10037;
pub(super) const NAME_IN_USE: u32 = 10058;
const WRONG_LAST_SEQUENCE: u32 = 10071;
pub(super) const WRONG_LAST_ID: u32 = 10070;
const NOT_ENABLED: u32 = 10076;
const NOT_ENABLED_FOR_ACCOUNT: u32 = 10039;
const STORE_FAILED: u32 = 10077;
const SUBJECTS_OVERLAP: u32 = 10065;

/// How `make room` is done.
const MAKE_ROOM: &str = "make room: purge or delete streams, raise the stream's max_bytes or max_msgs, the account's limits or \
     jetstream.max_file_store; sending can go on after that";

impl ApiError {
    pub fn status(&self) -> StatusCode {
        match self.err_code {
            STREAM_NOT_FOUND | 10014 | NO_MESSAGE | 10060 => StatusCode::NotFound,
            NAME_IN_USE | SUBJECTS_OVERLAP | 10013 => StatusCode::AlreadyExists,
            WRONG_LAST_ID | WRONG_LAST_SEQUENCE | 10164 => StatusCode::Conflict,
            10002 | 10023 | 10026..=10028 | 10047 => StatusCode::Full,
            STORE_FAILED if self.description.contains("maximum") => StatusCode::Full,
            // The disk is full.
            STORE_FAILED if self.description.contains("no space left") => StatusCode::Full,
            10054 | 10097 => StatusCode::MessageTooLarge,
            // 10158: an earlier attempt of the same message is still on its way (clusters).
            10004 | 10007..=10009 | 10118 | 10119 | 10158 => StatusCode::Unavailable,
            NOT_ENABLED | NOT_ENABLED_FOR_ACCOUNT | 10035 => StatusCode::Unsupported,
            10109 | 10110 => StatusCode::Forbidden,
            10003 | 10005 | 10025 | 10052 | 10074 | 10113 | 10120 | 10122 => StatusCode::BadParameter,
            _ if self.code == 404 => StatusCode::NotFound,
            // Too many messages wait for one stream (servers from 2.11).
            _ if self.code == 429 || self.code == 503 => StatusCode::Unavailable,
            _ => StatusCode::ServerError,
        }
    }

    fn remedy(&self) -> &'static str {
        match self.err_code {
            10026 => "raise the account's or the stream's limit of consumers",
            10027 => "raise the account's limit of streams, or delete some",
            SUBJECTS_OVERLAP => {
                "another stream takes messages of that subject: name the queue otherwise, or change that stream"
            }
            NOT_ENABLED => {
                "start the server with JetStream: nats-server -js, or a jetstream block in its configuration"
            }
            NOT_ENABLED_FOR_ACCOUNT | 10035 | 10120 => "enable JetStream for the account of this user",
            10074 => "set replicas to 1, or use a cluster",
            10005 => "set replicas to the number of servers in the cluster or less",
            10054 => "make the message smaller, or raise the stream's max_msg_size",
            10097 => "make key and headers smaller: the server takes 64 KiB of them",
            10109 => "the stream is sealed: nothing can be written to it or removed",
            10113 => "give the queue retention_bytes: the account wants a limit for each stream",
            10122 => "give the queue less retention_bytes than the account allows for a stream",
            _ => match self.status() {
                StatusCode::Full => MAKE_ROOM,
                StatusCode::Unavailable => {
                    "look at the state of the servers of the cluster; it may pass by itself"
                }
                _ => "look into the server's log for the reason",
            },
        }
    }

    /// `what` was asked of `server`: "creating queue x".
    pub fn into_error(self, server: &str, what: &str) -> Error {
        let Self { code, err_code, description } = &self;
        let message = format!("{server} refused ({code}, {err_code}: {description}): {what}");
        Error::new(self.status(), message).with_remedy(self.remedy())
    }
}

/// An error a second time, for another caller that it hits. (Sources are not carried over: the text names the cause.)
pub(super) fn again(error: &Error) -> Error {
    Error {
        status: error.status,
        message: error.message.clone(),
        remedy: error.remedy.clone(),
        retriable: error.retriable,
        source: None,
    }
}

pub(super) fn closed(server: &str) -> Error {
    Error::new(StatusCode::Closed, format!("the access point of {server} is closed"))
        .with_remedy("connect again")
}

pub(super) fn unavailable(server: &str, why: &dyn fmt::Display) -> Error {
    Error::new(StatusCode::Unavailable, format!("{server} cannot be reached: {why}"))
        .with_remedy("look at whether the server runs and is the one meant; this client keeps trying")
}

pub(super) fn no_queue(server: &str, queue: &str) -> Error {
    Error::new(StatusCode::NotFound, format!("there is no queue \"{queue}\" (stream) at {server}"))
        .with_remedy("create it first")
}

pub(super) fn no_partition(queue: &str, partition: u32, partitions: usize) -> Error {
    let message = format!("queue \"{queue}\" has no partition {partition}: it has {partitions}, from 0");
    Error::new(StatusCode::PartitionNotFound, message).with_remedy("name a partition that is there")
}

/// The server's `-ERR 'Permissions Violation for Publish to "x"'`.
pub(super) fn forbidden(server: &str, text: &str) -> Error {
    Error::new(StatusCode::Forbidden, format!("{server} does not allow it: {text}"))
        .with_remedy("give the user the right to publish and subscribe to that subject, or name another user")
}

/// The subject in the text of a permission error: `Permissions Violation for Publish to "a.b"`.
pub(super) fn violated_subject(text: &str) -> Option<(bool, &str)> {
    let rest = text
        .strip_prefix("Permissions Violation for ")
        .or_else(|| text.strip_prefix("permissions violation for "))?;
    let publishing = rest.get(..7).is_some_and(|word| word.eq_ignore_ascii_case("publish"));
    let start = rest.find('"')? + 1;
    let length = rest[start..].find('"')?;
    Some((publishing, &rest[start..start + length]))
}

pub(super) fn too_large(
    server: &str,
    queue: &str,
    bytes: usize,
    limit: usize,
    by: &str,
    remedy: &str,
) -> Error {
    let message = format!("a message for queue \"{queue}\" has {bytes} bytes; {server} takes {limit} ({by})");
    Error::new(StatusCode::MessageTooLarge, message).with_remedy(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_mapped() {
        let error = |code: u16, err_code: u32, description: &str| ApiError {
            code,
            err_code,
            description: description.to_owned(),
        };
        for (given, status) in [
            (error(404, 10059, "stream not found"), StatusCode::NotFound),
            (error(503, 10077, "maximum bytes exceeded"), StatusCode::Full),
            (error(503, 10077, "write error"), StatusCode::Unavailable),
            (error(503, 10023, "insufficient resources"), StatusCode::Full),
            (error(400, 10071, "wrong last sequence: 5"), StatusCode::Conflict),
            (error(503, 10076, "JetStream not enabled"), StatusCode::Unsupported),
            (error(500, 10049, "x"), StatusCode::ServerError),
            (error(409, 10158, "duplicate message id is in process"), StatusCode::Unavailable),
            (error(429, 10167, "too many requests"), StatusCode::Unavailable),
        ] {
            assert_eq!(given.status(), status, "{given:?}");
            let error = given.into_error("nats at h:1", "sending");
            assert!(error.remedy.is_some() && error.to_string().contains("h:1"), "{error}");
        }
    }

    #[test]
    fn violations_name_the_subject() {
        let text = "Permissions Violation for Publish to \"$JS.API.STREAM.CREATE.q\"";
        assert_eq!(violated_subject(text), Some((true, "$JS.API.STREAM.CREATE.q")));
        let text = "Permissions Violation for Subscription to \"_INBOX.x.*\"";
        assert_eq!(violated_subject(text), Some((false, "_INBOX.x.*")));
        assert_eq!(violated_subject("Stale Connection"), None);
    }
}
