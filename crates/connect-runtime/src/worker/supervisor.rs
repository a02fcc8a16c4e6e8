//! Makes this worker's work what the state says: deciding is in `decide`, the rest starts, stops and listens.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use openmessaging_connector::{Config, Error};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Inner;
use super::connector::{self, AnyConnector};
use crate::cluster::{
    ConnectorState, ControlReader, Entry, RunState, State, Status, TargetState, TaskId, Work, now_ms,
};
use crate::config::keys;
use crate::config::validate::{find_connector, kind_of};
use crate::task::{Running, TaskEvent, TaskSpec, effective, spawn};

/// Something happened to work of this worker.
pub(super) enum Event {
    Task(TaskEvent),
    /// A task's thread has ended, or was given up.
    Ended {
        id: TaskId,
        epoch: u64,
    },
    /// A connector was started and has split itself.
    Started {
        name: String,
        epoch: u64,
        version: u64,
        outcome: Result<(AnyConnector, Vec<Config>), Error>,
    },
}

/// A task on this worker.
struct TaskSlot {
    epoch: u64,
    stop: CancellationToken,
    target: watch::Sender<TargetState>,
    /// `None` once the thread has ended or was given up.
    running: Option<Running>,
    stopping_since: Option<std::time::Instant>,
}

/// A connector on this worker.
struct ConnectorSlot {
    epoch: u64,
    started: bool,
    reported: Option<RunState>,
    instance: Option<AnyConnector>,
    /// What it was started from, for when it is deleted.
    config: Config,
}

struct Supervisor {
    inner: Arc<Inner>,
    tasks: HashMap<TaskId, TaskSlot>,
    connectors: HashMap<String, ConnectorSlot>,
    /// Deleted connectors whose tasks may still run here; what they installed goes when these have stopped.
    deleted: HashMap<String, Config>,
    events: mpsc::UnboundedSender<Event>,
    task_events: mpsc::UnboundedSender<TaskEvent>,
    outbox: mpsc::UnboundedSender<Entry>,
    memory: Arc<Semaphore>,
}

/// Runs until the worker stops.
pub(super) async fn run(inner: Arc<Inner>, mut reader: ControlReader, publish: watch::Sender<Arc<State>>) {
    let (events, mut heard) = mpsc::unbounded_channel();
    let (task_events, mut task_heard) = mpsc::unbounded_channel();
    let (outbox, entries) = mpsc::unbounded_channel();
    let appender = tokio::spawn(append_all(inner.clone(), entries));
    let memory = Arc::new(Semaphore::new((inner.options.memory_bytes >> 10).max(1)));
    let mut this = Supervisor {
        inner: inner.clone(),
        tasks: HashMap::new(),
        connectors: HashMap::new(),
        deleted: HashMap::new(),
        events,
        task_events,
        outbox,
        memory,
    };
    let mut heartbeat = tokio::time::interval(inner.options.heartbeat_interval);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    heartbeat.tick().await;
    let mut watchdog = tokio::time::interval(Duration::from_secs(1));
    watchdog.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut state = publish.borrow().clone();
    this.reconcile(&state);
    loop {
        tokio::select! {
            () = inner.stopping.cancelled() => break,
            read = reader.next(&state, Duration::from_secs(30)) => match read {
                Ok(None) => {}
                Ok(Some(next)) => {
                    state = Arc::new(next);
                    let _ = publish.send(state.clone());
                    this.reconcile(&state);
                    if reader.snapshot_due() {
                        this.write_snapshot(state.clone());
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "reading the control log");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            },
            Some(event) = heard.recv() => {
                this.on_event(event, &state);
                this.reconcile(&state);
            }
            Some(event) = task_heard.recv() => this.on_event(Event::Task(event), &state),
            _ = heartbeat.tick() => this.send(this.heartbeat()),
            _ = watchdog.tick() => {
                this.give_up_stuck();
                this.reconcile(&state);
            }
        }
    }
    this.stop_everything().await;
    while let Ok(event) = task_heard.try_recv() {
        this.on_event(Event::Task(event), &state);
    }
    this.send(Entry::WorkerLeft { worker: inner.options.worker_id.clone() });
    drop(this);
    let _ = appender.await;
    for other in inner.others.lock().await.values() {
        let _ = other.close().await;
    }
    if let Err(error) = inner.access_point.close().await {
        tracing::warn!(%error, "closing the access point");
    }
}

/// Appends entries one by one, so that a slow broker does not hold up the supervisor.
async fn append_all(inner: Arc<Inner>, mut entries: mpsc::UnboundedReceiver<Entry>) {
    while let Some(entry) = entries.recv().await {
        while let Err(error) = inner.log.append(&entry).await {
            tracing::error!(%error, "appending to the control log");
            if inner.stopping.is_cancelled() || !error.is_retriable() {
                break;
            }
        }
    }
}

impl Supervisor {
    fn send(&self, entry: Entry) {
        let _ = self.outbox.send(entry);
    }

    fn heartbeat(&self) -> Entry {
        let options = &self.inner.options;
        Entry::Heartbeat { worker: options.worker_id.clone(), url: options.address.clone(), at: now_ms() }
    }

    fn report(&self, work: Work, epoch: u64, status: Status) {
        self.send(Entry::Report { work, epoch, worker: self.inner.options.worker_id.clone(), status });
    }

    fn write_snapshot(&self, state: Arc<State>) {
        let log = self.inner.log.clone();
        tokio::spawn(async move {
            if let Err(error) = log.write_snapshot(&state).await {
                tracing::warn!(%error, "writing a snapshot of the control log");
            }
        });
    }

    /// Starts and stops until what runs here is what the state places here.
    fn reconcile(&mut self, state: &State) {
        let me = self.inner.options.worker_id.clone();
        let mine = |work: &Work| state.placed(work).filter(|placed| placed.worker == me);
        let gone: Vec<_> = self
            .connectors
            .keys()
            .filter(|n| mine(&Work::Connector((*n).clone())).is_none())
            .cloned()
            .collect();
        for name in gone {
            if let Some(mut slot) = self.connectors.remove(&name) {
                if !state.connectors.contains_key(&name) {
                    self.deleted.insert(name, std::mem::take(&mut slot.config));
                }
                self.stop_connector(slot);
            }
        }
        for id in self.tasks.keys().cloned().collect::<Vec<_>>() {
            let epoch = mine(&Work::Task(id.clone())).map(|placed| placed.epoch);
            self.stop_task_unless(&id, epoch);
        }
        for (work, placed) in state.work.iter().filter(|(_, placed)| placed.worker == me) {
            let Some(connector) = state.connectors.get(work.connector()) else { continue };
            match work {
                Work::Connector(name) => self.reconcile_connector(name, placed.epoch, connector),
                Work::Task(id) => self.reconcile_task(id, placed.epoch, connector),
            }
        }
        self.clean_up_deleted(state);
    }

    /// Lets deleted connectors take away what they installed, once their tasks have stopped.
    fn clean_up_deleted(&mut self, state: &State) {
        self.deleted.retain(|name, _| !state.connectors.contains_key(name));
        let still_running = |name: &String| self.tasks.keys().any(|id| id.connector == *name);
        let ready: Vec<_> = self.deleted.keys().filter(|name| !still_running(name)).cloned().collect();
        for name in ready {
            if let Some(config) = self.deleted.remove(&name) {
                connector::deleted(&self.inner, name, config);
            }
        }
    }

    fn reconcile_connector(&mut self, name: &str, epoch: u64, connector: &ConnectorState) {
        if self.connectors.get(name).is_some_and(|slot| slot.epoch != epoch)
            && let Some(old) = self.connectors.remove(name)
        {
            self.stop_connector(old);
        }
        let config = connector.config.clone();
        let fresh = ConnectorSlot { epoch, started: false, reported: None, instance: None, config };
        let slot = self.connectors.entry(name.to_owned()).or_insert(fresh);
        let state = match connector.target {
            TargetState::Started if !slot.started => {
                slot.started = true;
                slot.reported = None;
                connector::start(&self.inner, name, epoch, connector, self.events.clone());
                return;
            }
            TargetState::Started => match slot.instance {
                Some(_) => RunState::Running,
                None => return,
            },
            TargetState::Paused => RunState::Paused,
            TargetState::Stopped => {
                slot.started = false;
                connector::stop(slot.instance.take(), self.inner.options.call_timeout);
                RunState::Stopped
            }
        };
        if slot.reported != Some(state) {
            slot.reported = Some(state);
            self.report(Work::Connector(name.to_owned()), epoch, Status::of(state));
        }
    }

    fn reconcile_task(&mut self, id: &TaskId, epoch: u64, connector: &ConnectorState) {
        if let Some(slot) = self.tasks.get(id) {
            slot.target
                .send_if_modified(|target| std::mem::replace(target, connector.target) != connector.target);
            return;
        }
        let (target, seen) = watch::channel(connector.target);
        let stop = CancellationToken::new();
        let spec = match self.spec(id, epoch, connector, seen, stop.clone()) {
            Ok(spec) => spec,
            Err(error) => {
                self.tasks.insert(
                    id.clone(),
                    TaskSlot { epoch, stop, target, running: None, stopping_since: None },
                );
                self.report(Work::Task(id.clone()), epoch, Status::failed(error.to_string()));
                return;
            }
        };
        let (events, ended_id) = (self.events.clone(), id.clone());
        let running = match spawn(spec) {
            Ok(running) => Some(running),
            Err(error) => {
                let text = format!("[worker.no_thread] no thread could be started: {error}");
                self.report(Work::Task(id.clone()), epoch, Status::failed(text));
                None
            }
        };
        if let Some(end) = running.as_ref().map(Running::end) {
            tokio::spawn(async move {
                end.await;
                let _ = events.send(Event::Ended { id: ended_id, epoch });
            });
        }
        self.tasks.insert(id.clone(), TaskSlot { epoch, stop, target, running, stopping_since: None });
    }

    fn spec(
        &self,
        id: &TaskId,
        epoch: u64,
        connector: &ConnectorState,
        target: watch::Receiver<TargetState>,
        stop: CancellationToken,
    ) -> Result<TaskSpec, crate::error::ApiError> {
        let options = &self.inner.options;
        let class = crate::config::class_of(&connector.config).unwrap_or_default();
        let plugin = find_connector(&options.plugins, class)?;
        let kind = kind_of(&plugin);
        let mut config = connector.config.clone();
        config.extend(connector.tasks.get(id.task as usize).cloned().unwrap_or_default());
        Ok(TaskSpec {
            id: id.clone(),
            epoch,
            kind,
            config: effective(&config, &options.connector_defaults, &keys::framework(kind)),
            defaults: options.connector_defaults.clone(),
            plugin,
            registry: options.plugins.clone(),
            tasks: connector.tasks.len() as u32,
            access_points: self.inner.clone(),
            store: self.inner.store.clone(),
            target,
            stop,
            events: self.task_events.clone(),
            reports: self.inner.reports.clone(),
            memory: self.memory.clone(),
            call_timeout: options.call_timeout,
        })
    }

    fn stop_task_unless(&mut self, id: &TaskId, epoch: Option<u64>) {
        let Some(slot) = self.tasks.get_mut(id) else { return };
        if epoch == Some(slot.epoch) {
            return;
        }
        match &slot.running {
            Some(running) if !running.is_done() => {
                slot.stop.cancel();
                slot.stopping_since.get_or_insert_with(std::time::Instant::now);
            }
            _ => drop(self.tasks.remove(id)),
        }
    }

    fn on_event(&mut self, event: Event, state: &State) {
        match event {
            Event::Task(TaskEvent { work, epoch, status }) => {
                let now =
                    state.placed(&work).filter(|placed| placed.epoch == epoch).map(|placed| &placed.status);
                if now != Some(&status) {
                    self.report(work, epoch, status);
                }
            }
            Event::Ended { id, epoch } => {
                if let Some(slot) = self.tasks.get_mut(&id).filter(|slot| slot.epoch == epoch) {
                    slot.running = None;
                }
                if !state.connectors.contains_key(&id.connector) {
                    self.inner.reports.close(&id);
                }
            }
            Event::Started { name, epoch, version, outcome } => {
                self.on_started(&name, epoch, version, outcome, state)
            }
        }
    }

    fn on_started(
        &mut self,
        name: &str,
        epoch: u64,
        version: u64,
        outcome: Result<(AnyConnector, Vec<Config>), Error>,
        state: &State,
    ) {
        let Some(slot) = self.connectors.get_mut(name).filter(|slot| slot.epoch == epoch) else {
            if let Ok((instance, _)) = outcome {
                connector::stop(Some(instance), self.inner.options.call_timeout);
            }
            return;
        };
        match outcome {
            Ok((instance, configs)) => {
                slot.instance = Some(instance);
                let known = state.connectors.get(name);
                if known.is_some_and(|known| known.tasks != configs || known.tasks_version != version) {
                    self.send(Entry::TaskConfigs { name: name.to_owned(), version, configs });
                }
            }
            Err(error) => {
                tracing::error!(connector = name, %error, "the connector did not start");
                slot.reported = Some(RunState::Failed);
                self.report(Work::Connector(name.to_owned()), epoch, Status::failed(error.to_string()));
            }
        }
    }

    fn stop_connector(&self, mut slot: ConnectorSlot) {
        connector::stop(slot.instance.take(), self.inner.options.call_timeout);
    }

    /// Gives up threads that hang in a call, or that do not stop (invariant 8). What such a thread still does later is
    /// refused by its epoch.
    fn give_up_stuck(&mut self) {
        let (call, stop) = (self.inner.options.call_timeout, self.inner.options.shutdown_timeout);
        let mut reports = Vec::new();
        for (id, slot) in &mut self.tasks {
            let Some(running) = slot.running.as_mut() else { continue };
            let stuck = running.stuck_for();
            let overdue = slot.stopping_since.is_some_and(|since| since.elapsed() > stop);
            if stuck > call || overdue {
                let text = format!(
                    "[task.hung] the task's thread did not return from a call for {} s",
                    stuck.as_secs()
                );
                tracing::error!(task = %id, "{text}; it is given up");
                slot.stop.cancel();
                slot.running = None;
                reports.push((Work::Task(id.clone()), slot.epoch, Status::failed(text)));
            }
        }
        for (work, epoch, status) in reports {
            self.report(work, epoch, status);
        }
    }

    /// Stops all tasks at once and waits for them, at most the shutdown timeout.
    async fn stop_everything(&mut self) {
        self.tasks.values().for_each(|slot| slot.stop.cancel());
        let waits = self.tasks.values_mut().filter_map(|slot| slot.running.as_mut()).map(Running::ended);
        let all = futures::future::join_all(waits);
        if tokio::time::timeout(self.inner.options.shutdown_timeout, all).await.is_err() {
            tracing::warn!("some tasks did not stop in time; what they had in flight comes again");
        }
        for slot in std::mem::take(&mut self.connectors).into_values() {
            self.stop_connector(slot);
        }
    }
}
