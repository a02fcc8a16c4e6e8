//! `omsconnect plugins`

use clap::Args;
use openmessaging::DriverRegistry;
use openmessaging_connector::config::Validator;
use openmessaging_connector::{Key, PluginInfo, PluginKind, Registry};
use serde_json::{Value, json};

use crate::failure::{Failure, Result};
use crate::{output, plugins};

pub const EXAMPLES: &str = "\
Examples:
  omsconnect plugins                 everything this program can run
  omsconnect plugins mysql           the keys of one plugin
  omsconnect plugins mysql --json

A plugin answers to its full class name, its simple name and its aliases.";

#[derive(Debug, Args)]
pub struct Arguments {
    /// Show this plugin's keys
    name: Option<String>,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: Arguments) -> Result<()> {
    let registry = plugins::registry();
    match &arguments.name {
        None if arguments.json => output::json(&all_json(&registry, &plugins::drivers())),
        None => all(&registry, &plugins::drivers()),
        Some(name) => {
            let kinds = [PluginKind::Source, PluginKind::Sink, PluginKind::Converter];
            let found = find(&registry, name, &kinds)?;
            if arguments.json {
                return output::json(&found.iter().map(|plugin| plugin_json(plugin)).collect::<Vec<_>>());
            }
            found.iter().try_for_each(|plugin| one(plugin))
        }
    }
}

/// A name may mean both a source and a sink (`file`): then both are shown.
fn find<'r>(registry: &'r Registry, name: &str, kinds: &[PluginKind]) -> Result<Vec<&'r PluginInfo>> {
    let found: Vec<_> = kinds
        .iter()
        .filter_map(|kind| registry.find(name, &[*kind]).ok())
        .filter_map(|found| registry.plugins().iter().find(|plugin| plugin.class == found.class))
        .map(AsRef::as_ref)
        .collect();
    match found.is_empty() {
        false => Ok(found),
        true => match registry.find(name, kinds) {
            Err(error) => Err(error.into()),
            Ok(_) => Err(Failure::new("plugin.unknown", format!("no plugin is named {name}"))),
        },
    }
}

fn all(registry: &Registry, drivers: &DriverRegistry) -> Result<()> {
    for (kind, title) in
        [(PluginKind::Source, "SOURCES"), (PluginKind::Sink, "SINKS"), (PluginKind::Converter, "CONVERTERS")]
    {
        output::line(title)?;
        for plugin in registry.plugins().iter().filter(|plugin| plugin.kind() == kind) {
            let (name, others) = names(plugin);
            output::line(format!("  {name:<12}{}", plugin.doc))?;
            output::line(format!("  {:<12}{}", "", others.join(", ")))?;
        }
        output::line("")?;
    }
    output::line("DRIVERS")?;
    for driver in drivers.drivers() {
        output::line(format!("  {:<12}oms:{}://...", driver.name(), driver.name()))?;
    }
    Ok(())
}

/// The name that is shortest to type, and the others, the class first.
fn names(plugin: &PluginInfo) -> (&'static str, Vec<&'static str>) {
    let name = plugin.aliases.first().copied().unwrap_or(plugin.class);
    let others = std::iter::once(plugin.class).chain(plugin.aliases.iter().copied());
    (name, others.filter(|other| *other != name).collect())
}

fn all_json(registry: &Registry, drivers: &DriverRegistry) -> Value {
    let plugins: Vec<Value> = registry
        .plugins()
        .iter()
        .map(|plugin| {
            json!({
                "class": plugin.class,
                "type": plugin.kind().to_string(),
                "aliases": plugin.aliases,
                "version": plugin.version,
                "doc": plugin.doc,
            })
        })
        .collect();
    let drivers: Vec<Value> = drivers
        .drivers()
        .iter()
        .map(|driver| json!({"name": driver.name(), "capabilities": driver.capabilities()}))
        .collect();
    json!({"plugins": plugins, "drivers": drivers})
}

fn one(plugin: &PluginInfo) -> Result<()> {
    output::line(format!("{} ({}, version {})", plugin.class, plugin.kind(), plugin.version))?;
    output::line(plugin.doc)?;
    if !plugin.aliases.is_empty() {
        output::line(format!("also named {}", plugin.aliases.join(", ")))?;
    }
    let def = (plugin.config_def)();
    for key in def.keys() {
        output::line(format!("\n{}  {}, {}", key.name, key.ty.to_string().to_lowercase(), presence(key)))?;
        if !key.aliases.is_empty() {
            output::line(format!("    also {}", key.aliases.join(", ")))?;
        }
        output::line(format!("    {}", key.documentation))?;
        if let Some(values) = values(key) {
            output::line(format!("    {values}"))?;
        }
    }
    output::line("")
}

fn presence(key: &Key) -> String {
    match key.default {
        _ if key.required => "required".to_owned(),
        None => "optional".to_owned(),
        Some("") => "default empty".to_owned(),
        Some(default) => format!("default {default}"),
    }
}

/// What values a key takes, where that can be said in a few words.
pub fn values(key: &Key) -> Option<String> {
    match key.validator? {
        Validator::OneOf(values) => Some(format!("one of {}", values.join(", "))),
        Validator::Range { min, max } if max == i64::MAX || max == i64::from(i32::MAX) => {
            Some(format!("at least {min}"))
        }
        Validator::Range { min, max } => Some(format!("{min} to {max}")),
        Validator::NonEmpty | Validator::Check(_) => None,
    }
}

fn plugin_json(plugin: &PluginInfo) -> Value {
    let def = (plugin.config_def)();
    let keys: Vec<Value> = def
        .keys()
        .iter()
        .map(|key| {
            json!({
                "name": key.name,
                "aliases": key.aliases,
                "type": key.ty.to_string(),
                "required": key.required,
                "default": key.default,
                "importance": key.importance.to_string(),
                "group": key.group,
                "values": values(key),
                "documentation": key.documentation,
            })
        })
        .collect();
    json!({
        "class": plugin.class,
        "type": plugin.kind().to_string(),
        "aliases": plugin.aliases,
        "version": plugin.version,
        "doc": plugin.doc,
        "keys": keys,
    })
}
