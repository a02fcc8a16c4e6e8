//! A record's value as a line of text.
//!
//! A text is itself, bytes are themselves, numbers and booleans are their plain text, null is `null`, and what holds
//! other values is JSON, with bytes as base64, decimals as text, and dates and times as ISO 8601.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openmessaging_connector::Value;
use serde::ser::{Serialize, SerializeMap, Serializer};

/// Appends the value and the end of its line. `escape`: line breaks within become `\n` and `\r`, a backslash `\\`.
pub(super) fn line(out: &mut Vec<u8>, value: &Value<'_>, escape: bool) {
    match value {
        Value::Str(text) => add(out, text.as_bytes(), escape),
        Value::Bytes(bytes) => add(out, bytes, escape),
        Value::Decimal(text) => out.extend_from_slice(text.as_bytes()),
        Value::Date(_) | Value::Time(_) | Value::Timestamp(_) | Value::TimestampTz(_) => {
            out.extend_from_slice(moment(value).as_bytes());
        }
        other => {
            let start = out.len();
            // Writing to memory does not fail, and a key of a map is always made a text.
            if serde_json::to_writer(&mut *out, &Json(other)).is_err() {
                out.truncate(start);
                out.extend_from_slice(b"null");
            }
        }
    }
    out.push(b'\n');
}

fn add(out: &mut Vec<u8>, bytes: &[u8], escape: bool) {
    if !escape {
        return out.extend_from_slice(bytes);
    }
    for byte in bytes {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            byte => out.push(*byte),
        }
    }
}

/// ISO 8601 text of a date or time.
fn moment(value: &Value<'_>) -> String {
    const DAY: i64 = 86_400_000_000;
    match value {
        Value::Date(days) => date(i64::from(*days)),
        Value::Time(micros) => {
            let sign = if *micros < 0 { "-" } else { "" };
            format!("{sign}{}", time(micros.unsigned_abs()))
        }
        Value::Timestamp(micros) | Value::TimestampTz(micros) => {
            let zone = if matches!(value, Value::TimestampTz(_)) { "Z" } else { "" };
            format!("{}T{}{zone}", date(micros.div_euclid(DAY)), time(micros.rem_euclid(DAY).unsigned_abs()))
        }
        _ => String::new(),
    }
}

/// The proleptic Gregorian date of a day since 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date
/// algorithms", `civil_from_days`).
fn date(days: i64) -> String {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

fn time(micros: u64) -> String {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction == 0 { clock } else { format!("{clock}.{fraction:06}") }
}

struct Json<'v>(&'v Value<'v>);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null | Value::Absent => to.serialize_unit(),
            Value::Bool(value) => to.serialize_bool(*value),
            Value::I64(value) => to.serialize_i64(*value),
            Value::U64(value) => to.serialize_u64(*value),
            Value::F32(value) => to.serialize_f32(*value),
            Value::F64(value) => to.serialize_f64(*value),
            Value::Str(text) | Value::Decimal(text) => to.serialize_str(text),
            Value::Bytes(bytes) => to.serialize_str(&STANDARD.encode(bytes)),
            Value::Date(_) | Value::Time(_) | Value::Timestamp(_) | Value::TimestampTz(_) => {
                to.serialize_str(&moment(self.0))
            }
            Value::Array(values) => to.collect_seq(values.iter().map(Json)),
            Value::Struct(schema, values) => {
                let mut members = to.serialize_map(None)?;
                for (field, value) in schema.fields().iter().zip(values) {
                    // What is not known is left out, which null would not be.
                    if !matches!(value, Value::Absent) {
                        members.serialize_entry(&*field.name, &Json(value))?;
                    }
                }
                members.end()
            }
            Value::Map(entries) => {
                let mut members = to.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    let mut name = Vec::new();
                    line(&mut name, key, false);
                    name.pop();
                    members.serialize_entry(&String::from_utf8_lossy(&name), &Json(value))?;
                }
                members.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use openmessaging_connector::{Field, Schema, Type};

    use super::*;

    fn shown(value: &Value<'_>) -> String {
        let mut out = Vec::new();
        line(&mut out, value, false);
        assert_eq!(out.pop(), Some(b'\n'));
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn every_kind_of_value() {
        assert_eq!(shown(&Value::str("plain \"text\"")), "plain \"text\"");
        assert_eq!(shown(&Value::Null), "null");
        assert_eq!(shown(&Value::U64(u64::MAX)), "18446744073709551615");
        assert_eq!(shown(&Value::F64(1.5)), "1.5");
        assert_eq!(shown(&Value::Bool(true)), "true");
        assert_eq!(shown(&Value::Decimal("-1.10".into())), "-1.10");
        assert_eq!(shown(&Value::Date(-719_528)), "0000-01-01");
        assert_eq!(shown(&Value::Date(20_779)), "2026-11-22");
        assert_eq!(shown(&Value::Time(-3_723_000_001)), "-01:02:03.000001");
        assert_eq!(shown(&Value::TimestampTz(-1)), "1969-12-31T23:59:59.999999Z");
        let field = |name: &str| Field::new(name, Schema::new(Type::Bytes).optional().shared());
        let schema = Schema::structure("row", vec![field("a"), field("b"), field("c")]).shared();
        let row = Value::Struct(schema, vec![Value::Bytes(vec![0, 255].into()), Value::Absent, Value::Null]);
        assert_eq!(shown(&row), r#"{"a":"AP8=","c":null}"#);
        let map = Value::Map(vec![(Value::I64(1), Value::Array(vec![Value::str("x\ny")]))]);
        assert_eq!(shown(&map), r#"{"1":["x\ny"]}"#);
    }

    #[test]
    fn line_breaks_are_kept_or_escaped() {
        let text = Value::str("a\nb\r\\");
        assert_eq!(shown(&text), "a\nb\r\\");
        let mut out = Vec::new();
        line(&mut out, &text, true);
        assert_eq!(out, b"a\\nb\\r\\\\\n");
    }
}
