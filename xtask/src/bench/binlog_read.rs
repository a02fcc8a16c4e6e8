//! The limit that no binlog source can pass on this machine: the server's own tool reads the same binlog and does
//! nothing with it.

use std::process::Stdio;

use super::figure::{CPU, Figure, PEAK, RATE};
use super::measure;
use super::{Context, Outcome, Workload};
use crate::services::{apt, files};
use crate::{Result, run};

pub struct BinlogRead;

impl Workload for BinlogRead {
    fn name(&self) -> &'static str {
        "binlog-read"
    }

    fn about(&self) -> &'static str {
        "limit: mariadb-binlog --raw reads the binlog of bench.orders from the server"
    }

    fn run(&self, context: &Context) -> Result<Outcome> {
        if run::find_program("mariadb-binlog").is_none() {
            apt::install(&["mariadb-client"])?;
        }
        let folder = context.folder.join("binlog-read");
        files::remove_folder(&folder)?;
        files::make_folder(&folder)?;
        let loaded = context.orders()?;
        let mut command = context.database()?.binlog_tool()?;
        command.arg(format!("--result-file={}/", folder.display()));
        command.args(loaded.binlog.iter().map(|file| &file.name)).stdin(Stdio::null());
        let measured = measure::run(&mut command)?;
        if !measured.status.success() {
            return Err(format!("mariadb-binlog failed: {}", measured.status));
        }
        let size = |name: &String| std::fs::metadata(folder.join(name)).map(|file| file.len()).unwrap_or(0);
        let read: u64 = loaded.binlog.iter().map(|file| size(&file.name)).sum();
        let expected = loaded.bytes();
        files::remove_folder(&folder)?;
        if read < expected {
            return Err(format!("mariadb-binlog read {read} bytes of a binlog of {expected}"));
        }
        let cpu = measured.usage.cpu.as_secs_f64() * 1e6 / context.rows.max(1) as f64;
        Ok(Outcome {
            workload: self.name(),
            work: "limit: binlog read and dropped".into(),
            figures: vec![
                Figure::new(RATE, context.rows as f64 / measured.wall.as_secs_f64(), None),
                Figure::new(CPU, cpu, None),
                Figure::new(PEAK, measured.usage.peak as f64, None),
            ],
        })
    }
}
