//! The shared broker, and private ones.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use drivers::rocketmq::RocketMqDriver;
use openmessaging::{AccessPointUrl, Driver, Properties, QueueSpec, StatusCode};
use testkit::broker::{PrivateBroker, certificate};
use testkit::driver::{DriverFixture, Wrong};
use testkit::proxy::Proxy;
use testkit::server::{Access, Foreign, ServerFixture};
use testkit::services::broker_address;

use testkit::broker::rocketmq as launch;
use testkit::broker::rocketmq_client as foreign;

pub fn url(address: &str, rest: &str) -> AccessPointUrl {
    format!("oms:rocketmq://{address}/{rest}").parse().expect("a URL")
}

pub fn properties(pairs: &[(&str, &str)]) -> Properties {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn wrong(address: &str) -> Vec<Wrong> {
    let case = |name: &str, url: AccessPointUrl, pairs: &[(&str, &str)], status, names: &[&str]| Wrong {
        name: name.to_owned(),
        url,
        properties: properties(pairs),
        status,
        names: names.iter().map(|name| name.to_string()).collect(),
        secrets: vec!["hush-hush".to_owned()],
    };
    let bad = StatusCode::BadParameter;
    vec![
        case("nobody there", url("127.0.0.1:1", "default"), &[], StatusCode::Unavailable, &["127.0.0.1:1"]),
        case(
            "an unknown property",
            url(address, "default"),
            &[("acces.key", "x")],
            bad,
            &["acces.key", "access.key"],
        ),
        case(
            "half an account",
            url(address, "default"),
            &[("secret.key", "hush-hush")],
            bad,
            &["access.key"],
        ),
        case(
            "a region that is no cluster",
            url(address, "mars"),
            &[],
            StatusCode::NotFound,
            &["mars", address],
        ),
        case("no file", url(address, "default"), &[("tls.ca.file", "/no/such")], bad, &["tls.ca.file"]),
        case(
            "a folder",
            "oms:rocketmq:///folder".parse().expect("a URL"),
            &[],
            StatusCode::BadUrl,
            &["name servers"],
        ),
    ]
}

/// The broker of `cargo xtask services up`.
pub struct Shared {
    address: String,
}

impl Shared {
    pub fn new() -> Self {
        Self { address: broker_address("rocketmq") }
    }
}

#[async_trait]
impl DriverFixture for Shared {
    fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(RocketMqDriver)
    }

    fn url(&self) -> AccessPointUrl {
        url(&self.address, "default:default")
    }

    async fn wrong(&mut self) -> Vec<Wrong> {
        wrong(&self.address)
    }

    async fn crash(&mut self) {
        panic!("others use this broker");
    }

    fn retain_little(&self, _spec: &mut QueueSpec) -> usize {
        panic!("the driver has no retention");
    }
}

/// A broker of a test's own.
pub struct Private {
    broker: PrivateBroker,
    /// One with users and TLS, for the clause about them.
    secured: Option<PrivateBroker>,
}

impl Private {
    pub fn new() -> Self {
        Self { broker: PrivateBroker::start(launch::RocketMq::default()), secured: None }
    }

    pub fn broker(&self) -> &PrivateBroker {
        &self.broker
    }

    fn names(&self) -> String {
        self.broker.place().address()
    }

    pub fn own_broker(&self) -> String {
        format!("127.0.0.2:{}", launch::broker_port(self.broker.place()))
    }

    /// Changes a setting and starts the broker again.
    pub fn set(&mut self, setting: &str) {
        self.broker.stop();
        let file = launch::settings_file(self.broker.place());
        let name = setting.split('=').next().unwrap_or_default();
        let text = std::fs::read_to_string(&file).expect("its settings");
        let kept = text.lines().filter(|line| !line.starts_with(&format!("{name}=")));
        let text: String = kept.chain([setting]).map(|line| format!("{line}\n")).collect();
        std::fs::write(file, text).expect("written");
        self.broker.start_again();
    }
}

#[async_trait]
impl DriverFixture for Private {
    fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(RocketMqDriver)
    }

    fn url(&self) -> AccessPointUrl {
        url(&self.names(), "default:default")
    }

    async fn wrong(&mut self) -> Vec<Wrong> {
        wrong(&self.names())
    }

    async fn crash(&mut self) {
        self.broker.kill();
        self.broker.start_again();
    }

    fn retain_little(&self, _spec: &mut QueueSpec) -> usize {
        panic!("the driver has no retention");
    }
}

#[async_trait]
impl ServerFixture for Private {
    fn broker(&mut self) -> &mut PrivateBroker {
        &mut self.broker
    }

    /// The broker tells its clients 127.0.0.1 from now on, where the proxy listens.
    async fn proxied(&mut self) -> (AccessPointUrl, Proxy) {
        let target = self.own_broker();
        let proxy = Proxy::start(launch::broker_port(self.broker.place()), &target);
        self.set("brokerIP1=127.0.0.1");
        (self.url(), proxy)
    }

    fn url_in(&self, region: &str, namespace: &str) -> AccessPointUrl {
        url(&self.names(), &format!("{region}:{namespace}"))
    }

    /// Something else fills the disk that the store is on. The broker looks a minute after its start, then every second.
    async fn fill(&mut self, _queue: &str) {
        let place = self.broker.place().clone();
        std::fs::write(launch::small_disk(&place), b"").expect("written");
        self.broker.stop();
        self.broker.start_again();
        std::fs::write(launch::fill(&place), b"").expect("written");
        tokio::time::sleep(Duration::from_secs(60)).await;
    }

    async fn make_room(&mut self, _queue: &str) {
        std::fs::remove_file(launch::fill(self.broker.place())).expect("removed");
    }

    async fn write_foreign(&self, queue: &str, messages: &[Foreign]) {
        foreign::write(&self.broker.place().folder, &self.names(), &self.own_broker(), queue, messages);
    }

    async fn read_foreign(&self, queue: &str, count: usize) -> Vec<Foreign> {
        foreign::read(&self.broker.place().folder, &self.names(), queue, count)
    }

    async fn accesses(&mut self) -> Vec<Access> {
        let plain = self.names();
        let launch = launch::RocketMq { secured: true };
        let secured = PrivateBroker::start(launch);
        let place = secured.place().clone();
        let names = place.address();
        let broker = format!("{}:{}", launch.host(), launch::broker_port(&place));
        foreign::make_user(&place.folder, &names, &broker, "reader", "reader-secret");
        // It lives as long as the test's own broker.
        self.secured = Some(secured);
        let (user, password) = launch::ADMIN;
        let ca = certificate::authority("rocketmq").display().to_string();
        let case = |name: &str, url: AccessPointUrl, pairs: &[(&str, &str)], fails| Access {
            name: name.to_owned(),
            url,
            properties: properties(pairs),
            fails,
        };
        let at = |rest: &str| url(&names, rest);
        let keys = [("access.key", user), ("secret.key", password)];
        let unauthorized = Some(StatusCode::Unauthorized);
        vec![
            case("keys", at("default"), &keys, None),
            case("user and password", at("default"), &[("user", user), ("password", password)], None),
            case("the account of the URL", url(&format!("{user}:{password}@{names}"), "default"), &[], None),
            case("TLS", at("default"), &[keys[0], keys[1], ("tls.ca.file", &ca)], None),
            case("a wrong secret", at("default"), &[keys[0], ("secret.key", "wrong-secret")], unauthorized),
            case("an unknown user", at("default"), &[("access.key", "nobody"), keys[1]], unauthorized),
            case("no keys", at("default"), &[], unauthorized),
            case(
                "a user without rights",
                at("default"),
                &[("access.key", "reader"), ("secret.key", "reader-secret")],
                Some(StatusCode::Forbidden),
            ),
            case(
                "an authority that is not trusted",
                at("default"),
                &[keys[0], keys[1], ("tls", "true")],
                Some(StatusCode::DriverFailed),
            ),
            case(
                "TLS to a plain port",
                url(&plain, "default"),
                &[("tls.ca.file", &ca)],
                Some(StatusCode::DriverFailed),
            ),
        ]
    }
}
