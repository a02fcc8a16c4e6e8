//! A worker under load whose broker is stopped and killed: what a database committed arrives at a sink, in its order.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use testkit::broker::{End, Launch, PrivateBroker, kafka, nats, rabbitmq, redis, rocketmq};
use testkit::ledger::{Event, Ledger};

use crate::changes::{self, Changes};
use crate::common::{Home, PATIENCE, until};
use crate::unique;

/// How soon changes arrive again once the broker is back.
const RECOVERY: Duration = Duration::from_secs(5);

const KEYS: u32 = 20;

/// A worker has some clients, and each may say that its connection is lost, and that it is back.
const LINES: usize = 12;

#[test]
fn on_kafka() {
    changes_arrive(kafka::Kafka::of_services(), "");
}

#[test]
fn on_rocketmq() {
    changes_arrive(rocketmq::RocketMq::default(), "");
}

#[test]
fn on_rabbitmq() {
    changes_arrive(rabbitmq::RabbitMq, "");
}

#[test]
fn on_nats() {
    changes_arrive(nats::Nats::default(), "");
}

#[test]
fn on_redis() {
    changes_arrive(redis::Redis::of_services(), &format!("driver.password={}\n", redis::PASSWORD));
}

/// Prints the worker's log where a test fails.
struct Log<'a>(&'a Home);

impl Drop for Log<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the worker warned of:\n{}", warnings(self.0).join("\n"));
        }
    }
}

fn changes_arrive(launch: impl Launch + 'static, settings: &str) {
    let name = launch.name();
    let mut broker = PrivateBroker::start(launch);
    let mut changes = Changes::new(unique(&format!("outage_{name}")), KEYS);
    let home = Home::new();
    let url = format!("oms:{name}://{}/default:default", broker.place().address());
    let file = home.write("worker.conf", &format!("omsDriverUrl={url}\n{settings}"));
    let worker = home.worker(&["-c", &file]);
    let _log = Log(&home);
    let to = home.file("to.txt");
    let mut arrived = Arrived::in_file(&to);
    worker.create("from", &changes.source());
    changes.begin();
    until("the queue is there", || (worker.get("/queues/changes").0 == 200).then_some(()));
    worker.create(
        "to",
        &json!({"connector.class": "FileStreamSink", "file": to, "topics": "changes", "value.converter": "StringConverter"}),
    );
    arrived.reach(changes.next(), "at first");
    for how in [End::Stop, End::Kill, End::Kill] {
        let before = warnings(&home);
        broker.end(how);
        std::thread::sleep(Duration::from_millis(1500));
        broker.start_again();
        arrived.goes_on(RECOVERY, &format!("after {how:?}"));
        // And what has piled up.
        arrived.reach(changes.next(), "caught up");
        let lines = warnings(&home).split_off(before.len());
        assert!(!lines.is_empty(), "an outage is told");
        assert!(lines.len() <= LINES, "{} lines about one outage: {lines:#?}", lines.len());
    }
    let mut ledger = Ledger::new();
    let written = changes.end();
    // The last of each key.
    arrived.reach(changes.next() - u64::from(KEYS), "in the end");
    ledger.written(written);
    worker.stop();
    arrived.read();
    ledger.arrived(arrived.events);
    let report = ledger.report();
    println!("{name}: {report}");
    report.assert_at_least_once();
    assert!(report.written > 2000, "the load was a load: {report}");
}

/// The file of the sink, each line of which is a change.
struct Arrived {
    file: File,
    /// The begin of a line that is not whole yet.
    rest: String,
    events: Vec<Event>,
    newest: HashMap<u32, u64>,
}

impl Arrived {
    fn in_file(path: &Path) -> Self {
        let file = File::create_new(path).expect("the sink's file");
        drop(file);
        let file = File::open(path).expect("the sink's file");
        Self { file, rest: String::new(), events: Vec::new(), newest: HashMap::new() }
    }

    fn read(&mut self) {
        self.file.read_to_string(&mut self.rest).expect("text");
        let whole = self.rest.rfind('\n').map_or(0, |end| end + 1);
        for line in self.rest.drain(..whole).collect::<String>().lines() {
            let event = changes::event(line);
            self.events.push(event);
            let newest = self.newest.entry(event.key).or_default();
            *newest = event.number.max(*newest);
        }
    }

    /// Waits until of each key that change is there, or a later one.
    #[track_caller]
    fn reach(&mut self, number: u64, when: &str) {
        self.until(PATIENCE, when, |_, newest| newest >= number);
    }

    /// Waits until of each key something newer is there than there is now.
    #[track_caller]
    fn goes_on(&mut self, patience: Duration, when: &str) {
        self.read();
        let before = self.newest.clone();
        self.until(patience, when, |key, newest| newest > before.get(&key).copied().unwrap_or_default());
    }

    #[track_caller]
    fn until(&mut self, patience: Duration, when: &str, is_there: impl Fn(u32, u64) -> bool) {
        let begin = Instant::now();
        loop {
            self.read();
            let late: Vec<_> = (0..KEYS)
                .map(|key| (key, self.newest.get(&key).copied().unwrap_or_default()))
                .filter(|(key, newest)| !is_there(*key, *newest))
                .collect();
            if late.is_empty() {
                println!("{when}: {} ms", begin.elapsed().as_millis());
                return;
            }
            assert!(
                begin.elapsed() < patience,
                "{when}: not within {patience:?}; keys, and their last changes: {late:?}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// What the worker's log warns of.
fn warnings(home: &Home) -> Vec<String> {
    let log = home.file("logs/omsconnect/omsconnect.log");
    let text = std::fs::read_to_string(log).expect("the worker's log");
    let told = |line: &&str| line.contains(" WARN ") || line.contains(" ERROR ");
    text.lines().filter(told).map(str::to_owned).collect()
}
