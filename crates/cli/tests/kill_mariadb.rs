//! The worker is killed (SIGKILL) again and again while rows of a real MariaDB change, and what arrived at the queue is
//! counted: nothing lost, nothing invented, the order of each key kept.

#[path = "it/changes.rs"]
mod changes;
#[path = "it/common.rs"]
mod common;
#[path = "it/database.rs"]
mod database;

use std::time::{Duration, Instant};

use testkit::ledger::{Event, Ledger};

use changes::Changes;
use common::{Home, until};

const KILLS: u64 = 20;
const KEYS: u32 = 50;

#[test]
fn nothing_is_lost_when_the_worker_is_killed_twenty_times() {
    let mut changes = Changes::new(format!("oms_kill_{}", std::process::id()), KEYS);
    let home = Home::new();
    let mut worker = home.worker(&["--log-level", "info"]);
    worker.create("ledger", &changes.source());
    changes.begin();
    // From right after the start to a while later, in an order that is the same in every run.
    for kill in 0..KILLS {
        std::thread::sleep(Duration::from_millis(kill * 7919 % 1500));
        worker.process.kill();
        worker = home.worker(&[]);
    }
    let mut ledger = Ledger::new();
    let written = changes.end();
    let last = written.last().copied().expect("changes");
    ledger.written(written);
    let arrived = arrived(&home, &worker.url, last);
    worker.stop();
    ledger.arrived(arrived);
    let report = ledger.report();
    println!("{KILLS} kills: {report}");
    report.assert_at_least_once();
    assert!(report.written > 2000, "the load was a load: {report}");
}

/// Everything in the queue, once its end has not moved for two seconds after the last change of its partition was seen.
fn arrived(home: &Home, url: &str, last: Event) -> Vec<Event> {
    let count = || -> u64 {
        let queue = home.run(&["queues", "describe", "changes", "--json", "--worker", url]).json();
        queue["partitions"]
            .as_array()
            .expect("partitions")
            .iter()
            .filter_map(|partition| partition["end"].as_u64())
            .sum()
    };
    let mut seen = (0, Instant::now());
    let total = until("the queue has settled", || {
        let now = count();
        if now != seen.0 {
            seen = (now, Instant::now());
        }
        std::thread::sleep(Duration::from_millis(200));
        (now > 0 && seen.1.elapsed() > Duration::from_secs(2)).then_some(now)
    });
    let limit = total.to_string();
    let messages = home.run(&[
        "tap",
        "changes",
        "--from",
        "begin",
        "--limit",
        &limit,
        "--timeout",
        "60",
        "--json",
        "--worker",
        url,
    ]);
    let events: Vec<Event> = messages
        .json_lines()
        .iter()
        .map(|message| changes::event(message["value"].as_str().expect("text")))
        .collect();
    assert!(events.contains(&last), "the last change, {last}, arrived");
    events
}
