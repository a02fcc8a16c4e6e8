//! Properties of an access point, read by the list that the driver gives of them (`Driver::settings`).

use std::time::Duration;

use openmessaging::{Error, Properties, Result, Setting, StatusCode};

/// What begins with this is a setting of the broker's own client, passed on as it is.
const PASSED_ON: &str = "client.";

/// The properties that every driver of a server takes. A driver's list is these and its own.
pub(crate) const USER: Setting = Setting::new("user", "", "The user. Wins over the account of the URL.");
pub(crate) const PASSWORD: Setting = Setting::secret(
    "password",
    "The password. Give it here through a secret reference (`${env:NAME}`, `${file:/path:key}`), not in the URL.",
);
pub(crate) const TLS: Setting = Setting::new(
    "tls",
    "false",
    "`true` connects over TLS. Set by itself where one of the `tls.` files is named.",
);
pub(crate) const TLS_CA: Setting = Setting::new(
    "tls.ca.file",
    "",
    "The authorities (PEM) that the server's certificate may be signed by; without it, those of the system.",
);
pub(crate) const TLS_CERTIFICATE: Setting = Setting::new(
    "tls.certificate.file",
    "",
    "The certificate (PEM) that this client shows, with `tls.key.file`.",
);
pub(crate) const TLS_KEY: Setting =
    Setting::new("tls.key.file", "", "The private key (PEM) of `tls.certificate.file`.");
pub(crate) const REQUEST_TIMEOUT: Setting = Setting::new(
    "request.timeout.ms",
    "30000",
    "How long a call may take in all, retries included, until it is a `Timeout`. 100 to 600000.",
);

/// The given properties, none of them unknown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings<'a> {
    driver: &'static str,
    known: &'static [Setting],
    given: &'a Properties,
}

impl<'a> Settings<'a> {
    /// # Errors
    /// `BadParameter` for an unknown property, with the nearest known one. `passes_on`: what begins with `client.` is
    /// not looked at.
    pub fn new(
        driver: &'static str,
        known: &'static [Setting],
        passes_on: bool,
        given: &'a Properties,
    ) -> Result<Self> {
        for key in given.keys() {
            let passed_on = passes_on && key.starts_with(PASSED_ON);
            if !passed_on && !known.iter().any(|setting| setting.name == key) {
                return Err(unknown(driver, key, known, passes_on));
            }
        }
        Ok(Self { driver, known, given })
    }

    /// The value, the default where none was given, `None` where there is no default either.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        match self.given.get(name) {
            Some(given) => Some(given.as_str()).filter(|text| !text.is_empty()),
            None => {
                let setting = self.known.iter().find(|setting| setting.name == name)?;
                Some(setting.default).filter(|text| !text.is_empty())
            }
        }
    }

    pub fn is_given(&self, name: &str) -> bool {
        self.given.get(name).is_some_and(|text| !text.is_empty())
    }

    /// # Errors
    /// `BadParameter`: not a number in that range. A name without value and default counts as `from`.
    pub fn number(&self, name: &str, from: u64, to: u64) -> Result<u64> {
        let Some(text) = self.text(name) else { return Ok(from) };
        let parsed = text.parse().ok().filter(|number| (from..=to).contains(number));
        parsed.ok_or_else(|| self.wrong(name, text, &format!("a number from {from} to {to}")))
    }

    pub fn millis(&self, name: &str, from: u64, to: u64) -> Result<Duration> {
        self.number(name, from, to).map(Duration::from_millis)
    }

    pub fn flag(&self, name: &str) -> Result<bool> {
        match self.text(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(self.wrong(name, other, "true or false")),
        }
    }

    /// One of these; where none is given and there is no default, the first.
    pub fn choice(&self, name: &str, choices: &[&'static str]) -> Result<&'static str> {
        let Some(text) = self.text(name) else { return Ok(choices.first().copied().unwrap_or_default()) };
        let found = choices.iter().find(|choice| **choice == text);
        found.copied().ok_or_else(|| self.wrong(name, text, &choices.join(" or ")))
    }

    /// What was given behind `client.`, without that.
    pub fn passed_on(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.given.iter().filter_map(|(key, value)| Some((key.strip_prefix(PASSED_ON)?, value.as_str())))
    }

    /// The error about a value. A secret one is not shown.
    pub fn wrong(&self, name: &str, value: &str, wanted: &str) -> Error {
        let secret = self.known.iter().any(|setting| setting.name == name && setting.secret);
        let shown = if secret { "not usable".to_owned() } else { format!("\"{value}\"") };
        bad_parameter(format!("property {name} of the {} driver is {shown}", self.driver))
            .with_remedy(format!("write {wanted}"))
    }
}

pub(crate) fn bad_parameter(message: impl Into<String>) -> Error {
    Error::new(StatusCode::BadParameter, message)
}

fn unknown(driver: &str, key: &str, known: &[Setting], passes_on: bool) -> Error {
    let names: Vec<&str> = known.iter().map(|setting| setting.name).collect();
    let near = names.iter().min_by_key(|name| strsim::damerau_levenshtein(name, key));
    let hint = near.map(|near| format!("the nearest is {near}; ")).unwrap_or_default();
    let client = if passes_on { ", and client.<setting of the broker's client>" } else { "" };
    bad_parameter(format!("the {driver} driver has no property \"{key}\""))
        .with_remedy(format!("{hint}known: {}{client}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[Setting] = &[USER, PASSWORD, TLS, REQUEST_TIMEOUT, Setting::new("mode", "", "x")];

    fn properties(pairs: &[(&str, &str)]) -> Properties {
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    #[test]
    fn values_are_read_and_have_defaults() {
        let given = properties(&[("tls", "true"), ("client.linger.ms", "5")]);
        let settings = Settings::new("x", KNOWN, true, &given).expect("known");
        assert!(settings.flag("tls").expect("a flag"));
        assert_eq!(settings.millis("request.timeout.ms", 1, 60_000).expect("a number").as_millis(), 30_000);
        assert_eq!(settings.text("user"), None);
        assert_eq!(settings.choice("mode", &["a", "b"]).expect("a choice"), "a");
        assert_eq!(settings.passed_on().collect::<Vec<_>>(), [("linger.ms", "5")]);
    }

    #[test]
    fn errors_name_the_property_and_the_remedy_and_no_secret() {
        let given = properties(&[("usr", "me")]);
        let error = Settings::new("x", KNOWN, false, &given).expect_err("unknown").to_string();
        assert!(error.contains("\"usr\"") && error.contains("nearest is user"), "{error}");
        let given = properties(&[("client.a", "b")]);
        assert!(Settings::new("x", KNOWN, false, &given).is_err(), "nothing is passed on");
        let given = properties(&[("tls", "yes"), ("request.timeout.ms", "0"), ("mode", "c")]);
        let settings = Settings::new("x", KNOWN, false, &given).expect("known");
        for error in [
            settings.flag("tls").expect_err("no flag"),
            settings.number("request.timeout.ms", 1, 9).expect_err("too small"),
            settings.choice("mode", &["a", "b"]).expect_err("no choice"),
        ] {
            assert!(error.status == StatusCode::BadParameter && error.remedy.is_some(), "{error}");
        }
        let error = settings.wrong("password", "hush", "a better one").to_string();
        assert!(!error.contains("hush"), "{error}");
    }
}
