//! What the source makes of what programs do with log files.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use connectors::file;
use openmessaging_connector::{Config, Position, SourcePartition};
use testkit::block_on;
use testkit::child;
use testkit::ledger::{Event, Ledger};
use testkit::memory::MemoryState;
use testkit::source::Run;

use super::fixture::{Folder, append, config};

type Positions = HashMap<SourcePartition, Position>;

fn tailing(folder: &Folder) -> Config {
    config(&[("file", &folder.text("app.log")), ("topic", "lines"), ("rotate.wait.ms", "100")])
}

async fn started(config: &Config, from: Positions) -> Run {
    let state = Arc::new(MemoryState::default());
    Run::start(&file::source(), config, from, &state).await.expect("started")
}

/// What came since the last call.
async fn take(run: &mut Run) -> Vec<String> {
    run.settle().await;
    let text = |record: testkit::collect::Record| record.value.and_then(|v| v.as_str().map(str::to_owned));
    run.out.records.drain(..).filter_map(text).collect()
}

#[test]
fn lines_end_as_kafka_ends_them() {
    block_on(async {
        let folder = Folder::new();
        append(&folder.path("app.log"), b"unix\nwindows\r\nmac\rempty:\n\n\xff\xfe bad\npart");
        let mut run = started(&tailing(&folder), Positions::new()).await;
        let expected = ["unix", "windows", "mac", "empty:", "", "\u{fffd}\u{fffd} bad"];
        assert_eq!(take(&mut run).await, expected);
        append(&folder.path("app.log"), "ial");
        assert_eq!(take(&mut run).await, Vec::<String>::new());
        append(&folder.path("app.log"), " line\n");
        assert_eq!(take(&mut run).await, ["partial line"]);
        run.stop().await;
    });
}

#[test]
fn positions_are_kafkas_with_ours_beside() {
    block_on(async {
        let folder = Folder::new();
        append(&folder.path("app.log"), "one\ntwo\nthree\n");
        let mut run = started(&tailing(&folder), Positions::new()).await;
        run.settle().await;
        let record = &run.out.records[1];
        let partition = record.partition.to_object();
        assert_eq!(partition["filename"], folder.text("app.log"));
        let position = record.position.to_object();
        let offset = position["position"].as_u64().expect("a number");
        let step = position.get("step").and_then(|step| step.as_u64()).unwrap_or(0);
        assert_eq!(offset + step, 8);
        let partition = record.partition.clone();
        run.stop().await;
        // One that Kafka's connector wrote, or a user.
        let from = Positions::from([(partition, Position::new(r#"{"position":4}"#))]);
        let mut run = started(&tailing(&folder), from).await;
        assert_eq!(take(&mut run).await, ["two", "three"]);
        run.stop().await;
    });
}

#[test]
fn a_file_that_comes_later_is_waited_for() {
    block_on(async {
        let folder = Folder::new();
        let mut config = tailing(&folder);
        config.insert("start.from".to_owned(), "end".to_owned());
        let mut run = started(&config, Positions::new()).await;
        assert_eq!(take(&mut run).await, Vec::<String>::new());
        append(&folder.path("app.log"), "first\n");
        assert_eq!(take(&mut run).await, ["first"]);
        assert_eq!(run.reporter.warned("file.missing"), 1);
        run.stop().await;
    });
}

#[test]
fn a_rotated_file_is_finished_first() {
    block_on(async {
        let folder = Folder::new();
        let (log, old) = (folder.path("app.log"), folder.path("app.log.1"));
        append(&log, "a1\na2\n");
        let mut run = started(&tailing(&folder), Positions::new()).await;
        assert_eq!(take(&mut run).await, ["a1", "a2"]);
        append(&log, "a3\n");
        fs::rename(&log, &old).expect("renamed");
        append(&log, "b1\n");
        // The writer has not noticed yet; its last line has no end.
        append(&old, "a4\na5");
        let start = Instant::now();
        let mut came = Vec::new();
        while came.len() < 4 && start.elapsed() < Duration::from_secs(10) {
            came.extend(take(&mut run).await);
        }
        assert_eq!(came, ["a3", "a4", "a5", "b1"]);
        append(&log, "b2\n");
        assert_eq!(take(&mut run).await, ["b2"]);
        // Renamed, and nothing new for a while.
        fs::rename(&log, folder.path("app.log.0")).expect("renamed");
        append(&folder.path("app.log.0"), "b3\n");
        assert_eq!(take(&mut run).await, ["b3"]);
        append(&log, "c1\n");
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(take(&mut run).await, ["c1"]);
        run.stop().await;
    });
}

#[test]
fn files_rotated_while_stopped_are_read_in_order() {
    block_on(async {
        let folder = Folder::new();
        let log = folder.path("app.log");
        let rotate = || {
            for number in (1..5).rev() {
                let _ = fs::rename(
                    folder.path(&format!("app.log.{number}")),
                    folder.path(&format!("app.log.{}", number + 1)),
                );
            }
            fs::rename(&log, folder.path("app.log.1")).expect("renamed");
        };
        append(&folder.path("app.log.9"), "of another life\n");
        append(&log, "a1\na2\n");
        let mut run = started(&tailing(&folder), Positions::new()).await;
        run.settle().await;
        let stored =
            Positions::from([(run.out.records[0].partition.clone(), run.out.records[0].position.clone())]);
        run.stop().await;
        append(&log, "a3\n");
        for name in ["b", "c", "d"] {
            rotate();
            append(&log, format!("{name}1\n{name}2\n"));
        }
        let mut run = started(&tailing(&folder), stored).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(take(&mut run).await, ["a2", "a3", "b1", "b2", "c1", "c2", "d1", "d2"]);
        assert_eq!(run.reporter.warnings(), []);
        let stored = run.commit().await;
        run.stop().await;
        // A file that cannot be found any more is said.
        rotate();
        fs::remove_file(folder.path("app.log.1")).expect("removed");
        append(&log, "e1\n");
        let mut run = started(&tailing(&folder), stored).await;
        assert_eq!(take(&mut run).await, ["e1"]);
        // Where the file system gives the new file the old one's inode, it looks like a truncated one.
        assert_eq!(run.reporter.warned("file.rotated_away") + run.reporter.warned("file.truncated"), 1);
        run.stop().await;
    });
}

#[test]
fn a_truncated_file_is_read_from_its_start() {
    block_on(async {
        let folder = Folder::new();
        let log = folder.path("app.log");
        append(&log, "one\ntwo\n");
        let mut run = started(&tailing(&folder), Positions::new()).await;
        assert_eq!(take(&mut run).await, ["one", "two"]);
        // copytruncate, shorter than before; then, between two looks, longer than before.
        fs::write(&log, "x\n").expect("written");
        assert_eq!(take(&mut run).await, ["x"]);
        assert_eq!(run.reporter.warned("file.truncated"), 1);
        fs::write(&log, "longer than all before\n").expect("written");
        assert_eq!(take(&mut run).await, ["longer than all before"]);
        assert_eq!(run.reporter.warned("file.truncated"), 2);
        let stored = run.commit().await;
        run.stop().await;
        fs::write(&log, "written anew while nobody looked\n").expect("written");
        let mut run = started(&tailing(&folder), stored).await;
        assert_eq!(take(&mut run).await, ["written anew while nobody looked"]);
        assert_eq!(run.reporter.warned("file.truncated"), 1);
        run.stop().await;
    });
}

#[test]
fn an_editor_that_saves_repeats_nothing() {
    block_on(async {
        let folder = Folder::new();
        let (log, new) = (folder.path("app.log"), folder.path("app.log.swp"));
        append(&log, "one\ntwo\n");
        let mut run = started(&tailing(&folder), Positions::new()).await;
        assert_eq!(take(&mut run).await, ["one", "two"]);
        fs::write(&new, "one\ntwo\nthree\n").expect("written");
        fs::rename(&new, &log).expect("renamed");
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(take(&mut run).await, ["three"]);
        run.stop().await;
    });
}

#[test]
fn long_lines_are_refused_or_cut() {
    block_on(async {
        let folder = Folder::new();
        append(&folder.path("app.log"), format!("short\n{}\nafter\n", "x".repeat(5_000_000)));
        let mut config = tailing(&folder);
        config.insert("max.line.bytes".to_owned(), "1000000".to_owned());
        let mut run = started(&config, Positions::new()).await;
        let error = run.poll(100, Duration::from_millis(100)).await.expect_err("a line that is too long");
        assert_eq!(error.code, "file.line_too_long");
        let text = error.to_string();
        for name in ["byte 6", "app.log", "1000000", "max.line.bytes"] {
            assert!(text.contains(name), "{name} is not named: {text}");
        }
        assert_eq!(take(&mut run).await, ["short", "after"]);
        run.stop().await;
        config.insert("line.too.long".to_owned(), "truncate".to_owned());
        let mut run = started(&config, Positions::new()).await;
        assert_eq!(take(&mut run).await, ["short", "x".repeat(1_000_000).as_str(), "after"]);
        run.stop().await;
    });
}

#[test]
fn new_lines_come_at_once() {
    block_on(async {
        let folder = Folder::new();
        append(&folder.path("app.log"), "first\n");
        let mut run = started(&tailing(&folder), Positions::new()).await;
        run.settle().await;
        let path = folder.path("app.log");
        let mut delays = Vec::new();
        for _ in 0..20 {
            let path = path.clone();
            let writer = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(30));
                append(&path, "line\n");
                Instant::now()
            });
            run.poll(10, Duration::from_secs(5)).await.expect("a poll");
            let came = Instant::now();
            assert_eq!(run.out.in_batch(), 1);
            delays.push(came.saturating_duration_since(writer.join().expect("written")));
        }
        delays.sort();
        // Generous: the machine may be busy. Without load it is 3 ms.
        assert!(
            delays[10] < Duration::from_millis(50),
            "half of the lines took longer than {:?}",
            delays[10]
        );
        run.stop().await;
    });
}

/// S11 with a real process that is killed: what it has given and committed is in files beside the log.
#[test]
fn nothing_is_lost_when_the_reader_is_killed() {
    if let Some(folder) = child::role("reader") {
        return block_on(read_until_killed(&folder));
    }
    let folder = Folder::new();
    let (log, given) = (folder.path("app.log"), folder.path("given"));
    let mut ledger = Ledger::new();
    let mut next = 0;
    for round in 0..12u64 {
        let test = "source::nothing_is_lost_when_the_reader_is_killed";
        let mut reader = child::spawn(test, "reader", &folder.text(""));
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(150 + 31 * round) {
            let events = Event::series(next, 50, 8);
            next += 50;
            append(&log, events.iter().map(|event| format!("{event}\n")).collect::<String>());
            ledger.written(events);
            std::thread::sleep(Duration::from_millis(2));
        }
        if round % 4 == 3 {
            fs::rename(&log, folder.path(&format!("app.log-2026112{}", round / 4))).expect("renamed");
        }
        assert!(reader.is_running(), "the reader ended by itself");
        reader.kill();
    }
    let mut reader =
        child::spawn("source::nothing_is_lost_when_the_reader_is_killed", "reader", &folder.text(""));
    append(&log, format!("{}\n", Event::new(0, next)));
    ledger.written([Event::new(0, next)]);
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let mut ledger = ledger.clone();
        let text = fs::read_to_string(&given).unwrap_or_default();
        ledger.arrived(text.lines().filter_map(|line| line.parse::<Event>().ok()));
        let report = ledger.report();
        if report.lost.is_empty() || Instant::now() > deadline {
            report.assert_at_least_once();
            assert!(report.written > 1000, "{report}");
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    reader.kill();
}

async fn read_until_killed(folder: &str) {
    use std::io::Write;
    let folder = std::path::Path::new(folder);
    let name = folder.join("app.log").display().to_string();
    let config = config(&[("file", &name), ("topic", "lines"), ("rotate.wait.ms", "20")]);
    let partition = SourcePartition::of("filename", name);
    let stored = fs::read_to_string(folder.join("position")).ok();
    let parse = |text: String| {
        let object = serde_json::from_str(&text).expect("a position");
        (partition.clone(), Position::from_object(object).expect("a position"))
    };
    let mut run = started(&config, stored.map(parse).into_iter().collect()).await;
    let mut given =
        fs::OpenOptions::new().append(true).create(true).open(folder.join("given")).expect("a file");
    loop {
        run.poll(13, Duration::from_millis(20)).await.expect("a poll");
        let line = |record: testkit::collect::Record| {
            record.value.and_then(|v| v.as_str().map(|text| format!("{text}\n")))
        };
        let lines: String = run.out.records.drain(..).filter_map(line).collect();
        given.write_all(lines.as_bytes()).expect("written");
        for position in run.out.positions().values() {
            let text = serde_json::to_string(&position.to_object()).expect("text");
            fs::write(folder.join("position.new"), text).expect("written");
            fs::rename(folder.join("position.new"), folder.join("position")).expect("renamed");
        }
    }
}
