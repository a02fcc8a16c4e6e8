//! The settings of a driver, and what its broker calls things, as data: what reads settings, refuses unknown ones and
//! makes the reference pages.

use serde::Serialize;

/// One property of a driver beside its URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Setting {
    pub name: &'static str,
    /// As it would be written; empty: none.
    pub default: &'static str,
    /// Never shown, also not in errors.
    pub secret: bool,
    pub documentation: &'static str,
}

impl Setting {
    pub const fn new(name: &'static str, default: &'static str, documentation: &'static str) -> Self {
        Self { name, default, secret: false, documentation }
    }

    pub const fn secret(name: &'static str, documentation: &'static str) -> Self {
        Self { name, default: "", secret: true, documentation }
    }
}

/// What the words of this API are at a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Terms {
    /// The broker's name as it is written: `Apache Kafka`.
    pub broker: &'static str,
    /// The versions it was tested with.
    pub versions: &'static str,
    pub default_port: u16,
    pub queue: &'static str,
    pub partition: &'static str,
    pub region: &'static str,
    pub namespace: &'static str,
    /// Where positions of consumer groups are kept.
    pub positions: &'static str,
    /// Where key/value stores are kept.
    pub stores: &'static str,
    /// When a message counts as durable.
    pub durable: &'static str,
}
