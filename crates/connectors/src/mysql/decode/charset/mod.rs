//! Text in each character set of the servers, to UTF-8.
//!
//! UTF-8 and ASCII are borrowed after a check. Others are decoded by `encoding_rs` where its tables are the server's, by
//! [`tables`] where they differ or where it has none. What is no character becomes U+FFFD: a row is never lost for it.

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
            "big5" => Self::Foreign(e::BIG5),
            "sjis" | "cp932" => Self::Foreign(e::SHIFT_JIS),
            "ujis" | "eucjpms" => Self::Foreign(e::EUC_JP),
            "euckr" => Self::Foreign(e::EUC_KR),
            "gb2312" | "gbk" => Self::Foreign(e::GBK),
            "gb18030" => Self::Foreign(e::GB18030),
            _ => Self::SingleByte(tables::single_byte(name)?),
        })
    }

    /// The text. Borrowed where the bytes are UTF-8 (or ASCII in a set that contains it).
    #[inline]
    pub fn decode<'a>(&self, bytes: &'a [u8]) -> Cow<'a, str> {
        match self {
            Self::Utf8 => match std::str::from_utf8(bytes) {
                Ok(text) => Cow::Borrowed(text),
                Err(_) => String::from_utf8_lossy(bytes),
            },
            Self::SingleByte(table) => match ascii(bytes) {
                Some(text) => Cow::Borrowed(text),
                None => Cow::Owned(bytes.iter().map(|byte| single(*byte, table)).collect()),
            },
            Self::National(replaced) => {
                Cow::Owned(bytes.iter().map(|byte| national(*byte, replaced)).collect())
            }
            Self::Foreign(encoding) => encoding.decode_without_bom_handling(bytes).0,
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

fn single(byte: u8, table: &[char; 128]) -> char {
    match byte.checked_sub(128) {
        None => char::from(byte),
        Some(high) => table[usize::from(high)],
    }
}

fn national(byte: u8, replaced: &[(u8, char)]) -> char {
    match replaced.iter().find(|(from, _)| *from == byte) {
        Some((_, to)) => *to,
        None if byte < 128 => char::from(byte),
        None => char::REPLACEMENT_CHARACTER,
    }
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
