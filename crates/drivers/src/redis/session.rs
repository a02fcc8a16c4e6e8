//! What a producer's connection was found to be good for, and what the server answers on it.

use openmessaging::{Error, Result, StatusCode};

use super::connection::Connection;
use super::link::Link;
use super::resp::Reply;
use super::server_info::ServerInfo;
use super::{error, scripts};

/// What the script answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Stored,
    /// Behind so many messages of the part.
    Failed(usize, String),
    Refused,
    Unknown,
}

/// What a connection was found to be good for.
pub(super) struct Session {
    pub sha: Vec<u8>,
    pub auto_ids: bool,
    /// The command that waits for replicas or the disk, without its time; empty: none.
    pub wait: Vec<String>,
    /// How many must be there, of each number that it answers.
    wanted: Vec<i64>,
}

impl Session {
    /// Loads the script, and looks what there is to wait for.
    pub async fn begin(link: &Link, connection: &mut Connection) -> Result<Self> {
        let script = scripts::PRODUCE.as_bytes();
        let sha = connection.call("loading a script", &[b"SCRIPT", b"LOAD", script]).await?;
        let sha = sha.bytes().ok_or_else(|| error::unexpected(link.server(), "loading a script"))?;
        let info = ServerInfo::ask(connection).await?;
        let config = &link.config;
        let replicas = config.wait_replicas.unwrap_or(u64::from(info.replicas > 0)).to_string();
        let (wait, wanted) = if config.wait_fsync {
            (vec!["WAITAOF".to_owned(), "1".to_owned(), replicas.clone()], vec![1, number(&replicas)])
        } else if replicas != "0" {
            (vec!["WAIT".to_owned(), replicas.clone()], vec![number(&replicas)])
        } else {
            (Vec::new(), Vec::new())
        };
        if config.wait_fsync && !info.is_at_least(7, 2) {
            let text = format!("{} is of version {}; wait.fsync needs 7.2", link.server(), info.version);
            return Err(Error::new(StatusCode::UnsupportedVersion, text).with_remedy(
                "set appendfsync always there and leave wait.fsync out, or use a later version",
            ));
        }
        Ok(Self { sha, auto_ids: info.is_at_least(7, 0), wait, wanted })
    }

    /// What the answer to the wait makes of a part that is stored.
    pub fn waited(&self, reply: &Reply) -> Outcome {
        let found: Vec<i64> = match reply {
            Reply::Integer(count) => vec![*count],
            Reply::Array(counts) => counts.iter().filter_map(Reply::integer).collect(),
            Reply::Error(text) => return Outcome::Failed(0, text.clone()),
            _ => Vec::new(),
        };
        let enough = found.len() == self.wanted.len()
            && found.iter().zip(&self.wanted).all(|(found, wanted)| found >= wanted);
        if enough {
            Outcome::Stored
        } else {
            Outcome::Failed(
                0,
                format!("NOREPLICAS {} was answered with {found:?} in time", self.wait.join(" ")),
            )
        }
    }
}

fn number(text: &str) -> i64 {
    text.parse().unwrap_or_default()
}

/// Reads the script's answer. `Err`: it did not run, and may when it is sent again.
pub(super) fn outcome(reply: Reply) -> std::result::Result<Outcome, ()> {
    let items = match reply {
        Reply::Error(text) if text.starts_with("NOSCRIPT") || text.starts_with("LOADING") => return Err(()),
        Reply::Error(text) => return Ok(Outcome::Failed(0, text)),
        Reply::Array(items) => items,
        _ => return Err(()),
    };
    match items.first().and_then(Reply::integer) {
        Some(1 | 2) => Ok(Outcome::Stored),
        Some(0) => {
            let count = items.get(1).and_then(Reply::integer).and_then(|count| usize::try_from(count).ok());
            let text = items.get(2).and_then(Reply::text).unwrap_or("ERR of unknown kind");
            Ok(Outcome::Failed(count.unwrap_or_default(), text.to_owned()))
        }
        Some(-1) => Ok(Outcome::Refused),
        Some(-2) => Ok(Outcome::Unknown),
        _ => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(items: &[Reply]) -> std::result::Result<Outcome, ()> {
        outcome(Reply::Array(items.to_vec()))
    }

    #[test]
    fn answers_of_the_script_are_told_apart() {
        let number = Reply::Integer;
        assert_eq!(answer(&[number(1)]), Ok(Outcome::Stored));
        assert_eq!(answer(&[number(2)]), Ok(Outcome::Stored), "before");
        let problem = [number(0), number(7), Reply::Bytes(b"OOM no".to_vec())];
        assert_eq!(answer(&problem), Ok(Outcome::Failed(7, "OOM no".into())));
        assert_eq!(
            (answer(&[number(-1)]), answer(&[number(-2)])),
            (Ok(Outcome::Refused), Ok(Outcome::Unknown))
        );
        assert_eq!(answer(&[]), Err(()));
        assert_eq!(outcome(Reply::Error("NOSCRIPT No matching script.".into())), Err(()));
        assert_eq!(outcome(Reply::Error("NOPERM x".into())), Ok(Outcome::Failed(0, "NOPERM x".into())));
    }

    #[test]
    fn what_is_waited_for_must_all_be_there() {
        let session = |wanted: &[i64]| Session {
            sha: Vec::new(),
            auto_ids: true,
            wait: vec!["WAIT".into()],
            wanted: wanted.to_vec(),
        };
        assert_eq!(session(&[1]).waited(&Reply::Integer(2)), Outcome::Stored);
        assert!(matches!(session(&[2]).waited(&Reply::Integer(1)), Outcome::Failed(0, _)));
        let both = Reply::Array(vec![Reply::Integer(1), Reply::Integer(0)]);
        assert_eq!(session(&[1, 0]).waited(&both), Outcome::Stored);
        assert!(matches!(session(&[1, 1]).waited(&both), Outcome::Failed(0, _)));
    }
}
