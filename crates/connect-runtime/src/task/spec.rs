//! What a task is made of, and starting it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use openmessaging::{KeyValueStore, MessagingAccessPoint, Properties};
use openmessaging_connector::{Config, Converter, Error, PluginInfo, Registry, Result};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::isolate::{self, Running};
use super::plugin::converter;
use super::queues::broker_error;
use super::report::TaskReports;
use super::{sink, source};
use crate::cluster::{ConnectorKind, RunState, Status, TargetState, TaskId, Work};
use crate::config::secrets::Scrubber;
use crate::config::{driver_properties, keys};

/// Everything a task runs with.
#[derive(Clone)]
pub struct TaskSpec {
    pub id: TaskId,
    /// Under which it writes positions and reports (invariant 4).
    pub epoch: u64,
    pub kind: ConnectorKind,
    pub plugin: Arc<PluginInfo>,
    pub registry: Registry,
    /// The task's configuration with the worker's defaults, references to secrets unresolved.
    pub config: Config,
    pub defaults: Config,
    /// How many tasks the connector has.
    pub tasks: u32,
    pub access_points: Arc<dyn AccessPoints>,
    pub store: Arc<dyn KeyValueStore>,
    pub target: watch::Receiver<TargetState>,
    pub stop: CancellationToken,
    pub events: mpsc::UnboundedSender<TaskEvent>,
    pub reports: TaskReports,
    /// One permit for each KiB that tasks of this worker may hold in flight (invariant 5).
    pub memory: Arc<Semaphore>,
    pub call_timeout: Duration,
}

/// Opens access points, one for each URL.
#[async_trait]
pub trait AccessPoints: Send + Sync {
    /// The worker's own where `url` is `None`. `properties` are the connector's for the driver; the worker's count where
    /// the connector does not say and uses the same driver.
    async fn open(
        &self,
        url: Option<&str>,
        properties: Properties,
    ) -> openmessaging::Result<Arc<dyn MessagingAccessPoint>>;
}

/// A task has come to another state.
#[derive(Debug, Clone)]
pub struct TaskEvent {
    pub work: Work,
    pub epoch: u64,
    pub status: Status,
}

impl TaskSpec {
    pub fn report(&self, status: Status) {
        let event = TaskEvent { work: Work::Task(self.id.clone()), epoch: self.epoch, status };
        // Nobody listens any more when the worker is on its way out.
        let _ = self.events.send(event);
    }

    /// The access point that the configuration names, or the worker's own.
    pub async fn access_point(&self, config: &Config) -> Result<Arc<dyn MessagingAccessPoint>> {
        let url = config.get(keys::DRIVER_URL).map(String::as_str);
        self.access_points.open(url, driver_properties(config)).await.map_err(broker_error)
    }

    /// The converter for a framework key.
    pub fn converter(&self, key: &str, config: &Config) -> Result<Arc<dyn Converter>> {
        let framework = keys::framework(self.kind);
        let key = framework.find(key).ok_or_else(|| Error::fatal("config.invalid", key))?;
        converter(&self.registry, key, config, &self.defaults)
    }

    pub fn report_running(&self) {
        let state = match *self.target.borrow() {
            TargetState::Started => RunState::Running,
            TargetState::Paused | TargetState::Stopped => RunState::Paused,
        };
        self.report(Status::of(state));
    }
}

/// Starts the task on a thread of its own. It reports its states, tries again after errors that may pass, and ends when
/// it is stopped or has failed for good.
pub fn spawn(spec: TaskSpec) -> std::io::Result<Running> {
    let name = spec.id.to_string();
    let failed = spec.clone();
    isolate::spawn(&name, async move { run(spec).await }, move |panic| {
        failed.report(Status::failed(format!("[task.panicked] the task panicked: {panic}")));
    })
}

/// The longest wait between two attempts.
const MAX_BACKOFF: Duration = Duration::from_secs(60);

async fn run(spec: TaskSpec) {
    let mut backoff = Duration::from_millis(500);
    loop {
        if !started(&spec).await {
            return;
        }
        let mut scrubber = Scrubber::default();
        let attempt = match spec.kind {
            ConnectorKind::Source => source::attempt(&spec, &mut scrubber, &mut backoff).await,
            ConnectorKind::Sink => sink::attempt(&spec, &mut scrubber, &mut backoff).await,
        };
        let error = match attempt {
            Ok(()) => return,
            Err(_) if spec.stop.is_cancelled() => return,
            Err(error) => error,
        };
        let trace = scrubber.scrub(&trace_of(&error));
        if !error.is_retriable() {
            tracing::error!(task = %spec.id, "{trace}");
            spec.report(Status::failed(trace));
            return;
        }
        tracing::warn!(task = %spec.id, retry_in_ms = backoff.as_millis() as u64, "{trace}");
        spec.report(Status { state: RunState::Restarting, trace: Some(trace) });
        tokio::select! {
            () = spec.stop.cancelled() => return,
            () = tokio::time::sleep(backoff) => {}
        }
        backoff = (backoff * 2).min(MAX_BACKOFF);
    }
}

/// Waits while the connector is paused, so that a paused task holds nothing open; `false` when it is stopped instead.
async fn started(spec: &TaskSpec) -> bool {
    let mut target = spec.target.clone();
    if *target.borrow() != TargetState::Started {
        spec.report_running();
    }
    tokio::select! {
        () = spec.stop.cancelled() => false,
        started = target.wait_for(|target| *target == TargetState::Started) => started.is_ok(),
    }
}

/// The error and what caused it.
pub fn trace_of(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let cause_text = error.to_string();
        if !text.contains(&cause_text) {
            text.push_str("\nCaused by: ");
            text.push_str(&cause_text);
        }
        cause = error.source();
    }
    text
}
