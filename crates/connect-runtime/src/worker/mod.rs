//! A worker: the one thing that REST and the command line talk to.

mod api;
mod connector;
mod options;
mod requests;
mod supervisor;
mod views;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

pub use api::{
    Allocated, ConnectorInfo, ConnectorStatus, Put, PutMode, TaskInfo, TaskStatus, ValidatedKey, Validation,
    WorkStatus, WorkerInfo,
};
use openmessaging::{AccessPointUrl, KeyValueStore, MessagingAccessPoint, Properties};
use openmessaging_connector::Registry;
pub use options::WorkerOptions;
pub use requests::validate_config;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::cluster::{ControlLog, Entry, State, now_ms};
use crate::error::ApiError;
use crate::task::{AccessPoints, TaskReports};

/// A running worker. Cheap to clone; all clones are the same worker.
#[derive(Clone)]
pub struct Worker {
    inner: Arc<Inner>,
}

struct Inner {
    options: WorkerOptions,
    access_point: Arc<dyn MessagingAccessPoint>,
    /// Other access points that connectors name, by URL.
    others: tokio::sync::Mutex<HashMap<(AccessPointUrl, Properties), Arc<dyn MessagingAccessPoint>>>,
    store: Arc<dyn KeyValueStore>,
    log: Arc<ControlLog>,
    state: watch::Receiver<Arc<State>>,
    reports: TaskReports,
    /// Requests that change a connector go one by one.
    changes: tokio::sync::Mutex<()>,
    stopping: CancellationToken,
    supervisor: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

impl Worker {
    /// Opens the access point, reads the control log to its end, joins the group and starts what is placed here.
    /// When it returns the worker answers requests.
    ///
    /// # Errors
    /// The access point cannot be opened (`Unavailable`, `Invalid`), or the log is from a newer release.
    pub async fn start(options: WorkerOptions) -> Result<Self, ApiError> {
        let access_point = options.drivers.connect(&options.driver_url, &options.driver_properties).await?;
        if !access_point.capabilities().offsets {
            return Err(ApiError::invalid(
                "driver.no_offsets",
                format!(
                    "the queues of {:?} have no offsets, and the worker's own log needs them",
                    options.driver_url
                ),
            ));
        }
        let store = access_point.key_value_store(&format!("omsconnect-{}", options.group)).await?;
        let (log, mut reader) = ControlLog::open(&access_point, &options.group, store.clone()).await?;
        let heartbeat = Entry::Heartbeat {
            worker: options.worker_id.clone(),
            url: options.address.clone(),
            at: now_ms(),
        };
        log.append(&heartbeat).await?;
        let state = reader.catch_up(&access_point).await?;
        let (publish, state) = watch::channel(Arc::new(state));
        let inner = Arc::new(Inner {
            options,
            access_point,
            others: Default::default(),
            store,
            log,
            state,
            reports: TaskReports::default(),
            changes: Default::default(),
            stopping: CancellationToken::new(),
            supervisor: Mutex::new(None),
        });
        let running = tokio::spawn(supervisor::run(inner.clone(), reader, publish));
        *lock(&inner.supervisor) = Some(running);
        Ok(Self { inner })
    }

    /// Stops all work gracefully (positions flushed), leaves the group and closes the access points.
    pub async fn shutdown(&self) {
        self.inner.stopping.cancel();
        let running = lock(&self.inner.supervisor).take();
        if let Some(running) = running {
            let _ = running.await;
        }
    }

    pub fn info(&self) -> WorkerInfo {
        let options = &self.inner.options;
        WorkerInfo {
            worker_id: options.worker_id.clone(),
            group: options.group.clone(),
            address: options.address.clone(),
            version: env!("CARGO_PKG_VERSION"),
            driver_url: options.driver_url.redacted(),
        }
    }

    /// What the group knows, as this worker has read it.
    pub fn state(&self) -> Arc<State> {
        self.inner.state.borrow().clone()
    }

    pub fn plugins(&self) -> &Registry {
        &self.inner.options.plugins
    }

    /// The worker's own access point, to list queues and read them.
    pub fn access_point(&self) -> &Arc<dyn MessagingAccessPoint> {
        &self.inner.access_point
    }
}

#[async_trait::async_trait]
impl AccessPoints for Inner {
    async fn open(
        &self,
        url: Option<&str>,
        properties: Properties,
    ) -> openmessaging::Result<Arc<dyn MessagingAccessPoint>> {
        let own = &self.options.driver_url;
        let url = match url {
            Some(url) => url.parse()?,
            None => own.clone(),
        };
        if url == *own && properties.is_empty() {
            return Ok(self.access_point.clone());
        }
        let mut merged = Properties::new();
        if url.driver == own.driver {
            merged.extend(self.options.driver_properties.clone());
        }
        merged.extend(properties);
        let place = (url, merged);
        let mut others = self.others.lock().await;
        if let Some(known) = others.get(&place) {
            return Ok(known.clone());
        }
        let opened = self.options.drivers.connect(&place.0, &place.1).await?;
        others.insert(place, opened.clone());
        Ok(opened)
    }
}

/// Locks a mutex whose data cannot be left half-changed, so that a panic elsewhere does not matter.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
