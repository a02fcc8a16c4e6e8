//! How the REST API is to be served.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The options of the server; the command line makes them from files, flags and the environment.
#[derive(Debug, Clone)]
pub struct RestOptions {
    pub bind: SocketAddr,
    /// Host names under which browsers and proxies may reach the API, beside localhost, loopback addresses and the
    /// worker's own address: `name` (any port) or `name:port`. `*` switches the check off.
    pub allowed_hosts: Vec<String>,
    /// The original's `GET /connectors/NAME?config={...}` and `GET /connectors/NAME/stop`. Default on.
    pub create_over_get: bool,
    /// The largest body of a request. Default 4 MiB.
    pub max_body_bytes: usize,
    /// How long a request may take, from its head to its answer. Default 90 s.
    pub request_timeout: Duration,
    /// How many queues may be looked at at once (`/queues/NAME/messages`). Default 64.
    pub max_taps: usize,
    /// How long requests in progress may go on after the shutdown began. Default 5 s.
    pub shutdown_timeout: Duration,
    /// Bind an address that others can reach although nothing authenticates them. Default off.
    pub allow_unauthenticated_public: bool,
}

impl RestOptions {
    pub fn new(bind: SocketAddr) -> Self {
        Self {
            bind,
            allowed_hosts: Vec::new(),
            create_over_get: true,
            max_body_bytes: 4 << 20,
            request_timeout: Duration::from_secs(90),
            max_taps: 64,
            shutdown_timeout: Duration::from_secs(5),
            allow_unauthenticated_public: false,
        }
    }

    /// # Errors
    /// See [`check_public`].
    pub fn check(&self) -> Result<(), String> {
        check_public(self.bind.ip(), self.allow_unauthenticated_public)
    }
}

/// Whether the API may be bound to this address. Whoever reaches it can read and change everything, so only loopback
/// addresses are taken unless the operator said otherwise.
///
/// # Errors
/// A sentence that names the address and the remedy.
pub fn check_public(address: IpAddr, allowed: bool) -> Result<(), String> {
    if allowed || address.to_canonical().is_loopback() {
        return Ok(());
    }
    Err(format!(
        "[rest.public_bind] the REST API would be open to everybody who reaches {address}, without authentication (bind \
         127.0.0.1 and put a proxy that authenticates in front of it, or allow unauthenticated public access)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_bound_unless_told_to() {
        for (address, fine) in [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("0.0.0.0", false),
            ("::", false),
            ("192.168.1.5", false),
        ] {
            let address: IpAddr = address.parse().expect("an address");
            assert_eq!(check_public(address, false).is_ok(), fine, "{address}");
            assert!(check_public(address, true).is_ok());
        }
        let error = RestOptions::new(([0, 0, 0, 0], 1).into()).check().expect_err("public");
        assert!(error.contains("0.0.0.0") && error.contains("proxy"), "{error}");
    }
}
