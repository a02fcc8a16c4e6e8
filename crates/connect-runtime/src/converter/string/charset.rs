//! Character sets by the names that Java knows. What has no character in the set is replaced, as Java does: by U+FFFD on
//! the way in, by `?` on the way out.

use std::borrow::Cow;

use encoding_rs::{EncoderResult, Encoding};

#[derive(Debug, Clone, Copy)]
pub(super) enum Charset {
    Utf8,
    Ascii,
    /// Java's, which is the first 256 characters of Unicode; the WHATWG means windows-1252 by that name.
    Latin1,
    /// Written big-endian with a byte order mark, read as its mark says.
    Utf16,
    Utf16Be,
    Utf16Le,
    Other(&'static Encoding),
}

impl Charset {
    /// The character set of that name, whatever its case.
    pub fn of(name: &str) -> Option<Self> {
        Some(match name.trim().to_ascii_lowercase().replace('_', "-").as_str() {
            "utf-8" | "utf8" => Charset::Utf8,
            "us-ascii" | "ascii" | "iso646-us" => Charset::Ascii,
            "iso-8859-1" | "iso8859-1" | "latin1" | "l1" => Charset::Latin1,
            "utf-16" | "utf16" => Charset::Utf16,
            "utf-16be" => Charset::Utf16Be,
            "utf-16le" => Charset::Utf16Le,
            _ => Charset::Other(Encoding::for_label_no_replacement(name.trim().as_bytes())?),
        })
    }

    pub fn decode(self, bytes: &[u8]) -> Cow<'_, str> {
        match self {
            Charset::Utf8 => String::from_utf8_lossy(bytes),
            Charset::Ascii => {
                single(bytes, |byte| if byte.is_ascii() { char::from(byte) } else { '\u{fffd}' })
            }
            Charset::Latin1 => single(bytes, char::from),
            Charset::Utf16 => match bytes {
                [0xff, 0xfe, rest @ ..] => encoding_rs::UTF_16LE.decode_without_bom_handling(rest).0,
                [0xfe, 0xff, rest @ ..] => encoding_rs::UTF_16BE.decode_without_bom_handling(rest).0,
                _ => encoding_rs::UTF_16BE.decode_without_bom_handling(bytes).0,
            },
            Charset::Utf16Be => encoding_rs::UTF_16BE.decode_without_bom_handling(bytes).0,
            Charset::Utf16Le => encoding_rs::UTF_16LE.decode_without_bom_handling(bytes).0,
            Charset::Other(encoding) => encoding.decode_without_bom_handling(bytes).0,
        }
    }

    /// The bytes of a text; not for UTF-8, whose bytes are there already.
    pub fn encode(self, text: &str, out: &mut Vec<u8>) {
        match self {
            Charset::Utf8 => out.extend_from_slice(text.as_bytes()),
            Charset::Ascii => out.extend(text.chars().map(|c| if c.is_ascii() { c as u8 } else { b'?' })),
            Charset::Latin1 => out.extend(text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?'))),
            Charset::Utf16 => {
                out.extend_from_slice(&[0xfe, 0xff]);
                out.extend(text.encode_utf16().flat_map(u16::to_be_bytes));
            }
            Charset::Utf16Be => out.extend(text.encode_utf16().flat_map(u16::to_be_bytes)),
            Charset::Utf16Le => out.extend(text.encode_utf16().flat_map(u16::to_le_bytes)),
            Charset::Other(encoding) => encode_other(encoding, text, out),
        }
    }
}

fn single(bytes: &[u8], character: impl Fn(u8) -> char) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => Cow::Borrowed(text),
        _ => Cow::Owned(bytes.iter().map(|byte| character(*byte)).collect()),
    }
}

fn encode_other(encoding: &'static Encoding, mut text: &str, out: &mut Vec<u8>) {
    let mut encoder = encoding.new_encoder();
    loop {
        out.reserve(
            encoder.max_buffer_length_from_utf8_without_replacement(text.len()).unwrap_or(text.len()) + 4,
        );
        let (result, read) = encoder.encode_from_utf8_to_vec_without_replacement(text, out, true);
        text = text.get(read..).unwrap_or_default();
        match result {
            EncoderResult::InputEmpty => return,
            EncoderResult::OutputFull => {}
            EncoderResult::Unmappable(_) => out.push(b'?'),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(name: &str, text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        Charset::of(name).expect("known").encode(text, &mut out);
        out
    }

    #[test]
    fn texts_go_through_each_charset() {
        let cases: [(&str, &str, &[u8]); 8] = [
            ("UTF-8", "é€", &[0xc3, 0xa9, 0xe2, 0x82, 0xac]),
            ("US-ASCII", "aé", b"a?"),
            ("ISO-8859-1", "é\u{80}€", &[0xe9, 0x80, b'?']),
            ("windows-1252", "é€日", &[0xe9, 0x80, b'?']),
            ("utf-16", "aé", &[0xfe, 0xff, 0, b'a', 0, 0xe9]),
            ("UTF-16LE", "a😀", &[b'a', 0, 0x3d, 0xd8, 0, 0xde]),
            ("GBK", "中a", &[0xd6, 0xd0, b'a']),
            ("Shift_JIS", "日本", &[0x93, 0xfa, 0x96, 0x7b]),
        ];
        for (name, text, bytes) in cases {
            assert_eq!(encoded(name, text), bytes, "{name}");
            let back = Charset::of(name).expect("known").decode(bytes);
            if !bytes.contains(&b'?') {
                assert_eq!(back, text, "{name}");
            }
        }
        assert!(Charset::of("klingon").is_none());
        assert_eq!(Charset::of("UTF-8").expect("known").decode(b"a\xff\xfeb"), "a\u{fffd}\u{fffd}b");
        assert_eq!(Charset::of("ascii").expect("known").decode(b"a\x80"), "a\u{fffd}");
    }
}
