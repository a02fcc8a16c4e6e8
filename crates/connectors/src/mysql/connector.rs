//! The connector: validates its configuration against the server, and makes its one task.

use async_trait::async_trait;
use openmessaging_connector::registry::Factory;
use openmessaging_connector::{Config, Error, PluginInfo, Registry, Result, SourceConnector, SourceTask};

use super::config::{Settings, config_def};
use super::task::{MySqlTask, first};
use super::validate::validate;

/// MySQL and MariaDB as a source. One server is one ordered log, so there is one task.
#[derive(Default)]
pub struct MySqlConnector {
    config: Option<Config>,
}

pub fn register(registry: &mut Registry) {
    registry.register(plugin());
}

pub fn plugin() -> PluginInfo {
    PluginInfo {
        class: "io.openmessaging.mysql.connector.MysqlConnector",
        aliases: &[
            "mysql",
            "mariadb",
            "MysqlConnector",
            "io.debezium.connector.mysql.MySqlConnector",
            "io.debezium.connector.mariadb.MariaDbConnector",
        ],
        version: env!("CARGO_PKG_VERSION"),
        doc: "Row changes of MySQL and MariaDB from the binlog, with snapshots.",
        config_def,
        factory: Factory::Source(|| Box::new(MySqlConnector::default())),
    }
}

#[async_trait]
impl SourceConnector for MySqlConnector {
    async fn validate(&mut self, config: &Config) -> Vec<Error> {
        match Settings::parse(config) {
            Ok(settings) => validate(&settings).await,
            // The runtime has shown what the definition says is wrong; what keys need of each other is only seen here.
            Err(errors) => errors.into_iter().filter(|error| !is_seen_by_definition(error, config)).collect(),
        }
    }

    async fn start(&mut self, config: &Config) -> Result<()> {
        Settings::parse(config).map_err(first)?;
        self.config = Some(config.clone());
        Ok(())
    }

    fn task_configs(&self, _max_tasks: usize) -> Result<Vec<Config>> {
        Ok(vec![self.config.clone().unwrap_or_default()])
    }

    fn task(&self) -> Box<dyn SourceTask> {
        Box::new(MySqlTask::default())
    }
}

fn is_seen_by_definition(error: &Error, config: &Config) -> bool {
    let Err(errors) = config_def().parse(config) else { return false };
    errors.iter().any(|seen| seen.key == error.key && seen.message == error.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_answers_to_all_its_names() {
        let mut registry = Registry::new();
        register(&mut registry);
        for name in [
            "io.openmessaging.mysql.connector.MysqlConnector",
            "MysqlConnector",
            "mysql",
            "MySQL",
            "io.debezium.connector.mysql.MySqlConnector",
            "io.debezium.connector.mariadb.MariaDbConnector",
            "MySqlConnector",
        ] {
            assert!(registry.connector(name).is_ok(), "{name}");
        }
    }
}
