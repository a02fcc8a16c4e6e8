//! Kafka's error codes in terms of the OpenMessaging API.
//!
//! Source: "Kafka protocol guide", *Error Codes*; `Errors.java`.

use openmessaging::{Error, StatusCode};

/// The codes that something is decided by.
pub(super) mod code {
    pub const NONE: i16 = 0;
    pub const OFFSET_OUT_OF_RANGE: i16 = 1;
    pub const CORRUPT_MESSAGE: i16 = 2;
    pub const UNKNOWN_TOPIC: i16 = 3;
    pub const LEADER_NOT_AVAILABLE: i16 = 5;
    pub const NOT_LEADER: i16 = 6;
    pub const REQUEST_TIMED_OUT: i16 = 7;
    pub const MESSAGE_TOO_LARGE: i16 = 10;
    pub const NETWORK_EXCEPTION: i16 = 13;
    pub const COORDINATOR_LOADING: i16 = 14;
    pub const COORDINATOR_NOT_AVAILABLE: i16 = 15;
    pub const NOT_COORDINATOR: i16 = 16;
    pub const RECORD_LIST_TOO_LARGE: i16 = 18;
    pub const NOT_ENOUGH_REPLICAS: i16 = 19;
    pub const NOT_ENOUGH_REPLICAS_AFTER_APPEND: i16 = 20;
    pub const UNSUPPORTED_SASL_MECHANISM: i16 = 33;
    pub const ILLEGAL_SASL_STATE: i16 = 34;
    pub const UNSUPPORTED_VERSION: i16 = 35;
    pub const NOT_CONTROLLER: i16 = 41;
    pub const OUT_OF_ORDER_SEQUENCE: i16 = 45;
    pub const DUPLICATE_SEQUENCE: i16 = 46;
    pub const CONCURRENT_TRANSACTIONS: i16 = 51;
    pub const STORAGE_ERROR: i16 = 56;
    pub const SASL_FAILED: i16 = 58;
    pub const UNKNOWN_PRODUCER: i16 = 59;
    pub const REPLICA_NOT_AVAILABLE: i16 = 9;
    pub const FENCED_LEADER_EPOCH: i16 = 74;
    pub const UNKNOWN_LEADER_EPOCH: i16 = 75;
    pub const OFFSET_NOT_AVAILABLE: i16 = 78;
    pub const THROTTLED: i16 = 89;
    pub const UNKNOWN_TOPIC_ID: i16 = 100;
}

/// The leader of the partition is another one now, or not known yet: ask who it is.
pub(super) fn leader_moved(code: i16) -> bool {
    matches!(
        code,
        code::UNKNOWN_TOPIC
            | code::LEADER_NOT_AVAILABLE
            | code::NOT_LEADER
            | code::REPLICA_NOT_AVAILABLE
            | code::STORAGE_ERROR
            | code::FENCED_LEADER_EPOCH
            | code::UNKNOWN_LEADER_EPOCH
            | code::UNKNOWN_TOPIC_ID
    )
}

/// Waiting mends it, with nothing changed by a person.
pub(super) fn passes(code: i16) -> bool {
    leader_moved(code) && code != code::UNKNOWN_TOPIC
        || matches!(
            code,
            code::REQUEST_TIMED_OUT
                | code::NETWORK_EXCEPTION
                | code::COORDINATOR_LOADING
                | code::COORDINATOR_NOT_AVAILABLE
                | code::NOT_COORDINATOR
                | code::NOT_ENOUGH_REPLICAS
                | code::NOT_ENOUGH_REPLICAS_AFTER_APPEND
                | code::NOT_CONTROLLER
                | code::CONCURRENT_TRANSACTIONS
                | code::OFFSET_NOT_AVAILABLE
                | code::THROTTLED
        )
}

/// The error of a code. `what` names the server and what was asked of it: "kafka at a:1: creating the topic x".
pub(super) fn of(code: i16, what: &str) -> Error {
    let (status, said, remedy) = meaning(code);
    let mut error = Error::new(status, format!("{what}: {said} (Kafka's error {code})")).with_remedy(remedy);
    if passes(code) {
        error.retriable = Some(true);
    }
    error
}

fn meaning(code: i16) -> (StatusCode, &'static str, &'static str) {
    use StatusCode as S;
    const RIGHTS: &str = "give this user the right, with kafka-acls";
    const LATER: &str = "try again; if it stays, look at the brokers";
    const NAME: &str = "use up to 249 letters, digits, \".\", \"_\" and \"-\"";
    match code {
        code::OFFSET_OUT_OF_RANGE => {
            (S::OffsetOutOfRange, "no message has this offset", "seek to begin or end")
        }
        code::CORRUPT_MESSAGE => (S::ServerError, "a message was damaged on its way", LATER),
        code::UNKNOWN_TOPIC | code::UNKNOWN_TOPIC_ID => {
            (S::NotFound, "there is no such topic or partition", "create it first")
        }
        code::LEADER_NOT_AVAILABLE | code::NOT_LEADER | code::REPLICA_NOT_AVAILABLE => {
            (S::Unavailable, "the partition has no leader there", LATER)
        }
        code::FENCED_LEADER_EPOCH | code::UNKNOWN_LEADER_EPOCH | code::OFFSET_NOT_AVAILABLE => {
            (S::Unavailable, "the partition's leader is changing", LATER)
        }
        code::REQUEST_TIMED_OUT => (S::Timeout, "the brokers did not finish in time", LATER),
        code::MESSAGE_TOO_LARGE | code::RECORD_LIST_TOO_LARGE => (
            S::MessageTooLarge,
            "the message is larger than the topic takes",
            "raise max.message.bytes of the topic, or send less in a message",
        ),
        12 => (S::BadParameter, "the metadata of a position is too large", LATER),
        code::NETWORK_EXCEPTION => (S::Unavailable, "a connection between brokers broke", LATER),
        code::COORDINATOR_LOADING | code::COORDINATOR_NOT_AVAILABLE | code::NOT_COORDINATOR => {
            (S::Unavailable, "the coordinator of the group is not ready", LATER)
        }
        17 => (S::BadParameter, "this cannot be the name of a topic", NAME),
        code::NOT_ENOUGH_REPLICAS | code::NOT_ENOUGH_REPLICAS_AFTER_APPEND => (
            S::Unavailable,
            "fewer replicas are in sync than min.insync.replicas asks for",
            "bring the brokers back that are down",
        ),
        21 => (S::BadParameter, "the broker takes no such acks", "set client.acks to all"),
        22 | 25 | 27 => (
            S::Conflict,
            "members of the consumer group keep its positions",
            "use a group of its own, or end the members",
        ),
        24 => (S::BadParameter, "this cannot be the name of a consumer group", "name a group"),
        29 => (S::Forbidden, "the user has no right to this topic", RIGHTS),
        30 => (S::Forbidden, "the user has no right to this consumer group", RIGHTS),
        31 => (S::Forbidden, "the user has no right to this on the cluster", RIGHTS),
        53 => (S::Forbidden, "the user has no right to transactions", RIGHTS),
        32 => (
            S::BadParameter,
            "a timestamp is further from the broker's clock than it takes",
            "look at message.timestamp.before.max.ms and message.timestamp.after.max.ms of the topic",
        ),
        code::UNSUPPORTED_SASL_MECHANISM => (
            S::Unauthorized,
            "the server does not authenticate in this way",
            "set sasl.mechanism to one that it has",
        ),
        code::ILLEGAL_SASL_STATE => (
            S::Unauthorized,
            "the server asks for no credentials on this port",
            "leave user and password out, or use the port that authenticates",
        ),
        code::SASL_FAILED => (
            S::Unauthorized,
            "the server refuses the credentials",
            "look at user, password and sasl.mechanism",
        ),
        code::UNSUPPORTED_VERSION | 43 => (
            S::UnsupportedVersion,
            "the broker does not take this version of the request",
            "use a broker of Apache Kafka 2.1 or newer",
        ),
        36 => (S::AlreadyExists, "a topic of that name exists", "use it, or another name"),
        37 => (S::BadParameter, "this number of partitions is not possible", "use 1 or more"),
        38 => (
            S::BadParameter,
            "there are not so many brokers as replicas are asked for",
            "set replication.factor to at most the number of brokers",
        ),
        39 | 40 | 42 | 44 => (S::BadParameter, "the broker refuses the settings", "look at what it says"),
        code::NOT_CONTROLLER => (S::Unavailable, "the cluster's controller is changing", LATER),
        code::OUT_OF_ORDER_SEQUENCE | code::UNKNOWN_PRODUCER => {
            (S::ServerError, "the broker lost messages of this producer", LATER)
        }
        47 | 90 => (S::ServerError, "another producer took this one's place", "recover the producer"),
        code::CONCURRENT_TRANSACTIONS => (S::Unavailable, "a transaction is not finished", LATER),
        code::STORAGE_ERROR => (
            S::Unavailable,
            "the broker's disk failed or is full",
            "make room on the broker's disk (or repair it), and start the broker again",
        ),
        73 => {
            (S::Forbidden, "deleting topics is switched off", "set delete.topic.enable=true on the brokers")
        }
        code::THROTTLED => (S::Unavailable, "a quota is used up", "raise the quota, or wait"),
        87 => (
            S::BadParameter,
            "the topic does not take this record",
            "look at the topic's settings (compaction needs keys)",
        ),
        _ => (S::ServerError, "the broker failed", "look into the broker's log"),
    }
}

/// What becomes of a batch by its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Stored,
    /// Send it again as it is; `refresh` asks for the leader before.
    Again {
        refresh: bool,
    },
    /// The broker knows of no message before it. Right behind another one that is to be sent again; otherwise numbers must
    /// begin anew.
    OutOfOrder,
    /// Too large: send its parts.
    Split,
    Failed,
}

pub(super) fn verdict(code: i16) -> Verdict {
    match code {
        code::NONE | code::DUPLICATE_SEQUENCE => Verdict::Stored,
        code::OUT_OF_ORDER_SEQUENCE | code::UNKNOWN_PRODUCER => Verdict::OutOfOrder,
        code::MESSAGE_TOO_LARGE | code::RECORD_LIST_TOO_LARGE => Verdict::Split,
        code::CORRUPT_MESSAGE => Verdict::Again { refresh: false },
        code if leader_moved(code) => Verdict::Again { refresh: true },
        code if passes(code) => Verdict::Again { refresh: false },
        _ => Verdict::Failed,
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

pub(super) fn no_queue(server: &str, queue: &str) -> Error {
    Error::new(StatusCode::NotFound, format!("{server} has no topic \"{queue}\""))
        .with_remedy("create it first")
}

pub(super) fn no_partition(queue: &str, partition: u32, partitions: usize) -> Error {
    let message = format!("queue \"{queue}\" has no partition {partition}: it has {partitions}, from 0");
    Error::new(StatusCode::PartitionNotFound, message)
        .with_remedy("name one that it has, or add partitions with kafka-topics --alter")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_status_and_a_remedy() {
        for (code, status, retriable) in [
            (code::UNKNOWN_TOPIC, StatusCode::NotFound, false),
            (code::MESSAGE_TOO_LARGE, StatusCode::MessageTooLarge, false),
            (29, StatusCode::Forbidden, false),
            (code::SASL_FAILED, StatusCode::Unauthorized, false),
            (code::NOT_ENOUGH_REPLICAS, StatusCode::Unavailable, true),
            (code::STORAGE_ERROR, StatusCode::Unavailable, true),
            (code::REQUEST_TIMED_OUT, StatusCode::Timeout, true),
            (-1, StatusCode::ServerError, true),
            (9_999, StatusCode::ServerError, true),
        ] {
            let error = of(code, "kafka at a:1: sending");
            assert_eq!((error.status, error.is_retriable()), (status, retriable), "{error}");
            assert!(error.remedy.is_some() && error.to_string().contains("kafka at a:1"));
        }
    }

    #[test]
    fn what_becomes_of_a_batch() {
        assert_eq!(verdict(code::NONE), Verdict::Stored);
        assert_eq!(verdict(code::DUPLICATE_SEQUENCE), Verdict::Stored);
        assert_eq!(verdict(code::NOT_LEADER), Verdict::Again { refresh: true });
        assert_eq!(verdict(code::NOT_ENOUGH_REPLICAS), Verdict::Again { refresh: false });
        assert_eq!(verdict(code::MESSAGE_TOO_LARGE), Verdict::Split);
        assert_eq!(verdict(29), Verdict::Failed);
        assert_eq!(verdict(-1), Verdict::Failed);
    }
}
