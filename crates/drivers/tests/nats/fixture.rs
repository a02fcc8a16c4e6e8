//! The shared server, and what all tests here need.

use std::sync::Arc;

use async_trait::async_trait;
use drivers::nats::NatsDriver;
use openmessaging::{AccessPointUrl, Driver, Properties, QueueSpec, StatusCode};
use testkit::driver::{DriverFixture, Wrong};
use testkit::services::broker_address;

/// The server of `cargo xtask services up nats`.
pub struct Shared {
    address: String,
}

impl Shared {
    pub fn new() -> Self {
        Self { address: broker_address("nats") }
    }
}

pub fn url(address: &str, region: &str) -> AccessPointUrl {
    format!("oms:nats://{address}/{region}").parse().expect("a URL")
}

pub fn properties(pairs: &[(&str, &str)]) -> Properties {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

/// Where connecting must fail, beside what needs a server of its own.
pub fn wrong(address: &str) -> Vec<Wrong> {
    let case = |name: &str, address: &str, pairs: &[(&str, &str)], status, names: &[&str]| Wrong {
        name: name.to_owned(),
        url: url(address, "default"),
        properties: properties(pairs),
        status,
        names: names.iter().map(|name| name.to_string()).collect(),
        secrets: vec!["hush".to_owned()],
    };
    // Takes connections, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let mute = silent.local_addr().expect("its address").to_string();
    let chatty = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let stranger = chatty.local_addr().expect("its address").to_string();
    std::thread::spawn(move || {
        use std::io::Write;
        let _silent = silent;
        while let Ok((mut stream, _)) = chatty.accept() {
            let _ = stream.write_all(b"220 mail.example ESMTP\r\n");
        }
    });
    let unavailable = StatusCode::Unavailable;
    let bad = StatusCode::BadParameter;
    vec![
        case(
            "nobody there",
            "127.0.0.1:1",
            &[("user", "me"), ("password", "hush")],
            unavailable,
            &["127.0.0.1:1"],
        ),
        case("a mute server", &mute, &[], unavailable, &[&mute]),
        case("another protocol", &stranger, &[], unavailable, &[&stranger]),
        case("no such host", "nowhere.invalid:4222", &[], unavailable, &["nowhere.invalid"]),
        case(
            "an unknown property",
            address,
            &[("inbx.prefix", "hush")],
            bad,
            &["inbx.prefix", "inbox.prefix"],
        ),
        case("a wrong seed", address, &[("nkey.seed", "SUhush")], bad, &["nkey.seed"]),
        case("TLS to a plain port", address, &[("tls", "true")], bad, &[address, "TLS"]),
        case(
            "another domain",
            address,
            &[("domain", "elsewhere")],
            StatusCode::Unsupported,
            &[address, "domain"],
        ),
    ]
}

#[async_trait]
impl DriverFixture for Shared {
    fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(NatsDriver)
    }

    fn url(&self) -> AccessPointUrl {
        url(&self.address, "default")
    }

    async fn wrong(&mut self) -> Vec<Wrong> {
        wrong(&self.address)
    }

    async fn crash(&mut self) {
        panic!("the shared server is not crashed");
    }

    fn retain_little(&self, spec: &mut QueueSpec) -> usize {
        spec.retention_bytes = Some(64 * 1024);
        256 * 1024
    }
}
