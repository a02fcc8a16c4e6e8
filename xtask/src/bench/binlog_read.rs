//! The limit that no binlog source can pass on this machine: the server's own tool reads the same binlog and does
//! nothing with it.

use std::process::Stdio;

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
        let mut command = context.database.binlog_tool()?;
        command.arg(format!("--result-file={}/", folder.display()));
        command.args(context.loaded.binlog.iter().map(|file| &file.name)).stdin(Stdio::null());
        let measured = measure::run(&mut command)?;
        if !measured.status.success() {
            return Err(format!("mariadb-binlog failed: {}", measured.status));
        }
        let size = |name: &String| std::fs::metadata(folder.join(name)).map(|file| file.len()).unwrap_or(0);
        let read: u64 = context.loaded.binlog.iter().map(|file| size(&file.name)).sum();
        let expected = context.loaded.bytes();
        files::remove_folder(&folder)?;
        if read < expected {
            return Err(format!("mariadb-binlog read {read} bytes of a binlog of {expected}"));
        }
        Ok(Outcome {
            work: "read the binlog from the server".into(),
            records: context.rows,
            time: measured.wall,
            usage: Some(measured.usage),
        })
    }
}
