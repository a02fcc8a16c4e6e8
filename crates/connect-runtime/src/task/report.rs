//! What tasks on this worker have to say beside their states.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use openmessaging_connector::{Progress, Reporter};

use crate::cluster::TaskId;
use crate::config::secrets::Scrubber;
use crate::worker::lock;

/// How many warnings of a task are kept.
const WARNINGS: usize = 10;

/// The reports of all tasks of this worker, by task.
#[derive(Clone, Default)]
pub struct TaskReports {
    tasks: Arc<Mutex<HashMap<TaskId, Arc<TaskReport>>>>,
}

impl TaskReports {
    /// A fresh report for a task that starts.
    pub fn open(&self, task: &TaskId, scrubber: Scrubber) -> Arc<TaskReport> {
        let report = Arc::new(TaskReport {
            task: task.to_string(),
            scrubber,
            progress: Mutex::default(),
            warnings: Mutex::default(),
            records: AtomicU64::new(0),
        });
        lock(&self.tasks).insert(task.clone(), report.clone());
        report
    }

    pub fn get(&self, task: &TaskId) -> Option<Arc<TaskReport>> {
        lock(&self.tasks).get(task).cloned()
    }

    pub fn close(&self, task: &TaskId) {
        lock(&self.tasks).remove(task);
    }
}

/// The report of one task.
pub struct TaskReport {
    task: String,
    scrubber: Scrubber,
    progress: Mutex<Option<Progress>>,
    warnings: Mutex<VecDeque<String>>,
    records: AtomicU64,
}

impl TaskReport {
    pub fn last_progress(&self) -> Option<Progress> {
        lock(&self.progress).clone()
    }

    pub fn warnings(&self) -> Vec<String> {
        lock(&self.warnings).iter().cloned().collect()
    }

    /// Counts records that were acknowledged or written.
    pub fn count(&self, records: usize) {
        self.records.fetch_add(records as u64, Ordering::Relaxed);
    }

    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }
}

impl Reporter for TaskReport {
    fn progress(&self, progress: Progress) {
        let Progress { phase, current, rows, estimated_rows, rows_per_second } = &progress;
        let (current, estimate) =
            (current.as_deref().unwrap_or_default(), estimated_rows.unwrap_or_default());
        tracing::info!(task = self.task, phase, current, rows, estimate, rate = rows_per_second, "progress");
        *lock(&self.progress) = Some(progress);
    }

    fn warning(&self, code: &'static str, message: &str) {
        let text = self.scrubber.scrub(&format!("[{code}] {message}"));
        tracing::warn!(task = self.task, "{text}");
        let mut warnings = lock(&self.warnings);
        if warnings.back() != Some(&text) {
            warnings.push_back(text);
        }
        while warnings.len() > WARNINGS {
            warnings.pop_front();
        }
    }
}
