//! The runtime's own configuration: the keys that every connector has, secrets, and validation of the whole.

pub mod keys;
pub mod secrets;
pub mod validate;

use openmessaging::{DriverRegistry, Properties};
use openmessaging_connector::{Config, Registry};

/// The plugin class that a connector configuration names.
pub fn class_of(config: &Config) -> Option<&str> {
    config.get(keys::CLASS).or_else(|| config.get(keys::CLASS_ORIGINAL)).map(String::as_str)
}

/// A copy of a connector's configuration with secrets masked (invariant 6): values of keys that the connector, the
/// framework, a converter or a driver declares as secret, and the password in a driver URL. References stay as they are.
pub fn masked(registry: &Registry, drivers: &DriverRegistry, config: &Config) -> Config {
    let plugin = class_of(config).and_then(|class| registry.connector(class).ok());
    let mut shown = match &plugin {
        Some(plugin) => (plugin.config_def)().mask(config),
        // An unknown class: nothing tells what is secret, so all is.
        None => config
            .iter()
            .map(|(k, v)| (k.clone(), if keys::is_framework(k) { v } else { MASK }.to_owned()))
            .collect(),
    };
    for (key, value) in &mut shown {
        let secret =
            key.strip_prefix(keys::DRIVER_PREFIX).is_some_and(|name| is_secret_of_driver(drivers, name));
        if secret && !value.starts_with("${") {
            *value = MASK.to_owned();
        }
    }
    if let Some(url) = shown.get_mut(keys::DRIVER_URL) {
        *url = match url.parse::<openmessaging::AccessPointUrl>() {
            Ok(parsed) => parsed.redacted(),
            Err(_) if url.contains('@') => MASK.to_owned(),
            Err(_) => std::mem::take(url),
        };
    }
    shown
}

fn is_secret_of_driver(drivers: &DriverRegistry, name: &str) -> bool {
    let settings = drivers.drivers().iter().flat_map(|driver| driver.settings());
    settings.into_iter().any(|setting| setting.name == name && setting.secret)
}

/// The properties that a connector's configuration has for its driver.
pub fn driver_properties(config: &Config) -> Properties {
    let named = |(key, value): (&String, &String)| {
        Some((key.strip_prefix(keys::DRIVER_PREFIX)?.to_owned(), value.clone()))
    };
    config.iter().filter_map(named).collect()
}

/// The configuration to store when a user sends one back that was shown to them: a masked value keeps what is stored.
pub fn unmasked(mut sent: Config, stored: Option<&Config>, shown: Option<&Config>) -> Config {
    let (Some(stored), Some(shown)) = (stored, shown) else { return sent };
    for (key, value) in &mut sent {
        let was_masked = shown.get(key) == Some(value) && stored.get(key) != Some(value);
        if let Some(original) = stored.get(key).filter(|_| was_masked) {
            *value = original.clone();
        }
    }
    sent
}

use openmessaging_connector::config::MASK;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_value_sent_back_keeps_the_stored_one() {
        let stored = Config::from_iter([("pw".into(), "hunter2".into()), ("a".into(), "1".into())]);
        let shown = Config::from_iter([("pw".into(), MASK.into()), ("a".into(), "1".into())]);
        let sent = Config::from_iter([("pw".into(), MASK.into()), ("a".into(), "2".into())]);
        let kept = unmasked(sent, Some(&stored), Some(&shown));
        assert_eq!((kept["pw"].as_str(), kept["a"].as_str()), ("hunter2", "2"));
    }
}
