//! The one place that names drivers, connectors and converters.

use openmessaging::DriverRegistry;
use openmessaging_connector::Registry;

/// The drivers of this program.
pub fn drivers() -> DriverRegistry {
    drivers::registry()
}

/// The connectors and converters of this program.
pub fn registry() -> Registry {
    let mut registry = Registry::new();
    connectors::register(&mut registry);
    connect_runtime::converter::register(&mut registry);
    registry
}
