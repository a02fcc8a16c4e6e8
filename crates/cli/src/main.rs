//! The command `omsconnect`: one file for each command in [`commands`], and what they share beside it. The only crate
//! that names drivers and connectors.

mod broker;
mod client;
mod commands;
mod failure;
mod logging;
mod message;
mod output;
mod plugins;
mod service;
mod settings;
mod signals;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::commands as c;
use crate::failure::{Failure, Result};

#[derive(Debug, Parser)]
#[command(
    name = "omsconnect",
    version,
    about = "Moves data between systems and message queues, on any queue that has an OpenMessaging driver",
    after_help = "Start with: omsconnect quickstart",
    arg_required_else_help = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// See it work: a queue, a database, a worker and a message, in one process with nothing to install
    #[command(after_help = c::quickstart::EXAMPLES)]
    Quickstart(c::quickstart::Arguments),
    /// Run a worker, which runs connectors and serves the REST API
    #[command(after_help = c::worker::EXAMPLES)]
    Worker(settings::WorkerArguments),
    /// Show the messages of a queue
    #[command(after_help = c::tap::EXAMPLES)]
    Tap(c::tap::Arguments),
    /// List, describe, create and delete queues
    #[command(after_help = c::queues::EXAMPLES)]
    Queues(c::queues::Arguments),
    /// Look at a broker: is it reached, may we use it, which of its settings lose messages
    #[command(after_help = c::doctor::EXAMPLES)]
    Doctor(c::doctor::Arguments),
    /// List connectors, converters and drivers, and the keys of each
    #[command(after_help = c::plugins::EXAMPLES)]
    Plugins(c::plugins::Arguments),
    /// Check a connector's configuration file before it is sent to a worker
    #[command(after_help = c::validate::EXAMPLES)]
    Validate(c::validate::Arguments),
    /// Print a page of docs/reference
    #[command(hide = true)]
    Reference(c::reference::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Plugins(arguments) => c::plugins::run(arguments),
        Command::Reference(arguments) => c::reference::run(arguments),
        Command::Quickstart(arguments) => wait_for(c::quickstart::run(arguments)),
        Command::Worker(arguments) => wait_for(c::worker::run(arguments)),
        Command::Tap(arguments) => wait_for(c::tap::run(arguments)),
        Command::Queues(arguments) => wait_for(c::queues::run(arguments)),
        Command::Doctor(arguments) => wait_for(c::doctor::run(arguments)),
        Command::Validate(arguments) => wait_for(c::validate::run(arguments)),
    }
}

/// Few threads: each task of a connector has one of its own beside them.
fn wait_for<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(32)
        .thread_name("omsconnect")
        .enable_all()
        .build()
        .map_err(|error| Failure::new("process.threads", format!("cannot start threads: {error}")))?;
    let done = runtime.block_on(work);
    // A thread that hangs in a plugin or on a dead disk must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    done
}
