//! `cargo xtask bench`: workloads on real servers, printed as a table.
//!
//! A workload is one file here, with a type that implements [`Workload`], and one line in [`all`]. Counts come from
//! where the records arrive, never from our own metrics. Figures have targets, and nothing fails when one is missed.

mod arrival;
mod binary;
mod binlog_read;
mod context;
mod database;
mod drain;
mod drivers;
mod figure;
mod idle;
mod large;
mod latency;
mod lines;
mod machine;
mod measure;
mod mysql;
mod orders;
mod random;
mod report;
mod rest;
mod snapshot;
mod source;
mod table;
mod text;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::Result;
use context::{Context, load_orders};
use database::Database;
pub use table::Outcome;

fn all() -> Vec<Box<dyn Workload>> {
    let workloads: Vec<Box<dyn Workload>> = vec![
        Box::new(binlog_read::BinlogRead),
        Box::new(drain::Drain { tls: false, broker: None }),
        Box::new(drain::Drain { tls: true, broker: None }),
        Box::new(drain::Drain { tls: false, broker: Some("kafka") }),
        Box::new(snapshot::Snapshot),
        Box::new(large::Large),
        Box::new(idle::Idle),
        Box::new(lines::Lines),
        Box::new(latency::Latency { broker: None }),
        Box::new(latency::Latency { broker: Some("kafka") }),
    ];
    workloads.into_iter().chain(drivers::all()).collect()
}

/// One thing that is measured.
pub trait Workload {
    /// The name on the command line.
    fn name(&self) -> &'static str;

    /// A line for `bench list`.
    fn about(&self) -> &'static str;

    /// One run, which leaves no process and no folder behind.
    fn run(&self, context: &Context) -> Result<Outcome>;
}

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    how: How,
}

#[derive(Subcommand)]
enum Command {
    /// Name the workloads.
    List,
    /// Run some workloads and print the table.
    Run {
        /// Which workloads; all of them unless named.
        names: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// Each driver beside its broker's own performance tool; all of them unless named (`kafka redis`).
    Drivers {
        names: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// Load the table bench.orders into the MariaDB of the benchmarks.
    Load(Load),
    /// Make one transaction of many rows, out of bench.orders, into bench.large.
    Large {
        #[arg(long, default_value_t = large::ROWS)]
        rows: u64,
    },
}

#[derive(Args)]
struct How {
    /// How often each is run, one after the other and again: A B A B. With more than one, a second table shows how far
    /// runs of the same lie apart.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Write the results to this file too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measure this omsconnect instead of building one: to compare two, or while the sources are changing.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    #[command(flatten)]
    load: Load,
}

#[derive(Args, Clone)]
pub struct Load {
    /// Rows of bench.orders.
    #[arg(long, default_value_t = 2_000_000)]
    rows: u64,
    /// Rows in each transaction.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    per_transaction: u64,
}

pub fn run(options: Options) -> Result<ExitCode> {
    match options.command {
        None => measure_all(&all(), &options.how),
        Some(Command::Run { names, how }) => measure_all(&select(&names)?, &how),
        Some(Command::Drivers { names, how }) => {
            let named = |name: &&str| {
                names.is_empty() || names.iter().any(|wanted| name.ends_with(&format!("-{wanted}")))
            };
            let all = drivers::all();
            let wanted: Vec<String> =
                all.iter().map(|driver| driver.name()).filter(named).map(str::to_string).collect();
            if wanted.is_empty() {
                return Err(format!(
                    "there is no driver {}; there are: kafka, rocketmq, rabbitmq, nats, redis",
                    names.join(", ")
                ));
            }
            measure_all(&select(&wanted)?, &how)
        }
        Some(Command::List) => {
            for workload in all() {
                println!("{:14} {}", workload.name(), workload.about());
            }
            Ok(())
        }
        Some(Command::Load(load)) => load_orders(&load, &Database::up()?).map(|_| ()),
        Some(Command::Large { rows }) => {
            let loaded = Database::up()?.large_transaction(rows)?;
            let (seconds, mega) = (loaded.time.as_secs_f64(), loaded.bytes() / 1_000_000);
            println!("{rows} rows in one transaction, {seconds:.1} s, {mega} MB of binlog");
            Ok(())
        }
    }?;
    Ok(ExitCode::SUCCESS)
}

fn measure_all(workloads: &[Box<dyn Workload>], how: &How) -> Result<()> {
    let context = Context::new(&how.load, how.binary.as_deref());
    let mut outcomes = Vec::new();
    let mut failed = Vec::new();
    for turn in 1..=how.runs {
        for workload in workloads {
            println!("{} ({turn} of {})", workload.name(), how.runs);
            match workload.run(&context) {
                Ok(outcome) => {
                    println!("{}", report::one(&outcome));
                    outcomes.push(outcome);
                }
                // The others are still worth having.
                Err(error) => {
                    eprintln!("{}: {error}", workload.name());
                    failed.push(workload.name());
                }
            }
        }
    }
    let report = report::Report::new(&context, outcomes);
    println!("\n{}", report.text());
    if let Some(file) = &how.json {
        report.write(file)?;
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(format!("no figure from: {}", failed.join(", "))),
    }
}

fn select(names: &[String]) -> Result<Vec<Box<dyn Workload>>> {
    let known: Vec<&str> = all().iter().map(|workload| workload.name()).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("there is no workload {unknown:?}; there are: {}", known.join(", ")));
    }
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    Ok(all().into_iter().filter(|workload| wanted(workload.name())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_workload_lists_the_known_ones() {
        let error = select(&["tpcc".into()]).err().expect("an error");
        assert!(error.contains("tpcc") && error.contains("binlog-read"), "{error}");
    }

    #[test]
    fn all_are_run_unless_some_are_named() {
        let count = |names: &[&str]| {
            select(&names.iter().map(|name| name.to_string()).collect::<Vec<_>>()).map(|found| found.len())
        };
        assert_eq!(count(&[]), Ok(all().len()));
        assert_eq!(count(&["drain", "idle"]), Ok(2));
    }
}
