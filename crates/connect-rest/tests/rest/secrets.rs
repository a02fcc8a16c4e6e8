//! Invariant 6: a secret is in no answer.

use serde_json::json;

use crate::harness::{Served, original_config};
use crate::log;

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_in_no_answer() {
    let served = Served::start().await;
    let created = served.create("x", original_config(json!({"fail": "task"}))).await;
    assert_eq!(created.status, 201, "{created:?}");
    let failed = |status: &serde_json::Value| status["tasks"][0]["state"] == "FAILED";
    let status = served.until("it failed", "/connectors/x/status", failed).await.to_string();
    assert!(status.contains("access denied for ********"), "{status}");
    let mut seen = vec![created.body, status];
    for target in [
        "/connectors/x",
        "/connectors/x/config",
        "/connectors/x/tasks",
        "/connectors/x/tasks/0/status",
        "/connectors?expand=info&expand=status",
        "/getConfigInfo",
        "/getAllocatedInfo",
        "/queues",
    ] {
        let answer = served.get(target).await;
        assert_eq!(answer.status, 200, "{target}");
        seen.push(answer.body);
    }
    let denied = original_config(json!({"name": "x", "fail": "validate"})).to_string();
    for (method, target) in
        [("PUT", "/connectors/x/config"), ("PUT", "/connector-plugins/mysql/config/validate")]
    {
        let answer = served.request(method, target, &denied).await;
        assert!(answer.body.contains("test.denied"), "{answer:?}");
        seen.push(answer.body);
    }
    for body in seen {
        assert!(!body.contains("hunter2"), "{body}");
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_in_no_log() {
    let served = Served::start().await;
    for config in ["{\"pw\":\"hunter2\"}", "{\"pw\":hunter2", "hunter2"] {
        served.get(&format!("/connectors/logged?config={config}")).await;
        served.request("POST", "/connectors/", config).await;
    }
    let config = original_config(
        json!({"fail": "task", "source-record-converter": "JsonConverter", "oms-driver-url": "oms:local:///x"}),
    );
    served.get(&format!("/connectors/logged?config={config}")).await;
    served.create("logged", original_config(json!({"fail": "task"}))).await;
    served
        .until("it failed", "/connectors/logged/status", |status| status["tasks"][0]["state"] == "FAILED")
        .await;
    served.end().await;
    let log = log::text();
    assert!(
        log.contains("path=\"/connectors/logged\"") && log.contains("method=POST path=\"/connectors/\""),
        "{log}"
    );
    let line = log.lines().find(|line| line.contains("hunter2"));
    assert_eq!(line, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_can_be_sent_back_as_it_was_shown() {
    let served = Served::start().await;
    served.create("x", original_config(json!({}))).await;
    let shown = served.get("/connectors/x/config").await.body;
    assert!(shown.contains("********"));
    assert_eq!(served.request("PUT", "/connectors/x/config", &shown).await.status, 200);
    assert_eq!(served.worker.state().connectors["x"].config["mysqlPassword"], "hunter2");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_groups_own_log_is_neither_listed_nor_read_nor_deleted() {
    let served = Served::start().await;
    served.create("x", original_config(json!({}))).await;
    let control = "omsconnect-default-control";
    assert!(served.worker.access_point().resources().describe_queue(control).await.is_ok());
    assert!(!served.get("/queues").await.body.contains("control"));
    for (method, target) in [
        ("GET", format!("/queues/{control}/messages?limit=1")),
        ("GET", "/queues/omsconnect%2Ddefault%2Dcontrol/messages?limit=1".to_owned()),
        ("DELETE", format!("/queues/{control}")),
    ] {
        let refused = served.request(method, &target, "").await.error(403);
        assert!(refused.contains("belongs to a worker group"), "{refused}");
    }
    served.end().await;
}
