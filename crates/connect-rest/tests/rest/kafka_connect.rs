//! The resources of Kafka Connect, as its clients read them.

use serde_json::{Value, json};

use crate::harness::{Served, original_config};
use crate::http::request;
use crate::plugins::CLASS;

#[tokio::test(flavor = "multi_thread")]
async fn the_root_has_a_version_that_clients_accept() {
    let served = Served::start().await;
    let root = served.get("/").await;
    assert_eq!(root.header("content-type"), Some("application/json"));
    let root = root.json();
    let version = root["version"].as_str().expect("a version");
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().expect("a number"));
    assert!((numbers.next(), numbers.next()) >= (Some(3), Some(7)), "{version}");
    assert_eq!(root["kafka_cluster_id"], "default");
    assert!(root["commit"].is_string());
    assert_eq!((&root["worker_id"], &root["omsconnect_version"]), (&json!("w1"), &json!("0.1.0")));
    for path in ["/health", "/ready"] {
        let health = served.get(path).await;
        assert_eq!((health.status, &health.json()["status"]), (200, &json!("healthy")), "{path}");
        assert!(health.json()["message"].is_string());
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_is_created_shown_and_deleted() {
    let served = Served::start().await;
    assert_eq!(served.get("/connectors").await.json(), json!([]));
    let sent = original_config(json!({"mysqlPort": 3306, "whiteTable": "a"}));
    let created = served.create("  one ", sent).await;
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(created.header("location"), Some("http://localhost:8081/connectors/one"));
    // In the order sent, the name last where it was not.
    let config = format!(
        "{{\"connector.class\":\"{CLASS}\",\"mysqlAddr\":\"localhost\",\"mysqlUsername\":\"me\",\
         \"mysqlPassword\":\"********\",\"mysqlPort\":\"3306\",\"whiteTable\":\"a\",\"name\":\"one\"}}"
    );
    assert!(
        created.body.starts_with(&format!("{{\"name\":\"one\",\"config\":{config},\"tasks\":[")),
        "{created:?}"
    );
    assert!(created.body.ends_with(",\"type\":\"source\"}"), "{created:?}");

    let status = served.until_state("one", "RUNNING", 1).await;
    let address = served.address.to_string();
    assert_eq!(
        served.get("/connectors/one/status").await.body,
        format!(
            "{{\"name\":\"one\",\"connector\":{{\"state\":\"RUNNING\",\"worker_id\":\"{address}\",\"version\":\"1.2.3\"}},\
             \"tasks\":[{{\"id\":0,\"state\":\"RUNNING\",\"worker_id\":\"{address}\",\"version\":\"1.2.3\"}}],\
             \"type\":\"source\"}}"
        )
    );
    assert_eq!(served.get("/connectors/one/tasks/0/status").await.json(), status["tasks"][0]);
    let info = served.get("/connectors/one").await.json();
    assert_eq!(info["tasks"], json!([{"connector": "one", "task": 0}]));
    assert_eq!(served.get("/connectors/one/config").await.body, config);
    let tasks = served.get("/connectors/one/tasks").await.json();
    assert_eq!(tasks[0]["id"], json!({"connector": "one", "task": 0}));
    assert_eq!(tasks[0]["config"]["mysqlAddr"], "localhost");

    assert_eq!(served.get("/connectors").await.json(), json!(["one"]));
    let expanded = served.get("/connectors?expand=status&expand=info").await;
    assert!(
        expanded.body.starts_with("{\"one\":{\"status\":{\"name\":\"one\",\"connector\":"),
        "{expanded:?}"
    );
    assert_eq!(expanded.json()["one"]["info"], info);
    assert_eq!(served.get("/connectors?expand=info,status").await.json(), json!({"one": {}}));

    let deleted = served.request("DELETE", "/connectors/one", "").await;
    assert_eq!((deleted.status, deleted.body.as_str()), (204, ""));
    assert_eq!(served.get("/connectors/one").await.error(404), "Connector one not found");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn put_creates_and_replaces() {
    let served = Served::start().await;
    let config = original_config(json!({"name": null})).to_string();
    let put = served.request("PUT", "/connectors/a%20b%C3%A9/config", &config).await;
    assert_eq!(put.status, 201, "{put:?}");
    assert_eq!(put.header("location"), Some("http://localhost:8081/connectors/a%20b%C3%A9"));
    assert_eq!(put.json()["name"], "a b\u{e9}");
    let put = served.request("PUT", "/connectors/a%20b%C3%A9/config", &config).await;
    assert_eq!((put.status, put.header("location")), (200, None), "{put:?}");
    let other = original_config(json!({"name": "other"})).to_string();
    let refused = served.request("PUT", "/connectors/x/config", &other).await.error(400);
    assert_eq!(refused, "Connector name configuration (other) doesn't match connector name in the URL (x)");
    assert_eq!(served.get("/connectors/a%20b%C3%A9/status").await.status, 200);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn post_checks_the_body_then_the_name_then_the_configuration_then_the_duplicate() {
    let served = Served::start().await;
    assert_eq!(served.create("dup", original_config(json!({}))).await.status, 201);
    let mismatch = served.create("dup", json!({"name": "x"})).await.error(400);
    assert!(mismatch.starts_with("Connector name configuration (x) doesn't match"), "{mismatch}");
    let invalid = served.create("dup", json!({"connector.class": CLASS, "mysqlPort": "x"})).await.error(400);
    assert!(
        invalid.starts_with("Connector configuration is invalid and contains the following 4 error(s):\n"),
        "{invalid}"
    );
    assert!(
        invalid.contains("\nMissing required configuration \"mysqlAddr\" which has no default value."),
        "{invalid}"
    );
    let end = "\nYou can also find the above list of errors at the endpoint `/connector-plugins/{connectorType}/config/validate`";
    assert!(invalid.ends_with(end), "{invalid}");
    let exists = served.create("dup", original_config(json!({}))).await.error(409);
    assert_eq!(exists, "Connector dup already exists");
    let classless = served.create("new", json!({})).await.error(400);
    assert!(classless.starts_with("Connector config {name=new} contains no connector type"), "{classless}");
    let unknown = served.create("new", json!({"connector.class": "Nope"})).await.error(400);
    assert!(unknown.starts_with("Failed to find any class that implements Connector"), "{unknown}");
    let null = served.create("new", original_config(json!({"whiteTable": null}))).await.error(400);
    assert!(null.contains("Null value can not be supplied as the configuration value."), "{null}");
    for name in ["", "a/b", "a{b}"] {
        let refused = served.create(name, original_config(json!({}))).await.error(400);
        assert!(refused.contains("Connector name may not"), "{refused}");
    }
    assert_eq!(served.get("/connectors").await.json(), json!(["dup"]));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn states_are_set_and_kept() {
    let served = Served::start().await;
    for (state, name) in [("stopped", "s"), ("PAUSED", "p")] {
        let body = json!({"name": name, "config": original_config(json!({})), "initial_state": state});
        assert_eq!(served.request("POST", "/connectors", &body.to_string()).await.status, 201);
    }
    served.until_state("s", "STOPPED", 0).await;
    let paused = |status: &Value| status["connector"]["state"] == "PAUSED";
    served.until("p is paused", "/connectors/p/status", paused).await;
    let wrong = json!({"name": "w", "config": original_config(json!({})), "initial_state": "ASLEEP"});
    let wrong = served.request("POST", "/connectors", &wrong.to_string()).await.error(400);
    assert!(wrong.contains("RUNNING, PAUSED or STOPPED"), "{wrong}");

    // Without a body, and with one that means nothing.
    for body in ["", "garbage"] {
        let resumed = served.request("PUT", "/connectors/s/resume", body).await;
        assert_eq!((resumed.status, resumed.body.as_str()), (202, ""));
    }
    served.until_state("s", "RUNNING", 1).await;
    for _ in 0..2 {
        let answer = served.request("PUT", "/connectors/s/pause", "").await;
        assert_eq!((answer.status, answer.body.as_str()), (202, ""));
        served.until_state("s", "PAUSED", 1).await;
    }
    for _ in 0..2 {
        let answer = served.request("PUT", "/connectors/s/stop", "").await;
        assert_eq!((answer.status, answer.body.as_str()), (204, ""));
        served.until_state("s", "STOPPED", 0).await;
    }
    assert!(served.request("POST", "/connectors/s/tasks/0/restart", "").await.error(409).contains("STOPPED"));
    assert_eq!(served.request("POST", "/connectors/s/restart", "").await.status, 204);
    let flagged = served.request("POST", "/connectors/s/restart?includeTasks=true", "").await;
    assert_eq!((flagged.status, &flagged.json()["connector"]["state"]), (202, &json!("STOPPED")));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_touch_what_they_name() {
    let served = Served::start().await;
    served.create("f", original_config(json!({"fail": "task", "tasks.max": 2}))).await;
    let failed = |status: &Value| {
        status["tasks"]
            .as_array()
            .is_some_and(|tasks| tasks.len() == 2 && tasks.iter().all(|t| t["state"] == "FAILED"))
    };
    let status = served.until("the tasks failed", "/connectors/f/status", failed).await;
    assert!(
        status["tasks"][0]["trace"].as_str().is_some_and(|trace| trace.contains("test.failed")),
        "{status}"
    );
    assert!(status["connector"].get("trace").is_none(), "{status}");

    let plain = served.request("POST", "/connectors/f/restart?includeTasks=maybe&onlyFailed=", "").await;
    assert_eq!((plain.status, plain.body.as_str()), (204, ""));
    let states = |status: &Value| {
        let tasks = status["tasks"].as_array().expect("tasks").iter().map(|task| task["state"].clone());
        std::iter::once(status["connector"]["state"].clone()).chain(tasks).collect::<Vec<_>>()
    };
    let running = |status: &Value| status["connector"]["state"] == "RUNNING" && failed(status);
    served.until("it failed again", "/connectors/f/status", running).await;
    let only_failed =
        served.request("POST", "/connectors/f/restart?includeTasks=true&onlyFailed=true", "").await;
    assert_eq!(only_failed.status, 202);
    assert_eq!(states(&only_failed.json()), ["RUNNING", "RESTARTING", "RESTARTING"]);
    assert!(only_failed.json()["tasks"][0]["trace"].is_string(), "{only_failed:?}");
    served.until("it failed again", "/connectors/f/status", running).await;
    assert_eq!(served.request("POST", "/connectors/f/tasks/1/restart", "").await.status, 204);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unknown_is_said_in_kafka_connects_words() {
    let served = Served::start().await;
    served.create("one", original_config(json!({}))).await;
    served.until_state("one", "RUNNING", 1).await;
    for (method, target, words) in [
        ("GET", "/connectors/x", "Connector x not found"),
        ("GET", "/connectors/x/config", "Connector x not found"),
        ("GET", "/connectors/x/tasks", "Connector x not found"),
        ("DELETE", "/connectors/x", "Connector x not found"),
        ("GET", "/connectors/x/status", "No status found for connector x"),
        ("GET", "/connectors/one/tasks/9/status", "No status found for task one-9"),
        ("GET", "/connectors/x/tasks/9/status", "No status found for task x-9"),
        ("POST", "/connectors/x/restart", "Unknown connector: x"),
        ("POST", "/connectors/x/restart?includeTasks=true", "Unknown connector: x"),
        ("POST", "/connectors/x/tasks/0/restart", "Unknown connector: x"),
        ("POST", "/connectors/one/tasks/9/restart", "Unknown task: one-9"),
        ("PUT", "/connectors/x/pause", "Unknown connector x"),
        ("PUT", "/connectors/x/resume", "Unknown connector x"),
        ("PUT", "/connectors/x/stop", "Unknown connector x"),
        ("GET", "/connectors/one/tasks/zero/status", "HTTP 404 Not Found"),
        ("GET", "/connectors/one/tasks-config", "HTTP 404 Not Found"),
        ("GET", "/Connectors", "HTTP 404 Not Found"),
        ("GET", "//connectors", "HTTP 404 Not Found"),
    ] {
        assert_eq!(served.request(method, target, "").await.error(404), words, "{method} {target}");
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_and_their_keys_are_listed() {
    let served = Served::start().await;
    let plugins = served.get("/connector-plugins").await.json();
    let kinds: Vec<_> =
        plugins.as_array().expect("a list").iter().map(|p| p["type"].as_str().expect("a type")).collect();
    assert_eq!(kinds, ["sink", "source", "source"]);
    assert!(
        plugins
            .as_array()
            .expect("a list")
            .contains(&json!({"class": CLASS, "type": "source", "version": "1.2.3"}))
    );
    let count = async |query: &str| {
        served.get(&format!("/connector-plugins{query}")).await.json().as_array().map(Vec::len)
    };
    assert_eq!(count("?connectorsOnly=").await, Some(3));
    assert_eq!(count("?connectorsOnly=true").await, Some(3));
    assert!(count("?connectorsOnly=false").await > Some(3));
    assert!(count("?connectorsOnly=maybe").await > Some(3));

    for name in [CLASS, "MysqlConnector", "mysql"] {
        let keys = served.get(&format!("/connector-plugins/{name}/config")).await.json();
        let names: Vec<_> = keys
            .as_array()
            .expect("a list")
            .iter()
            .map(|key| key["name"].as_str().expect("a name"))
            .collect();
        assert_eq!(names[..3], ["mysqlAddr", "mysqlUsername", "mysqlPassword"]);
        assert!(names.contains(&"tasks.max"));
        assert_eq!(
            keys[2].to_string(),
            "{\"name\":\"mysqlPassword\",\"type\":\"PASSWORD\",\"required\":true,\"default_value\":null,\
             \"importance\":\"HIGH\",\"documentation\":\"Password.\",\"group\":\"Connection\",\"order\":3,\
             \"width\":\"MEDIUM\",\"display_name\":\"mysqlPassword\",\"dependents\":[]}"
        );
        assert_eq!(
            (&keys[4]["order"], &keys[4]["group"], &keys[4]["width"]),
            (&json!(-1), &Value::Null, &json!("NONE"))
        );
    }
    assert_eq!(served.get("/connector-plugins/JsonConverter/config").await.status, 200);
    assert!(
        served.get("/connector-plugins/Nope/config").await.error(404).starts_with("Unknown plugin Nope.")
    );
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn validation_answers_key_by_key() {
    let served = Served::start().await;
    let validate = async |plugin: &str, config: Value| {
        served
            .request("PUT", &format!("/connector-plugins/{plugin}/config/validate"), &config.to_string())
            .await
    };
    let fine = validate("MysqlConnector", original_config(json!({"name": "x"}))).await;
    assert_eq!((fine.status, &fine.json()["error_count"]), (200, &json!(0)), "{fine:?}");
    assert_eq!(fine.json()["name"], CLASS);
    assert!(fine.json()["groups"].as_array().is_some_and(|groups| groups.contains(&json!("Connection"))));

    let config = json!({"name": "x", "connector.class": "mysql", "mysqlAddr": null, "mysqlPort": " 3306 ", "whiteTabel": "a"});
    let wrong = validate("mysql", config).await.json();
    assert_eq!(wrong["name"], "mysql");
    let configs = wrong["configs"].as_array().expect("configs");
    let key = |name: &str| {
        configs.iter().find(|key| key["value"]["name"] == name).unwrap_or_else(|| panic!("{name}: {wrong}"))
    };
    assert_eq!(key("mysqlPort")["value"]["value"], "3306");
    assert_eq!(key("mysqlAddr")["definition"]["required"], true);
    let errors: Vec<_> = key("mysqlAddr")["value"]["errors"].as_array().expect("errors").clone();
    assert!(
        errors.iter().any(|error| error.as_str().is_some_and(|e| e.starts_with("Null value can not"))),
        "{errors:?}"
    );
    assert!(
        key("whiteTabel")["value"]["errors"][0]
            .as_str()
            .is_some_and(|error| error.contains("did you mean whiteTable?"))
    );
    let count: usize = configs.iter().map(|key| key["value"]["errors"].as_array().map_or(0, Vec::len)).sum();
    assert_eq!(wrong["error_count"], count);
    for key in configs {
        assert!(key["definition"].is_object() && key["value"]["visible"] == true, "{key}");
    }

    let mismatch = validate("FileStreamSource", original_config(json!({}))).await.error(400);
    assert_eq!(
        mismatch,
        format!("Included connector type {CLASS} does not match request type FileStreamSource")
    );
    let unknown = validate("Nope", json!({"connector.class": "Nope"})).await.error(400);
    assert!(unknown.starts_with("Failed to find any class that implements Connector"), "{unknown}");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slashes_heads_and_options_are_as_they_are_there() {
    let served = Served::start().await;
    served.create("one", original_config(json!({}))).await;
    for target in [
        "/connectors/",
        "/connectors/one/",
        "/connectors/one/status/",
        "/connector-plugins/",
        "/connectors/?expand=info",
    ] {
        assert_eq!(served.get(target).await.status, 200, "{target}");
    }
    let body = json!({"name": "two", "config": original_config(json!({}))}).to_string();
    assert_eq!(served.request("POST", "/connectors/", &body).await.status, 201);
    let head = served.request("HEAD", "/connectors/one", "").await;
    assert_eq!(
        (head.status, head.header("content-type"), head.body.as_str()),
        (200, Some("application/json"), "")
    );
    let options = served.request("OPTIONS", "/connectors", "").await;
    let mut allowed: Vec<_> = options.header("allow").expect("Allow").split(',').collect();
    allowed.sort_unstable();
    assert_eq!((options.status, allowed), (200, vec!["GET", "HEAD", "POST"]));
    let refused = served.request("DELETE", "/connectors", "").await;
    assert_eq!(refused.error(405), "HTTP 405 Method Not Allowed");
    let media = request(served.address, "POST", "/connectors", &["Content-Type: text/plain"], &body).await;
    assert!(media.error(415).starts_with("HTTP 415"));
    assert!(
        request(served.address, "POST", "/connectors", &[], &body).await.error(415).starts_with("HTTP 415")
    );
    let restart =
        request(served.address, "POST", "/connectors/one/restart", &["Content-Type: text/plain"], "x").await;
    assert!(restart.error(415).starts_with("HTTP 415"));
    let accept = request(served.address, "GET", "/connectors", &["Accept: text/html"], "").await;
    assert!(accept.error(406).starts_with("HTTP 406"));
    let accept = request(served.address, "GET", "/connectors", &["Accept: text/html,*/*;q=0.8"], "").await;
    assert_eq!(accept.status, 200);
    served.end().await;
}
