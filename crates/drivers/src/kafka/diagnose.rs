//! What `omsconnect doctor` says of a cluster.

use std::time::Duration;

use openmessaging::{Diagnosis, Finding, Result};

use super::cluster::Cluster;
use super::config::Client;
use super::connection::MAX_ANSWER;
use super::error::{self, code};
use super::protocol::metadata::Metadata;
use super::protocol::topics::{self, BROKER, Settings, TOPIC};
use super::protocol::{API_VERSIONS_FLEXIBLE, produce, versions};
use super::wire::Reader;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// So many topics are looked at.
const TOPICS: usize = 500;

/// So many of them are named in one finding.
const NAMED: usize = 5;

const BROKER_SETTINGS: [&str; 9] = [
    "default.replication.factor",
    "min.insync.replicas",
    "unclean.leader.election.enable",
    "log.retention.ms",
    "log.retention.minutes",
    "log.retention.hours",
    "offsets.topic.replication.factor",
    "offsets.retention.minutes",
    "inter.broker.protocol.version",
];

const TOPIC_SETTINGS: [&str; 4] =
    ["retention.ms", "min.insync.replicas", "unclean.leader.election.enable", "cleanup.policy"];

pub(super) async fn diagnose(cluster: &Cluster) -> Result<Diagnosis> {
    let limit = cluster.config.timeout;
    let metadata = cluster.metadata(None, limit).await?;
    let mut findings = Vec::new();
    brokers(cluster, &metadata, &mut findings).await;
    let settings = broker_settings(cluster, &metadata, limit).await;
    let version = version(cluster, limit).await?.or_else(|| {
        let of_old = settings.as_ref().ok()?.get("inter.broker.protocol.version")?;
        Some(of_old.split('-').next().unwrap_or(of_old).to_owned())
    });
    match &settings {
        Ok(settings) => judge_broker(&cluster.server, metadata.nodes.len(), settings, &mut findings),
        Err(error) => findings.push(Finding::warning(
            "kafka.settings",
            &cluster.server,
            format!("the settings of the brokers cannot be looked at: {}", error.message),
            "give this user the right DescribeConfigs on the cluster, or look at them yourself",
        )),
    }
    let own = own_topics(cluster, &metadata);
    replicas(&cluster.server, &metadata, &own, &mut findings);
    let names: Vec<String> = own.iter().take(TOPICS).map(|name| (*name).to_owned()).collect();
    match describe(cluster, TOPIC, &names, &TOPIC_SETTINGS, limit).await {
        Ok(topics) => judge_topics(&cluster.server, metadata.nodes.len(), &topics, &mut findings),
        Err(error) => findings.push(Finding::warning(
            "kafka.topic-settings",
            &cluster.server,
            format!("the settings of topics cannot be looked at: {}", error.message),
            "give this user the right DescribeConfigs on its topics, or look at them yourself",
        )),
    }
    findings.push(idempotence(cluster, limit).await);
    findings.push(acks(&cluster.server, &cluster.config.client));
    let version = version.unwrap_or_else(|| "2.1 or newer".to_owned());
    Ok(Diagnosis { broker: format!("Apache Kafka {version}"), findings })
}

/// The release of the broker's program.
async fn version(cluster: &Cluster, limit: Duration) -> Result<Option<String>> {
    let connection = cluster.any().await?;
    if !connection.versions().has(API_VERSIONS_FLEXIBLE) {
        return Ok(None);
    }
    let call = connection.call(versions::flexible_request(&cluster.config.client.id), MAX_ANSWER);
    let answer =
        crate::common::deadline::within(limit, connection.server(), "asking for the version", call).await?;
    let (supported, _) = versions::flexible_answer(Reader::new(&answer))?;
    Ok(supported.map(|level| versions::release(level).to_owned()))
}

/// Whether each broker can be reached where the cluster says it is.
async fn brokers(cluster: &Cluster, metadata: &Metadata, findings: &mut Vec<Finding>) {
    for node in &metadata.nodes {
        let subject = format!("broker {} at {}", node.id, super::config::address(&node.host, node.port));
        findings.push(match cluster.node(node.id).await {
            Ok(_) => Finding::ok("kafka.reachable", subject, "it answers"),
            Err(error) => Finding::error(
                "kafka.reachable",
                subject,
                error.message,
                "bring that broker up; or correct advertised.listeners, by which clients are told where it is",
            ),
        });
    }
}

async fn broker_settings(cluster: &Cluster, metadata: &Metadata, limit: Duration) -> Result<Settings> {
    let broker = metadata.nodes.first().map_or(0, |node| node.id);
    let connection = cluster.node(broker).await?;
    let found =
        describe_on(cluster, &connection, BROKER, &[broker.to_string()], &BROKER_SETTINGS, limit).await?;
    let settings = found.into_iter().next().unwrap_or_default();
    match settings.error {
        code::NONE => Ok(settings),
        code => Err(error::of(code, connection.server())),
    }
}

async fn describe(
    cluster: &Cluster,
    kind: i8,
    resources: &[String],
    names: &[&str],
    limit: Duration,
) -> Result<Vec<Settings>> {
    if resources.is_empty() {
        return Ok(Vec::new());
    }
    let connection = cluster.any().await?;
    describe_on(cluster, &connection, kind, resources, names, limit).await
}

async fn describe_on(
    cluster: &Cluster,
    connection: &super::connection::Connection,
    kind: i8,
    resources: &[String],
    names: &[&str],
    limit: Duration,
) -> Result<Vec<Settings>> {
    let request = topics::describe_configs(&cluster.config.client.id, kind, resources, names);
    let answer = cluster.call(connection, request, "asking for settings", limit).await?;
    topics::describe_configs_answer(Reader::new(&answer))
}

/// Topics of this namespace, and the stores.
fn own_topics<'m>(cluster: &Cluster, metadata: &'m Metadata) -> Vec<&'m str> {
    let own = metadata.topics.iter().filter(|topic| !topic.internal && !topic.name.starts_with("__"));
    own.map(|topic| topic.name.as_str()).filter(|name| name.starts_with(&*cluster.config.prefix)).collect()
}

fn judge_broker(server: &str, brokers: usize, settings: &Settings, findings: &mut Vec<Finding>) {
    let number = |name: &str| settings.get(name).and_then(|value| value.parse::<i64>().ok());
    let subject = |name: &str| format!("{server}, {name}");
    let replicas = number("default.replication.factor").unwrap_or(1);
    findings.push(if brokers > 1 && replicas < 2 {
        Finding::warning(
            "kafka.replication-factor",
            subject("default.replication.factor"),
            "new topics are kept by one broker: what it has is lost with its disk",
            "set default.replication.factor=3 on the brokers, or replication.factor of this driver",
        )
    } else if brokers == 1 {
        Finding::ok(
            "kafka.replication-factor",
            server,
            "there is one broker, and what it has is lost with its disk",
        )
    } else {
        Finding::ok(
            "kafka.replication-factor",
            subject("default.replication.factor"),
            format!("new topics are kept by {replicas} brokers"),
        )
    });
    let in_sync = number("min.insync.replicas").unwrap_or(1);
    findings.push(if brokers > 1 && in_sync < 2 {
        Finding::warning(
            "kafka.min-insync-replicas",
            subject("min.insync.replicas"),
            "a message counts as durable although only one broker has it, when the others are behind",
            "set min.insync.replicas=2 (with three replicas)",
        )
    } else {
        Finding::ok(
            "kafka.min-insync-replicas",
            subject("min.insync.replicas"),
            format!("a message is on {in_sync} brokers at least"),
        )
    });
    findings.push(if settings.get("unclean.leader.election.enable") == Some("true") {
        Finding::warning(
            "kafka.unclean-leader-election",
            subject("unclean.leader.election.enable"),
            "a broker that is behind may become the leader, and what it lacks is lost",
            "set unclean.leader.election.enable=false",
        )
    } else {
        Finding::ok("kafka.unclean-leader-election", subject("unclean.leader.election.enable"), "it is off")
    });
    let offsets = number("offsets.topic.replication.factor").unwrap_or(3);
    if brokers > 1 && offsets < 2 {
        findings.push(Finding::warning(
            "kafka.offsets-replication-factor",
            subject("offsets.topic.replication.factor"),
            "positions of groups are kept by one broker",
            "set offsets.topic.replication.factor=3, and add replicas to __consumer_offsets",
        ));
    }
    let positions = number("offsets.retention.minutes").unwrap_or(7 * 24 * 60);
    findings.push(if positions < 24 * 60 {
        Finding::warning(
            "kafka.offsets-retention",
            subject("offsets.retention.minutes"),
            format!("positions of a group are forgotten {positions} minutes after its last commit"),
            "set offsets.retention.minutes to 10080 (7 days) or more",
        )
    } else {
        let days = positions / (24 * 60);
        Finding::ok(
            "kafka.offsets-retention",
            subject("offsets.retention.minutes"),
            format!("positions of a group are kept for {days} days after its last commit"),
        )
    });
    let retention = number("log.retention.ms")
        .or_else(|| number("log.retention.minutes").map(|minutes| minutes.saturating_mul(60_000)))
        .or_else(|| number("log.retention.hours").map(|hours| hours.saturating_mul(HOUR)));
    findings.push(match retention {
        Some(retention) if (0..DAY).contains(&retention) => Finding::warning(
            "kafka.retention",
            subject("log.retention.ms"),
            format!("messages are removed {} after they were written, read or not", duration(retention)),
            "set log.retention.hours longer than a reader may ever be down",
        ),
        Some(retention) if retention >= 0 => Finding::ok(
            "kafka.retention",
            subject("log.retention.ms"),
            format!("messages are kept for {}, read or not", duration(retention)),
        ),
        _ => Finding::ok("kafka.retention", subject("log.retention.ms"), "messages are kept for ever"),
    });
}

fn duration(milliseconds: i64) -> String {
    const MINUTE: i64 = 60_000;
    match milliseconds {
        long if long >= 2 * DAY => format!("{} days", long / DAY),
        long if long >= 2 * HOUR => format!("{} h", long / HOUR),
        long if long >= 2 * MINUTE => format!("{} min", long / MINUTE),
        short => format!("{} s", short / 1000),
    }
}

/// Partitions without a leader, or with replicas that are behind.
fn replicas(server: &str, metadata: &Metadata, own: &[&str], findings: &mut Vec<Finding>) {
    let (mut without, mut behind, mut single) = (Vec::new(), Vec::new(), Vec::new());
    for topic in metadata.topics.iter().filter(|topic| own.contains(&topic.name.as_str())) {
        for partition in &topic.partitions {
            let name = format!("{}-{}", topic.name, partition.index);
            if partition.leader < 0 {
                without.push(name);
            } else if partition.in_sync < partition.replicas {
                behind.push(name);
            } else if partition.replicas == 1 && metadata.nodes.len() > 1 && partition.index == 0 {
                single.push(topic.name.clone());
            }
        }
    }
    if !without.is_empty() {
        findings.push(Finding::error(
            "kafka.leaders",
            server,
            format!("nobody leads {}", some(&without)),
            "bring the brokers back that have these partitions",
        ));
    } else {
        findings.push(Finding::ok("kafka.leaders", server, "every partition has a leader"));
    }
    if !behind.is_empty() {
        findings.push(Finding::warning(
            "kafka.under-replicated",
            server,
            format!("replicas are behind, or down, of {}", some(&behind)),
            "bring the brokers back that are down; look at the load of the others",
        ));
    }
    if !single.is_empty() {
        findings.push(Finding::warning(
            "kafka.replicas",
            server,
            format!("one broker alone keeps {}", some(&single)),
            "add replicas with kafka-reassign-partitions",
        ));
    }
}

fn some(names: &[String]) -> String {
    let shown = names[..names.len().min(NAMED)].join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn judge_topics(server: &str, brokers: usize, topics: &[Settings], findings: &mut Vec<Finding>) {
    let named = |judge: &dyn Fn(&Settings) -> bool| -> Vec<String> {
        topics.iter().filter(|topic| judge(topic)).map(|topic| topic.name.clone()).collect()
    };
    let number = |topic: &Settings, name: &str| topic.get(name).and_then(|value| value.parse::<i64>().ok());
    let short = named(&|topic| {
        let deleted = topic.get("cleanup.policy").is_none_or(|policy| policy.contains("delete"));
        deleted && number(topic, "retention.ms").is_some_and(|retention| (0..HOUR).contains(&retention))
    });
    if !short.is_empty() {
        findings.push(Finding::warning(
            "kafka.topic-retention",
            server,
            format!("messages are removed within the hour, read or not, in {}", some(&short)),
            "set retention.ms of the topic longer than a reader may ever be down",
        ));
    }
    let unclean = named(&|topic| topic.get("unclean.leader.election.enable") == Some("true"));
    if !unclean.is_empty() {
        findings.push(Finding::warning(
            "kafka.topic-unclean-leader-election",
            server,
            format!("a broker that is behind may become the leader of {}", some(&unclean)),
            "set unclean.leader.election.enable=false of the topic",
        ));
    }
    let alone = named(&|topic| number(topic, "min.insync.replicas").is_some_and(|count| count < 2));
    if brokers > 1 && !alone.is_empty() {
        findings.push(Finding::warning(
            "kafka.topic-min-insync-replicas",
            server,
            format!("a message counts as durable when one broker has it in {}", some(&alone)),
            "set min.insync.replicas=2 of the topic (with three replicas)",
        ));
    }
}

/// Whether this user may write so that repetitions are stored once.
async fn idempotence(cluster: &Cluster, limit: Duration) -> Finding {
    let (code, subject) = ("kafka.idempotent-write", cluster.server.clone());
    let what = "asking for the number of a producer";
    // A broker that just started may need a moment.
    let asked = cluster.attempts(what, |left, _| async move {
        let connection = cluster.any().await?;
        let request = produce::init_producer_id(&cluster.config.client.id);
        let answer = cluster.call(&connection, request, what, left.min(limit)).await?;
        match produce::init_producer_id_answer(Reader::new(&answer))?.0 {
            code::NONE => Ok(()),
            code => Err(error::of(code, connection.server())),
        }
    });
    match asked.await {
        Ok(()) => Finding::ok(code, subject, "this user may write, and repetitions are stored once"),
        Err(error) => Finding::error(
            code,
            subject,
            error.message,
            "give this user the right to Write on its topics (before Kafka 3.0: IdempotentWrite on the cluster)",
        ),
    }
}

fn acks(server: &str, client: &Client) -> Finding {
    if client.acks == 1 {
        return Finding::warning(
            "kafka.acks",
            format!("{server}, client.acks"),
            "a message counts as durable when its leader has it: it is lost when that broker fails before others have it",
            "set client.acks=all",
        );
    }
    Finding::ok(
        "kafka.acks",
        format!("{server}, client.acks"),
        "a message is durable when all replicas in sync have it",
    )
}

#[cfg(test)]
mod tests {
    use openmessaging::Severity;

    use super::*;

    fn settings(values: &[(&str, &str)]) -> Settings {
        let values = values.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Settings { error: 0, name: "t".into(), values }
    }

    fn worries(findings: &[Finding]) -> Vec<&'static str> {
        findings
            .iter()
            .filter(|finding| finding.severity != Severity::Ok)
            .map(|finding| finding.code)
            .collect()
    }

    #[test]
    fn settings_that_lose_messages_are_found() {
        let mut findings = Vec::new();
        let bad = settings(&[
            ("default.replication.factor", "1"),
            ("min.insync.replicas", "1"),
            ("unclean.leader.election.enable", "true"),
            ("offsets.topic.replication.factor", "1"),
            ("offsets.retention.minutes", "60"),
            ("log.retention.hours", "168"),
            ("log.retention.ms", "60000"),
        ]);
        judge_broker("kafka at a:1", 3, &bad, &mut findings);
        assert_eq!(
            worries(&findings),
            [
                "kafka.replication-factor",
                "kafka.min-insync-replicas",
                "kafka.unclean-leader-election",
                "kafka.offsets-replication-factor",
                "kafka.offsets-retention",
                "kafka.retention"
            ]
        );
        let mut findings = Vec::new();
        let good = settings(&[
            ("default.replication.factor", "3"),
            ("min.insync.replicas", "2"),
            ("unclean.leader.election.enable", "false"),
            ("offsets.topic.replication.factor", "3"),
            ("log.retention.hours", "168"),
        ]);
        judge_broker("kafka at a:1", 3, &good, &mut findings);
        assert_eq!(worries(&findings), Vec::<&str>::new());
        let mut findings = Vec::new();
        judge_broker("kafka at a:1", 1, &settings(&[]), &mut findings);
        assert_eq!(worries(&findings), Vec::<&str>::new(), "one broker cannot do more");
    }

    #[test]
    fn topics_that_lose_messages_are_found() {
        let mut findings = Vec::new();
        let topics = [
            settings(&[("retention.ms", "60000"), ("min.insync.replicas", "1")]),
            settings(&[("retention.ms", "60000"), ("cleanup.policy", "compact")]),
            settings(&[("unclean.leader.election.enable", "true"), ("retention.ms", "-1")]),
        ];
        judge_topics("kafka at a:1", 3, &topics, &mut findings);
        assert_eq!(
            worries(&findings),
            [
                "kafka.topic-retention",
                "kafka.topic-unclean-leader-election",
                "kafka.topic-min-insync-replicas"
            ]
        );
    }
}
