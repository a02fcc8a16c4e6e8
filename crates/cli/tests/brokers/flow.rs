//! Changes of a database through a worker, on a broker of a test's own, into a file; and a count of both ends.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use testkit::broker::{Launch, PrivateBroker};
use testkit::ledger::{Event, Ledger};

use crate::changes::{self, Changes};
use crate::common::{Home, PATIENCE, Process, Worker, until};
use crate::unique;

const KEYS: u32 = 20;

/// One test on each broker, which gets the broker and more settings of the worker.
macro_rules! on_each_own_broker {
    ($test:path) => {
        use testkit::broker::{kafka, nats, rabbitmq, redis, rocketmq};

        #[test]
        fn on_kafka() {
            $test(kafka::Kafka::of_services(), "");
        }

        #[test]
        fn on_rocketmq() {
            $test(rocketmq::RocketMq::default(), "");
        }

        #[test]
        fn on_rabbitmq() {
            $test(rabbitmq::RabbitMq, "");
        }

        #[test]
        fn on_nats() {
            $test(nats::Nats::default(), "");
        }

        #[test]
        fn on_redis() {
            $test(redis::Redis::of_services(), &format!("driver.password={}\n", redis::PASSWORD));
        }
    };
}
pub(crate) use on_each_own_broker;

/// From the table, over the broker, into the file.
pub struct Flow {
    name: &'static str,
    pub broker: PrivateBroker,
    pub changes: Changes,
    home: Home,
    /// The worker's configuration.
    file: String,
    pub worker: Worker,
    pub arrived: Arrived,
}

impl Flow {
    pub fn start(launch: impl Launch + 'static, settings: &str) -> Self {
        let name = launch.name();
        let broker = PrivateBroker::start(launch);
        let changes = Changes::new(unique(&format!("flow_{name}")), KEYS);
        let home = Home::new();
        let url = format!("oms:{name}://{}/default:default", broker.place().address());
        let file = home.write("worker.conf", &format!("omsDriverUrl={url}\n{settings}"));
        let worker = home.worker(&["-c", &file]);
        let to = home.file("to.txt");
        let arrived = Arrived::in_file(&to);
        let mut flow = Self { name, broker, changes, home, file, worker, arrived };
        flow.worker.create("from", &flow.changes.source());
        flow.changes.begin();
        until("the queue is there", || (flow.worker.get("/queues/changes").0 == 200).then_some(()));
        flow.worker.create(
            "to",
            &json!({"connector.class": "FileStreamSink", "file": to, "topics": "changes", "value.converter": "StringConverter"}),
        );
        flow.catches_up("at first");
        flow
    }

    /// Waits until what was committed before now is there.
    #[track_caller]
    pub fn catches_up(&mut self, when: &str) {
        self.arrived.reach(self.changes.next(), when);
    }

    /// A worker again, which is up.
    #[track_caller]
    pub fn start_worker(&mut self) {
        self.worker = self.home.worker(&["-c", &self.file]);
    }

    /// The same, which nobody waits for.
    pub fn launch_worker(&self) -> Process {
        Process::start(self.home.worker_command(&["-c", &self.file]))
    }

    /// Ends the load and the worker: nothing was lost, and the order of each key kept.
    pub fn ends_well(mut self) {
        let mut ledger = Ledger::new();
        let written = self.changes.end();
        // The last of each key.
        self.arrived.reach(self.changes.next() - u64::from(KEYS), "in the end");
        ledger.written(written);
        self.worker.process.stop();
        self.arrived.read();
        ledger.arrived(std::mem::take(&mut self.arrived.events));
        let report = ledger.report();
        println!("{}: {report}", self.name);
        report.assert_at_least_once();
        assert!(report.written > 2000, "the load was a load: {report}");
    }

    /// What the worker's log warns of.
    pub fn warnings(&self) -> Vec<String> {
        let log = self.home.file("logs/omsconnect/omsconnect.log");
        let text = std::fs::read_to_string(log).expect("the worker's log");
        let told = |line: &&str| line.contains(" WARN ") || line.contains(" ERROR ");
        text.lines().filter(told).map(str::to_owned).collect()
    }
}

/// Prints the worker's log where a test fails.
impl Drop for Flow {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the worker warned of:\n{}", self.warnings().join("\n"));
        }
    }
}

/// The file of the sink, each line of which is a change.
pub struct Arrived {
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
    pub fn goes_on(&mut self, patience: Duration, when: &str) {
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
