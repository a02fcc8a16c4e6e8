//! Values read by a definition.

use std::collections::HashMap;
use std::fmt;

use super::Config;
use super::def::ConfigDef;

/// A secret: printed only as a mask, read only by [`expose`](Self::expose).
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(super::MASK)
    }
}

/// A configuration that was found valid. The typed getters answer the type's zero for a key that has no value, so
/// keys without default are read with [`get`](Self::get).
#[derive(Clone)]
pub struct Parsed {
    values: HashMap<&'static str, String>,
}

impl Parsed {
    pub(super) fn new(def: &ConfigDef, config: &Config) -> Self {
        let values = def.keys().iter().filter_map(|key| {
            let text = key.given(config).or(key.default)?;
            Some((key.name, key.normalise(text).ok()?))
        });
        Self { values: values.collect() }
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    pub fn str(&self, key: &str) -> &str {
        self.get(key).unwrap_or_default()
    }

    pub fn int(&self, key: &str) -> i64 {
        self.get(key).and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    pub fn bool(&self, key: &str) -> bool {
        self.get(key) == Some("true")
    }

    /// The members of a list, empty ones left out.
    pub fn list(&self, key: &str) -> Vec<&str> {
        self.str(key).split(',').filter(|member| !member.is_empty()).collect()
    }

    pub fn millis(&self, key: &str) -> std::time::Duration {
        std::time::Duration::from_millis(self.int(key).unsigned_abs())
    }

    pub fn secret(&self, key: &str) -> Secret {
        Secret::new(self.str(key))
    }
}
