//! Text as JSON strings, in the three dialects of escaping that our formats have.
//!
//! Most text needs no escaping: it is looked through sixteen bytes at a time (the compiler makes vector instructions of
//! that) and copied whole. Text that needs it goes eight bytes at a time.

use super::number::push_hex4;

/// Which characters are escaped beside `"`, `\` and U+0000 to U+001F.
pub(in crate::converter) trait Dialect: Copy + Send + Sync + 'static {
    /// Whether the byte may start something that is escaped.
    fn suspect(byte: u8) -> bool;

    /// The same for eight bytes at once: the top bit of each suspect byte.
    fn suspects(word: u64) -> u64;

    /// Escapes a character that begins with a suspect byte and is not ASCII below U+007F. Answers how many bytes are
    /// done with; 0 where nothing is to be escaped.
    fn escape_other(_out: &mut Vec<u8>, _character: char) -> usize {
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

/// Text that is JSON already: it has no control characters.
#[derive(Debug, Clone, Copy)]
struct Json;

impl Dialect for Json {
    #[inline(always)]
    fn suspect(byte: u8) -> bool {
        (byte == b'"') | (byte == b'\\')
    }

    #[inline(always)]
    fn suspects(word: u64) -> u64 {
        (equal(word, b'"') | equal(word, b'\\')) & TOPS
    }
}

#[inline(always)]
fn always_escaped(byte: u8) -> bool {
    // `|`, not `||`: a branch would keep the compiler from comparing many bytes at once
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

const ONES: u64 = 0x0101_0101_0101_0101;
const TOPS: u64 = 0x8080_8080_8080_8080;

/// The lower seven bits of each byte, and how far they are above `byte`, in the top bit.
#[inline(always)]
fn at_least(word: u64, byte: u8) -> u64 {
    (word & !TOPS) + ONES * (0x80 - u64::from(byte))
}

/// Marks the bytes that are `byte`, in their top bits, and no others.
#[inline(always)]
fn equal(word: u64, byte: u8) -> u64 {
    let other = word ^ (ONES * u64::from(byte));
    !(at_least(other, 1) | other)
}

#[inline(always)]
fn always_escaped_of(word: u64) -> u64 {
    !(at_least(word, 0x20) | word) | equal(word, b'"') | equal(word, b'\\')
}

impl Dialect for Plain {
    #[inline(always)]
    fn suspect(byte: u8) -> bool {
        always_escaped(byte)
    }

    #[inline(always)]
    fn suspects(word: u64) -> u64 {
        always_escaped_of(word) & TOPS
    }
}

impl Dialect for Jackson {
    #[inline(always)]
    fn suspect(byte: u8) -> bool {
        always_escaped(byte) | (byte >= 0xf0)
    }

    #[inline(always)]
    fn suspects(word: u64) -> u64 {
        let long = word & (word << 1) & (word << 2) & (word << 3);
        (always_escaped_of(word) | long) & TOPS
    }

    fn escape_other(out: &mut Vec<u8>, character: char) -> usize {
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
        always_escaped(byte) | (byte == 0x7f) | (byte == 0xc2) | (byte == 0xe2)
    }

    #[inline(always)]
    fn suspects(word: u64) -> u64 {
        let others = equal(word, 0x7f) | equal(word, 0xc2) | equal(word, 0xe2);
        (always_escaped_of(word) | others) & TOPS
    }

    fn escape_other(out: &mut Vec<u8>, character: char) -> usize {
        match character {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => {
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
    out.push(b'"');
    if is_clean::<D>(text.as_bytes()) {
        push_copy(out, text.as_bytes());
    } else {
        push_escaped::<D>(out, text.as_bytes());
    }
    out.push(b'"');
}

/// Appends bytes; up to sixteen of them without a call.
#[inline]
pub(in crate::converter) fn push_copy(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = bytes.len();
    if length <= 16 {
        if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
            out.extend_from_slice(first);
            out.truncate(out.len() + length - 16);
            return out.extend_from_slice(last);
        }
        if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
            out.extend_from_slice(first);
            out.truncate(out.len() + length - 8);
            return out.extend_from_slice(last);
        }
    }
    out.extend_from_slice(bytes);
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
        push_copy(out, text.as_bytes());
    } else {
        scratch.clear();
        push_escaped::<D>(scratch, text.as_bytes());
        push_nested(out, scratch);
    }
    out.extend_from_slice(b"\\\"");
}

/// Appends JSON text escaped for a place inside a JSON string. It has no control characters, so quotes and
/// backslashes are all that there is to escape.
pub(in crate::converter) fn push_nested(out: &mut Vec<u8>, json: &[u8]) {
    push_escaped::<Json>(out, json);
}

#[inline]
fn is_clean<D: Dialect>(bytes: &[u8]) -> bool {
    if let Some(last) = bytes.last_chunk::<16>() {
        return bytes.as_chunks::<16>().0.iter().all(is_clean_chunk::<D>) && is_clean_chunk::<D>(last);
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return D::suspects(u64::from_le_bytes(*first)) | D::suspects(u64::from_le_bytes(*last)) == 0;
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        return D::suspects(u64::from(first) | u64::from(last) << 32) == 0;
    }
    !bytes.iter().any(|byte| D::suspect(*byte))
}

#[inline(always)]
fn is_clean_chunk<D: Dialect>(chunk: &[u8; 16]) -> bool {
    let mut found = 0;
    for byte in chunk {
        found |= u8::from(D::suspect(*byte));
    }
    found == 0
}

/// Eight bytes at a time are copied before it is known how many of them count, which is cheaper than many short copies.
fn push_escaped<D: Dialect>(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len() + bytes.len() / 4 + 16);
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let mut word = u64::from_le_bytes(*chunk);
        let mut found = D::suspects(word);
        let mut left = 8;
        while found != 0 {
            let clean = (found.trailing_zeros() / 8) as usize;
            out.extend_from_slice(&word.to_le_bytes());
            out.truncate(out.len() + clean - 8);
            let used = push_suspect::<D>(out, bytes, at + 8 - left + clean);
            if clean + used >= left {
                // what was escaped may reach beyond these eight bytes
                at += clean + used - left;
                left = 0;
                break;
            }
            left -= clean + used;
            word >>= 8 * (clean + used);
            found >>= 8 * (clean + used);
        }
        out.extend_from_slice(&word.to_le_bytes());
        out.truncate(out.len() + left - 8);
        at += 8;
    }
    while let Some(byte) = bytes.get(at) {
        if D::suspect(*byte) {
            at += push_suspect::<D>(out, bytes, at);
        } else {
            out.push(*byte);
            at += 1;
        }
    }
}

/// What a suspect byte becomes; answers how many bytes are done with.
#[inline]
fn push_suspect<D: Dialect>(out: &mut Vec<u8>, bytes: &[u8], at: usize) -> usize {
    let byte = bytes[at];
    match byte {
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
        _ => match character(bytes, at).map_or(0, |character| D::escape_other(out, character)) {
            0 => {
                out.push(byte);
                1
            }
            used => used,
        },
    }
}

/// The character that begins there, in text that is UTF-8.
fn character(bytes: &[u8], at: usize) -> Option<char> {
    let length = match bytes.get(at)? {
        0..0x80 => 1,
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        _ => 4,
    };
    std::str::from_utf8(bytes.get(at..at + length)?).ok()?.chars().next()
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

    fn finds_all<D: Dialect>(bytes: [u8; 8]) {
        let marks = bytes.map(|byte| if D::suspect(byte) { 0x80 } else { 0 });
        assert_eq!(D::suspects(u64::from_le_bytes(bytes)).to_le_bytes(), marks, "{bytes:?}");
    }

    proptest! {
        #[test]
        fn eight_bytes_are_as_one(bytes: [u8; 8], near in prop::array::uniform8(0x1e_u8..0x24), edge in 0x7d_u8..0x82) {
            for word in [bytes, near, bytes.map(|byte| byte % 3 + 0xc1), bytes.map(|byte| edge.wrapping_add(byte % 2))] {
                finds_all::<Plain>(word);
                finds_all::<Jackson>(word);
                finds_all::<Original>(word);
            }
        }

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
