//! What workloads are given. The server, the table and the binary are had when a workload first asks for them: one that
//! needs no database waits for none.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use super::database::{Database, Loaded};
use super::{Load, binary};
use crate::{Result, workspace};

pub struct Context {
    /// How many rows `bench.orders` has.
    pub rows: u64,
    /// A folder for what is written.
    pub folder: PathBuf,
    load: Load,
    database: OnceCell<Database>,
    orders: OnceCell<Loaded>,
    binary: OnceCell<PathBuf>,
    given_binary: bool,
}

impl Context {
    /// With a binary that is there already, or to build one when it is asked for.
    pub fn new(load: &Load, binary: Option<&Path>) -> Context {
        let folder = workspace::root().join("target/bench");
        let given_binary = binary.is_some();
        let (database, orders) = Default::default();
        let binary = binary.map(|file| OnceCell::from(file.to_path_buf())).unwrap_or_default();
        Context { rows: load.rows, folder, load: load.clone(), database, orders, binary, given_binary }
    }

    /// The server, up.
    pub fn database(&self) -> Result<&Database> {
        once(&self.database, Database::up)
    }

    /// The server where a workload has asked for it.
    pub fn used_database(&self) -> Option<&Database> {
        self.database.get()
    }

    /// `bench.orders`, loaded.
    pub fn orders(&self) -> Result<&Loaded> {
        once(&self.orders, || load_orders(&self.load, self.database()?))
    }

    /// Whether it was given, and may be of other sources than these.
    pub fn is_given_binary(&self) -> bool {
        self.given_binary
    }

    /// `omsconnect`, built.
    pub fn binary(&self) -> Result<&Path> {
        once(&self.binary, binary::build).map(PathBuf::as_path)
    }
}

fn once<T>(cell: &OnceCell<T>, make: impl FnOnce() -> Result<T>) -> Result<&T> {
    match cell.get() {
        Some(made) => Ok(made),
        None => make().map(|made| cell.get_or_init(|| made)),
    }
}

/// Loads the table unless it is there, and says so.
pub fn load_orders(load: &Load, database: &Database) -> Result<Loaded> {
    println!("bench.orders: {} rows in transactions of {}", load.rows, load.per_transaction);
    let loaded = database.load_orders(load.rows, load.per_transaction)?;
    let mega = loaded.bytes() / 1_000_000;
    match loaded.time.is_zero() {
        true => println!("loaded already; {mega} MB of binlog"),
        false => println!("loaded in {:.1} s; {mega} MB of binlog", loaded.time.as_secs_f64()),
    }
    Ok(loaded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_tried_again_and_what_was_made_is_kept() {
        let cell = OnceCell::new();
        assert!(once::<u8>(&cell, || Err("not yet".into())).is_err());
        assert_eq!(once(&cell, || Ok(1)), Ok(&1));
        assert_eq!(once(&cell, || Ok(2)), Ok(&1));
    }
}
