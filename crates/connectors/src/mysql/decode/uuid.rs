//! UUIDs and network addresses as text.

use std::fmt::Write;

/// The canonical 36 characters.
pub(crate) fn uuid_text(bytes: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        let hyphen = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
        let _ = write!(text, "{hyphen}{byte:02x}");
    }
    text
}

/// MariaDB's UUID column: 16 bytes in the order of the text, of which the log leaves trailing zeros away. (Tables
/// made before 10.10.6 and 10.11.5 and not rebuilt since may keep another order, which the log does not tell.)
pub(super) fn mariadb_uuid_text(stored: &[u8]) -> Option<String> {
    Some(uuid_text(&padded(stored, 16)?))
}

/// MariaDB's INET4 and INET6 columns, of 4 and 16 bytes. The log leaves trailing zeros away.
pub(super) fn inet_text(stored: &[u8], width: u8) -> Option<String> {
    let bytes = padded(stored, usize::from(width))?;
    match width {
        4 => Some(inet4_text(&bytes[..4])),
        _ => Some(inet6_text(&bytes)),
    }
}

fn padded(stored: &[u8], width: usize) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    if stored.len() > width {
        return None;
    }
    bytes.get_mut(..stored.len())?.copy_from_slice(stored);
    Some(bytes)
}

fn inet4_text(bytes: &[u8]) -> String {
    let parts: Vec<String> = bytes.iter().map(u8::to_string).collect();
    parts.join(".")
}

/// As the server prints it (`Inet6::to_string` of `plugin/type_inet`), which differs from RFC 5952: the first of the
/// longest runs of zeros is shortened even if it is a single one, and an address that embeds an IPv4 address shows
/// it.
fn inet6_text(bytes: &[u8; 16]) -> String {
    let (pairs, _) = bytes.as_chunks::<2>();
    let words: Vec<u16> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
    let (gap, length) = longest_run_of_zeros(&words);
    let mut text = String::with_capacity(40);
    let mut at = 0;
    while at < 8 {
        let embeds_inet4 = gap == 0 && (length == 6 || (length == 5 && words[5] == 0xffff));
        if length > 0 && at == gap {
            text.push_str(if at == 0 { "::" } else { ":" });
            at += length;
        } else if at == 6 && embeds_inet4 {
            text.push_str(&inet4_text(&bytes[12..]));
            break;
        } else {
            let colon = if at < 7 { ":" } else { "" };
            let _ = write!(text, "{:x}{colon}", words[at]);
            at += 1;
        }
    }
    text
}

/// Where it begins, and how many there are; the first of the longest.
fn longest_run_of_zeros(words: &[u16]) -> (usize, usize) {
    let mut longest = (0, 0);
    for start in 0..words.len() {
        let length = words[start..].iter().take_while(|word| **word == 0).count();
        if length > longest.1 {
            longest = (start, length);
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_hyphenated_and_padded() {
        assert_eq!(uuid_text(&[0x12; 16]), "12121212-1212-1212-1212-121212121212");
        assert_eq!(mariadb_uuid_text(&[1]).unwrap(), "01000000-0000-0000-0000-000000000000");
        assert!(mariadb_uuid_text(&[0; 17]).is_none());
    }

    #[test]
    fn addresses_as_mariadb_prints_them() {
        assert_eq!(inet_text(&[10], 4).unwrap(), "10.0.0.0");
        assert_eq!(inet_text(&[], 16).unwrap(), "::");
        assert_eq!(inet_text(&[0x20, 1, 0xd, 0xb8], 16).unwrap(), "2001:db8::");
        let mut mapped = [0; 16];
        mapped[10..].copy_from_slice(&[255, 255, 1, 2, 3, 4]);
        assert_eq!(inet_text(&mapped, 16).unwrap(), "::ffff:1.2.3.4");
        assert!(inet_text(&[1; 5], 4).is_none());
    }
}
