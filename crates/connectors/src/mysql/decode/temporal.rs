//! Dates and times: the formats of 5.6 and later (`my_time_packed_from_binary` and its like of `my_time.cc`), those
//! before, and MariaDB's own with fractions (`mysql56_temporal_format=OFF`, `sql/field.cc`).

use openmessaging_connector::Scalar;

use crate::mysql::binlog::column_type as code;

/// How a date or time is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Date,
    Time2 { fsp: u8 },
    DateTime2 { fsp: u8 },
    Timestamp2 { fsp: u8 },
    OldTime,
    OldDateTime,
    OldTimestamp,
    MariaDbTime { fsp: u8 },
    MariaDbDateTime { fsp: u8 },
    MariaDbTimestamp { fsp: u8 },
}

const SECOND: i64 = 1_000_000;

impl Form {
    pub fn time(column_type: u8, fsp: u8) -> Self {
        match (column_type, fsp) {
            (code::TIME, 0) => Self::OldTime,
            (code::TIME, fsp) => Self::MariaDbTime { fsp: fsp.min(6) },
            (_, fsp) => Self::Time2 { fsp: fsp.min(6) },
        }
    }

    pub fn date_time(column_type: u8, fsp: u8) -> Self {
        match (column_type, fsp) {
            (code::DATETIME, 0) => Self::OldDateTime,
            (code::DATETIME, fsp) => Self::MariaDbDateTime { fsp: fsp.min(6) },
            (_, fsp) => Self::DateTime2 { fsp: fsp.min(6) },
        }
    }

    pub fn timestamp(column_type: u8, fsp: u8) -> Self {
        match (column_type, fsp) {
            (code::TIMESTAMP, 0) => Self::OldTimestamp,
            (code::TIMESTAMP, fsp) => Self::MariaDbTimestamp { fsp: fsp.min(6) },
            (_, fsp) => Self::Timestamp2 { fsp: fsp.min(6) },
        }
    }

    /// Where the table map does not tell it.
    pub fn stored_length(self) -> Option<usize> {
        match self {
            Self::MariaDbTime { fsp } => Some([3, 4, 4, 5, 5, 5, 6][usize::from(fsp)]),
            Self::MariaDbDateTime { fsp } => Some([5, 6, 6, 7, 7, 7, 8][usize::from(fsp)]),
            Self::MariaDbTimestamp { fsp } => Some([4, 5, 5, 6, 6, 7, 7][usize::from(fsp)]),
            _ => None,
        }
    }

    /// The value; null where it is no day of the calendar: a zero date, or one with a zero in it. `None` where there
    /// are too few bytes.
    pub fn scalar(self, bytes: &[u8]) -> Option<Scalar<'static>> {
        let bytes = match self.stored_length() {
            Some(length) => bytes.get(..length)?,
            None => bytes,
        };
        Some(match self {
            Self::Date => date(little_endian(bytes.get(..3)?)),
            Self::Time2 { fsp } => Scalar::Time(time2(bytes, fsp)?),
            Self::DateTime2 { fsp } => date_time2(bytes, fsp)?,
            Self::Timestamp2 { fsp } => instant(big_endian(bytes.get(..4)?), fraction(bytes.get(4..)?, fsp)?),
            Self::OldTime => Scalar::Time(old_time(little_endian(bytes.get(..3)?))),
            Self::OldDateTime => old_date_time(little_endian(bytes.get(..8)?)),
            Self::OldTimestamp => instant(little_endian(bytes.get(..4)?), 0),
            Self::MariaDbTime { fsp } => Scalar::Time(mariadb_time(big_endian(bytes), fsp)),
            Self::MariaDbDateTime { fsp } => mariadb_date_time(big_endian(bytes), fsp),
            Self::MariaDbTimestamp { fsp } => {
                let part = big_endian(bytes.get(4..)?) * 10i64.pow(u32::from(6 - fsp));
                instant(big_endian(bytes.get(..4)?), part)
            }
        })
    }
}

fn little_endian(bytes: &[u8]) -> i64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | i64::from(*byte))
}

fn big_endian(bytes: &[u8]) -> i64 {
    bytes.iter().fold(0, |value, byte| value << 8 | i64::from(*byte))
}

/// Microseconds of a fraction in `(fsp + 1) / 2` bytes of two digits each.
fn fraction(bytes: &[u8], fsp: u8) -> Option<i64> {
    Some(match fsp {
        0 => 0,
        1 | 2 => big_endian(bytes.get(..1)?) * 10_000,
        3 | 4 => big_endian(bytes.get(..2)?) * 100,
        _ => big_endian(bytes.get(..3)?),
    })
}

fn instant(seconds: i64, micros: i64) -> Scalar<'static> {
    match (seconds, micros) {
        // '0000-00-00 00:00:00'
        (0, 0) => Scalar::Null,
        _ => Scalar::TimestampTz(seconds * SECOND + micros),
    }
}

fn date(packed: i64) -> Scalar<'static> {
    match days(packed >> 9, packed >> 5 & 15, packed & 31) {
        Some(days) => Scalar::Date(days),
        None => Scalar::Null,
    }
}

/// Days since 1970-01-01 of a day that is in the (proleptic Gregorian) calendar.
pub(super) fn days(year: i64, month: i64, day: i64) -> Option<i32> {
    const MONTHS: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = *MONTHS.get(usize::try_from(month - 1).ok()?)? + i64::from(leap && month == 2);
    if !(1..=length).contains(&day) || !(0..=9999).contains(&year) {
        return None;
    }
    // Counted from 1 March, so that the leap day is the last of its year.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    i32::try_from(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468).ok()
}

/// Microseconds since 1970-01-01T00:00:00 of a wall clock, null where the day is not in the calendar.
pub(super) fn wall_clock(day: (i64, i64, i64), clock: (i64, i64, i64), micros: i64) -> Scalar<'static> {
    match days(day.0, day.1, day.2) {
        Some(days) => Scalar::Timestamp(
            (i64::from(days) * 86_400 + clock.0 * 3600 + clock.1 * 60 + clock.2) * SECOND + micros,
        ),
        None => Scalar::Null,
    }
}

/// Sign, an unused bit, hours, minutes and seconds in 10, 6 and 6 bits, offset so that the bytes sort. The number as
/// a whole, fraction included, is negative, not each of its parts.
fn time2(bytes: &[u8], fsp: u8) -> Option<i64> {
    let whole = big_endian(bytes.get(..3)?) - 0x80_0000;
    let part = bytes.get(3..)?;
    let packed = match fsp {
        0 => whole << 24,
        1 | 2 => join(whole, big_endian(part.get(..1)?), 0x100, 10_000),
        3 | 4 => join(whole, big_endian(part.get(..2)?), 0x1_0000, 100),
        _ => big_endian(bytes.get(..6)?) - 0x8000_0000_0000,
    };
    Some(time_of_packed(packed))
}

/// Puts whole and fraction together. Below zero the whole was stored one too low, with the fraction's complement to
/// the range of its bytes.
fn join(whole: i64, part: i64, range: i64, unit: i64) -> i64 {
    match whole < 0 && part > 0 {
        true => ((whole + 1) << 24) + (part - range) * unit,
        false => (whole << 24) + part * unit,
    }
}

/// The server's packed time: hours, minutes, seconds as above, then 24 bits of microseconds.
pub(super) fn time_of_packed(packed: i64) -> i64 {
    let magnitude = packed.unsigned_abs();
    let (clock, micros) = ((magnitude >> 24) as i64, (magnitude & 0xff_ffff) as i64);
    let (hours, minutes, seconds) = (clock >> 12 & 0x3ff, clock >> 6 & 0x3f, clock & 0x3f);
    let micros = (hours * 3600 + minutes * 60 + seconds) * SECOND + micros;
    if packed < 0 { -micros } else { micros }
}

fn date_time2(bytes: &[u8], fsp: u8) -> Option<Scalar<'static>> {
    let packed = big_endian(bytes.get(..5)?) - 0x80_0000_0000;
    let (day, clock) = split_date_time(packed);
    Some(wall_clock(day, clock, fraction(bytes.get(5..)?, fsp)?))
}

/// Year times 13 plus month, day, hour, minute, second in bits of 17, 5, 5, 6 and 6.
pub(super) fn split_date_time(packed: i64) -> ((i64, i64, i64), (i64, i64, i64)) {
    let (day, clock) = (packed >> 17, packed & 0x1_ffff);
    let month = day >> 5;
    ((month / 13, month % 13, day & 31), (clock >> 12, clock >> 6 & 63, clock & 63))
}

/// The decimal number hhmmss with a sign, in three bytes.
fn old_time(value: i64) -> i64 {
    let value = value << 40 >> 40;
    let magnitude = value.abs();
    let seconds = magnitude / 10_000 * 3600 + magnitude / 100 % 100 * 60 + magnitude % 100;
    seconds * SECOND * value.signum()
}

/// The decimal number yyyymmddhhmmss.
fn old_date_time(value: i64) -> Scalar<'static> {
    let (day, clock) = (value / 1_000_000, value % 1_000_000);
    wall_clock(
        (day / 10_000, day / 100 % 100, day % 100),
        (clock / 10_000, clock / 100 % 100, clock % 100),
        0,
    )
}

/// Units of the fraction since -838:59:59.999999.
fn mariadb_time(value: i64, fsp: u8) -> i64 {
    let unit = 10i64.pow(u32::from(6 - fsp.min(6)));
    let zero = 3_020_400 * SECOND / unit;
    value.saturating_sub(zero).saturating_mul(unit)
}

/// Year times 13 plus month, day, hour, minute, second, fraction, each counted in the next larger's limit.
fn mariadb_date_time(value: i64, fsp: u8) -> Scalar<'static> {
    let unit = 10i64.pow(u32::from(6 - fsp.min(6)));
    let micros = value.checked_mul(unit).unwrap_or(0).max(0);
    let (rest, micros) = (micros / SECOND, micros % SECOND);
    let (rest, second) = (rest / 60, rest % 60);
    let (rest, minute) = (rest / 60, rest % 60);
    let (rest, hour) = (rest / 24, rest % 24);
    let (rest, day) = (rest / 32, rest % 32);
    wall_clock((rest / 13, rest % 13, day), (hour, minute, second), micros)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `my_time_packed_to_binary` of the server.
    fn store_time(micros: i64, fsp: u8) -> Vec<u8> {
        let magnitude = micros.abs();
        let (seconds, part) = (magnitude / SECOND, magnitude % SECOND);
        let clock = (seconds / 3600) << 12 | (seconds / 60 % 60) << 6 | (seconds % 60);
        let packed = ((clock << 24) + part) * micros.signum();
        let (whole, part) = (packed >> 24, packed % (1 << 24));
        let mut bytes = ((whole + 0x80_0000) as u32).to_be_bytes()[1..].to_vec();
        match fsp {
            0 => {}
            1 | 2 => bytes.push((part / 10_000) as i8 as u8),
            3 | 4 => bytes.extend(((part / 100) as i16).to_be_bytes()),
            _ => bytes = ((packed + 0x8000_0000_0000) as u64).to_be_bytes()[2..].to_vec(),
        }
        bytes
    }

    #[test]
    fn days_of_the_calendar() {
        assert_eq!(days(1970, 1, 1), Some(0));
        assert_eq!(days(2000, 2, 29), Some(11_016));
        assert_eq!(days(9999, 12, 31), Some(2_932_896));
        assert_eq!(days(0, 1, 1), Some(-719_528));
        for (year, month, day) in [(0, 0, 0), (2020, 0, 1), (2020, 1, 0), (2021, 2, 29), (2020, 13, 1)] {
            assert_eq!(days(year, month, day), None);
        }
    }

    #[test]
    fn zero_dates_are_null() {
        assert_eq!(Form::Date.scalar(&[0, 0, 0]), Some(Scalar::Null));
        assert_eq!(Form::DateTime2 { fsp: 0 }.scalar(&[0x80, 0, 0, 0, 0]), Some(Scalar::Null));
        assert_eq!(Form::Timestamp2 { fsp: 3 }.scalar(&[0; 6]), Some(Scalar::Null));
        assert_eq!(Form::OldDateTime.scalar(&[0; 8]), Some(Scalar::Null));
        assert_eq!(Form::OldTimestamp.scalar(&[0; 4]), Some(Scalar::Null));
        // Half a second after the epoch is no zero date.
        assert_eq!(Form::Timestamp2 { fsp: 1 }.scalar(&[0, 0, 0, 0, 50]), Some(Scalar::TimestampTz(500_000)));
    }

    #[test]
    fn formats_before_5_6() {
        assert_eq!(
            Form::OldTime.scalar(&(-8_385_959i32).to_le_bytes()[..3]),
            Some(Scalar::Time(-3_020_399 * SECOND))
        );
        let stored = 20_200_229_123_456i64.to_le_bytes();
        assert_eq!(Form::OldDateTime.scalar(&stored), Some(Scalar::Timestamp(1_582_979_696 * SECOND)));
        assert_eq!(Form::OldTimestamp.scalar(&[1, 0, 0, 0]), Some(Scalar::TimestampTz(SECOND)));
    }

    proptest! {
        #[test]
        fn times_round_trip(micros in -3_020_399_999_999i64..=3_020_399_999_999, fsp in 0u8..=6) {
            let unit = 10i64.pow(u32::from(6 - fsp));
            let micros = micros / unit * unit;
            let stored = store_time(micros, fsp);
            prop_assert_eq!(Form::Time2 { fsp }.scalar(&stored), Some(Scalar::Time(micros)), "{:x?}", stored);
        }

        #[test]
        fn dates_round_trip(number in -719_528i32..=2_932_896) {
            // Counts the days one by one from a known one, a year at a time.
            let (mut year, mut rest) = (0i64, i64::from(number) + 719_528);
            let length = |year: i64| 365 + i64::from(year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
            while rest >= length(year) {
                rest -= length(year);
                year += 1;
            }
            let month = (1..=12).rfind(|month| days(year, *month, 1).unwrap() as i64 <= i64::from(number)).unwrap();
            let day = i64::from(number - days(year, month, 1).unwrap()) + 1;
            prop_assert_eq!(days(year, 1, 1), Some(number - rest as i32));
            prop_assert_eq!(days(year, month, day), Some(number));
        }

        #[test]
        fn any_bytes_are_a_value_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..12), ty in any::<u8>(), fsp in any::<u8>()) {
            for form in [Form::Date, Form::time(ty, fsp), Form::date_time(ty, fsp), Form::timestamp(ty, fsp),
                Form::time(code::TIME, fsp), Form::date_time(code::DATETIME, fsp), Form::timestamp(code::TIMESTAMP, fsp)] {
                let _ = form.scalar(&bytes);
            }
        }
    }
}
