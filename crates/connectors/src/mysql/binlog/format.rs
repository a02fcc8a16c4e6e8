//! The format description event: how the events after it are laid out.

use openmessaging_connector::Result;

use super::Cursor;

/// How the events of one binlog file are laid out. The first real event of every file is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatDescription {
    /// `9.7.4`, `10.11.18-MariaDB-log`.
    pub server_version: String,
    pub is_mariadb: bool,
    /// Whether every event ends in the CRC32 of its bytes.
    pub checksum: bool,
    /// Length of the post-header of each event type, from type 1 on.
    post_headers: Vec<u8>,
}

impl FormatDescription {
    /// What holds before the first format description has come: no checksum.
    pub fn initial() -> Self {
        Self { server_version: String::new(), is_mariadb: false, checksum: false, post_headers: Vec::new() }
    }

    /// For the events inside a transaction payload, which carry no checksum of their own.
    pub fn inside_payload(&self) -> Self {
        Self { checksum: false, ..self.clone() }
    }

    /// The post-header's length of an event type, where this format knows the type.
    pub(crate) fn post_header(&self, event_type: u8) -> Option<u8> {
        self.post_headers.get(usize::from(event_type).checked_sub(1)?).copied()
    }

    /// Parses the event's body; the caller has verified and cut its checksum by [`checksum_tail`].
    pub(super) fn parse(body: &[u8]) -> Result<Self> {
        let mut cursor = Cursor::new(body, "format description event");
        let version = cursor.u16()?;
        if version != 4 {
            return Err(cursor.wrong(format_args!("binlog version {version} is not 4")));
        }
        let server_version = version_text(cursor.take(50)?);
        cursor.u32()?;
        let header_length = cursor.u8()?;
        if header_length != 19 {
            return Err(cursor.wrong(format_args!("a common header of {header_length} bytes is not 19")));
        }
        let mut post_headers = cursor.rest();
        let mut checksum = false;
        if has_algorithm_byte(&server_version) {
            let Some((algorithm, lengths)) = post_headers.split_last() else { return Err(cursor.short()) };
            checksum = match algorithm {
                0 | 255 => false,
                1 => true,
                other => return Err(cursor.wrong(format_args!("unknown checksum algorithm {other}"))),
            };
            post_headers = lengths;
        }
        Ok(Self {
            is_mariadb: server_version.contains("MariaDB"),
            server_version,
            checksum,
            post_headers: post_headers.to_vec(),
        })
    }
}

fn version_text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

/// How many bytes at the end of a format description event are its checksum: servers that know checksums always put
/// one there, whatever the algorithm (MySQL 5.6.1, MariaDB 5.3 and later).
pub(super) fn checksum_tail(body: &[u8]) -> usize {
    match body.get(2..52) {
        Some(version) if has_algorithm_byte(&version_text(version)) => 4,
        _ => 0,
    }
}

fn has_algorithm_byte(version: &str) -> bool {
    let mut parts = version.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    let version_number = (next(), next(), next());
    let first = if version.contains("MariaDB") { (5, 3, 0) } else { (5, 6, 1) };
    version_number >= first
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(version: &str, tail: &[u8]) -> Vec<u8> {
        let mut body = vec![4, 0];
        let mut field = version.as_bytes().to_vec();
        field.resize(50, 0);
        body.extend(field);
        body.extend([0, 0, 0, 0, 19, 56, 13, 0, 8]);
        body.extend(tail);
        body
    }

    #[test]
    fn the_algorithm_byte_decides_on_checksums() {
        let with = FormatDescription::parse(&body("9.7.4", &[1])).unwrap();
        assert!(with.checksum && !with.is_mariadb);
        assert_eq!(with.post_header(1), Some(56));
        assert_eq!(with.post_header(4), Some(8));
        assert_eq!(with.post_header(5), None);
        let without = FormatDescription::parse(&body("10.11.18-MariaDB-log", &[0])).unwrap();
        assert!(!without.checksum && without.is_mariadb);
        assert!(!with.inside_payload().checksum);
        assert!(FormatDescription::parse(&body("9.7.4", &[7])).is_err());
    }

    #[test]
    fn servers_before_checksums_have_no_algorithm_byte() {
        let old = FormatDescription::parse(&body("5.5.62-log", &[])).unwrap();
        assert!(!old.checksum);
        assert_eq!(checksum_tail(&body("5.5.62-log", &[])), 0);
        assert_eq!(checksum_tail(&body("8.0.36", &[1])), 4);
    }
}
