//! Which requests a broker takes, and which release it is.

use openmessaging::{Error, Result, StatusCode};

use super::super::wire::{Reader, Write};
use super::{ALL, API_VERSIONS, API_VERSIONS_FLEXIBLE, Api, begin, end};

/// The versions that a broker takes of each kind of request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in super::super) struct Versions(Vec<(i16, i16, i16)>);

pub(in super::super) fn request(client_id: &str) -> Vec<u8> {
    let mut out = begin(API_VERSIONS, client_id);
    end(&mut out);
    out
}

pub(in super::super) fn answer(mut reader: Reader<'_>) -> Result<(i16, Versions)> {
    let code = reader.i16()?;
    let versions = reader.array(|each| Ok((each.i16()?, each.i16()?, each.i16()?)))?;
    Ok((code, Versions(versions)))
}

impl Versions {
    pub fn has(&self, api: Api) -> bool {
        self.0.iter().any(|(key, min, max)| *key == api.key && (*min..=*max).contains(&api.version))
    }

    /// # Errors
    /// `UnsupportedVersion`, naming the first request that the broker does not take.
    pub fn check(&self, server: &str) -> Result<()> {
        match ALL.iter().find(|api| api.needed && !self.has(**api)) {
            None => Ok(()),
            Some(missing) => Err(Error::new(
                StatusCode::UnsupportedVersion,
                format!("{server} does not take version {} of the request {}", missing.version, missing.name),
            )
            .with_remedy("use a broker of Apache Kafka 2.1 or newer (tested with 4.1)")),
        }
    }
}

/// The request of brokers from 2.4 on, with the client's name and version.
pub(in super::super) fn flexible_request(client_id: &str) -> Vec<u8> {
    let mut out = begin(API_VERSIONS_FLEXIBLE, client_id);
    // No tagged fields in the header.
    out.i8(0);
    for text in ["omsconnect", env!("CARGO_PKG_VERSION")] {
        out.push(text.len() as u8 + 1);
        out.extend_from_slice(text.as_bytes());
    }
    out.i8(0);
    end(&mut out);
    out
}

/// The levels of the feature `metadata.version`: the newest that the broker's program knows, and the one in use.
pub(in super::super) fn flexible_answer(mut reader: Reader<'_>) -> Result<(Option<i16>, Option<i16>)> {
    reader.i16()?;
    for _ in 0..reader.compact_length()? {
        reader.take(6)?;
        reader.tags(|_, _| Ok(()))?;
    }
    reader.i32()?;
    let (mut supported, mut finalized) = (None, None);
    reader.tags(|tag, field| {
        let target = match tag {
            0 => &mut supported,
            2 => &mut finalized,
            _ => return Ok(()),
        };
        for _ in 0..field.compact_length()? {
            let name = field.compact_string()?;
            let (first, second) = (field.i16()?, field.i16()?);
            field.tags(|_, _| Ok(()))?;
            if name == "metadata.version" {
                // The least and the greatest; of what is in use, the greatest comes first.
                *target = Some(if tag == 0 { second } else { first });
            }
        }
        Ok(())
    })?;
    Ok((supported, finalized))
}

/// The release that brought a level of `metadata.version` (`MetadataVersion.java`).
pub(in super::super) fn release(level: i16) -> &'static str {
    match level {
        ..=1 => "3.0",
        2 => "3.1",
        3 => "3.2",
        4..=7 => "3.3",
        8 => "3.4",
        9..=11 => "3.5",
        12..=14 => "3.6",
        15..=19 => "3.7",
        20 => "3.8",
        21 => "3.9",
        22..=25 => "4.0",
        26..=27 => "4.1",
        _ => "4.2 or newer",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_broker_is_told_by_what_it_lacks() {
        let all = Versions(ALL.iter().map(|api| (api.key, 0, 9)).collect());
        assert!(all.has(ALL[1]) == (ALL[1].version <= 9));
        let wide = Versions(ALL.iter().map(|api| (api.key, 0, 20)).collect());
        assert!(wide.check("kafka at x").is_ok());
        let old = Versions(ALL.iter().map(|api| (api.key, 0, api.version.min(6))).collect());
        let error = old.check("kafka at x").expect_err("too old");
        assert_eq!(error.status, StatusCode::UnsupportedVersion);
        let text = error.to_string();
        assert!(text.contains("kafka at x") && text.contains("Produce") && text.contains("2.1"), "{text}");
    }
}
