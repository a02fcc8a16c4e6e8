//! Configuration: definitions, values as users wrote them, and values parsed by a definition.
//!
//! A [`ConfigDef`] is the one description of a plugin's keys: validation, the REST answers and the reference page are
//! all made from it.

mod def;
mod parsed;
mod validate;

pub use def::{ConfigDef, Importance, Key, KeyType, Validator, Width};
pub use parsed::{Parsed, Secret};
pub use validate::{KeyValue, nearest};

/// A configuration as the user wrote it: text values in the order they were given.
pub type Config = indexmap::IndexMap<String, String>;

/// What is shown in the place of a secret.
pub const MASK: &str = "********";
