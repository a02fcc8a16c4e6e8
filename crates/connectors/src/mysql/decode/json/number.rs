//! Numbers as the server prints them in JSON.

use std::io::Write;

/// A double as `my_gcvt` of the server's `strings/dtoa.cc` writes it: the fewest digits that give the same number, in
/// plain notation from 1e-15 up to 15 digits before the point (or 16, if more follow), otherwise with an exponent
/// without sign `+` and zeros; and `.0` behind what would look like an integer.
pub(super) fn write_double(value: f64, out: &mut Vec<u8>) {
    if !value.is_finite() {
        // Not in JSON; no server writes them.
        return out.extend_from_slice(b"null");
    }
    let mut buffer = zmij::Buffer::new();
    let (digits, length, point) = split(buffer.format_finite(value.abs()));
    let digits = &digits[..length];
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let plain = (-14..=15).contains(&point) || (point > 15 && digits.len() as i32 > point);
    if !plain {
        out.push(digits[0]);
        if digits.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        let _ = write!(out, "e{}", point - 1);
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

/// The digits of a decimal number without zeros at either end (one zero for zero), how many they are, and before
/// which of them the point stands.
///
/// Of two shortest forms that are equally near, `zmij` gives the one that ends in an even digit, as the server does;
/// the standard library does not.
fn split(text: &str) -> ([u8; 24], usize, i32) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let mut digits = [b'0'; 24];
    let (mut length, mut point, mut behind) = (0, 0, false);
    for byte in mantissa.bytes() {
        match byte {
            b'.' => behind = true,
            b'0' if length == 0 => point -= i32::from(behind),
            _ => {
                if let Some(place) = digits.get_mut(length) {
                    *place = byte;
                    length += 1;
                }
                point += i32::from(!behind);
            }
        }
    }
    while length > 1 && digits[length - 1] == b'0' {
        length -= 1;
    }
    match length {
        0 => (digits, 1, 1),
        _ => (digits, length, point + exponent.parse().unwrap_or(0)),
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
            (-904851644651386.2, "-904851644651386.2"),
            (100.0, "100.0"),
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
