//! What a server answers and what breaks on the way, in terms of the OpenMessaging API.

use openmessaging::{Error, StatusCode};

use super::super::common::deadline;

/// What the first word of a server's error means, and what to do. Source: the text of the errors in Redis 6.2 to 8.
fn meaning(text: &str) -> (StatusCode, &'static str) {
    let has = |word: &str| text.contains(word);
    // Errors inside a script carry the script's place, before (6.2) or behind them.
    if has("OOM ") {
        (
            StatusCode::Full,
            "raise maxmemory, or let queues be trimmed (retention); sending can go on after that",
        )
    } else if has("MISCONF") && (has("No space") || has("persist")) {
        (StatusCode::Full, "make room on the server's disk, and look into its log")
    } else if has("MISCONF") {
        (StatusCode::ServerError, "look into the server's log: it cannot write to its disk")
    } else if has("NOAUTH") {
        (StatusCode::Unauthorized, "give user and password")
    } else if has("WRONGPASS") || has("invalid password") || has("invalid username-password") {
        (StatusCode::Unauthorized, "correct user and password")
    } else if has("without any password configured") {
        (StatusCode::Unauthorized, "leave the password out, or set requirepass or a user (ACL SETUSER) there")
    } else if has("NOPERM") {
        (StatusCode::Forbidden, "give this user the right (ACL SETUSER: commands, and keys of the queue)")
    } else if has("WRONGTYPE") {
        (StatusCode::BadParameter, "there is a key of that name which is no stream: use another name")
    } else if has("LOADING") {
        (StatusCode::Unavailable, "wait until the server has loaded its data")
    } else if has("READONLY") {
        (StatusCode::Unavailable, "name the primary: this server is a replica")
    } else if has("MASTERDOWN") || has("NOREPLICAS") || has("CLUSTERDOWN") {
        (StatusCode::Unavailable, "look at the state of the primary and its replicas")
    } else if has("MOVED ") || has("ASK ") || has("CROSSSLOT") {
        (StatusCode::Unsupported, "name a server or a primary with replicas: Redis Cluster is not supported")
    } else if has("max number of clients") {
        (StatusCode::Unavailable, "raise maxclients")
    } else if has("no such key") || has("requires the key to exist") {
        (StatusCode::NotFound, "create it first")
    } else if has("unknown command") || has("unknown subcommand") {
        (StatusCode::UnsupportedVersion, "use Redis 6.2 or later, with this command enabled")
    } else if has("exceeds") || has("invalid bulk length") {
        (StatusCode::MessageTooLarge, "raise proto-max-bulk-len, or make it smaller")
    } else if has("BUSY ") {
        (StatusCode::Unavailable, "look for a script of somebody else that does not end")
    } else {
        (StatusCode::ServerError, "look into the server's log")
    }
}

/// An error that a server answered. `what` was to be done: "creating queue x".
pub(super) fn answered(server: &str, what: &str, text: &str) -> Error {
    let (status, remedy) = meaning(text);
    let text: String = text.chars().filter(|c| !c.is_control()).take(300).collect();
    Error::new(status, format!("{server}: {what}: {text}")).with_remedy(remedy)
}

/// The answer is another one than the documentation of the command says.
pub(super) fn unexpected(server: &str, what: &str) -> Error {
    Error::new(StatusCode::ServerError, format!("{server}: {what}: the answer is not one of Redis"))
        .with_remedy("look at what stands between this process and the server")
}

pub(super) fn closed(server: &str) -> Error {
    Error::new(StatusCode::Closed, format!("the access point at {server} is closed"))
        .with_remedy("connect again")
}

pub(super) fn no_queue(name: &str) -> Error {
    Error::new(StatusCode::NotFound, format!("there is no queue \"{name}\"")).with_remedy("create it first")
}

pub(super) fn no_partition(name: &str, partition: u32, partitions: u32) -> Error {
    let message = format!("queue \"{name}\" has no partition {partition}: it has {partitions}, from 0");
    Error::new(StatusCode::PartitionNotFound, message).with_remedy("name one that is there, or none")
}

/// The connection broke.
pub(super) fn broken(server: &str, why: &dyn std::fmt::Display) -> Error {
    Error::new(StatusCode::Unavailable, format!("the connection to {server} broke: {why}"))
        .with_remedy("look at the network and at the server's log")
}

pub(super) fn late(server: &str, what: &str, limit: std::time::Duration) -> Error {
    deadline::late(limit, server, what)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_a_server_have_a_status_and_a_remedy() {
        for (text, status) in [
            (
                "OOM command not allowed when used memory > 'maxmemory'. script: 1, on @user_script:1.",
                StatusCode::Full,
            ),
            (
                "ERR Error running script (call to f_1): @user_script:9: @user_script: 9: -OOM command not allowed",
                StatusCode::Full,
            ),
            ("MISCONF Errors writing to the AOF file: No space left on device", StatusCode::Full),
            ("MISCONF Errors writing to the AOF file: Input/output error", StatusCode::ServerError),
            ("NOAUTH Authentication required.", StatusCode::Unauthorized),
            ("WRONGPASS invalid username-password pair or user is disabled.", StatusCode::Unauthorized),
            ("NOPERM this user has no permissions to run the 'xadd' command", StatusCode::Forbidden),
            ("WRONGTYPE Operation against a key holding the wrong kind of value", StatusCode::BadParameter),
            ("LOADING Redis is loading the dataset in memory", StatusCode::Unavailable),
            ("READONLY You can't write against a read only replica.", StatusCode::Unavailable),
            ("MOVED 3999 127.0.0.1:6381", StatusCode::Unsupported),
            ("ERR no such key", StatusCode::NotFound),
            ("ERR something new", StatusCode::ServerError),
        ] {
            let error = answered("redis at h:1", "sending", text);
            assert_eq!(error.status, status, "{text}");
            assert!(error.remedy.is_some() && error.to_string().contains("redis at h:1"), "{error}");
        }
        assert!(!answered("s", "w", "ERR a\r\nb").to_string().contains('\n'));
    }
}
