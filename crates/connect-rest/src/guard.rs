//! Keeps web pages of other sites out. A browser sends their requests to loopback addresses as readily as to any other,
//! and a name that its owner points at 127.0.0.1 (DNS rebinding) makes it believe that the page is ours.
//!
//! - A request that changes something must name a host that is ours, and must not come from another origin
//!   (`Origin`, `Sec-Fetch-Site`: the Fetch Metadata standard of the W3C).
//! - A request that reads must not come under a host name that is not ours; addresses are no names and cannot be pointed
//!   elsewhere.

use std::net::IpAddr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri, header};

use crate::error::{RestError, Result};
use crate::options::RestOptions;

/// Whether a request changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    Read,
    Change,
}

/// The hosts that are ours.
#[derive(Debug, Clone)]
pub struct Guard {
    /// `name` or `name:port`, in lower case.
    hosts: Vec<String>,
    any: bool,
}

impl Guard {
    /// `advertised` is the `host:port` at which others reach this worker.
    pub fn new(options: &RestOptions, advertised: &str) -> Self {
        let mut hosts: Vec<_> =
            options.allowed_hosts.iter().map(|host| host.trim().to_ascii_lowercase()).collect();
        let any = hosts.iter().any(|host| host == "*");
        hosts.extend(advertised.parse::<Authority>().ok().map(|authority| bare(authority.host())));
        if !options.bind.ip().is_unspecified() {
            hosts.push(options.bind.ip().to_canonical().to_string());
        }
        Self { hosts, any }
    }

    /// # Errors
    /// 403 that names the header and the remedy.
    pub fn check(&self, uri: &Uri, headers: &HeaderMap, intent: Intent) -> Result<()> {
        self.check_host(uri, headers, intent)?;
        match intent {
            Intent::Read => Ok(()),
            Intent::Change => check_site(headers),
        }
    }

    /// As [`check`](Self::check) for a change over GET. Browsers send no `Origin` with an image or a link, and no
    /// `Sec-Fetch-Site` to plain HTTP on other machines, so `Referer` and prefetching count as well.
    pub fn check_change_over_get(&self, uri: &Uri, headers: &HeaderMap) -> Result<()> {
        self.check(uri, headers, Intent::Change)?;
        let purpose = text(headers, &HeaderName::from_static("sec-purpose")).unwrap_or_default();
        if purpose.contains("prefetch") {
            return Err(cross_site("Sec-Purpose: prefetch"));
        }
        match text(headers, &header::REFERER) {
            Some(referer) if !same_origin(referer, headers) => Err(cross_site("Referer")),
            _ => Ok(()),
        }
    }

    fn check_host(&self, uri: &Uri, headers: &HeaderMap, intent: Intent) -> Result<()> {
        // The absolute form of a target overrules the header (RFC 9112, 3.2.2). Without both it is no browser.
        let given = match uri.authority() {
            Some(authority) => Some(authority.as_str()),
            None => match headers.get(header::HOST) {
                Some(host) => Some(host.to_str().map_err(|_| foreign_host("is no host"))?),
                None => None,
            },
        };
        let Some(given) = given else { return Ok(()) };
        let authority: Authority = given.parse().map_err(|_| foreign_host("is no host"))?;
        if self.is_ours(&authority, intent) {
            return Ok(());
        }
        Err(foreign_host(&format!("{} is not this worker's", authority.host())))
    }

    fn is_ours(&self, authority: &Authority, intent: Intent) -> bool {
        let host = bare(authority.host());
        let listed = |known: &String| {
            *known == host || authority.port_u16().is_some_and(|port| *known == format!("{host}:{port}"))
        };
        if self.any || self.hosts.iter().any(listed) || host == "localhost" || host.ends_with(".localhost") {
            return true;
        }
        match host.parse::<IpAddr>() {
            Ok(address) => intent == Intent::Read || address.to_canonical().is_loopback(),
            Err(_) => false,
        }
    }
}

/// A host without brackets and final dot, in lower case.
fn bare(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase()
}

fn check_site(headers: &HeaderMap) -> Result<()> {
    match text(headers, &HeaderName::from_static("sec-fetch-site")) {
        // `none` is the address line, a bookmark: the user's own doing.
        None | Some("same-origin" | "none") => {}
        Some(_) => return Err(cross_site("Sec-Fetch-Site")),
    }
    match text(headers, &header::ORIGIN) {
        Some(origin) if !same_origin(origin, headers) => Err(cross_site("Origin")),
        _ => Ok(()),
    }
}

/// Whether `origin` (or a whole URL) has the host and port that the request names. `null` has none.
fn same_origin(origin: &str, headers: &HeaderMap) -> bool {
    let authority = |uri: &str| {
        let uri: Uri = uri.parse().ok()?;
        Some((uri.scheme_str()?.to_owned(), uri.authority()?.as_str().to_ascii_lowercase()))
    };
    let (Some((scheme, origin)), Some(host)) = (authority(origin), text(headers, &header::HOST)) else {
        return false;
    };
    let default_port = if scheme == "https" { ":443" } else { ":80" };
    let plain =
        |authority: &str| authority.strip_suffix(default_port).unwrap_or(authority).to_ascii_lowercase();
    plain(&origin) == plain(host)
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    // A value that is no text is none that we know, and must not count as absent.
    headers.get(name).map(|value| value.to_str().unwrap_or("unreadable"))
}

fn foreign_host(what: &str) -> RestError {
    let message = format!(
        "Refused: the Host header {what}, as when a web page of another site reaches for it (use localhost or the worker's \
         address, or add the host to the worker's allowed hosts)"
    );
    RestError::new(StatusCode::FORBIDDEN, "request.foreign_host", message)
}

fn cross_site(header: &str) -> RestError {
    let message = format!(
        "Refused: {header} says that a page of another site sent this request (send it from the address line, from a page \
         of the worker, or with a tool such as curl)"
    );
    RestError::new(StatusCode::FORBIDDEN, "request.cross_site", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> Guard {
        let mut options = RestOptions::new(([127, 0, 0, 1], 8081).into());
        options.allowed_hosts = vec!["Console.example".into(), "other.example:99".into()];
        Guard::new(&options, "worker1.example:8081")
    }

    fn check(headers: &[(&'static str, &str)], intent: Intent) -> Result<()> {
        guard().check(&Uri::from_static("/connectors"), &map(headers), intent)
    }

    fn map(headers: &[(&'static str, &str)]) -> HeaderMap {
        headers
            .iter()
            .map(|(k, v)| (HeaderName::from_static(k), v.parse().expect("a header value")))
            .collect()
    }

    #[test]
    fn changes_need_a_host_of_ours() {
        for host in [
            "localhost",
            "LOCALHOST:8081",
            "localhost.:8081",
            "x.localhost:1",
            "127.0.0.1:8081",
            "127.8.8.8",
            "[::1]:8081",
            "worker1.example:8081",
            "console.example",
            "other.example:99",
        ] {
            assert_eq!(check(&[("host", host)], Intent::Change), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "10.0.0.1",
            "other.example",
            "",
            "a b",
        ] {
            let error = check(&[("host", host)], Intent::Change).expect_err(host);
            assert_eq!((error.status, error.code), (StatusCode::FORBIDDEN, "request.foreign_host"), "{host}");
        }
        assert_eq!(check(&[], Intent::Change), Ok(()));
    }

    #[test]
    fn reading_is_refused_under_foreign_names_alone() {
        assert_eq!(check(&[("host", "10.0.0.1:8081")], Intent::Read), Ok(()));
        assert!(check(&[("host", "evil.example")], Intent::Read).is_err());
        let cross =
            [("host", "localhost:8081"), ("origin", "http://evil.example"), ("sec-fetch-site", "cross-site")];
        assert_eq!(check(&cross, Intent::Read), Ok(()));
    }

    #[test]
    fn an_absolute_target_overrules_the_header() {
        let uri = Uri::from_static("http://evil.example/connectors");
        assert!(guard().check(&uri, &map(&[("host", "localhost")]), Intent::Read).is_err());
    }

    #[test]
    fn changes_from_other_sites_are_refused() {
        for site in ["cross-site", "same-site", "new-value"] {
            let error =
                check(&[("host", "localhost"), ("sec-fetch-site", site)], Intent::Change).expect_err(site);
            assert_eq!(error.code, "request.cross_site");
        }
        for site in ["same-origin", "none"] {
            assert_eq!(check(&[("host", "localhost"), ("sec-fetch-site", site)], Intent::Change), Ok(()));
        }
        for origin in
            ["http://evil.example", "null", "http://localhost:9", "https://localhost:8081.evil.example", "x"]
        {
            let headers = [("host", "localhost:8081"), ("origin", origin)];
            assert!(check(&headers, Intent::Change).is_err(), "{origin}");
        }
        for (host, origin) in [
            ("localhost:8081", "http://localhost:8081"),
            ("localhost", "http://localhost:80"),
            ("console.example", "https://console.example:443"),
        ] {
            assert_eq!(check(&[("host", host), ("origin", origin)], Intent::Change), Ok(()), "{origin}");
        }
    }

    #[test]
    fn changes_over_get_look_at_more() {
        let get = |headers: &[(&'static str, &str)]| {
            guard().check_change_over_get(&Uri::from_static("/connectors/x"), &map(headers))
        };
        assert_eq!(get(&[("host", "localhost:8081")]), Ok(()));
        assert_eq!(get(&[("host", "localhost:8081"), ("referer", "http://localhost:8081/page")]), Ok(()));
        assert!(get(&[("host", "localhost:8081"), ("referer", "http://evil.example/")]).is_err());
        assert!(get(&[("host", "localhost:8081"), ("sec-purpose", "prefetch;prerender")]).is_err());
    }

    #[test]
    fn a_star_switches_the_host_check_off() {
        let mut options = RestOptions::new(([127, 0, 0, 1], 8081).into());
        options.allowed_hosts = vec!["*".into()];
        let guard = Guard::new(&options, "127.0.0.1:8081");
        let headers = map(&[("host", "anything.example")]);
        assert_eq!(guard.check(&Uri::from_static("/x"), &headers, Intent::Change), Ok(()));
    }
}
