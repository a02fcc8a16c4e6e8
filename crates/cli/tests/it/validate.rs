//! A connector's file is checked without a worker.

use crate::common::Home;

#[test]
fn a_valid_file_is_valid_in_every_form() {
    let home = Home::new();
    let data = home.write("data.txt", "a\n");
    let flat =
        format!(r#"{{"connector.class":"FileStreamSource","file":"{data}","topic":"q","tasks.max":1}}"#);
    for (name, text) in [
        ("flat.json", flat.clone()),
        ("whole.json", format!(r#"{{"name":"n","config":{flat}}}"#)),
        ("p.properties", format!("name=n\nconnector.class=FileStreamSource\nfile={data}\ntopic=q\n")),
    ] {
        let file = home.write(name, &text);
        let out = home.run(&["validate", &file]).ok();
        assert!(out.contains("valid (FileStreamSource)"), "{out}");
    }
}

#[test]
fn everything_wrong_is_told_at_once() {
    let home = Home::new();
    let file = home.write(
        "c.json",
        r#"{"connector.class":"FileStreamSource","topci":"q","batch.size":"many","value.converter":"Jsn"}"#,
    );
    home.run(&["validate", &file]).fails(
        1,
        &[
            "Missing required configuration \"file\"",
            "Missing required configuration \"topic\"",
            "batch.size",
            "many",
            "config.unknown_key",
            "did you mean topic?",
            "value.converter",
        ],
    );
}

#[test]
fn an_unknown_class_or_a_broken_file_is_told() {
    let home = Home::new();
    let run = |text: &str, code: i32, parts: &[&str]| {
        home.run(&["validate", &home.write("c.json", text)]).fails(code, parts)
    };
    run(r#"{"connector.class":"FileStramSource"}"#, 1, &["FileStramSource", "did you mean FileStreamSource"]);
    run(r#"{"topic":"q"}"#, 1, &["connector.class_missing", "omsconnect plugins"]);
    run("{\n\"a\":", 1, &["config.syntax", "line 2"]);
    run("[1]", 1, &["config.syntax"]);
    home.run(&["validate", "nosuch.json"]).fails(1, &["config.file", "nosuch.json"]);
    home.run(&["validate"]).fails(2, &["<FILE>"]);
}

#[test]
fn connecting_can_be_left_out() {
    let home = Home::new();
    let port = crate::common::free_port();
    let file = home.write(
        "c.json",
        &format!(
            r#"{{"connector.class":"io.openmessaging.mysql.connector.MysqlConnector","mysqlAddr":"127.0.0.1",
            "mysqlPort":"{port}","mysqlUsername":"u","mysqlPassword":"hunter2"}}"#
        ),
    );
    home.run(&["validate", &file, "--offline"]).ok();
    let ended = home.run(&["validate", &file]);
    assert!(!ended.err.contains("hunter2"), "{}", ended.err);
    ended.fails(1, &["127.0.0.1", &port.to_string(), "mysqlAddr"]);
}

#[test]
fn the_examples_are_valid() {
    let home = Home::new();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect(folder) {
        let path = entry.expect("an entry").path();
        home.run(&["validate", "--offline", &path.display().to_string()]).ok();
        count += 1;
    }
    assert!(count >= 2);
}
