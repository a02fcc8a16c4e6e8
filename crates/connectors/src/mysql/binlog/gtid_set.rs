//! GTID sets in the text that the servers print.

use mysql_async::Sid;
use openmessaging_connector::{Error, Result};

fn wrong(text: &str) -> Error {
    Error::fatal("mysql.gtid_malformed", format!("{text:?} is no GTID set"))
        .with_remedy("MySQL: uuid:1-5[:tag:1-3],...; MariaDB: domain-server-sequence,...")
}

/// MySQL's set as the library wants it. One UUID may be followed by intervals and by tags with intervals of their own
/// (`uuid:1-5:tag:1-3`): each tag becomes an entry by itself.
pub(super) fn sids(set: &str) -> Result<Vec<Sid<'static>>> {
    let mut sids = Vec::new();
    for entry in set.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let mut parts = entry.split(':').map(str::trim);
        let uuid = parts.next().unwrap_or_default();
        let mut tag = "";
        let mut any = false;
        for part in parts {
            if !part.starts_with(|first: char| first.is_ascii_digit()) {
                tag = part;
                continue;
            }
            any = true;
            let colon = if tag.is_empty() { "" } else { ":" };
            let sid: Sid<'static> = format!("{uuid}{colon}{tag}:{part}").parse().map_err(|_| wrong(entry))?;
            let same = |other: &&mut Sid<'static>| other.uuid() == sid.uuid() && other.tag() == sid.tag();
            match sids.iter_mut().find(same) {
                Some(known) => {
                    let mut intervals = known.intervals().to_vec();
                    intervals.extend_from_slice(sid.intervals());
                    *known = known.clone().with_intervals(intervals);
                }
                None => sids.push(sid),
            }
        }
        if !any {
            return Err(wrong(entry));
        }
    }
    Ok(sids)
}

/// Refuses what is no list of MariaDB identifiers, and so all that could end the statement it is put into.
pub(super) fn check_mariadb(position: &str) -> Result<()> {
    let number = |part: Option<&str>| {
        part.is_some_and(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
    };
    for entry in position.split(',').filter(|_| !position.is_empty()) {
        let mut parts = entry.split('-');
        let three = number(parts.next()) && number(parts.next()) && number(parts.next());
        if !three || parts.next().is_some() {
            return Err(wrong(position));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_with_tags_and_line_breaks() {
        let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        let set = format!("{uuid}:1-5:7:tag:1-3:4,\n{uuid}:9");
        let sids = sids(&set).unwrap();
        let text: Vec<_> = sids.iter().map(ToString::to_string).collect();
        assert_eq!(text, [format!("{uuid}:1-5:7:9"), format!("{uuid}:tag:1-3:4")]);
        assert!(super::sids("").unwrap().is_empty());
        for wrong in ["x", "x:1", uuid, &format!("{uuid}:5-1"), &format!("{uuid}:tag")] {
            assert_eq!(super::sids(wrong).unwrap_err().code, "mysql.gtid_malformed", "{wrong}");
        }
    }

    #[test]
    fn mariadb_positions_hold_numbers_only() {
        assert!(check_mariadb("0-1-5,1-2-3").is_ok());
        assert!(check_mariadb("").is_ok());
        for wrong in ["0-1", "0-1-5-6", "0-1-5'", "a-b-c", "0-1-5,"] {
            assert!(check_mariadb(wrong).is_err(), "{wrong}");
        }
    }
}
