//! A message as people read it.

use std::fmt::Write;

use serde::Deserialize;
use serde_json::Value;

use crate::failure::{Failure, Result};

/// One line of a tap.
#[derive(Debug, Deserialize)]
pub struct Shown {
    pub queue: String,
    pub partition: u32,
    pub offset: u64,
    pub timestamp: i64,
    /// Text, `{"base64": "..."}` or null; likewise the values of `headers`.
    pub key: Value,
    pub headers: serde_json::Map<String, Value>,
    pub value: Value,
}

impl Shown {
    pub fn read(line: &[u8]) -> Result<Self> {
        serde_json::from_slice(line).map_err(|error| {
            Failure::new("tap.message", format!("this is not a message as a worker shows it: {error}"))
                .with_remedy("is the worker of another release?")
        })
    }

    /// A line with place, time and key, the headers, then the value: JSON over several lines where it is JSON.
    pub fn pretty(&self) -> String {
        let mut out = format!("{}[{}] @{}  {}", self.queue, self.partition, self.offset, utc(self.timestamp));
        if !self.key.is_null() {
            let _ = write!(out, "  key {}", short(&self.key));
        }
        for (name, value) in &self.headers {
            let _ = write!(out, "\n  {name}: {}", short(value));
        }
        let _ = write!(out, "\n{}\n", long(&self.value));
        out
    }
}

/// The value on one line.
fn short(value: &Value) -> String {
    match value {
        Value::String(text) => text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
        other => other.to_string(),
    }
}

fn long(value: &Value) -> String {
    let text = match value {
        Value::Null => return "(no value)".to_owned(),
        Value::String(text) => text,
        other => return other.to_string(),
    };
    match serde_json::from_str::<Value>(text) {
        Ok(json @ (Value::Object(_) | Value::Array(_))) => pretty_json(&json, 0),
        // Whatever a message holds, it must not steer the terminal.
        _ => text
            .chars()
            .map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c })
            .collect(),
    }
}

/// JSON over several lines, with what has only simple members on one line where that is short.
fn pretty_json(value: &Value, indent: usize) -> String {
    const WIDTH: usize = 100;
    let flat = value.to_string();
    let (open, members, close): (_, Vec<(String, &Value)>, _) = match value {
        Value::Object(map) => {
            let named = |(name, member)| (format!("{}: ", Value::String(String::clone(name))), member);
            ('{', map.iter().map(named).collect(), '}')
        }
        Value::Array(list) => ('[', list.iter().map(|member| (String::new(), member)).collect(), ']'),
        _ => return flat,
    };
    let simple = !members.iter().any(|(_, member)| member.is_object() || member.is_array());
    if members.is_empty() || (indent > 0 && simple && flat.len() + indent < WIDTH) {
        return flat;
    }
    let pad = " ".repeat(indent + 2);
    let lines: Vec<String> = members
        .iter()
        .map(|(name, member)| format!("{pad}{name}{}", pretty_json(member, indent + 2)))
        .collect();
    format!("{open}\n{}\n{}{close}", lines.join(",\n"), " ".repeat(indent))
}

/// `2026-11-22 17:41:37.123Z`; the civil date by Howard Hinnant's `civil_from_days`.
pub fn utc(millis: i64) -> String {
    let days = millis.div_euclid(86_400_000);
    let of_day = millis.rem_euclid(86_400_000);
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, milli) = (of_day / 1000 % 60, of_day % 1000);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc() {
        assert_eq!(utc(0), "1970-01-01 00:00:00.000Z");
        assert_eq!(utc(1_795_369_297_123), "2026-11-22 17:41:37.123Z");
        assert_eq!(utc(951_782_400_000), "2000-02-29 00:00:00.000Z");
        assert_eq!(utc(-1), "1969-12-31 23:59:59.999Z");
        assert!(!utc(i64::MIN).is_empty() && !utc(i64::MAX).is_empty());
    }

    #[test]
    fn a_message_is_laid_out() {
        let line =
            br#"{"queue":"q","partition":0,"offset":3,"timestamp":0,"key":"{\"id\":1}","headers":{"h":"v"},
            "value":"{\"before\":null,\"after\":{\"id\":1}}"}"#;
        let text = Shown::read(line).expect("a message").pretty();
        let expected = "q[0] @3  1970-01-01 00:00:00.000Z  key {\"id\":1}\n  h: v\n\
                        {\n  \"before\": null,\n  \"after\": {\"id\":1}\n}\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_is_no_json_is_shown_without_control_characters() {
        let line = br#"{"queue":"q","partition":0,"offset":3,"timestamp":0,"key":null,"headers":{},
            "value":"a\u001b[2J\nb"}"#;
        let text = Shown::read(line).expect("a message").pretty();
        assert!(text.ends_with("\na\u{fffd}[2J\nb\n"), "{text}");
        assert!(Shown::read(b"{}").is_err());
    }
}
