//! What went wrong at a RocketMQ server, in terms of the OpenMessaging API.

use openmessaging::{Error, StatusCode};

use super::codes::*;
use super::frame::Response;

/// The error of an answer that is not a success. `server` as in "rocketmq at 127.0.0.1:10911", `what` was asked for
/// ("sending to queue x").
pub(super) fn refused(server: &str, what: &str, answer: &Response) -> Error {
    let remark = first_line(&answer.remark);
    let (status, remedy) = status_of(answer.code, remark);
    let mut error = Error::new(status, format!("{what}: {server} answers {} {remark}", name_of(answer.code)))
        .with_remedy(remedy);
    // The message is in the master's memory: the same call may go better when the disk or the slave is back.
    if matches!(answer.code, FLUSH_DISK_TIMEOUT | FLUSH_SLAVE_TIMEOUT | SLAVE_NOT_AVAILABLE) {
        error.retriable = Some(true);
    }
    error
}

/// The server's text, without a stack trace and the address of its frequently asked questions.
fn first_line(remark: &str) -> &str {
    let line = remark.lines().next().unwrap_or_default();
    let line =
        line.split("\tSee http").next().unwrap_or_default().split("See https").next().unwrap_or_default();
    line[..line.floor_char_boundary(300)].trim()
}

/// The status of a code and what to do; the remark tells apart what the code does not.
pub(super) fn status_of(code: i32, remark: &str) -> (StatusCode, &'static str) {
    match code {
        SYSTEM_BUSY | FLOW_CONTROL => (
            StatusCode::Unavailable,
            "the broker is flooded or its disk is slow: send less, or look at its load",
        ),
        FLUSH_DISK_TIMEOUT => (
            StatusCode::Timeout,
            "look at the broker's disk; accept.send.status=flush-disk-timeout would accept this",
        ),
        FLUSH_SLAVE_TIMEOUT => (
            StatusCode::Timeout,
            "look at the broker's slave; accept.send.status=flush-slave-timeout would accept this",
        ),
        SLAVE_NOT_AVAILABLE => (
            StatusCode::Unavailable,
            "start the broker's slave; accept.send.status=slave-not-available would accept this",
        ),
        MESSAGE_ILLEGAL => {
            (StatusCode::MessageTooLarge, "send a smaller message, or raise maxMessageSize of the broker")
        }
        SERVICE_NOT_AVAILABLE if remark.contains("disk is full") => (
            StatusCode::Full,
            "make room on the disk of the broker, or lower fileReservedTime; sending can go on after that",
        ),
        SERVICE_NOT_AVAILABLE => (StatusCode::Unavailable, "look at the state of the broker"),
        VERSION_NOT_SUPPORTED => (StatusCode::UnsupportedVersion, "use RocketMQ 5.0 or later"),
        REQUEST_CODE_NOT_SUPPORTED => (StatusCode::UnsupportedVersion, "use RocketMQ 5.0 or later"),
        NO_PERMISSION if is_about_credentials(remark) => {
            (StatusCode::Unauthorized, "set access.key and secret.key to a user that the broker knows")
        }
        NO_PERMISSION => (
            StatusCode::Forbidden,
            "give this user the right (mqadmin createAcl), or the topic the permission",
        ),
        TOPIC_NOT_EXIST => (StatusCode::NotFound, "create the queue first"),
        QUERY_NOT_FOUND => (StatusCode::NotFound, "there is nothing stored for it"),
        SUBSCRIPTION_GROUP_NOT_EXIST => {
            (StatusCode::NotFound, "create the consumer group (mqadmin updateSubGroup)")
        }
        INVALID_PARAMETER => (StatusCode::BadParameter, "see the broker's text"),
        GO_AWAY => (StatusCode::Unavailable, "the broker is being stopped: start it again"),
        SYSTEM_ERROR if remark.contains("in-sync replicas") => {
            (StatusCode::Unavailable, "start the slaves of the broker, or lower its inSyncReplicas")
        }
        _ if remark.contains("RejectedExecutionException") || remark.contains("OUT_OF_THREAD") => {
            (StatusCode::Unavailable, "the broker is flooded: send less, or look at its load")
        }
        _ => (StatusCode::ServerError, "look at the log of the broker"),
    }
}

/// Authentication and permission have one code; these texts are those of the former.
fn is_about_credentials(remark: &str) -> bool {
    let texts = [
        "Authentication failed",
        "check signature failed",
        "is not found",
        "is disabled",
        "username cannot be null",
        "No accessKey",
        "Check signature failed",
        "not matched", // ACL 1.0
    ];
    texts.iter().any(|text| remark.contains(text))
}

fn name_of(code: i32) -> String {
    let name = match code {
        SYSTEM_ERROR => "SYSTEM_ERROR",
        SYSTEM_BUSY => "SYSTEM_BUSY",
        REQUEST_CODE_NOT_SUPPORTED => "REQUEST_CODE_NOT_SUPPORTED",
        FLUSH_DISK_TIMEOUT => "FLUSH_DISK_TIMEOUT",
        SLAVE_NOT_AVAILABLE => "SLAVE_NOT_AVAILABLE",
        FLUSH_SLAVE_TIMEOUT => "FLUSH_SLAVE_TIMEOUT",
        MESSAGE_ILLEGAL => "MESSAGE_ILLEGAL",
        SERVICE_NOT_AVAILABLE => "SERVICE_NOT_AVAILABLE",
        NO_PERMISSION => "NO_PERMISSION",
        TOPIC_NOT_EXIST => "TOPIC_NOT_EXIST",
        SUBSCRIPTION_GROUP_NOT_EXIST => "SUBSCRIPTION_GROUP_NOT_EXIST",
        INVALID_PARAMETER => "INVALID_PARAMETER",
        _ => return format!("code {code}:"),
    };
    format!("{name} ({code}):")
}

pub(super) fn no_queue(name: &str) -> Error {
    Error::new(StatusCode::NotFound, format!("there is no queue \"{name}\"")).with_remedy("create it first")
}

pub(super) fn no_partition(name: &str, partition: u32, partitions: usize) -> Error {
    let message = format!("queue \"{name}\" has no partition {partition}: it has {partitions}, from 0");
    Error::new(StatusCode::PartitionNotFound, message).with_remedy("name one that it has, or none")
}

pub(super) fn closed(servers: &str) -> Error {
    Error::new(StatusCode::Closed, format!("the access point at {servers} is closed"))
        .with_remedy("connect again")
}

pub(super) fn too_large(queue: &str, size: usize, limit: usize) -> Error {
    let message = format!("a message for queue \"{queue}\" has {size} bytes, and {limit} are allowed");
    Error::new(StatusCode::MessageTooLarge, message)
        .with_remedy("send a smaller one, or raise max.message.bytes here and maxMessageSize at the broker")
}

/// RocketMQ keeps key and headers in at most 32,767 bytes.
pub(super) fn headers_too_large(queue: &str, size: usize) -> Error {
    let message = format!(
        "key and headers of a message for queue \"{queue}\" take {size} bytes as RocketMQ properties, and 32000 are allowed"
    );
    Error::new(StatusCode::MessageTooLarge, message).with_remedy("put what is large into the body")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_become_statuses() {
        for (code, remark, status, retriable) in [
            (SYSTEM_BUSY, "[TIMEOUT_CLEAN_QUEUE]broker busy", StatusCode::Unavailable, true),
            (FLUSH_DISK_TIMEOUT, "", StatusCode::Timeout, true),
            (SLAVE_NOT_AVAILABLE, "", StatusCode::Unavailable, true),
            (MESSAGE_ILLEGAL, "the message is illegal", StatusCode::MessageTooLarge, false),
            (SERVICE_NOT_AVAILABLE, "the broker's disk is full [CL:  0.95]", StatusCode::Full, true),
            (NO_PERMISSION, "User:x is not found.", StatusCode::Unauthorized, false),
            (NO_PERMISSION, "User:x has no permission to access Topic:y", StatusCode::Forbidden, false),
            (TOPIC_NOT_EXIST, "topic[x] not exist", StatusCode::NotFound, false),
            (SYSTEM_ERROR, "java.lang.Exception: x", StatusCode::ServerError, true),
        ] {
            let answer = Response { code, remark: remark.into(), ..Response::default() };
            let error = refused("rocketmq at h:1", "sending to queue q", &answer);
            assert_eq!((error.status, error.is_retriable()), (status, retriable), "{error}");
            assert!(error.to_string().contains("h:1") && error.remedy.is_some(), "{error}");
        }
    }

    #[test]
    fn texts_are_short() {
        assert_eq!(first_line("no\nat org.x(Y.java)"), "no");
        assert_eq!(
            first_line("topic[x] not exist, apply first please! See https://x for y"),
            "topic[x] not exist, apply first please!"
        );
        assert!(first_line(&"é".repeat(400)).len() <= 300);
    }
}
