//! Placeholder
pub(super) static SWE7: [(u8, char); 12] = [
    (0x40, 'É'),
    (0x5b, 'Ä'),
    (0x5c, 'Ö'),
    (0x5d, 'Å'),
    (0x5e, 'Ü'),
    (0x60, 'é'),
    (0x7b, 'ä'),
    (0x7c, 'ö'),
    (0x7d, 'å'),
    (0x7e, 'ü'),
    (0x24, '$'),
    (0x23, '#'),
];
static LATIN1: [char; 128] = ['\u{fffd}'; 128];
pub(super) fn single_byte(_name: &str) -> Option<&'static [char; 128]> {
    Some(&LATIN1)
}
