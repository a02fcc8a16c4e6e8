//! What the program can run.

use crate::common::Home;

#[test]
fn all_are_listed() {
    let home = Home::new();
    let text = home.run(&["plugins"]).ok();
    for name in ["io.openmessaging.mysql.connector.MysqlConnector", "sqlite", "FileStreamSink", "oms:local:"]
    {
        assert!(text.contains(name), "{name} in {text}");
    }
    let json = home.run(&["plugins", "--json"]).json();
    assert_eq!(json["drivers"][0]["name"], "local");
    assert!(json["plugins"].as_array().is_some_and(|plugins| plugins.len() >= 4));
}

#[test]
fn one_is_shown_with_its_keys_under_any_of_its_names() {
    let home = Home::new();
    for name in ["mysql", "MysqlConnector", "io.openmessaging.mysql.connector.MysqlConnector"] {
        let text = home.run(&["plugins", name]).ok();
        assert!(text.contains("mysqlAddr  string, required"), "{text}");
    }
    let json = home.run(&["plugins", "mysql", "--json"]).json();
    let keys = json[0]["keys"].as_array().expect("keys");
    assert!(keys.iter().any(|key| key["name"] == "mysqlPassword" && key["type"] == "PASSWORD"));
    home.run(&["plugins", "mysq1"]).fails(1, &["plugin.unknown", "did you mean mysql?"]);
}

#[test]
fn every_command_shows_examples() {
    let home = Home::new();
    for command in ["quickstart", "worker", "tap", "queues", "plugins", "validate"] {
        let text = home.run(&[command, "--help"]).ok();
        assert!(text.contains("Examples:\n  ") && text.contains(&format!("omsconnect {command}")), "{text}");
    }
}
