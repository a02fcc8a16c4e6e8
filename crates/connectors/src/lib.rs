//! OpenMessaging connectors: one folder and one feature for each system.

use openmessaging_connector::Registry;

pub mod file;
#[cfg(feature = "mysql")]
pub mod mysql;
#[cfg(feature = "sqlite")]
pub mod sqlite;

/// Makes every connector of this crate known: one line each.
pub fn register(registry: &mut Registry) {
    file::register(registry);
    #[cfg(feature = "mysql")]
    mysql::register(registry);
    #[cfg(feature = "sqlite")]
    sqlite::register(registry);
}
