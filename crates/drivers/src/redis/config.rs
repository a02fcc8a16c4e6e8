//! The settings of the driver, all with defaults.

use std::sync::Arc;
use std::time::Duration;

use openmessaging::{AccessPointUrl, Error, Properties, Result, Setting, StatusCode, url::Target};
use tokio_rustls::rustls::ClientConfig;

use super::super::common::credentials::Credentials;
use super::super::common::names;
use super::super::common::settings::{
    PASSWORD, REQUEST_TIMEOUT, Settings, TLS, TLS_CA, TLS_CERTIFICATE, TLS_KEY, USER,
};
use super::super::common::tls::Tls;

pub(super) const DEFAULT_PORT: u16 = 6379;

const DATABASE: &str = "database";
const MAX_MESSAGE_BYTES: &str = "max.message.bytes";
const WAIT_REPLICAS: &str = "wait.replicas";
const WAIT_FSYNC: &str = "wait.fsync";
const RETENTION_CHECK_MS: &str = "retention.check.ms";

/// The properties of an access point.
pub(super) const SETTINGS: [Setting; 12] = [
    USER,
    PASSWORD,
    TLS,
    TLS_CA,
    TLS_CERTIFICATE,
    TLS_KEY,
    REQUEST_TIMEOUT,
    Setting::new(DATABASE, "0", "The number of the database (`SELECT`)."),
    Setting::new(
        MAX_MESSAGE_BYTES,
        "67108864",
        "Key, headers and body of the largest message taken; up to 256 MiB, and below the server's \
         `proto-max-bulk-len`.",
    ),
    Setting::new(
        WAIT_REPLICAS,
        "auto",
        "How many replicas must have a message before it counts as acknowledged (`WAIT`); `auto`: one, where the \
         server has any when a producer connects.",
    ),
    Setting::new(
        WAIT_FSYNC,
        "false",
        "`true` acknowledges a message only when the server has synced it to its disk (`WAITAOF`, Redis 7.2 and later); \
         without it a loss of power can take what `appendfsync` says, a second's worth by default.",
    ),
    Setting::new(RETENTION_CHECK_MS, "10000", "How often retention looks at the queues that are used here."),
];

/// The default of `max.message.bytes`.
pub(super) const DEFAULT_MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// How an access point is to behave.
pub(super) struct Config {
    /// At least one; the first that answers, and is no replica, is used.
    pub endpoints: Vec<(String, u16)>,
    /// For errors: `redis at 127.0.0.1:6379`.
    pub server: Arc<str>,
    pub credentials: Credentials,
    pub tls: Option<Arc<ClientConfig>>,
    pub database: u64,
    /// What every key begins with: `region:namespace:`.
    pub prefix: String,
    pub timeout: Duration,
    pub max_message_bytes: usize,
    /// `None`: what the server has says.
    pub wait_replicas: Option<u64>,
    pub wait_fsync: bool,
    pub retention_check: Duration,
}

impl Config {
    /// # Errors
    /// `BadUrl`, `BadParameter`.
    pub fn parse(url: &AccessPointUrl, properties: &Properties) -> Result<Self> {
        let settings = Settings::new("redis", &SETTINGS, false, properties)?;
        let Target::Servers { endpoints, .. } = &url.target else {
            return Err(Error::new(StatusCode::BadUrl, format!("{url:?}: the redis driver takes a server"))
                .with_remedy("write oms:redis://host:port/region"));
        };
        names::check_prefix(url)?;
        let endpoints: Vec<(String, u16)> = endpoints
            .iter()
            .map(|endpoint| (endpoint.host.clone(), endpoint.port.unwrap_or(DEFAULT_PORT)))
            .collect();
        let named: Vec<String> = endpoints.iter().map(|(host, port)| format!("{host}:{port}")).collect();
        let wait_replicas = match settings.text(WAIT_REPLICAS) {
            None | Some("auto") => None,
            Some(_) => Some(settings.number(WAIT_REPLICAS, 0, 1000)?),
        };
        Ok(Self {
            server: format!("redis at {}", named.join(",")).into(),
            endpoints,
            credentials: Credentials::of(url, &settings)?,
            tls: Tls::of(&settings)?.map(|tls| tls.client_config()).transpose()?,
            database: settings.number(DATABASE, 0, 1 << 20)?,
            prefix: names::prefix(url, ":"),
            timeout: settings.millis("request.timeout.ms", 100, 600_000)?,
            max_message_bytes: settings.number(MAX_MESSAGE_BYTES, 1, 256 << 20)? as usize,
            wait_replicas,
            wait_fsync: settings.flag(WAIT_FSYNC)?,
            retention_check: settings.millis(RETENTION_CHECK_MS, 10, 86_400_000)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str, properties: &[(&str, &str)]) -> Result<Config> {
        let properties = properties.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        Config::parse(&url.parse().expect("a URL"), &properties)
    }

    #[test]
    fn urls_and_properties_are_read() {
        let config = parse("oms:redis://a,b:7/eu:shop", &[("wait.replicas", "2"), ("database", "3")]);
        let config = config.expect("well formed");
        assert_eq!(config.endpoints, [("a".to_owned(), 6379), ("b".to_owned(), 7)]);
        assert_eq!((&*config.server, &*config.prefix), ("redis at a:6379,b:7", "eu:shop:"));
        assert_eq!((config.wait_replicas, config.database), (Some(2), 3));
        assert_eq!(parse("oms:redis://a/default", &[]).expect("well formed").wait_replicas, None);
    }

    #[test]
    fn errors_name_what_is_wrong() {
        for (url, key, value, says) in [
            ("oms:redis:///tmp/x", "database", "0", "takes a server"),
            ("oms:redis://a/d", "database", "x", "database"),
            ("oms:redis://a/d", "wait.replicas", "some", "wait.replicas"),
            ("oms:redis://a/d", "wait.replica", "1", "nearest is wait.replicas"),
            ("oms:redis://a/a.b", "database", "0", "region"),
        ] {
            let error = parse(url, &[(key, value)]).err().expect("an error").to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
