//! Positions of a binlog: where a transaction begins, how they are stored, and which of two comes first.
//!
//! A stored base has the members of the original runtime, `binlogFilename` and `nextPosition`, and beside them `gtid` (the
//! set executed before it) and `server` (the identity of the server that the file belongs to). During a snapshot it also
//! has `snapshot`: the table and key behind which the snapshot goes on. Of a position inside a transaction `transaction`
//! is that one's GTID: another server may have another one next, of which nothing was delivered.
//!
//! A step counts inside one transaction: the rows events that are done in its upper 32 bits, and the row images of the
//! next one that are done in its lower 32 (an update has two images). So a restart leaves out whole events without looking
//! into them, whatever tables were filtered before and are now.

use std::fmt::Write;
use std::sync::Arc;

use openmessaging_connector::{Error, Position, Result};
use serde_json::{Map, Value as Json};

use super::gtid::{GtidSet, TransactionId};

/// A point between two transactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinlogPosition {
    pub file: Arc<str>,
    pub offset: u64,
    /// What was executed before it, where the server has GTIDs.
    pub gtid: Option<GtidSet>,
    /// Identity of the server whose file it is.
    pub server: Option<Arc<str>>,
}

/// Where an unfinished snapshot goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct SnapshotPosition {
    pub database: String,
    pub table: String,
    /// Key of the last row that was read of this table; none where it begins.
    pub after: Option<Vec<Json>>,
}

/// A stored position, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    pub binlog: BinlogPosition,
    pub snapshot: Option<SnapshotPosition>,
    /// The transaction that the step counts in; without one, the next.
    pub transaction: Option<TransactionId>,
    pub step: u64,
}

impl BinlogPosition {
    /// The text of the base, rendered once for each transaction.
    pub fn base(&self) -> Arc<str> {
        let mut text = String::with_capacity(160);
        text.push('{');
        self.members(&mut text);
        text.push('}');
        text.into()
    }

    /// The text of the base of positions inside the transaction that follows; `id` is its GTID, or empty.
    pub fn base_in(&self, id: &str) -> Arc<str> {
        let mut text = String::with_capacity(240);
        text.push('{');
        self.members(&mut text);
        if !id.is_empty() {
            let _ = write!(text, ",\"transaction\":\"{id}\"");
        }
        text.push('}');
        text.into()
    }

    /// The text of the base while a snapshot is under way.
    pub fn snapshot_base(&self, at: &SnapshotPosition) -> Arc<str> {
        let mut text = String::with_capacity(240);
        let after = at.after.as_ref().map_or(Json::Null, |key| Json::Array(key.clone()));
        let snapshot = serde_json::json!({"database": at.database, "table": at.table, "after": after});
        let _ = write!(text, "{{\"snapshot\":{snapshot},");
        self.members(&mut text);
        text.push('}');
        text.into()
    }

    fn members(&self, text: &mut String) {
        // File names are the server's own; an identity is a UUID or a number: only the names may need escapes.
        let _ =
            write!(text, "\"binlogFilename\":{},\"nextPosition\":{}", Json::from(&*self.file), self.offset);
        if let Some(gtid) = &self.gtid {
            let _ = write!(text, ",\"gtid\":\"{gtid}\"");
        }
        if let Some(server) = &self.server {
            let _ = write!(text, ",\"server\":{}", Json::from(&**server));
        }
    }

    /// Whether the change that `id` and `end` name comes before this position. By GTID where both have one, since that
    /// holds across servers; by file and offset otherwise.
    pub fn is_behind(&self, change: &ChangePoint) -> bool {
        match (&self.gtid, &change.id) {
            (Some(executed), Some(id)) => executed.contains(id),
            _ => file_order(&change.file, change.end) <= file_order(&self.file, self.offset),
        }
    }
}

/// Where a statement is in the binlog: its transaction, and where it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangePoint {
    pub file: Arc<str>,
    pub end: u64,
    pub id: Option<TransactionId>,
}

/// Files are numbered: `bin.000009` comes before `bin.000010`, and `bin.999999` before `bin.1000000`.
fn file_order(file: &str, offset: u64) -> (u64, u64) {
    let number = file.rsplit('.').next().and_then(|digits| digits.parse().ok()).unwrap_or(0);
    (number, offset)
}

impl Stored {
    /// Reads a stored position.
    ///
    /// # Errors
    /// `mysql.position_invalid`, saying what is wrong with it.
    pub fn read(position: &Position) -> Result<Self> {
        let object: Map<String, Json> = serde_json::from_str(&position.base)
            .map_err(|_| invalid(&position.base, "it is not a JSON object"))?;
        let text = |name: &str| object.get(name).and_then(Json::as_str);
        let file = text("binlogFilename").filter(|file| !file.is_empty());
        let gtid = text("gtid").and_then(GtidSet::parse);
        if file.is_none() && gtid.is_none() {
            return Err(invalid(&position.base, "it has neither binlogFilename nor gtid"));
        }
        let offset = match object.get("nextPosition") {
            None => 4,
            Some(offset) => offset
                .as_u64()
                .or_else(|| offset.as_str()?.parse().ok())
                .ok_or_else(|| invalid(&position.base, "nextPosition is no number"))?,
        };
        let snapshot = match object.get("snapshot") {
            None | Some(Json::Null) => None,
            Some(snapshot) => Some(
                read_snapshot(snapshot)
                    .ok_or_else(|| invalid(&position.base, "its snapshot has no table"))?,
            ),
        };
        let binlog = BinlogPosition {
            file: file.unwrap_or_default().into(),
            offset: offset.max(4),
            gtid,
            server: text("server").map(Arc::from),
        };
        let transaction = text("transaction").and_then(TransactionId::parse);
        Ok(Self { binlog, snapshot, transaction, step: position.step })
    }
}

fn read_snapshot(snapshot: &Json) -> Option<SnapshotPosition> {
    Some(SnapshotPosition {
        database: snapshot.get("database")?.as_str()?.to_owned(),
        table: snapshot.get("table")?.as_str()?.to_owned(),
        after: snapshot.get("after").and_then(Json::as_array).cloned(),
    })
}

fn invalid(base: &str, what: &str) -> Error {
    let shown: String = base.chars().take(200).collect();
    Error::fatal("mysql.position_invalid", format!("the stored position {shown} cannot be read: {what}"))
        .with_remedy("set the connector's offsets to a position this connector wrote, or reset them")
}

/// A step from its parts.
pub fn step(events: u32, images: u32) -> u64 {
    u64::from(events) << 32 | u64::from(images)
}

/// The parts of a step: whole rows events, and row images of the next.
pub fn step_parts(step: u64) -> (u32, u32) {
    ((step >> 32) as u32, step as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(gtid: Option<&str>) -> BinlogPosition {
        BinlogPosition {
            file: "bin.000010".into(),
            offset: 1234,
            gtid: gtid.and_then(GtidSet::parse),
            server: Some("mariadb-1".into()),
        }
    }

    #[test]
    fn a_base_is_read_back() {
        let binlog = position(Some("0-1-55"));
        assert_eq!(
            &*binlog.base(),
            r#"{"binlogFilename":"bin.000010","nextPosition":1234,"gtid":"0-1-55","server":"mariadb-1"}"#
        );
        let stored = Stored::read(&Position { base: binlog.base(), step: 7 }).expect("read");
        assert_eq!(stored, Stored { binlog: binlog.clone(), snapshot: None, transaction: None, step: 7 });
        let at = SnapshotPosition {
            database: "d".to_owned(),
            table: "t\"x".to_owned(),
            after: Some(vec![1.into(), "a".into()]),
        };
        let stored = Stored::read(&Position::new(binlog.snapshot_base(&at))).expect("read");
        assert_eq!(stored, Stored { binlog: binlog.clone(), snapshot: Some(at), transaction: None, step: 0 });
    }

    #[test]
    fn a_position_inside_a_transaction_names_it() {
        let base = position(Some("0-1-55")).base_in("0-1-56");
        let stored = Stored::read(&Position::at(&base, 3)).expect("read");
        assert_eq!(stored.transaction, TransactionId::parse("0-1-56"));
        assert_eq!(position(None).base_in(""), position(None).base());
    }

    #[test]
    fn the_originals_positions_are_read() {
        let original = Position::new(r#"{"binlogFilename":"mysql-bin.000001","nextPosition":"154"}"#);
        let stored = Stored::read(&original).expect("read");
        assert_eq!(
            (&*stored.binlog.file, stored.binlog.offset, stored.binlog.gtid),
            ("mysql-bin.000001", 154, None)
        );
    }

    #[test]
    fn nonsense_is_named() {
        for base in [
            "",
            "[]",
            "{}",
            r#"{"binlogFilename":"f","nextPosition":"x"}"#,
            r#"{"binlogFilename":"f","snapshot":3}"#,
        ] {
            let error = Stored::read(&Position::new(base)).expect_err(base);
            assert_eq!(error.code, "mysql.position_invalid");
        }
    }

    #[test]
    fn order_is_by_gtid_where_there_is_one_and_by_file_number_otherwise() {
        let change = |file: &str, end, id: Option<&str>| ChangePoint {
            file: file.into(),
            end,
            id: id.and_then(TransactionId::parse),
        };
        assert!(position(None).is_behind(&change("bin.000009", 9999, None)));
        assert!(position(None).is_behind(&change("bin.000010", 1234, None)));
        assert!(!position(None).is_behind(&change("bin.000010", 1235, None)));
        assert!(!position(None).is_behind(&change("bin.1000000", 4, None)));
        // On another server the same transaction is elsewhere.
        assert!(position(Some("0-1-55")).is_behind(&change("other.000999", 9, Some("0-1-55"))));
        assert!(!position(Some("0-1-55")).is_behind(&change("bin.000001", 9, Some("0-1-56"))));
    }

    #[test]
    fn steps_have_two_parts() {
        assert_eq!(step_parts(step(3, 5)), (3, 5));
        assert!(step(3, 5) > step(3, 4) && step(4, 0) > step(3, u32::MAX));
    }
}
