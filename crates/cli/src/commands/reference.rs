//! `omsconnect reference`, which prints the pages of `docs/reference` that are made from the code. Hidden: it is for
//! whoever changes the code, and a test holds the pages to it.

mod drivers;

use std::fmt::Write;

use clap::{Args, CommandFactory, ValueEnum};
use openmessaging_connector::{ConfigDef, PluginInfo, PluginKind};

use super::plugins::values;
use crate::failure::Result;
use crate::{output, plugins, settings};

#[derive(Debug, Args)]
pub struct Arguments {
    page: Page,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Page {
    WorkerConfig,
    Cli,
    Connectors,
    Drivers,
}

pub fn run(arguments: Arguments) -> Result<()> {
    let page = match arguments.page {
        Page::WorkerConfig => settings::markdown(),
        Page::Cli => cli(),
        Page::Connectors => connectors(),
        Page::Drivers => drivers::page(),
    };
    output::write(page.as_bytes())
}

fn cli() -> String {
    let mut command = crate::Arguments::command().term_width(100);
    command.build();
    let mut out = String::from(
        "# The command line\n\n<!-- Made from the code by `cargo run -- reference cli`. -->\n\n\
         Errors are told on standard error with a stable code and what to do. Exit codes: 0 done, 1 failed, 2 wrongly \
         called.\n",
    );
    pages(&mut out, &mut command, "omsconnect");
    out
}

/// The help of a command and of those below it. The worker's flags have a page of their own.
fn pages(out: &mut String, command: &mut clap::Command, name: &str) {
    let help = command.render_long_help().to_string();
    let help = if name == "omsconnect worker" { without_settings(&help) } else { help };
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    let _ = write!(out, "\n## {name}\n\n```text\n{}\n```\n", lines.join("\n").trim_end());
    if name == "omsconnect worker" {
        out.push_str("\nThe flags of the settings are in [worker-config.md](worker-config.md).\n");
    }
    for below in
        command.get_subcommands_mut().filter(|below| !below.is_hide_set() && below.get_name() != "help")
    {
        let name = format!("{name} {}", below.get_name());
        pages(out, below, &name);
    }
}

/// Leaves out the groups of settings, which start with the first group's title.
fn without_settings(help: &str) -> String {
    let start = help.find("\nWorker:\n").unwrap_or(help.len());
    let examples = help.find("\nExamples:\n").unwrap_or(help.len());
    format!("{}{}", &help[..start.min(examples)], &help[examples..])
}

fn connectors() -> String {
    let mut out = String::from(
        "# Connectors and their keys\n\n<!-- Made from each connector's ConfigDef by `cargo run -- reference connectors`. \
         -->\n\nA connector is named by its full class, its simple name or an alias. Values of keys of type password are \
         never shown; any value may be a reference, `${env:NAME}` or `${file:PATH:KEY}`.\n",
    );
    let framework = |kind, title: &str, out: &mut String| {
        let _ = write!(out, "\n## Keys of every {title}\n\n");
        rows(out, &connect_runtime::config::keys::framework(kind));
    };
    framework(connect_runtime::cluster::ConnectorKind::Source, "source", &mut out);
    framework(connect_runtime::cluster::ConnectorKind::Sink, "sink", &mut out);
    let registry = plugins::registry();
    for kind in [PluginKind::Source, PluginKind::Sink, PluginKind::Converter] {
        for plugin in registry.plugins().iter().filter(|plugin| plugin.kind() == kind) {
            section(&mut out, plugin);
        }
    }
    out
}

fn section(out: &mut String, plugin: &PluginInfo) {
    let simple = plugin.class.rsplit('.').next().unwrap_or(plugin.class);
    let _ = write!(out, "\n## {simple} ({})\n\n{}\n\n`{}`", plugin.kind(), plugin.doc, plugin.class);
    if !plugin.aliases.is_empty() {
        let aliases: Vec<String> = plugin.aliases.iter().map(|alias| format!("`{alias}`")).collect();
        let _ = write!(out, ", also {}", aliases.join(", "));
    }
    out.push_str("\n\n");
    rows(out, &(plugin.config_def)());
}

fn rows(out: &mut String, def: &ConfigDef) {
    if def.keys().is_empty() {
        out.push_str("It has no keys.\n");
        return;
    }
    out.push_str("| Key | Type | Default | What it is |\n|---|---|---|---|\n");
    for key in def.keys() {
        let aliases: String = key.aliases.iter().map(|alias| format!(" (also `{alias}`)")).collect();
        let default = match key.default {
            _ if key.required => "required".to_owned(),
            None => String::new(),
            Some("") => "empty".to_owned(),
            Some(default) => format!("`{default}`"),
        };
        let values = values(key).map(|values| format!(" {}.", capital(&values))).unwrap_or_default();
        let ty = key.ty.to_string().to_lowercase();
        let doc = format!("{}{values}", key.documentation).replace('|', "\\|");
        let _ = writeln!(out, "| `{}`{aliases} | {ty} | {default} | {doc} |", key.name);
    }
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}
