//! Where a worker's settings come from.

use crate::common::{Home, Process, Worker, free_port};

#[test]
fn a_flag_beats_the_environment_beats_the_file() {
    let home = Home::new();
    let ports = [free_port(), free_port(), free_port()].map(|port| port.to_string());
    let file = home.write("connect.conf", &format!("workerId=FILE\nhttpPort={}\ngroup=g1\n", ports[0]));
    let mut command = home.command(&["worker", "--configFile", &file, "--http-port", &ports[2]]);
    command.env("OMSCONNECT_HTTP_PORT", &ports[1]).env("OMSCONNECT_WORKER_ID", "VARIABLE");
    let process = Process::start(command);
    assert_eq!(process.line("boot"), "The worker [VARIABLE] boot success.");
    assert_eq!(process.line("REST"), format!("REST API: http://127.0.0.1:{}", ports[2]));
    drop(process);
    let mut command = home.command(&["worker", "-c", &file]);
    command.env("OMSCONNECT_HTTP_PORT", &ports[1]);
    let process = Process::start(command);
    assert_eq!(process.line("boot"), "The worker [FILE] boot success.");
    assert_eq!(process.line("REST"), format!("REST API: http://127.0.0.1:{}", ports[1]));
}

#[test]
fn everything_wrong_in_a_file_is_told_at_once() {
    let home = Home::new();
    let file =
        home.write("c.conf", "workerID=x\nhttpPort=eighty\nlogLevel=info\nhttpHost=127.0.0.1\nbogus=1\n");
    home.run(&["worker", "-c", &file]).fails(
        1,
        &[
            "config.unknown_key",
            "workerID is no key of a worker",
            "c.conf, line 1",
            "did you mean workerId?",
            "httpPort: \"eighty\" is not a port",
            "c.conf, line 2",
            "bogus",
            "line 5",
        ],
    );
    home.run(&["worker", "-c", "nosuch.conf"]).fails(1, &["config.file", "nosuch.conf"]);
    home.run(&["worker", "--log-level", "x=y=z", "--http-port", "0"]).fails(1, &["log.level", "logLevel"]);
}

#[test]
fn a_wrong_flag_is_a_wrong_call() {
    let home = Home::new();
    home.run(&["worker", "--htp-port", "1"]).fails(2, &["--http-port"]);
    home.run(&["worker", "--set", "x"]).fails(2, &["KEY=VALUE"]);
    home.run(&["worker", "--set", "x=1"]).fails(1, &["config.unknown_key", "--set x"]);
}

#[test]
fn the_api_is_not_opened_to_others_by_accident() {
    let home = Home::new();
    home.run(&["worker", "--http-host", "0.0.0.0", "--http-port", "0"])
        .fails(1, &["http.public_address", "httpPublic=true"]);
    let process = Process::start(home.command(&[
        "worker",
        "--http-host",
        "0.0.0.0",
        "--http-port",
        "0",
        "--http-public",
    ]));
    assert!(process.line("REST API: ").starts_with("REST API: http://127.0.0.1:"));
}

#[test]
fn values_come_from_the_environment_and_from_files() {
    let home = Home::new();
    let secrets = home.write("secrets", "id=FROM_FILE\n");
    let file = home.write("c.conf", &format!("workerId=${{file:{secrets}:id}}_${{env:ID}}\nhttpPort=0\n"));
    let mut command = home.command(&["worker", "-c", &file]);
    command.env("ID", "7");
    assert_eq!(Process::start(command).line("boot"), "The worker [FROM_FILE_7] boot success.");
    home.run(&["worker", "-c", &file])
        .fails(1, &["secret.missing", "workerId", "variable ID", "c.conf, line 1"]);
}

#[test]
fn a_file_of_the_original_is_taken() {
    let home = Home::new();
    let store = home.file("store");
    let text = format!(
        "## Worker\nworkerId=W1\nstorePathRootDir={}\nomsDriverUrl=oms:local://{}\nhttpPort=0\n\
         positionPersistInterval=20000\nconfigPersistInterval=20000\n",
        store.display(),
        store.display()
    );
    let file = home.write("connect.conf", &text);
    let worker = Worker::start(home.command(&["worker", "-c", &file]));
    assert!(store.exists() && !home.file("connectorStore").exists());
    worker.stop();
}

#[test]
fn a_workers_converter_is_the_connectors_default() {
    let home = Home::new();
    let worker = home.worker(&[
        "--value-converter",
        "org.apache.kafka.connect.json.JsonConverter",
        "--set",
        "value.converter.schemas.enable=false",
    ]);
    let file = home.write("in.txt", "a\n");
    let config = serde_json::json!({"connector.class": "FileStreamSource", "file": file, "topic": "q"});
    worker.create("c", &config);
    let messages = home
        .run(&[
            "tap",
            "q",
            "--from",
            "begin",
            "--limit",
            "1",
            "--timeout",
            "20",
            "--json",
            "--worker",
            &worker.url,
        ])
        .json_lines();
    assert_eq!(messages[0]["value"], "\"a\"");
    worker.stop();
}
