//! Queues and their messages.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::Served;
use crate::http::Connection;

#[tokio::test(flavor = "multi_thread")]
async fn queues_are_created_described_listed_and_deleted() {
    let served = Served::start().await;
    let created =
        served.request("POST", "/queues", r#"{"name":"orders","partitions":3,"retention_ms":60000}"#).await;
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(
        created.body,
        "{\"name\":\"orders\",\"partitions\":[{\"partition\":0,\"begin\":0,\"end\":0},\
         {\"partition\":1,\"begin\":0,\"end\":0},{\"partition\":2,\"begin\":0,\"end\":0}]}"
    );
    assert!(served.request("POST", "/queues", r#"{"name":"orders"}"#).await.error(409).contains("orders"));
    assert_eq!(served.request("POST", "/queues", r#"{"name":"one"}"#).await.status, 201);
    assert_eq!(served.get("/queues/").await.json(), json!(["one", "orders"]));
    served.send("orders", &[b"1", b"2"]).await;
    assert_eq!(
        served.get("/queues/orders").await.json()["partitions"][0],
        json!({"partition": 0, "begin": 0, "end": 2})
    );
    assert_eq!(served.request("DELETE", "/queues/orders", "").await.status, 204);
    for (method, target) in
        [("GET", "/queues/orders"), ("DELETE", "/queues/orders"), ("GET", "/queues/orders/messages")]
    {
        assert!(served.request(method, target, "").await.error(404).contains("orders"), "{method}");
    }
    for (body, words) in [
        (r#"{"name":"q","partitions":0}"#, "1 to 10000"),
        (r#"{"name":"q","partitions":4000000000}"#, "1 to 10000"),
        (r#"{"name":"q","partitions":"x"}"#, "does not fit"),
        (r#"{"name":"q","partition":1}"#, "unknown field `partition`"),
        (r#"{"partitions":1}"#, "missing field `name`"),
    ] {
        let error = served.request("POST", "/queues", body).await.error(400);
        assert!(error.contains(words), "{error}");
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_lines_up_to_the_limit_or_the_timeout() {
    let served = Served::start().await;
    served.request("POST", "/queues", r#"{"name":"q"}"#).await;
    served.send("q", &[b"{\"a\":1}", b"\xff\x00", b""]).await;
    let answer = served.get("/queues/q/messages?from=begin&limit=3").await;
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let lines: Vec<_> = answer.body.lines().collect();
    let head = "{\"queue\":\"q\",\"partition\":0,\"offset\":0,\"timestamp\":1700000000000,\"key\":null,\"headers\":{},";
    assert_eq!(lines[0], format!("{head}\"value\":\"{{\\\"a\\\":1}}\"}}"));
    let values: Vec<_> = lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["value"].clone())
        .collect();
    assert_eq!(values, [json!("{\"a\":1}"), json!({"base64": "/wA="}), json!("")]);

    assert_eq!(served.get("/queues/q/messages?limit=2").await.body.lines().count(), 2);
    assert_eq!(served.get("/queues/q/messages?limit=0").await.body, "");
    let began = Instant::now();
    assert_eq!(served.get("/queues/q/messages?timeout=0.5&partition=0").await.body.lines().count(), 3);
    assert!((Duration::from_millis(450)..Duration::from_secs(5)).contains(&began.elapsed()));
    assert_eq!(served.get("/queues/q/messages?from=end&timeout=0.2").await.body, "");
    for (query, words) in [
        ("from=middle", "begin or end"),
        ("limit=-1", "a whole number"),
        ("timeout=x", "a number of seconds"),
        ("timeout=1e300", "a number of seconds"),
        ("partition=x", "a whole number"),
        ("form=end", "\"form\" is no parameter"),
    ] {
        let error = served.get(&format!("/queues/q/messages?{query}")).await.error(400);
        assert!(error.contains(words), "{error}");
    }
    assert!(served.get("/queues/q/messages?partition=7").await.error(404).contains("no partition 7"));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_a_file_is_seen_at_once() {
    let served = Served::start().await;
    let file = served.create_file_source("lines").await;
    std::fs::write(&file, "first\n").expect("written");
    served.until("the queue is there", "/queues", |queues| queues == &json!(["lines"])).await;
    let mut tap = Connection::open(served.address).await;
    tap.send("GET /queues/lines/messages?from=begin HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(tap.head().await.0, 200);
    assert!(tap.chunk().await.expect("a line").contains("\"value\":\"first\""));
    let began = Instant::now();
    std::fs::write(&file, "first\nsecond\n").expect("written");
    assert!(tap.chunk().await.expect("a line").contains("\"value\":\"second\""));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_end_shows_what_is_sent_after_the_answer_began() {
    let served = Served::start().await;
    served.request("POST", "/queues", r#"{"name":"q"}"#).await;
    served.send("q", &[b"before"]).await;
    let mut tap = Connection::open(served.address).await;
    tap.send("GET /queues/q/messages?from=end&limit=1 HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(tap.head().await.0, 200);
    served.send("q", &[b"after"]).await;
    assert!(tap.chunk().await.expect("a line").contains("\"value\":\"after\""));
    assert_eq!(tap.chunk().await, None);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_frees_its_place() {
    let served = Served::with(|options| options.max_taps = 1).await;
    served.request("POST", "/queues", r#"{"name":"q"}"#).await;
    let mut tap = Connection::open(served.address).await;
    tap.send("GET /queues/q/messages HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(tap.head().await.0, 200);
    let refused = served.get("/queues/q/messages?timeout=0.1").await.error(503);
    assert!(refused.contains("1 queues are being looked at"), "{refused}");
    drop(tap);
    for _ in 0..100 {
        if served.get("/queues/q/messages?timeout=0.1").await.status == 200 {
            return served.end().await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the place was never freed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_does_not_wait_for_streams_without_end() {
    let mut served = Served::start().await;
    served.request("POST", "/queues", r#"{"name":"q"}"#).await;
    let mut tap = Connection::open(served.address).await;
    tap.send("GET /queues/q/messages HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(tap.head().await.0, 200);
    let took = served.stop_server().await;
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(tap.chunk().await, None);
    served.worker.shutdown().await;
}
