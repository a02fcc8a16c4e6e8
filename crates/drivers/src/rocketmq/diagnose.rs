//! What `doctor` finds at the name servers and brokers.

use std::collections::HashMap;
use std::sync::Arc;

use openmessaging::{Diagnosis, Error, Finding, Result, StatusCode};
use serde::Deserialize;
use tokio::time::Instant;

use super::client::{Client, expect};
use super::codes::*;
use super::config::Config;
use super::frame::Request;
use super::routes::{Routes, parse};

/// Below so many hours of reserved time the key/value stores are in danger; below the second, so is a worker that is down
/// over a weekend.
const STORES_NEED: u64 = 12;
const WORKERS_NEED: u64 = 72;

type Table = HashMap<String, String>;

pub(super) async fn diagnose(routes: &Arc<Routes>) -> Result<Diagnosis> {
    let client = &routes.client;
    let deadline = client.deadline();
    let mut findings = name_servers(client, deadline).await;
    let mut version = None;
    match routes.masters(deadline).await {
        Ok(masters) => {
            for (name, address) in masters {
                let looked = look(client, &address, deadline).await;
                let subject = format!("broker {name} at {address}");
                match looked {
                    Ok((config, info)) => {
                        version = version.or_else(|| version_of(&info));
                        findings.extend(broker(&subject, &config, &info, &client.config));
                    }
                    Err(error) => findings.push(unseen(&subject, &error)),
                }
            }
        }
        Err(error) if error.status == StatusCode::Closed => return Err(error),
        Err(error) => findings.push(unseen(&client.servers, &error)),
    }
    let version =
        version.unwrap_or_else(|| "of a version that it does not tell (5.0 or later is needed)".into());
    Ok(Diagnosis { broker: format!("Apache RocketMQ {version}"), findings })
}

async fn name_servers(client: &Arc<Client>, deadline: Instant) -> Vec<Finding> {
    const CODE: &str = "rocketmq.name-server";
    let mut findings = Vec::new();
    for (index, address) in client.name_servers().iter().enumerate() {
        let limit = deadline.min(Instant::now() + std::time::Duration::from_secs(3));
        let subject = format!("name server {address}");
        let asked = client.name_server_at(index, &Request::new(GET_BROKER_CLUSTER_INFO), limit).await;
        findings.push(match asked {
            Ok(_) => Finding::ok(CODE, subject, "it answers"),
            Err(error) => Finding::warning(
                CODE,
                subject,
                error.message,
                "start it, or take it out of the URL: with the last name server no queue is found",
            ),
        });
    }
    findings
}

async fn look(client: &Arc<Client>, address: &str, deadline: Instant) -> Result<(Table, Table)> {
    #[derive(Deserialize)]
    struct Info {
        #[serde(default)]
        table: Table,
    }
    let config = client.broker_again(address, &Request::new(GET_BROKER_CONFIG), deadline).await?;
    let config = expect(address, "asking for the settings", config)?;
    // A broker that was just started has no figures yet, and fails at the question with an exception of its own.
    let patience = deadline.min(Instant::now() + std::time::Duration::from_secs(8));
    let info = loop {
        let info = client.broker_again(address, &Request::new(GET_BROKER_RUNTIME_INFO), deadline).await?;
        match expect(address, "asking for the state", info) {
            Err(error) if error.is_retriable() && Instant::now() < patience => {
                tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            }
            answered => break answered?,
        }
    };
    let info: Info = parse(&info.body, address)?;
    Ok((properties(&String::from_utf8_lossy(&config.body)), info.table))
}

/// Java properties, as far as a broker writes them: a name, `=`, a value on each line.
fn properties(text: &str) -> Table {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect()
}

/// `V5_3_3` is 5.3.3.
fn version_of(info: &Table) -> Option<String> {
    let text = info.get("brokerVersionDesc")?;
    Some(text.trim_start_matches('V').replace('_', "."))
}

fn unseen(subject: &str, error: &Error) -> Finding {
    let remedy = error.remedy.clone().unwrap_or_else(|| "look at the log of the broker".into());
    if error.status == StatusCode::Forbidden {
        let message = format!("its settings cannot be looked at: {}", error.message);
        return Finding::warning(
            "rocketmq.rights",
            subject,
            message,
            "give this user the right GET on the cluster",
        );
    }
    Finding::error("rocketmq.broker", subject, error.message.clone(), remedy)
}

/// What the settings and the state of one broker come to.
fn broker(subject: &str, settings: &Table, info: &Table, own: &Config) -> Vec<Finding> {
    let text = |name: &str| settings.get(name).map(String::as_str).unwrap_or_default();
    let number = |name: &str| text(name).parse::<u64>().ok();
    let version = version_of(info).unwrap_or_else(|| "an unknown version".into());
    let mut findings = vec![Finding::ok("rocketmq.broker", subject, format!("it answers, and is {version}"))];
    findings.push(flush(subject, text("flushDiskType")));
    findings.push(replication(subject, text("brokerRole"), number("inSyncReplicas")));
    findings.extend(number("fileReservedTime").map(|hours| retention(subject, hours)));
    if text("autoCreateTopicEnable") == "true" {
        findings.push(Finding::warning(
            "rocketmq.auto-create-topic",
            subject,
            "autoCreateTopicEnable=true: other clients make queues by misspelling a name",
            "set autoCreateTopicEnable=false, and make queues on purpose",
        ));
    }
    let permission = number("brokerPermission").unwrap_or(6);
    if permission & 6 != 6 {
        findings.push(Finding::error(
            "rocketmq.permission",
            subject,
            format!("brokerPermission={permission}: the broker refuses to be written to, or read"),
            "set brokerPermission=6",
        ));
    }
    let needed = own.max_message_bytes.max(own.batch_bytes) as u64;
    if let Some(size) = number("maxMessageSize").filter(|size| *size < needed) {
        findings.push(Finding::warning(
            "rocketmq.max-message-size",
            subject,
            format!("maxMessageSize={size} is less than max.message.bytes or batch.bytes here, {needed}"),
            "raise maxMessageSize at the broker, or lower max.message.bytes and batch.bytes here",
        ));
    }
    findings.extend(disk(subject, info));
    findings
}

fn flush(subject: &str, kind: &str) -> Finding {
    const CODE: &str = "rocketmq.flush";
    match kind {
        "SYNC_FLUSH" => Finding::ok(CODE, subject, "a message is acknowledged when it is on the disk"),
        _ => Finding::warning(
            CODE,
            subject,
            "flushDiskType=ASYNC_FLUSH: a message is acknowledged before it is on the disk, and lost when the machine fails",
            "set flushDiskType=SYNC_FLUSH, or brokerRole=SYNC_MASTER with a slave on another machine",
        ),
    }
}

fn replication(subject: &str, role: &str, in_sync: Option<u64>) -> Finding {
    const CODE: &str = "rocketmq.replication";
    match role {
        "SYNC_MASTER" => {
            let copies = in_sync.map(|count| format!(", inSyncReplicas={count}")).unwrap_or_default();
            Finding::ok(CODE, subject, format!("a message is acknowledged when a slave has it{copies}"))
        }
        _ => Finding::warning(
            CODE,
            subject,
            format!("brokerRole={role}: what was acknowledged is lost with the disk of this broker"),
            "set brokerRole=SYNC_MASTER, with a slave; or keep the disk itself redundant",
        ),
    }
}

fn retention(subject: &str, hours: u64) -> Finding {
    const CODE: &str = "rocketmq.retention";
    let message = format!(
        "fileReservedTime={hours}: messages are removed after {hours} h, whether they were read or not"
    );
    if hours < STORES_NEED {
        let remedy =
            "set fileReservedTime to 72 or more: positions and settings kept in RocketMQ are lost otherwise";
        return Finding::error(CODE, subject, message, remedy);
    }
    if hours < WORKERS_NEED {
        let remedy = "set fileReservedTime to more hours than all workers may be down: then their positions are lost too";
        return Finding::warning(CODE, subject, message, remedy);
    }
    Finding::ok(CODE, subject, message)
}

/// The broker refuses writes when its disk is fuller than 90 % (`rocketmq.broker.diskSpaceWarningLevelRatio`).
fn disk(subject: &str, info: &Table) -> Option<Finding> {
    const CODE: &str = "rocketmq.disk";
    let used: f64 = info.get("commitLogDiskRatio")?.parse().ok()?;
    let message = format!("its disk is {:.0} % full", used * 100.0);
    let remedy = "make room on that disk, or lower fileReservedTime: above 90 % every write is refused";
    Some(match used {
        used if used > 0.88 => Finding::error(CODE, subject, message, remedy),
        used if used > 0.75 => Finding::warning(CODE, subject, message, remedy),
        _ => Finding::ok(CODE, subject, message),
    })
}

#[cfg(test)]
mod tests {
    use openmessaging::{Properties, Severity};

    use super::*;

    fn found(settings: &str, info: &[(&str, &str)]) -> HashMap<&'static str, Severity> {
        let info = info.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let url = "oms:rocketmq://h/default".parse().expect("a URL");
        let own = Config::parse(&url, &Properties::new()).expect("read");
        let findings = broker("b", &properties(settings), &info, &own);
        assert!(
            findings.iter().all(|finding| finding.remedy.is_none() == (finding.severity == Severity::Ok))
        );
        findings.into_iter().map(|finding| (finding.code, finding.severity)).collect()
    }

    #[test]
    fn settings_that_lose_messages_are_found() {
        let kept = found(
            "flushDiskType=SYNC_FLUSH\nbrokerRole=SYNC_MASTER\nfileReservedTime=720\nautoCreateTopicEnable=false\nmaxMessageSize=4194304\n",
            &[("commitLogDiskRatio", "0.2"), ("brokerVersionDesc", "V5_3_3")],
        );
        assert!(kept.values().all(|severity| *severity == Severity::Ok), "{kept:?}");
        let lost = found(
            "flushDiskType=ASYNC_FLUSH\nbrokerRole=ASYNC_MASTER\nfileReservedTime=1\nautoCreateTopicEnable=true\nmaxMessageSize=1000\nbrokerPermission=4\n",
            &[("commitLogDiskRatio", "0.95")],
        );
        for (code, severity) in [
            ("rocketmq.flush", Severity::Warning),
            ("rocketmq.replication", Severity::Warning),
            ("rocketmq.retention", Severity::Error),
            ("rocketmq.auto-create-topic", Severity::Warning),
            ("rocketmq.max-message-size", Severity::Warning),
            ("rocketmq.permission", Severity::Error),
            ("rocketmq.disk", Severity::Error),
        ] {
            assert_eq!(lost.get(code), Some(&severity), "{code}");
        }
    }
}
