//! Looking at the server before anything is started: every problem at once, each with what to do about it.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error as Driver};
use openmessaging_connector::config::nearest;
use openmessaging_connector::{Error, Result};

use super::binlog::{Reader, ReaderOptions, Start};
use super::config::{Address, Settings, SnapshotMode, StartAt};
use super::connect::connect;
use super::error;
use super::server::Server;
use super::stream::random_server_id;
use super::task::not_in_binlog;

/// How long the server may take to begin to send its binlog.
const PATIENCE: Duration = Duration::from_secs(5);

/// Every problem found; none when the connector can run.
pub(super) async fn validate(settings: &Settings) -> Vec<Error> {
    let address = &settings.address;
    let looked = async {
        let mut conn = connect(address).await?;
        let server = Server::read(&mut conn, address).await?;
        Ok((conn, server))
    };
    let (mut conn, server) = match looked.await {
        Ok(found) => found,
        Err(error) => return vec![error],
    };
    let mut errors = server.problems(address);
    if server.log_bin {
        let found = binlog(settings, &server, &mut conn).await;
        errors.extend(found.err());
    }
    match tables(settings, &server, &mut conn).await {
        Ok(found) => errors.extend(found),
        Err(error) => errors.push(error),
    }
    if settings.snapshot_mode != SnapshotMode::Never && !server.mariadb && !server.gtid {
        errors.extend(reload(address, &mut conn).await.err());
    }
    conn.disconnect().await.ok();
    errors
}

/// Whether the end of the binlog can be told (REPLICATION CLIENT, BINLOG MONITOR) and the log be read (REPLICATION SLAVE),
/// by trying: roles and versions make the list of grants hard to understand.
async fn binlog(settings: &Settings, server: &Server, conn: &mut Conn) -> Result<()> {
    let address = &settings.address;
    let place = server.tail(conn, address).await.map_err(|error| client_privilege(error, server, address))?;
    if let StartAt::Specified { file, .. } = &settings.start_at
        && settings.snapshot_mode == SnapshotMode::Never
    {
        let failed = |problem| error::from_driver(problem, address, "list the binlog's files");
        let files: Vec<mysql_async::Row> = conn.query("SHOW BINARY LOGS").await.map_err(failed)?;
        let there = |row: &mysql_async::Row| row.get::<String, _>(0).is_some_and(|name| name == *file);
        if !files.iter().any(there) {
            return Err(not_in_binlog(&address.server(), file));
        }
    }
    let options = ReaderOptions {
        server_id: settings.server_id.unwrap_or_else(random_server_id),
        start: Start::File { file: place.file.to_string(), position: place.offset },
        heartbeat: Duration::from_secs(1),
        hostname: String::new(),
    };
    let reading = async {
        let other = connect(address).await?;
        let mut reader =
            Reader::start(other, options).await.map_err(|error| error::from_reader(error, address))?;
        let first = reader.next_event().await.map(|_| ()).map_err(|error| error::from_reader(error, address));
        reader.close().await;
        first
    };
    match tokio::time::timeout(PATIENCE, reading).await {
        Ok(result) => result,
        Err(_) => Err(error::unreachable(&address.server(), "read the binlog", "no event came")),
    }
}

fn client_privilege(mut error: Error, server: &Server, address: &Address) -> Error {
    if error.code == "mysql.missing_privilege" {
        let privilege = if server.mariadb { "BINLOG MONITOR" } else { "REPLICATION CLIENT" };
        error.remedy =
            Some(format!("run as an administrator: GRANT {privilege} ON *.* TO '{}'@'%'", address.user));
    }
    error
}

async fn reload(address: &Address, conn: &mut Conn) -> Result<()> {
    let failed = |problem| error::from_driver(problem, address, "read the user's privileges");
    let grants: Vec<String> = conn.query("SHOW GRANTS").await.map_err(failed)?;
    let all = grants.join("\n").to_ascii_uppercase();
    if ["ALL PRIVILEGES ON *.*", "RELOAD", "FLUSH_TABLES"].iter().any(|grant| all.contains(grant))
        || all.contains("GRANT `")
    {
        return Ok(());
    }
    let message = format!(
        "user '{}' may not lock the tables of {} for the beginning of a snapshot",
        address.user,
        address.server()
    );
    Err(Error::config("mysql.missing_privilege", "mysqlUsername", message).with_remedy(format!(
        "run as an administrator: GRANT RELOAD ON *.* TO '{}'@'%'; or let the server run with gtid_mode=ON, where no lock is needed",
        address.user
    )))
}

/// Databases and tables that the lists name and that are not there, or that may not be read.
async fn tables(settings: &Settings, server: &Server, conn: &mut Conn) -> Result<Vec<Error>> {
    let address = &settings.address;
    let failed = |problem| error::from_driver(problem, address, "list the tables");
    let filter = settings.filter.clone().folding_case(server.fold_case);
    let databases: Vec<String> =
        conn.query("SELECT schema_name FROM information_schema.schemata").await.map_err(failed)?;
    let tables: Vec<(String, String)> = conn
        .query("SELECT table_schema, table_name FROM information_schema.tables WHERE table_type <> 'VIEW' AND table_type <> 'SYSTEM VIEW'")
        .await
        .map_err(failed)?;
    let mut errors = Vec::new();
    let same = |a: &str, b: &str| a == b || (server.fold_case && a.eq_ignore_ascii_case(b));
    for named in filter.named_databases() {
        if !databases.iter().any(|database| same(database, named)) {
            errors.push(absent(
                "whiteDataBase",
                &format!("database {named}"),
                address,
                named,
                databases.iter().map(String::as_str),
            ));
        }
    }
    let taken: Vec<_> = tables.iter().filter(|(database, _)| filter.takes_database(database)).collect();
    for (database, table) in filter.named_tables() {
        let is = |(of, name): &&&(String, String)| {
            same(name, table) && database.is_none_or(|database| same(of, database))
        };
        if taken.iter().any(|entry| is(&entry)) {
            continue;
        }
        match database {
            Some(database) => errors.push(match privilege(conn, address, database, table).await {
                Some(denied) => denied,
                None => {
                    let full = format!("{database}.{table}");
                    let known: Vec<_> =
                        taken.iter().map(|(database, table)| format!("{database}.{table}")).collect();
                    absent(
                        "whiteTable",
                        &format!("table {full}"),
                        address,
                        &full,
                        known.iter().map(String::as_str),
                    )
                }
            }),
            None => {
                let known = taken.iter().map(|(_, table)| table.as_str());
                errors.push(absent("whiteTable", &format!("table {table}"), address, table, known));
            }
        }
    }
    // One table stands for all: privileges are rarely given one by one.
    if let Some((database, table)) = taken.iter().find(|(database, table)| filter.takes(database, table)) {
        errors.extend(privilege(conn, address, database, table).await);
    }
    Ok(errors)
}

fn absent<'n>(
    key: &str,
    what: &str,
    address: &Address,
    name: &str,
    known: impl Iterator<Item = &'n str>,
) -> Error {
    let message = format!("{what} is not at {}, or user '{}' may not see it", address.server(), address.user);
    let remedy = match nearest(name, known) {
        Some(near) => format!("did you mean {near}?"),
        None => {
            format!("check its spelling, create it first, or GRANT SELECT on it TO '{}'@'%'", address.user)
        }
    };
    Error::config("mysql.absent", key, message).with_remedy(remedy)
}

/// Why the table may not be read, if so.
async fn privilege(conn: &mut Conn, address: &Address, database: &str, table: &str) -> Option<Error> {
    let quoted = |name: &str| format!("`{}`", name.replace('`', "``"));
    let sql = format!("SELECT 1 FROM {}.{} LIMIT 0", quoted(database), quoted(table));
    match conn.query_drop(sql).await {
        Err(Driver::Server(refused)) if matches!(refused.code, 1142 | 1044) => {
            let message = format!(
                "user '{}' may not read table {database}.{table} at {}",
                address.user,
                address.server()
            );
            let remedy =
                format!("run as an administrator: GRANT SELECT ON `{database}`.* TO '{}'@'%'", address.user);
            Some(Error::config("mysql.missing_privilege", "mysqlUsername", message).with_remedy(remedy))
        }
        _ => None,
    }
}
