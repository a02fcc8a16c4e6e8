//! The shared server and private ones, as fixtures of the suites.

use std::sync::Arc;

use async_trait::async_trait;
use openmessaging::{AccessPointUrl, Driver, Properties, QueueSpec, StatusCode};
use testkit::broker::PrivateBroker;
use testkit::driver::{DriverFixture, Wrong};
use testkit::services::{broker_address, recorded};

use crate::foreign::Tool;
use testkit::broker::redis::{PASSWORD, Redis};

pub fn url(text: &str) -> AccessPointUrl {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

pub fn properties(pairs: &[(&str, &str)]) -> Properties {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

pub fn driver() -> Arc<dyn Driver> {
    Arc::new(drivers::redis::RedisDriver)
}

/// What all tests set: limits that are quick to reach.
const SMALL: [(&str, &str); 2] = [("max.message.bytes", "8388608"), ("retention.check.ms", "50")];

fn wrong(
    name: &str,
    address: &str,
    properties: &[(&str, &str)],
    status: StatusCode,
    names: &[&str],
) -> Wrong {
    Wrong {
        name: name.to_owned(),
        url: url(&format!("oms:redis://{address}/default")),
        properties: crate::fixture::properties(properties),
        status,
        names: names.iter().map(|name| name.to_string()).collect(),
        secrets: vec!["wrong-hush".to_owned()],
    }
}

/// A port on which nobody listens.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").to_string()
}

fn little(spec: &mut QueueSpec) -> usize {
    spec.retention_bytes = Some(64 * 1024);
    256 * 1024
}

/// The server that all tests use.
pub struct Shared {
    address: String,
}

impl Shared {
    pub fn new() -> Self {
        Self { address: broker_address("redis") }
    }
}

#[async_trait]
impl DriverFixture for Shared {
    fn driver(&self) -> Arc<dyn Driver> {
        driver()
    }

    fn url(&self) -> AccessPointUrl {
        url(&format!("oms:redis://{}/default", self.address))
    }

    /// In a database of its own: other tests of this workspace use the first one.
    fn properties(&self) -> Properties {
        let mut all = properties(&SMALL);
        all.insert("database".to_owned(), "1".to_owned());
        all
    }

    async fn wrong(&mut self) -> Vec<Wrong> {
        let (address, nobody) = (self.address.as_str(), nobody());
        let tls = recorded("redis")["more"]["tls"].as_str().expect("a TLS port").to_owned();
        let unauthorized = StatusCode::Unauthorized;
        // A server that takes connections and says nothing.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let silent_address = silent.local_addr().expect("its address").to_string();
        std::mem::forget(silent);
        let user = [("user", "nobody"), ("password", "wrong-hush")];
        vec![
            wrong("nobody there", &nobody, &[], StatusCode::Unavailable, &[&nobody]),
            wrong("says nothing", &silent_address, &[], StatusCode::Unavailable, &[&silent_address]),
            wrong("an unknown user", address, &user, unauthorized, &[address]),
            wrong("a password too many", address, &user[1..], unauthorized, &[address]),
            wrong("in the URL", &format!("nobody:wrong-hush@{address}"), &[], unauthorized, &[address]),
            wrong(
                "TLS to a plain port",
                address,
                &[("tls", "true")],
                StatusCode::Unavailable,
                &[address, "TLS"],
            ),
            wrong("plain to a TLS port", &tls, &[], StatusCode::Unavailable, &[&tls, "tls=true"]),
            wrong(
                "an unknown property",
                address,
                &[("databse", "1")],
                StatusCode::BadParameter,
                &["databse", "nearest is database"],
            ),
            wrong("no such database", address, &[("database", "1000")], StatusCode::ServerError, &[address]),
        ]
    }

    async fn crash(&mut self) {
        panic!("the shared server is not to be killed");
    }

    fn retain_little(&self, spec: &mut QueueSpec) -> usize {
        little(spec)
    }
}

/// A server of the test's own.
pub struct Private {
    pub broker: PrivateBroker,
}

impl Private {
    pub fn new() -> Self {
        Self { broker: PrivateBroker::start(Redis::of_services()) }
    }

    pub fn tool(&self) -> Tool {
        Tool::new(self.broker.place().port(), PASSWORD)
    }
}

#[async_trait]
impl DriverFixture for Private {
    fn driver(&self) -> Arc<dyn Driver> {
        driver()
    }

    fn url(&self) -> AccessPointUrl {
        url(&format!("oms:redis://{}/default", self.broker.place().address()))
    }

    fn properties(&self) -> Properties {
        let mut all = properties(&SMALL);
        all.insert("password".to_owned(), PASSWORD.to_owned());
        all
    }

    async fn wrong(&mut self) -> Vec<Wrong> {
        let address = self.broker.place().address();
        vec![wrong("no password", &address, &[], StatusCode::Unauthorized, &[&address])]
    }

    async fn crash(&mut self) {
        self.broker.kill();
        self.broker.start_again();
    }

    fn retain_little(&self, spec: &mut QueueSpec) -> usize {
        little(spec)
    }
}
