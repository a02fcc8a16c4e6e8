//! A worker with its REST API on a port of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use connect_rest::RestOptions;
use connect_runtime::{Worker, WorkerOptions};
use openmessaging::{MessageBatch, ProducerOptions};
use openmessaging_connector::Registry;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::http::{Answer, request};
use crate::{log, plugins};

pub const JSON: &str = "Content-Type: application/json";

pub struct Served {
    pub address: SocketAddr,
    pub worker: Worker,
    pub folder: tempfile::TempDir,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Served {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut RestOptions)) -> Self {
        log::capture();
        let folder = tempfile::tempdir().expect("a folder");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let url = format!("oms:local://{}/broker", folder.path().display());
        let mut options = WorkerOptions::new("w1", url.parse().expect("a URL"));
        options.address = address.to_string();
        options.drivers = drivers::registry();
        options.plugins = registry();
        options.call_timeout = Duration::from_secs(5);
        options.shutdown_timeout = Duration::from_secs(3);
        let worker = Worker::start(options).await.expect("the worker starts");
        let mut rest = RestOptions::new(address);
        change(&mut rest);
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move { drop(stopped.await) };
        let serving = tokio::spawn(connect_rest::serve(worker.clone(), listener, rest, stopped));
        Self { address, worker, folder, stop: Some(stop), serving }
    }

    /// Ends the server; gives how long it took.
    pub async fn stop_server(&mut self) -> Duration {
        let began = std::time::Instant::now();
        drop(self.stop.take());
        let ended = tokio::time::timeout(Duration::from_secs(20), &mut self.serving).await;
        ended.expect("in time").expect("no panic").expect("no error");
        began.elapsed()
    }

    pub async fn end(mut self) {
        self.stop_server().await;
        self.worker.shutdown().await;
    }

    pub async fn get(&self, target: &str) -> Answer {
        self.request("GET", target, "").await
    }

    /// A request with a body of JSON, or without one.
    pub async fn request(&self, method: &str, target: &str, body: &str) -> Answer {
        let headers: &[&str] = if body.is_empty() { &[] } else { &[JSON] };
        request(self.address, method, target, headers, body).await
    }

    pub async fn create(&self, name: &str, config: Value) -> Answer {
        let body = serde_json::json!({"name": name, "config": config}).to_string();
        self.request("POST", "/connectors", &body).await
    }

    /// Creates a file source that reads `NAME.txt` into the queue NAME.
    pub async fn create_file_source(&self, name: &str) -> PathBuf {
        let file = self.folder.path().join(format!("{name}.txt"));
        let config = serde_json::json!({
            "connector.class": "FileStreamSource", "file": file.display().to_string(), "topic": name,
            "value.converter": "org.apache.kafka.connect.storage.StringConverter",
        });
        let created = self.create(name, config).await;
        assert_eq!(created.status, 201, "{created:?}");
        file
    }

    /// Waits until connector and tasks of `name` are in that state.
    pub async fn until_state(&self, name: &str, state: &str, tasks: usize) -> Value {
        self.until(&format!("{name} is {state}"), &format!("/connectors/{name}/status"), |status| {
            let all = status["tasks"].as_array().expect("tasks");
            let states = all.iter().all(|task| task["state"] == state);
            status["connector"]["state"] == state && states && all.len() == tasks
        })
        .await
    }

    /// Asks until the answer passes, at most 20 s.
    pub async fn until(&self, what: &str, target: &str, passes: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        for _ in 0..400 {
            last = self.get(target).await.json();
            if passes(&last) {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it did not come to pass: {what}; last: {last}");
    }

    /// Sends messages to a queue; a body each.
    pub async fn send(&self, queue: &str, bodies: &[&[u8]]) {
        let mut producer =
            self.worker.access_point().producer(ProducerOptions::default()).await.expect("a producer");
        let mut batch = MessageBatch::new();
        for body in bodies {
            batch.start().finish(&queue.into(), Some(0), 1_700_000_000_000, Some(body));
        }
        let report = producer.send(batch).await;
        assert!(report.error.is_none(), "{report:?}");
        producer.close().await.expect("closed");
    }
}

fn registry() -> Registry {
    let mut registry = Registry::new();
    // Not all connectors: in a build of the whole workspace the real one would stand before the stand-in.
    connectors::file::register(&mut registry);
    connect_runtime::converter::register(&mut registry);
    plugins::register(&mut registry);
    registry
}

/// A configuration of the stand-in for the original's connector.
pub fn original_config(extra: Value) -> Value {
    let mut config = serde_json::json!({
        "connector.class": plugins::CLASS, "mysqlAddr": "localhost", "mysqlUsername": "me", "mysqlPassword": "hunter2",
    });
    let extra = extra.as_object().expect("an object").clone();
    config.as_object_mut().expect("an object").extend(extra);
    config
}
