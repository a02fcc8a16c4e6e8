//! Requests that only look.

use indexmap::IndexMap;
use openmessaging_connector::Config;

use super::Worker;
use super::api::{Allocated, ConnectorInfo, ConnectorStatus, TaskInfo, TaskStatus, WorkStatus};
use crate::cluster::{ConnectorState, Placed, State, Status, TaskId, Work};
use crate::config::{class_of, masked};

impl Worker {
    pub fn connector_names(&self) -> Vec<String> {
        self.state().connectors.keys().cloned().collect()
    }

    /// `None` where there is no such connector; likewise below.
    pub fn connector_info(&self, name: &str) -> Option<ConnectorInfo> {
        let state = self.state();
        let connector = state.connectors.get(name)?;
        let task = |task| TaskId { connector: name.to_owned(), task };
        Some(ConnectorInfo {
            name: name.to_owned(),
            config: masked(self.plugins(), &self.inner.options.drivers, &connector.config),
            tasks: (0..connector.tasks.len() as u32).map(task).collect(),
            kind: connector.kind,
        })
    }

    pub fn connector_status(&self, name: &str) -> Option<ConnectorStatus> {
        let state = self.state();
        let connector = state.connectors.get(name)?;
        let version = self.plugin_version(connector);
        let placed = state.placed(&Work::Connector(name.to_owned()));
        let tasks = state.tasks(name).map(|(id, placed)| {
            let report = self.inner.reports.get(&TaskId { connector: name.to_owned(), task: id });
            TaskStatus {
                id,
                work: work_status(&state, Some(placed), version.clone()),
                progress: report.as_ref().and_then(|report| report.last_progress()),
                warnings: report.map(|report| report.warnings()).unwrap_or_default(),
            }
        });
        Some(ConnectorStatus {
            name: name.to_owned(),
            connector: work_status(&state, placed, version.clone()),
            tasks: tasks.collect(),
            kind: connector.kind,
        })
    }

    pub fn connector_tasks(&self, name: &str) -> Option<Vec<TaskInfo>> {
        let state = self.state();
        let connector = state.connectors.get(name)?;
        let tasks = connector.tasks.iter().zip(0..).map(|(config, task)| TaskInfo {
            id: TaskId { connector: name.to_owned(), task },
            config: self.masked_task(connector, config),
        });
        Some(tasks.collect())
    }

    /// The work that this worker has.
    pub fn allocated(&self) -> Allocated {
        let state = self.state();
        let mut allocated = Allocated::default();
        let mine = state.work.iter().filter(|(_, placed)| placed.worker == self.inner.options.worker_id);
        for (work, _) in mine {
            let Some(connector) = state.connectors.get(work.connector()) else { continue };
            match work {
                Work::Connector(name) => {
                    allocated.connectors.insert(
                        name.clone(),
                        masked(self.plugins(), &self.inner.options.drivers, &connector.config),
                    );
                }
                Work::Task(id) => {
                    let config = connector.tasks.get(id.task as usize);
                    let config = config.map(|config| self.masked_task(connector, config));
                    allocated.tasks.push((id.connector.clone(), config.unwrap_or_default()));
                }
            }
        }
        allocated
    }

    /// How many records each task of this worker has delivered since it started.
    pub fn record_counts(&self) -> IndexMap<TaskId, u64> {
        let state = self.state();
        let tasks = state.work.keys().filter_map(|work| match work {
            Work::Task(id) => Some((id.clone(), self.inner.reports.get(id)?.records())),
            Work::Connector(_) => None,
        });
        tasks.collect()
    }

    /// A task's configuration need not name the class, by which its secrets are known.
    fn masked_task(&self, connector: &ConnectorState, task: &Config) -> Config {
        let class = class_of(&connector.config).unwrap_or_default();
        let mut with_class = task.clone();
        let named = class_of(task).is_some();
        if !named {
            with_class.insert(crate::config::keys::CLASS.to_owned(), class.to_owned());
        }
        let mut shown = masked(self.plugins(), &self.inner.options.drivers, &with_class);
        if !named {
            shown.shift_remove(crate::config::keys::CLASS);
        }
        shown
    }

    fn plugin_version(&self, connector: &ConnectorState) -> Option<String> {
        let plugin = self.plugins().connector(class_of(&connector.config)?).ok()?;
        Some(plugin.version.to_owned())
    }
}

fn work_status(state: &State, placed: Option<&Placed>, version: Option<String>) -> WorkStatus {
    let Status { state: run, trace } = placed.map(|placed| placed.status.clone()).unwrap_or_default();
    let worker = placed.and_then(|placed| Some((placed, state.members.get(&placed.worker)?)));
    let worker_id = worker.map(|(placed, member)| match member.url.as_str() {
        "" => placed.worker.clone(),
        url => url.to_owned(),
    });
    WorkStatus { state: run, worker_id: worker_id.unwrap_or_default(), version, trace }
}
