//! The settings of the NATS driver.

use std::sync::Arc;
use std::time::Duration;

use openmessaging::url::Endpoint;
use openmessaging::{AccessPointUrl, Error, Properties, Result, Setting, StatusCode};

use super::auth::{self, Auth};
use super::names::Space;
use crate::common::credentials::{Credentials, Secret};
use crate::common::names::check_prefix;
use crate::common::settings::{
    PASSWORD, REQUEST_TIMEOUT, Settings, TLS, TLS_CA, TLS_CERTIFICATE, TLS_KEY, USER, bad_parameter,
};
use crate::common::tls::Tls;

pub(super) const DRIVER: &str = "nats";
pub(super) const DEFAULT_PORT: u16 = 4222;
pub(super) const DEFAULT_MAX_MESSAGE_BYTES: usize = 8 * 1024 * 1024;

const TOKEN: &str = "token";
const NKEY_SEED: &str = "nkey.seed";
const CREDENTIALS_FILE: &str = "credentials.file";
const TLS_FIRST: &str = "tls.first";
const DOMAIN: &str = "domain";
const INBOX_PREFIX: &str = "inbox.prefix";
const REPLICAS: &str = "replicas";
const MAX_MESSAGE_BYTES: &str = "max.message.bytes";
const ORDERED: &str = "ordered";
const NAME: &str = "connection.name";

pub(super) const SETTINGS: [Setting; 17] = [
    USER,
    PASSWORD,
    Setting::secret(
        TOKEN,
        "The token, where the server wants one. A user without a password in the URL is taken for it.",
    ),
    Setting::secret(NKEY_SEED, "The seed (`SU...`) of the NKey whose public half the server knows."),
    Setting::new(
        CREDENTIALS_FILE,
        "",
        "A `.creds` file, as `nsc` writes them: the user's JWT and its NKey seed. It chooses the account too.",
    ),
    TLS,
    TLS_CA,
    TLS_CERTIFICATE,
    TLS_KEY,
    Setting::new(
        TLS_FIRST,
        "false",
        "`true` for servers with `handshake_first`: TLS begins before the server says anything.",
    ),
    REQUEST_TIMEOUT,
    Setting::new(DOMAIN, "", "The JetStream domain to use, where it is not the server's own (leaf nodes)."),
    Setting::new(
        INBOX_PREFIX,
        "_INBOX",
        "What the subjects of answers begin with: the user must be allowed to subscribe to them.",
    ),
    Setting::new(
        REPLICAS,
        "1",
        "On how many servers of a cluster the streams and buckets that are made here are kept. 1 to 5; 3 outlive the loss \
         of a server.",
    ),
    Setting::new(
        MAX_MESSAGE_BYTES,
        "8388608",
        "Key, headers and body of the largest message taken; never more than the server's `max_payload`, which is 1 MiB \
         unless it is set. 1024 to 67108864.",
    ),
    Setting::new(
        ORDERED,
        "true",
        "`true` names in each message the one before it, so that nothing is stored behind one that was refused. `false` is \
         faster where many producers send to the same partition at once.",
    ),
    Setting::new(NAME, "omsconnect", "The name of the connections, as the server lists them."),
];

/// How an access point is to behave.
#[derive(Debug, Clone)]
pub(super) struct Config {
    pub endpoints: Vec<Endpoint>,
    /// As errors name it: "nats at 127.0.0.1:4222".
    pub server: String,
    pub space: Space,
    pub auth: Auth,
    pub tls: Option<Arc<rustls::ClientConfig>>,
    pub tls_first: bool,
    pub timeout: Duration,
    /// `$JS.API` or `$JS.<domain>.API`.
    pub api: String,
    pub inbox: String,
    pub replicas: u64,
    pub max_message_bytes: usize,
    pub ordered: bool,
    pub name: String,
}

impl Config {
    pub fn parse(url: &AccessPointUrl, properties: &Properties) -> Result<Self> {
        let settings = Settings::new(DRIVER, &SETTINGS, false, properties)?;
        if url.endpoints().is_empty() {
            return Err(Error::new(
                StatusCode::BadUrl,
                format!("{url:?}: the nats driver takes servers, not a folder"),
            )
            .with_remedy("write oms:nats://host[:port]/default"));
        }
        check_prefix(url)?;
        let tls = Tls::of(&settings)?;
        let endpoints = url.endpoints().to_vec();
        Ok(Self {
            server: format!("nats at {}", addresses(&endpoints)),
            endpoints,
            space: Space::of(url),
            auth: authentication(url, &settings)?,
            tls: tls.map(|tls| tls.client_config()).transpose()?,
            tls_first: settings.flag(TLS_FIRST)?,
            timeout: settings.millis("request.timeout.ms", 100, 600_000)?,
            api: match subject_part(&settings, DOMAIN)? {
                Some(domain) => format!("$JS.{domain}.API"),
                None => "$JS.API".to_owned(),
            },
            inbox: subject_part(&settings, INBOX_PREFIX)?.unwrap_or_else(|| "_INBOX".to_owned()),
            replicas: settings.number(REPLICAS, 1, 5)?,
            max_message_bytes: settings.number(MAX_MESSAGE_BYTES, 1024, 64 << 20)? as usize,
            ordered: settings.flag(ORDERED)?,
            name: settings.text(NAME).unwrap_or("omsconnect").to_owned(),
        })
    }
}

/// `host:port` of each.
fn addresses(endpoints: &[Endpoint]) -> String {
    endpoints.iter().map(address).collect::<Vec<_>>().join(",")
}

pub(super) fn address(endpoint: &Endpoint) -> String {
    let port = endpoint.port.unwrap_or(DEFAULT_PORT);
    if endpoint.host.contains(':') {
        format!("[{}]:{port}", endpoint.host)
    } else {
        format!("{}:{port}", endpoint.host)
    }
}

fn subject_part(settings: &Settings<'_>, name: &str) -> Result<Option<String>> {
    let Some(text) = settings.text(name) else { return Ok(None) };
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if text.len() > 100 || !text.chars().all(allowed) || text.split('.').any(str::is_empty) {
        return Err(settings.wrong(name, text, "letters, digits, -, _ and single dots between them"));
    }
    Ok(Some(text.to_owned()))
}

fn authentication(url: &AccessPointUrl, settings: &Settings<'_>) -> Result<Auth> {
    let Credentials { user, password } = Credentials::of(url, settings)?;
    let given: Vec<&str> =
        [CREDENTIALS_FILE, NKEY_SEED, TOKEN].into_iter().filter(|name| settings.is_given(name)).collect();
    if given.len() > 1 {
        return Err(bad_parameter(format!("{} are given together", given.join(" and ")))
            .with_remedy("name one way to authenticate"));
    }
    if let Some(file) = settings.text(CREDENTIALS_FILE) {
        return auth::from_file(CREDENTIALS_FILE, file);
    }
    if let Some(seed) = settings.text(NKEY_SEED) {
        return auth::from_seed(seed)
            .map_err(|()| settings.wrong(NKEY_SEED, seed, "a seed of a user, which begins with SU"));
    }
    if let Some(token) = settings.text(TOKEN) {
        return Ok(Auth::Token(Secret::new(token)));
    }
    Ok(match (user, password) {
        (Some(user), Some(password)) => Auth::User(user, password),
        (Some(token), None) => Auth::Token(Secret::new(token)),
        (None, Some(_)) => {
            return Err(bad_parameter("a password is given without a user").with_remedy("name the user too"));
        }
        (None, None) => Auth::None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str, properties: &[(&str, &str)]) -> Result<Config> {
        let properties = properties.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        Config::parse(&url.parse().expect("a URL"), &properties)
    }

    #[test]
    fn settings_are_read() {
        let config = parse("oms:nats://a,[::1]:5/eu", &[("domain", "hub"), ("replicas", "3")]).expect("read");
        assert_eq!(config.server, "nats at a:4222,[::1]:5");
        assert_eq!((config.api.as_str(), config.replicas, config.ordered), ("$JS.hub.API", 3, true));
        assert!(matches!(config.auth, Auth::None));
        assert!(matches!(parse("oms:nats://t@h/d", &[]).expect("read").auth, Auth::Token(_)));
        assert!(matches!(parse("oms:nats://u:p@h/d", &[]).expect("read").auth, Auth::User(..)));
    }

    #[test]
    fn errors_name_the_property_and_hide_secrets() {
        for (properties, says) in [
            (&[("replicas", "9")][..], "replicas"),
            (&[("domain", "a b")][..], "domain"),
            (&[("nkey.seed", "SUhush")][..], "nkey.seed"),
            (&[("nkey.seed", "x"), ("token", "hush")][..], "nkey.seed and token"),
            (&[("credentials.file", "/nowhere/x.creds")][..], "/nowhere/x.creds"),
            (&[("password", "hush")][..], "without a user"),
            (&[("inbx.prefix", "x")][..], "inbox.prefix"),
        ] {
            let error = parse("oms:nats://h/d", properties).expect_err(says);
            let text = format!("{error} {error:?}");
            assert!(text.contains(says) && !text.contains("hush") && error.remedy.is_some(), "{text}");
        }
        assert!(parse("oms:nats:///folder", &[]).is_err());
    }
}
