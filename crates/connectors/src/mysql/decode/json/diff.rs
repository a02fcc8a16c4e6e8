//! The changes of a JSON document that an update logs instead of its new value
//! (`binlog_row_value_options=PARTIAL_JSON`; `sql-common/json_diff.h`).

use std::borrow::Cow;

use super::MAX_DEPTH;
use super::tree::Node;
use super::value::Raw;
use crate::mysql::binlog::Cursor;

/// One step of a path.
#[derive(Debug, PartialEq)]
enum Leg {
    Member(Vec<u8>),
    Cell(usize),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Operation {
    Replace,
    Insert,
    Remove,
}

/// Appends the text of `document` after `changes`.
///
/// # Errors
/// Either is malformed, or a change does not fit the document.
pub(in super::super) fn apply_changes(
    document: &[u8],
    changes: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let mut root = parse(document)?;
    let mut cursor = Cursor::new(changes, "JSON changes");
    while !cursor.is_empty() {
        change(&mut root, &mut cursor)?;
    }
    root.write(out)
}

fn parse(document: &[u8]) -> Result<Node<'_>, String> {
    const NULL: Raw<'static> = Raw { ty: 4, data: &[0] };
    let raw = document.split_first().map_or(NULL, |(ty, data)| Raw { ty: *ty, data });
    Node::parse(raw, &mut document.len().max(1), MAX_DEPTH)
}

fn change<'a>(root: &mut Node<'a>, cursor: &mut Cursor<'a>) -> Result<(), String> {
    let text = |error: openmessaging_connector::Error| error.message;
    let operation = match cursor.u8().map_err(text)? {
        0 => Operation::Replace,
        1 => Operation::Insert,
        2 => Operation::Remove,
        other => return Err(format!("JSON changes: unknown operation {other}")),
    };
    let path = path(cursor.lenenc_bytes().map_err(text)?)?;
    let value = match operation {
        Operation::Remove => None,
        _ => Some(parse(cursor.lenenc_bytes().map_err(text)?)?),
    };
    apply(root, operation, &path, value)
        .ok_or_else(|| format!("JSON changes: no place for {operation:?} at {path:?}"))
}

fn apply<'a>(root: &mut Node<'a>, operation: Operation, path: &[Leg], value: Option<Node<'a>>) -> Option<()> {
    let Some((last, parents)) = path.split_last() else {
        *root = value?;
        return Some(());
    };
    let mut node = root;
    for leg in parents {
        node = step(node, leg)?;
    }
    match operation {
        Operation::Replace => *step(node, last)? = value?,
        Operation::Insert => insert(node, last, value?)?,
        Operation::Remove => match (node, last) {
            (Node::Array(elements), Leg::Cell(index)) if *index < elements.len() => {
                drop(elements.remove(*index))
            }
            (Node::Object(members), Leg::Member(name)) => {
                let at = members.iter().position(|(key, _)| key.as_ref() == &name[..])?;
                members.remove(at);
            }
            _ => return None,
        },
    }
    Some(())
}

fn step<'n, 'a>(node: &'n mut Node<'a>, leg: &Leg) -> Option<&'n mut Node<'a>> {
    match (node, leg) {
        (Node::Array(elements), Leg::Cell(index)) => elements.get_mut(*index),
        (Node::Object(members), Leg::Member(name)) => {
            members.iter_mut().find(|(key, _)| key.as_ref() == &name[..]).map(|(_, node)| node)
        }
        // A path may take a scalar for an array of one.
        (node, Leg::Cell(0)) => Some(node),
        _ => None,
    }
}

fn insert<'a>(node: &mut Node<'a>, leg: &Leg, value: Node<'a>) -> Option<()> {
    match (node, leg) {
        (Node::Array(elements), Leg::Cell(index)) => elements.insert((*index).min(elements.len()), value),
        (Node::Object(members), Leg::Member(name)) => {
            let order = |key: &[u8]| (key.len(), key.to_vec());
            let at = members.partition_point(|(key, _)| order(key) < order(name));
            match members.get_mut(at) {
                Some((key, node)) if key.as_ref() == &name[..] => *node = value,
                _ => members.insert(at, (Cow::Owned(name.clone()), value)),
            }
        }
        _ => return None,
    }
    Some(())
}

/// A path as the server writes it: `$`, then `.name`, `."quoted name"` and `[index]`.
fn path(text: &[u8]) -> Result<Vec<Leg>, String> {
    let wrong = || format!("JSON changes: the path {} is not known", String::from_utf8_lossy(text));
    let mut rest = text.strip_prefix(b"$").ok_or_else(wrong)?;
    let mut legs = Vec::new();
    while let Some((first, after)) = rest.split_first() {
        let (leg, behind) = match first {
            b'[' => {
                let end = after.iter().position(|byte| *byte == b']').ok_or_else(wrong)?;
                let index = std::str::from_utf8(&after[..end]).ok().and_then(|text| text.trim().parse().ok());
                (Leg::Cell(index.ok_or_else(wrong)?), &after[end + 1..])
            }
            b'.' if after.first() == Some(&b'"') => {
                let end = closing_quote(after).ok_or_else(wrong)?;
                let name: String = serde_json::from_slice(&after[..=end]).map_err(|_| wrong())?;
                (Leg::Member(name.into_bytes()), &after[end + 1..])
            }
            b'.' => {
                let end = after.iter().position(|byte| matches!(byte, b'.' | b'[')).unwrap_or(after.len());
                (Leg::Member(after[..end].to_vec()), &after[end..])
            }
            _ => return Err(wrong()),
        };
        legs.push(leg);
        rest = behind;
        if legs.len() > MAX_DEPTH {
            return Err(wrong());
        }
    }
    Ok(legs)
}

/// Where the quote that `text` begins with is closed.
fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.iter().enumerate().skip(1) {
        match byte {
            b'"' if !escaped => return Some(at),
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let member = |name: &str| Leg::Member(name.as_bytes().to_vec());
        assert_eq!(path(b"$").unwrap(), []);
        assert_eq!(path(b"$.a[12].\"x \\\"y\"").unwrap(), [member("a"), Leg::Cell(12), member("x \"y")]);
        for wrong in ["", "a", "$a", "$[", "$[x]", "$.\"x"] {
            assert!(path(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
