//! What the connector needs to know of a server: its kind and version, how it writes its binlog, where that ends.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use openmessaging_connector::{Error, ErrorKind, Result};

use super::config::Address;
use super::error;
use super::gtid::GtidSet;
use super::position::BinlogPosition;

/// Facts that hold while a connection lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    pub version: String,
    pub mariadb: bool,
    pub log_bin: bool,
    /// Upper case: `ROW`, `FULL`, ...
    pub binlog_format: String,
    pub row_image: String,
    /// Transactions have GTIDs, so that a restart may go by them.
    pub gtid: bool,
    /// The server's UUID, or for MariaDB its server id.
    pub identity: Arc<str>,
    /// Names are compared in lower case.
    pub fold_case: bool,
}

const VARIABLES: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('version', 'log_bin', 'binlog_format', \
     'binlog_row_image', 'gtid_mode', 'server_uuid', 'server_id', 'lower_case_table_names')";

impl Server {
    pub async fn read(conn: &mut Conn, address: &Address) -> Result<Self> {
        let rows: Vec<(String, String)> = conn
            .query(VARIABLES)
            .await
            .map_err(|problem| error::from_driver(problem, address, "read variables"))?;
        let variables = rows.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        Ok(Self::from_variables(&variables))
    }

    fn from_variables(variables: &HashMap<String, String>) -> Self {
        let text = |name: &str| variables.get(name).map(String::as_str).unwrap_or_default();
        let upper = |name: &str, default: &str| match text(name) {
            "" => default.to_owned(),
            value => value.to_ascii_uppercase(),
        };
        let version = text("version").to_owned();
        let mariadb = version.to_ascii_lowercase().contains("mariadb");
        let identity = match text("server_uuid") {
            uuid if !uuid.is_empty() && !mariadb => uuid.to_owned(),
            _ => format!("server-{}", text("server_id")),
        };
        Self {
            log_bin: matches!(upper("log_bin", "OFF").as_str(), "ON" | "1"),
            // Servers that have no such variable any more write rows and whole images.
            binlog_format: upper("binlog_format", "ROW"),
            row_image: upper("binlog_row_image", "FULL"),
            gtid: mariadb || upper("gtid_mode", "OFF") == "ON",
            identity: identity.into(),
            fold_case: !matches!(text("lower_case_table_names"), "" | "0"),
            mariadb,
            version,
        }
    }

    /// What `source.connector` says in records.
    pub fn connector(&self) -> &'static str {
        if self.mariadb { "mariadb" } else { "mysql" }
    }

    /// Major and minor version.
    pub fn version_number(&self) -> (u32, u32) {
        // Old MariaDB servers put 5.5.5- in front for the sake of old replicas.
        let version = self.version.strip_prefix("5.5.5-").unwrap_or(&self.version);
        let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }

    /// Everything about the server that keeps the connector from reading its binlog.
    pub fn problems(&self, address: &Address) -> Vec<Error> {
        let server = address.server();
        let mut errors = Vec::new();
        let oldest = if self.mariadb { (10, 3) } else { (5, 7) };
        if self.version_number() < oldest {
            let what = format!("{server} has version {}, which is not supported", self.version);
            errors.push(
                Error::new(ErrorKind::Config, "mysql.version_unsupported", what)
                    .with_remedy("use MySQL 5.7 or later, or MariaDB 10.3 or later"),
            );
        }
        if !self.log_bin {
            errors.push(error::binlog_off(&server));
            return errors;
        }
        if self.binlog_format != "ROW" {
            let what = format!(
                "{server} has binlog_format={}, which logs statements instead of rows",
                self.binlog_format
            );
            errors.push(
                Error::new(ErrorKind::Config, "mysql.binlog_format", what)
                    .with_remedy("SET GLOBAL binlog_format = 'ROW', set it in the server's configuration, and let clients connect anew"),
            );
        }
        if !matches!(self.row_image.as_str(), "FULL" | "MINIMAL" | "NOBLOB" | "FULL_NODUP") {
            let what = format!("{server} has binlog_row_image={}, which is not known", self.row_image);
            errors.push(Error::new(ErrorKind::Config, "mysql.binlog_row_image", what).with_remedy(
                "SET GLOBAL binlog_row_image = 'FULL', and set it in the server's configuration",
            ));
        }
        errors
    }

    /// Where the binlog ends now.
    ///
    /// # Errors
    /// `mysql.binlog_off`; `mysql.missing_privilege` for REPLICATION CLIENT or BINLOG MONITOR.
    pub async fn tail(&self, conn: &mut Conn, address: &Address) -> Result<BinlogPosition> {
        let statement = match self.mariadb {
            false if self.version_number() >= (8, 2) => "SHOW BINARY LOG STATUS",
            _ => "SHOW MASTER STATUS",
        };
        let failed = |problem| error::from_driver(problem, address, "read the end of the binlog");
        let row: Option<Row> = conn.query_first(statement).await.map_err(failed)?;
        let row = row.ok_or_else(|| error::binlog_off(&address.server()))?;
        let file: String = row.get_opt("File").and_then(Result::ok).unwrap_or_default();
        let offset: u64 = row.get_opt("Position").and_then(Result::ok).unwrap_or(4);
        let gtid = match self.mariadb {
            true => self.gtid_at(conn, address, &file, offset).await?,
            false if self.gtid => {
                let text: String = row.get_opt("Executed_Gtid_Set").and_then(Result::ok).unwrap_or_default();
                Some(GtidSet::parse(&text).unwrap_or_else(|| GtidSet::MySql(BTreeMap::new())))
            }
            false => None,
        };
        Ok(BinlogPosition { file: file.into(), offset, gtid, server: Some(self.identity.clone()) })
    }

    /// What was executed before a place in a file: MariaDB can tell, MySQL cannot.
    pub async fn gtid_at(
        &self,
        conn: &mut Conn,
        address: &Address,
        file: &str,
        offset: u64,
    ) -> Result<Option<GtidSet>> {
        if !self.mariadb {
            return Ok(None);
        }
        let failed = |problem| error::from_driver(problem, address, "read the GTID position");
        let text: Option<Option<String>> =
            conn.exec_first("SELECT BINLOG_GTID_POS(?, ?)", (file, offset)).await.map_err(failed)?;
        let empty = || GtidSet::MariaDb(BTreeMap::new());
        Ok(text.flatten().map(|text| GtidSet::parse(&text).unwrap_or_else(empty)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmessaging_connector::Secret;

    fn server(pairs: &[(&str, &str)]) -> Server {
        Server::from_variables(&pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    fn codes(server: &Server) -> Vec<&'static str> {
        let address = Address {
            host: "db".to_owned(),
            port: 1,
            user: "u".to_owned(),
            password: Secret::default(),
            ssl_mode: super::super::config::SslMode::Disabled,
            ssl_ca: None,
            ssl_identity: None,
            connect_timeout: std::time::Duration::ZERO,
        };
        let errors = server.problems(&address);
        assert!(errors.iter().all(|error| error.remedy.is_some() && error.to_string().contains("db:1")));
        errors.into_iter().map(|error| error.code).collect()
    }

    #[test]
    fn kinds_versions_and_identities() {
        let mariadb =
            server(&[("version", "10.11.6-MariaDB-0+deb12u1-log"), ("server_id", "7"), ("server_uid", "x")]);
        assert!(mariadb.mariadb && mariadb.gtid);
        assert_eq!((mariadb.version_number(), &*mariadb.identity), ((10, 11), "server-7"));
        let mysql = server(&[
            ("version", "9.7.4"),
            ("gtid_mode", "on"),
            ("server_uuid", "abc"),
            ("lower_case_table_names", "1"),
        ]);
        assert!(!mysql.mariadb && mysql.gtid && mysql.fold_case);
        assert_eq!((mysql.version_number(), &*mysql.identity), ((9, 7), "abc"));
        assert!(!server(&[("version", "8.0.36"), ("gtid_mode", "OFF_PERMISSIVE")]).gtid);
    }

    #[test]
    fn every_obstacle_is_reported_at_once() {
        let good = [
            ("version", "8.4.0"),
            ("log_bin", "ON"),
            ("binlog_format", "ROW"),
            ("binlog_row_image", "MINIMAL"),
        ];
        assert!(codes(&server(&good)).is_empty());
        assert_eq!(codes(&server(&[("version", "8.4.0"), ("log_bin", "OFF")])), ["mysql.binlog_off"]);
        let bad = [
            ("version", "5.6.1"),
            ("log_bin", "1"),
            ("binlog_format", "STATEMENT"),
            ("binlog_row_image", "NONE"),
        ];
        assert_eq!(
            codes(&server(&bad)),
            ["mysql.version_unsupported", "mysql.binlog_format", "mysql.binlog_row_image"]
        );
    }
}
