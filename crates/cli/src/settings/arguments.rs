//! The flags of `omsconnect worker`, made from the table.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches};

use super::key::{Default, Kind};
use super::table::KEYS;

/// What the user gave on the command line.
#[derive(Debug, Clone)]
pub struct WorkerArguments {
    pub config_file: Option<PathBuf>,
    /// Flag (without dashes) and value.
    pub flags: Vec<(String, String)>,
    /// `--set KEY=VALUE`.
    pub set: Vec<(String, String)>,
}

impl Args for WorkerArguments {
    fn augment_args(command: clap::Command) -> clap::Command {
        let command = command
            .arg(
                Arg::new("config-file")
                    .short('c')
                    .long("configFile")
                    .visible_alias("config-file")
                    .value_name("FILE")
                    .value_parser(clap::value_parser!(PathBuf))
                    .help("Java properties file with the keys below [env: OMSCONNECT_CONFIG_FILE]"),
            )
            .arg(
                Arg::new("set")
                    .long("set")
                    .value_name("KEY=VALUE")
                    .action(ArgAction::Append)
                    .value_parser(pair)
                    .help("Set any key of the file, also one behind a prefix: --set value.converter.schemas.enable=false"),
            );
        KEYS.iter().fold(command, |command, key| {
            let default = match key.default {
                Default::None => String::new(),
                Default::Is(text) | Default::MadeFrom(text) => format!(" [default: {text}]"),
            };
            let short = key.doc.split_inclusive(". ").next().unwrap_or(key.doc).trim_end();
            let places = format!("[key: {}] [env: {}]", key.name, key.variable());
            let arg = Arg::new(key.flag())
                .long(key.flag())
                .value_name(key.placeholder())
                .help_heading(key.group)
                .help(format!("{short}{default}"))
                .long_help(format!("{}\n{places}{default}", key.doc));
            // A switch may stand alone: --log-stdout is --log-stdout=true.
            command.arg(match key.kind {
                Kind::Bool => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
                _ => arg.allow_hyphen_values(false),
            })
        })
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for WorkerArguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let flags = KEYS.iter().filter_map(|key| {
            let flag = key.flag();
            let value = matches.get_one::<String>(&flag)?.clone();
            Some((flag, value))
        });
        Ok(Self {
            config_file: matches.get_one::<PathBuf>("config-file").cloned(),
            flags: flags.collect(),
            set: matches.get_many::<(String, String)>("set").into_iter().flatten().cloned().collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}
