//! The configuration of the MySQL source on the MariaDB of the benchmarks.

use serde_json::{Value, json};

use super::database::Database;
use super::orders::DATABASE;

/// For one table, with the records as a Debezium envelope in JSON without schema, over plain TCP.
pub fn source(database: &Database, table: &str) -> Value {
    let entry = database.entry();
    json!({
        "connector.class": "io.openmessaging.mysql.connector.MysqlConnector",
        "mysqlAddr": entry.host,
        "mysqlPort": entry.port,
        "mysqlUsername": entry.user,
        "mysqlPassword": entry.password,
        "database.ssl.mode": "disabled",
        "whiteDataBase": DATABASE,
        "whiteTable": table,
        "key.converter": JSON,
        "key.converter.schemas.enable": false,
        "value.converter": JSON,
        "value.converter.schemas.enable": false,
    })
}

const JSON: &str = "org.apache.kafka.connect.json.JsonConverter";

/// The configuration with more keys; those that are there already are replaced.
pub fn with(mut config: Value, more: &Value) -> Value {
    if let (Some(config), Some(more)) = (config.as_object_mut(), more.as_object()) {
        config.extend(more.clone());
    }
    config
}

/// Streaming from the beginning of a binlog file.
pub fn from_file(config: Value, file: &str) -> Value {
    let start = json!({"snapshot.mode": "never", "startType": "SPECIFIED", "binlogFilename": file, "nextPosition": 4});
    with(config, &start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_added_and_replaced() {
        let config = from_file(json!({"snapshot.mode": "initial", "mysqlPort": 1}), "bin.000001");
        assert_eq!(config["snapshot.mode"], "never");
        assert_eq!(config["mysqlPort"], 1);
        assert_eq!(config["binlogFilename"], "bin.000001");
    }
}
