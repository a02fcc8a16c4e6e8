//! A worker on a folder of its own, with connectors whose faults are configured.

pub mod plugins;

use std::sync::Arc;
use std::time::Duration;

use connect_runtime::cluster::{RunState, TargetState};
use connect_runtime::worker::PutMode;
use connect_runtime::{Worker, WorkerOptions};
use openmessaging::{ConsumerOptions, Driver, DriverRegistry, QueuePartition, StartAt};
use openmessaging_connector::{Config, Registry};
use testkit::faults::{FaultScript, FaultyDriver};

/// A folder in which workers live one after the other.
pub struct Place {
    folder: tempfile::TempDir,
    pub script: FaultScript,
}

/// A message as it arrived: partition, key, body.
pub type Arrived = (u32, Option<String>, String);

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder, script: FaultScript::for_queues("out") }
    }

    pub fn options(&self) -> WorkerOptions {
        let url = format!("oms:local://{}/broker", self.folder.path().display());
        let mut options = WorkerOptions::new("w1", url.parse().expect("a URL"));
        let inner: Arc<dyn Driver> = drivers::registry().find("local").expect("local").clone();
        options.drivers = DriverRegistry::new();
        options.drivers.register(Arc::new(FaultyDriver { inner, script: self.script.clone() }));
        options.plugins = registry();
        options.call_timeout = Duration::from_secs(4);
        options.shutdown_timeout = Duration::from_secs(3);
        options
    }

    pub async fn worker(&self) -> Worker {
        Worker::start(self.options()).await.expect("the worker starts")
    }
}

pub fn registry() -> Registry {
    let mut registry = Registry::new();
    connect_runtime::converter::register(&mut registry);
    plugins::register(&mut registry);
    registry
}

pub fn config(pairs: &[(&str, &str)]) -> Config {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub async fn create(worker: &Worker, name: &str, pairs: &[(&str, &str)]) {
    worker.put_connector(name, config(pairs), PutMode::Create, None).await.expect("created");
}

/// Waits until `check` holds, at most 20 s.
pub async fn until<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..400 {
        if let Some(value) = check().await {
            return value;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it did not come to pass: {what}");
}

pub fn task_state(worker: &Worker, name: &str, task: u32) -> Option<RunState> {
    let status = worker.connector_status(name)?;
    status.tasks.iter().find(|status| status.id == task).map(|status| status.work.state)
}

pub async fn task_is(worker: &Worker, name: &str, state: RunState) {
    until(&format!("{name}'s task is {state}"), async || {
        (task_state(worker, name, 0) == Some(state)).then_some(())
    })
    .await;
}

pub fn trace(worker: &Worker, name: &str) -> String {
    let status = worker.connector_status(name).expect("known");
    status.tasks.first().and_then(|task| task.work.trace.clone()).unwrap_or_default()
}

pub async fn set(worker: &Worker, name: &str, target: TargetState) {
    worker.set_target(name, target).await.expect("set");
}

/// Everything in a queue, partition by partition.
pub async fn messages(worker: &Worker, queue: &str) -> Vec<Arrived> {
    let access_point = worker.access_point();
    let Ok(description) = access_point.resources().describe_queue(queue).await else { return Vec::new() };
    let mut arrived = Vec::new();
    for partition in &description.partitions {
        let mut consumer = access_point.pull_consumer(ConsumerOptions::default()).await.expect("a consumer");
        let at = QueuePartition::new(queue, partition.partition);
        consumer.assign(&[(at.clone(), StartAt::Begin)]).await.expect("assigned");
        while consumer.position(&at).unwrap_or(0) < partition.end {
            let batch =
                consumer.poll(1 << 20, Duration::from_secs(5)).await.expect("polled").expect("a batch");
            for message in batch.messages.iter() {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                arrived.push((
                    partition.partition,
                    message.key.map(text),
                    message.body.map(text).unwrap_or_default(),
                ));
            }
        }
        consumer.close().await.expect("closed");
    }
    arrived
}

/// Waits until a queue holds at least `count` messages.
pub async fn arrived(worker: &Worker, queue: &str, count: usize) -> Vec<Arrived> {
    until(&format!("{count} messages in {queue}"), async || {
        let arrived = messages(worker, queue).await;
        (arrived.len() >= count).then_some(arrived)
    })
    .await
}
