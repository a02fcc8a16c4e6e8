//! Offsets and the ids of entries: the same number, written in two ways. The id `ms-seq` is the offset
//! `ms * 2^20 + seq`; ids made by this driver follow each other without gaps (`0-1`, `0-2`, ... `0-1048575`, `1-0`), so
//! that offsets count messages; ids that others make of the time (`XADD key *`) are offsets as well, and what is
//! written behind one goes on from there. In order, and back, for every id below the year 2527 with fewer than 2^20
//! entries in its millisecond.

/// Bits of the second part of an id.
const BITS: u32 = 20;

pub(super) const PER_FIRST: u64 = 1 << BITS;

/// The offset of an id such as `1763800000123-4`; `None`: it is none, or out of range.
pub(super) fn of_id(id: &[u8]) -> Option<u64> {
    let (first, second) = parts(id)?;
    (first < 1 << (64 - BITS) && second < PER_FIRST).then_some((first << BITS) | second)
}

/// Both parts of an id.
pub(super) fn parts(id: &[u8]) -> Option<(u64, u64)> {
    let (first, second) = std::str::from_utf8(id).ok()?.split_once('-')?;
    Some((first.parse().ok()?, second.parse().ok()?))
}

/// The id of the entry at that offset.
pub(super) fn id(offset: u64) -> String {
    format!("{}-{}", offset >> BITS, offset & (PER_FIRST - 1))
}

/// The id that reading "behind" starts from, so that the entry at `offset` is the first one read; what lies between and is
/// no offset is passed.
pub(super) fn id_before(offset: u64) -> String {
    match (offset >> BITS, offset & (PER_FIRST - 1)) {
        (first @ 1.., 0) => format!("{}-{}", first - 1, u64::MAX),
        _ => id(offset.saturating_sub(1)),
    }
}

/// The offset of an id, and for one that is none, because too many are in its millisecond, the last offset of that.
pub(super) fn at_most(id: &[u8]) -> Option<u64> {
    let (first, second) = parts(id)?;
    (first < 1 << (64 - BITS)).then(|| (first << BITS) | second.min(PER_FIRST - 1))
}

/// When an entry was stored that does not say so itself: the time in its id, where it is one.
pub(super) fn time_of(offset: u64) -> i64 {
    (offset >> BITS) as i64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_and_offsets_are_the_same_number() {
        for (text, offset) in
            [("0-0", 0), ("0-7", 7), ("1-0", 1 << 20), ("1763800000123-4", 1_849_478_348_928_974_852)]
        {
            assert_eq!(of_id(text.as_bytes()), Some(offset), "{text}");
            assert_eq!(id(offset), text);
        }
        assert_eq!(
            (id_before(5), id_before(0), id_before((1 << 20) + 1)),
            ("0-4".into(), "0-0".into(), "1-0".into())
        );
        assert_eq!(id_before(1 << 20), "0-18446744073709551615");
        assert_eq!(at_most(id_before(1 << 20).as_bytes()), Some((1 << 20) - 1));
        for bad in ["", "1", "1-", "a-b", "0-1048576", "17592186044416-0", "1-2-3"] {
            assert_eq!(of_id(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_offset_has_one_id_in_the_same_order(a: u64, b: u64) {
            prop_assert_eq!(of_id(id(a).as_bytes()), Some(a));
            let (one, two) = (parts(id(a).as_bytes()), parts(id(b).as_bytes()));
            prop_assert_eq!(a.cmp(&b), one.cmp(&two));
        }
    }
}
