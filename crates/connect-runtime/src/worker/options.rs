//! How a worker is to run.

use std::time::Duration;

use openmessaging::{AccessPointUrl, DriverRegistry, Properties};
use openmessaging_connector::Registry;

/// The options of a worker; the command line makes them from files, flags and the environment.
#[derive(Clone)]
pub struct WorkerOptions {
    /// Unique in the group; the same again after a restart.
    pub worker_id: String,
    /// Workers of one group on one broker share their connectors.
    pub group: String,
    pub driver_url: AccessPointUrl,
    /// Settings of drivers, secrets resolved.
    pub driver_properties: Properties,
    /// `host:port` at which others reach this worker's REST API.
    pub address: String,
    pub drivers: DriverRegistry,
    pub plugins: Registry,
    /// Defaults of connectors: `key.converter`, `value.converter` and their options, `offset.flush.interval.ms` ...
    pub connector_defaults: openmessaging_connector::Config,
    pub heartbeat_interval: Duration,
    /// How long work may take to stop by itself before it is given up.
    pub shutdown_timeout: Duration,
    /// How long one call into a plugin may take (invariant 8).
    pub call_timeout: Duration,
    /// What all tasks together may hold in flight, in bytes (invariant 5).
    pub memory_bytes: usize,
}

impl WorkerOptions {
    pub fn new(worker_id: impl Into<String>, driver_url: AccessPointUrl) -> Self {
        Self {
            worker_id: worker_id.into(),
            group: "default".to_owned(),
            driver_url,
            driver_properties: Properties::new(),
            address: "127.0.0.1:8081".to_owned(),
            drivers: DriverRegistry::new(),
            plugins: Registry::new(),
            connector_defaults: Default::default(),
            heartbeat_interval: Duration::from_secs(10),
            shutdown_timeout: Duration::from_secs(10),
            call_timeout: Duration::from_secs(60),
            memory_bytes: 64 << 20,
        }
    }
}
