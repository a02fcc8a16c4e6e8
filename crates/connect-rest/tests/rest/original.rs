//! The endpoints of the original runtime, as its README and its users write them.

use serde_json::{Value, json};

use crate::harness::Served;
use crate::http::{Answer, Connection, request};

/// The README's configuration, character by character but for the driver URL.
fn readme(served: &Served) -> String {
    let url = format!("oms:local://{}/broker", served.folder.path().display());
    format!(
        "{{\"connector-class\":\"io.openmessaging.mysql.connector.MysqlConnector\",\"oms-driver-url\":\"{url}\",\
         \"mysqlAddr\":\"localhost\",\"mysqlPort\":\"3306\",\"mysqlUsername\":\"username\",\"mysqlPassword\":\"password\",\
         \"source-record-converter\":\"io.openmessaging.connect.runtime.converter.JsonConverter\"}}"
    )
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(
            |byte| {
                if byte.is_ascii_alphanumeric() { (byte as char).to_string() } else { format!("%{byte:02X}") }
            },
        )
        .collect()
}

fn assert_text(answer: &Answer, status: u16, body: &str) {
    assert_eq!((answer.status, answer.body.as_str()), (status, body));
    assert_eq!(answer.header("content-type"), Some("text/plain;charset=utf-8"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readmes_request_creates_a_connector_however_it_is_written() {
    let served = Served::start().await;
    let config = readme(&served);
    // As curl sends it, as a browser does, and wholly encoded.
    assert_text(&served.get(&format!("/connectors/raw?config={config}")).await, 200, "success");
    let browser = config.replace('"', "%22");
    assert_text(&served.get(&format!("/connectors/browser/?config={browser}")).await, 200, "success");
    assert_text(&served.get(&format!("/connectors/whole?config={}", encoded(&config))).await, 200, "success");
    let info = served.get("/connectors/raw").await.json();
    assert_eq!(info["config"]["mysqlPassword"], "********");
    assert_eq!(
        info["config"]["source-record-converter"],
        "io.openmessaging.connect.runtime.converter.JsonConverter"
    );
    served.until_state("raw", "RUNNING", 1).await;

    let again = served.get(&format!("/connectors/raw?config={config}")).await;
    assert_text(&again, 200, "Connector with same config already exist.");
    let changed = config.replace("\"3306\"", "\"3307\"");
    assert_text(&served.get(&format!("/connectors/raw?config={changed}")).await, 200, "success");
    assert_eq!(served.get("/connectors/raw/config").await.json()["mysqlPort"], "3307");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_quotes_pass_on_a_connection_that_is_kept() {
    let served = Served::start().await;
    let mut kept = Connection::open(served.address).await;
    for name in ["a", "b"] {
        assert_eq!(kept.request("GET", "/getClusterInfo", &[], "").await.status, 200);
        let target = format!("/connectors/{name}?config={}", readme(&served));
        assert_text(&kept.request("GET", &target, &[], "").await, 200, "success");
    }
    // A body holds what it holds, and ends what is forgiven on the connection, not the connection.
    let body = json!({"name": "c", "config": {"connector.class": "Nope?\"<>"}}).to_string();
    let answer = kept.request("POST", "/connectors", &[crate::harness::JSON], &body).await;
    assert!(answer.error(400).contains("matches Nope?\"<>"), "{answer:?}");
    assert_eq!(kept.request("GET", "/getClusterInfo", &[], "").await.status, 200);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_reported_in_the_originals_order_and_words() {
    let served = Served::start().await;
    let mut config: serde_json::Map<String, Value> = serde_json::Map::new();
    let url = format!("oms:local://{}/broker", served.folder.path().display());
    for (key, value) in [
        ("source-record-converter", "io.openmessaging.connect.runtime.converter.JsonConverter"),
        ("connector-class", "io.openmessaging.mysql.connector.MysqlConnector"),
        ("oms-driver-url", url.as_str()),
        ("mysqlAddr", "localhost"),
        ("mysqlUsername", "me"),
        ("mysqlPassword", "hunter2"),
    ] {
        let answer = served.get(&format!("/connectors/x?config={}", Value::Object(config.clone()))).await;
        assert_text(&answer, 200, &format!("Request config key: {key}"));
        config.insert(key.to_owned(), json!(value));
    }
    config.insert("fail".to_owned(), json!("validate"));
    let denied = served.get(&format!("/connectors/x?config={}", Value::Object(config.clone()))).await;
    assert_eq!(denied.status, 200);
    assert!(denied.body.contains("test.denied") && !denied.body.contains("hunter2"), "{denied:?}");
    config.insert("connector-class".to_owned(), json!("Nope"));
    let unknown = served.get(&format!("/connectors/x?config={}", Value::Object(config))).await;
    assert!(unknown.status == 200 && unknown.body.starts_with("Failed to find any class"), "{unknown:?}");
    assert_eq!(served.get("/connectors").await.json(), json!([]));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_an_internal_server_error_that_says_where() {
    let served = Served::start().await;
    for (config, words) in [
        ("{\"pw\":\"hunter2\"", "line 1 column"),
        ("{\"pw\":hunter2}", "line 1 column"),
        ("[\"hunter2\"]", "an array"),
        ("", "empty"),
        ("{\"mysqlPort\":3306}", "\"mysqlPort\" is a number"),
        ("{\"pw\":{\"hunter2\":1}}", "\"pw\" is an object"),
    ] {
        let answer = served.get(&format!("/connectors/x?config={config}")).await;
        assert_eq!(answer.status, 500, "{config}");
        assert!(answer.body.starts_with("Internal server error"), "{answer:?}");
        assert!(answer.body.contains(words) && !answer.body.contains("hunter2"), "{answer:?}");
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_configurations_and_work_are_listed() {
    let served = Served::start().await;
    let before =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_millis()
            as i64;
    let cluster = served.get("/getClusterInfo/").await;
    let heartbeat = cluster.json()["w1"].as_i64().expect("a heartbeat");
    assert!((before - 60_000..=before + 1_000).contains(&heartbeat));
    assert_text(&cluster, 200, &format!("{{\"w1\":{heartbeat}}}"));
    assert_text(&served.get("/getConfigInfo").await, 200, "ConnectorConfigs:{}\nTaskConfigs:{}");
    assert_text(&served.get("/getAllocatedInfo").await, 200, "working connectors:\nworking tasks:\n");

    served.get(&format!("/connectors/raw?config={}", readme(&served))).await;
    served.until_state("raw", "RUNNING", 1).await;
    let shown = readme(&served).replace("\"password\"", "\"********\"").replace('}', ",\"name\":\"raw\"}");
    let configs = served.get("/getConfigInfo").await.body;
    let start = format!(
        "ConnectorConfigs:{{\"raw\":{{\"properties\":{shown}}}}}\nTaskConfigs:{{\"raw\":[{{\"properties\":{{"
    );
    assert!(configs.starts_with(&start) && configs.ends_with("}}]}"), "{configs}");
    let allocated = served.get("/getAllocatedInfo").await.body;
    let start = format!(
        "working connectors:\nconnectorName:raw\nConfigs:{{\"properties\":{shown}}}\nworking tasks:\nconnectorName:raw\nConfigs:"
    );
    assert!(allocated.starts_with(&start), "{allocated}");
    assert!(!configs.contains("\"password\"") && !allocated.contains("\"password\""));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_over_get_deletes_and_is_always_a_success() {
    let served = Served::start().await;
    served.get(&format!("/connectors/raw?config={}", readme(&served))).await;
    let head = served.request("HEAD", "/connectors/raw/stop", "").await;
    assert_eq!((head.status, served.get("/connectors/raw").await.status), (200, 200));
    assert_text(&served.get("/connectors/raw/stop").await, 200, "success");
    assert_eq!(served.get("/connectors/raw").await.status, 404);
    assert_text(&served.get("/connectors/raw/stop").await, 200, "success");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_sites_cannot_create() {
    let served = Served::start().await;
    let target = format!("/connectors/x?config={}", readme(&served));
    for headers in [
        ["Host: localhost:8081", "Sec-Fetch-Site: cross-site"],
        ["Host: localhost:8081", "Sec-Fetch-Site: same-site"],
        ["Host: localhost:8081", "Origin: http://evil.example"],
        ["Host: localhost:8081", "Referer: http://evil.example/page"],
        ["Host: localhost:8081", "Sec-Purpose: prefetch"],
        ["Host: evil.example:8081", "Accept: */*"],
        ["Host: 192.0.2.1:8081", "Accept: */*"],
    ] {
        for target in [target.as_str(), "/connectors/x/stop"] {
            let answer = request(served.address, "GET", target, &headers, "").await;
            assert_eq!(answer.status, 403, "{headers:?}: {answer:?}");
            assert!(answer.body.contains("Refused"), "{answer:?}");
        }
    }
    let head = served.request("HEAD", &target, "").await;
    assert_eq!(head.status, 404);
    assert_eq!(served.get("/connectors").await.json(), json!([]));
    let own = ["Host: localhost:8081", "Sec-Fetch-Site: none"];
    assert_text(&request(served.address, "GET", &target, &own, "").await, 200, "success");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_over_get_can_be_switched_off() {
    let served = Served::with(|options| options.create_over_get = false).await;
    for target in [format!("/connectors/x?config={}", readme(&served)), "/connectors/x/stop".to_owned()] {
        let answer = served.get(&target).await;
        assert!(answer.status == 403 && answer.body.contains("switched off"), "{answer:?}");
    }
    assert_eq!(served.get("/getClusterInfo").await.status, 200);
    served.end().await;
}
