//! The original README's quick start on each broker: one GET request with that broker's URL, a row changed, and the message.

use serde_json::{Value, json};
use testkit::broker::rocketmq_client;
use testkit::services::{Server, mariadb};

use crate::common::{Home, until};
use crate::database::sql;
use crate::{on_each_broker, unique, url};

on_each_broker!(super::seed::the_readmes_way);

struct Shop {
    server: Server,
    database: String,
    /// Named after the broker: the queue has the table's name, and brokers are shared.
    table: String,
}

impl Shop {
    fn new(broker: &str) -> Self {
        let (database, table) = (unique(&format!("seed_{broker}")), unique("orders"));
        let shop = Self { server: mariadb(), database, table };
        let Shop { database, table, .. } = &shop;
        sql(
            &shop.server,
            &[
                format!("CREATE DATABASE {database}"),
                format!("CREATE TABLE {database}.{table} (id INT PRIMARY KEY, status VARCHAR(20))"),
                format!("INSERT INTO {database}.{table} VALUES (1, 'NEW')"),
            ],
        );
        shop
    }

    /// The request of the README, with this server in the place of "your own mysql setting".
    fn request(&self, driver_url: &str) -> String {
        let config = json!({
            "connector-class": "io.openmessaging.mysql.connector.MysqlConnector",
            "oms-driver-url": driver_url,
            "mysqlAddr": self.server.host,
            "mysqlPort": self.server.port.to_string(),
            "mysqlUsername": self.server.user,
            "mysqlPassword": self.server.password,
            "whiteDataBase": self.database,
            "source-record-converter": "io.openmessaging.connect.runtime.converter.JsonConverter",
        });
        let text = config.to_string();
        let text = percent_encoding::utf8_percent_encode(&text, percent_encoding::NON_ALPHANUMERIC);
        format!("/connectors/seed?config={text}")
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        sql(&self.server, &[format!("DROP DATABASE {}", self.database)]);
    }
}

/// Everything of the worker is in the broker, and nothing of it in its home.
fn the_readmes_way(broker: &str) {
    let (shop, home, url) = (Shop::new(broker), Home::new(), url(broker));
    let worker = home.worker(&["--oms-driver-url", &url, "--group", &unique("seed")]);
    assert_eq!(worker.get(&shop.request(&url)), (200, "success".to_owned()));
    worker.runs("seed");
    sql(&shop.server, &[format!("UPDATE {}.{} SET status = 'PAID' WHERE id = 1", shop.database, shop.table)]);
    until("the queue is there", || (worker.get(&format!("/queues/{}", shop.table)).0 == 200).then_some(()));
    let way = ["--from", "begin", "--limit", "1", "--timeout", "20", "--json", "--driver-url", &url];
    let messages = home.run(&[&["tap", &shop.table], &way[..]].concat()).json_lines();
    check(&messages[0]["value"], &shop);
    assert_eq!((&messages[0]["queue"], &messages[0]["key"]), (&json!(shop.table), &json!(null)));
    if broker == "rocketmq" {
        // RocketMQ's own client reads the same.
        let address = testkit::services::broker_address(broker);
        let read = rocketmq_client::read(home.path(), &address, &shop.table, 1);
        let [message] = &read[..] else { panic!("one message: {read:?}") };
        check(&json!(String::from_utf8_lossy(&message.body)), &shop);
        assert_eq!(message.key, None);
    }
    worker.stop();
    assert!(!home.file("connectorStore").exists(), "the embedded queue is not opened");
    home.run(&["queues", "delete", &shop.table, "--driver-url", &url]).ok();
}

/// What the message of an update is: the original's bytes.
fn check(value: &Value, shop: &Shop) {
    let entry: Value = serde_json::from_str(value.as_str().expect("text")).expect("JSON");
    assert_eq!(entry["entryType"], "UPDATE");
    assert_eq!(entry["queueName"], json!(shop.table));
    // `["[1,1]","[\"NEW\",\"PAID\"]"]` in base64.
    assert_eq!(entry["payload"], json!(["WyJbMSwxXSIsIltcIk5FV1wiLFwiUEFJRFwiXSJd"]));
}
