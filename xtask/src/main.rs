//! Development tasks, run as `cargo xtask TASK`. Each task is one module; this file only names them.

mod bench;
mod run;
mod services;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What every task returns: a failure is one sentence that says what happened and what to do about it.
pub type Result<T> = std::result::Result<T, String>;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Development tasks of this repository")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Measure workloads on real servers and print a table.
    Bench(bench::Options),
    /// Start and stop the real servers that the tests use.
    #[command(subcommand)]
    Services(services::Command),
    /// Start the servers and run every test.
    Test(test::Options),
    /// Check what the compiler does not: dependencies that point one way, licences, clauses without tests.
    Tidy,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Bench(command) => bench::run(command),
        Task::Services(command) => services::run(command),
        Task::Test(options) => test::run(options),
        Task::Tidy => tidy::run(),
    };
    match done {
        Ok(code) => code,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}
