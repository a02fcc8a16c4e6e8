//! What a server says of itself (`INFO`).

use std::collections::BTreeMap;

use openmessaging::{Error, Result, StatusCode};

use super::connection::Connection;
use super::error;
use super::resp::Reply;

/// What works with any of it.
const OLDEST: (u32, u32) = (6, 2);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ServerInfo {
    /// `Redis` or `Valkey`.
    pub name: &'static str,
    /// Empty: the user may not ask.
    pub version: String,
    pub replicas: u64,
    pub fields: BTreeMap<String, String>,
}

impl ServerInfo {
    /// Asks for everything, on a connection that nothing else waits for.
    pub async fn ask(connection: &mut Connection) -> Result<Self> {
        match connection.call("asking about the server", &[b"INFO"]).await {
            Ok(reply) => Ok(Self::read(reply.text().unwrap_or_default())),
            // It is for restricted users too: then the cautious way is taken.
            Err(error) if error.status == StatusCode::Forbidden => {
                Ok(Self { name: "Redis", ..Self::default() })
            }
            Err(error) => Err(error),
        }
    }

    pub fn of(reply: &Reply) -> Self {
        Self::read(reply.text().unwrap_or_default())
    }

    fn read(text: &str) -> Self {
        let fields: BTreeMap<String, String> = text
            .lines()
            .filter_map(|line| line.trim_end().split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
        // Valkey calls itself Redis 7.2.4 in the old field.
        let valkey = fields.contains_key("valkey_version");
        Self {
            name: if valkey { "Valkey" } else { "Redis" },
            version: if valkey { field("valkey_version") } else { field("redis_version") },
            replicas: field("connected_slaves").parse().unwrap_or_default(),
            fields,
        }
    }

    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// Whether it is known to be of that version or a later one.
    pub fn is_at_least(&self, major: u32, minor: u32) -> bool {
        self.parts().is_some_and(|parts| parts >= (major, minor))
    }

    fn parts(&self) -> Option<(u32, u32)> {
        let mut parts = self.version.split('.').map(|part| part.parse::<u32>().ok());
        Some((parts.next()??, parts.next()??))
    }

    /// # Errors
    /// `UnsupportedVersion`; `Unsupported` for a node of a Redis Cluster.
    pub fn check(&self, server: &str) -> Result<()> {
        if self.parts().is_some_and(|parts| parts < OLDEST) {
            let text = format!("{server} is of version {}", self.version);
            return Err(
                Error::new(StatusCode::UnsupportedVersion, text).with_remedy("use Redis 6.2 or later")
            );
        }
        if self.field("cluster_enabled") == "1" {
            let text = format!("{server} is a node of a Redis Cluster, which this driver does not speak to");
            return Err(Error::new(StatusCode::Unsupported, text)
                .with_remedy("name a server or a primary with replicas that is no cluster"));
        }
        if self.field("role") == "slave" {
            return Err(error::answered(server, "connecting", "READONLY this is a replica"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        let info = ServerInfo::read("# Server\r\nredis_version:7.0.15\r\nconnected_slaves:2\r\n");
        assert!(info.is_at_least(7, 0) && !info.is_at_least(7, 2) && info.is_at_least(6, 10));
        assert_eq!((info.name, info.replicas), ("Redis", 2));
        assert!(info.check("s").is_ok());
        let valkey = ServerInfo::read("redis_version:7.2.4\r\nvalkey_version:8.1.0\r\n");
        assert_eq!((valkey.name, &*valkey.version), ("Valkey", "8.1.0"));
        assert!(!ServerInfo::default().is_at_least(6, 2), "not known");
    }

    #[test]
    fn servers_that_cannot_be_used_are_refused() {
        for (text, status) in [
            ("redis_version:6.0.16", StatusCode::UnsupportedVersion),
            ("redis_version:7.0.0\r\ncluster_enabled:1", StatusCode::Unsupported),
            ("redis_version:7.0.0\r\nrole:slave", StatusCode::Unavailable),
        ] {
            assert_eq!(ServerInfo::read(text).check("s").err().map(|error| error.status), Some(status));
        }
    }
}
