//! Java properties files.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use java_properties::{LineContent, PropertiesIter};

use crate::failure::{Failure, Result};

/// The largest file that is read, in bytes.
const MAX: u64 = 1 << 20;

/// One `key=value` of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    pub key: String,
    pub value: String,
    /// Counted from 1. Where a value goes over several lines, one of them.
    pub line: usize,
}

/// Reads a properties file, in UTF-8 (`\u00e9` escapes are understood as well). Where a key is there twice the last one
/// counts, as in Java.
///
/// # Errors
/// `config.file`: it cannot be read; `config.syntax`: a line is not in the form of a properties file.
pub fn read(path: &Path) -> Result<Vec<Property>> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| {
        Failure::new("config.file", format!("cannot read {shown}: {error}"))
            .with_remedy("check the name behind -c, and that this user may read the file")
    };
    let mut bytes = Vec::new();
    let mut file = File::open(path).map_err(unreadable)?.take(MAX + 1);
    file.read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX {
        return Err(Failure::new("config.file", format!("{shown} is larger than 1 MiB"))
            .with_remedy("this is not a properties file: check the name behind -c"));
    }
    parse(&bytes).map_err(|(line, problem)| {
        let place = line.map(|line| format!(", line {line}")).unwrap_or_default();
        Failure::new("config.syntax", format!("{shown}{place}: {problem}"))
            .with_remedy("write one KEY=VALUE a line; # starts a comment, and \\ is written \\\\")
    })
}

fn parse(bytes: &[u8]) -> std::result::Result<Vec<Property>, (Option<usize>, String)> {
    if let Err(error) = std::str::from_utf8(bytes) {
        let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        return Err((Some(line), "this is not UTF-8".to_owned()));
    }
    let mut found: Vec<Property> = Vec::new();
    for line in PropertiesIter::new_with_encoding(bytes, encoding_rs::UTF_8) {
        let line = line.map_err(|error| (error.line_number(), error.to_string()))?;
        let number = line.line_number();
        if let LineContent::KVPair(key, value) = line.consume_content() {
            found.retain(|known| known.key != key);
            found.push(Property { key, value, line: number });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_java_is_read_and_the_last_value_counts() {
        let text = "# c\n! c\nworkerId = W\nhttpPort:1\n\nurl=a\\\n   b\nhttpPort 2\nu=\\u00e9\u{e9}\n";
        let found = parse(text.as_bytes()).expect("well formed");
        let pairs: Vec<_> = found.iter().map(|p| (p.key.as_str(), p.value.as_str())).collect();
        assert_eq!(pairs, [("workerId", "W"), ("url", "ab"), ("httpPort", "2"), ("u", "\u{e9}\u{e9}")]);
        assert_eq!(found[2].line, 8);
    }

    #[test]
    fn what_is_wrong_is_placed() {
        assert_eq!(parse(b"a=1\nb=\xff\n"), Err((Some(2), "this is not UTF-8".to_owned())));
        let (line, problem) = parse(b"a=1\nb=\\u12\n").expect_err("a bad escape");
        assert_eq!(line, Some(2), "{problem}");
    }
}
