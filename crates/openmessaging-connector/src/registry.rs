//! Plugins by name: full class name, simple name or alias.

use std::fmt;
use std::sync::Arc;

use crate::config::ConfigDef;
use crate::converter::ConverterFactory;
use crate::error::{Error, ErrorKind, Result};
use crate::sink::SinkConnector;
use crate::source::SourceConnector;

/// What a plugin is; the names are those of Kafka Connect's REST API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PluginKind {
    Sink,
    Source,
    Converter,
}

impl fmt::Display for PluginKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PluginKind::Sink => "sink",
            PluginKind::Source => "source",
            PluginKind::Converter => "converter",
        })
    }
}

/// How to make the plugin.
#[derive(Clone, Copy)]
pub enum Factory {
    Source(fn() -> Box<dyn SourceConnector>),
    Sink(fn() -> Box<dyn SinkConnector>),
    Converter(ConverterFactory),
}

/// What is known of a plugin without making one.
#[derive(Clone)]
pub struct PluginInfo {
    /// Full class name, by which it is listed.
    pub class: &'static str,
    /// Other names it answers to: an alias (`mysql`), classes it replaces. Matched without regard to case where
    /// they have no dot.
    pub aliases: &'static [&'static str],
    pub version: &'static str,
    /// One line on what it is for.
    pub doc: &'static str,
    pub config_def: fn() -> ConfigDef,
    pub factory: Factory,
}

impl PluginInfo {
    pub fn kind(&self) -> PluginKind {
        match self.factory {
            Factory::Source(_) => PluginKind::Source,
            Factory::Sink(_) => PluginKind::Sink,
            Factory::Converter(_) => PluginKind::Converter,
        }
    }

    /// The last segment of the class name, with `Connector` and without.
    fn answers_to(&self, name: &str) -> bool {
        let simple = |class: &'static str| class.rsplit(['.', '$']).next().unwrap_or(class);
        let short = |class: &'static str| {
            let simple = simple(class);
            simple.strip_suffix("Connector").or(simple.strip_suffix("Converter")).unwrap_or(simple)
        };
        let matches = |class: &'static str| {
            class == name
                || simple(class) == name
                || short(class) == name
                || (!class.contains('.') && class.eq_ignore_ascii_case(name))
        };
        matches(self.class) || self.aliases.iter().any(|alias| matches(alias))
    }
}

impl fmt::Debug for PluginInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginInfo").field("class", &self.class).field("kind", &self.kind()).finish()
    }
}

/// All plugins of a worker. Where a short name fits several, the one registered first has it.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    plugins: Vec<Arc<PluginInfo>>,
}

impl Registry {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn register(&mut self, plugin: PluginInfo) {
        self.plugins.push(Arc::new(plugin));
    }

    pub fn plugins(&self) -> &[Arc<PluginInfo>] {
        &self.plugins
    }

    /// The plugin of that name among those of the given kinds; a full class name is preferred to a short one.
    ///
    /// # Errors
    /// `plugin.unknown`, naming the nearest and all known ones.
    pub fn find(&self, name: &str, kinds: &[PluginKind]) -> Result<Arc<PluginInfo>> {
        let of_kind = || self.plugins.iter().filter(|plugin| kinds.contains(&plugin.kind()));
        of_kind()
            .find(|plugin| plugin.class == name || plugin.aliases.contains(&name))
            .or_else(|| of_kind().find(|plugin| plugin.answers_to(name)))
            .cloned()
            .ok_or_else(|| {
                let known: Vec<_> = of_kind().map(|plugin| plugin.class).collect();
                let names = of_kind()
                    .flat_map(|plugin| [plugin.class].into_iter().chain(plugin.aliases.iter().copied()));
                let remedy = match crate::config::nearest(name, names) {
                    Some(near) => format!("did you mean {near}? known: {}", known.join(", ")),
                    None => format!("known: {}", known.join(", ")),
                };
                Error::new(ErrorKind::Config, "plugin.unknown", format!("no plugin is named {name}"))
                    .with_remedy(remedy)
            })
    }

    /// A source or sink connector by any of its names.
    pub fn connector(&self, name: &str) -> Result<Arc<PluginInfo>> {
        self.find(name, &[PluginKind::Source, PluginKind::Sink])
    }
}
