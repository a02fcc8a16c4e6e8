//! Dates and times as ISO 8601 text and back, in the proleptic Gregorian calendar, as MySQL, PostgreSQL and Java count.
//!
//! Any `i64` of microseconds and any `i32` of days has a text; years beyond 0 to 9999 have a sign, as in Java.

const DAY: i64 = 86_400_000_000;

/// How many digits of a second's fraction are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::converter) enum Fraction {
    /// Exactly so many, 0 to 6.
    Digits(u8),
    /// As many as are needed.
    Shortest,
}

/// `2020-01-02`.
#[inline]
pub(in crate::converter) fn push_date(out: &mut Vec<u8>, days: i64) {
    let (year, month, day) = civil(days);
    let mut text = *b"0000-00-00";
    if (0..=9999).contains(&year) {
        let year = year as u32;
        two(&mut text, 0, year / 100);
        two(&mut text, 2, year % 100);
        two(&mut text, 5, month);
        two(&mut text, 8, day);
        return out.extend_from_slice(&text);
    }
    let sign = if year < 0 { '-' } else { '+' };
    out.extend_from_slice(format!("{sign}{:04}-{month:02}-{day:02}", year.unsigned_abs()).as_bytes());
}

/// `-12:03:04.5`: hours have at least two digits and no bound.
#[inline]
pub(in crate::converter) fn push_time(out: &mut Vec<u8>, micros: i64, fraction: Fraction) {
    if micros < 0 {
        out.push(b'-');
    }
    let micros = micros.unsigned_abs();
    let hours = micros / 3_600_000_000;
    if hours < 100 {
        return push_clock(out, micros, fraction);
    }
    super::number::push_u64(out, hours);
    let start = out.len();
    push_clock(out, micros % 3_600_000_000, fraction);
    out.drain(start..start + 2);
}

/// `2020-01-02T03:04:05.678`, with `separator` in the place of `T`.
#[inline]
pub(in crate::converter) fn push_timestamp(
    out: &mut Vec<u8>,
    micros: i64,
    separator: u8,
    fraction: Fraction,
) {
    push_date(out, micros.div_euclid(DAY));
    out.push(separator);
    push_clock(out, micros.rem_euclid(DAY) as u64, fraction);
}

/// Microseconds below 100 hours.
#[inline]
fn push_clock(out: &mut Vec<u8>, micros: u64, fraction: Fraction) {
    let seconds = (micros / 1_000_000) as u32;
    let mut text = *b"00:00:00.000000";
    two(&mut text, 0, seconds / 3600);
    two(&mut text, 3, seconds / 60 % 60);
    two(&mut text, 6, seconds % 60);
    let part = (micros % 1_000_000) as u32;
    two(&mut text, 9, part / 10_000);
    two(&mut text, 11, part / 100 % 100);
    two(&mut text, 13, part % 100);
    let digits = match fraction {
        Fraction::Digits(digits) => usize::from(digits.min(6)),
        Fraction::Shortest => text[9..].iter().rposition(|digit| *digit != b'0').map_or(0, |at| at + 1),
    };
    let length = if digits == 0 { 8 } else { 9 + digits };
    out.extend_from_slice(&text[..length]);
}

/// Writes the last two digits of `value`.
#[inline(always)]
fn two(text: &mut [u8], at: usize, value: u32) {
    let pair = DIGITS[(value % 100) as usize];
    text[at] = pair[0];
    text[at + 1] = pair[1];
}

const DIGITS: [[u8; 2]; 100] = {
    let mut digits = [[0; 2]; 100];
    let mut value = 0;
    while value < 100 {
        digits[value] = [b'0' + value as u8 / 10, b'0' + value as u8 % 10];
        value += 1;
    }
    digits
};

/// Year, month and day of a day since 1970-01-01; Howard Hinnant's `civil_from_days`
/// (<https://howardhinnant.github.io/date_algorithms.html>). Days are those of an `i64` of microseconds or an `i32`.
#[inline]
fn civil(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let (era, of_era) = match u32::try_from(shifted) {
        // 32 bits are enough for the years 0 to 11 million, and divide faster
        Ok(shifted) => (i64::from(shifted / 146_097), shifted % 146_097),
        Err(_) => (shifted.div_euclid(146_097), shifted.rem_euclid(146_097) as u32),
    };
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = i64::from(year_of_era) + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Days since 1970-01-01 of a valid date.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let year_of_era = year.rem_euclid(400);
    Some(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - 719_468)
}

/// A date and time as text: its microseconds as if in UTC, the offset of its zone in seconds where it has one, and how
/// many digits its fraction has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::converter) struct Moment {
    pub wall: i64,
    pub offset: Option<i64>,
    pub digits: u8,
}

impl Moment {
    /// Microseconds since the epoch of the instant, without zone taken as UTC.
    pub fn instant(self) -> Option<i64> {
        self.wall.checked_sub(self.offset.unwrap_or(0) * 1_000_000)
    }
}

/// Reads `2020-01-02T03:04:05.678Z`: `T` or a blank between date and time, seconds and fraction (digits beyond six are
/// cut) may be missing, the zone is `Z`, `+01:00`, `+0100`, `+01` or nothing.
pub(in crate::converter) fn read_timestamp(text: &str) -> Option<Moment> {
    let (date, time) = text.split_once(['T', ' '])?;
    let days = read_date(date)?;
    let zone = time.find(['Z', '+', '-']).unwrap_or(time.len());
    let (clock, zone) = (time.get(..zone)?, time.get(zone..)?);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut parts = clock.split(':');
    let (hour, minute) = (small(parts.next()?, 2)?, small(parts.next()?, 2)?);
    let second = parts.next().map_or(Some(0), |part| small(part, 2))?;
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let digits = fraction.len().min(6);
    let fraction_micros = match fraction.get(..digits)? {
        "" => 0,
        part => small(part, digits)? * 10_i64.pow(6 - digits as u32),
    };
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let of_day = (hour * 3600 + minute * 60 + second) * 1_000_000 + fraction_micros;
    let wall = days.checked_mul(DAY)?.checked_add(of_day)?;
    Some(Moment { wall, offset: read_offset(zone)?, digits: digits as u8 })
}

/// Reads `2020-01-02`, with a sign where the year has more than four digits.
pub(in crate::converter) fn read_date(text: &str) -> Option<i64> {
    let (negative, text) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || !(4..=7).contains(&year.len()) {
        return None;
    }
    let year = small(year, year.len())?;
    days(if negative { -year } else { year }, small(month, 2)?, small(day, 2)?)
}

fn read_offset(zone: &str) -> Option<Option<i64>> {
    let sign = match zone.as_bytes().first() {
        None => return Some(None),
        Some(b'Z') => return (zone.len() == 1).then_some(Some(0)),
        Some(b'+') => 1,
        Some(_) => -1,
    };
    let digits: String = zone[1..].chars().filter(|character| *character != ':').collect();
    let (hours, minutes) = match digits.len() {
        2 => (small(&digits, 2)?, 0),
        4 => (small(digits.get(..2)?, 2)?, small(digits.get(2..)?, 2)?),
        _ => return None,
    };
    Some(Some(sign * (hours * 3600 + minutes * 60)))
}

/// A number of exactly so many digits, at most seven.
fn small(text: &str, length: usize) -> Option<i64> {
    let digits = text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn dates_and_times_look_like_iso() {
        let cases = [(0, "1970-01-01"), (-1, "1969-12-31"), (18_263, "2020-01-02"), (-719_528, "0000-01-01")];
        for (days, wanted) in cases {
            assert_eq!(text(|out| push_date(out, days)), wanted);
        }
        assert_eq!(text(|out| push_date(out, -719_529)), "-0001-12-31");
        assert_eq!(text(|out| push_date(out, 2_932_897)), "+10000-01-01");
        assert_eq!(text(|out| push_time(out, -43_384_500_000, Fraction::Digits(1))), "-12:03:04.5");
        assert_eq!(text(|out| push_time(out, 3_020_399_000_000, Fraction::Digits(0))), "838:59:59");
        let stamp = 1_577_934_245_678_000;
        assert_eq!(
            text(|out| push_timestamp(out, stamp, b'T', Fraction::Shortest)),
            "2020-01-02T03:04:05.678"
        );
        assert_eq!(text(|out| push_timestamp(out, stamp, b' ', Fraction::Digits(0))), "2020-01-02 03:04:05");
        assert_eq!(
            text(|out| push_timestamp(out, -1, b'T', Fraction::Digits(6))),
            "1969-12-31T23:59:59.999999"
        );
    }

    #[test]
    fn texts_that_are_no_moment_are_refused() {
        for bad in [
            "",
            "2020-01-02",
            "2020-13-01T00:00",
            "2021-02-29T00:00",
            "2020-01-01T24:00",
            "2020-01-01T00:00:00.x",
        ] {
            assert_eq!(read_timestamp(bad), None, "{bad}");
        }
        let moment = read_timestamp("2020-01-02T04:04:05.6789+01:00").expect("valid");
        assert_eq!((moment.instant(), moment.digits), (Some(1_577_934_245_678_900), 4));
    }

    proptest! {
        #[test]
        fn any_moment_comes_back(micros in -62_000_000_000_000_000_i64..250_000_000_000_000_000, any: i64, days: i32) {
            let written = text(|out| push_timestamp(out, micros, b'T', Fraction::Shortest));
            prop_assert_eq!(read_timestamp(&written).and_then(Moment::instant), Some(micros));
            let written = text(|out| push_timestamp(out, any, b' ', Fraction::Digits(6)));
            prop_assert_eq!(read_timestamp(&written).map(|moment| moment.wall), Some(any));
            let written = text(|out| push_date(out, i64::from(days)));
            prop_assert_eq!(read_date(&written), Some(i64::from(days)));
            text(|out| push_time(out, any, Fraction::Shortest));
        }

        #[test]
        fn any_text_is_read_or_refused(input in "\\PC{0,30}|[-0-9T:.Z+ é]{0,40}") {
            read_timestamp(&input);
            read_date(&input);
        }
    }
}
