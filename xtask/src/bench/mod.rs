//! `cargo xtask bench`: workloads on real servers, printed as a table.
//!
//! A workload is one file here, with a type that implements [`Workload`], and one line in [`all`]. Counts come from
//! where the records arrive, never from our own metrics.

mod binlog_read;
mod database;
mod machine;
mod measure;
mod orders;
mod random;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::{Result, workspace};
use database::{Database, Loaded};
pub use table::Outcome;

fn all() -> Vec<Box<dyn Workload>> {
    vec![Box::new(binlog_read::BinlogRead)]
}

/// One thing that is measured.
pub trait Workload {
    /// The name on the command line.
    fn name(&self) -> &'static str;

    /// A line for `bench list`.
    fn about(&self) -> &'static str;

    /// One run, on a table that is loaded.
    fn run(&self, context: &Context) -> Result<Outcome>;
}

/// What a workload is given.
pub struct Context {
    pub database: Database,
    /// How many rows `bench.orders` has.
    pub rows: u64,
    pub loaded: Loaded,
    /// A folder for what it writes.
    pub folder: PathBuf,
}

#[derive(Subcommand)]
pub enum Command {
    /// Name the workloads.
    List,
    /// Run workloads and print the table.
    Run {
        /// Which workloads; all of them unless named.
        names: Vec<String>,
        /// How often each is run, one after the other and again: A B A B.
        #[arg(long, default_value_t = 2)]
        runs: u32,
        #[command(flatten)]
        load: Load,
    },
    /// Load the table bench.orders into the MariaDB of the benchmarks.
    Load(Load),
    /// Make one transaction of many rows, out of bench.orders, into bench.large.
    Large {
        #[arg(long, default_value_t = 5_000_000)]
        rows: u64,
    },
}

#[derive(Args)]
pub struct Load {
    #[arg(long, default_value_t = 2_000_000)]
    rows: u64,
    /// Rows in each transaction.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    per_transaction: u64,
}

pub fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::List => {
            for workload in all() {
                println!("{:14} {}", workload.name(), workload.about());
            }
            Ok(())
        }
        Command::Load(load) => load.bring_into(&Database::up()?).map(|_| ()),
        Command::Large { rows } => {
            let loaded = Database::up()?.large_transaction(rows)?;
            println!(
                "{rows} rows in one transaction, {:.1} s, {} MB of binlog",
                secs(&loaded),
                mega(&loaded)
            );
            Ok(())
        }
        Command::Run { names, runs, load } => measure_all(&select(&names)?, runs, &load),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn measure_all(workloads: &[Box<dyn Workload>], runs: u32, load: &Load) -> Result<()> {
    let database = Database::up()?;
    let loaded = load.bring_into(&database)?;
    let folder = workspace::root().join("target/bench");
    let context = Context { database, rows: load.rows, loaded, folder };
    let mut outcomes = Vec::new();
    for turn in 1..=runs {
        for workload in workloads {
            println!("{} ({turn} of {runs})", workload.name());
            outcomes.push(workload.run(&context).map_err(|error| format!("{}: {error}", workload.name()))?);
        }
    }
    println!("\n{}\n\n{}", machine::describe(), table::print(&outcomes));
    Ok(())
}

impl Load {
    fn bring_into(&self, database: &Database) -> Result<Loaded> {
        println!("bench.orders: {} rows in transactions of {}", self.rows, self.per_transaction);
        let loaded = database.load_orders(self.rows, self.per_transaction)?;
        match loaded.time.is_zero() {
            true => println!("loaded already; {} MB of binlog", mega(&loaded)),
            false => println!("loaded in {:.1} s; {} MB of binlog", secs(&loaded), mega(&loaded)),
        }
        Ok(loaded)
    }
}

fn secs(loaded: &Loaded) -> f64 {
    loaded.time.as_secs_f64()
}

fn mega(loaded: &Loaded) -> u64 {
    loaded.bytes() / 1_000_000
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
}
