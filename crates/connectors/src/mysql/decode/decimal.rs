//! Packed decimals (`decimal2bin` of the server's `strings/decimal.cc`): groups of nine digits in four bytes, most
//! significant first, the groups at both ends shorter; the first bit inverted, and all bits of negative numbers.

/// The servers' limits.
const MAX_PRECISION: u32 = 65;
/// Bytes that a group of so many digits takes.
const GROUP_BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];

/// Room for the text of any decimal: sign, 65 digits and one group more, point.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: [u8; 96],
}

impl Default for Buffer {
    fn default() -> Self {
        Self { bytes: [0; 96] }
    }
}

/// How many bytes a decimal of that type takes; `None` where there is no such type.
pub(super) fn stored_length(precision: u32, scale: u32) -> Option<usize> {
    if precision == 0 || precision > MAX_PRECISION || scale > precision {
        return None;
    }
    let length = |digits: u32| digits as usize / 9 * 4 + GROUP_BYTES[digits as usize % 9];
    Some(length(precision - scale) + length(scale))
}

/// The decimal as text, with exactly `scale` digits behind the point and no leading zeros; `None` where the bytes are
/// not of that type.
pub(super) fn text<'a>(bytes: &[u8], precision: u32, scale: u32, buffer: &'a mut Buffer) -> Option<&'a str> {
    if bytes.len() != stored_length(precision, scale)? {
        return None;
    }
    let negative = bytes.first()? & 0x80 == 0;
    let mut reader = Groups { bytes, at: 0, negative };
    let out = &mut buffer.bytes;
    let mut length = 1;
    let whole = precision as usize - scale as usize;
    let mut leading = true;
    let mut any = false;
    for digits in
        std::iter::once(whole % 9).chain(std::iter::repeat_n(9, whole / 9)).filter(|digits| *digits > 0)
    {
        let group = reader.next(digits)?;
        any |= group != 0;
        if leading && group == 0 {
            continue;
        }
        let width = if leading { group.ilog10() as usize + 1 } else { digits };
        leading = false;
        length = write(out, length, group, width)?;
    }
    if leading {
        length = write(out, length, 0, 1)?;
    }
    if scale > 0 {
        *out.get_mut(length)? = b'.';
        length += 1;
        let scale = scale as usize;
        for digits in
            std::iter::repeat_n(9, scale / 9).chain(std::iter::once(scale % 9)).filter(|digits| *digits > 0)
        {
            let group = reader.next(digits)?;
            any |= group != 0;
            length = write(out, length, group, digits)?;
        }
    }
    out[0] = b'-';
    let start = if negative && any { 0 } else { 1 };
    std::str::from_utf8(&buffer.bytes[start..length]).ok()
}

struct Groups<'a> {
    bytes: &'a [u8],
    at: usize,
    negative: bool,
}

impl Groups<'_> {
    /// The next group; `None` where it has more digits than it may.
    fn next(&mut self, digits: usize) -> Option<u32> {
        let end = self.at + GROUP_BYTES[digits];
        let mut value = 0u32;
        for at in self.at..end {
            let mut byte = *self.bytes.get(at)?;
            if at == 0 {
                byte ^= 0x80;
            }
            if self.negative {
                byte = !byte;
            }
            value = value << 8 | u32::from(byte);
        }
        self.at = end;
        (value < 10u32.pow(digits as u32)).then_some(value)
    }
}

/// Writes `value` in exactly `width` digits; returns the new length.
fn write(out: &mut [u8], at: usize, mut value: u32, width: usize) -> Option<usize> {
    let target = out.get_mut(at..at + width)?;
    for digit in target.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
    Some(at + width)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The opposite direction, written from the format's description.
    fn pack(text: &str, precision: u32, scale: u32) -> Vec<u8> {
        let negative = text.starts_with('-');
        let (whole, fraction) =
            text.trim_start_matches('-').split_once('.').unwrap_or((text.trim_start_matches('-'), ""));
        let whole = format!("{whole:0>width$}", width = (precision - scale) as usize);
        let whole = &whole[whole.len() - (precision - scale) as usize..];
        let mut bytes = Vec::new();
        let mut group = |digits: &str| {
            if !digits.is_empty() {
                let value = digits.parse::<u32>().unwrap().to_be_bytes();
                bytes.extend(&value[4 - GROUP_BYTES[digits.len()]..]);
            }
        };
        let (head, rest) = whole.split_at(whole.len() % 9);
        group(head);
        rest.as_bytes().chunks(9).for_each(|digits| group(std::str::from_utf8(digits).unwrap()));
        fraction.as_bytes().chunks(9).for_each(|digits| group(std::str::from_utf8(digits).unwrap()));
        if negative {
            bytes.iter_mut().for_each(|byte: &mut u8| *byte = !*byte);
        }
        bytes[0] ^= 0x80;
        bytes
    }

    fn round_trip(value: &str, precision: u32, scale: u32) {
        let packed = pack(value, precision, scale);
        assert_eq!(text(&packed, precision, scale, &mut Buffer::default()), Some(value), "{packed:x?}");
    }

    #[test]
    fn the_example_of_the_server_source() {
        // 1234567890.1234 as DECIMAL(14,4): 81 0d fb 38 d2 04 d2.
        let packed = [0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2];
        assert_eq!(text(&packed, 14, 4, &mut Buffer::default()), Some("1234567890.1234"));
        let negative = packed.map(|byte| !byte);
        assert_eq!(text(&negative, 14, 4, &mut Buffer::default()), Some("-1234567890.1234"));
    }

    #[test]
    fn edges() {
        let nines = format!("-{}.{}", "9".repeat(35), "9".repeat(30));
        round_trip(&nines, 65, 30);
        round_trip("0.000000000000000000000000000001", 65, 30);
        round_trip("0", 1, 0);
        round_trip("-1.10", 10, 2);
        round_trip("0.00", 10, 2);
        round_trip("-0.5", 1, 1);
        round_trip("1000000000", 10, 0);
        assert_eq!(stored_length(65, 30), Some(30));
        assert_eq!(stored_length(66, 0), None);
        assert_eq!(stored_length(3, 4), None);
    }

    proptest! {
        #[test]
        fn every_decimal_round_trips((precision, scale, digits, negative) in (1u32..=65).prop_flat_map(|precision| {
            (Just(precision), 0..=precision.min(30), proptest::collection::vec(0u8..10, precision as usize), any::<bool>())
        })) {
            let digits: String = digits.iter().map(|digit| char::from(b'0' + digit)).collect();
            let (whole, fraction) = digits.split_at((precision - scale) as usize);
            let whole = match whole.trim_start_matches('0') { "" => "0", whole => whole };
            let sign = if negative && digits.bytes().any(|digit| digit != b'0') { "-" } else { "" };
            let point = if scale > 0 { "." } else { "" };
            round_trip(&format!("{sign}{whole}{point}{fraction}"), precision, scale);
        }

        #[test]
        fn any_bytes_are_a_decimal_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..40), precision in 0u32..80, scale in 0u32..80) {
            let mut buffer = Buffer::default();
            if let Some(text) = text(&bytes, precision, scale, &mut buffer) {
                prop_assert_eq!(text.split_once('.').map_or(0, |(_, fraction)| fraction.len()), scale as usize);
            }
        }
    }
}
