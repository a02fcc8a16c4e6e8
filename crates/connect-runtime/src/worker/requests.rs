//! Requests that change something: each becomes an entry of the control log and ends when it is folded.

use std::sync::Arc;
use std::time::Duration;

use openmessaging::{AccessPointUrl, DriverRegistry};
use openmessaging_connector::config::{MASK, nearest};
use openmessaging_connector::registry::Factory;
use openmessaging_connector::{Config, Error, PluginInfo, Registry};

use super::Worker;
use super::api::{Put, PutMode, Validation};
use crate::cluster::{Entry, RestartScope, State, TargetState};
use crate::config::secrets::resolve_config;
use crate::config::validate::{add_connector_errors, find_connector, invalid, kind_of, validate};
use crate::config::{class_of, driver_properties, keys, masked, unmasked};
use crate::error::{ApiError, ApiErrorKind};
use crate::task::call_isolated;

/// How long a request waits for its own entry to come back.
const FOLDED: Duration = Duration::from_secs(30);

impl Worker {
    /// Creates a connector, or gives it another configuration. The configuration is validated first, by the connector
    /// too, and a value that was shown masked and is sent back keeps what is stored.
    pub async fn put_connector(
        &self,
        name: &str,
        config: Config,
        mode: PutMode,
        initial: Option<TargetState>,
    ) -> Result<Put, ApiError> {
        let config = self.completed(name, config)?;
        let plugin = find_connector(self.plugins(), class_of(&config).unwrap_or_default())?;
        let validation = self.validate(class_of(&config).unwrap_or_default(), &config).await?;
        if validation.error_count() > 0 {
            return Err(invalid(&validation));
        }
        let _one_by_one = self.inner.changes.lock().await;
        let version = self.state().connectors.get(name).map_or(0, |connector| connector.version);
        if version > 0 && mode == PutMode::Create {
            return Err(ApiError::new(
                ApiErrorKind::Conflict,
                "connector.exists",
                format!("Connector {name} already exists"),
            ));
        }
        let entry = Entry::PutConnector {
            name: name.to_owned(),
            kind: kind_of(&plugin),
            config,
            replaces: Some(version),
            target: initial,
        };
        let changed = |state: &State| state.connectors.get(name).is_some_and(|c| c.version > version);
        self.change(entry, "storing the configuration", changed).await?;
        let info = self.connector_info(name).ok_or_else(|| unknown(name))?;
        Ok(Put { created: version == 0, info })
    }

    /// Removes a connector and stops its work; its positions stay.
    pub async fn delete_connector(&self, name: &str) -> Result<(), ApiError> {
        let _one_by_one = self.inner.changes.lock().await;
        self.known(name)?;
        let gone = |state: &State| !state.connectors.contains_key(name);
        self.change(Entry::DeleteConnector { name: name.to_owned() }, "deleting the connector", gone).await
    }

    /// Starts, pauses or stops a connector for good, over restarts too. Nothing happens where it is that already.
    pub async fn set_target(&self, name: &str, target: TargetState) -> Result<(), ApiError> {
        let _one_by_one = self.inner.changes.lock().await;
        self.known(name)?;
        let done = |state: &State| state.connectors.get(name).is_none_or(|c| c.target == target);
        if done(&self.state()) {
            return Ok(());
        }
        self.change(Entry::SetTarget { name: name.to_owned(), target }, "storing the target state", done)
            .await
    }

    /// Starts again what `scope` names. Paused and stopped work stays so.
    pub async fn restart(&self, name: &str, scope: RestartScope) -> Result<(), ApiError> {
        self.known(name)?;
        if let Some(task) = scope.task.filter(|task| !self.state().tasks(name).any(|(id, _)| id == *task)) {
            return Err(ApiError::not_found("task.unknown", format!("Unknown task: {name}-{task}")));
        }
        let next = self.state().next;
        let entry = Entry::Restart { name: name.to_owned(), scope };
        self.change(entry, "storing the restart", |state| state.next > next).await
    }

    /// Everything that is wrong with a configuration for `class`. The connector's own checks (which may connect) are
    /// made only when its keys are right.
    pub async fn validate(&self, class: &str, config: &Config) -> Result<Validation, ApiError> {
        let options = &self.inner.options;
        validate_config(&options.plugins, &options.drivers, class, config, Some(options.call_timeout)).await
    }

    /// The configuration with its name, and with stored values where masked ones were sent back.
    fn completed(&self, name: &str, config: Config) -> Result<Config, ApiError> {
        let state = self.state();
        let stored = state.connectors.get(name).map(|connector| &connector.config);
        let shown = stored.map(|stored| masked(self.plugins(), &self.inner.options.drivers, stored));
        let mut config = unmasked(config, stored, shown.as_ref());
        match config.get(keys::NAME) {
            Some(other) if other != name => {
                return Err(ApiError::invalid(
                    "connector.name_differs",
                    format!(
                        "Connector name configuration ({other}) doesn't match connector name in the URL ({name})"
                    ),
                ));
            }
            Some(_) => {}
            None => drop(config.insert(keys::NAME.to_owned(), name.to_owned())),
        }
        if class_of(&config).is_none_or(|class| class.trim().is_empty()) {
            return Err(ApiError::invalid(
                "connector.class_missing",
                format!("Connector config {{name={name}}} contains no connector type (set connector.class)"),
            ));
        }
        if let Some((key, _)) = config.iter().find(|(_, value)| *value == MASK) {
            return Err(ApiError::invalid(
                "config.masked_value",
                format!(
                    "{key}: {MASK} is what is shown in the place of a secret, not a value: send the secret"
                ),
            ));
        }
        Ok(config)
    }

    fn known(&self, name: &str) -> Result<(), ApiError> {
        if self.state().connectors.contains_key(name) { Ok(()) } else { Err(unknown(name)) }
    }

    /// Appends an entry and waits until the fold shows that it was taken.
    async fn change(
        &self,
        entry: Entry,
        stage: &str,
        taken: impl Fn(&State) -> bool,
    ) -> Result<(), ApiError> {
        self.inner.log.append(&entry).await?;
        let mut state = self.inner.state.clone();
        match tokio::time::timeout(FOLDED, state.wait_for(|state| taken(state))).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(ApiError::internal("worker.stopping", "the worker is stopping")),
            Err(_) => Err(ApiError::internal(
                "worker.timeout",
                format!("Request timed out after {} s. The worker was {stage}", FOLDED.as_secs()),
            )),
        }
    }
}

fn unknown(name: &str) -> ApiError {
    ApiError::not_found("connector.unknown", format!("Connector {name} not found"))
}

/// Everything that is wrong with a configuration for `class`, for which no worker is needed. The connector's own checks
/// (which may connect) are made only when its keys are right, and only with a `limit` for them.
///
/// # Errors
/// No connector is named `class`.
pub async fn validate_config(
    plugins: &Registry,
    drivers: &DriverRegistry,
    class: &str,
    config: &Config,
    limit: Option<Duration>,
) -> Result<Validation, ApiError> {
    let plugin = find_connector(plugins, class)?;
    let mut validation = validate(plugins, &plugin, class, config);
    add_connector_errors(&mut validation, driver_errors(drivers, config));
    if let (0, Some(limit)) = (validation.error_count(), limit) {
        let errors = check(plugin, config, limit).await;
        add_connector_errors(&mut validation, errors);
    }
    Ok(validation)
}

/// A URL that can be read may still name a driver that is not there. One with a reference is looked at when work starts.
fn driver_errors(drivers: &DriverRegistry, config: &Config) -> Vec<Error> {
    let url = config.get(keys::DRIVER_URL).and_then(|url| url.parse::<AccessPointUrl>().ok());
    let Some(url) = url else { return Vec::new() };
    let driver = match drivers.find(&url.driver) {
        Ok(driver) => driver,
        Err(error) => {
            let wrong = Error::config("driver.unknown", keys::DRIVER_URL, error.message);
            return vec![match error.remedy {
                Some(remedy) => wrong.with_remedy(remedy),
                None => wrong,
            }];
        }
    };
    let names = driver.settings().iter().map(|setting| setting.name);
    let unknown = |name: &String| !name.starts_with("client.") && !names.clone().any(|known| known == name);
    let properties = driver_properties(config);
    properties
        .keys()
        .filter(|name| unknown(name))
        .map(|name| {
            let near = nearest(name, names.clone()).map(|near| format!("the nearest is driver.{near}; "));
            let all: Vec<_> = names.clone().collect();
            let message = format!("the {} driver has no such property", driver.name());
            Error::config("driver.property_unknown", format!("{}{name}", keys::DRIVER_PREFIX), message)
                .with_remedy(format!("{}known: {}", near.unwrap_or_default(), all.join(", ")))
        })
        .collect()
}

/// The connector's own checks, on a thread of their own and limited in time.
async fn check(plugin: Arc<PluginInfo>, config: &Config, limit: Duration) -> Vec<Error> {
    let def = keys::framework(kind_of(&plugin)).extend((plugin.config_def)());
    let resolved = match resolve_config(config, &def) {
        Ok(resolved) => resolved,
        Err(error) => return vec![error],
    };
    let scrubber = resolved.scrubber;
    let call = async move {
        Ok(match plugin.factory {
            Factory::Source(make) => make().validate(&resolved.config).await,
            Factory::Sink(make) => make().validate(&resolved.config).await,
            Factory::Converter(_) => Vec::new(),
        })
    };
    let mut errors =
        call_isolated("the connector's validation", limit, call).await.unwrap_or_else(|error| vec![error]);
    for error in &mut errors {
        error.message = scrubber.scrub(&error.message);
        error.remedy = error.remedy.take().map(|remedy| scrubber.scrub(&remedy));
    }
    errors
}
