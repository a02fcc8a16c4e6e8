//! Names of queues, and what region and namespace make of them at the broker.

use openmessaging::{AccessPointUrl, Error, Result, StatusCode};

const MAX: usize = 200;

/// # Errors
/// `BadParameter`: not 1 to 200 letters, digits, `.`, `_` and `-`.
pub(crate) fn check_queue(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if (1..=MAX).contains(&name.len()) && name.chars().all(allowed) {
        return Ok(());
    }
    let shown: String = name.chars().take(60).collect();
    Err(Error::new(StatusCode::BadParameter, format!("\"{shown}\" cannot be the name of a queue"))
        .with_remedy(format!("use 1 to {MAX} letters, digits, \".\", \"_\" and \"-\"")))
}

pub(crate) use crate::store::table::check_name as check_store;

/// A prefix made of region and namespace, for brokers that have nothing better: `region.namespace.`; empty where both
/// are `default` or empty, so that queues keep their plain names.
pub(crate) fn prefix(url: &AccessPointUrl, separator: &str) -> String {
    let parts = [url.region(), url.namespace()];
    parts.into_iter().flatten().map(|part| format!("{part}{separator}")).collect()
}

/// # Errors
/// `BadUrl`: a region or namespace that no name of a queue could hold.
pub(crate) fn check_prefix(url: &AccessPointUrl) -> Result<()> {
    for part in [url.region(), url.namespace()].into_iter().flatten() {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        if part.len() > 60 || !part.chars().all(allowed) {
            return Err(Error::new(
                StatusCode::BadUrl,
                format!("\"{part}\" cannot be a region or namespace"),
            )
            .with_remedy("use up to 60 letters, digits, \"_\" and \"-\""));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_and_empty_add_nothing() {
        let prefix = |url: &str| prefix(&url.parse().expect("a URL"), ".");
        assert_eq!(prefix("oms:x://h/default:default"), "");
        assert_eq!(prefix("oms:x://h/"), "");
        assert_eq!(prefix("oms:x://h/default:shop"), "shop.");
        assert_eq!(prefix("oms:x://h/eu:shop"), "eu.shop.");
    }

    #[test]
    fn names_are_checked() {
        assert!(check_queue("a.B-9_").is_ok() && check_store("a-B_9").is_ok());
        for bad in ["", "a b", "a/b", "é", &"a".repeat(201)] {
            assert!(check_queue(bad).is_err() && check_store(bad).is_err(), "{bad}");
        }
    }
}
