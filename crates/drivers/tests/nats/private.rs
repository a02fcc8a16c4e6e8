//! A server of the test's own, which it may end, freeze and fill.

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream;
use async_trait::async_trait;
use drivers::nats::NatsDriver;
use futures::StreamExt;
use openmessaging::{AccessPointUrl, Driver, Properties, QueueSpec};
use testkit::broker::PrivateBroker;
use testkit::broker::nats::{Nats, greets, server};
use testkit::driver::{DriverFixture, Wrong};
use testkit::proxy::Proxy;
use testkit::server::{Access, Foreign, ServerFixture};

use crate::accounts::{self, Extra};
use crate::fixture::{url, wrong};

pub struct Private {
    pub broker: PrivateBroker,
    extras: Vec<Child>,
}

impl Private {
    pub fn start() -> Self {
        Self::with(Nats::default())
    }

    pub fn with(launch: Nats) -> Self {
        Self { broker: PrivateBroker::start(launch), extras: Vec::new() }
    }

    pub fn address(&self) -> String {
        self.broker.place().address()
    }

    /// NATS' own client.
    pub async fn client(&self) -> jetstream::Context {
        let client = async_nats::connect(self.address()).await.expect("the server's own client connects");
        jetstream::new(client)
    }

    /// Starts a server on one of the other ports.
    pub fn extra(&mut self, number: usize, extra: &Extra) -> u16 {
        let place = self.broker.place().clone();
        let port = place.ports[1 + number];
        let log: PathBuf = place.folder.join(format!("server-extra-{port}.log"));
        let open = || std::fs::File::create(&log).expect("a log");
        let mut command = server(&place, port, &extra.configuration);
        command.env("OMS_TEST_INSTANCE", &place.folder).stdin(Stdio::null()).stdout(open()).stderr(open());
        self.extras.push(command.spawn().expect("another server"));
        let begin = std::time::Instant::now();
        // One that begins with TLS greets nobody.
        let answers = || {
            if extra.greets {
                greets(port)
            } else {
                std::net::TcpStream::connect(("127.0.0.1", port)).map(|_| ()).map_err(|e| e.to_string())
            }
        };
        while let Err(error) = answers() {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            assert!(
                begin.elapsed() < Duration::from_secs(20),
                "another server does not answer ({error}): {log}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        port
    }

    async fn limit(&self, queue: &str, bytes: i64) {
        let client = self.client().await;
        let mut stream = client.get_stream(queue).await.expect("the stream");
        let mut config = stream.info().await.expect("its configuration").config.clone();
        config.max_bytes = bytes;
        config.discard = jetstream::stream::DiscardPolicy::New;
        client.update_stream(config).await.expect("updated");
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        for child in &mut self.extras {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[async_trait]
impl DriverFixture for Private {
    fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(NatsDriver)
    }

    fn url(&self) -> AccessPointUrl {
        url(&self.address(), "default")
    }

    fn properties(&self) -> Properties {
        Properties::new()
    }

    async fn wrong(&mut self) -> Vec<Wrong> {
        wrong(&self.address())
    }

    async fn crash(&mut self) {
        self.broker.kill();
        self.broker.start_again();
    }

    fn retain_little(&self, spec: &mut QueueSpec) -> usize {
        spec.retention_bytes = Some(64 * 1024);
        256 * 1024
    }
}

#[async_trait]
impl ServerFixture for Private {
    fn broker(&mut self) -> &mut PrivateBroker {
        &mut self.broker
    }

    async fn proxied(&mut self) -> (AccessPointUrl, Proxy) {
        let proxy = Proxy::start(0, &self.address());
        (url(&proxy.address(), "default"), proxy)
    }

    fn url_in(&self, region: &str, namespace: &str) -> AccessPointUrl {
        url(&self.address(), &format!("{region}:{namespace}"))
    }

    /// As an operator would: the stream may hold little, and refuses what is more.
    async fn fill(&mut self, queue: &str) {
        self.limit(queue, 64 * 1024).await;
    }

    async fn make_room(&mut self, queue: &str) {
        self.limit(queue, -1).await;
    }

    async fn write_foreign(&self, queue: &str, messages: &[Foreign]) {
        let client = self.client().await;
        let config = jetstream::stream::Config {
            name: queue.to_owned(),
            subjects: vec![queue.to_owned()],
            ..Default::default()
        };
        client.get_or_create_stream(config).await.expect("a stream");
        for Foreign { key, body } in messages {
            let mut headers = async_nats::HeaderMap::new();
            if let Some(key) = key {
                headers.insert("Oms-Key", std::str::from_utf8(key).expect("a key of text"));
            }
            let sent = client.publish_with_headers(queue.to_owned(), headers, body.clone().into()).await;
            sent.expect("sent").await.expect("acknowledged");
        }
    }

    async fn read_foreign(&self, queue: &str, count: usize) -> Vec<Foreign> {
        let stream = self.client().await.get_stream(queue).await.expect("the stream");
        let config = jetstream::consumer::pull::Config::default();
        let consumer = stream.create_consumer(config).await.expect("a consumer");
        let mut messages = consumer.fetch().max_messages(count).messages().await.expect("messages");
        let mut read = Vec::new();
        while let Some(message) = messages.next().await {
            let message = message.expect("a message");
            assert_eq!(message.subject.as_str(), queue, "the plain name");
            let header = |name: &str| {
                message
                    .headers
                    .as_ref()
                    .and_then(|headers| headers.get(name))
                    .map(|value| value.as_str().to_owned())
            };
            assert_eq!(header("source").as_deref(), Some("shop"));
            read.push(Foreign {
                key: header("Oms-Key").map(String::into_bytes),
                body: message.payload.to_vec(),
            });
            message.ack().await.expect("acknowledged");
        }
        read
    }

    async fn accesses(&mut self) -> Vec<Access> {
        accounts::accesses(self)
    }
}
