//! What lapin and RabbitMQ say, in terms of the OpenMessaging API.

use std::time::Duration;

use lapin::ErrorKind;
use openmessaging::{Error, StatusCode};

use super::config::Config;

/// Where an error happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// While connecting: user, password and virtual host are what is refused.
    Connecting,
    /// A call on a connection.
    Working,
}

/// Status and remedy of a reply code of AMQP 0.9.1 (its specification, 1.2, and RabbitMQ's extensions) with its text.
fn by_code(code: u16, text: &str, stage: Stage) -> (StatusCode, &'static str) {
    match (code, stage) {
        (403, Stage::Connecting) => (
            StatusCode::Unauthorized,
            "check user and password, and that the user may come from here (guest may from loopback only)",
        ),
        (530, Stage::Connecting) if text.contains("not found") => (
            StatusCode::NotFound,
            "region and namespace name a virtual host: make it with `rabbitmqctl add_vhost`, and give the user rights in it",
        ),
        (530, Stage::Connecting) => (
            StatusCode::Forbidden,
            "give the user rights in the virtual host with `rabbitmqctl set_permissions`",
        ),
        (403, _) => (StatusCode::Forbidden, "give the user that right with `rabbitmqctl set_permissions`"),
        // So RabbitMQ says while a queue is started.
        (404 | 406, _) if text.contains("is down or inaccessible") || text.contains("not have a replica") => {
            (StatusCode::Unavailable, "wait until it is started, or connect to a node that it is on")
        }
        (404, _) => (StatusCode::NotFound, "create it first"),
        (405, _) => (StatusCode::Conflict, "it is exclusive to another connection; use another queue"),
        (406, _) if text.contains("delivery acknowledgement") => (
            StatusCode::Unavailable,
            "commit sooner than consumer_timeout of the server (30 minutes), or raise it",
        ),
        (406, _) if text.contains("x-stream-offset") => (
            StatusCode::Unsupported,
            "it is no stream: use it through an access point with the property queue.type=quorum",
        ),
        (406, _) if text.contains("message size") => {
            (StatusCode::MessageTooLarge, "send smaller messages, or raise max_message_size of the server")
        }
        (406, _) => (StatusCode::BadParameter, "ask for what the queue is, or for what the server knows"),
        (311, _) => (StatusCode::MessageTooLarge, "send smaller messages"),
        (506, _) => (StatusCode::Full, "make room on the server, then go on"),
        (320, _) => (StatusCode::Unavailable, "look at the state of that server"),
        (540, _) => (StatusCode::Unsupported, "use a server that has this"),
        (541 | 504 | 505 | 501 | 502 | 503, _) => {
            (StatusCode::ServerError, "look into the log of that server")
        }
        _ => (StatusCode::ServerError, "look into the log of that server"),
    }
}

/// The error of a call: `what` was being done ("declaring queue x").
pub(super) fn of(config: &Config, what: &str, stage: Stage, error: &lapin::Error) -> Error {
    let server = config.server();
    let made = |status, message: String, remedy: &str| Error::new(status, message).with_remedy(remedy);
    match error.kind() {
        ErrorKind::ProtocolError(refused) => {
            let text = refused.get_message();
            let (status, remedy) = by_code(refused.get_id(), text.as_str(), stage);
            made(status, format!("{server} refuses {what}: {text}"), remedy)
        }
        ErrorKind::MissingHeartbeatError => made(
            StatusCode::Unavailable,
            format!("{server} has been silent for too long: {what}"),
            "look at the state of that server and of the network",
        ),
        ErrorKind::InvalidProtocolVersion(version) => made(
            StatusCode::UnsupportedVersion,
            format!("{server} speaks AMQP {version} only"),
            "use RabbitMQ 3.9 or newer",
        ),
        _ => made(
            StatusCode::Unavailable,
            format!("the connection to {server} was lost: {what}: {error}"),
            "look at the state of that server and of the network",
        ),
    }
}

/// An error a second time, for another caller that it hits.
pub(super) fn again(error: &Error) -> Error {
    Error {
        status: error.status,
        message: error.message.clone(),
        remedy: error.remedy.clone(),
        retriable: error.retriable,
        source: None,
    }
}

pub(super) fn closed(config: &Config) -> Error {
    Error::new(StatusCode::Closed, format!("the access point of {} is closed", config.server()))
        .with_remedy("connect again")
}

pub(super) fn no_queue(config: &Config, name: &str) -> Error {
    Error::new(StatusCode::NotFound, format!("there is no queue \"{name}\" at {}", config.server()))
        .with_remedy("create it first")
}

pub(super) fn no_partition(name: &str, partition: u32, partitions: u32) -> Error {
    let message = format!("queue \"{name}\" has no partition {partition}: it has {partitions}, from 0");
    Error::new(StatusCode::PartitionNotFound, message).with_remedy("name one that there is, or none")
}

/// The broker takes nothing for want of memory or disk (an alarm).
pub(super) fn full(config: &Config) -> Error {
    Error::new(
        StatusCode::Full,
        format!("{} takes no messages: an alarm says that memory or disk run short", config.server()),
    )
    .with_remedy(
        "make room, or raise vm_memory_high_watermark or lower disk_free_limit; then recover and send again",
    )
}

/// The broker says nothing about what it was given.
pub(super) fn unconfirmed(config: &Config, waited: Duration) -> Error {
    let message = format!("{} confirmed no message for {} ms", config.server(), waited.as_millis());
    Error::new(StatusCode::Unavailable, message)
        .with_remedy("recover and send again; where it stays so, look whether the queue has a leader")
}

/// What was given before, and not acknowledged, should come before anything else.
pub(super) fn too_early(config: &Config, queue: &str) -> Error {
    let message = format!("{} has not yet taken back messages of queue \"{queue}\"", config.server());
    Error::new(StatusCode::Unavailable, message)
        .with_remedy("wait until it noticed that a connection was lost")
}

/// A message of a queue was delivered and did not arrive here.
pub(super) fn unseen(config: &Config, queue: &str) -> Error {
    let message = format!("{} delivered a message of queue \"{queue}\" that did not arrive", config.server());
    Error::new(StatusCode::Unavailable, message).with_remedy("read again: it comes again")
}

/// A queue took a message and gave it back.
pub(super) fn refused(config: &Config, queue: &str) -> Error {
    Error::new(StatusCode::Full, format!("queue \"{queue}\" at {} refused a message", config.server()))
        .with_remedy("look whether it has a limit of length with x-overflow=reject-publish, and a leader")
}

pub(super) fn not_a_stream(queue: &str) -> Error {
    Error::new(
        StatusCode::Unsupported,
        format!("queue \"{queue}\" is no stream: its messages have no offsets"),
    )
    .with_remedy("use it through an access point with the property queue.type=quorum")
}

pub(super) fn without_offsets() -> Error {
    Error::new(
        StatusCode::Unsupported,
        "queues have no offsets: reading starts with what is not committed, or at the end",
    )
    .with_remedy("start at Committed or End, or use streams (queue.type=stream)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_the_broker_are_statuses() {
        for (code, text, stage, status) in [
            (403, "Login was refused", Stage::Connecting, StatusCode::Unauthorized),
            (530, "vhost eu.shop not found", Stage::Connecting, StatusCode::NotFound),
            (530, "access to vhost refused", Stage::Connecting, StatusCode::Forbidden),
            (403, "access to queue refused", Stage::Working, StatusCode::Forbidden),
            (
                404,
                "home node of durable queue is down or inaccessible",
                Stage::Working,
                StatusCode::Unavailable,
            ),
            (406, "does not have a replica on the local node", Stage::Working, StatusCode::Unavailable),
            (404, "no queue", Stage::Working, StatusCode::NotFound),
            (406, "message size 5 is larger than configured", Stage::Working, StatusCode::MessageTooLarge),
            (406, "inequivalent arg", Stage::Working, StatusCode::BadParameter),
            (320, "shutdown", Stage::Working, StatusCode::Unavailable),
            (541, "", Stage::Working, StatusCode::ServerError),
        ] {
            assert_eq!(by_code(code, text, stage).0, status, "{code} {text}");
        }
    }
}
