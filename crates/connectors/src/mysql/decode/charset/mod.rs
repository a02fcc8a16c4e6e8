//! Text in each character set of the servers, to UTF-8.
//!
//! UTF-8 and ASCII are borrowed after a check. Others are decoded by `encoding_rs` where its tables are the server's,
//! by [`tables`] where they differ or where it has none. What is no character becomes U+FFFD: a row is never lost for
//! it.

mod tables;

use std::borrow::Cow;

use encoding_rs::Encoding;

/// How text is encoded.
#[derive(Debug, Clone, Copy)]
pub(super) enum Charset {
    Utf8,
    /// Below 0x80 as ASCII; above, the characters of the table.
    SingleByte(&'static [char; 128]),
    /// As [`SingleByte`](Self::SingleByte), but some characters of ASCII are replaced.
    National(&'static [(u8, char)]),
    Foreign(&'static Encoding),
    /// As [`Foreign`](Self::Foreign), but for some characters.
    Patched {
        encoding: &'static Encoding,
        length: Length,
        patches: &'static [tables::Patch],
    },
    Utf16 {
        big_endian: bool,
    },
    Utf32,
}

impl Charset {
    /// By the server's name of it.
    pub fn named(name: &str) -> Option<Self> {
        use encoding_rs as e;
        Some(match name {
            "utf8mb4" | "utf8mb3" | "utf8" | "ascii" | "binary" => Self::Utf8,
            "ucs2" | "utf16" => Self::Utf16 { big_endian: true },
            "utf16le" => Self::Utf16 { big_endian: false },
            "utf32" => Self::Utf32,
            "swe7" => Self::National(&tables::SWE7),
            "cp932" => Self::Foreign(e::SHIFT_JIS),
            "euckr" => Self::Foreign(e::EUC_KR),
            "gbk" => Self::Foreign(e::GBK),
            "big5" => patched(e::BIG5, two_bytes, &tables::BIG5),
            "gb2312" => patched(e::GBK, two_bytes, &tables::GB2312),
            "gb18030" => patched(e::GB18030, gb18030, &tables::GB18030),
            "sjis" => patched(e::SHIFT_JIS, shift_jis, &tables::SJIS),
            "ujis" => patched(e::EUC_JP, euc_jp, &tables::UJIS),
            "eucjpms" => patched(e::EUC_JP, euc_jp, &tables::EUCJPMS),
            _ => Self::SingleByte(tables::single_byte(name)?),
        })
    }

    /// The text: the bytes themselves where they are UTF-8 (or ASCII in a set that contains it), else in `scratch`.
    #[inline]
    pub fn decode_in<'a>(&self, bytes: &'a [u8], scratch: &'a mut String) -> &'a str {
        match self {
            Self::Utf8 => {
                if let Ok(text) = std::str::from_utf8(bytes) {
                    return text;
                }
            }
            Self::SingleByte(table) => {
                return match ascii(bytes) {
                    Some(text) => text,
                    None => single_bytes(bytes, table, scratch),
                };
            }
            _ => {}
        }
        scratch.clear();
        scratch.push_str(&self.decode(bytes));
        scratch
    }

    /// The text. Borrowed where the bytes are UTF-8 (or ASCII in a set that contains it).
    pub fn decode<'a>(&self, bytes: &'a [u8]) -> Cow<'a, str> {
        match self {
            Self::Utf8 => match std::str::from_utf8(bytes) {
                Ok(text) => Cow::Borrowed(text),
                Err(_) => String::from_utf8_lossy(bytes),
            },
            Self::SingleByte(table) => match ascii(bytes) {
                Some(text) => Cow::Borrowed(text),
                None => {
                    let mut text = String::new();
                    single_bytes(bytes, table, &mut text);
                    Cow::Owned(text)
                }
            },
            Self::National(replaced) => {
                Cow::Owned(bytes.iter().map(|byte| national(*byte, replaced)).collect())
            }
            Self::Foreign(encoding) => encoding.decode_without_bom_handling(bytes).0,
            Self::Patched { encoding, length, patches } => match ascii(bytes) {
                Some(text) => Cow::Borrowed(text),
                None => Cow::Owned(decode_patched(bytes, encoding, *length, patches)),
            },
            Self::Utf16 { big_endian } => Cow::Owned(utf16(bytes, *big_endian)),
            Self::Utf32 => Cow::Owned(utf32(bytes)),
        }
    }
}

/// Text in a character set by its MySQL name. A set that is not known is read as UTF-8.
pub fn decode_text<'a>(charset: &str, bytes: &'a [u8]) -> Cow<'a, str> {
    Charset::named(charset).unwrap_or(Charset::Utf8).decode(bytes)
}

/// Whether text in that character set can be read.
pub fn is_known_charset(name: &str) -> bool {
    Charset::named(name).is_some()
}

fn ascii(bytes: &[u8]) -> Option<&str> {
    if bytes.is_ascii() { std::str::from_utf8(bytes).ok() } else { None }
}

/// Copies runs of ASCII and looks up what is between them.
fn single_bytes<'a>(bytes: &[u8], table: &[char; 128], text: &'a mut String) -> &'a str {
    text.clear();
    text.reserve(bytes.len() + bytes.len() / 4);
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        match first.checked_sub(128) {
            Some(high) => {
                text.push(table[usize::from(high)]);
                rest = after;
            }
            None => {
                let run = rest.iter().position(|byte| *byte >= 128).unwrap_or(rest.len());
                let (plain, behind) = rest.split_at(run);
                text.push_str(std::str::from_utf8(plain).unwrap_or_default());
                rest = behind;
            }
        }
    }
    text
}

fn national(byte: u8, replaced: &[(u8, char)]) -> char {
    match replaced.iter().find(|(from, _)| *from == byte) {
        Some((_, to)) => *to,
        None if byte < 128 => char::from(byte),
        None => char::REPLACEMENT_CHARACTER,
    }
}

/// How many bytes a character takes, by its first two.
type Length = fn(u8, u8) -> usize;

fn patched(encoding: &'static Encoding, length: Length, patches: &'static [tables::Patch]) -> Charset {
    Charset::Patched { encoding, length, patches }
}

fn two_bytes(first: u8, _: u8) -> usize {
    if first < 0x80 { 1 } else { 2 }
}

fn gb18030(first: u8, second: u8) -> usize {
    match (first, second) {
        (0..0x80, _) => 1,
        (_, b'0'..=b'9') => 4,
        _ => 2,
    }
}

fn shift_jis(first: u8, _: u8) -> usize {
    if matches!(first, 0x81..=0x9f | 0xe0..=0xfc) { 2 } else { 1 }
}

fn euc_jp(first: u8, _: u8) -> usize {
    match first {
        0x8f => 3,
        0x8e | 0xa1.. => 2,
        _ => 1,
    }
}

/// Decodes as far as there is nothing to patch, then the patched character, and so on.
fn decode_patched(
    bytes: &[u8],
    encoding: &'static Encoding,
    length: Length,
    patches: &[tables::Patch],
) -> String {
    let mut text = String::with_capacity(bytes.len() * 3 / 2);
    let (mut plain, mut at) = (0, 0);
    while at < bytes.len() {
        let end = bytes.len().min(at + length(bytes[at], bytes.get(at + 1).copied().unwrap_or(0)));
        let code = bytes[at..end].iter().fold(0, |code, byte| code << 8 | u32::from(*byte));
        if let Some(character) = patch(code, patches) {
            text.push_str(&encoding.decode_without_bom_handling(&bytes[plain..at]).0);
            text.push(character);
            plain = end;
        }
        at = end;
    }
    text.push_str(&encoding.decode_without_bom_handling(&bytes[plain..]).0);
    text
}

fn patch(code: u32, patches: &[tables::Patch]) -> Option<char> {
    let (first, last, character) = patches.get(patches.partition_point(|(_, last, _)| *last < code))?;
    (*first..=*last).contains(&code).then(|| char::from_u32(character + (code - first)))?
}

fn utf16(bytes: &[u8], big_endian: bool) -> String {
    let (units, rest) = bytes.as_chunks::<2>();
    let units = units
        .iter()
        .map(|unit| if big_endian { u16::from_be_bytes(*unit) } else { u16::from_le_bytes(*unit) });
    let mut text: String =
        char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    if !rest.is_empty() {
        text.push(char::REPLACEMENT_CHARACTER);
    }
    text
}

fn utf32(bytes: &[u8]) -> String {
    let (units, rest) = bytes.as_chunks::<4>();
    let character =
        |unit: &[u8; 4]| char::from_u32(u32::from_be_bytes(*unit)).unwrap_or(char::REPLACEMENT_CHARACTER);
    let mut text: String = units.iter().map(character).collect();
    if !rest.is_empty() {
        text.push(char::REPLACEMENT_CHARACTER);
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [&str; 43] = [
        "armscii8", "ascii", "big5", "binary", "cp1250", "cp1251", "cp1256", "cp1257", "cp850", "cp852",
        "cp866", "cp932", "dec8", "eucjpms", "euckr", "gb18030", "gb2312", "gbk", "geostd8", "greek",
        "hebrew", "hp8", "keybcs2", "koi8r", "koi8u", "latin1", "latin2", "latin5", "latin7", "macce",
        "macroman", "sjis", "swe7", "tis620", "ucs2", "ujis", "utf16", "utf16le", "utf32", "utf8", "utf8mb3",
        "utf8mb4", "binary",
    ];

    #[test]
    fn every_character_set_of_the_servers_is_known() {
        for name in ALL {
            assert!(is_known_charset(name), "{name}");
        }
        assert!(!is_known_charset("klingon"));
    }

    #[test]
    fn text_in_each_family() {
        for (charset, bytes, text) in [
            ("latin1", &b"\xe9\x80\x81"[..], "é€\u{81}"),
            ("cp850", b"\x82", "é"),
            ("koi8r", b"\xf0\xf2", "ПР"),
            ("swe7", b"\x5b\x7b", "Ää"),
            ("gbk", b"\xc4\xe3", "你"),
            ("sjis", b"a\x81\x5f\x82\xa0", "a\\あ"),
            ("cp932", b"\x81\x5f", "＼"),
            ("ujis", b"\xa4\xa2\xf5\xa1", "あ\u{e000}"),
            ("eucjpms", b"\x8f\xf3\xf3", "ⅰ"),
            ("big5", b"\xa7\x41\xc6\xa1", "你ヾ"),
            ("gb18030", b"\x81\x30\x81\x30", "\u{80}"),
            ("ucs2", b"\0a\x4f\x60", "a你"),
            ("utf16le", b"\x3d\xd8\0\xde", "😀"),
            ("utf32", b"\0\x01\xf6\0", "😀"),
            ("utf8mb4", "😀".as_bytes(), "😀"),
        ] {
            assert_eq!(decode_text(charset, bytes), text, "{charset}");
        }
    }

    #[test]
    fn what_is_no_character_is_replaced() {
        for (charset, bytes) in [
            ("utf8mb4", &b"a\xff"[..]),
            ("utf16", b"\0a\xd8\0"),
            ("ucs2", b"\0a\0"),
            ("utf32", b"\0\0\0a\xff\0\0\0"),
            ("gbk", b"a\xff"),
            ("greek", b"a\xff"),
            ("ujis", b"a\x8f"),
        ] {
            assert_eq!(decode_text(charset, bytes), "a\u{fffd}", "{charset}");
        }
    }

    #[test]
    fn ascii_and_utf8_are_borrowed() {
        for charset in ["utf8mb4", "latin1", "gbk", "sjis"] {
            assert!(matches!(decode_text(charset, b"plain"), Cow::Borrowed("plain")), "{charset}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_text(bytes in proptest::collection::vec(any::<u8>(), 0..40), index in 0..ALL.len()) {
            decode_text(ALL[index], &bytes);
        }
    }
}
