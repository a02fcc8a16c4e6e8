//! A source with the original connector's class name and required keys. The real one is tested with its database; here
//! it is told what to fail with.

use std::time::Duration;

use async_trait::async_trait;
use openmessaging_connector::config::KeyType;
use openmessaging_connector::registry::Factory;
use openmessaging_connector::{
    Config, ConfigDef, Error, Key, PluginInfo, Polled, RecordSink, Registry, Result, SourceConnector,
    SourceTask, SourceTaskContext,
};

pub const CLASS: &str = "io.openmessaging.mysql.connector.MysqlConnector";

pub fn register(registry: &mut Registry) {
    registry.register(PluginInfo {
        class: CLASS,
        aliases: &["mysql"],
        version: "1.2.3",
        doc: "Stands for the original's connector.",
        config_def: keys,
        factory: Factory::Source(|| Box::new(Connector(Config::new()))),
    });
}

fn keys() -> ConfigDef {
    ConfigDef::new()
        .key(Key::new("mysqlAddr", KeyType::String, "Host.").required().group("Connection"))
        .key(Key::new("mysqlUsername", KeyType::String, "User.").required().group("Connection"))
        .key(Key::new("mysqlPassword", KeyType::Password, "Password.").required().group("Connection"))
        .key(Key::new("mysqlPort", KeyType::Int, "Port.").default("3306").group("Connection"))
        .key(Key::new("whiteTable", KeyType::List, "Tables."))
        .key(Key::new("fail", KeyType::String, "Where to fail.").one_of(&["validate", "task", "hang"]))
}

struct Connector(Config);

#[async_trait]
impl SourceConnector for Connector {
    async fn validate(&mut self, config: &Config) -> Vec<Error> {
        match config.get("fail").map(String::as_str) {
            Some("validate") => {
                let text = format!("access denied for {}", config["mysqlPassword"]);
                vec![Error::config("test.denied", "mysqlPassword", text)]
            }
            Some("hang") => {
                tokio::time::sleep(Duration::from_secs(3600)).await;
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    async fn start(&mut self, config: &Config) -> Result<()> {
        self.0 = config.clone();
        Ok(())
    }

    fn task_configs(&self, max_tasks: usize) -> Result<Vec<Config>> {
        Ok(vec![self.0.clone(); max_tasks])
    }

    fn task(&self) -> Box<dyn SourceTask> {
        Box::new(Task)
    }
}

struct Task;

#[async_trait]
impl SourceTask for Task {
    async fn start(&mut self, context: SourceTaskContext) -> Result<()> {
        let fails = context.config.get("fail").is_some_and(|how| how == "task");
        let password = &context.config["mysqlPassword"];
        if fails { Err(Error::fatal("test.failed", format!("access denied for {password}"))) } else { Ok(()) }
    }

    async fn poll(&mut self, _: &mut dyn RecordSink, wait: Duration) -> Result<Polled> {
        tokio::time::sleep(wait).await;
        Ok(Polled::Idle)
    }
}
