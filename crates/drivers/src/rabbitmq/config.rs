//! What an access point was asked for: URL and properties, checked.

use std::time::Duration;

use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use openmessaging::url::Endpoint;
use openmessaging::{AccessPointUrl, Error, Properties, Result, Setting, StatusCode};

use crate::common::credentials::{Credentials, Secret};
use crate::common::names;
use crate::common::settings::{
    PASSWORD, REQUEST_TIMEOUT, Settings, TLS, TLS_CA, TLS_CERTIFICATE, TLS_KEY, USER, bad_parameter,
};
use crate::common::tls::Tls;

pub(super) const NAME: &str = "rabbitmq";
pub(super) const PORT: u16 = 5672;
const TLS_PORT: u16 = 5671;
const MANAGEMENT_PORT: u16 = 15672;
const MANAGEMENT_TLS_PORT: u16 = 15671;

pub(super) const QUEUE_TYPE: &str = "queue.type";
const AUTH: &str = "auth";
const HEARTBEAT: &str = "heartbeat.seconds";
const MAX_MESSAGE: &str = "max.message.bytes";
const MANAGEMENT_URL: &str = "management.url";

pub(super) const SETTINGS: &[Setting] = &[
    USER,
    PASSWORD,
    TLS,
    TLS_CA,
    TLS_CERTIFICATE,
    TLS_KEY,
    REQUEST_TIMEOUT,
    Setting::new(
        QUEUE_TYPE,
        "stream",
        "`stream`: queues are streams, with partitions and offsets. `quorum`: queues are queues, without: what is \
         committed is acknowledged, and gone. With it classic queues of others can be used too.",
    ),
    Setting::new(
        AUTH,
        "plain",
        "`plain`: user and password. `external`: the certificate of tls.certificate.file (the server needs the plugin \
         rabbitmq_auth_mechanism_ssl).",
    ),
    Setting::new(
        HEARTBEAT,
        "10",
        "Seconds; a connection that is silent for twice as long is given up. 1 to 600.",
    ),
    Setting::new(
        MAX_MESSAGE,
        "16777216",
        "The largest message, key and headers included, at most the server's max_message_size. 1024 to 134217728.",
    ),
    Setting::new(
        MANAGEMENT_URL,
        "",
        "Where the management plugin answers, which lists queues; without it, port 15672 of the server (15671 with TLS).",
    ),
];

/// What queues are at this access point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QueueType {
    Stream,
    Quorum,
}

/// How the user is told.
#[derive(Debug, Clone)]
pub(super) enum Auth {
    Plain { user: String, password: Secret },
    External,
}

#[derive(Debug, Clone)]
pub(super) struct Config {
    pub endpoints: Vec<(String, u16)>,
    /// The virtual host that region and namespace name.
    pub vhost: String,
    pub auth: Auth,
    pub tls: Option<Tls>,
    pub timeout: Duration,
    pub heartbeat: u16,
    pub max_message_bytes: usize,
    pub queue_type: QueueType,
    pub management: String,
}

impl Config {
    pub fn read(url: &AccessPointUrl, properties: &Properties) -> Result<Self> {
        let settings = Settings::new(NAME, SETTINGS, false, properties)?;
        let tls = Tls::of(&settings)?;
        names::check_prefix(url)?;
        let port = if tls.is_some() { TLS_PORT } else { PORT };
        let endpoints: Vec<_> = url
            .endpoints()
            .iter()
            .map(|Endpoint { host, port: given }| (host.clone(), given.unwrap_or(port)))
            .collect();
        let Some((host, _)) = endpoints.first() else {
            return Err(Error::new(StatusCode::BadUrl, "the access point URL names no server")
                .with_remedy("write oms:rabbitmq://host:5672/default"));
        };
        let management = match settings.text(MANAGEMENT_URL) {
            Some(given) => given.trim_end_matches('/').to_owned(),
            None => {
                let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
                match &tls {
                    Some(_) => format!("https://{host}:{MANAGEMENT_TLS_PORT}"),
                    None => format!("http://{host}:{MANAGEMENT_PORT}"),
                }
            }
        };
        if !management.starts_with("http://") && !management.starts_with("https://") {
            return Err(settings.wrong(
                MANAGEMENT_URL,
                &management,
                "http://host:15672 or https://host:15671",
            ));
        }
        let queue_type = match settings.choice(QUEUE_TYPE, &["stream", "quorum"])? {
            "quorum" => QueueType::Quorum,
            _ => QueueType::Stream,
        };
        Ok(Self {
            vhost: vhost(url),
            auth: auth(url, &settings, tls.as_ref())?,
            timeout: settings.millis(REQUEST_TIMEOUT.name, 100, 600_000)?,
            heartbeat: settings.number(HEARTBEAT, 1, 600)? as u16,
            max_message_bytes: settings.number(MAX_MESSAGE, 1024, 134_217_728)? as usize,
            endpoints,
            tls,
            queue_type,
            management,
        })
    }

    /// As errors name it: "rabbitmq at 127.0.0.1:5672".
    pub fn server(&self) -> String {
        let hosts: Vec<_> = self.endpoints.iter().map(|(host, port)| format!("{host}:{port}")).collect();
        format!("{NAME} at {}", hosts.join(","))
    }

    /// The files of TLS in the form that lapin takes. Its roots are exactly these.
    pub fn lapin_tls(&self) -> Result<OwnedTLSConfig> {
        let Some(tls) = &self.tls else { return Ok(OwnedTLSConfig::default()) };
        let chain = match &tls.ca {
            Some(file) => read(TLS_CA.name, file)?,
            None => system_roots().into_bytes(),
        };
        let identity = match (&tls.certificate, &tls.key) {
            (Some(certificate), Some(key)) => Some(OwnedIdentity::PKCS8 {
                pem: read(TLS_CERTIFICATE.name, certificate)?,
                key: read(TLS_KEY.name, key)?,
            }),
            _ => None,
        };
        Ok(OwnedTLSConfig { identity, cert_chain: Some(String::from_utf8_lossy(&chain).into_owned()) })
    }
}

/// `/` where nothing is named, else `region.namespace`.
fn vhost(url: &AccessPointUrl) -> String {
    let joined = names::prefix(url, ".");
    match joined.trim_end_matches('.') {
        "" => "/".to_owned(),
        name => name.to_owned(),
    }
}

fn auth(url: &AccessPointUrl, settings: &Settings<'_>, tls: Option<&Tls>) -> Result<Auth> {
    if settings.choice(AUTH, &["plain", "external"])? == "external" {
        if tls.is_none_or(|tls| tls.certificate.is_none()) {
            return Err(bad_parameter("auth is external, and there is no certificate to show")
                .with_remedy("name tls.certificate.file and tls.key.file"));
        }
        return Ok(Auth::External);
    }
    let Credentials { user, password } = Credentials::of(url, settings)?;
    // RabbitMQ's own default, which it takes from loopback only.
    let guest = user.is_none();
    let user = user.unwrap_or_else(|| "guest".to_owned());
    let password = match password {
        Some(password) => password,
        None if guest || user == "guest" => Secret::new("guest"),
        None => Secret::new(""),
    };
    Ok(Auth::Plain { user, password })
}

fn read(property: &str, file: &str) -> Result<Vec<u8>> {
    std::fs::read(file).map_err(|error| {
        bad_parameter(format!("{property} names {file}, which cannot be read: {error}"))
            .with_remedy("name a file in PEM format that this process can read")
    })
}

/// The authorities of the system, as PEM.
fn system_roots() -> String {
    use base64::Engine;
    let encode = |der: &[u8]| base64::engine::general_purpose::STANDARD.encode(der);
    let certificates = rustls_native_certs::load_native_certs().certs;
    certificates
        .iter()
        .map(|der| format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", encode(der)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str, properties: &[(&str, &str)]) -> Result<Config> {
        let given = properties.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        Config::read(&url.parse().expect("a URL"), &given)
    }

    #[test]
    fn defaults_are_those_of_the_broker() {
        let read = config("oms:rabbitmq://h/default", &[]).expect("read");
        assert_eq!(read.endpoints, [("h".to_owned(), 5672)]);
        assert_eq!((read.vhost.as_str(), read.management.as_str()), ("/", "http://h:15672"));
        assert!(
            matches!(&read.auth, Auth::Plain { user, password } if user == "guest" && password.reveal() == "guest")
        );
        let read = config("oms:rabbitmq://me:pw@h:1,[::1]/eu:shop", &[("tls", "true")]).expect("read");
        assert_eq!(read.endpoints, [("h".to_owned(), 1), ("::1".to_owned(), 5671)]);
        assert_eq!((read.vhost.as_str(), read.management.as_str()), ("eu.shop", "https://h:15671"));
        assert!(!format!("{read:?}").contains("pw\""), "{read:?}");
    }

    #[test]
    fn wrong_values_are_told() {
        for (key, value) in [
            ("queue.type", "classic"),
            ("auth", "external"),
            ("heartbeat.seconds", "0"),
            ("max.message.bytes", "1"),
            ("management.url", "h:15672"),
            ("client.x", "1"),
        ] {
            let error = config("oms:rabbitmq://h/default", &[(key, value)]).expect_err(key);
            assert!(error.status == StatusCode::BadParameter && error.remedy.is_some(), "{error}");
        }
    }
}
