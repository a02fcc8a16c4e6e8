//! Starting and stopping connectors, each call behind the plugin boundary (invariant 8).

use std::sync::Arc;
use std::time::Duration;

use openmessaging_connector::registry::Factory;
use openmessaging_connector::{Config, Error, PluginInfo, Result, SinkConnector, SourceConnector};
use tokio::sync::mpsc;

use super::Inner;
use super::supervisor::Event;
use crate::cluster::ConnectorState;
use crate::config::secrets::{resolve_config, unresolve};
use crate::config::validate::{find_connector, kind_of};
use crate::config::{class_of, keys};
use crate::task::{call_isolated, effective};

/// A connector that was started.
pub(super) enum AnyConnector {
    Source(Box<dyn SourceConnector>),
    Sink(Box<dyn SinkConnector>),
}

/// Starts a connector and asks it for its tasks; the answer comes as [`Event::Started`].
pub(super) fn start(
    inner: &Arc<Inner>,
    name: &str,
    epoch: u64,
    connector: &ConnectorState,
    events: mpsc::UnboundedSender<Event>,
) {
    let (name, version, config) = (name.to_owned(), connector.version, connector.config.clone());
    let inner = inner.clone();
    tokio::spawn(async move {
        let outcome = started(&inner, config).await;
        let _ = events.send(Event::Started { name, epoch, version, outcome });
    });
}

async fn started(inner: &Inner, config: Config) -> Result<(AnyConnector, Vec<Config>)> {
    let options = &inner.options;
    let plugin = find_connector(&options.plugins, class_of(&config).unwrap_or_default())
        .map_err(|error| Error::fatal(error.code, error.message))?;
    let framework = keys::framework(kind_of(&plugin));
    let config = effective(&config, &options.connector_defaults, &framework);
    let most = framework.parse(&config).map_or(1, |parsed| parsed.int(keys::TASKS_MAX).max(1)) as usize;
    let resolved = resolve_config(&config, &framework.extend((plugin.config_def)()))?;
    let given = resolved.config.clone();
    let call = async move { split(&plugin, &given, most).await };
    let (instance, configs) = call_isolated("the connector's start", options.call_timeout, call)
        .await
        .map_err(|error| Error { message: resolved.scrubber.scrub(&error.message), ..error })?;
    // What the log keeps holds references, never what they stand for (invariant 6).
    let configs = configs.iter().map(|task| unresolve(task, &config, &resolved.config)).collect();
    Ok((instance, configs))
}

async fn split(plugin: &PluginInfo, config: &Config, most: usize) -> Result<(AnyConnector, Vec<Config>)> {
    let (instance, configs) = match plugin.factory {
        Factory::Source(make) => {
            let mut connector = make();
            connector.start(config).await?;
            let configs = connector.task_configs(most)?;
            (AnyConnector::Source(connector), configs)
        }
        Factory::Sink(make) => {
            let mut connector = make();
            connector.start(config).await?;
            let configs = connector.task_configs(most)?;
            (AnyConnector::Sink(connector), configs)
        }
        Factory::Converter(_) => return Err(Error::fatal("plugin.not_a_connector", plugin.class)),
    };
    if configs.is_empty() || configs.len() > most {
        let text = format!("the connector made {} task configurations, tasks.max is {most}", configs.len());
        return Err(Error::fatal("connector.task_count", text));
    }
    Ok((instance, configs))
}

/// Stops a connector, if there is one, without waiting for it.
pub(super) fn stop(instance: Option<AnyConnector>, limit: Duration) {
    let Some(instance) = instance else { return };
    tokio::spawn(async move {
        let call = async move {
            match instance {
                AnyConnector::Source(mut connector) => connector.stop().await,
                AnyConnector::Sink(mut connector) => connector.stop().await,
            }
            Ok(())
        };
        if let Err(error) = call_isolated("the connector's stop", limit, call).await {
            tracing::warn!(%error, "stopping a connector");
        }
    });
}

/// Lets a deleted source take away what it installed, without waiting for it.
pub(super) fn deleted(inner: &Arc<Inner>, name: String, config: Config) {
    let Ok(plugin) = find_connector(&inner.options.plugins, class_of(&config).unwrap_or_default()) else {
        return;
    };
    let Factory::Source(make) = plugin.factory else { return };
    let def = keys::framework(kind_of(&plugin)).extend((plugin.config_def)());
    let limit = inner.options.call_timeout;
    tokio::spawn(async move {
        let resolved = match resolve_config(&config, &def) {
            Ok(resolved) => resolved,
            Err(error) => return tracing::warn!(connector = name, %error, "what it installed stays"),
        };
        let (scrubber, shown) = (resolved.scrubber, name.clone());
        let call = async move { make().deleted(&name, &resolved.config).await };
        if let Err(error) = call_isolated("the connector's clean-up", limit, call).await {
            tracing::warn!(connector = shown, "{}", scrubber.scrub(&error.to_string()));
        }
    });
}
