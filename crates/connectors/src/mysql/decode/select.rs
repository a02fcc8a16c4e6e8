//! Values of a `SELECT`, as the client library brings them.

use std::sync::Arc;

use mysql_async::Value;
use openmessaging_connector::{Error, Result, Scalar, Visitor};

use super::charset::Charset;
use super::temporal;
use crate::mysql::table::Kind;

/// Hands one value of a row to the visitor, exactly one scalar: the one that the binary log gives for the same stored
/// value.
///
/// The row must come by the binary protocol (a prepared statement), on a connection whose character set is `utf8mb4`
/// and whose `time_zone` is `+00:00`. Two cases where the server itself tells less: an ENUM holding the error value
/// (index 0) of a column that also has the label `''` comes as `''`, where the log says null; and what a column's
/// character set cannot express comes as `?`, where the log gives U+FFFD.
///
/// # Errors
/// `mysql.value_malformed`: the value is not of the column's type; the visitor got null.
pub fn visit_value(kind: &Kind, value: &Value, visitor: &mut dyn Visitor) -> Result<()> {
    match (value, kind) {
        (Value::NULL, _) => visitor.scalar(Scalar::Null),
        (Value::Bytes(bytes), _) => return visit_bytes(kind, bytes, visitor),
        (Value::Int(value), Kind::BigInt { unsigned: true }) => visitor.scalar(Scalar::U64(*value as u64)),
        (Value::Int(value), _) => visitor.scalar(Scalar::I64(*value)),
        (Value::UInt(value), Kind::BigInt { unsigned: true }) => visitor.scalar(Scalar::U64(*value)),
        (Value::UInt(value), _) => visitor.scalar(Scalar::I64(*value as i64)),
        (Value::Float(value), _) => visitor.scalar(Scalar::F32(*value)),
        (Value::Double(value), _) => visitor.scalar(Scalar::F64(*value)),
        (Value::Date(year, month, day, hour, minute, second, micros), _) => {
            let day = (i64::from(*year), i64::from(*month), i64::from(*day));
            let clock = (i64::from(*hour), i64::from(*minute), i64::from(*second));
            visitor.scalar(date(kind, day, clock, i64::from(*micros)));
        }
        (Value::Time(negative, days, hours, minutes, seconds, micros), _) => {
            let seconds = ((i64::from(*days) * 24 + i64::from(*hours)) * 60 + i64::from(*minutes)) * 60
                + i64::from(*seconds);
            let micros = seconds * 1_000_000 + i64::from(*micros);
            visitor.scalar(Scalar::Time(if *negative { -micros } else { micros }));
        }
    }
    Ok(())
}

fn date(kind: &Kind, day: (i64, i64, i64), clock: (i64, i64, i64), micros: i64) -> Scalar<'static> {
    match (kind, temporal::wall_clock(day, clock, micros)) {
        (Kind::Date, _) => temporal::days(day.0, day.1, day.2).map_or(Scalar::Null, Scalar::Date),
        (Kind::Timestamp { .. }, Scalar::Timestamp(micros)) => Scalar::TimestampTz(micros),
        (_, scalar) => scalar,
    }
}

fn visit_bytes(kind: &Kind, bytes: &[u8], visitor: &mut dyn Visitor) -> Result<()> {
    match kind {
        Kind::Bit { length: 1 } => {
            visitor.scalar(Scalar::Bool(bytes.last().is_some_and(|byte| byte & 1 == 1)))
        }
        Kind::Bit { .. } | Kind::Binary { .. } | Kind::Bytes { .. } | Kind::Geometry { .. } => {
            visitor.scalar(Scalar::Bytes(bytes));
        }
        Kind::Decimal { .. } => {
            let text = std::str::from_utf8(bytes).unwrap_or_default();
            if text.is_empty() || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'.')) {
                visitor.scalar(Scalar::Null);
                return Err(unexpected(kind, bytes.len()));
            }
            visitor.scalar(Scalar::Decimal(text));
        }
        Kind::Enum { labels } if bytes.is_empty() && !has_empty_label(labels) => visitor.scalar(Scalar::Null),
        Kind::Text { .. }
        | Kind::Enum { .. }
        | Kind::Set { .. }
        | Kind::Json
        | Kind::Uuid
        | Kind::Inet { .. } => {
            visitor.scalar(Scalar::Str(&Charset::Utf8.decode(bytes)));
        }
        // The binary protocol has these as numbers and dates.
        _ => {
            visitor.scalar(Scalar::Null);
            return Err(unexpected(kind, bytes.len()));
        }
    }
    Ok(())
}

fn has_empty_label(labels: &[Arc<str>]) -> bool {
    labels.iter().any(|label| label.is_empty())
}

#[cold]
fn unexpected(kind: &Kind, length: usize) -> Error {
    Error::record("mysql.value_malformed", format!("{length} bytes came for a column of kind {kind:?}"))
        .with_remedy("read snapshot rows with a prepared statement")
}
