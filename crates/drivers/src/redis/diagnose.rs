//! What `omsconnect doctor` looks at: settings that lose messages, and whether this user may do what is needed.

use openmessaging::{Diagnosis, Finding, Result};

use super::catalog::Catalog;
use super::client::Again;
use super::resp::{Reply, command};
use super::scripts;
use super::server_info::ServerInfo;

/// The settings that are asked for.
const SETTINGS: [&str; 5] =
    ["appendfsync", "maxmemory", "maxmemory-policy", "no-appendfsync-on-rewrite", "proto-max-bulk-len"];

/// What was looked at, for `judge`.
#[derive(Debug, Clone, Default)]
struct Seen {
    server: String,
    info: ServerInfo,
    /// Name and value; `None`: the user may not ask.
    settings: Option<Vec<(String, String)>>,
    /// What went wrong with writing and reading.
    refused: Option<String>,
    max_message_bytes: u64,
    wait_replicas: Option<u64>,
    wait_fsync: bool,
}

pub(super) async fn diagnose(catalog: &Catalog) -> Result<Diagnosis> {
    let client = &catalog.client;
    let config = &client.link.config;
    let info = match client.ask("looking at the server", command(&[b"INFO"]), Again::Yes).await? {
        Reply::Error(_) => ServerInfo { name: "Redis", ..ServerInfo::default() },
        reply => ServerInfo::of(&reply),
    };
    let mut asked: Vec<&[u8]> = vec![b"CONFIG", b"GET"];
    // More than one at once is for version 7.
    asked.push(b"*");
    let settings = match client.ask("looking at the settings", command(&asked), Again::Yes).await? {
        Reply::Array(items) => Some(settings(&items)),
        _ => None,
    };
    let seen = Seen {
        server: client.link.server().to_owned(),
        settings,
        refused: try_rights(catalog).await.err().map(|error| error.to_string()),
        max_message_bytes: config.max_message_bytes as u64,
        wait_replicas: config.wait_replicas,
        wait_fsync: config.wait_fsync,
        info,
    };
    let version = if seen.info.version.is_empty() { "of unknown version" } else { &seen.info.version };
    Ok(Diagnosis { broker: format!("{} {version}", seen.info.name), findings: judge(&seen) })
}

fn settings(items: &[Reply]) -> Vec<(String, String)> {
    let pairs = items.chunks_exact(2).filter_map(|pair| Some((pair[0].text()?, pair[1].text()?)));
    let wanted = pairs.filter(|(name, _)| SETTINGS.contains(name));
    wanted.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Does what producers, consumers and stores do, with keys that are gone afterwards.
async fn try_rights(catalog: &Catalog) -> Result<()> {
    let client = &catalog.client;
    let what = "trying to write and read";
    let (stream, producer) = (catalog.keys.doctor(), catalog.keys.producer("doctor"));
    let made = command(&[b"XADD", stream.as_bytes(), b"*", b"stored", b"0"]);
    client.call(what, made, Again::Yes).await?;
    let keys = [producer.as_bytes(), stream.as_bytes()];
    let arguments: [&[u8]; 7] = [b"1", b"1", b"1000", b"0", b"b", b"0", b""];
    let sent = client.script(what, scripts::PRODUCE, &keys, &arguments, Again::Yes).await;
    let read = client.call(what, command(&[b"XREAD", b"STREAMS", stream.as_bytes(), b"0"]), Again::Yes).await;
    client.call(what, command(&[b"DEL", stream.as_bytes(), producer.as_bytes()]), Again::Yes).await?;
    sent.and(read).map(|_| ())
}

fn judge(seen: &Seen) -> Vec<Finding> {
    let mut findings = vec![version(seen), append_only(seen)];
    let setting = |name: &str| {
        let settings = seen.settings.as_ref()?;
        settings.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    };
    if seen.settings.is_none() {
        findings.push(Finding::warning(
            "redis.settings",
            &seen.server,
            "the settings cannot be looked at: this user may not (CONFIG GET)",
            "give the user +config|get, or look at appendfsync and maxmemory-policy there",
        ));
    }
    findings.extend(setting("appendfsync").map(|value| appendfsync(seen, value)));
    if setting("no-appendfsync-on-rewrite") == Some("yes") {
        findings.push(Finding::warning(
            "redis.no-appendfsync-on-rewrite",
            &seen.server,
            "nothing is synced to the disk while the file is rewritten: a loss of power takes up to 30 s",
            "set no-appendfsync-on-rewrite no",
        ));
    }
    findings.extend(
        setting("maxmemory-policy").map(|policy| eviction(seen, policy, setting("maxmemory").unwrap_or("0"))),
    );
    let largest = setting("proto-max-bulk-len").and_then(|value| value.parse::<u64>().ok());
    if let Some(largest) = largest.filter(|largest| *largest < seen.max_message_bytes) {
        findings.push(Finding::warning(
            "redis.proto-max-bulk-len",
            &seen.server,
            format!("messages of {} bytes are taken here, and {largest} there", seen.max_message_bytes),
            "raise proto-max-bulk-len, or lower max.message.bytes",
        ));
    }
    findings.push(replicas(seen));
    findings.push(rights(seen));
    findings
}

fn version(seen: &Seen) -> Finding {
    let (code, server) = ("redis.version", &seen.server);
    match seen.info.check(server) {
        Err(error) => {
            let remedy = error.remedy.unwrap_or_default();
            Finding::error(code, server, error.message, remedy)
        }
        Ok(()) if seen.info.version.is_empty() => Finding::warning(
            code,
            server,
            "the version is not known: this user may not ask (INFO)",
            "give the user +info, and use Redis 6.2 or later",
        ),
        Ok(()) => Finding::ok(code, server, format!("{} {}", seen.info.name, seen.info.version)),
    }
}

fn append_only(seen: &Seen) -> Finding {
    let (code, server) = ("redis.appendonly", &seen.server);
    match (seen.info.field("aof_enabled"), seen.info.field("aof_last_write_status")) {
        ("0", _) => Finding::error(
            code,
            server,
            "there is no append-only file: a restart loses everything since the last snapshot, acknowledged or not",
            "set appendonly yes",
        ),
        ("1", "err") => Finding::error(
            code,
            server,
            "the last write to the append-only file failed",
            "look at the server's disk and its log",
        ),
        ("1", _) => Finding::ok(code, server, "every write goes to the append-only file"),
        _ => Finding::warning(
            code,
            server,
            "whether there is an append-only file is not known",
            "give the user +info, and set appendonly yes",
        ),
    }
}

fn appendfsync(seen: &Seen, value: &str) -> Finding {
    let (code, server) = ("redis.appendfsync", &seen.server);
    match value {
        "always" => Finding::ok(code, server, "every write is synced to the disk before it is answered"),
        _ if seen.wait_fsync => Finding::ok(code, server, "every send waits for the disk (wait.fsync)"),
        "everysec" => Finding::warning(
            code,
            server,
            "writes are synced every second: a loss of power takes up to a second of what was acknowledged",
            "set appendfsync always, or wait.fsync=true (7.2 and later), where that is not to be",
        ),
        other => Finding::error(
            code,
            server,
            format!("appendfsync is {other}: a loss of power takes what the system has not written yet"),
            "set appendfsync everysec or always",
        ),
    }
}

fn eviction(seen: &Seen, policy: &str, maxmemory: &str) -> Finding {
    let (code, server) = ("redis.maxmemory-policy", &seen.server);
    let remedy = "set maxmemory-policy noeviction";
    if policy == "noeviction" {
        return Finding::ok(
            code,
            server,
            "nothing is removed when the memory is full: sending fails instead",
        );
    }
    if policy.starts_with("allkeys") && maxmemory != "0" {
        let text = format!("maxmemory-policy is {policy}: whole queues are removed when the memory is full");
        return Finding::error(code, server, text, remedy);
    }
    let text = format!(
        "maxmemory-policy is {policy}: what this driver keeps may be removed when the memory is limited and full"
    );
    Finding::warning(code, server, text, remedy)
}

fn replicas(seen: &Seen) -> Finding {
    let (code, server) = ("redis.replicas", &seen.server);
    let found = seen.info.replicas;
    match seen.wait_replicas {
        Some(wanted) if wanted > found => Finding::error(
            code,
            server,
            format!("wait.replicas is {wanted}, and there are {found}: no send is acknowledged"),
            "add replicas, or lower wait.replicas",
        ),
        Some(0) if found > 0 => Finding::warning(
            code,
            server,
            format!(
                "there are {found} replicas, and none is waited for: a failover may lose what was acknowledged"
            ),
            "leave wait.replicas out, or set it to 1",
        ),
        _ if found > 0 => Finding::ok(code, server, format!("{found} replicas, one of which is waited for")),
        _ => Finding::ok(code, server, "no replicas: what this server's disk holds is all there is"),
    }
}

fn rights(seen: &Seen) -> Finding {
    let (code, server) = ("redis.rights", &seen.server);
    match &seen.refused {
        None => Finding::ok(code, server, "this user may write and read"),
        Some(text) => Finding::error(
            code,
            server,
            format!("writing and reading was tried: {text}"),
            "give the user the commands of streams, hashes, sorted sets and scripts, and the keys of queues and \
             omsconnect*",
        ),
    }
}

#[cfg(test)]
mod tests {
    use openmessaging::Severity;

    use super::*;

    fn well() -> Seen {
        let fields = [("aof_enabled", "1"), ("aof_last_write_status", "ok"), ("role", "master")];
        let info = ServerInfo {
            name: "Redis",
            version: "7.0.15".into(),
            replicas: 0,
            fields: fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        };
        let settings = [
            ("appendfsync", "always"),
            ("maxmemory", "0"),
            ("maxmemory-policy", "noeviction"),
            ("no-appendfsync-on-rewrite", "no"),
            ("proto-max-bulk-len", "536870912"),
        ];
        Seen {
            server: "redis at h:1".into(),
            info,
            settings: Some(settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into()),
            max_message_bytes: 1 << 20,
            ..Seen::default()
        }
    }

    fn with(name: &str, value: &str) -> Seen {
        let mut seen = well();
        for setting in seen.settings.iter_mut().flatten() {
            if setting.0 == name {
                setting.1 = value.to_owned();
            }
        }
        seen
    }

    #[test]
    fn a_well_kept_server_has_nothing_to_change() {
        let findings = judge(&well());
        assert!(findings.iter().all(|finding| finding.severity == Severity::Ok), "{findings:?}");
    }

    #[test]
    fn each_setting_that_loses_messages_is_found() {
        let aof = |name: &str, value: &str| {
            let mut seen = well();
            seen.info.fields.insert(name.to_owned(), value.to_owned());
            seen
        };
        for (seen, code, severity) in [
            (aof("aof_enabled", "0"), "redis.appendonly", Severity::Error),
            (aof("aof_last_write_status", "err"), "redis.appendonly", Severity::Error),
            (aof("role", "slave"), "redis.version", Severity::Error),
            (aof("cluster_enabled", "1"), "redis.version", Severity::Error),
            (with("appendfsync", "everysec"), "redis.appendfsync", Severity::Warning),
            (with("appendfsync", "no"), "redis.appendfsync", Severity::Error),
            (with("maxmemory-policy", "volatile-lru"), "redis.maxmemory-policy", Severity::Warning),
            (with("no-appendfsync-on-rewrite", "yes"), "redis.no-appendfsync-on-rewrite", Severity::Warning),
            (with("proto-max-bulk-len", "1000"), "redis.proto-max-bulk-len", Severity::Warning),
            (Seen { settings: None, ..well() }, "redis.settings", Severity::Warning),
            (Seen { wait_replicas: Some(1), ..well() }, "redis.replicas", Severity::Error),
            (Seen { refused: Some("NOPERM".into()), ..well() }, "redis.rights", Severity::Error),
        ] {
            let findings = judge(&seen);
            let bad: Vec<_> = findings.iter().filter(|finding| finding.severity != Severity::Ok).collect();
            assert_eq!(bad.len(), 1, "{code}: {bad:?}");
            assert_eq!((bad[0].code, bad[0].severity), (code, severity));
            assert!(bad[0].remedy.is_some());
        }
        let mut evicting = with("maxmemory-policy", "allkeys-lru");
        evicting.settings.iter_mut().flatten().filter(|setting| setting.0 == "maxmemory").for_each(
            |setting| {
                setting.1 = "1000000".to_owned();
            },
        );
        let worst = judge(&evicting).into_iter().map(|finding| finding.severity).max();
        assert_eq!(worst, Some(Severity::Error));
    }
}
