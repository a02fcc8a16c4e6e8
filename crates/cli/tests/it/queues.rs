//! Queues listed, described, made and deleted, through a worker and straight at the broker.

use serde_json::json;

use crate::common::Home;

fn every_action(home: &Home, way: &[&str]) {
    let run = |arguments: &[&str]| home.run(&[&["queues"], arguments, way].concat());
    assert_eq!(run(&["list", "--json"]).json(), json!([]));
    run(&["create", "orders", "--partitions", "3", "--retention-ms", "60000"]).ok();
    run(&["create", "orders"]).fails(1, &["orders"]);
    run(&["create", "bills"]).ok();
    assert_eq!(run(&["list", "--json"]).json(), json!(["bills", "orders"]));
    let partition = |number| json!({"partition": number, "begin": 0, "end": 0});
    let expected = json!({"name": "orders", "partitions": [partition(0), partition(1), partition(2)]});
    assert_eq!(run(&["describe", "orders", "--json"]).json(), expected);
    let text = run(&["list"]).ok();
    assert!(text.contains("QUEUE") && text.contains("orders"), "{text}");
    run(&["delete", "orders"]).ok();
    run(&["describe", "orders"]).fails(1, &["queue.not_found", "bills"]);
    run(&["delete", "orders"]).fails(1, &["queue.not_found"]);
    run(&["create", "a b"]).fails(1, &["a b"]);
    run(&["create", "x", "--partitions", "0"]).fails(2, &["--partitions"]);
}

#[test]
fn through_a_worker() {
    let home = Home::new();
    let worker = home.worker(&[]);
    every_action(&home, &["--worker", &worker.url]);
    worker.stop();
}

#[test]
fn straight_at_the_broker() {
    let home = Home::new();
    every_action(&home, &["--driver-url", &home.driver_url()]);
}

#[test]
fn a_workers_control_log_is_not_touched() {
    let home = Home::new();
    home.worker(&[]).stop();
    let way = ["--driver-url", &home.driver_url()];
    assert_eq!(home.run(&[&["queues", "list", "--json"], &way[..]].concat()).json(), json!([]));
    home.run(&[&["queues", "delete", "omsconnect-default-control"], &way[..]].concat())
        .fails(1, &["queue.internal"]);
}

#[test]
fn what_is_there_is_counted() {
    let home = Home::new();
    let worker = home.worker(&[]);
    worker.lines(&home, "q", &["a", "b"]);
    let described = home.run(&["queues", "describe", "q", "--json", "--worker", &worker.url]).json();
    assert_eq!(described, json!({"name": "q", "partitions": [{"partition": 0, "begin": 0, "end": 2}]}));
    worker.stop();
}
