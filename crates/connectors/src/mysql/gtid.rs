//! Sets of executed transactions: what a restart asks the server to leave out.
//!
//! Text forms: "GTID Sets" of the MySQL reference manual (with tags), and MariaDB's list of the last identifier of each
//! replication domain.

use std::collections::BTreeMap;
use std::fmt;

use super::binlog::{Gtid, GtidInterval, MariaDbGtid};

/// One origin of transactions in MySQL: a server, and a tag where transactions have one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    pub uuid: [u8; 16],
    pub tag: String,
}

/// Everything executed up to a point of the binlog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GtidSet {
    /// Half-open intervals of numbers, sorted and apart.
    MySql(BTreeMap<Origin, Vec<(u64, u64)>>),
    /// The last identifier of each domain.
    MariaDb(BTreeMap<u32, MariaDbGtid>),
}

/// A transaction's own identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransactionId {
    MySql(Origin, u64),
    MariaDb(MariaDbGtid),
}

impl TransactionId {
    pub fn of(gtid: &Gtid<'_>) -> Self {
        TransactionId::MySql(Origin { uuid: gtid.uuid, tag: gtid.tag.to_owned() }, gtid.number)
    }

    pub fn parse(text: &str) -> Option<Self> {
        match GtidSet::parse(text)? {
            GtidSet::MariaDb(domains) => domains.into_values().next().map(TransactionId::MariaDb),
            GtidSet::MySql(origins) => {
                let (origin, intervals) = origins.into_iter().next()?;
                Some(TransactionId::MySql(origin, intervals.first()?.0))
            }
        }
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TransactionId::MariaDb(gtid) => gtid.fmt(f),
            TransactionId::MySql(origin, number) => {
                f.write_str(uuid_text(&origin.uuid, &mut [0; 36]))?;
                if !origin.tag.is_empty() {
                    write!(f, ":{}", origin.tag)?;
                }
                write!(f, ":{number}")
            }
        }
    }
}

impl GtidSet {
    /// Reads either text form. `None` where it is neither, or empty.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
        if parts.is_empty() {
            return None;
        }
        if !text.contains(':') {
            let domains = parts.into_iter().map(|part| parse_mariadb(part).map(|gtid| (gtid.domain, gtid)));
            return domains.collect::<Option<_>>().map(GtidSet::MariaDb);
        }
        let mut set = BTreeMap::new();
        parts.into_iter().try_for_each(|part| parse_mysql(part, &mut set))?;
        Some(GtidSet::MySql(set))
    }

    pub fn from_intervals(intervals: &[GtidInterval]) -> Self {
        let mut set = BTreeMap::new();
        for interval in intervals {
            let origin = Origin { uuid: interval.uuid, tag: interval.tag.clone() };
            add_interval(set.entry(origin).or_default(), interval.start, interval.end);
        }
        GtidSet::MySql(set)
    }

    pub fn is_empty(&self) -> bool {
        match self {
            GtidSet::MySql(origins) => origins.values().all(Vec::is_empty),
            GtidSet::MariaDb(domains) => domains.is_empty(),
        }
    }

    /// Adds a transaction. One of the other kind of server replaces nothing and is left out.
    pub fn add(&mut self, id: &TransactionId) {
        match (self, id) {
            (GtidSet::MySql(origins), TransactionId::MySql(origin, number)) => {
                let end = number.saturating_add(1);
                match origins.get_mut(origin) {
                    Some(intervals) => add_interval(intervals, *number, end),
                    None => drop(origins.insert(origin.clone(), vec![(*number, end)])),
                }
            }
            (GtidSet::MariaDb(domains), TransactionId::MariaDb(gtid)) => {
                domains.insert(gtid.domain, *gtid);
            }
            _ => {}
        }
    }

    /// Whether the transaction is in the set. For MariaDB: is not behind the last one of its domain.
    pub fn contains(&self, id: &TransactionId) -> bool {
        match (self, id) {
            (GtidSet::MySql(origins), TransactionId::MySql(origin, number)) => origins
                .get(origin)
                .is_some_and(|intervals| intervals.iter().any(|(start, end)| (start..end).contains(&number))),
            (GtidSet::MariaDb(domains), TransactionId::MariaDb(gtid)) => {
                domains.get(&gtid.domain).is_some_and(|last| last.sequence >= gtid.sequence)
            }
            _ => false,
        }
    }
}

fn parse_mariadb(text: &str) -> Option<MariaDbGtid> {
    let mut parts = text.split('-');
    let gtid = MariaDbGtid {
        domain: parts.next()?.parse().ok()?,
        server: parts.next()?.parse().ok()?,
        sequence: parts.next()?.parse().ok()?,
    };
    parts.next().is_none().then_some(gtid)
}

fn parse_mysql(text: &str, set: &mut BTreeMap<Origin, Vec<(u64, u64)>>) -> Option<()> {
    let mut parts = text.split(':').map(str::trim);
    let uuid = parse_uuid(parts.next()?)?;
    let mut tag = String::new();
    for part in parts {
        if part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            tag = part.to_owned();
            continue;
        }
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (start, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if start == 0 || last < start {
            return None;
        }
        add_interval(set.entry(Origin { uuid, tag: tag.clone() }).or_default(), start, last.checked_add(1)?);
    }
    Some(())
}

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
    if digits.len() != 32 {
        return None;
    }
    let mut uuid = [0; 16];
    for (byte, pair) in uuid.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(uuid)
}

/// Adds `start..end`; the next number, which is the usual case, only moves an end.
fn add_interval(intervals: &mut Vec<(u64, u64)>, start: u64, end: u64) {
    if end <= start {
        return;
    }
    let at = intervals.partition_point(|(_, known_end)| *known_end < start);
    let mut merged = (start, end);
    let mut until = at;
    while let Some((known_start, known_end)) = intervals.get(until)
        && *known_start <= end
    {
        merged = (merged.0.min(*known_start), merged.1.max(*known_end));
        until += 1;
    }
    intervals.splice(at..until, [merged]);
}

fn uuid_text<'b>(uuid: &[u8; 16], buffer: &'b mut [u8; 36]) -> &'b str {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut at = 0;
    for (index, byte) in uuid.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            buffer[at] = b'-';
            at += 1;
        }
        buffer[at] = DIGITS[usize::from(byte >> 4)];
        buffer[at + 1] = DIGITS[usize::from(byte & 15)];
        at += 2;
    }
    std::str::from_utf8(buffer).unwrap_or_default()
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GtidSet::MariaDb(domains) => {
                for (index, gtid) in domains.values().enumerate() {
                    write!(f, "{}{gtid}", if index > 0 { "," } else { "" })?;
                }
                Ok(())
            }
            GtidSet::MySql(origins) => {
                let mut last: Option<&[u8; 16]> = None;
                for (origin, intervals) in origins.iter().filter(|(_, intervals)| !intervals.is_empty()) {
                    if last != Some(&origin.uuid) {
                        f.write_str(if last.is_some() { "," } else { "" })?;
                        f.write_str(uuid_text(&origin.uuid, &mut [0; 36]))?;
                        last = Some(&origin.uuid);
                    }
                    if !origin.tag.is_empty() {
                        write!(f, ":{}", origin.tag)?;
                    }
                    for (start, end) in intervals {
                        match end - start {
                            1 => write!(f, ":{start}")?,
                            _ => write!(f, ":{start}-{}", end - 1)?,
                        }
                    }
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    const B: &str = "4e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn set(text: &str) -> GtidSet {
        GtidSet::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn mysql_sets_are_read_written_and_grow() {
        let text = format!("{A}:1-5:7:dev:1-2,{B}:9");
        assert_eq!(set(&text).to_string(), text);
        assert_eq!(set(&format!("{A}:1-5,\n{A}:6-7")).to_string(), format!("{A}:1-7"));
        let mut grown = set(&format!("{A}:1-5:7"));
        let id = |text: &str| TransactionId::parse(text).unwrap_or_else(|| panic!("{text}"));
        assert!(!grown.contains(&id(&format!("{A}:6"))));
        grown.add(&id(&format!("{A}:6")));
        assert_eq!(grown.to_string(), format!("{A}:1-7"));
        grown.add(&id(&format!("{B}:3")));
        grown.add(&id(&format!("{A}:t:1")));
        assert_eq!(grown.to_string(), format!("{A}:1-7:t:1,{B}:3"));
        assert!(grown.contains(&id(&format!("{A}:7"))) && !grown.contains(&id(&format!("{A}:8"))));
        assert_eq!(id(&format!("{A}:t:1")).to_string(), format!("{A}:t:1"));
    }

    #[test]
    fn mariadb_positions_hold_the_last_of_each_domain() {
        let mut position = set("1-2-5,0-1-100");
        assert_eq!(position.to_string(), "0-1-100,1-2-5");
        let id = |text: &str| TransactionId::parse(text).unwrap_or_else(|| panic!("{text}"));
        assert!(
            position.contains(&id("0-9-99"))
                && !position.contains(&id("0-1-101"))
                && !position.contains(&id("7-1-1"))
        );
        position.add(&id("0-3-101"));
        assert_eq!(position.to_string(), "0-3-101,1-2-5");
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for text in [
            "",
            "  ",
            "0-1",
            "x-1-2",
            "abc:1",
            &format!("{A}:0"),
            &format!("{A}:5-3"),
            &format!("{A}:18446744073709551615"),
        ] {
            assert_eq!(GtidSet::parse(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn intervals_stay_sorted_and_apart(numbers in proptest::collection::vec(1u64..60, 0..60)) {
            let mut intervals = Vec::new();
            for number in &numbers {
                add_interval(&mut intervals, *number, number + 1);
            }
            proptest::prop_assert!(intervals.windows(2).all(|pair| pair[0].1 < pair[1].0));
            for number in 0..62 {
                let contained = intervals.iter().any(|(start, end)| (start..end).contains(&&number));
                proptest::prop_assert_eq!(contained, numbers.contains(&number));
            }
        }

        #[test]
        fn any_text_is_read_without_panic(text in "[0-9a-f:, -]{0,80}") {
            let _ = GtidSet::parse(&text);
        }
    }
}
