//! The settings of the embedded driver, all with defaults.

use std::time::Duration;

use openmessaging::{Error, Properties, Result, Setting};

use super::error::bad_parameter;

const SEGMENT_BYTES: &str = "segment.bytes";
const RETENTION_MS: &str = "retention.ms";
const RETENTION_BYTES: &str = "retention.bytes";
const RETENTION_CHECK_MS: &str = "retention.check.ms";
const COMPRESSION: &str = "compression";
const MAX_MESSAGE_BYTES: &str = "max.message.bytes";

/// The properties of an access point.
pub(super) const SETTINGS: [Setting; 6] = [
    Setting::new(
        SEGMENT_BYTES,
        "67108864",
        "How large a file of a partition grows before the next one is begun; retention removes whole files. 4 KiB to 1 GiB.",
    ),
    Setting::new(
        RETENTION_MS,
        "-1",
        "Messages of queues that do not say may be removed when they are older; `-1` keeps them.",
    ),
    Setting::new(RETENTION_BYTES, "-1", "The same by what a partition may hold on disk; `-1` keeps all."),
    Setting::new(RETENTION_CHECK_MS, "30000", "How often retention looks."),
    Setting::new(
        COMPRESSION,
        "lz4",
        "`lz4` compresses frames of 1 KiB and more where that gains, `none` never.",
    ),
    Setting::new(
        MAX_MESSAGE_BYTES,
        "67108864",
        "Key, headers and body of the largest message taken; up to 256 MiB.",
    ),
];

/// The properties of one queue, which win over those of the access point.
pub(super) const QUEUE_KEYS: [&str; 1] = [SEGMENT_BYTES];

const MIB: u64 = 1024 * 1024;

/// The default of `max.message.bytes`.
pub(super) const DEFAULT_MAX_MESSAGE_BYTES: usize = 64 * MIB as usize;

/// How an access point is to behave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Config {
    /// `segment.bytes`: how large a file of a partition grows before the next one is begun; retention removes whole
    /// files. 4 KiB to 1 GiB; default 64 MiB.
    pub segment_bytes: u64,
    /// `retention.ms`: messages of queues that do not say may be removed when they are older; `-1`, the default, keeps
    /// them.
    pub retention_ms: Option<u64>,
    /// `retention.bytes`: the same by what a partition may hold on disk; `-1`, the default, keeps all.
    pub retention_bytes: Option<u64>,
    /// `retention.check.ms`: how often retention looks; default 30 s.
    pub retention_check: Duration,
    /// `compression`: `lz4` (the default) compresses frames of 1 KiB and more where that gains, `none` never.
    pub compress: bool,
    /// `max.message.bytes`: key, headers and body of the largest message taken; up to 256 MiB, default 64 MiB.
    pub max_message_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            segment_bytes: 64 * MIB,
            retention_ms: None,
            retention_bytes: None,
            retention_check: Duration::from_secs(30),
            compress: true,
            max_message_bytes: DEFAULT_MAX_MESSAGE_BYTES,
        }
    }
}

impl Config {
    /// # Errors
    /// `BadParameter` for an unknown key (naming the nearest known one) or a value that cannot be read.
    pub fn parse(properties: &Properties) -> Result<Self> {
        known(properties.keys(), SETTINGS.map(|setting| setting.name))?;
        let mut config = Self::default();
        for (key, value) in properties {
            match key.as_str() {
                SEGMENT_BYTES => config.segment_bytes = segment_bytes(value)?,
                RETENTION_MS => config.retention_ms = or_forever(key, value)?,
                RETENTION_BYTES => config.retention_bytes = or_forever(key, value)?,
                RETENTION_CHECK_MS => {
                    config.retention_check = Duration::from_millis(number(key, value, 10, 86_400_000)?);
                }
                COMPRESSION => config.compress = compression(value)?,
                _ => config.max_message_bytes = number(key, value, 1, 256 * MIB)? as usize,
            }
        }
        Ok(config)
    }
}

/// The segment size that a queue's own properties ask for.
pub(super) fn queue_segment_bytes(properties: &Properties) -> Result<Option<u64>> {
    known(properties.keys(), QUEUE_KEYS)?;
    properties.get(SEGMENT_BYTES).map(|value| segment_bytes(value)).transpose()
}

fn known<'a, const N: usize>(keys: impl Iterator<Item = &'a String>, known: [&str; N]) -> Result<()> {
    for key in keys {
        if !known.contains(&key.as_str()) {
            let near = known.iter().min_by_key(|name| strsim::damerau_levenshtein(name, key));
            let hint = near.map(|near| format!("the nearest is {near}; ")).unwrap_or_default();
            let all = known.join(", ");
            return Err(bad_parameter(format!("the local driver has no property \"{key}\""))
                .with_remedy(format!("{hint}known: {all}")));
        }
    }
    Ok(())
}

fn segment_bytes(value: &str) -> Result<u64> {
    number(SEGMENT_BYTES, value, 4096, 1024 * MIB)
}

fn wrong(key: &str, value: &str, wanted: &str) -> Error {
    bad_parameter(format!("property {key} is \"{value}\"")).with_remedy(format!("write {wanted}"))
}

fn number(key: &str, value: &str, from: u64, to: u64) -> Result<u64> {
    let parsed = value.parse().ok().filter(|number| (from..=to).contains(number));
    parsed.ok_or_else(|| wrong(key, value, &format!("a number from {from} to {to}")))
}

fn or_forever(key: &str, value: &str) -> Result<Option<u64>> {
    if value == "-1" {
        return Ok(None);
    }
    let parsed = value.parse().map(Some);
    parsed.map_err(|_| wrong(key, value, "a number, or -1 to keep messages"))
}

fn compression(value: &str) -> Result<bool> {
    match value {
        "lz4" => Ok(true),
        "none" => Ok(false),
        _ => Err(wrong(COMPRESSION, value, "lz4 or none")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(key: &str, value: &str) -> Result<Config> {
        Config::parse(&Properties::from([(key.to_owned(), value.to_owned())]))
    }

    #[test]
    fn every_key_is_read() {
        assert_eq!(parse("segment.bytes", "4096").expect("read").segment_bytes, 4096);
        assert_eq!(parse("retention.ms", "-1").expect("read").retention_ms, None);
        assert_eq!(parse("retention.ms", "5").expect("read").retention_ms, Some(5));
        assert_eq!(parse("retention.bytes", "7").expect("read").retention_bytes, Some(7));
        assert_eq!(parse("retention.check.ms", "50").expect("read").retention_check.as_millis(), 50);
        assert!(!parse("compression", "none").expect("read").compress);
        assert_eq!(parse("max.message.bytes", "9").expect("read").max_message_bytes, 9);
        assert_eq!(Config::parse(&Properties::new()).expect("read"), Config::default());
    }

    #[test]
    fn errors_name_the_key_and_the_remedy() {
        for (key, value, says) in [
            ("segment.byte", "1", "nearest is segment.bytes"),
            ("segment.bytes", "1", "from 4096"),
            ("retention.ms", "x", "-1 to keep"),
            ("compression", "zip", "lz4 or none"),
        ] {
            let error = parse(key, value).expect_err(key).to_string();
            assert!(error.contains(key) && error.contains(says), "{error}");
        }
    }
}
