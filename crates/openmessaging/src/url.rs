//! The access point URL: `oms:<driver>://[account@]host[:port][,host[:port]...]/<region>[:<namespace>]`, and for
//! the embedded driver `oms:local:///path`.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result, StatusCode};

/// A parsed access point URL. Printed, it is the text it was parsed from; [`redacted`](Self::redacted) is the form
/// for logs, answers and errors.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct AccessPointUrl {
    text: String,
    pub driver: String,
    /// `user` or `user:password`.
    pub account: Option<String>,
    pub target: Target,
}

/// What the URL points at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// Servers, at least one.
    Servers { endpoints: Vec<Endpoint>, region: String, namespace: Option<String> },
    /// A folder on this machine.
    Path(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// A name or an address; IPv6 addresses stand in brackets in the URL and without them here.
    pub host: String,
    pub port: Option<u16>,
}

impl AccessPointUrl {
    /// The URL with the password in `account` masked.
    pub fn redacted(&self) -> String {
        match self.account.as_deref().and_then(|account| account.split_once(':')) {
            Some((user, password)) => {
                self.text.replacen(&format!("{user}:{password}@"), &format!("{user}:********@"), 1)
            }
            None => self.text.clone(),
        }
    }

    pub fn endpoints(&self) -> &[Endpoint] {
        match &self.target {
            Target::Servers { endpoints, .. } => endpoints,
            Target::Path(_) => &[],
        }
    }

    /// The region, unless it is `default` or empty.
    pub fn region(&self) -> Option<&str> {
        match &self.target {
            Target::Servers { region, .. } => {
                Some(region.as_str()).filter(|r| !r.is_empty() && *r != "default")
            }
            Target::Path(_) => None,
        }
    }

    /// The namespace, unless it is `default` or empty.
    pub fn namespace(&self) -> Option<&str> {
        match &self.target {
            Target::Servers { namespace, .. } => {
                namespace.as_deref().filter(|name| !name.is_empty() && *name != "default")
            }
            Target::Path(_) => None,
        }
    }

    pub fn path(&self) -> Option<&str> {
        match &self.target {
            Target::Path(path) => Some(path),
            Target::Servers { .. } => None,
        }
    }
}

impl fmt::Display for AccessPointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for AccessPointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

const FORM: &str = "write oms:<driver>://[account@]host[:port][,host[:port]...]/<region>[:<namespace>], or oms:local:///path";

/// The error about the part of `text` that starts at byte `at`. The part behind `@` is all that is shown of a URL with
/// an account, so that no password is.
fn wrong(text: &str, at: usize, what: &str) -> Error {
    let column = text[..at].chars().count() + 1;
    let shown: String = match text.rfind('@') {
        Some(account_end) if at <= account_end => String::new(),
        _ => format!(": \"{}\"", text[at..].chars().take(60).collect::<String>()),
    };
    Error::new(StatusCode::BadUrl, format!("access point URL, column {column}: {what}{shown}"))
        .with_remedy(FORM)
}

impl FromStr for AccessPointUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        const SCHEME: &str = "oms:";
        let Some(rest) = text.strip_prefix(SCHEME) else {
            return Err(wrong(text, 0, "it must start with \"oms:\""));
        };
        let Some(colon) = rest.find("://") else {
            return Err(wrong(text, SCHEME.len(), "\"<driver>://\" is missing"));
        };
        let driver = &rest[..colon];
        if driver.is_empty() {
            return Err(wrong(text, SCHEME.len(), "the driver's name is empty"));
        }
        if let Some(bad) = driver.find(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_') {
            return Err(wrong(text, SCHEME.len() + bad, "a driver's name has only letters, digits, - and _"));
        }
        let at = SCHEME.len() + colon + 3;
        if let Some(bad) = text.find(|c: char| c.is_control() || c == ' ') {
            return Err(wrong(text, bad, "blanks and control characters are not allowed (write %20)"));
        }
        let parsed =
            |account, target| Self { text: text.to_owned(), driver: driver.to_owned(), account, target };
        if text[at..].starts_with('/') {
            return Ok(parsed(None, Target::Path(text[at..].to_owned())));
        }
        let slash = text[at..].find('/').map(|offset| at + offset);
        let authority_end = slash.unwrap_or(text.len());
        let account_end = text[at..authority_end].rfind('@').map(|offset| at + offset);
        let account = account_end.map(|end| text[at..end].to_owned());
        if account.as_deref().is_some_and(str::is_empty) {
            return Err(wrong(text, at, "the account before \"@\" is empty"));
        }
        let hosts_at = account_end.map_or(at, |end| end + 1);
        let endpoints = endpoints(text, hosts_at, authority_end)?;
        let Some(slash) = slash else {
            return Err(wrong(text, text.len(), "\"/<region>\" is missing at the end (write /default)"));
        };
        let (region, namespace) = match text[slash + 1..].split_once(':') {
            Some((region, namespace)) => (region, Some(namespace)),
            None => (&text[slash + 1..], None),
        };
        if let Some(bad) = text[slash + 1..].find('/') {
            return Err(wrong(text, slash + 1 + bad, "nothing may follow the region and namespace"));
        }
        if let Some(bad) = namespace.and_then(|name| name.find(':')) {
            let at = slash + 2 + region.len() + bad;
            return Err(wrong(text, at, "only one \":\" may stand between region and namespace"));
        }
        let (region, namespace) = (region.to_owned(), namespace.map(str::to_owned));
        Ok(parsed(account, Target::Servers { endpoints, region, namespace }))
    }
}

fn endpoints(text: &str, start: usize, end: usize) -> Result<Vec<Endpoint>> {
    let mut at = start;
    let mut endpoints = Vec::new();
    for part in text[start..end].split(',') {
        endpoints.push(endpoint(text, at, part)?);
        at += part.len() + 1;
    }
    Ok(endpoints)
}

fn endpoint(text: &str, at: usize, part: &str) -> Result<Endpoint> {
    let (host, port_at) = match part.strip_prefix('[') {
        Some(rest) => {
            let Some(close) = rest.find(']') else { return Err(wrong(text, at, "\"]\" is missing")) };
            (&rest[..close], close + 2)
        }
        None => {
            let colon = part.find(':').unwrap_or(part.len());
            (&part[..colon], colon)
        }
    };
    if host.is_empty() {
        return Err(wrong(text, at, "a host is empty"));
    }
    if let Some(bad) = host.find(|c: char| "@[]?#\\".contains(c)) {
        return Err(wrong(text, at + bad, "a host cannot hold this character"));
    }
    let port = match &part[port_at..] {
        "" => None,
        rest => {
            let number = rest.strip_prefix(':').filter(|n| n.bytes().all(|b| b.is_ascii_digit()));
            match number.and_then(|n| n.parse::<u16>().ok()).filter(|port| *port > 0) {
                Some(port) => Some(port),
                None => return Err(wrong(text, at + port_at, "a port is a number from 1 to 65535")),
            }
        }
    };
    Ok(Endpoint { host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> AccessPointUrl {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn the_seeds_url_is_read() {
        let url = parse("oms:rocketmq://localhost:9876/default:default");
        assert_eq!(url.driver, "rocketmq");
        assert_eq!(url.endpoints(), [Endpoint { host: "localhost".into(), port: Some(9876) }]);
        assert_eq!((url.region(), url.namespace()), (None, None));
    }

    #[test]
    fn accounts_lists_regions_and_ipv6_are_read() {
        let url = parse("oms:kafka://me:p@ss@a:1,[::1]:2,c/eu:shop");
        assert_eq!(url.account.as_deref(), Some("me:p@ss"));
        assert_eq!(url.endpoints().len(), 3);
        assert_eq!(url.endpoints()[1], Endpoint { host: "::1".into(), port: Some(2) });
        assert_eq!((url.region(), url.namespace()), (Some("eu"), Some("shop")));
        assert_eq!(url.redacted(), "oms:kafka://me:********@a:1,[::1]:2,c/eu:shop");
        assert!(!format!("{url:?}").contains("p@ss"));
    }

    #[test]
    fn a_local_path_is_read() {
        assert_eq!(parse("oms:local:///var/lib/x").path(), Some("/var/lib/x"));
    }

    #[test]
    fn errors_point_at_the_wrong_part() {
        for (text, column, what) in [
            ("kafka://a/b", 1, "must start with"),
            ("oms:kafka:/a", 5, "is missing"),
            ("oms:://a/b", 5, "name is empty"),
            ("oms:ka!fka://a/b", 7, "only letters"),
            ("oms:kafka://a:x/b", 14, "a port is a number"),
            ("oms:kafka://a:70000/b", 14, "a port is a number"),
            ("oms:kafka://a,,b/c", 15, "a host is empty"),
            ("oms:kafka://a:1", 16, "is missing at the end"),
            ("oms:kafka://a/b/c", 16, "nothing may follow"),
            ("oms:kafka://a/b:c:d", 18, "only one"),
            ("oms:kafka://[::1/b", 13, "\"]\" is missing"),
        ] {
            let error = text.parse::<AccessPointUrl>().expect_err(text).to_string();
            assert!(error.contains(&format!("column {column}:")) && error.contains(what), "{text}: {error}");
        }
    }

    #[test]
    fn errors_never_show_a_password() {
        let error = "oms:kafka://me:secret@:1/b".parse::<AccessPointUrl>().expect_err("no host").to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_printed_back_the_same(text in "oms:[a-z]{0,3}(://)?[ -~\u{e9}]{0,40}") {
            if let Ok(url) = text.parse::<AccessPointUrl>() {
                prop_assert_eq!(url.to_string(), text);
            }
        }
    }
}
