//! OpenMessaging drivers: one folder and one feature for each message queue; `local` is always there.
//!
//! To add one: a folder of its own with the same file names, a feature, and a line in [`registry`].

pub mod local;

use std::sync::Arc;

use openmessaging::DriverRegistry;

/// All drivers that this program was built with.
pub fn registry() -> DriverRegistry {
    let mut registry = DriverRegistry::new();
    registry.register(Arc::new(local::LocalDriver));
    registry
}
