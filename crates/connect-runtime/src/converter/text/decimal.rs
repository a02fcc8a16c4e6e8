//! Decimals: plain text (`-1.10`), Java's text (`1E-7`), and the two's complement bytes of Kafka Connect's `Decimal`.

use super::number::{push_base64, push_i64};

/// The largest scale, and the largest number of digits, that is read from outside: a scale of two thousand millions
/// would fill the memory with zeros, and making digits of bytes takes time that grows with their square.
pub(in crate::converter) const MAX_DIGITS: usize = 10_000;

/// About as many bytes of two's complement.
const MAX_BYTES: usize = 4096;

/// Whether `text` is a decimal as [`Scalar::Decimal`](openmessaging_connector::Scalar::Decimal) has it, which is also
/// a number in JSON.
#[inline]
pub(in crate::converter) fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let whole = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let leading_zero = whole > 1 && digits[0] == b'0';
    if whole == 0 || leading_zero {
        return false;
    }
    match digits[whole..].split_first() {
        None => true,
        Some((b'.', fraction)) => !fraction.is_empty() && fraction.iter().all(u8::is_ascii_digit),
        Some(_) => false,
    }
}

/// Appends a plain decimal as Java's `BigDecimal.toString` has it: with an exponent where the first digit stands more
/// than six places behind the point; zero has no sign.
pub(in crate::converter) fn push_java(out: &mut Vec<u8>, text: &str) {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let zero = digits.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    if !zero {
        out.extend_from_slice(sign.as_bytes());
    }
    // digits of the unscaled number: zeros in front do not count, and zero itself has one digit
    let skipped = fraction.len() - fraction.trim_start_matches('0').len();
    let significant = if zero { "0" } else { fraction.get(skipped..).unwrap_or_default() };
    let adjusted = significant.len() as i64 - 1 - fraction.len() as i64;
    if whole.trim_start_matches('0').is_empty() && !fraction.is_empty() && adjusted < -6 {
        out.extend_from_slice(&significant.as_bytes()[..1]);
        if significant.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&significant.as_bytes()[1..]);
        }
        out.push(b'E');
        push_i64(out, adjusted);
        return;
    }
    out.extend_from_slice(digits.as_bytes());
}

/// Appends the base64 of the unscaled number of a plain decimal: big-endian two's complement in the fewest bytes, as
/// `BigInteger.toByteArray` has it. `None` where the text has more digits behind the point than `scale`.
pub(in crate::converter) fn push_unscaled(out: &mut Vec<u8>, text: &str, scale: u32) -> Option<()> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let padding = (scale as usize).checked_sub(fraction.len())?;
    let digits = || whole.bytes().chain(fraction.bytes()).chain(std::iter::repeat_n(b'0', padding));
    if whole.len() + fraction.len() + padding <= 38 {
        let number = digits().fold(0_i128, |number, digit| number * 10 + i128::from(digit - b'0'));
        let number = if negative { -number } else { number };
        push_base64(out, minimal(&number.to_be_bytes()));
        return Some(());
    }
    // base 10^9 into base 2^32, least significant limb first
    let mut limbs: Vec<u32> = Vec::new();
    let all: Vec<u8> = digits().collect();
    for chunk in all.chunks(9) {
        let value = chunk.iter().fold(0_u64, |value, digit| value * 10 + u64::from(digit - b'0'));
        multiply_add(&mut limbs, 10_u64.pow(chunk.len() as u32), value);
    }
    let mut bytes = vec![0];
    bytes.extend(limbs.iter().rev().flat_map(|limb| limb.to_be_bytes()));
    if negative {
        negate(&mut bytes);
    }
    push_base64(out, minimal(&bytes));
    Some(())
}

/// The plain text of an unscaled number in big-endian two's complement. `None` for no bytes and beyond
/// [`MAX_DIGITS`].
pub(in crate::converter) fn from_unscaled(bytes: &[u8], scale: i64) -> Option<String> {
    let first = *bytes.first()?;
    let scale_size = usize::try_from(scale.unsigned_abs()).ok().filter(|size| *size <= MAX_DIGITS)?;
    let negative = first >= 0x80;
    let mut digits = if bytes.len() <= 16 {
        let mut padded = [if negative { 0xff } else { 0 }; 16];
        padded[16 - bytes.len()..].copy_from_slice(bytes);
        i128::from_be_bytes(padded).unsigned_abs().to_string()
    } else if bytes.len() <= MAX_BYTES {
        let mut magnitude = bytes.to_vec();
        if negative {
            negate(&mut magnitude);
        }
        big_digits(&magnitude)
    } else {
        return None;
    };
    if scale < 0 && digits != "0" {
        digits.extend(std::iter::repeat_n('0', scale_size));
    }
    Some(place_point(negative, &digits, if scale < 0 { 0 } else { scale_size }))
}

/// The plain text of a JSON number, exponent and all (`1.5e3`), with at least `scale` digits behind the point.
/// `None` beyond [`MAX_DIGITS`].
pub(in crate::converter) fn from_json_number(text: &str, scale: usize) -> Option<String> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i64 = exponent.strip_prefix('+').unwrap_or(exponent).parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = format!("{whole}{fraction}");
    let mut behind = (fraction.len() as i64).checked_sub(exponent)?;
    let wanted = i64::try_from(scale).ok()?.max(0).max(behind);
    let more = usize::try_from(wanted.checked_sub(behind)?).ok()?;
    if more + digits.len() > MAX_DIGITS || wanted > MAX_DIGITS as i64 {
        return None;
    }
    digits.extend(std::iter::repeat_n('0', more));
    behind += more as i64;
    let trimmed = digits.trim_start_matches('0');
    let digits = if trimmed.is_empty() { "0" } else { trimmed };
    Some(place_point(negative, digits, usize::try_from(behind).ok()?))
}

fn place_point(negative: bool, digits: &str, scale: usize) -> String {
    let zero = digits.bytes().all(|digit| digit == b'0');
    let mut text = String::with_capacity(digits.len().max(scale) + 3);
    if negative && !zero {
        text.push('-');
    }
    if scale == 0 {
        text.push_str(digits);
        return text;
    }
    let whole = digits.len().saturating_sub(scale);
    text.push_str(if whole == 0 { "0" } else { &digits[..whole] });
    text.push('.');
    text.extend(std::iter::repeat_n('0', scale.saturating_sub(digits.len())));
    text.push_str(&digits[whole..]);
    text
}

/// Without the bytes in front that only repeat the sign.
fn minimal(bytes: &[u8]) -> &[u8] {
    let repeats = |pair: &&[u8]| matches!((pair[0], pair[1]), (0, 0..0x80) | (0xff, 0x80..));
    let start = bytes.windows(2).take_while(repeats).count();
    &bytes[start..]
}

fn negate(bytes: &mut [u8]) {
    let mut carry = true;
    for byte in bytes.iter_mut().rev() {
        (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
    }
}

fn multiply_add(limbs: &mut Vec<u32>, factor: u64, add: u64) {
    let mut carry = add;
    for limb in limbs.iter_mut() {
        let value = u64::from(*limb) * factor + carry;
        *limb = value as u32;
        carry = value >> 32;
    }
    if carry > 0 {
        limbs.push(carry as u32);
    }
}

fn big_digits(magnitude: &[u8]) -> String {
    let mut limbs: Vec<u32> = magnitude
        .rchunks(4)
        .map(|chunk| chunk.iter().fold(0, |limb, byte| limb << 8 | u32::from(*byte)))
        .collect();
    let mut groups = Vec::new();
    while let Some(last) = limbs.iter().rposition(|limb| *limb != 0) {
        limbs.truncate(last + 1);
        let mut remainder = 0_u64;
        for limb in limbs.iter_mut().rev() {
            let value = remainder << 32 | u64::from(*limb);
            *limb = (value / 1_000_000_000) as u32;
            remainder = value % 1_000_000_000;
        }
        groups.push(remainder);
    }
    let Some(first) = groups.pop() else { return "0".to_owned() };
    groups.iter().rev().fold(first.to_string(), |text, group| text + &format!("{group:09}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn java(text: &str) -> String {
        let mut out = Vec::new();
        push_java(&mut out, text);
        String::from_utf8(out).expect("ASCII")
    }

    fn unscaled(text: &str, scale: u32) -> Vec<u8> {
        let mut out = Vec::new();
        push_unscaled(&mut out, text, scale).expect("fits");
        super::super::number::read_base64(std::str::from_utf8(&out).expect("ASCII")).expect("base64")
    }

    #[test]
    fn texts_are_those_of_big_decimal() {
        let cases = [
            ("1.10", "1.10"),
            ("-0.00", "0.00"),
            ("0.000000", "0.000000"),
            ("0.0000000", "0E-7"),
            ("0.0000001", "1E-7"),
            ("0.0000010", "0.0000010"),
            ("-0.00000012", "-1.2E-7"),
            ("123456.0000000", "123456.0000000"),
            ("0.000000000000000000000000000000", "0E-30"),
            ("0", "0"),
            ("-7", "-7"),
        ];
        for (plain, wanted) in cases {
            assert_eq!(java(plain), wanted);
        }
    }

    #[test]
    fn json_numbers_become_plain() {
        let cases = [
            ("1.5", 2, "1.50"),
            ("1e3", 2, "1000.00"),
            ("-1.25E-3", 0, "-0.00125"),
            ("0e5", 0, "0"),
            ("100", 0, "100"),
        ];
        for (number, scale, wanted) in cases {
            assert_eq!(from_json_number(number, scale).as_deref(), Some(wanted));
        }
        assert_eq!(from_json_number("1e999999999", 0), None);
        assert_eq!(from_json_number("1e-999999999999999999", 0), None);
        assert_eq!(from_unscaled(&[], 0), None);
        assert_eq!(from_unscaled(&[1], i64::MAX), None);
        assert_eq!(from_unscaled(&[1], -2).as_deref(), Some("100"));
    }

    proptest! {
        #[test]
        fn any_decimal_comes_back(text in "-?(0|[1-9][0-9]{0,60})(\\.[0-9]{1,60})?") {
            prop_assert!(is_plain(&text));
            let scale = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
            let bytes = unscaled(&text, scale as u32);
            let zero = text.bytes().all(|byte| matches!(byte, b'-' | b'0' | b'.'));
            let wanted = if zero { text.trim_start_matches('-') } else { &text };
            let back = from_unscaled(&bytes, scale as i64);
            prop_assert_eq!(back.as_deref(), Some(wanted));
            let back = from_json_number(&java(&text), scale);
            prop_assert_eq!(back.as_deref(), Some(wanted));
        }

        #[test]
        fn any_bytes_are_minimal_again(bytes in proptest::collection::vec(any::<u8>(), 1..40), scale in 0_i64..40) {
            let text = from_unscaled(&bytes, scale).expect("bounded");
            prop_assert_eq!(unscaled(&text, scale as u32), minimal(&bytes));
        }

        #[test]
        fn only_plain_texts_are_plain(text in "[-0-9.e+ ]{0,12}") {
            let json = serde_json::from_str::<serde_json::Number>(&text).is_ok();
            let wanted = json && text.bytes().all(|byte| matches!(byte, b'-' | b'.' | b'0'..=b'9'));
            prop_assert_eq!(is_plain(&text), wanted);
        }
    }
}
