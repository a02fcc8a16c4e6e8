//! The main job, as the original's README shows it: a connector made with one GET request, a row changed, and a message
//! whose topic is the table's name.

use serde_json::{Value, json};
use testkit::services::{Kind, Server, shared};

use crate::common::{Home, until};
use crate::database::sql;

const PASSWORD: &str = "Swordfish-7";

/// The request of the README, with the tests' server in the place of "your own mysql setting".
fn path(name: &str, server: &Server, more: &[(&str, String)]) -> String {
    let mut config = json!({
        "connector-class": "io.openmessaging.mysql.connector.MysqlConnector",
        "mysqlAddr": server.host,
        "mysqlPort": server.port.to_string(),
        "mysqlUsername": server.user,
        "mysqlPassword": server.password,
        "source-record-converter": "io.openmessaging.connect.runtime.converter.JsonConverter",
    });
    for (key, value) in more {
        config[*key] = json!(value);
    }
    let text = config.to_string();
    format!(
        "/connectors/{name}?config={}",
        percent_encoding::utf8_percent_encode(&text, percent_encoding::NON_ALPHANUMERIC)
    )
}

/// What the message of an update is: the original's bytes, with `schema` as the fields are.
fn check(message: &Value, database: &str) {
    assert_eq!((&message["queue"], &message["key"]), (&json!("orders"), &json!(null)), "{message}");
    let entry: Value = serde_json::from_str(message["value"].as_str().expect("text")).expect("JSON");
    assert_eq!(entry["entryType"], "UPDATE");
    assert_eq!(entry["queueName"], "orders");
    let fields = json!([{"index": 0, "name": "id", "type": "INT32"}, {"index": 1, "name": "status", "type": "STRING"}]);
    assert_eq!(entry["schema"], json!({"dataSource": database, "fields": fields, "name": "orders"}));
    // `["[1,1]","[\"NEW\",\"PAID\"]"]` in base64.
    assert_eq!(entry["payload"], json!(["WyJbMSwxXSIsIltcIk5FV1wiLFwiUEFJRFwiXSJd"]));
}

/// A database and an account with the privileges that the README grants.
struct Shop {
    /// The server with that account.
    account: Server,
    admin: Server,
    name: String,
}

impl Shop {
    fn new(kind: Kind) -> Self {
        let admin = shared(kind);
        let name = format!("oms_seed_{}_{}", kind.name(), std::process::id());
        sql(
            &admin,
            &[
                format!("CREATE DATABASE {name}"),
                format!("CREATE TABLE {name}.orders (id INT PRIMARY KEY, status VARCHAR(20))"),
                format!("INSERT INTO {name}.orders VALUES (1, 'NEW')"),
                format!("CREATE USER {name} IDENTIFIED BY '{PASSWORD}'"),
                format!("GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {name}"),
            ],
        );
        let account = Server { user: name.clone(), password: PASSWORD.to_owned(), ..admin.clone() };
        Self { account, admin, name }
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        sql(&self.admin, &[format!("DROP DATABASE {}", self.name), format!("DROP USER {}", self.name)]);
    }
}

fn the_readmes_way(kind: Kind) {
    let shop = Shop::new(kind);
    let home = Home::new();
    let worker = home.worker(&[]);
    // Other tests change rows on the same server, so only this database is wanted.
    let more = [("whiteDataBase", shop.name.clone()), ("oms-driver-url", home.driver_url())];
    assert_eq!(worker.get(&path("seed", &shop.account, &more)), (200, "success".to_owned()));
    worker.runs("seed");
    sql(&shop.admin, &[format!("UPDATE {}.orders SET status = 'PAID' WHERE id = 1", shop.name)]);
    until("the queue is there", || (worker.get("/queues/orders").0 == 200).then_some(()));
    let limits = ["--from", "begin", "--limit", "1", "--timeout", "20", "--json", "--worker", &worker.url];
    let messages = home.run(&[&["tap", "orders"], &limits[..]].concat()).json_lines();
    check(&messages[0], &shop.name);
    // Nobody sees the password.
    for path in ["/getConfigInfo", "/getAllocatedInfo", "/connectors/seed", "/connectors/seed/tasks"] {
        let (status, body) = worker.get(path);
        assert!(status == 200 && body.contains(&shop.name) && !body.contains(PASSWORD), "{path}: {body}");
    }
    worker.stop();
    let log = std::fs::read_to_string(home.file("logs/omsconnect/omsconnect.log")).expect("the log");
    assert!(!log.contains(PASSWORD), "{log}");
}

#[test]
fn on_mariadb() {
    the_readmes_way(Kind::MariaDb);
}

#[test]
fn on_mysql() {
    the_readmes_way(Kind::MySql);
}

#[test]
fn what_is_wrong_is_the_answer() {
    let home = Home::new();
    let worker = home.worker(&[]);
    let right = shared(Kind::MariaDb);
    let wrong = Server { password: PASSWORD.to_owned(), ..right.clone() };
    let driver = || ("oms-driver-url", home.driver_url());
    let create = |server: &Server, more: &[(&str, String)]| worker.get(&path("c", server, more)).1;
    let answer = create(&wrong, &[driver()]);
    assert!(answer.contains("mysql.access_denied") && !answer.contains(PASSWORD), "{answer}");
    let answer = create(&right, &[driver(), ("whiteDatabse", "x".to_owned())]);
    assert!(answer.contains("did you mean whiteDataBase?"), "{answer}");
    let answer = create(&right, &[("oms-driver-url", "oms:rocketnq://localhost:9876/default".to_owned())]);
    assert!(answer.contains("rocketnq") && answer.contains("did you mean rocketmq?"), "{answer}");
    assert_eq!(worker.get("/connectors").1, "[]");
    worker.stop();
}
