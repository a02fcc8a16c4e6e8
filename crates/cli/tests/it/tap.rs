//! Messages shown, through a worker and straight from the broker.

use std::io::Write;

use serde_json::json;

use crate::common::{Ended, Home, Process, until};

#[test]
fn both_ways_show_the_same_lines() {
    let home = Home::new();
    let worker = home.worker(&[]);
    worker.lines(&home, "q", &["a", "\u{e9} \"b\"", "c"]);
    let through = home
        .run(&[
            "tap",
            "q",
            "--from",
            "begin",
            "--limit",
            "3",
            "--timeout",
            "20",
            "--json",
            "--worker",
            &worker.url,
        ])
        .json_lines();
    let values: Vec<_> = through.iter().map(|message| message["value"].clone()).collect();
    assert_eq!(values, [json!("a"), json!("\u{e9} \"b\""), json!("c")]);
    let offsets: Vec<_> = through.iter().map(|message| message["offset"].clone()).collect();
    assert_eq!(offsets, [0, 1, 2]);
    for message in &through {
        let names: Vec<&str> = message.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(names, ["queue", "partition", "offset", "timestamp", "key", "headers", "value"]);
        assert_eq!((&message["queue"], &message["partition"]), (&json!("q"), &json!(0)));
        assert!(message["timestamp"].as_i64().is_some_and(|millis| millis > 1_700_000_000_000));
    }
    worker.stop();
    let straight = home
        .run(&["tap", "q", "--from", "begin", "--limit", "3", "--json", "--driver-url", &home.driver_url()])
        .json_lines();
    assert_eq!(straight, through);
    let text =
        home.run(&["tap", "q", "--from", "begin", "--limit", "1", "--driver-url", &home.driver_url()]).ok();
    assert!(text.starts_with("q[0] @0  20") && text.contains("\na\n"), "{text}");
}

#[test]
fn from_the_end_only_later_messages_are_shown() {
    let home = Home::new();
    let worker = home.worker(&[]);
    worker.lines(&home, "q", &["old"]);
    let tap = Process::start(home.command(&[
        "tap",
        "q",
        "--json",
        "--limit",
        "1",
        "--timeout",
        "30",
        "--worker",
        &worker.url,
    ]));
    // The tap says nothing before a message: send until one is seen.
    let mut file = std::fs::OpenOptions::new().append(true).open(home.file("q.txt")).expect("the file");
    let writer = std::thread::spawn(move || {
        for number in 0..100 {
            writeln!(file, "new {number}").expect("written");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    });
    let line = tap.line("\"queue\"");
    assert!(line.contains("new "), "{line}");
    writer.join().expect("written");
    worker.stop();
}

#[test]
fn bytes_that_are_no_text_are_base64() {
    let home = Home::new();
    testkit::block_on(async {
        let url: openmessaging::AccessPointUrl = home.driver_url().parse().expect("a URL");
        let broker = drivers::registry().connect(&url, &Default::default()).await.expect("the broker");
        broker.resources().create_queue(&openmessaging::QueueSpec::new("q", 1)).await.expect("the queue");
        let mut producer = broker.producer(Default::default()).await.expect("a producer");
        let mut batch = openmessaging::MessageBatch::new();
        let mut message = batch.start();
        message.key(Some(&[0xff, 0]));
        message.header("h", Some(&[0x80]));
        message.finish(&"q".into(), None, 5, Some(&[0xfe, 0xff]));
        batch.start().finish(&"q".into(), None, 6, None);
        assert!(producer.send(batch).await.error.is_none());
        producer.close().await.expect("closed");
        broker.close().await.expect("closed");
    });
    let tap = ["tap", "q", "--from", "begin", "--limit", "2", "--json"];
    let straight = home.run(&[&tap[..], &["--driver-url", &home.driver_url()]].concat()).json_lines();
    assert_eq!(straight[0]["key"], json!({"base64": "/wA="}));
    assert_eq!(straight[0]["headers"], json!({"h": {"base64": "gA=="}}));
    assert_eq!(straight[0]["value"], json!({"base64": "/v8="}));
    assert_eq!((&straight[1]["key"], &straight[1]["value"]), (&json!(null), &json!(null)));
    let worker = home.worker(&[]);
    let through = home.run(&[&tap[..], &["--worker", &worker.url]].concat()).json_lines();
    assert_eq!(through, straight);
    worker.stop();
}

#[test]
fn it_ends_quietly_at_the_limit_the_timeout_and_a_signal() {
    let home = Home::new();
    let worker = home.worker(&[]);
    worker.lines(&home, "q", &["a", "b"]);
    let url = worker.url.as_str();
    let out = home.run(&["tap", "q", "--from", "begin", "--limit", "1", "--json", "--worker", url]).ok();
    assert_eq!(out.lines().count(), 1);
    let out = home.run(&["tap", "q", "--from", "begin", "--timeout", "0.5", "--json", "--worker", url]).ok();
    assert_eq!(out.lines().count(), 2);
    let mut tap = Process::start(home.command(&["tap", "q", "--from", "begin", "--json", "--worker", url]));
    tap.line("\"b\"");
    tap.signal("INT");
    assert_eq!(tap.wait().code(), Some(0));
    assert_eq!(tap.errors(), "");
    worker.stop();
}

#[test]
fn it_ends_quietly_when_nobody_reads_any_more() {
    let home = Home::new();
    let worker = home.worker(&[]);
    worker.lines(&home, "q", &["a", "b"]);
    let mut command = home.command(&["tap", "q", "--from", "begin", "--json", "--worker", &worker.url]);
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("tap");
    let mut first = String::new();
    let out = child.stdout.take().expect("piped");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut first).expect("a line");
    // The reader is gone, and no further message comes.
    until("tap ended", || child.try_wait().expect("its status"));
    let ended = Ended::of(child.wait_with_output().expect("ended"));
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    worker.stop();
}

#[test]
fn a_missing_queue_or_worker_is_told() {
    let home = Home::new();
    let worker = home.worker(&[]);
    worker.lines(&home, "orders", &["a"]);
    home.run(&["tap", "order", "--worker", &worker.url])
        .fails(1, &["queue.not_found", "did you mean orders?"]);
    worker.stop();
    home.run(&["tap", "order", "--driver-url", &home.driver_url()]).fails(1, &["queue.not_found", "orders"]);
    let nobody = format!("http://127.0.0.1:{}", crate::common::free_port());
    home.run(&["tap", "orders", "--worker", &nobody])
        .fails(1, &["worker.unreachable", &nobody, "--driver-url"]);
    home.run(&["tap", "orders", "--worker", "localhost"]).fails(2, &["worker.url", "http://"]);
    home.run(&["tap", "orders", "--driver-url", "oms:locl:///x"]).fails(1, &["did you mean local?"]);
    home.run(&["tap"]).fails(2, &["<QUEUE>"]);
}
