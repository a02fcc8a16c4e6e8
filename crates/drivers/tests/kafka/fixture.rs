//! The shared broker and private ones, as fixtures of the suites.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use drivers::kafka::KafkaDriver;
use openmessaging::{AccessPointUrl, Driver, Properties, QueueSpec, StatusCode};
use testkit::broker::{PrivateBroker, certificate};
use testkit::driver::{DriverFixture, Wrong};
use testkit::proxy::Proxy;
use testkit::server::{Access, Foreign, ServerFixture};
use testkit::services::{broker_address, recorded};

use crate::foreign::Tools;
use testkit::broker::kafka::{Kafka, MUTUAL, PASSWORD, PROXIED, PROXY, SASL, SASL_TLS, TLS};

pub fn url(text: &str) -> AccessPointUrl {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

pub fn properties(pairs: &[(&str, &str)]) -> Properties {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

/// A port on which nobody listens.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").to_string()
}

fn retain_little(spec: &mut QueueSpec) -> usize {
    spec.retention_bytes = Some(64 * 1024);
    spec.properties.insert("segment.bytes".to_owned(), "1048576".to_owned());
    1024 * 1024
}

/// The broker that all tests use.
pub struct Shared {
    address: String,
}

impl Shared {
    pub fn new() -> Self {
        Self { address: broker_address("kafka") }
    }
}

fn case(name: &str, address: &str, given: &[(&str, &str)], status: StatusCode, names: &[&str]) -> Wrong {
    Wrong {
        name: name.to_owned(),
        url: url(&format!("oms:kafka://{address}/default")),
        properties: properties(given),
        status,
        names: names.iter().map(|name| name.to_string()).collect(),
        secrets: vec!["wrong-hush".to_owned()],
    }
}

#[async_trait]
impl DriverFixture for Shared {
    fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(KafkaDriver)
    }

    fn url(&self) -> AccessPointUrl {
        url(&format!("oms:kafka://{}/default", self.address))
    }

    async fn wrong(&mut self) -> Vec<Wrong> {
        let (address, nobody) = (self.address.as_str(), nobody());
        let entry = recorded("kafka");
        let more = |key: &str| entry["more"][key].as_str().expect("state.json is whole").to_owned();
        let (tls, sasl) = (more("tls"), more("sasl"));
        // One takes connections and says nothing, the other one speaks HTTP.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let silent_address = silent.local_addr().expect("its address").to_string();
        std::mem::forget(silent);
        let web = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let web_address = web.local_addr().expect("its address").to_string();
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = web.accept() {
                let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n");
            }
        });
        let (unavailable, unauthorized) = (StatusCode::Unavailable, StatusCode::Unauthorized);
        let user = [("user", "admin"), ("password", "wrong-hush")];
        let scram = [user[0], user[1], ("sasl.mechanism", "SCRAM-SHA-256")];
        vec![
            case("nobody there", &nobody, &[], unavailable, &[&nobody]),
            case("says nothing", &silent_address, &[], StatusCode::Timeout, &[&silent_address]),
            case("no Kafka", &web_address, &[], unavailable, &[&web_address]),
            case("a wrong password", &sasl, &user, unauthorized, &[&sasl, "admin"]),
            case("a wrong password, SCRAM", &sasl, &scram, unauthorized, &[&sasl, "admin"]),
            case("in the URL", &format!("admin:wrong-hush@{sasl}"), &[], unauthorized, &[&sasl]),
            case("no credentials", &sasl, &[], unauthorized, &[&sasl, "user and password"]),
            case("credentials too many", address, &user, unauthorized, &[address, "asks for no credentials"]),
            case("TLS to a plain port", address, &[("tls", "true")], unavailable, &[address, "TLS"]),
            case("plain to a TLS port", &tls, &[], unavailable, &[&tls, "tls=true"]),
            case(
                "an unknown property",
                address,
                &[("usr", "x")],
                StatusCode::BadParameter,
                &["usr", "nearest is user"],
            ),
            case(
                "an unknown setting of the client",
                address,
                &[("client.ack", "all")],
                StatusCode::BadParameter,
                &["client.ack", "nearest is client.acks"],
            ),
        ]
    }

    async fn crash(&mut self) {
        panic!("the shared broker is not to be killed");
    }

    fn retain_little(&self, spec: &mut QueueSpec) -> usize {
        retain_little(spec)
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }
}

/// A broker of the test's own.
pub struct Private {
    disk: Option<SmallDisk>,
    pub broker: PrivateBroker,
    pub tools: Tools,
    proxy: Option<u16>,
}

impl Private {
    pub fn new() -> Self {
        Self::with("")
    }

    pub fn with(more: &str) -> Self {
        let kafka = Kafka::with(more);
        let jars = kafka.jars.clone();
        let broker = PrivateBroker::start(kafka);
        let address = broker.place().address();
        Self { disk: None, broker, tools: Tools { jars, address }, proxy: None }
    }

    fn port(&self, which: usize) -> String {
        format!("127.0.0.1:{}", self.broker.place().ports[which])
    }
}

#[async_trait]
impl DriverFixture for Private {
    fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(KafkaDriver)
    }

    fn url(&self) -> AccessPointUrl {
        url(&format!("oms:kafka://{}/default", self.port(0)))
    }

    fn properties(&self) -> Properties {
        properties(&[("request.timeout.ms", "20000")])
    }

    async fn wrong(&mut self) -> Vec<Wrong> {
        Vec::new()
    }

    async fn crash(&mut self) {
        self.broker.kill();
        self.broker.start_again();
    }

    fn retain_little(&self, spec: &mut QueueSpec) -> usize {
        retain_little(spec)
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }
}

#[async_trait]
impl ServerFixture for Private {
    fn broker(&mut self) -> &mut PrivateBroker {
        &mut self.broker
    }

    async fn proxied(&mut self) -> (AccessPointUrl, Proxy) {
        let proxy = Proxy::start(self.broker.place().ports[PROXY], &self.port(PROXIED));
        self.proxy = Some(proxy.port());
        (url(&format!("oms:kafka://{}/default", proxy.address())), proxy)
    }

    fn url_in(&self, region: &str, namespace: &str) -> AccessPointUrl {
        url(&format!("oms:kafka://{}/{region}:{namespace}", self.port(0)))
    }

    /// Kafka has no state in which it refuses writes: when the disk is full, the broker ends. So it gets a disk with little
    /// room.
    async fn fill(&mut self, _queue: &str) {
        self.broker.stop();
        self.disk = Some(SmallDisk::under(&self.broker.place().folder.join("data")));
        self.broker.start_again();
    }

    /// What an operator does: a larger disk, and the broker started again.
    async fn make_room(&mut self, _queue: &str) {
        self.broker.kill();
        self.disk.as_ref().expect("it was filled").grow();
        self.broker.start_again();
    }

    async fn write_foreign(&self, queue: &str, messages: &[Foreign]) {
        self.tools.write(queue, messages);
    }

    async fn read_foreign(&self, queue: &str, count: usize) -> Vec<Foreign> {
        self.tools.read(queue, count)
    }

    async fn accesses(&mut self) -> Vec<Access> {
        let authority = certificate::authority("kafka");
        let ca = authority.display().to_string();
        let folder = &self.broker.place().folder;
        let (certificate, key) = certificate::for_client(folder, &authority, "client");
        let (of_other, key_of_other) = certificate::for_client(folder, &authority, "other");
        let mine = [("tls.certificate.file", certificate.as_str()), ("tls.key.file", key.as_str())];
        let others = [("tls.certificate.file", of_other.as_str()), ("tls.key.file", key_of_other.as_str())];
        // Of somebody else: no authority of this system signed the broker's certificate.
        let access = |name: &str, port: usize, given: &[(&str, &str)], fails: Option<StatusCode>| Access {
            name: name.to_owned(),
            url: url(&format!("oms:kafka://{}/default", self.port(port))),
            properties: properties(given),
            fails,
        };
        let tls = ("tls.ca.file", ca.as_str());
        let admin = [("user", "admin"), ("password", PASSWORD)];
        let bob = [("user", "bob"), ("password", PASSWORD)];
        let wrong = [("user", "admin"), ("password", "not-this-one")];
        let [sha256, sha512] = [("sasl.mechanism", "SCRAM-SHA-256"), ("sasl.mechanism", "SCRAM-SHA-512")];
        let unauthorized = Some(StatusCode::Unauthorized);
        let unavailable = Some(StatusCode::Unavailable);
        let mut all = vec![
            access("plain", 0, &[], None),
            access("TLS", TLS, &[tls], None),
            access("PLAIN", SASL, &admin, None),
            access("PLAIN over TLS", SASL_TLS, &[admin[0], admin[1], tls], None),
            access("SCRAM-SHA-256", SASL, &[admin[0], admin[1], sha256], None),
            access("SCRAM-SHA-512 over TLS", SASL_TLS, &[admin[0], admin[1], sha512, tls], None),
            access("a wrong password", SASL, &wrong, unauthorized),
            access("a wrong password, SCRAM", SASL, &[wrong[0], wrong[1], sha512], unauthorized),
            access("a user whom SCRAM does not know", SASL, &[bob[0], bob[1], sha256], unauthorized),
            access("no credentials", SASL, &[], unauthorized),
            access("no rights", SASL, &bob, Some(StatusCode::Forbidden)),
            access("a certificate", MUTUAL, &[tls, mine[0], mine[1]], None),
            access("no certificate", MUTUAL, &[tls], unavailable),
            access(
                "a certificate without rights",
                MUTUAL,
                &[tls, others[0], others[1]],
                Some(StatusCode::Forbidden),
            ),
            access("an authority that is not trusted", TLS, &[("tls", "true")], unavailable),
            access("TLS to a plain port", 0, &[tls], unavailable),
            access("plain to a TLS port", TLS, &[], unavailable),
        ];
        let mut in_url = access("PLAIN, the account in the URL", SASL, &[], None);
        in_url.url = url(&format!("oms:kafka://admin:{PASSWORD}@{}/default", self.port(SASL)));
        all.push(in_url);
        all
    }
}

/// A file system in memory with little room, in place of a folder; what is in the folder is in it.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Room for so much more than there is.
    const ROOM: u64 = 1024 * 1024;

    fn under(folder: &Path) -> Self {
        let before = folder.with_extension("before");
        std::fs::rename(folder, &before).expect("moved");
        std::fs::create_dir(folder).expect("a folder");
        let used = run(Command::new("du").arg("-sk").arg(&before));
        let kilobytes: u64 =
            used.split_whitespace().next().and_then(|text| text.parse().ok()).expect("a size");
        let size = kilobytes * 1024 + Self::ROOM;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(folder);
        run(&mut mount);
        run(Command::new("cp").arg("-a").arg(before.join(".")).arg(folder));
        Self(folder.to_owned())
    }

    fn grow(&self) {
        run(Command::new("mount").args(["-o", "remount,size=1g"]).arg(&self.0));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // At once for whoever looks, in fact when the broker has ended.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said} (mounting needs root)");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
