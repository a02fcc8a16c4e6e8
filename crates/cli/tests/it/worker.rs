//! A worker starts, says so, and stops as it was asked to.

use std::time::Instant;

use crate::common::{Home, Process, free_port, request, until};

#[test]
fn it_says_that_it_is_up_and_answers() {
    let home = Home::new();
    let process = Process::start(home.command(&["worker", "--worker-id", "W 7", "--http-port", "0"]));
    assert_eq!(process.line("boot"), "The worker [W 7] boot success.");
    let url = process.line("REST API: ").trim_start_matches("REST API: ").to_owned();
    let (status, body) = request(&url, "GET", "/getClusterInfo", "");
    assert!(status == 200 && body.contains("W 7"), "{body}");
    let log = home.file("logs/omsconnect/omsconnect.log");
    let text = until("the log has the line", || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.contains("The worker [W 7] boot success.").then_some(text)
    });
    assert!(!text.contains('\u{1b}'), "no colours in a file");
}

#[test]
fn the_log_may_go_to_standard_output_alone() {
    let home = Home::new();
    let process = Process::start(home.command(&["worker", "--http-port", "0", "--log-stdout"]));
    process.line("INFO");
    process.line("REST API: ");
    assert!(!home.file("logs").exists());
}

#[test]
fn sigterm_and_sigint_end_it_gracefully() {
    for signal in ["TERM", "INT"] {
        let home = Home::new();
        let mut worker = home.worker(&[]);
        worker.lines(&home, "q", &["a", "b"]);
        worker.process.signal(signal);
        assert_eq!(worker.process.wait().code(), Some(0), "{signal}");
        let log = std::fs::read_to_string(home.file("logs/omsconnect/omsconnect.log")).expect("the log");
        assert!(log.contains("stopped"), "{log}");
        // Positions were flushed and the folder let go: nothing is sent twice.
        let again = home.worker(&[]);
        again.runs("lines-q");
        assert_eq!(again.get_json("/queues/q")["partitions"][0]["end"], 2, "{signal}");
        again.stop();
    }
}

#[test]
fn a_port_in_use_is_named() {
    let home = Home::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port().to_string();
    home.run(&["worker", "--http-port", &port]).fails(1, &["http.port_in_use", &port, "--http-port"]);
}

#[test]
fn a_folder_in_use_names_its_owner() {
    let home = Home::new();
    let worker = home.worker(&[]);
    let owner = worker.process.id().to_string();
    home.run(&["worker", "--http-port", "0", "--log-stdout"]).fails(1, &["connectorStore", &owner]);
    home.run(&["queues", "list", "--driver-url", &home.driver_url()]).fails(1, &["connectorStore", &owner]);
    // The first one has noticed nothing.
    assert_eq!(worker.get("/queues").0, 200);
    worker.stop();
    home.run(&["queues", "list", "--driver-url", &home.driver_url()]).ok();
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let home = Home::new();
    let file = home.write("file", "");
    home.run(&["worker", "--http-port", "0", "--store-path-root-dir", &format!("{file}/store")])
        .fails(1, &[&file]);
    home.run(&["worker", "--http-port", "0", "--log-dir", &format!("{file}/log")])
        .fails(1, &["log.folder", &file, "--log-stdout"]);
}

#[test]
fn a_wrong_access_point_is_told_without_its_password() {
    let home = Home::new();
    let worker = |url: &str| home.run(&["worker", "--http-port", "0", "--oms-driver-url", url]);
    worker("kafka://a/b").fails(1, &["omsDriverUrl", "must start with", "oms:<driver>://"]);
    let ended = worker("oms:nosuch://me:hunter2@h:1/default");
    assert!(!ended.err.contains("hunter2"), "{}", ended.err);
    ended.fails(1, &["nosuch", "known drivers: local"]);
}

#[test]
fn connectors_go_on_after_a_restart() {
    let home = Home::new();
    let worker = home.worker(&[]);
    worker.lines(&home, "q", &["a"]);
    worker.stop();
    let file = home.file("q.txt");
    std::fs::write(&file, "a\nb\n").expect("written");
    let worker = home.worker(&[]);
    until("the new line alone is sent", || {
        (worker.get_json("/queues/q")["partitions"][0]["end"] == 2).then_some(())
    });
    worker.stop();
}

#[test]
fn the_script_of_the_original_starts_it() {
    let home = Home::new();
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");
    let port = free_port().to_string();
    let mut command = std::process::Command::new("sh");
    command.args(["./run_worker.sh", "--http-port", &port]).current_dir(format!("{root}/runtime"));
    command.env("HOME", home.path()).env("OMSCONNECT_BIN", env!("CARGO_BIN_EXE_omsconnect"));
    let mut process = Process::start(command);
    assert_eq!(process.line("boot"), "The worker [DEFAULT_WORKER_1] boot success.");
    assert!(home.file("connectorStore").exists());
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let home = Home::new();
    let mut process = home.worker(&[]).process;
    process.signal("TERM");
    process.signal("TERM");
    let started = Instant::now();
    process.wait();
    assert!(started.elapsed().as_secs() < 10);
}
