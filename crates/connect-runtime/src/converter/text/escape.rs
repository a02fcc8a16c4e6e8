//! Text as JSON strings, in the three dialects of escaping that our formats have.
//!
//! Most text needs no escaping: it is looked through sixteen bytes at a time (the compiler makes vector instructions of
//! that) and copied whole. Only text that needs it is gone through byte by byte.

use super::number::push_hex4;

/// Which characters are escaped beside `"`, `\` and U+0000 to U+001F.
pub(in crate::converter) trait Dialect: Copy + Send + Sync + 'static {
    /// Whether the byte may start something that is escaped.
    fn suspect(byte: u8) -> bool;

    /// Escapes what starts at a suspect byte which is not ASCII below U+007F. Answers how many bytes of `rest` are
    /// done with; 0 where nothing is to be escaped.
    fn escape_other(_out: &mut Vec<u8>, _rest: &str) -> usize {
        0
    }
}

/// What RFC 8259 demands and no more.
#[derive(Debug, Clone, Copy)]
pub(in crate::converter) struct Plain;

/// As Jackson writes UTF-8: characters beyond U+FFFF as two escaped surrogates.
#[derive(Debug, Clone, Copy)]
pub(in crate::converter) struct Jackson;

/// As the original runtime wrote: U+007F to U+009F, U+2028 and U+2029 as well.
#[derive(Debug, Clone, Copy)]
pub(in crate::converter) struct Original;

#[inline(always)]
fn always_escaped(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

impl Dialect for Plain {
    #[inline(always)]
    fn suspect(byte: u8) -> bool {
        always_escaped(byte)
    }
}

impl Dialect for Jackson {
    #[inline(always)]
    fn suspect(byte: u8) -> bool {
        always_escaped(byte) || byte >= 0xf0
    }

    fn escape_other(out: &mut Vec<u8>, rest: &str) -> usize {
        let Some(character) = rest.chars().next() else { return 0 };
        let mut units = [0; 2];
        for unit in character.encode_utf16(&mut units) {
            push_unicode(out, *unit);
        }
        character.len_utf8()
    }
}

impl Dialect for Original {
    #[inline(always)]
    fn suspect(byte: u8) -> bool {
        always_escaped(byte) || byte == 0x7f || byte == 0xc2 || byte == 0xe2
    }

    fn escape_other(out: &mut Vec<u8>, rest: &str) -> usize {
        match rest.chars().next() {
            Some(character @ ('\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}')) => {
                push_unicode(out, character as u16);
                character.len_utf8()
            }
            _ => 0,
        }
    }
}

/// Appends `text` as a JSON string with its quotes.
#[inline]
pub(in crate::converter) fn push_string<D: Dialect>(out: &mut Vec<u8>, text: &str) {
    if is_clean::<D>(text.as_bytes()) {
        out.reserve(text.len() + 2);
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        out.push(b'"');
        push_escaped::<D>(out, text);
        out.push(b'"');
    }
}

/// Appends what [`push_string`] would, escaped once more for a place inside another JSON string.
#[inline]
pub(in crate::converter) fn push_nested_string<D: Dialect>(
    out: &mut Vec<u8>,
    text: &str,
    scratch: &mut Vec<u8>,
) {
    out.extend_from_slice(b"\\\"");
    if is_clean::<D>(text.as_bytes()) {
        out.extend_from_slice(text.as_bytes());
    } else {
        scratch.clear();
        push_escaped::<D>(scratch, text);
        push_nested(out, scratch);
    }
    out.extend_from_slice(b"\\\"");
}

/// Appends JSON text escaped for a place inside a JSON string. It has no control characters, so quotes and
/// backslashes are all that there is to escape.
pub(in crate::converter) fn push_nested(out: &mut Vec<u8>, json: &[u8]) {
    let mut done = 0;
    for at in memchr::memchr2_iter(b'"', b'\\', json) {
        out.extend_from_slice(&json[done..at]);
        out.push(b'\\');
        done = at;
    }
    out.extend_from_slice(&json[done..]);
}

#[inline]
fn is_clean<D: Dialect>(bytes: &[u8]) -> bool {
    let (chunks, rest) = bytes.as_chunks::<16>();
    for chunk in chunks {
        let mut found = 0;
        for byte in chunk {
            found |= u8::from(D::suspect(*byte));
        }
        if found != 0 {
            return false;
        }
    }
    let mut found = 0;
    for byte in rest {
        found |= u8::from(D::suspect(*byte));
    }
    found == 0
}

fn push_escaped<D: Dialect>(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + bytes.len() / 8 + 2);
    let (mut done, mut at) = (0, 0);
    while at < bytes.len() {
        // a whole clean chunk costs about as much as one byte
        if let Some(chunk) = bytes.get(at..at + 16)
            && !chunk.iter().fold(false, |found, byte| found | D::suspect(*byte))
        {
            at += 16;
            continue;
        }
        let stop = bytes.len().min(at + 16);
        while at < stop {
            let byte = bytes[at];
            if !D::suspect(byte) {
                at += 1;
                continue;
            }
            out.extend_from_slice(&bytes[done..at]);
            let used = match byte {
                b'"' | b'\\' => push_two(out, byte),
                0x08 => push_two(out, b'b'),
                b'\t' => push_two(out, b't'),
                b'\n' => push_two(out, b'n'),
                0x0c => push_two(out, b'f'),
                b'\r' => push_two(out, b'r'),
                0..0x20 => {
                    push_unicode(out, u16::from(byte));
                    1
                }
                _ => text.get(at..).map_or(0, |rest| D::escape_other(out, rest)),
            };
            done = at + used;
            at += used.max(1);
        }
    }
    out.extend_from_slice(&bytes[done..]);
}

#[inline]
fn push_two(out: &mut Vec<u8>, letter: u8) -> usize {
    out.extend_from_slice(&[b'\\', letter]);
    1
}

fn push_unicode(out: &mut Vec<u8>, unit: u16) {
    out.extend_from_slice(b"\\u");
    push_hex4(out, unit);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text<D: Dialect>(input: &str) -> String {
        let mut out = Vec::new();
        push_string::<D>(&mut out, input);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn each_dialect_escapes_what_its_readers_know() {
        assert_eq!(text::<Plain>("a\"\\\n\u{1}\u{7f}\u{2028}😀"), "\"a\\\"\\\\\\n\\u0001\u{7f}\u{2028}😀\"");
        assert_eq!(text::<Jackson>("\u{1f}\u{7f}é\u{2028}😀x"), "\"\\u001F\u{7f}é\u{2028}\\uD83D\\uDE00x\"");
        let raw = "\u{1b}\u{7e}\u{7f}\u{80}\u{9f}\u{a0}©\u{2027}\u{2028}\u{2029}\u{202a}😀/\u{8}\t\n\u{c}\r";
        let wanted =
            "\"\\u001B\u{7e}\\u007F\\u0080\\u009F\u{a0}©\u{2027}\\u2028\\u2029\u{202a}😀/\\b\\t\\n\\f\\r\"";
        assert_eq!(text::<Original>(raw), wanted);
    }

    proptest! {
        #[test]
        fn any_text_comes_back(input in "\\PC{0,40}|[\"\\\\\u{0}-\u{a0}a\u{2028}é😀]{0,80}") {
            for json in [text::<Plain>(&input), text::<Jackson>(&input), text::<Original>(&input)] {
                prop_assert_eq!(&serde_json::from_str::<String>(&json).expect("JSON"), &input);
            }
            let mut nested = vec![b'"'];
            push_nested_string::<Original>(&mut nested, &input, &mut Vec::new());
            nested.push(b'"');
            let once: String = serde_json::from_slice(&nested).expect("JSON");
            prop_assert_eq!(serde_json::from_str::<String>(&once).expect("JSON in JSON"), input);
        }
    }
}
