//! The broker of `cargo xtask services`, and one of a test's own.

use std::net::TcpListener;
use std::sync::Arc;

use async_trait::async_trait;
use drivers::rabbitmq::RabbitMqDriver;
use openmessaging::{AccessPointUrl, Driver, Properties, QueueSpec, StatusCode};
use testkit::broker::{PrivateBroker, certificate};
use testkit::driver::{DriverFixture, Wrong};
use testkit::proxy::Proxy;
use testkit::server::{Access, Foreign, ServerFixture};
use testkit::services::{broker_address, recorded};

use crate::{foreign, http};
use testkit::broker::rabbitmq::{self as launch, RabbitMq};

/// What queues are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queues {
    Streams,
    Quorum,
}

impl Queues {
    pub fn name(self) -> &'static str {
        match self {
            Self::Streams => "stream",
            Self::Quorum => "quorum",
        }
    }

    fn properties(self, management: &str) -> Properties {
        properties(&[("queue.type", self.name()), ("management.url", management)])
    }
}

pub fn properties(pairs: &[(&str, &str)]) -> Properties {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

pub fn url(address: &str, rest: &str) -> AccessPointUrl {
    format!("oms:rabbitmq://{address}/{rest}").parse().expect("a URL")
}

/// The clauses' own queues only: other tests' ones and those of a run before are there too.
pub struct SharedBroker {
    queues: Queues,
    /// Takes connections and says nothing.
    silent: TcpListener,
}

impl SharedBroker {
    pub fn new(queues: Queues) -> Self {
        Self { queues, silent: TcpListener::bind("127.0.0.1:0").expect("a port") }
    }
}

fn retain_little(spec: &mut QueueSpec) -> usize {
    spec.retention_bytes = Some(2_000_000);
    3_000_000
}

fn wrong_places(silent: &TcpListener, there: &str) -> Vec<Wrong> {
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("its address").to_string()
    };
    let silent = silent.local_addr().expect("its address").to_string();
    let case = |name: &str, url: AccessPointUrl, given: &[(&str, &str)], status, names: &[&str]| Wrong {
        name: name.to_owned(),
        url,
        properties: properties(given),
        status,
        names: names.iter().map(|name| name.to_string()).collect(),
        secrets: vec!["hush-hush".to_owned()],
    };
    vec![
        case("nobody there", url(&nobody, "default"), &[], StatusCode::Unavailable, &[&nobody]),
        case("says nothing", url(&silent, "default"), &[], StatusCode::Unavailable, &[&silent]),
        case(
            "an unknown property",
            url(there, "default"),
            &[("queue.typ", "stream")],
            StatusCode::BadParameter,
            &["queue.typ"],
        ),
        case(
            "a wrong password",
            url(there, "default"),
            &[("user", "guest"), ("password", "hush-hush")],
            StatusCode::Unauthorized,
            &[there],
        ),
        case(
            "a wrong password in the URL",
            url(&format!("guest:hush-hush@{there}"), "default"),
            &[],
            StatusCode::Unauthorized,
            &[there],
        ),
        case(
            "no such virtual host",
            url(there, "absent:really"),
            &[],
            StatusCode::NotFound,
            &[there, "absent.really", "add_vhost"],
        ),
    ]
}

#[async_trait]
impl DriverFixture for SharedBroker {
    fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(RabbitMqDriver)
    }

    fn url(&self) -> AccessPointUrl {
        url(&broker_address("rabbitmq"), "default:default")
    }

    fn properties(&self) -> Properties {
        let entry = recorded("rabbitmq");
        self.queues.properties(entry["more"]["management"].as_str().expect("its management interface"))
    }

    async fn wrong(&mut self) -> Vec<Wrong> {
        wrong_places(&self.silent, &broker_address("rabbitmq"))
    }

    async fn crash(&mut self) {
        panic!("the shared broker is not crashed");
    }

    fn retain_little(&self, spec: &mut QueueSpec) -> usize {
        retain_little(spec)
    }
}

/// A broker of the test's own.
pub struct Private {
    pub broker: PrivateBroker,
    queues: Queues,
    silent: TcpListener,
}

impl Private {
    pub fn start(queues: Queues) -> Self {
        let broker = PrivateBroker::start(RabbitMq);
        let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
        let started = Self { broker, queues, silent };
        started.settle();
        started
    }

    /// A new node makes its coordinator of streams with the first stream, and notes that half a second later. Killed before,
    /// it never finds its streams again (3.10.8): that is no node as there are any in use.
    fn settle(&self) {
        let (management, first) = (self.management(), "queues/%2F/t-first");
        let stream = "{\"durable\":true,\"arguments\":{\"x-queue-type\":\"stream\"}}";
        http::call(&management, "PUT", first, stream);
        std::thread::sleep(std::time::Duration::from_millis(1500));
        http::call(&management, "DELETE", first, "");
    }

    pub fn management(&self) -> String {
        launch::management(self.broker.place())
    }

    fn address(&self) -> String {
        self.broker.place().address()
    }

    /// A virtual host that a user may do everything in.
    pub fn add_vhost(&self, name: &str, user: &str) {
        let management = self.management();
        http::call(&management, "PUT", &format!("vhosts/{name}"), "{}");
        self.permit(name, user, ".*");
    }

    pub fn permit(&self, vhost: &str, user: &str, pattern: &str) {
        let body = format!("{{\"configure\":\"{pattern}\",\"write\":\"{pattern}\",\"read\":\"{pattern}\"}}");
        http::call(&self.management(), "PUT", &format!("permissions/{vhost}/{user}"), &body);
    }

    pub fn add_user(&self, name: &str, password: &str) {
        let body = match password {
            "" => "{\"password_hash\":\"\",\"tags\":\"\"}".to_owned(),
            password => format!("{{\"password\":\"{password}\",\"tags\":\"management\"}}"),
        };
        http::call(&self.management(), "PUT", &format!("users/{name}"), &body);
    }
}

#[async_trait]
impl DriverFixture for Private {
    fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(RabbitMqDriver)
    }

    fn url(&self) -> AccessPointUrl {
        url(&self.address(), "default:default")
    }

    fn properties(&self) -> Properties {
        self.queues.properties(&format!("http://{}", self.management()))
    }

    async fn wrong(&mut self) -> Vec<Wrong> {
        wrong_places(&self.silent, &self.address())
    }

    async fn crash(&mut self) {
        self.broker.kill();
        self.broker.start_again();
    }

    fn retain_little(&self, spec: &mut QueueSpec) -> usize {
        retain_little(spec)
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

    /// Made here: a virtual host is not made by those who use it.
    fn url_in(&self, region: &str, namespace: &str) -> AccessPointUrl {
        let name: Vec<_> = [region, namespace].into_iter().filter(|part| *part != "default").collect();
        if !name.is_empty() {
            self.add_vhost(&name.join("."), "guest");
        }
        url(&self.address(), &format!("{region}:{namespace}"))
    }

    async fn fill(&mut self, _queue: &str) {
        launch::control(self.broker.place(), &["set_vm_memory_high_watermark", "0.00001"]);
    }

    async fn make_room(&mut self, _queue: &str) {
        launch::control(self.broker.place(), &["set_vm_memory_high_watermark", "0.4"]);
    }

    async fn write_foreign(&self, queue: &str, messages: &[Foreign]) {
        foreign::write(self.broker.place().port(), queue, self.queues, messages);
    }

    async fn read_foreign(&self, queue: &str, count: usize) -> Vec<Foreign> {
        foreign::read(self.broker.place().port(), queue, self.queues, count)
    }

    async fn accesses(&mut self) -> Vec<Access> {
        for (name, password) in
            [("alice", "s3cret-a"), ("bob", "s3cret-b"), ("carol", "s3cret-c"), ("client", "")]
        {
            self.add_user(name, password);
        }
        for (user, pattern) in [("alice", ".*"), ("client", ".*"), ("bob", "^$")] {
            self.permit("%2F", user, pattern);
        }
        let plain = self.address();
        let secure = format!("127.0.0.1:{}", launch::tls_port(self.broker.place()));
        let authority = certificate::authority("rabbitmq");
        let ca = authority.display().to_string();
        let folder = &self.broker.place().folder;
        let (certificate, key) = certificate::for_client(folder, &authority, "client");
        let other = certificate::other_authority(folder).display().to_string();
        let own = self.properties();
        let case = |name: &str, address: &str, given: &[(&str, &str)], fails| Access {
            name: name.to_owned(),
            url: url(address, "default"),
            properties: own.clone().into_iter().chain(properties(given)).collect(),
            fails,
        };
        let alice = [("user", "alice"), ("password", "s3cret-a")];
        let with = |more: &[(&'static str, &'static str)]| [&alice[..], more].concat();
        let over_tls = [&alice[..], &[("tls.ca.file", ca.as_str())]].concat();
        vec![
            case("guest", &plain, &[], None),
            case("a user", &plain, &with(&[]), None),
            case("a user in the URL", &format!("alice:s3cret-a@{plain}"), &[], None),
            case("TLS", &secure, &over_tls, None),
            case(
                "a certificate",
                &secure,
                &[
                    ("auth", "external"),
                    ("tls.ca.file", &ca),
                    ("tls.certificate.file", &certificate),
                    ("tls.key.file", &key),
                ],
                None,
            ),
            case(
                "a wrong password",
                &plain,
                &[("user", "alice"), ("password", "wrong-one")],
                Some(StatusCode::Unauthorized),
            ),
            case(
                "nothing permitted",
                &plain,
                &[("user", "bob"), ("password", "s3cret-b")],
                Some(StatusCode::Forbidden),
            ),
            case(
                "not in this virtual host",
                &plain,
                &[("user", "carol"), ("password", "s3cret-c")],
                Some(StatusCode::Forbidden),
            ),
            case(
                "an authority that is not the server's",
                &secure,
                &[("tls.ca.file", &other)],
                Some(StatusCode::Unavailable),
            ),
            case("TLS to the plain port", &plain, &over_tls, Some(StatusCode::Unavailable)),
            case("without TLS to its port", &secure, &with(&[]), Some(StatusCode::Unavailable)),
        ]
    }
}
