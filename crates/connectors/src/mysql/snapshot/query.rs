//! The SELECTs of a snapshot, and the keys behind which they go on. Pure.

use mysql_async::{Params, Row, Value};
use serde_json::Value as Json;

use crate::mysql::table::{Kind, Table};

/// A name in backticks.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Whether the table can be read in chunks: it has a key whose columns the server compares as it sorts them, and whose
/// values come back exactly as they are. (An ENUM sorts by its index and compares by its label; a FLOAT is not equal to
/// what was read of it.)
pub(super) fn is_seekable(table: &Table) -> bool {
    let seekable = |at: &usize| {
        table.columns.get(*at).is_some_and(|column| {
            !matches!(
                column.kind,
                Kind::Float
                    | Kind::Double
                    | Kind::Enum { .. }
                    | Kind::Set { .. }
                    | Kind::Json
                    | Kind::Geometry { .. }
                    | Kind::Bit { .. }
                    | Kind::Uuid
                    | Kind::Inet { .. }
            )
        })
    };
    !table.primary_key.is_empty() && table.primary_key.iter().all(seekable)
}

/// The statement for the next chunk, behind `after`; all of the table where it cannot be read in chunks.
pub(super) fn select(table: &Table, after: Option<&[Value]>, rows: u64) -> (String, Params) {
    let columns: Vec<_> = table.columns.iter().map(|column| quoted(&column.name)).collect();
    let mut sql =
        format!("SELECT {} FROM {}.{}", columns.join(", "), quoted(&table.database), quoted(&table.name));
    if !is_seekable(table) {
        return (sql, Params::Empty);
    }
    let key: Vec<&String> = table.primary_key.iter().filter_map(|at| columns.get(*at)).collect();
    let mut params = Vec::new();
    if let Some(after) = after.filter(|after| after.len() == key.len()) {
        sql.push_str(" WHERE ");
        sql.push_str(&behind(&key, after, &mut params));
    }
    let order: Vec<_> = key.iter().map(|column| column.as_str()).collect();
    sql.push_str(&format!(" ORDER BY {} LIMIT {rows}", order.join(", ")));
    (sql, if params.is_empty() { Params::Empty } else { Params::Positional(params) })
}

/// `a >= ? AND (a > ? OR (a = ? AND b > ?))`: the first part lets the server use the index as a range.
fn behind(key: &[&String], after: &[Value], params: &mut Vec<Value>) -> String {
    let (Some((first, rest)), Some((value, values))) = (key.split_first(), after.split_first()) else {
        return "TRUE".to_owned();
    };
    if rest.is_empty() {
        params.push(value.clone());
        return format!("{first} > ?");
    }
    params.extend([value.clone(), value.clone(), value.clone()]);
    let deeper = behind(rest, values, params);
    format!("{first} >= ? AND ({first} > ? OR ({first} = ? AND ({deeper})))")
}

/// The key of a row.
pub(super) fn key_of(table: &Table, row: &Row) -> Option<Vec<Value>> {
    table.primary_key.iter().map(|at| row.as_ref(*at).cloned()).collect()
}

/// A key as it is stored: numbers, texts, and `{"hex": ...}` for other bytes.
pub(super) fn to_json(key: &[Value]) -> Vec<Json> {
    let value = |value: &Value| match value {
        Value::Int(number) => Json::from(*number),
        Value::UInt(number) => Json::from(*number),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Json::from(text),
            Err(_) => {
                let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                serde_json::json!({ "hex": digits })
            }
        },
        // Dates and times, as the server reads them.
        other => Json::from(other.as_sql(true).trim_matches('\'')),
    };
    key.iter().map(value).collect()
}

/// The reverse of [`to_json`]. `None` where it is no such key.
pub(super) fn from_json(key: &[Json]) -> Option<Vec<Value>> {
    let value = |value: &Json| match value {
        Json::Number(number) => number.as_i64().map(Value::Int).or_else(|| number.as_u64().map(Value::UInt)),
        Json::String(text) => Some(Value::Bytes(text.clone().into_bytes())),
        Json::Object(object) => {
            let digits = object.get("hex")?.as_str()?.as_bytes();
            let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
            digits.chunks(2).map(byte).collect::<Option<Vec<_>>>().map(Value::Bytes)
        }
        _ => None,
    };
    key.iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::table::Column;

    fn table(kinds: &[Kind], key: &[usize]) -> Table {
        let column = |(at, kind): (usize, &Kind)| Column {
            name: format!("c{at}").into(),
            kind: kind.clone(),
            nullable: false,
        };
        Table {
            database: "d".into(),
            name: "a`b".into(),
            columns: kinds.iter().enumerate().map(column).collect(),
            primary_key: key.to_vec(),
        }
    }

    const INT: Kind = Kind::Int { unsigned: false };

    #[test]
    fn chunks_go_on_behind_a_key_of_any_length() {
        let two = table(&[INT, INT, INT], &[2, 0]);
        assert_eq!(
            select(&two, None, 10).0,
            "SELECT `c0`, `c1`, `c2` FROM `d`.`a``b` ORDER BY `c2`, `c0` LIMIT 10"
        );
        let (sql, params) = select(&two, Some(&[1.into(), 2.into()]), 10);
        assert!(
            sql.contains("WHERE `c2` >= ? AND (`c2` > ? OR (`c2` = ? AND (`c0` > ?))) ORDER BY"),
            "{sql}"
        );
        assert_eq!(params, Params::Positional(vec![1.into(), 1.into(), 1.into(), 2.into()]));
        // A key of another shape (the table was changed): from the beginning.
        assert!(!select(&two, Some(&[1.into()]), 10).0.contains("WHERE"));
    }

    #[test]
    fn tables_without_a_usable_key_are_read_in_one_go() {
        let labels = std::sync::Arc::from(["a".into()]);
        for table in
            [table(&[INT], &[]), table(&[Kind::Enum { labels }, INT], &[0, 1]), table(&[Kind::Double], &[0])]
        {
            let (sql, _) = select(&table, None, 10);
            assert!(!sql.contains("LIMIT") && !sql.contains("ORDER"), "{sql}");
        }
    }

    #[test]
    fn keys_are_stored_and_read_back() {
        let key = vec![
            Value::Int(-5),
            Value::UInt(u64::MAX),
            Value::Bytes(b"it's \"x\"".to_vec()),
            Value::Bytes(vec![0xff, 0]),
        ];
        assert_eq!(from_json(&to_json(&key)), Some(key));
        let date = to_json(&[Value::Date(2024, 2, 29, 1, 2, 3, 4), Value::Time(true, 1, 2, 3, 4, 5)]);
        assert_eq!(date, [Json::from("2024-02-29 01:02:03.000004"), Json::from("-026:03:04.000005")]);
        assert_eq!(from_json(&[Json::Null]), None);
    }
}
