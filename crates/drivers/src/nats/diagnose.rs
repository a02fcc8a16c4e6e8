//! What is found when the server, the account and its streams are looked at. Each finding is decided by a function of what
//! was read.

use std::time::Duration;

use openmessaging::{Diagnosis, Finding, Result};

use super::access_point::Handle;
use super::api::{AccountInfo, StreamInfo};
use super::dial::ServerInfo;

/// So many streams are looked at one by one.
const STREAMS: usize = 500;

pub(super) async fn diagnose(handle: &Handle) -> Result<Diagnosis> {
    let (js, config, deadline) = (&handle.js, &handle.config, handle.deadline());
    let info = js.link.info();
    let mut findings = vec![
        Finding::ok("nats.version", &config.server, format!("NATS {} ({})", info.version, info.server_name)),
        payload(&config.server, &info, config.max_message_bytes),
        syncing(&config.server),
    ];
    match js.account(deadline).await {
        Ok(Ok(account)) => findings.extend(limits(&config.server, &account)),
        Ok(Err(error)) => findings.push(unseen(&config.server, &error.description)),
        Err(error) => findings.push(unseen(&config.server, &error.to_string())),
    }
    match js.names(deadline).await {
        Ok(names) => {
            let own = names
                .into_iter()
                .filter(|name| config.space.queue(name.split('=').next().unwrap_or(name)).is_some());
            for name in own.take(STREAMS) {
                match js.info(&name, deadline).await {
                    Ok(Some(stream)) => findings.extend(stream_findings(&stream, config.timeout)),
                    Ok(None) => {}
                    Err(error) => findings.push(unseen(&name, &error.to_string())),
                }
            }
        }
        Err(error) => findings.push(unseen(&config.server, &error.to_string())),
    }
    Ok(Diagnosis { broker: format!("NATS {}", info.version), findings })
}

fn unseen(subject: &str, why: &str) -> Finding {
    Finding::error(
        "nats.permissions",
        subject,
        format!("it cannot be looked at: {why}"),
        "give the user the right to publish to $JS.API.> and to subscribe to its inbox",
    )
}

/// A value of a store may have 1 MiB, and has headers too.
const STORE_VALUES: usize = (1 << 20) + 4096;

fn payload(server: &str, info: &ServerInfo, wanted: usize) -> Finding {
    let code = "nats.max-payload";
    let message = format!("messages of up to {} bytes are taken", info.max_payload);
    if info.max_payload >= wanted.max(STORE_VALUES) {
        return Finding::ok(code, server, message);
    }
    let message = format!(
        "{message}, headers included; max.message.bytes allows {wanted}, and values of stores may have 1 MiB"
    );
    Finding::warning(
        code,
        server,
        message,
        format!("set max_payload: {} in the server's configuration", wanted.max(8 << 20)),
    )
}

fn syncing(server: &str) -> Finding {
    let message = "how often it syncs its files cannot be seen by a client: every 2 minutes unless jetstream.sync_interval is \
                   set. What was acknowledged outlives the server's end; a power cut only with replicas, or with sync_interval: \
                   always (servers from 2.10)";
    Finding::ok("nats.sync-interval", server, message)
}

fn limits(server: &str, account: &AccountInfo) -> Vec<Finding> {
    let (code, limits) = ("nats.storage-limit", &account.limits);
    let used = format!("{} MiB are stored in {} streams", account.storage >> 20, account.streams);
    let storage = if limits.max_storage > 0 && account.storage >= limits.max_storage / 10 * 9 {
        let message = format!("{used}, of {} MiB that the account may", limits.max_storage >> 20);
        Finding::warning(
            code,
            server,
            message,
            "raise the account's limit, or delete what is not needed: sends will be refused",
        )
    } else {
        Finding::ok(code, server, used)
    };
    let mut findings = vec![storage];
    if limits.max_streams > 0 && account.streams >= limits.max_streams {
        findings.push(Finding::warning(
            "nats.streams-limit",
            server,
            format!("all {} streams that the account may have are there", limits.max_streams),
            "raise the account's limit of streams: queues and stores cannot be made",
        ));
    }
    findings
}

/// What is wrong with a stream, for whom its messages matter.
fn stream_findings(stream: &StreamInfo, timeout: Duration) -> Vec<Finding> {
    let (config, name) = (&stream.config, stream.config.name.as_str());
    let mut findings = Vec::new();
    let mut warn =
        |code, message: String, remedy: &str| findings.push(Finding::warning(code, name, message, remedy));
    if config.storage == "memory" {
        let message = "its messages are in memory: they are gone when the server ends".to_owned();
        warn("nats.memory-storage", message, "make the stream anew with storage: file");
    }
    // A server alone names no cluster.
    if config.num_replicas < 2 && stream.cluster.as_ref().is_some_and(|cluster| cluster["name"].is_string()) {
        let message = "it is kept on one server of the cluster".to_owned();
        warn("nats.replicas", message, "set its replicas to 3 (nats stream edit --replicas 3)");
    }
    if config.retention != "limits" && !config.retention.is_empty() {
        let message = format!(
            "its retention is {}: what another consumer acknowledges is gone for all",
            config.retention
        );
        warn("nats.retention", message, "use a stream with retention: limits");
    }
    let window = Duration::from_nanos(u64::try_from(config.duplicate_window).unwrap_or(0));
    if window < timeout && config.mirror.is_none() {
        let message = format!(
            "it recognises repeated messages for {} ms, and a send may be repeated for {} ms",
            window.as_millis(),
            timeout.as_millis()
        );
        warn(
            "nats.duplicate-window",
            message,
            "raise its duplicate_window to 2 minutes, or lower request.timeout.ms",
        );
    }
    if config.no_ack {
        findings.push(Finding::error(
            "nats.no-ack",
            name,
            "it acknowledges nothing: nobody knows what is stored",
            "make the stream anew without no_ack",
        ));
    }
    if findings.is_empty() {
        let message =
            format!("{} messages, on disk, {} replica(s)", stream.state.messages, config.num_replicas);
        findings.push(Finding::ok("nats.stream", name, message));
    }
    findings
}

#[cfg(test)]
mod tests {
    use openmessaging::Severity;
    use serde_json::json;

    use super::*;

    fn codes(change: impl FnOnce(&mut StreamInfo)) -> Vec<&'static str> {
        let mut stream = StreamInfo::default();
        stream.config.name = "q".into();
        stream.config.storage = "file".into();
        stream.config.retention = "limits".into();
        stream.config.num_replicas = 1;
        stream.config.duplicate_window = 120_000_000_000;
        change(&mut stream);
        stream_findings(&stream, Duration::from_secs(30)).iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn what_loses_messages_is_found() {
        assert_eq!(codes(|_| {}), ["nats.stream"]);
        assert_eq!(codes(|stream| stream.config.storage = "memory".into()), ["nats.memory-storage"]);
        assert_eq!(
            codes(|stream| stream.cluster = Some(json!({"name": "c", "leader": "a"}))),
            ["nats.replicas"]
        );
        assert_eq!(codes(|stream| stream.cluster = Some(json!({"leader": "a"}))), ["nats.stream"]);
        assert_eq!(codes(|stream| stream.config.retention = "workqueue".into()), ["nats.retention"]);
        assert_eq!(codes(|stream| stream.config.duplicate_window = 1_000_000_000), ["nats.duplicate-window"]);
        assert_eq!(codes(|stream| stream.config.no_ack = true), ["nats.no-ack"]);
        let info = |max_payload| ServerInfo { max_payload, ..ServerInfo::default() };
        assert_eq!(payload("s", &info(1 << 20), 8 << 20).severity, Severity::Warning);
        assert_eq!(payload("s", &info(8 << 20), 8 << 20).severity, Severity::Ok);
        let mut account = AccountInfo { storage: 95, streams: 2, ..AccountInfo::default() };
        assert_eq!(limits("s", &account)[0].severity, Severity::Ok, "no limit");
        account.limits.max_storage = 100;
        account.limits.max_streams = 2;
        assert!(limits("s", &account).iter().all(|finding| finding.severity == Severity::Warning));
    }
}
