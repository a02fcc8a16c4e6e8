//! `queues` and `doctor` straight at a broker.

use serde_json::json;

use crate::common::{Home, free_port};
use crate::{on_each_broker, unique, way};

on_each_broker!(super::commands::queues_and_doctor);

fn queues_and_doctor(broker: &str) {
    let (home, way, queue) = (Home::new(), way(broker), unique("q"));
    let way: Vec<&str> = way.iter().map(String::as_str).collect();
    let run = |arguments: &[&str]| home.run(&[arguments, &way[..]].concat());
    run(&["queues", "create", &queue, "--partitions", "3"]).ok();
    run(&["queues", "create", &queue]).fails(1, &[&queue, "OMS-1406"]);
    let described = run(&["queues", "describe", &queue, "--json"]).json();
    assert_eq!(described["partitions"].as_array().map(Vec::len), Some(3), "{described}");
    let listed = run(&["queues", "list", "--json"]).json();
    assert!(listed.as_array().is_some_and(|names| names.contains(&json!(queue))), "{listed}");
    run(&["queues", "delete", &queue]).ok();
    run(&["queues", "describe", &queue]).fails(1, &["queue.not_found"]);

    let diagnosis = run(&["doctor", "--json"]).json();
    let findings = diagnosis["findings"].as_array().expect("findings");
    // How full the disk of this machine is says nothing about the program.
    let errors =
        findings.iter().filter(|found| found["severity"] == "error" && found["code"] != "rocketmq.disk");
    assert_eq!(errors.count(), 0, "{diagnosis}");
    for code in ["doctor.connect", "doctor.queue", "doctor.store"] {
        let found = findings.iter().find(|finding| finding["code"] == code);
        assert_eq!(found.map(|finding| &finding["severity"]), Some(&json!("ok")), "{code}: {diagnosis}");
    }
    let text = run(&["doctor", "--read-only"]).ok();
    assert!(text.contains("doctor.connect") && !text.contains("doctor.queue"), "{text}");
    let after = run(&["queues", "list", "--json"]).json().to_string();
    assert!(!after.contains("omsconnect-doctor"), "doctor removes what it made: {after}");

    // Nobody there, and a property that is none.
    let port = free_port();
    let nobody = format!("oms:{broker}://127.0.0.1:{port}/default");
    home.run(&["doctor", "--driver-url", &nobody]).fails(1, &[&port.to_string(), "help:"]);
    let wrong = ["doctor", "--driver-property", "passwort=x"];
    run(&wrong).fails(1, &["passwort", "password"]);
}
