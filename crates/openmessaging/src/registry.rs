//! Drivers by name.

use std::sync::Arc;

use crate::access_point::{Driver, MessagingAccessPoint, Properties};
use crate::error::{Error, Result, StatusCode};
use crate::url::AccessPointUrl;

/// The drivers that a program has.
#[derive(Clone, Default)]
pub struct DriverRegistry {
    drivers: Vec<Arc<dyn Driver>>,
}

impl DriverRegistry {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn register(&mut self, driver: Arc<dyn Driver>) {
        self.drivers.push(driver);
    }

    pub fn drivers(&self) -> &[Arc<dyn Driver>] {
        &self.drivers
    }

    /// # Errors
    /// `UnknownDriver`, listing the known ones.
    pub fn find(&self, name: &str) -> Result<&Arc<dyn Driver>> {
        self.drivers.iter().find(|driver| driver.name() == name).ok_or_else(|| {
            let known: Vec<_> = self.drivers.iter().map(|driver| driver.name()).collect();
            let near = known
                .iter()
                .min_by_key(|known| strsim::damerau_levenshtein(known, name))
                .filter(|known| strsim::damerau_levenshtein(known, name) <= 2);
            let hint = near.map(|near| format!("did you mean {near}? ")).unwrap_or_default();
            Error::new(StatusCode::UnknownDriver, format!("no driver is named \"{name}\""))
                .with_remedy(format!("{hint}known drivers: {}", known.join(", ")))
        })
    }

    pub async fn connect(
        &self,
        url: &AccessPointUrl,
        properties: &Properties,
    ) -> Result<Arc<dyn MessagingAccessPoint>> {
        self.find(&url.driver)?.connect(url, properties).await
    }
}
