//! What is looked at for `omsconnect doctor`.
//!
//! | code | finds |
//! |---|---|
//! | `rabbitmq.server` | that it cannot be reached |
//! | `rabbitmq.management` | that the management plugin does not answer: queues cannot be listed, the rest is not looked at |
//! | `rabbitmq.permissions` | that the user may not create, write or read |
//! | `rabbitmq.alarm` | an alarm of memory or disk: nothing can be sent |
//! | `rabbitmq.partition` | a cluster that fell apart |
//! | `rabbitmq.replicas` | streams and quorum queues on one node of several |
//! | `rabbitmq.queue-type` | classic queues, and queues that do not outlive a restart |
//! | `rabbitmq.overflow` | queues that throw messages away when they are full |
//! | `rabbitmq.ttl` | queues that throw messages away when they are old |
//! | `rabbitmq.retention` | streams that keep messages for less than an hour |

use lapin::options::{BasicPublishOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel};
use openmessaging::{Diagnosis, Error, Finding, Result, StatusCode};
use serde_json::Value;

use super::access_point::Shared;
use super::config::Config;
use super::management;
use crate::store::queue::PREFIX;

const SHORT_SECONDS: u64 = 3600;

pub(super) async fn look(shared: &Shared) -> Diagnosis {
    let config = &*shared.config;
    let mut findings = vec![may_do_everything(shared).await];
    let mut broker = "RabbitMQ".to_owned();
    match management::get(config, "overview").await {
        Ok(overview) => {
            if let Some(version) = overview["rabbitmq_version"].as_str() {
                broker = format!("RabbitMQ {version}");
            }
            findings.push(Finding::ok("rabbitmq.management", &*config.management, "it answers"));
            findings.extend(of_broker(config).await);
        }
        Err(error) => findings.push(unseen("rabbitmq.management", config, &error)),
    }
    Diagnosis { broker, findings }
}

/// Something that could not be looked at.
fn unseen(code: &'static str, config: &Config, error: &Error) -> Finding {
    let remedy = error.remedy.clone().unwrap_or_else(|| "look at the state of that server".to_owned());
    Finding::warning(code, &*config.management, error.message.clone(), remedy)
}

async fn of_broker(config: &Config) -> Vec<Finding> {
    let vhost = management::part(&config.vhost);
    let columns = "columns=name,type,durable,arguments,effective_policy_definition,members,exclusive";
    let mut findings = Vec::new();
    let mut nodes = 1;
    match management::get(config, "nodes").await {
        Ok(answer) => {
            nodes = answer.as_array().map_or(1, Vec::len);
            findings.extend(of_nodes(&answer));
        }
        Err(error) => findings.push(unseen("rabbitmq.alarm", config, &error)),
    }
    match management::get(config, &format!("queues/{vhost}?{columns}")).await {
        Ok(answer) => findings.extend(of_queues(&answer, nodes)),
        Err(error) => findings.push(unseen("rabbitmq.queue-type", config, &error)),
    }
    findings
}

/// Makes a queue that goes with the connection, writes to it and reads it.
async fn may_do_everything(shared: &Shared) -> Finding {
    let server = shared.config.server();
    let connected = shared.link.try_channel(shared.deadline()).await;
    let channel = match connected {
        Ok(channel) => channel,
        Err(error) => {
            let remedy = error.remedy.clone().unwrap_or_default();
            return Finding::error("rabbitmq.server", server, error.message, remedy);
        }
    };
    match tried(shared, &channel).await {
        Ok(()) => {
            super::layout::close(channel);
            Finding::ok("rabbitmq.permissions", server, "the user may create, write and read")
        }
        Err(error) if error.status == StatusCode::Forbidden => Finding::error(
            "rabbitmq.permissions",
            server,
            error.message,
            "give the user these rights: `rabbitmqctl set_permissions -p <vhost> <user> '.*' '.*' '.*'`",
        ),
        Err(error) => {
            let remedy = error.remedy.clone().unwrap_or_default();
            Finding::error("rabbitmq.server", server, error.message, remedy)
        }
    }
}

async fn tried(shared: &Shared, channel: &Channel) -> Result<()> {
    let (link, deadline) = (&shared.link, shared.deadline());
    let name = format!("{PREFIX}doctor-{}-{:x}", std::process::id(), std::ptr::from_ref(channel) as usize);
    let name = super::layout::short(&name)?;
    let options =
        QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    link.call(
        "creating a queue",
        deadline,
        channel.queue_declare(name.clone(), options, FieldTable::default()),
    )
    .await?;
    let publish = channel.basic_publish(
        "".into(),
        name.clone(),
        BasicPublishOptions::default(),
        b"",
        BasicProperties::default(),
    );
    link.call("writing to a queue", deadline, publish).await?;
    let get = channel.basic_get(name.clone(), lapin::options::BasicGetOptions { no_ack: true });
    link.call("reading a queue", deadline, get).await?;
    link.call("deleting a queue", deadline, channel.queue_delete(name, Default::default())).await.map(|_| ())
}

fn of_nodes(nodes: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    for node in nodes.as_array().into_iter().flatten() {
        let name = node["name"].as_str().unwrap_or("a node").to_owned();
        let memory = node["mem_alarm"] == Value::Bool(true);
        if memory || node["disk_free_alarm"] == Value::Bool(true) {
            let what = if memory { "memory" } else { "disk" };
            findings.push(Finding::error(
                "rabbitmq.alarm",
                name.clone(),
                format!("an alarm says that it is short of {what}: nothing can be sent"),
                "make room, or raise vm_memory_high_watermark or lower disk_free_limit",
            ));
        }
        if node["partitions"].as_array().is_some_and(|others| !others.is_empty()) {
            findings.push(Finding::error(
                "rabbitmq.partition",
                name.clone(),
                "it does not see other nodes of its cluster",
                "repair the network, then restart the nodes of the smaller part",
            ));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok("rabbitmq.alarm", "nodes", "there is no alarm"));
    }
    findings
}

fn of_queues(queues: &Value, nodes: usize) -> Vec<Finding> {
    let mut findings: Vec<_> = queues
        .as_array()
        .into_iter()
        .flatten()
        .filter(|queue| queue["exclusive"] != Value::Bool(true))
        .flat_map(|queue| of_queue(queue, nodes))
        .collect();
    if findings.is_empty() {
        findings.push(Finding::ok("rabbitmq.queue-type", "queues", "they keep what they are given"));
    }
    findings
}

fn of_queue(queue: &Value, nodes: usize) -> Vec<Finding> {
    let name = queue["name"].as_str().unwrap_or_default();
    let kind = queue["type"].as_str().unwrap_or("classic");
    let stream = kind == "stream";
    // An argument wins over a policy.
    let setting = |name: &str| {
        let own = &queue["arguments"][format!("x-{name}")];
        if own.is_null() { queue["effective_policy_definition"][name].clone() } else { own.clone() }
    };
    let mut findings = Vec::new();
    let mut warn = |code, message: &str, remedy: &str| {
        findings.push(Finding::warning(code, name, message, remedy));
    };
    if queue["durable"] == Value::Bool(false) {
        warn("rabbitmq.queue-type", "its messages do not outlive a restart", "make it anew, durable");
    } else if kind == "classic" {
        warn(
            "rabbitmq.queue-type",
            "a classic queue: its messages are on one node, and are gone with its disk",
            "make it anew as a stream, or as a quorum queue (x-queue-type=quorum)",
        );
    }
    let members = queue["members"].as_array().map_or(nodes, Vec::len);
    if kind != "classic" && nodes > 1 && members < 2 {
        warn(
            "rabbitmq.replicas",
            "it is on one node of a cluster of several",
            "add members (`rabbitmq-streams add_replica`, `rabbitmq-queues add_member`)",
        );
    }
    let limited = !setting("max-length").is_null() || !setting("max-length-bytes").is_null();
    let refuses = setting("overflow").as_str().is_some_and(|what| what.starts_with("reject-publish"));
    if limited && !refuses && !stream {
        warn(
            "rabbitmq.overflow",
            "when it is full, its oldest messages are thrown away without being read",
            "set overflow to reject-publish, or take the limit of its length away",
        );
    }
    if !setting("message-ttl").is_null() && !stream {
        warn(
            "rabbitmq.ttl",
            "messages that are older than message-ttl are thrown away without being read",
            "take message-ttl away, or make sure that readers are never that late",
        );
    }
    let age = setting("max-age");
    if let Some(seconds) = age.as_str().and_then(seconds).filter(|seconds| stream && *seconds < SHORT_SECONDS)
    {
        warn(
            "rabbitmq.retention",
            &format!("messages are kept for {seconds} s: a reader that is away for longer misses some"),
            "raise max-age",
        );
    }
    findings
}

/// Of `7D`, `90s`: a number, and Y, M, D, h, m or s.
fn seconds(age: &str) -> Option<u64> {
    let unit = age.chars().last()?;
    let number: u64 = age[..age.len() - unit.len_utf8()].parse().ok()?;
    let unit = match unit {
        'Y' => 365 * 86_400,
        'M' => 30 * 86_400,
        'D' => 86_400,
        'h' => 3600,
        'm' => 60,
        's' => 1,
        _ => return None,
    };
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn codes(findings: &[Finding]) -> Vec<&'static str> {
        findings.iter().filter(|finding| finding.remedy.is_some()).map(|finding| finding.code).collect()
    }

    #[test]
    fn well_kept_queues_have_no_findings() {
        let queues = json!([
            {"name": "s", "type": "stream", "durable": true, "arguments": {"x-max-age": "7D", "x-max-length-bytes": 5},
             "effective_policy_definition": {}, "members": ["a"]},
            {"name": "q", "type": "quorum", "durable": true, "arguments": {"x-max-length": 5, "x-overflow": "reject-publish"}},
            {"name": "mine", "type": "classic", "durable": false, "exclusive": true}
        ]);
        assert_eq!(codes(&of_queues(&queues, 1)), Vec::<&str>::new());
        assert_eq!(of_queues(&queues, 1).len(), 1);
    }

    #[test]
    fn settings_that_lose_messages_are_found() {
        for (queue, code) in [
            (json!({"name": "q", "type": "classic", "durable": true}), "rabbitmq.queue-type"),
            (json!({"name": "q", "type": "classic", "durable": false}), "rabbitmq.queue-type"),
            (json!({"name": "q", "type": "stream", "durable": true, "members": ["a"]}), "rabbitmq.replicas"),
            (
                json!({"name": "q", "type": "quorum", "members": ["a", "b"],
                    "effective_policy_definition": {"max-length": 3}}),
                "rabbitmq.overflow",
            ),
            (
                json!({"name": "q", "type": "quorum", "members": ["a", "b"], "arguments": {"x-message-ttl": 3}}),
                "rabbitmq.ttl",
            ),
            (
                json!({"name": "q", "type": "stream", "members": ["a", "b"], "arguments": {"x-max-age": "5m"}}),
                "rabbitmq.retention",
            ),
        ] {
            assert_eq!(codes(&of_queue(&queue, 3)), [code], "{queue}");
        }
        let nodes = json!([{"name": "a", "mem_alarm": true, "partitions": ["b"]}]);
        assert_eq!(codes(&of_nodes(&nodes)), ["rabbitmq.alarm", "rabbitmq.partition"]);
        assert_eq!((seconds("7D"), seconds("x")), (Some(604_800), None));
    }
}
