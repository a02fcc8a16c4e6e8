//! The connector's keys, and the settings read from them.

use std::path::PathBuf;
use std::time::Duration;

use openmessaging_connector::config::KeyType;
use openmessaging_connector::{Config, ConfigDef, Error, Importance, Key, Secret};

use super::filter::TableFilter;

/// Classes whose users expect topics named `prefix.database.table`.
const DEBEZIUM: [&str; 2] =
    ["io.debezium.connector.mysql.MySqlConnector", "io.debezium.connector.mariadb.MariaDbConnector"];

const CONNECTION: &str = "Connection";
const TABLES: &str = "Tables";
const START: &str = "Start";
const RECORDS: &str = "Records";
const COMPATIBILITY: &str = "Compatibility";

/// Every key of the connector. The required ones come first, in the order in which the original reported them missing.
pub fn config_def() -> ConfigDef {
    start_keys(table_keys(connection_keys(ConfigDef::new())))
        .key(
            Key::new("topic.prefix", KeyType::String, "Queues are named `prefix.database.table`. Without it a queue has the table's bare name, so tables of one name in several databases share a queue; for the Debezium class names it is required.")
                .aliases(&["database.server.name"])
                .group(RECORDS)
                .importance(Importance::Medium),
        )
        .key(
            Key::new("decimal.handling.mode", KeyType::String, "How DECIMAL columns are written: `precise` as exact decimals, `string` as text, `double` as floating-point numbers, which may lose digits.")
                .default("precise")
                .one_of(&["precise", "string", "double"])
                .group(RECORDS)
                .importance(Importance::Low),
        )
        .key(
            Key::new("heartbeat.interval.ms", KeyType::Long, "How often, in milliseconds, the stored position moves on while only other tables change, and how often the server is asked for a sign of life. After two intervals (at least 30 seconds) without one the connection is opened anew.")
                .default("10000")
                .range(100, 3_600_000)
                .group(RECORDS)
                .importance(Importance::Low),
        )
        .key(
            Key::new("include.query", KeyType::Boolean, "Whether `source.query` has the statement that made the change, where the server logs it (`binlog_rows_query_log_events`, `binlog_annotate_row_events`).")
                .default("false")
                .group(RECORDS)
                .importance(Importance::Low),
        )
        .key(accepted("maxTransactionRows", KeyType::Int, "Accepted for the original's sake, without effect: transactions of any size are streamed."))
        .key(accepted("include.schema.changes", KeyType::Boolean, "Accepted for Debezium's sake, without effect: no schema change records are written."))
        .key(accepted("tombstones.on.delete", KeyType::Boolean, "Accepted for Debezium's sake, without effect: a delete is one record, no tombstone follows."))
        .prefix("schema.history.internal")
        .prefix("database.history")
}

fn accepted(name: &'static str, ty: KeyType, documentation: &'static str) -> Key {
    Key::new(name, ty, documentation).group(COMPATIBILITY).importance(Importance::Low)
}

fn connection_keys(def: ConfigDef) -> ConfigDef {
    use openmessaging_connector::config::Validator::NonEmpty;
    def.key(
        Key::new("mysqlAddr", KeyType::String, "Host name or address of the MySQL or MariaDB server.")
            .aliases(&["database.hostname"])
            .required()
            .validator(NonEmpty)
            .group(CONNECTION),
    )
    .key(
        Key::new("mysqlUsername", KeyType::String, "User to connect as. It needs SELECT on the tables, REPLICATION SLAVE, and REPLICATION CLIENT (BINLOG MONITOR on MariaDB).")
            .aliases(&["database.user"])
            .required()
            .validator(NonEmpty)
            .group(CONNECTION),
    )
    .key(
        Key::new("mysqlPassword", KeyType::Password, "Password of that user.")
            .aliases(&["database.password"])
            .required()
            .group(CONNECTION),
    )
    .key(
        Key::new("mysqlPort", KeyType::Int, "Port of the server.")
            .aliases(&["database.port"])
            .default("3306")
            .range(1, 65535)
            .importance(Importance::High)
            .group(CONNECTION),
    )
    .key(
        Key::new("database.ssl.mode", KeyType::String, "`disabled`: no TLS. `preferred`: TLS where the server offers it. `required`: TLS, the certificate is not checked. `verify_ca`: the certificate must come from a trusted authority. `verify_identity`: it must also name the server.")
            .aliases(&["sslMode"])
            .default("preferred")
            .one_of(&["disabled", "preferred", "required", "verify_ca", "verify_identity"])
            .dependents(&["database.ssl.ca", "database.ssl.cert", "database.ssl.key"])
            .group(CONNECTION),
    )
    .key(
        Key::new("database.ssl.ca", KeyType::String, "File with the trusted authorities' certificates (PEM), for `verify_ca` and `verify_identity`. Without it the public web authorities are trusted.")
            .aliases(&["sslCa"])
            .importance(Importance::Low)
            .group(CONNECTION),
    )
    .key(
        Key::new("database.ssl.cert", KeyType::String, "File with the client's certificate chain (PEM), where the server asks for one.")
            .aliases(&["sslCert"])
            .importance(Importance::Low)
            .group(CONNECTION),
    )
    .key(
        Key::new("database.ssl.key", KeyType::String, "File with the private key of `database.ssl.cert` (PEM).")
            .aliases(&["sslKey"])
            .importance(Importance::Low)
            .group(CONNECTION),
    )
    .key(
        Key::new("connect.timeout.ms", KeyType::Int, "How long to wait for the server to accept a connection, in milliseconds.")
            .aliases(&["connectTimeout"])
            .default("10000")
            .range(100, 600_000)
            .importance(Importance::Low)
            .group(CONNECTION),
    )
    .key(
        Key::new("database.server.id", KeyType::Long, "Replication server id of this connector, unlike that of every other client and replica of the server. Without it a random one is drawn at each connection.")
            .aliases(&["serverId"])
            .range(1, 4_294_967_295)
            .importance(Importance::Low)
            .group(CONNECTION),
    )
}

fn table_keys(def: ConfigDef) -> ConfigDef {
    let list = |name, aliases, documentation| {
        Key::new(name, KeyType::List, documentation)
            .aliases(aliases)
            .validator(openmessaging_connector::config::Validator::Check(super::filter::check_list))
            .group(TABLES)
    };
    def.key(
        list("whiteDataBase", &["database.include.list"], "Databases to read, separated by commas: names or regular expressions that match the whole name. Empty: every database that is not the server's own.")
            .importance(Importance::High),
    )
    .key(
        list("whiteTable", &["table.include.list"], "Tables to read, separated by commas: `table` (in every database read), `database.table`, or regular expressions that match the whole `database.table`. Empty: every table.")
            .importance(Importance::High),
    )
    .key(list("database.exclude.list", &[], "Databases to leave out, written as in `whiteDataBase`.").importance(Importance::Low))
    .key(list("table.exclude.list", &[], "Tables to leave out, written as in `whiteTable`.").importance(Importance::Low))
}

fn start_keys(def: ConfigDef) -> ConfigDef {
    def.key(
        Key::new("snapshot.mode", KeyType::String, "What a first start does. `never` (also `no_data`, `schema_only`): stream from where `startType` says. `initial`: read all rows, then stream. `when_needed`: the same, and again when the stored position is no longer in the server's binlog. `initial_only`: read all rows and end.")
            .default("never")
            .one_of(&["never", "initial", "when_needed", "initial_only", "no_data", "schema_only"])
            .dependents(&["snapshot.fetch.size"])
            .importance(Importance::High)
            .group(START),
    )
    .key(
        Key::new("snapshot.fetch.size", KeyType::Int, "Rows in one chunk of a snapshot: a snapshot that was cut off goes on at the chunk it was in.")
            .default("20000")
            .range(1, 1_000_000)
            .importance(Importance::Low)
            .group(START),
    )
    .key(
        Key::new("startType", KeyType::String, "Where streaming starts when no position is stored and no snapshot is taken: `DEFAULT` and `NEW_EVENT` at the end of the binlog, `SPECIFIED` at `binlogFilename` and `nextPosition`.")
            .default("DEFAULT")
            .one_of(&["DEFAULT", "NEW_EVENT", "SPECIFIED"])
            .dependents(&["binlogFilename", "nextPosition"])
            .group(START),
    )
    .key(
        Key::new("binlogFilename", KeyType::String, "Binlog file to start at, with `startType=SPECIFIED`: a name that `SHOW BINARY LOGS` lists.")
            .importance(Importance::Low)
            .group(START),
    )
    .key(
        Key::new("nextPosition", KeyType::Long, "Offset in that file, where a transaction begins.")
            .default("4")
            .range(4, i64::MAX)
            .importance(Importance::Low)
            .group(START),
    )
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    Disabled,
    Preferred,
    Required,
    VerifyCa,
    VerifyIdentity,
}

/// Where and how to connect. Its `Debug` shows no password.
#[derive(Debug, Clone)]
pub struct Address {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: Secret,
    pub ssl_mode: SslMode,
    pub ssl_ca: Option<PathBuf>,
    pub ssl_identity: Option<(PathBuf, PathBuf)>,
    pub connect_timeout: Duration,
}

impl Address {
    /// `host:port`, by which errors name the server.
    pub fn server(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotMode {
    Never,
    Initial,
    WhenNeeded,
    InitialOnly,
}

/// Where streaming starts when nothing is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartAt {
    Tail,
    Specified { file: String, position: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecimalMode {
    Precise,
    Text,
    Double,
}

/// How records are named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Naming {
    /// The queue is the table's bare name, as in the original.
    Bare,
    /// The queue is `prefix.database.table`.
    Prefixed(String),
}

/// The configuration, read.
#[derive(Debug, Clone)]
pub struct Settings {
    pub address: Address,
    pub filter: TableFilter,
    pub snapshot_mode: SnapshotMode,
    pub chunk_rows: u64,
    pub start_at: StartAt,
    pub server_id: Option<u32>,
    pub naming: Naming,
    pub decimal: DecimalMode,
    pub heartbeat: Duration,
    pub include_query: bool,
}

impl Settings {
    /// # Errors
    /// Every value that is wrong, and keys that need one another.
    pub fn parse(config: &Config) -> Result<Self, Vec<Error>> {
        let parsed = config_def().parse(config)?;
        let mut errors = Vec::new();
        let start_at = match parsed.str("startType").to_ascii_uppercase().as_str() {
            "SPECIFIED" => {
                let file = parsed.str("binlogFilename").trim();
                if file.is_empty() {
                    errors.push(
                        Error::config(
                            "config.invalid",
                            "binlogFilename",
                            "startType=SPECIFIED needs the file to start at",
                        )
                        .with_remedy("set binlogFilename to a name that SHOW BINARY LOGS lists"),
                    );
                }
                let position = u64::try_from(parsed.int("nextPosition")).unwrap_or(4).max(4);
                StartAt::Specified { file: file.to_owned(), position }
            }
            _ => StartAt::Tail,
        };
        let prefix = parsed.str("topic.prefix").trim();
        if prefix.is_empty() && is_debezium(config) {
            errors.push(
                Error::config(
                    "config.invalid",
                    "topic.prefix",
                    "the Debezium class names need the prefix of the queues' names",
                )
                .with_remedy(
                    "set topic.prefix, or use the class io.openmessaging.mysql.connector.MysqlConnector",
                ),
            );
        }
        let path =
            |key: &str| parsed.get(key).map(str::trim).filter(|text| !text.is_empty()).map(PathBuf::from);
        let ssl_identity = match (path("database.ssl.cert"), path("database.ssl.key")) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            (cert, _) => {
                let missing = if cert.is_some() { "database.ssl.key" } else { "database.ssl.cert" };
                errors.push(
                    Error::config(
                        "config.invalid",
                        missing,
                        "a client certificate needs both its file and its key's file",
                    )
                    .with_remedy(format!("set {missing} too")),
                );
                None
            }
        };
        if !errors.is_empty() {
            return Err(errors);
        }
        let filter = TableFilter::new(
            &parsed.list("whiteDataBase"),
            &parsed.list("database.exclude.list"),
            &parsed.list("whiteTable"),
            &parsed.list("table.exclude.list"),
        );
        Ok(Self {
            address: Address {
                host: parsed.str("mysqlAddr").trim().to_owned(),
                port: u16::try_from(parsed.int("mysqlPort")).unwrap_or(3306),
                user: parsed.str("mysqlUsername").trim().to_owned(),
                password: parsed.secret("mysqlPassword"),
                ssl_mode: ssl_mode(parsed.str("database.ssl.mode")),
                ssl_ca: path("database.ssl.ca"),
                ssl_identity,
                connect_timeout: parsed.millis("connect.timeout.ms"),
            },
            filter,
            snapshot_mode: snapshot_mode(parsed.str("snapshot.mode")),
            chunk_rows: parsed.int("snapshot.fetch.size").unsigned_abs().max(1),
            start_at,
            server_id: parsed.get("database.server.id").and_then(|id| id.parse().ok()),
            naming: if prefix.is_empty() { Naming::Bare } else { Naming::Prefixed(prefix.to_owned()) },
            decimal: match parsed.str("decimal.handling.mode").to_ascii_lowercase().as_str() {
                "string" => DecimalMode::Text,
                "double" => DecimalMode::Double,
                _ => DecimalMode::Precise,
            },
            heartbeat: parsed.millis("heartbeat.interval.ms"),
            include_query: parsed.bool("include.query"),
        })
    }
}

fn is_debezium(config: &Config) -> bool {
    let class = config.get("connector.class").or_else(|| config.get("connector-class"));
    class.is_some_and(|class| {
        DEBEZIUM.iter().any(|name| *name == class || name.rsplit('.').next() == Some(class))
    })
}

fn ssl_mode(text: &str) -> SslMode {
    match text.to_ascii_lowercase().as_str() {
        "disabled" => SslMode::Disabled,
        "required" => SslMode::Required,
        "verify_ca" => SslMode::VerifyCa,
        "verify_identity" => SslMode::VerifyIdentity,
        _ => SslMode::Preferred,
    }
}

fn snapshot_mode(text: &str) -> SnapshotMode {
    match text.to_ascii_lowercase().as_str() {
        "initial" => SnapshotMode::Initial,
        "when_needed" => SnapshotMode::WhenNeeded,
        "initial_only" => SnapshotMode::InitialOnly,
        _ => SnapshotMode::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Config {
        let given = [("mysqlAddr", "db"), ("mysqlUsername", "u"), ("mysqlPassword", "hunter2")];
        given.iter().chain(pairs).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn the_quick_start_configuration_is_enough() {
        let settings = Settings::parse(&config(&[("mysqlPort", "3306")])).expect("valid");
        assert_eq!(settings.snapshot_mode, SnapshotMode::Never);
        assert_eq!(settings.start_at, StartAt::Tail);
        assert_eq!(settings.naming, Naming::Bare);
        assert!(settings.server_id.is_none(), "drawn at random");
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn missing_keys_are_reported_in_the_originals_order() {
        let errors = Settings::parse(&Config::new()).expect_err("all missing");
        let keys: Vec<_> = errors.iter().filter_map(|error| error.key.as_deref()).collect();
        assert_eq!(keys, ["mysqlAddr", "mysqlUsername", "mysqlPassword"]);
    }

    #[test]
    fn debezium_keys_mean_the_same() {
        let debezium: Config = [
            ("connector.class", DEBEZIUM[0]),
            ("database.hostname", "db"),
            ("database.port", "3307"),
            ("database.user", "u"),
            ("database.password", "p"),
            ("topic.prefix", "shop"),
            ("table.include.list", "shop.orders"),
            ("schema.history.internal.kafka.topic", "h"),
        ]
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
        assert!(
            config_def().unknown_keys(&debezium).iter().all(|e| e.key.as_deref() == Some("connector.class"))
        );
        let settings = Settings::parse(&debezium).expect("valid");
        assert_eq!(settings.address.server(), "db:3307");
        assert_eq!(settings.naming, Naming::Prefixed("shop".to_owned()));
        assert!(settings.filter.takes("shop", "orders") && !settings.filter.takes("shop", "other"));
    }

    #[test]
    fn keys_that_need_one_another_are_checked() {
        let keys = |pairs: &[(&str, &str)]| match Settings::parse(&config(pairs)) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.into_iter().filter_map(|error| error.key).collect::<Vec<_>>(),
        };
        assert_eq!(keys(&[("startType", "specified")]), ["binlogFilename"]);
        assert_eq!(keys(&[("database.ssl.cert", "/c")]), ["database.ssl.key"]);
        assert_eq!(keys(&[("connector.class", "MySqlConnector")]), ["topic.prefix"]);
        assert_eq!(keys(&[("whiteTable", "a(")]), ["whiteTable"]);
        assert_eq!(keys(&[("database.server.id", "0")]), ["database.server.id"]);
    }

    #[test]
    fn every_key_is_documented_and_grouped() {
        for key in config_def().keys() {
            assert!(!key.documentation.is_empty() && !key.group.is_empty(), "{}", key.name);
        }
    }
}
