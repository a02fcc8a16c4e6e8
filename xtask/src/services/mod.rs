//! `cargo xtask services`: the real servers that tests use, installed, started and stopped.
//!
//! A service is one file here, with a type that implements [`Service`], and one line in [`all`].

pub mod apt;
mod command;
pub mod files;
mod kafka;
pub mod mariadb;
pub mod maven;
mod mysql;
mod mysql_family;
mod nats;
mod private;
pub mod process;
mod rabbitmq;
mod redis;
mod rocketmq;
mod state;
mod tls;

use std::path::{Path, PathBuf};

pub use command::{Command, Session, environment, run};
pub use state::{Entry, State};

use crate::Result;

/// Every service there is, in the order in which they are started and printed.
pub fn all() -> Vec<Box<dyn Service>> {
    vec![
        Box::new(mariadb::TESTS),
        Box::new(mysql::MySql),
        Box::new(kafka::Kafka),
        Box::new(redis::Redis),
        Box::new(rabbitmq::RabbitMq),
        Box::new(nats::Nats),
        Box::new(rocketmq::RocketMq),
        Box::new(mariadb::BENCH),
    ]
}

/// How one server is had. What is common to all (state, waiting, stopping, ports) is in `command`.
pub trait Service {
    /// The name on the command line, in `state.json`, and in capitals after `OMS_TEST_`.
    fn name(&self) -> &'static str;

    /// The port that is taken when it is free.
    fn port(&self) -> u16;

    /// Started only when it is named: the tests do not need it.
    fn on_request(&self) -> bool {
        false
    }

    /// Installs what is missing. Quick when nothing is.
    fn install(&self, place: &Place) -> Result<()>;

    /// Starts the server in a data folder of its own, on a port that was free a moment ago. Does not wait for it.
    fn start(&self, place: &Place, port: u16) -> Result<Entry>;

    /// Asks the server something real and returns its version; an error while it does not answer.
    fn probe(&self, place: &Place, entry: &Entry) -> Result<String>;
}

/// The folders of one service.
pub struct Place {
    /// `target/services`, shared by all.
    pub shared: PathBuf,
    /// `target/services/NAME`: data, log and what was generated for it.
    pub own: PathBuf,
    /// `target/services/dist/NAME`: what was downloaded. Kept by `down`, so that the next `up` is quick.
    pub dist: PathBuf,
}

impl Place {
    pub fn of(shared: &Path, name: &str) -> Place {
        Place { shared: shared.into(), own: shared.join(name), dist: shared.join("dist").join(name) }
    }

    pub fn log(&self) -> PathBuf {
        self.own.join("server.log")
    }
}

/// `OMS_TEST_MARIADB` for `mariadb`: names a server that is there already, as `host:port`.
pub fn variable(name: &str) -> String {
    format!("OMS_TEST_{}", name.to_uppercase().replace('-', "_"))
}
