//! The MariaDB of the benchmarks: brought up, asked, and loaded.

use std::io::{BufWriter, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use super::orders::{self, DATABASE};
use super::random::Random;
use crate::services::{Entry, Session, mariadb};
use crate::{Result, run};

/// The server, and the client that talks to it.
pub struct Database {
    entry: Entry,
}

impl Database {
    /// It stays up afterwards, with what was loaded, so that the next run need not load again.
    pub fn up() -> Result<Database> {
        let name = "mariadb-bench";
        let session = Session::open();
        session.up(&[name.to_string()])?;
        let entry =
            session.alive()?.remove(name).ok_or_else(|| format!("{name} ended by itself; see its log"))?;
        Ok(Database { entry })
    }

    /// Where it is, and who may connect.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    pub fn version(&self) -> &str {
        &self.entry.version
    }

    fn client(&self) -> Result<Command> {
        mariadb::client(&self.entry)
    }

    /// The server's own reader of binlogs, told how to connect.
    pub fn binlog_tool(&self) -> Result<Command> {
        mariadb::binlog_tool(&self.entry)
    }

    /// One value, or the empty text where there is none.
    pub fn ask(&self, sql: &str) -> Result<String> {
        run::output(self.client()?.args(["--execute", sql])).map(|answer| answer.trim().to_string())
    }

    fn rows(&self, table: &str) -> Result<u64> {
        let count = format!("SELECT COUNT(*) FROM {DATABASE}.{table}");
        // No such table yet: none.
        Ok(self.ask(&count).ok().and_then(|answer| answer.parse().ok()).unwrap_or(0))
    }

    /// The table `orders` with that many rows, in transactions of so many. Loaded anew unless it is there already.
    pub fn load_orders(&self, rows: u64, per_transaction: u64) -> Result<Loaded> {
        let mark = format!("{rows} rows by {per_transaction}");
        if let Some(loaded) = self.loaded_before(&mark)? {
            return Ok(loaded);
        }
        let begin = Instant::now();
        self.feed(|sql| {
            // The binlog begins with the load and holds nothing else; no other server and no test hangs on this one.
            let empty = format!("DROP DATABASE IF EXISTS {DATABASE}; RESET MASTER;\n");
            sql.write_all((empty + &orders::create("orders") + orders::SETTINGS).as_bytes())?;
            let mut random = Random::new(1);
            for first in (0..rows).step_by(per_transaction.max(1) as usize) {
                let count = per_transaction.max(1).min(rows - first);
                sql.write_all(orders::insert("orders", first, count, &mut random).as_bytes())?;
            }
            Ok(())
        })?;
        let time = begin.elapsed();
        let found = self.rows("orders")?;
        if found != rows {
            return Err(format!("{DATABASE}.orders has {found} rows after loading {rows}"));
        }
        self.mark(Loaded { time, binlog: self.binlog()? }, &mark)
    }

    /// One transaction of that many rows, into a table of its own, in a binlog file of its own. Made anew unless it is
    /// there already.
    pub fn large_transaction(&self, rows: u64) -> Result<Loaded> {
        let mark = format!("{rows} rows at once");
        if let Some(loaded) = self.loaded_before(&mark)? {
            return Ok(loaded);
        }
        let there = self.rows("orders")?;
        if there == 0 {
            return Err(format!("{DATABASE}.orders is empty: `cargo xtask bench load` first"));
        }
        self.ask(&format!("DROP TABLE IF EXISTS {DATABASE}.large; FLUSH BINARY LOGS;"))?;
        let before = self.binlog()?.len() - 1;
        let begin = Instant::now();
        self.feed(|sql| {
            sql.write_all((orders::create("large") + orders::SETTINGS).as_bytes())?;
            sql.write_all(orders::multiply("orders", "large", rows, there).as_bytes())
        })?;
        self.mark(Loaded { time: begin.elapsed(), binlog: self.binlog()?.drain(before..).collect() }, &mark)
    }

    /// Remembers what was loaded, outside the binlog, and closes the binlog file that it ends in.
    fn mark(&self, loaded: Loaded, mark: &str) -> Result<Loaded> {
        self.ask(&format!(
            "SET SESSION sql_log_bin = 0; \
             CREATE TABLE IF NOT EXISTS {DATABASE}.loaded (mark CHAR(80) PRIMARY KEY, first CHAR(80), files INT); \
             REPLACE INTO {DATABASE}.loaded VALUES ('{mark}', '{}', {}); FLUSH BINARY LOGS;",
            loaded.first()?,
            loaded.binlog.len()
        ))?;
        Ok(loaded)
    }

    /// What a load with this mark left; none where there was none.
    fn loaded_before(&self, mark: &str) -> Result<Option<Loaded>> {
        let found = self.ask(&format!("SELECT first, files FROM {DATABASE}.loaded WHERE mark = '{mark}'"));
        // No such table yet: none.
        let found = found.unwrap_or_default();
        let Some((first, files)) = found.split_once('\t') else { return Ok(None) };
        let from_first = self.binlog()?.into_iter().skip_while(|file| file.name != first);
        let binlog: Vec<BinlogFile> = from_first.take(files.parse().unwrap_or(0)).collect();
        Ok((!binlog.is_empty()).then_some(Loaded { time: Duration::ZERO, binlog }))
    }

    fn binlog(&self) -> Result<Vec<BinlogFile>> {
        self.ask("SHOW BINARY LOGS").map(|listing| binlog_files(&listing))
    }

    /// Runs what is written to the client's standard input.
    pub fn feed(&self, write: impl FnOnce(&mut BufWriter<ChildStdin>) -> std::io::Result<()>) -> Result<()> {
        let mut client = self.client()?;
        client.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = client.spawn().map_err(|error| format!("cannot run the client: {error}"))?;
        let input = child.stdin.take().ok_or("the client has no standard input")?;
        let mut input = BufWriter::with_capacity(1 << 20, input);
        // The client's own complaint says more than that it closed its input.
        let written = write(&mut input).and_then(|()| input.flush());
        drop(input);
        let output =
            child.wait_with_output().map_err(|error| format!("cannot wait for the client: {error}"))?;
        if !output.status.success() {
            return Err(format!("the client failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
        written.map_err(|error| format!("cannot write to the client: {error}"))
    }
}

pub struct Loaded {
    /// Nothing where it was there already.
    pub time: Duration,
    /// The files of the binlog that hold it, in order.
    pub binlog: Vec<BinlogFile>,
}

impl Loaded {
    /// The file that it begins in.
    pub fn first(&self) -> Result<&str> {
        let first = self.binlog.first().map(|file| file.name.as_str());
        first.ok_or_else(|| "the server has no binlog".to_string())
    }

    pub fn bytes(&self) -> u64 {
        self.binlog.iter().map(|file| file.bytes).sum()
    }
}

#[derive(Debug, PartialEq)]
pub struct BinlogFile {
    pub name: String,
    pub bytes: u64,
}

/// The first two columns of `SHOW BINARY LOGS`.
fn binlog_files(listing: &str) -> Vec<BinlogFile> {
    let file = |line: &str| {
        let (name, rest) = line.split_once('\t')?;
        let bytes = rest.split('\t').next()?.parse().ok()?;
        Some(BinlogFile { name: name.into(), bytes })
    };
    listing.lines().filter_map(file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binlog_files_have_names_and_sizes() {
        let file = |name: &str, bytes| BinlogFile { name: name.into(), bytes };
        assert_eq!(
            binlog_files("bin.000001\t100\nbin.000002\t23\n"),
            [file("bin.000001", 100), file("bin.000002", 23)]
        );
        assert_eq!(binlog_files(""), []);
    }
}
