//! The settings of the driver, and those of Kafka's own clients that it understands.

use std::sync::Arc;
use std::time::Duration;

use openmessaging::{AccessPointUrl, Properties, Result, Setting};
use rustls::ClientConfig;

use super::records::Compression;
use crate::common::credentials::{Credentials, Secret};
use crate::common::names;
use crate::common::settings::{
    PASSWORD, REQUEST_TIMEOUT, Settings, TLS, TLS_CA, TLS_CERTIFICATE, TLS_KEY, USER, bad_parameter,
};
use crate::common::tls::Tls;

const MECHANISM: &str = "sasl.mechanism";
const MAX_MESSAGE_BYTES: &str = "max.message.bytes";
const REPLICATION_FACTOR: &str = "replication.factor";

pub(super) const DEFAULT_PORT: u16 = 9092;

/// The default of `max.message.bytes`.
pub(super) const DEFAULT_MAX_MESSAGE_BYTES: usize = 8 * 1024 * 1024;

/// The properties of an access point.
pub(super) const SETTINGS: [Setting; 10] = [
    USER,
    PASSWORD,
    Setting::new(
        MECHANISM,
        "PLAIN",
        "How a user authenticates: `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`. Without a user nobody does.",
    ),
    TLS,
    TLS_CA,
    TLS_CERTIFICATE,
    TLS_KEY,
    REQUEST_TIMEOUT,
    Setting::new(
        MAX_MESSAGE_BYTES,
        "8388608",
        "Key, headers and body of the largest message taken, up to 256 MiB. Queues that are made get this limit; topics \
         that were made elsewhere have their own (1 MiB where nobody said), and refuse what is larger.",
    ),
    Setting::new(
        REPLICATION_FACTOR,
        "-1",
        "How many brokers keep a queue that is made; `-1`: what the brokers' default.replication.factor says.",
    ),
];

/// Settings of Kafka's clients, under `client.`: name, default, meaning.
pub(super) const CLIENT_SETTINGS: [(&str, &str); 12] = [
    ("acks", "all"),
    ("batch.size", "1000000"),
    ("check.crcs", "true"),
    ("client.id", "omsconnect"),
    ("compression.type", "lz4"),
    ("fetch.max.wait.ms", "500"),
    ("isolation.level", "read_committed"),
    ("linger.ms", "0"),
    ("max.in.flight.requests.per.connection", "5"),
    ("max.partition.fetch.bytes", "1048576"),
    ("max.request.size", "1048576"),
    ("metadata.max.age.ms", "300000"),
];

/// How an access point is to behave.
pub(super) struct Config {
    /// Host and port of each server of the URL.
    pub servers: Vec<(String, u16)>,
    /// Before every topic's name.
    pub prefix: String,
    pub login: Option<Login>,
    pub tls: Option<Arc<ClientConfig>>,
    pub timeout: Duration,
    pub max_message_bytes: usize,
    pub replication_factor: i16,
    pub client: Client,
}

/// Who authenticates, and how.
pub(super) struct Login {
    pub mechanism: &'static str,
    pub user: String,
    pub password: Secret,
}

/// What was said under `client.`, or its default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Client {
    /// -1: all replicas in sync; 1: the leader alone.
    pub acks: i16,
    pub batch_bytes: usize,
    pub id: String,
    pub compression: Compression,
    pub fetch_wait: Duration,
    pub read_committed: bool,
    pub linger: Duration,
    pub in_flight: usize,
    pub fetch_bytes: usize,
    pub request_bytes: usize,
    pub metadata_age: Duration,
}

impl Config {
    pub fn parse(url: &AccessPointUrl, properties: &Properties) -> Result<Self> {
        let settings = Settings::new("kafka", &SETTINGS, true, properties)?;
        names::check_prefix(url)?;
        let credentials = Credentials::of(url, &settings)?;
        let mechanism = settings.choice(MECHANISM, &["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])?;
        let login = match (credentials.user, credentials.password) {
            (None, None) => None,
            (Some(user), Some(password)) => Some(Login { mechanism, user, password }),
            (user, _) => {
                let missing = if user.is_some() { "password" } else { "user" };
                return Err(bad_parameter(format!("the kafka driver was given no {missing}"))
                    .with_remedy("give both user and password, or neither"));
            }
        };
        let replicas = settings.text(REPLICATION_FACTOR).unwrap_or("-1");
        let replication_factor = replicas.parse().ok().filter(|count| *count == -1 || *count > 0);
        Ok(Self {
            servers: url
                .endpoints()
                .iter()
                .map(|endpoint| (endpoint.host.clone(), endpoint.port.unwrap_or(DEFAULT_PORT)))
                .collect(),
            prefix: names::prefix(url, "."),
            login,
            tls: Tls::of(&settings)?.map(|tls| tls.client_config()).transpose()?,
            timeout: settings.millis("request.timeout.ms", 100, 600_000)?,
            max_message_bytes: settings.number(MAX_MESSAGE_BYTES, 1, 256 * 1024 * 1024)? as usize,
            replication_factor: replication_factor
                .ok_or_else(|| settings.wrong(REPLICATION_FACTOR, replicas, "-1, or a number from 1"))?,
            client: Client::of(&settings)?,
        })
    }

    /// As errors name the servers: "kafka at a:9092,b:9092".
    pub fn server(&self) -> String {
        let servers: Vec<_> = self.servers.iter().map(|(host, port)| address(host, *port)).collect();
        format!("kafka at {}", servers.join(","))
    }

    /// What the client calls itself; a producer's name is added where nothing else was said.
    pub fn client_id(&self, name: &str) -> String {
        if name.is_empty() || self.client.id != "omsconnect" {
            self.client.id.clone()
        } else {
            format!("{}-{name}", self.client.id)
        }
    }
}

/// `host:port`, an IPv6 address in brackets.
pub(super) fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

impl Client {
    fn of(settings: &Settings<'_>) -> Result<Self> {
        let mut given = CLIENT_SETTINGS;
        for (name, value) in settings.passed_on() {
            match given.iter_mut().find(|(known, _)| *known == name) {
                Some(setting) => setting.1 = value,
                None => return Err(unknown(name)),
            }
        }
        let text = |name: &str| given.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value);
        let number = |name: &str, from: u64, to: u64| {
            let parsed = text(name).parse().ok().filter(|number| (from..=to).contains(number));
            parsed.ok_or_else(|| {
                settings.wrong(
                    &format!("client.{name}"),
                    text(name),
                    &format!("a number from {from} to {to}"),
                )
            })
        };
        let choice = |name: &str, choices: &[&str]| {
            let position = choices.iter().position(|choice| *choice == text(name));
            position
                .ok_or_else(|| settings.wrong(&format!("client.{name}"), text(name), &choices.join(" or ")))
        };
        // Data of another make are refused as damaged in any case; the setting is taken so that it may be said.
        choice("check.crcs", &["true"])?;
        let compression = text("compression.type");
        const MIB: u64 = 1024 * 1024;
        Ok(Self {
            acks: if choice("acks", &["all", "-1", "1"])? == 2 { 1 } else { -1 },
            batch_bytes: number("batch.size", 1, 64 * MIB)? as usize,
            id: text("client.id").to_owned(),
            compression: Compression::named(compression).ok_or_else(|| {
                settings.wrong("client.compression.type", compression, "none, gzip, snappy, lz4 or zstd")
            })?,
            fetch_wait: Duration::from_millis(number("fetch.max.wait.ms", 1, 30_000)?),
            read_committed: choice("isolation.level", &["read_committed", "read_uncommitted"])? == 0,
            linger: Duration::from_millis(number("linger.ms", 0, 10_000)?),
            in_flight: number("max.in.flight.requests.per.connection", 1, 5)? as usize,
            fetch_bytes: number("max.partition.fetch.bytes", 1024, 256 * MIB)? as usize,
            request_bytes: number("max.request.size", 1, 64 * MIB)? as usize,
            metadata_age: Duration::from_millis(number("metadata.max.age.ms", 100, 86_400_000)?),
        })
    }
}

fn unknown(name: &str) -> openmessaging::Error {
    let names = CLIENT_SETTINGS.map(|(name, _)| format!("client.{name}"));
    let distance = |known: &&String| strsim::damerau_levenshtein(&known["client.".len()..], name);
    let near = names.iter().min_by_key(distance).map(|near| format!("the nearest is {near}; "));
    bad_parameter(format!("the kafka driver has no property \"client.{name}\"")).with_remedy(format!(
        "{}known: {}",
        near.unwrap_or_default(),
        names.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str, properties: &[(&str, &str)]) -> Result<Config> {
        let properties = properties.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        Config::parse(&url.parse().expect("a URL"), &properties)
    }

    #[test]
    fn defaults_and_servers() {
        let config = parse("oms:kafka://a,[::1]:7/eu:shop", &[]).expect("parsed");
        assert_eq!(config.server(), "kafka at a:9092,[::1]:7");
        assert_eq!(config.prefix, "eu.shop.");
        assert!(config.login.is_none() && config.tls.is_none());
        assert_eq!((config.client.acks, config.client.compression), (-1, Compression::Lz4));
        assert!(config.client.read_committed);
        assert_eq!(
            (config.client_id(""), config.client_id("p")),
            ("omsconnect".into(), "omsconnect-p".into())
        );
    }

    #[test]
    fn settings_of_the_client_are_read() {
        let given = [
            ("client.acks", "1"),
            ("client.compression.type", "zstd"),
            ("client.linger.ms", "5"),
            ("client.isolation.level", "read_uncommitted"),
            ("client.client.id", "me"),
            ("user", "u"),
            ("password", "p"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
        ];
        let config = parse("oms:kafka://a/default", &given).expect("parsed");
        assert_eq!((config.client.acks, config.client.linger.as_millis()), (1, 5));
        assert!(!config.client.read_committed && config.client.compression == Compression::Zstd);
        assert_eq!(config.client_id("p"), "me");
        assert_eq!(config.login.map(|login| login.mechanism), Some("SCRAM-SHA-512"));
    }

    #[test]
    fn errors_name_the_property_and_the_nearest() {
        for (name, value, says) in [
            ("client.compresion.type", "lz4", "nearest is client.compression.type"),
            ("client.acks", "0", "all or -1 or 1"),
            ("client.compression.type", "zip", "none, gzip"),
            ("client.max.in.flight.requests.per.connection", "6", "from 1 to 5"),
            ("sasl.mechanism", "GSSAPI", "PLAIN or SCRAM"),
            ("replication.factor", "0", "-1, or"),
            ("user", "u", "both user and password"),
            ("max.message.byte", "1", "nearest is max.message.bytes"),
        ] {
            let error = parse("oms:kafka://a/default", &[(name, value)]).err().expect(name);
            let text = error.to_string();
            assert!(text.contains(says) && text.contains(name.trim_end_matches("user")), "{text}");
        }
    }
}
