//! Who connects.

use std::fmt;

use openmessaging::{AccessPointUrl, Error, Result, StatusCode};
use percent_encoding::percent_decode_str;

use super::settings::Settings;

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the wire.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("********")
    }
}

/// A user and a password, as far as there are any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub user: Option<String>,
    pub password: Option<Secret>,
}

impl Credentials {
    /// The properties `user` and `password`; where they do not say, the account of the URL (percent-decoded).
    pub fn of(url: &AccessPointUrl, settings: &Settings<'_>) -> Result<Self> {
        let (user, password) = match url.account.as_deref() {
            None => (None, None),
            Some(account) => match account.split_once(':') {
                Some((user, password)) => (Some(decode(user)?), Some(decode(password)?)),
                None => (Some(decode(account)?), None),
            },
        };
        Ok(Self {
            user: settings.text("user").map(str::to_owned).or(user),
            password: settings.text("password").map(str::to_owned).or(password).map(Secret),
        })
    }
}

fn decode(text: &str) -> Result<String> {
    percent_decode_str(text).decode_utf8().map(|text| text.into_owned()).map_err(|_| {
        Error::new(StatusCode::BadUrl, "the account of the access point URL is not UTF-8")
            .with_remedy("percent-encode it, or give it as the properties user and password")
    })
}

#[cfg(test)]
mod tests {
    use openmessaging::Properties;

    use super::super::settings::{PASSWORD, USER};
    use super::*;

    fn read(url: &str, properties: &[(&str, &str)]) -> Credentials {
        let given: Properties =
            properties.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let settings = Settings::new("x", &[USER, PASSWORD], false, &given).expect("known");
        Credentials::of(&url.parse().expect("a URL"), &settings).expect("credentials")
    }

    #[test]
    fn properties_win_over_the_account() {
        assert_eq!(read("oms:x://h/d", &[]), Credentials::default());
        let both = read("oms:x://me:p%40ss@h/d", &[]);
        assert_eq!(
            (both.user.as_deref(), both.password.as_ref().map(Secret::reveal)),
            (Some("me"), Some("p@ss"))
        );
        let mixed = read("oms:x://me:old@h/d", &[("password", "new")]);
        assert_eq!(
            (mixed.user.as_deref(), mixed.password.as_ref().map(Secret::reveal)),
            (Some("me"), Some("new"))
        );
        assert!(!format!("{mixed:?}").contains("new"));
    }
}
