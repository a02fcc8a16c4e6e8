//! DDL in the stream: the tables move on, and the history is stored before any position behind it.

use std::sync::Arc;

use openmessaging_connector::{EntryType, Flow, RecordSink, Result};

use super::core::{At, Core, Flowing, Task, now_ms};
use crate::mysql::binlog::{Header, Query};
use crate::mysql::connect::connect;
use crate::mysql::position::{ChangePoint, step};
use crate::mysql::record::{Change, Image, KeyFrom, Origin};
use crate::mysql::schema::{Effect, apply_statement, catalog};
use crate::mysql::table::Table;

impl Core {
    /// Applies a statement that may be DDL.
    pub(super) async fn definition(
        &mut self,
        task: &mut Task,
        query: &Query<'_>,
        header: &Header,
        at: At,
        out: &mut dyn RecordSink,
    ) -> Result<Flowing> {
        let point = ChangePoint { file: self.file.clone(), end: at.end, id: self.transaction.id.clone() };
        if self.history.replay(&point)? {
            self.plans.version += 1;
            return Ok(Flowing::On);
        }
        let mut effect = apply_statement(
            self.history.tables_mut(),
            &query.sql,
            &query.database,
            self.server.mariadb,
            query.sql_mode,
        );
        let truncated = effect.truncated.take();
        self.forget_others(task, &mut effect);
        if effect.all_unknown || !effect.unknown.is_empty() {
            self.resolve(task, &mut effect).await?;
        }
        if !effect.touched.is_empty() {
            tracing::debug!(file = %point.file, end = point.end, tables = effect.touched.len(), "table definitions changed");
            self.history.record(&point, &effect).await?;
            self.plans.version += 1;
        }
        match truncated {
            Some((database, table)) => self.truncate(task, &database, &table, query, header, at, out),
            None => Ok(Flowing::On),
        }
    }

    /// Drops what happened in databases that are not read.
    fn forget_others(&mut self, task: &Task, effect: &mut Effect) {
        let filter = &task.settings.filter;
        effect.unknown.retain(|(database, _)| filter.takes_database(database));
        let (kept, others): (Vec<_>, Vec<_>) = std::mem::take(&mut effect.touched)
            .into_iter()
            .partition(|(database, _)| filter.takes_database(database));
        effect.touched = kept;
        for (database, table) in others {
            self.history.tables_mut().remove(&database, &table);
        }
    }

    /// Looks up in the catalog what could not be worked out. The catalog may be ahead of this moment of the stream: where
    /// it does not fit the rows that come, the table map tells, and the task stops.
    async fn resolve(&mut self, task: &Task, effect: &mut Effect) -> Result<()> {
        let address = &task.settings.address;
        let mut conn = connect(address).await?;
        if std::mem::take(&mut effect.all_unknown) {
            let found = catalog::read(&mut conn, &self.server, address, &task.settings.filter).await?;
            let gone: Vec<_> = self
                .history
                .tables()
                .iter()
                .filter(|tracked| found.get(&tracked.table.database, &tracked.table.name).is_none())
                .map(|tracked| (tracked.table.database.clone(), tracked.table.name.clone()))
                .collect();
            let there =
                found.iter().map(|tracked| (tracked.table.database.clone(), tracked.table.name.clone()));
            effect.touched = gone.into_iter().chain(there).collect();
            *self.history.tables_mut() = found;
        } else {
            let names = std::mem::take(&mut effect.unknown);
            let found = catalog::read_tables(&mut conn, &self.server, address, &names).await?;
            for (database, table) in names {
                match found.get(&database, &table) {
                    Some(tracked) => self.history.tables_mut().put(tracked.clone()),
                    None => drop(self.history.tables_mut().remove(&database, &table)),
                }
                effect.touched.push((database, table));
            }
        }
        conn.disconnect().await.ok();
        Ok(())
    }

    /// A table that the history does not have: as the catalog has it now, if it does.
    pub(super) async fn look_up(
        &mut self,
        task: &Task,
        database: &str,
        table: &str,
    ) -> Result<Option<Arc<Table>>> {
        let mut effect = Effect { unknown: vec![(database.into(), table.into())], ..Effect::default() };
        self.resolve(task, &mut effect).await?;
        Ok(self.history.tables().get(database, table).map(|tracked| tracked.table.clone()))
    }

    #[allow(clippy::too_many_arguments, reason = "all of the moment at hand")]
    fn truncate(
        &mut self,
        task: &mut Task,
        database: &str,
        table: &str,
        query: &Query<'_>,
        header: &Header,
        at: At,
        out: &mut dyn RecordSink,
    ) -> Result<Flowing> {
        let number = self.transaction.events;
        if !task.settings.filter.takes(database, table)
            || (!self.transaction.foreign && self.delivered.has_event(number))
        {
            return Ok(Flowing::On);
        }
        let Some(known) = self.history.tables().get(database, table).map(|tracked| tracked.table.clone())
        else {
            return Ok(Flowing::On);
        };
        let shape = task.shapes.of(&known);
        let base = self.base();
        self.transaction.events += 1;
        (self.wrote, self.written) = (true, self.written + 1);
        let origin = Origin {
            partition: &task.partition,
            connector: self.server.connector(),
            name: &task.name,
            ts_ms: self.transaction.commit_ms.unwrap_or(i64::from(header.timestamp) * 1000),
            read_ms: now_ms(),
            snapshot: false,
            server_id: header.server_id,
            gtid: Some(self.transaction.gtid.as_str()).filter(|gtid| !gtid.is_empty()),
            file: &self.file,
            pos: at.start,
            thread: Some(query.thread_id),
            query: task.settings.include_query.then_some(&*query.sql),
        };
        let change = Change {
            shape: &shape,
            entry: EntryType::Truncate,
            key: KeyFrom::Before,
            before: Image::None,
            after: Image::None,
            row: 0,
        };
        match change.write(&origin, task.settings.decimal, out, &base, step(number + 1, 0))? {
            Flow::Full => Ok(Flowing::Full),
            Flow::More => Ok(Flowing::On),
        }
    }
}
