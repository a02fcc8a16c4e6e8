//! Where a snapshot begins: a consistent view of the rows, the place in the binlog that it stands for, and the tables'
//! definitions there.
//!
//! No lock is held while rows are read, and where it can be helped none is taken at all:
//!
//! - MariaDB tells the place that a consistent view stands for (`binlog_snapshot_file`, `binlog_snapshot_position`).
//! - MySQL with GTIDs: the executed set is read first and the view opened after it, so the view has all of the set.
//!   Transactions in between are in the view and in the stream: their repeat changes nothing, since rows are upserted by
//!   key. When nothing was committed in between, which is tried a few times, the two fit exactly.
//! - MySQL without GTIDs: a transaction may be in the binlog before it is in the view, so all tables are locked for the
//!   moment in which view and place are taken (`FLUSH TABLES WITH READ LOCK`), for which RELOAD is needed.
//!
//! Definitions are read before and after: equal, they are those of the moment in between.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use openmessaging_connector::{Error, Result};

use crate::mysql::config::{Address, Settings};
use crate::mysql::connect::connect;
use crate::mysql::error;
use crate::mysql::position::BinlogPosition;
use crate::mysql::schema::{Tables, catalog};
use crate::mysql::server::Server;

/// How often definitions may change under our eyes before it is given up for now.
const ATTEMPTS: usize = 10;

/// How often it is tried to find a moment without commits.
const EXACT_ATTEMPTS: usize = 4;

/// A view, its place in the binlog, and the tables there.
pub(in crate::mysql) struct Beginning {
    pub conn: Conn,
    pub position: BinlogPosition,
    pub tables: Tables,
}

pub(in crate::mysql) async fn begin(settings: &Settings, server: &Server) -> Result<Beginning> {
    let address = &settings.address;
    let mut view = session(address).await?;
    let mut other = connect(address).await?;
    let filter = &settings.filter;
    if !server.mariadb && !server.gtid {
        let (position, tables) = locked(&mut view, &mut other, server, settings).await?;
        other.disconnect().await.ok();
        return Ok(Beginning { conn: view, position, tables });
    }
    for attempt in 0..ATTEMPTS {
        let before = catalog::read(&mut other, server, address, filter).await?;
        let place = server.tail(&mut other, address).await?;
        open_view(&mut view, address).await?;
        let (place, exact) = match server.mariadb {
            true => (place_of_view(&mut view, server, address).await?, true),
            false => {
                let now = server.tail(&mut other, address).await?;
                (place.clone(), place == now)
            }
        };
        let after = catalog::read(&mut other, server, address, filter).await?;
        if before == after && (exact || attempt >= EXACT_ATTEMPTS) {
            other.disconnect().await.ok();
            return Ok(Beginning { conn: view, position: place, tables: after });
        }
    }
    Err(tables_keep_changing(address))
}

/// The end of the binlog with the tables there, for a stream that begins now.
pub(in crate::mysql) async fn tail(
    conn: &mut Conn,
    settings: &Settings,
    server: &Server,
) -> Result<(BinlogPosition, Tables)> {
    let address = &settings.address;
    for _ in 0..ATTEMPTS {
        let before = catalog::read(conn, server, address, &settings.filter).await?;
        let position = server.tail(conn, address).await?;
        let after = catalog::read(conn, server, address, &settings.filter).await?;
        if before == after {
            return Ok((position, after));
        }
    }
    Err(tables_keep_changing(address))
}

fn tables_keep_changing(address: &Address) -> Error {
    let message = format!("the tables' definitions at {} change too fast to be read", address.server());
    Error::retriable("mysql.tables_changing", message)
        .with_remedy("it is tried again; start the connector when no DDL runs, or narrow whiteDataBase")
}

/// A connection whose transaction may last long, and whose results may be read slowly.
pub(super) async fn session(address: &Address) -> Result<Conn> {
    let mut conn = connect(address).await?;
    let statement = "SET SESSION transaction_isolation = 'REPEATABLE-READ', net_write_timeout = 86400, \
                     wait_timeout = 86400, lock_wait_timeout = 15";
    let older = statement.replace("transaction_isolation", "tx_isolation");
    if conn.query_drop(statement).await.is_err() {
        conn.query_drop(older)
            .await
            .map_err(|problem| error::from_driver(problem, address, "prepare a snapshot"))?;
    }
    Ok(conn)
}

pub(super) async fn open_view(view: &mut Conn, address: &Address) -> Result<()> {
    let failed = |problem| error::from_driver(problem, address, "open a consistent view");
    view.query_drop("ROLLBACK").await.map_err(failed)?;
    view.query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY").await.map_err(failed)
}

async fn place_of_view(view: &mut Conn, server: &Server, address: &Address) -> Result<BinlogPosition> {
    let failed = |problem| error::from_driver(problem, address, "read the place of the view");
    let rows: Vec<(String, String)> =
        view.query("SHOW STATUS LIKE 'binlog\\_snapshot\\_%'").await.map_err(failed)?;
    let value =
        |name: &str| rows.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone());
    let file = value("binlog_snapshot_file").filter(|file| !file.is_empty());
    let offset = value("binlog_snapshot_position").and_then(|text| text.parse::<u64>().ok());
    let (Some(file), Some(offset)) = (file, offset) else { return Err(error::binlog_off(&address.server())) };
    let gtid = server.gtid_at(view, address, &file, offset).await?;
    Ok(BinlogPosition { file: file.into(), offset, gtid, server: Some(server.identity.clone()) })
}

async fn locked(
    view: &mut Conn,
    other: &mut Conn,
    server: &Server,
    settings: &Settings,
) -> Result<(BinlogPosition, Tables)> {
    let address = &settings.address;
    let failed = |problem| error::from_driver(problem, address, "lock the tables for a moment (RELOAD)");
    view.query_drop("FLUSH TABLES WITH READ LOCK").await.map_err(failed)?;
    let taken = taken_under_lock(view, other, server, settings).await;
    // Unlocks this kind of lock without ending the transaction.
    view.query_drop("UNLOCK TABLES").await.map_err(failed)?;
    taken
}

async fn taken_under_lock(
    view: &mut Conn,
    other: &mut Conn,
    server: &Server,
    settings: &Settings,
) -> Result<(BinlogPosition, Tables)> {
    let address = &settings.address;
    let failed = |problem| error::from_driver(problem, address, "open a consistent view");
    view.query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY").await.map_err(failed)?;
    let position = server.tail(other, address).await?;
    Ok((position, catalog::read(other, server, address, &settings.filter).await?))
}
