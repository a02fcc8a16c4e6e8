//! A worker is killed, its disk is gone, and it is started again elsewhere, under its name: configurations, positions and status were in the broker.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use serde_json::json;

use crate::common::{Home, until};
use crate::{on_each_broker, unique, url};

on_each_broker!(super::elsewhere::a_worker_goes_on_with_an_empty_disk);

fn append(file: &Path, lines: std::ops::Range<usize>) {
    let mut file = OpenOptions::new().create(true).append(true).open(file).expect("the file");
    for line in lines {
        writeln!(file, "line {line:05}").expect("written");
    }
}

/// How often each line is in the file.
fn counted(file: &Path) -> HashMap<String, usize> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let mut counts = HashMap::new();
    for line in text.lines() {
        *counts.entry(line.to_owned()).or_default() += 1;
    }
    counts
}

fn arrives(file: &Path, lines: usize) {
    until(&format!("{lines} lines are in {}", file.display()), || {
        (counted(file).len() >= lines).then_some(())
    });
}

fn a_worker_goes_on_with_an_empty_disk(broker: &str) {
    const FIRST: usize = 500;
    const ALL: usize = 1000;
    // What the connectors read and write is not the worker's disk.
    let (systems, url, group) = (Home::new(), url(broker), unique("elsewhere"));
    let (from, to) = (systems.file("from.txt"), systems.file("to.txt"));
    let queue = unique("lines");
    append(&from, 0..FIRST);
    let way = ["--oms-driver-url", &url, "--group", &group];

    let here = Home::new();
    let mut worker = here.worker(&way);
    let converter = "StringConverter";
    worker.create(
        "from",
        &json!({"connector.class": "FileStreamSource", "file": from, "topic": queue, "value.converter": converter}),
    );
    worker.create(
        "to",
        &json!({"connector.class": "FileStreamSink", "file": to, "topics": queue, "value.converter": converter}),
    );
    arrives(&to, FIRST);
    // Two commit intervals later the positions are stored.
    std::thread::sleep(std::time::Duration::from_millis(2500));
    worker.process.kill();
    drop(here);
    append(&from, FIRST..ALL);

    let there = Home::new();
    let worker = there.worker(&way);
    worker.runs("from");
    worker.runs("to");
    arrives(&to, ALL);
    let counts = counted(&to);
    let lost: Vec<_> =
        (0..ALL).map(|line| format!("line {line:05}")).filter(|line| !counts.contains_key(line)).collect();
    assert!(lost.is_empty(), "{} lines are lost: {:?}", lost.len(), &lost[..lost.len().min(5)]);
    let twice = counts.values().filter(|count| **count > 1).count();
    assert_eq!(twice, 0, "positions were committed before the kill: nothing comes again");
    worker.stop();
    there.run(&["queues", "delete", &queue, "--driver-url", &url]).ok();
}
