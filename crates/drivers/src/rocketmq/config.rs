//! The settings of the RocketMQ driver.

use std::sync::Arc;
use std::time::Duration;

use openmessaging::{AccessPointUrl, Properties, Result, Setting};
use rustls::ClientConfig;

use super::codes::{FLUSH_DISK_TIMEOUT, FLUSH_SLAVE_TIMEOUT, SLAVE_NOT_AVAILABLE};
use crate::common::credentials::{Credentials, Secret};
use crate::common::settings::{
    PASSWORD, REQUEST_TIMEOUT, Settings, TLS, TLS_CA, TLS_CERTIFICATE, TLS_KEY, USER,
};
use crate::common::tls::Tls;

const ACCESS_KEY: &str = "access.key";
const SECRET_KEY: &str = "secret.key";
const ACCEPT: &str = "accept.send.status";
const MAX_MESSAGE_BYTES: &str = "max.message.bytes";
const BATCH_BYTES: &str = "batch.bytes";

const MIB: u64 = 1024 * 1024;

/// The default of `max.message.bytes`, which is the broker's own.
pub(super) const DEFAULT_MAX_MESSAGE_BYTES: usize = 4 * MIB as usize;

/// The properties of an access point.
pub(super) const SETTINGS: [Setting; 12] = [
    USER,
    PASSWORD,
    Setting::new(
        ACCESS_KEY,
        "",
        "The access key (user name) of RocketMQ's ACL; the same as `user`, and wins over it.",
    ),
    Setting::secret(SECRET_KEY, "The secret key of the ACL; the same as `password`, and wins over it."),
    TLS,
    TLS_CA,
    TLS_CERTIFICATE,
    TLS_KEY,
    REQUEST_TIMEOUT,
    Setting::new(
        ACCEPT,
        "",
        "What counts as stored beside SEND_OK, a comma list of `flush-disk-timeout`, `flush-slave-timeout` and \
         `slave-not-available`. Without it they are failures that may be sent again: the message is in the \
         master's memory only.",
    ),
    Setting::new(
        MAX_MESSAGE_BYTES,
        "4194304",
        "Key, headers and body of the largest message sent; not more than the broker's `maxMessageSize`. 1 KiB to 32 MiB.",
    ),
    Setting::new(
        BATCH_BYTES,
        "1048576",
        "How large a request grows into which messages for one queue of a topic are put together; not more than the \
         broker's `maxMessageSize`. 1 KiB to 4 MiB.",
    ),
];

/// Who signs requests.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    pub access: String,
    pub secret: Secret,
}

/// How an access point is to behave.
#[derive(Clone)]
pub(super) struct Config {
    pub keys: Option<Keys>,
    pub tls: Option<Arc<ClientConfig>>,
    pub request_timeout: Duration,
    /// Codes of answers that count as stored, beside success.
    pub accepted: Vec<i32>,
    pub max_message_bytes: usize,
    pub batch_bytes: usize,
}

impl Config {
    /// # Errors
    /// `BadParameter`: an unknown property, or a value that cannot be used.
    pub fn parse(url: &AccessPointUrl, properties: &Properties) -> Result<Self> {
        let settings = Settings::new("rocketmq", &SETTINGS, false, properties)?;
        Ok(Self {
            keys: keys(url, &settings)?,
            tls: Tls::of(&settings)?.map(|tls| tls.client_config()).transpose()?,
            request_timeout: settings.millis("request.timeout.ms", 100, 600_000)?,
            accepted: accepted(&settings)?,
            max_message_bytes: settings.number(MAX_MESSAGE_BYTES, 1024, 32 * MIB)? as usize,
            batch_bytes: settings.number(BATCH_BYTES, 1024, 4 * MIB)? as usize,
        })
    }
}

fn keys(url: &AccessPointUrl, settings: &Settings<'_>) -> Result<Option<Keys>> {
    let general = Credentials::of(url, settings)?;
    let access = settings.text(ACCESS_KEY).map(str::to_owned).or(general.user);
    let secret = settings.text(SECRET_KEY).map(Secret::new).or(general.password);
    match (access, secret) {
        (Some(access), Some(secret)) => Ok(Some(Keys { access, secret })),
        (None, None) => Ok(None),
        (Some(_), None) => {
            Err(settings.wrong(SECRET_KEY, "", "the secret key that belongs to the access key"))
        }
        (None, Some(_)) => {
            Err(settings.wrong(ACCESS_KEY, "", "the access key that belongs to the secret key"))
        }
    }
}

fn accepted(settings: &Settings<'_>) -> Result<Vec<i32>> {
    let text = settings.text(ACCEPT).unwrap_or_default();
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    names
        .map(|name| match name {
            "flush-disk-timeout" => Ok(FLUSH_DISK_TIMEOUT),
            "flush-slave-timeout" => Ok(FLUSH_SLAVE_TIMEOUT),
            "slave-not-available" => Ok(SLAVE_NOT_AVAILABLE),
            other => Err(settings.wrong(
                ACCEPT,
                other,
                "a comma list of flush-disk-timeout, flush-slave-timeout, slave-not-available",
            )),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use openmessaging::StatusCode;

    use super::*;

    fn parse(url: &str, properties: &[(&str, &str)]) -> Result<Config> {
        let properties = properties.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        Config::parse(&url.parse().expect("a URL"), &properties)
    }

    #[test]
    fn the_keys_of_the_acl_have_two_names() {
        let plain = parse("oms:rocketmq://h/default", &[]).expect("no property is needed");
        assert!(plain.keys.is_none() && plain.tls.is_none() && plain.accepted.is_empty());
        for (url, properties) in [
            ("oms:rocketmq://h/d", &[("access.key", "me"), ("secret.key", "hush")][..]),
            ("oms:rocketmq://h/d", &[("user", "me"), ("password", "hush")][..]),
            ("oms:rocketmq://me:hush@h/d", &[][..]),
            ("oms:rocketmq://you:x@h/d", &[("access.key", "me"), ("secret.key", "hush")][..]),
        ] {
            let keys = parse(url, properties).expect("read").keys.expect("keys");
            assert_eq!((keys.access.as_str(), keys.secret.reveal()), ("me", "hush"));
            assert!(!format!("{keys:?}").contains("hush"));
        }
        let error = parse("oms:rocketmq://h/d", &[("secret.key", "hush")]).err().expect("half").to_string();
        assert!(error.contains("access.key") && !error.contains("hush"), "{error}");
    }

    #[test]
    fn accepted_answers_are_named() {
        let config = parse("oms:rocketmq://h/d", &[(ACCEPT, "flush-disk-timeout, slave-not-available")]);
        assert_eq!(config.expect("read").accepted, [FLUSH_DISK_TIMEOUT, SLAVE_NOT_AVAILABLE]);
        let error = parse("oms:rocketmq://h/d", &[(ACCEPT, "all")]).err().expect("unknown");
        assert_eq!(error.status, StatusCode::BadParameter);
    }
}
