//! A private server as the suite of servers wants it.

use std::path::Path;

use async_trait::async_trait;
use openmessaging::{AccessPointUrl, StatusCode};
use testkit::driver::DriverFixture;
use testkit::proxy::Proxy;
use testkit::server::{Access, Foreign, ServerFixture};
use testkit::services::recorded;

use crate::fixture::{Private, properties, url};
use testkit::broker::redis::PASSWORD;
use testkit::broker::{PrivateBroker, certificate};

#[async_trait]
impl ServerFixture for Private {
    fn broker(&mut self) -> &mut PrivateBroker {
        &mut self.broker
    }

    async fn proxied(&mut self) -> (AccessPointUrl, Proxy) {
        let proxy = Proxy::start(0, &self.broker.place().address());
        (url(&format!("oms:redis://{}/default", proxy.address())), proxy)
    }

    fn url_in(&self, region: &str, namespace: &str) -> AccessPointUrl {
        url(&format!("oms:redis://{}/{region}:{namespace}", self.broker.place().address()))
    }

    /// As a server is whose memory has a limit and is full.
    async fn fill(&mut self, _queue: &str) {
        self.tool().run(&["CONFIG", "SET", "maxmemory", "1mb"]);
    }

    async fn make_room(&mut self, _queue: &str) {
        self.tool().run(&["CONFIG", "SET", "maxmemory", "0"]);
    }

    async fn write_foreign(&self, queue: &str, messages: &[Foreign]) {
        let tool = self.tool();
        for Foreign { key, body } in messages {
            let mut parts: Vec<&[u8]> = vec![b"XADD", queue.as_bytes(), b"*"];
            if let Some(key) = key {
                parts.extend([&b"key"[..], key]);
            }
            parts.extend([&b"body"[..], body]);
            tool.run_bytes(&parts);
        }
    }

    async fn read_foreign(&self, queue: &str, count: usize) -> Vec<Foreign> {
        let entries = self.tool().json(&["XRANGE", queue, "-", "+", "COUNT", &count.to_string()]);
        let entries = entries.as_array().expect("entries").clone();
        let read = |entry: &serde_json::Value| {
            let fields = entry[1].as_array().expect("fields").clone();
            let find = |name: &str| {
                let pair = fields.chunks(2).find(|pair| pair[0] == name)?;
                Some(pair[1].as_str().expect("text").as_bytes().to_vec())
            };
            Foreign { key: find("key"), body: find("body").expect("a body") }
        };
        entries.iter().map(read).collect()
    }

    async fn accesses(&mut self) -> Vec<Access> {
        let tool = self.tool();
        tool.run(&["ACL", "SETUSER", "worker", "on", ">work-hush", "+@all", "~*", "&*"]);
        tool.run(&["ACL", "SETUSER", "reader", "on", ">read-hush", "+@read", "+@connection", "+info", "~*"]);
        // Everything that the driver needs, and no more, for keys of one region.
        let needed = [
            "ACL",
            "SETUSER",
            "narrow",
            "on",
            ">narrow-hush",
            "~eu:*",
            "~{eu:*",
            "+@connection",
            "+@read",
            "+@stream",
            "+eval",
            "+evalsha",
            "+script|load",
            "+time",
            "+info",
            "+set",
            "+del",
            "+unlink",
            "+hset",
            "+hdel",
            "+incr",
            "+zadd",
            "+zrem",
            "+zremrangebyrank",
        ];
        tool.run(&needed);
        let more = recorded("redis");
        let ca = more["ca"].as_str().expect("an authority").to_owned();
        let place = self.broker.place();
        let plain = place.address();
        let tls = format!("127.0.0.1:{}", place.ports[1]);
        let (certificate, key) = certificate::for_client(&place.folder, Path::new(&ca), "client");
        let foreign =
            certificate::for_client(&place.folder, &certificate::other_authority(&place.folder), "foreign");
        let password = ("password", PASSWORD);
        let unauthorized = Some(StatusCode::Unauthorized);
        let case = |name: &str, at: &str, pairs: &[(&str, &str)], fails| Access {
            name: name.to_owned(),
            url: url(&format!("oms:redis://{at}")),
            properties: properties(pairs),
            fails,
        };
        let (plain_at, tls_at) = (format!("{plain}/default"), format!("{tls}/default"));
        let trusted = ("tls.ca.file", ca.as_str());
        vec![
            case("password only", &plain_at, &[password], None),
            case("user and password", &plain_at, &[("user", "worker"), ("password", "work-hush")], None),
            case("in the URL", &format!("worker:work-hush@{plain}/default"), &[], None),
            case(
                "just enough rights",
                &format!("{plain}/eu"),
                &[("user", "narrow"), ("password", "narrow-hush")],
                None,
            ),
            case("TLS", &tls_at, &[trusted, password], None),
            case(
                "TLS with a certificate",
                &tls_at,
                &[
                    trusted,
                    ("tls.certificate.file", certificate.as_str()),
                    ("tls.key.file", key.as_str()),
                    ("user", "worker"),
                    ("password", "work-hush"),
                ],
                None,
            ),
            case(
                "TLS with a certificate of nobody's",
                &tls_at,
                &[
                    trusted,
                    ("tls.certificate.file", foreign.0.as_str()),
                    ("tls.key.file", foreign.1.as_str()),
                    password,
                ],
                Some(StatusCode::Unavailable),
            ),
            case("no password", &plain_at, &[], unauthorized),
            case("a wrong password", &plain_at, &[("password", "bad-hush")], unauthorized),
            case("a wrong password over TLS", &tls_at, &[trusted, ("password", "bad-hush")], unauthorized),
            case(
                "no right to write",
                &plain_at,
                &[("user", "reader"), ("password", "read-hush")],
                Some(StatusCode::Forbidden),
            ),
            case(
                "another's region",
                &format!("{plain}/us"),
                &[("user", "narrow"), ("password", "narrow-hush")],
                Some(StatusCode::Forbidden),
            ),
            case("not trusted", &tls_at, &[("tls", "true"), password], Some(StatusCode::Unavailable)),
            case("TLS to a plain port", &plain_at, &[trusted, password], Some(StatusCode::Unavailable)),
            case("plain to a TLS port", &tls_at, &[password], Some(StatusCode::Unavailable)),
        ]
    }
}

impl Private {
    /// What an access point with more properties finds.
    pub async fn diagnosis(&self) -> openmessaging::Diagnosis {
        let point = self.open().await.expect("open");
        let diagnosis = point.diagnose().await.expect("diagnosed");
        point.close().await.expect("closed");
        diagnosis
    }
}
