//! Requests that a browser was made to send.

use serde_json::json;

use crate::harness::{JSON, Served, original_config};
use crate::http::request;

#[tokio::test(flavor = "multi_thread")]
async fn changes_need_a_host_and_an_origin_of_ours() {
    let served = Served::with(|options| options.allowed_hosts = vec!["console.example".into()]).await;
    let body = json!({"name": "x", "config": original_config(json!({}))}).to_string();
    for headers in [
        [JSON, "Host: evil.example"],
        [JSON, "Origin: http://evil.example"],
        [JSON, "Origin: null"],
        [JSON, "Sec-Fetch-Site: cross-site"],
    ] {
        for (method, target) in [
            ("POST", "/connectors"),
            ("PUT", "/connectors/x/config"),
            ("DELETE", "/connectors/x"),
            ("POST", "/queues"),
        ] {
            let refused = request(served.address, method, target, &headers, &body).await.error(403);
            assert!(refused.contains("Refused"), "{method} {target} {headers:?}: {refused}");
        }
    }
    assert_eq!(served.get("/connectors").await.json(), json!([]));
    let own = format!("Host: {}", served.address);
    for (name, headers) in [
        ("a", [JSON, own.as_str(), "Accept: */*"]),
        ("b", [JSON, "Host: console.example", "Origin: http://console.example"]),
        ("c", [JSON, "Host: [::1]:8081", "Sec-Fetch-Site: same-origin"]),
    ] {
        let body = json!({"name": name, "config": original_config(json!({}))}).to_string();
        assert_eq!(
            request(served.address, "POST", "/connectors", &headers, &body).await.status,
            201,
            "{headers:?}"
        );
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_was_pointed_here_reads_nothing() {
    let served = Served::start().await;
    for target in ["/connectors", "/queues", "/getConfigInfo", "/"] {
        let refused = request(served.address, "GET", target, &["Host: evil.example"], "").await.error(403);
        assert!(refused.contains("allowed hosts"), "{refused}");
    }
    for target in ["/health", "/ready"] {
        assert_eq!(request(served.address, "GET", target, &["Host: evil.example"], "").await.status, 200);
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_address_is_not_served_unless_told_to() {
    let served = Served::start().await;
    let serve = async |allowed: bool| {
        let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.expect("a port");
        let mut options = connect_rest::RestOptions::new(listener.local_addr().expect("an address"));
        options.allow_unauthenticated_public = allowed;
        connect_rest::serve(served.worker.clone(), listener, options, async {}).await
    };
    let error = serve(false).await.expect_err("refused").to_string();
    assert!(error.contains("0.0.0.0") && error.contains("rest.public_bind"), "{error}");
    serve(true).await.expect("told to");
    served.end().await;
}
