//! Requests that are wrong, too large or too slow: one clear error, and nothing is lost.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{JSON, Served, original_config};
use crate::http::{Connection, request};

#[tokio::test(flavor = "multi_thread")]
async fn json_that_cannot_be_read_is_told_with_its_place_and_without_its_text() {
    let served = Served::start().await;
    for (body, words) in [
        (r#"{"name": "x", "config": {"pw": "hunter2"}"#, "line 1 column"),
        (r#"{"name": "x", "config": {"pw": hunter2}}"#, "line 1 column"),
        (r#"{"name": "x", "config": {"pw": {"hunter2": 1}}}"#, "\"pw\" is an object"),
        (r#"["hunter2"]"#, "is an array"),
        (r#""hunter2""#, "is a string"),
        ("null", "is null"),
        (" ", "is empty"),
        (r#"{"name": "x"}"#, "\"config\" is missing"),
        (r#"{"name": "x", "config": {}, "initialstate": "hunter2"}"#, "did you mean initial_state?"),
    ] {
        let error = served.request("POST", "/connectors", body).await.error(400);
        assert!(error.contains(words) && !error.contains("hunter2"), "{body}: {error}");
    }
    for (method, target) in [
        ("PUT", "/connectors/x/config"),
        ("PUT", "/connector-plugins/mysql/config/validate"),
        ("POST", "/queues"),
    ] {
        assert!(served.request(method, target, "{").await.error(400).contains("is no JSON"), "{target}");
        let empty = request(served.address, method, target, &[JSON], "").await;
        assert!(empty.error(400).contains("is empty"), "{target}");
    }
    assert_eq!(served.get("/connectors").await.json(), json!([]));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_refused_and_the_answer_arrives() {
    let served = Served::start().await;
    let body = "x".repeat(100 << 20);
    // Everything is written before anything is read.
    let error = served.request("POST", "/connectors", &body).await.error(413);
    assert!(error.contains("4194304 bytes"), "{error}");
    // A client that asks first is told at once.
    let mut asking = Connection::open(served.address).await;
    let head = "POST /connectors HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    asking.send(&format!("{head}Content-Length: 104857600\r\nExpect: 100-continue\r\n\r\n")).await;
    asking.answer("POST").await.error(413);
    // Without a length it is counted.
    let mut chunked = Connection::open(served.address).await;
    chunked.send(&format!("{head}Transfer-Encoding: chunked\r\n\r\n")).await;
    let chunk = format!("100000\r\n{}\r\n", "x".repeat(1 << 20));
    for _ in 0..6 {
        chunked.send(&chunk).await;
    }
    chunked.send("0\r\n\r\n").await;
    chunked.answer("POST").await.error(413);
    assert_eq!(served.get("/connectors").await.status, 200);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_the_largest_size_is_read() {
    let served = Served::with(|options| options.max_body_bytes = 1000).await;
    let body = |size: usize| format!("{{{}}}", " ".repeat(size - 2));
    assert!(
        served.request("POST", "/connectors", &body(1000)).await.error(400).contains("\"config\" is missing")
    );
    assert!(served.request("POST", "/connectors", &body(1001)).await.error(413).contains("1000 bytes"));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_takes_too_long_is_answered_with_its_stage() {
    let served = Served::with(|options| options.request_timeout = Duration::from_millis(300)).await;
    let began = Instant::now();
    let error = served.create("slow", original_config(json!({"fail": "hang"}))).await.error(500);
    assert!(error.contains("after 0.3 s") && error.contains("configuration of connector slow"), "{error}");
    let mut stuck = Connection::open(served.address).await;
    stuck.send("POST /connectors HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{").await;
    assert!(stuck.answer("POST").await.error(500).contains("reading the request's body"));
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(served.get("/connectors").await.json(), json!([]));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_that_mean_nothing_are_answered() {
    let served = Served::start().await;
    for target in
        ["/connectors/a%2Fb", "/connectors/%25", "/connectors/%2e%2e", "/connectors/%5C", "/connectors/%01"]
    {
        assert!(served.get(target).await.error(404).contains("not found"), "{target}");
    }
    assert_eq!(served.get("/connectors/%ff").await.error(404), "HTTP 404 Not Found");
    let long = format!("/connectors/{}", "x".repeat(70_000));
    assert_eq!(served.get(&long).await.status, 414);
    assert_eq!(served.get("/").await.status, 200);
    served.end().await;
}
