//! That errors are clear: S13.

use std::sync::Arc;

use openmessaging_connector::registry::Factory;
use openmessaging_connector::{Config, Error, PluginInfo};

use super::run::{Positions, Run};
use super::{SourceFixture, Wrong};
use crate::memory::MemoryState;

/// S13: a wrong configuration, an unreachable system or a missing privilege is one error with a stable code which
/// names the key or the server and the remedy, and holds no secret.
pub async fn s13_errors_are_clear<F: SourceFixture>(fixture: &mut F) {
    let cases = fixture.wrong().await;
    assert!(cases.len() >= 2, "the fixture names {} wrong cases", cases.len());
    let plugin = fixture.plugin();
    for case in cases {
        let errors = found(&plugin, &case.config).await;
        assert_clear(&case, &errors);
    }
}

/// The errors of a configuration as the runtime meets them: the definition's, then the connector's, then the start's.
async fn found(plugin: &PluginInfo, config: &Config) -> Vec<Error> {
    let mut errors = known(plugin, config);
    if errors.is_empty() {
        let Factory::Source(make) = plugin.factory else { panic!("{} is no source", plugin.class) };
        let mut connector = make();
        errors = connector.validate(config).await;
        connector.stop().await;
    }
    if errors.is_empty() {
        let state = Arc::new(MemoryState::default());
        match Run::start(plugin, config, Positions::new(), &state).await {
            Err(error) => errors.push(error),
            Ok(mut run) => {
                errors.extend(run.poll(10, std::time::Duration::from_millis(500)).await.err());
                run.stop().await;
            }
        }
    }
    errors
}

/// What the plugin's definition says of a configuration.
pub(crate) fn known(plugin: &PluginInfo, config: &Config) -> Vec<Error> {
    let def = (plugin.config_def)();
    let mut errors = def.unknown_keys(config);
    errors.extend(def.parse(config).err().unwrap_or_default());
    errors
}

/// One error, with its code, names and a remedy, and without secrets.
pub(crate) fn assert_clear(case: &Wrong, errors: &[Error]) {
    let texts: Vec<_> = errors.iter().map(|error| format!("{error} {error:?}")).collect();
    assert_eq!(errors.len(), 1, "{}: one error is expected, not {texts:#?}", case.name);
    let (error, text) = (&errors[0], errors[0].to_string());
    assert_eq!(error.code, case.code, "{}: {text}", case.name);
    for name in &case.names {
        assert!(text.contains(name), "{}: {name} is not named: {text}", case.name);
    }
    // The text of a definition's error is its remedy: it says what the value must be.
    assert!(error.remedy.is_some() || error.code == "config.invalid", "{}: no remedy: {text}", case.name);
    for secret in &case.secrets {
        assert!(!texts[0].contains(secret.as_str()), "{}: an error holds a secret", case.name);
    }
}
