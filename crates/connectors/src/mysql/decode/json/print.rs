//! Documents as text, with a space behind each colon and comma, as `CAST(document AS CHAR)` gives it
//! (`Json_wrapper::to_string` of `sql-common/json_dom.cc`).

use std::io::Write;

use super::number::write_double;
use super::value::{Container, Parsed, Raw};
use crate::mysql::binlog::column_type;
use crate::mysql::decode::decimal;

/// Appends one value. `budget` is what it may still cost, `depth` how many containers may still be inside another.
pub(super) fn value(raw: Raw<'_>, budget: &mut usize, depth: usize, out: &mut Vec<u8>) -> Result<(), String> {
    spend(budget, 1)?;
    match raw.parse()? {
        Parsed::Array(container) => array(container, budget, depth, out),
        Parsed::Object(container) => object(container, budget, depth, out),
        Parsed::String(text) => {
            spend(budget, text.len())?;
            string(text, out);
            Ok(())
        }
        Parsed::Opaque(_, bytes) => {
            spend(budget, bytes.len())?;
            scalar(raw, out)
        }
        _ => scalar(raw, out),
    }
}

fn spend(budget: &mut usize, cost: usize) -> Result<(), String> {
    *budget = budget.checked_sub(cost).ok_or("the JSON document uses its bytes more than once")?;
    Ok(())
}

fn deeper(depth: usize) -> Result<usize, String> {
    depth.checked_sub(1).ok_or_else(|| "the JSON document is nested too deeply".into())
}

fn array(
    container: Container<'_>,
    budget: &mut usize,
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let depth = deeper(depth)?;
    out.push(b'[');
    for index in 0..container.count {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        value(container.value(index)?, budget, depth, out)?;
    }
    out.push(b']');
    Ok(())
}

fn object(
    container: Container<'_>,
    budget: &mut usize,
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let depth = deeper(depth)?;
    out.push(b'{');
    for index in 0..container.count {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        let key = container.key(index)?;
        spend(budget, key.len())?;
        string(key, out);
        out.extend_from_slice(b": ");
        value(container.value(index)?, budget, depth, out)?;
    }
    out.push(b'}');
    Ok(())
}

/// Appends a value that holds no others.
pub(super) fn scalar(raw: Raw<'_>, out: &mut Vec<u8>) -> Result<(), String> {
    // Writing into memory does not fail.
    match raw.parse()? {
        Parsed::Null => out.extend_from_slice(b"null"),
        Parsed::Bool(true) => out.extend_from_slice(b"true"),
        Parsed::Bool(false) => out.extend_from_slice(b"false"),
        Parsed::Int(value) => drop(write!(out, "{value}")),
        Parsed::Uint(value) => drop(write!(out, "{value}")),
        Parsed::Double(value) => write_double(value, out),
        Parsed::String(text) => string(text, out),
        Parsed::Opaque(column_type, bytes) => opaque(column_type, bytes, out)?,
        Parsed::Array(_) | Parsed::Object(_) => {
            return Err("a JSON container stands where a scalar should".into());
        }
    }
    Ok(())
}

/// Appends quoted text with the server's escapes (`double_quote`).
pub(super) fn string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)) {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => drop(write!(out, "\\u{control:04x}")),
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn opaque(ty: u8, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    match ty {
        column_type::NEWDECIMAL => {
            let (head, packed) =
                bytes.split_first_chunk::<2>().ok_or("a decimal in the JSON document is too short")?;
            let mut buffer = decimal::Buffer::default();
            let text = decimal::text(packed, u32::from(head[0]), u32::from(head[1]), &mut buffer)
                .ok_or("a decimal in the JSON document is malformed")?;
            out.extend_from_slice(text.as_bytes());
        }
        column_type::DATE | column_type::TIME | column_type::DATETIME | column_type::TIMESTAMP => {
            let packed = bytes.first_chunk().ok_or("a date in the JSON document is too short")?;
            temporal(ty, i64::from_le_bytes(*packed), out);
        }
        _ => {
            let _ = write!(out, "\"base64:type{ty}:");
            base64(bytes, out);
            out.push(b'"');
        }
    }
    Ok(())
}

/// The packed form of times and dates, with 24 bits of microseconds.
fn temporal(ty: u8, packed: i64, out: &mut Vec<u8>) {
    let sign = if packed < 0 { "-" } else { "" };
    let magnitude = packed.unsigned_abs();
    let (whole, micros) = (magnitude >> 24, magnitude & 0xff_ffff);
    let (minute, second) = (whole >> 6 & 63, whole & 63);
    if ty == column_type::TIME {
        let hour = whole >> 12 & 0x3ff;
        let _ = write!(out, "\"{sign}{hour:02}:{minute:02}:{second:02}.{micros:06}\"");
        return;
    }
    let (year_month, day, hour) = (whole >> 22, whole >> 17 & 31, whole >> 12 & 31);
    let (year, month) = (year_month / 13, year_month % 13);
    let _ = write!(out, "\"{year:04}-{month:02}-{day:02}");
    if ty != column_type::DATE {
        let _ = write!(out, " {hour:02}:{minute:02}:{second:02}.{micros:06}");
    }
    out.push(b'"');
}

fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    use base64::Engine;
    out.extend_from_slice(base64::engine::general_purpose::STANDARD.encode(bytes).as_bytes());
}
