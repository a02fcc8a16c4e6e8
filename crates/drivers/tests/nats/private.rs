//! A server of the test's own, which it may end, freeze and fill.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream;
use async_trait::async_trait;
use drivers::nats::NatsDriver;
use futures::StreamExt;
use openmessaging::{AccessPointUrl, Driver, Properties, QueueSpec};
use testkit::broker::{Instance, Launch, PrivateBroker};
use testkit::driver::{DriverFixture, Wrong};
use testkit::proxy::Proxy;
use testkit::server::{Access, End, Foreign, ServerFixture};
use testkit::services::recorded;

use crate::accounts::{self, Extra};
use crate::fixture::{url, wrong};

/// The first port is the server's, the others are for servers with other ways to connect.
pub const PORTS: usize = 1 + accounts::EXTRAS;

pub struct Nats {
    pub configuration: String,
}

impl Default for Nats {
    fn default() -> Self {
        Self { configuration: "max_payload: 8MB\n".to_owned() }
    }
}

pub fn program() -> String {
    match std::env::var("OMS_TEST_NATS_SERVER") {
        // Another release than the recorded one.
        Ok(program) if !program.is_empty() => program,
        _ => recorded("nats")["command"][0].as_str().expect("the server's program").to_owned(),
    }
}

/// A server that stays in the foreground, on that port.
pub fn server(place: &Instance, port: u16, configuration: &str) -> Command {
    let file = place.folder.join(format!("nats-{port}.conf"));
    std::fs::write(&file, configuration).expect("a configuration");
    let mut command = Command::new(program());
    command.args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-c"]).arg(&file);
    command.arg("-sd").arg(place.folder.join(format!("data-{port}")));
    command
}

impl Launch for Nats {
    fn name(&self) -> &'static str {
        "nats"
    }

    fn ports(&self) -> usize {
        PORTS
    }

    fn prepare(&self, _place: &Instance) {}

    fn commands(&self, place: &Instance) -> Vec<Command> {
        vec![server(place, place.port(), &self.configuration)]
    }

    fn probe(&self, place: &Instance) -> Result<(), String> {
        greets(place.port())
    }
}

/// Whether a server says who it is.
pub fn greets(port: u16) -> Result<(), String> {
    use std::io::Read;
    let problem = |error: std::io::Error| error.to_string();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).map_err(problem)?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).map_err(problem)?;
    let mut start = [0; 4];
    stream.read_exact(&mut start).map_err(problem)?;
    if &start == b"INFO" { Ok(()) } else { Err("no greeting".into()) }
}

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
    async fn end(&mut self, how: End) {
        match how {
            End::Stop => self.broker.stop(),
            End::Kill => self.broker.kill(),
        }
    }

    async fn start(&mut self) {
        self.broker.start_again();
    }

    async fn freeze(&mut self) {
        self.broker.freeze();
    }

    async fn thaw(&mut self) {
        self.broker.thaw();
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
