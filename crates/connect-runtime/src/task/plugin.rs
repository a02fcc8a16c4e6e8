//! Making plugins from their names and configuration.

use std::sync::Arc;

use openmessaging_connector::registry::Factory;
use openmessaging_connector::{
    Config, Converter, Error, Key, PluginInfo, PluginKind, Registry, Result, SinkTask, SourceTask,
};

use crate::config::keys;

/// A task of either kind.
pub enum AnyTask {
    Source(Box<dyn SourceTask>),
    Sink(Box<dyn SinkTask>),
}

/// A new task of the connector, not started.
pub fn source_or_sink(plugin: &PluginInfo) -> Result<AnyTask> {
    match plugin.factory {
        Factory::Source(make) => Ok(AnyTask::Source(make().task())),
        Factory::Sink(make) => Ok(AnyTask::Sink(make().task())),
        Factory::Converter(_) => {
            Err(Error::fatal("plugin.not_a_connector", format!("{} is no connector", plugin.class)))
        }
    }
}

/// The converter that `config` names for `key`, by the key's name or another of its names, with the options behind that
/// name; else the worker's default with the worker's options.
pub fn converter(
    registry: &Registry,
    key: &Key,
    config: &Config,
    defaults: &Config,
) -> Result<Arc<dyn Converter>> {
    let names = || std::iter::once(key.name).chain(key.aliases.iter().copied());
    let named_in = |config: &Config| names().find_map(|name| config.get(name).cloned());
    let (class, from) = match (named_in(config), named_in(defaults)) {
        (Some(class), _) => (class, config),
        (None, Some(class)) => (class, defaults),
        (None, None) => (key.default.unwrap_or(keys::DEFAULT_CONVERTER).to_owned(), config),
    };
    let plugin = registry.find(class.trim(), &[PluginKind::Converter])?;
    let option = |(name, value): (&String, &String)| {
        let rest = names().find_map(|prefix| name.strip_prefix(prefix)?.strip_prefix('.'))?;
        Some((rest.to_owned(), value.clone()))
    };
    let options: Config = from.iter().filter_map(option).collect();
    let errors = (plugin.config_def)().parse(&options).err().unwrap_or_default();
    if let Some(error) = errors.into_iter().next() {
        return Err(error);
    }
    match plugin.factory {
        Factory::Converter(make) => make(&options, key.name == keys::KEY_CONVERTER),
        _ => Err(Error::fatal("plugin.not_a_converter", format!("{} is no converter", plugin.class))),
    }
}

/// The configuration with the worker's defaults for the framework's keys that it does not set.
pub fn effective(
    config: &Config,
    defaults: &Config,
    framework: &openmessaging_connector::ConfigDef,
) -> Config {
    let mut config = config.clone();
    for key in framework.keys() {
        let set = std::iter::once(&key.name).chain(key.aliases).any(|name| config.contains_key(*name));
        let converter = key.name == keys::KEY_CONVERTER || key.name == keys::VALUE_CONVERTER;
        if let Some(value) = defaults.get(key.name).filter(|_| !set && !converter) {
            config.insert(key.name.to_owned(), value.clone());
        }
    }
    config
}
