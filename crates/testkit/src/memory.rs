//! What the runtime gives a task, in memory: its state and its reporter.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use openmessaging_connector::{Progress, Reporter, Result, TaskState};

/// A [`TaskState`] that lives as long as the test: hand the same one to a task and to the one that follows it.
#[derive(Debug, Default)]
pub struct MemoryState {
    values: Mutex<BTreeMap<String, Vec<u8>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[async_trait]
impl TaskState for MemoryState {
    async fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(lock(&self.values).get(name).cloned())
    }

    async fn put(&self, name: &str, value: &[u8]) -> Result<()> {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        assert!((1..=200).contains(&name.len()) && name.chars().all(legal), "{name:?} is no name of a state");
        assert!(value.len() <= 1 << 20, "the value of {name} has {} bytes, over 1 MiB", value.len());
        lock(&self.values).insert(name.to_owned(), value.to_vec());
        Ok(())
    }

    async fn delete(&self, name: &str) -> Result<()> {
        lock(&self.values).remove(name);
        Ok(())
    }

    async fn names(&self, prefix: &str) -> Result<Vec<String>> {
        Ok(lock(&self.values).keys().filter(|name| name.starts_with(prefix)).cloned().collect())
    }
}

/// A [`Reporter`] that keeps what it was told.
#[derive(Debug, Default)]
pub struct Recorder {
    progress: Mutex<Vec<Progress>>,
    warnings: Mutex<Vec<(&'static str, String)>>,
}

impl Recorder {
    pub fn progress(&self) -> Vec<Progress> {
        lock(&self.progress).clone()
    }

    /// Code and text of each warning, in order.
    pub fn warnings(&self) -> Vec<(&'static str, String)> {
        lock(&self.warnings).clone()
    }

    /// How often that code was given.
    pub fn warned(&self, code: &str) -> usize {
        lock(&self.warnings).iter().filter(|(given, _)| *given == code).count()
    }
}

impl Reporter for Recorder {
    fn progress(&self, progress: Progress) {
        lock(&self.progress).push(progress);
    }

    fn warning(&self, code: &'static str, message: &str) {
        lock(&self.warnings).push((code, message.to_owned()));
    }
}
