//! UUIDs and network addresses as text.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The canonical 36 characters.
pub(crate) fn uuid_text(bytes: &[u8; 16]) -> String {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push(char::from(HEX[usize::from(byte >> 4)]));
        text.push(char::from(HEX[usize::from(byte & 15)]));
    }
    text
}

/// MariaDB's UUID column. The binlog has its bytes as the table stores them, without trailing zeros.
///
/// MariaDB stores UUIDs that are not already ordered by time with their parts turned round, so that the index is: the
/// node first, the lowest part of the time last. Since 10.10.6 and 10.11.5 it does so where, and only where, version and variant
/// say that it is a UUID of version 1 to 5 (`Segment swapping` of `plugin/type_uuid/sql_type_uuid.h`).
pub(super) fn mariadb_uuid_text(stored: &[u8]) -> String {
    let mut bytes = [0; 16];
    let length = stored.len().min(16);
    bytes[..length].copy_from_slice(&stored[..length]);
    uuid_text(&unswapped(bytes))
}

fn unswapped(stored: [u8; 16]) -> [u8; 16] {
    let s = stored;
    let swapped = [
        s[12], s[13], s[14], s[15], s[10], s[11], s[8], s[9], s[6], s[7], s[0], s[1], s[2], s[3], s[4], s[5],
    ];
    // A stored UUID that is not turned round has its variant at byte 8 and a version of 6 and more at byte 6.
    let straight = s[8] & 0x80 != 0 && s[6] & 0xf0 > 0x50;
    if straight { stored } else { swapped }
}

/// MariaDB's INET4 and INET6 columns. The binlog has them without trailing zeros, so the column's width decides.
pub(super) fn inet_text(bytes: &[u8]) -> Option<String> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(v4).to_string());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|v6| Ipv6Addr::from(v6).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_hyphenated() {
        assert_eq!(uuid_text(&[0x12; 16]), "12121212-1212-1212-1212-121212121212");
    }
}
