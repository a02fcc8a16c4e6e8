//! The real program on real brokers: the same connectors, with nothing changed but the URL; a worker that goes on elsewhere
//! with an empty disk; a broker that goes away, alone or with its worker; the commands that look at a broker.

#[path = "../it/changes.rs"]
mod changes;
#[path = "../it/common.rs"]
mod common;
#[path = "../it/database.rs"]
mod database;

mod both_die;
mod commands;
mod elsewhere;
mod flow;
mod outage;
mod seed;

use std::time::{SystemTime, UNIX_EPOCH};

/// The access point of the shared broker of that name.
fn url(broker: &str) -> String {
    format!("oms:{broker}://{}/default:default", testkit::services::broker_address(broker))
}

/// The access point as flags of a command. The management interface of the shared RabbitMQ is on a port of its own.
fn way(broker: &str) -> Vec<String> {
    let mut way = vec!["--driver-url".to_owned(), url(broker)];
    if broker == "rabbitmq" {
        let entry = testkit::services::recorded(broker);
        let management = entry["more"]["management"].as_str().expect("its management interface");
        way.extend(["--driver-property".to_owned(), format!("management.url={management}")]);
    }
    way
}

/// A name that no other test and no earlier run has.
fn unique(name: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    format!("{name}_{now:x}_{}", std::process::id())
}

/// One test of each broker.
macro_rules! on_each_broker {
    ($test:path) => {
        #[test]
        fn on_kafka() {
            $test("kafka");
        }

        #[test]
        fn on_rocketmq() {
            $test("rocketmq");
        }

        #[test]
        fn on_rabbitmq() {
            $test("rabbitmq");
        }

        #[test]
        fn on_nats() {
            $test("nats");
        }

        #[test]
        fn on_redis() {
            $test("redis");
        }
    };
}
use on_each_broker;
