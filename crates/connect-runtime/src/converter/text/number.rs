//! Numbers and base64 as text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

#[inline]
pub(in crate::converter) fn push_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

#[inline]
pub(in crate::converter) fn push_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

pub(in crate::converter) fn push_hex4(out: &mut Vec<u8>, value: u16) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend([12, 8, 4, 0].map(|shift| DIGITS[usize::from(value >> shift & 15)]));
}

/// A number that is no number has no text in JSON: `None`.
#[inline]
pub(in crate::converter) fn push_float(out: &mut Vec<u8>, value: f64) -> Option<()> {
    value.is_finite().then(|| out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes()))
}

#[inline]
pub(in crate::converter) fn push_float32(out: &mut Vec<u8>, value: f32) -> Option<()> {
    value.is_finite().then(|| out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes()))
}

/// The shortest text that reads back as `value`, in the notation of Java's `Double.toString` (as of JDK 19, which
/// is shortest as well): `1.0E7`, `0.001`, `9.99E-4`, `4.9E-324`. Not for NaN and infinities.
#[inline]
pub(in crate::converter) fn push_java_f64(out: &mut Vec<u8>, value: f64) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value);
    if is_plain(value.abs()) {
        return out.extend_from_slice(text.as_bytes());
    }
    if value.is_subnormal() && digits(text) == 1 {
        // Java has at least two digits, and of those the two that are nearest: 4.9E-324, not 5.0E-324
        return push_scientific(out, &format!("{value:.1e}"));
    }
    push_scientific(out, text);
}

/// The same for `Float.toString`.
#[inline]
pub(in crate::converter) fn push_java_f32(out: &mut Vec<u8>, value: f32) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value);
    if is_plain(f64::from(value.abs())) {
        return out.extend_from_slice(text.as_bytes());
    }
    if value.is_subnormal() && digits(text) == 1 {
        return push_scientific(out, &format!("{value:.1e}"));
    }
    push_scientific(out, text);
}

/// `NaN`, `Infinity` and `-Infinity`, as Java names them.
pub(in crate::converter) fn not_finite(value: f64) -> &'static str {
    match value {
        value if value.is_nan() => "NaN",
        value if value > 0.0 => "Infinity",
        _ => "-Infinity",
    }
}

/// Where Java writes no exponent; our library writes none there either.
#[inline]
fn is_plain(magnitude: f64) -> bool {
    (1e-3..1e7).contains(&magnitude) || magnitude == 0.0
}

fn digits(text: &str) -> usize {
    let mantissa = text.split(['e', 'E']).next().unwrap_or(text);
    let digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
    let first = digits.iter().position(|digit| *digit != b'0').unwrap_or(digits.len());
    let last = digits.iter().rposition(|digit| *digit != b'0').map_or(first, |at| at + 1);
    last - first
}

/// Writes the number of `text` (`12300000.0`, `1e23`, `0.00012`) as `d.dddE±n`.
fn push_scientific(out: &mut Vec<u8>, text: &str) {
    let (sign, text) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    let first = digits.iter().position(|digit| *digit != b'0').unwrap_or(0);
    let last = digits.iter().rposition(|digit| *digit != b'0').unwrap_or(0).max(first);
    let exponent: i64 = exponent.parse().unwrap_or(0);
    let exponent = exponent + whole.len() as i64 - 1 - first as i64;
    out.extend_from_slice(sign.as_bytes());
    out.push(digits.get(first).copied().unwrap_or(b'0'));
    out.push(b'.');
    match digits.get(first + 1..=last) {
        Some(rest) if !rest.is_empty() => out.extend_from_slice(rest),
        _ => out.push(b'0'),
    }
    out.push(b'E');
    push_i64(out, exponent);
}

/// Standard base64 with padding (RFC 4648), without quotes.
#[inline]
pub(in crate::converter) fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    // the room is exact, so this writes all of it
    let written = STANDARD.encode_slice(bytes, &mut out[start..]).unwrap_or(0);
    out.truncate(start + written);
}

/// The bytes of standard base64 with padding.
pub(in crate::converter) fn read_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn java64(value: f64) -> String {
        let mut out = Vec::new();
        push_java_f64(&mut out, value);
        String::from_utf8(out).expect("ASCII")
    }

    fn java32(value: f32) -> String {
        let mut out = Vec::new();
        push_java_f32(&mut out, value);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn floats_are_in_the_notation_of_java() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (9_999_999.0, "9999999.0"),
            (1.0e7, "1.0E7"),
            (12_345_678.9, "1.23456789E7"),
            (-1.0e7, "-1.0E7"),
            (0.001, "0.001"),
            (9.99e-4, "9.99E-4"),
            (1.0e-4, "1.0E-4"),
            (1.0e21, "1.0E21"),
            (1.234e-10, "1.234E-10"),
            (f64::MAX, "1.7976931348623157E308"),
            (5e-324, "4.9E-324"),
            (2e-323, "2.0E-323"),
            (1e-322, "9.9E-323"),
            (2.2250738585072014e-308, "2.2250738585072014E-308"),
        ];
        for (value, text) in cases {
            assert_eq!(java64(value), text);
        }
        let cases = [(0.1, "0.1"), (1.0e7, "1.0E7"), (16_777_216.0, "1.6777216E7"), (1e-45, "1.4E-45")];
        for (value, text) in cases {
            assert_eq!(java32(value), text);
        }
        assert_eq!(java32(f32::MAX), "3.4028235E38");
    }

    proptest! {
        #[test]
        fn any_float_reads_back(bits: u64, small: u32) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            prop_assert_eq!(java64(value).parse::<f64>().expect("a number").to_bits(), bits);
            let value = f32::from_bits(small);
            prop_assume!(value.is_finite());
            prop_assert_eq!(java32(value).parse::<f32>().expect("a number").to_bits(), small);
        }

        #[test]
        fn base64_comes_back(bytes: Vec<u8>) {
            let mut out = b"x".to_vec();
            push_base64(&mut out, &bytes);
            let text = std::str::from_utf8(&out[1..]).expect("ASCII");
            prop_assert_eq!(read_base64(text), Some(bytes));
        }
    }
}
