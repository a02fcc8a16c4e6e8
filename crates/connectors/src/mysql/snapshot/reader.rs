//! The task that reads a snapshot's rows: one SELECT after the other, on one connection, in one consistent view. Rows come
//! as they are on the wire, so memory holds a few batches, however large a table or a chunk is.

use std::sync::Arc;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error as Driver, Row, Value};
use openmessaging_connector::{Error, Result};
use tokio::sync::mpsc;

use super::query::{is_seekable, key_of, select};
use crate::mysql::config::Address;
use crate::mysql::error;
use crate::mysql::table::Table;

/// A batch ends with this many rows, or these many bytes.
const BATCH_ROWS: usize = 512;
const BATCH_BYTES: usize = 1 << 20;

/// Batches that may wait.
const BATCHES: usize = 2;

pub(super) enum Message {
    Rows(Vec<Row>),
    /// The rows so far are a whole chunk, whose last row has this key.
    ChunkEnd(Vec<Value>),
    TableEnd,
    /// The table is no longer there.
    TableGone,
    Failed(Error),
}

/// A reader at work. Dropping it ends it.
pub(super) struct Reading {
    pub messages: mpsc::Receiver<Message>,
    task: tokio::task::JoinHandle<()>,
}

impl Reading {
    /// Reads the tables in order, the first behind `after`.
    pub(super) fn start(
        conn: Conn,
        address: Address,
        tables: Vec<Arc<Table>>,
        after: Option<Vec<Value>>,
        chunk_rows: u64,
    ) -> Self {
        let (sender, messages) = mpsc::channel(BATCHES);
        let task = tokio::spawn(async move {
            let mut reader = Reader { conn, address, sender };
            if let Err(error) = reader.run(&tables, after, chunk_rows).await {
                let _ = reader.sender.send(Message::Failed(error)).await;
            }
            let _ = reader.conn.disconnect().await;
        });
        Self { messages, task }
    }

    /// Ends it and waits until its connection is closed.
    pub(super) async fn stop(mut self) {
        self.messages.close();
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Reader {
    conn: Conn,
    address: Address,
    sender: mpsc::Sender<Message>,
}

/// Nobody reads any more.
fn ended() -> Error {
    Error::retriable("mysql.snapshot_ended", "the snapshot was ended")
}

impl Reader {
    async fn run(
        &mut self,
        tables: &[Arc<Table>],
        mut after: Option<Vec<Value>>,
        chunk_rows: u64,
    ) -> Result<()> {
        for table in tables {
            self.table(table, after.take(), chunk_rows).await?;
        }
        Ok(())
    }

    async fn table(&mut self, table: &Table, mut after: Option<Vec<Value>>, chunk_rows: u64) -> Result<()> {
        loop {
            let (rows, last) = match self.chunk(table, after.as_deref(), chunk_rows).await {
                Ok(read) => read,
                Err(Failure::Gone) => return self.send(Message::TableGone).await,
                Err(Failure::Error(error)) => return Err(error),
            };
            match last.filter(|_| rows >= chunk_rows) {
                Some(last) => {
                    self.send(Message::ChunkEnd(last.clone())).await?;
                    after = Some(last);
                }
                None => return self.send(Message::TableEnd).await,
            }
        }
    }

    /// Reads one chunk: how many rows, and the last one's key where the table is read in chunks.
    async fn chunk(
        &mut self,
        table: &Table,
        after: Option<&[Value]>,
        chunk_rows: u64,
    ) -> Result<(u64, Option<Vec<Value>>), Failure> {
        let seekable = is_seekable(table);
        let failed = |address: &Address, problem| failure(problem, address, table);
        let (sql, params) = select(table, after, chunk_rows);
        let mut result =
            self.conn.exec_iter(sql, params).await.map_err(|problem| failed(&self.address, problem))?;
        let (mut batch, mut bytes, mut rows, mut last) = (Vec::new(), 0, 0, None);
        loop {
            let row = result.next().await.map_err(|problem| failed(&self.address, problem))?;
            let ends = row.is_none();
            if let Some(row) = row {
                rows += 1;
                bytes += size_of(&row);
                batch.push(row);
            }
            if (ends || batch.len() >= BATCH_ROWS || bytes >= BATCH_BYTES) && !batch.is_empty() {
                if seekable {
                    last = batch.last().and_then(|row| key_of(table, row));
                }
                bytes = 0;
                let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH_ROWS));
                self.sender.send(Message::Rows(full)).await.map_err(|_| Failure::Error(ended()))?;
            }
            if ends {
                return Ok((rows, last));
            }
        }
    }

    async fn send(&self, message: Message) -> Result<()> {
        self.sender.send(message).await.map_err(|_| ended())
    }
}

enum Failure {
    Gone,
    Error(Error),
}

fn failure(problem: Driver, address: &Address, table: &Table) -> Failure {
    const NO_SUCH_TABLE: u16 = 1146;
    const UNKNOWN_COLUMN: u16 = 1054;
    const DEFINITION_CHANGED: u16 = 1412;
    let name = format!("{}.{}", table.database, table.name);
    match &problem {
        Driver::Server(refused) if refused.code == NO_SUCH_TABLE => Failure::Gone,
        Driver::Server(refused) if matches!(refused.code, DEFINITION_CHANGED | UNKNOWN_COLUMN) => {
            Failure::Error(
                Error::retriable(
                    "mysql.table_changed",
                    format!("table {name} was altered while its snapshot was read"),
                )
                .with_remedy("the snapshot goes on with the new definition"),
            )
        }
        _ => Failure::Error(error::from_driver(problem, address, &format!("read table {name}"))),
    }
}

fn size_of(row: &Row) -> usize {
    let value = |at| match row.as_ref(at) {
        Some(Value::Bytes(bytes)) => bytes.len() + 32,
        _ => 32,
    };
    (0..row.len()).map(value).sum()
}
