//! Numbers as the server prints them in JSON.

use std::io::Write;

/// A double as `my_gcvt` of the server's `strings/dtoa.cc` writes it: the fewest digits that give the same number, in plain
/// notation from 1e-15 up to 15 digits before the point (or 16, if more follow), otherwise with an exponent without sign
/// `+` and zeros; and `.0` behind
/// what would look like an integer.
pub(super) fn write_double(value: f64, out: &mut Vec<u8>) {
    let mut text = Vec::with_capacity(32);
    // Writing into memory does not fail.
    let _ = write!(text, "{:e}", value.abs());
    let (mantissa, exponent) = match text.iter().position(|byte| *byte == b'e') {
        Some(at) => (&text[..at], std::str::from_utf8(&text[at + 1..]).unwrap_or_default()),
        // Infinities and NaN are not in JSON; no server writes them.
        None => return out.extend_from_slice(b"null"),
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let mut digits = [0u8; 24];
    let mut length = 0;
    for digit in mantissa.iter().filter(|byte| byte.is_ascii_digit()).take(24) {
        digits[length] = *digit;
        length += 1;
    }
    let digits = &digits[..length];
    if value.is_sign_negative() {
        out.push(b'-');
    }
    // The point stands before the digit of this number.
    let point = exponent + 1;
    let plain = (-14..=15).contains(&point) || (point > 15 && digits.len() as i32 > point);
    if !plain {
        out.push(digits[0]);
        if digits.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        let _ = write!(out, "e{exponent}");
        return;
    }
    if point <= 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', point.unsigned_abs() as usize));
        out.extend_from_slice(digits);
        return;
    }
    let point = point as usize;
    if digits.len() <= point {
        out.extend_from_slice(digits);
        out.extend(std::iter::repeat_n(b'0', point - digits.len()));
        out.extend_from_slice(b".0");
    } else {
        out.extend_from_slice(&digits[..point]);
        out.push(b'.');
        out.extend_from_slice(&digits[point..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: f64) -> String {
        let mut out = Vec::new();
        write_double(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn doubles_as_the_server_prints_them() {
        for (value, wanted) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-1.5, "-1.5"),
            (0.001, "0.001"),
            (1e14, "100000000000000.0"),
            (1e15, "1e15"),
            (1234567890123456.8, "1234567890123456.8"),
            (123456789012345680.0, "1.2345678901234568e17"),
            (1e-15, "0.000000000000001"),
            (1e-16, "1e-16"),
            (f64::MAX, "1.7976931348623157e308"),
            (5e-324, "5e-324"),
        ] {
            assert_eq!(text(value), wanted);
        }
    }
}
