//! One life of a sink task, driven as the runtime drives it.

use std::sync::Arc;

use openmessaging_connector::registry::Factory;
use openmessaging_connector::{
    Config, PluginInfo, QueuePartition, Result, SinkBatch, SinkConnector, SinkRecord, SinkTask,
    SinkTaskContext,
};

use super::SinkFixture;
use crate::ledger::Event;
use crate::memory::{MemoryState, Recorder};

/// A started connector with its one task.
pub struct Run {
    connector: Box<dyn SinkConnector>,
    pub task: Box<dyn SinkTask>,
    pub reporter: Arc<Recorder>,
}

/// A partition of the suite's queue.
pub fn partition(number: u32) -> QueuePartition {
    QueuePartition { queue: "conformance".into(), partition: number }
}

impl Run {
    /// Starts connector and task; nothing is open yet.
    pub async fn start(plugin: &PluginInfo, config: &Config, state: &Arc<MemoryState>) -> Result<Self> {
        let Factory::Sink(make) = plugin.factory else { panic!("{} is no sink", plugin.class) };
        let mut connector = make();
        if let Err(error) = connector.start(config).await {
            connector.stop().await;
            return Err(error);
        }
        let config = connector.task_configs(1)?.swap_remove(0);
        let mut task = connector.task();
        let reporter = Arc::new(Recorder::default());
        let context = SinkTaskContext {
            connector: "conformance".into(),
            task: 0,
            config,
            state: state.clone(),
            reporter: reporter.clone(),
        };
        if let Err(error) = task.start(context).await {
            task.stop().await;
            connector.stop().await;
            return Err(error);
        }
        Ok(Self { connector, task, reporter })
    }

    /// Started, with these partitions open.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn open<F: SinkFixture>(fixture: &F, state: &Arc<MemoryState>, partitions: &[u32]) -> Self {
        let started = Self::start(&fixture.plugin(), &fixture.config(), state).await;
        let mut run = started.unwrap_or_else(|error| panic!("the task does not start: {error}"));
        let partitions: Vec<_> = partitions.iter().copied().map(partition).collect();
        run.task.open(&partitions).await.expect("open");
        run
    }

    /// Puts records into a partition.
    pub async fn put(&mut self, to: u32, records: Vec<SinkRecord<'static>>) -> Result<()> {
        self.task.put(&SinkBatch { partition: partition(to), records }).await
    }

    /// Puts events, whose offsets are their numbers, into partition 0.
    pub async fn events<F: SinkFixture>(&mut self, fixture: &F, events: &[Event]) -> Result<()> {
        self.put(0, events.iter().map(|event| fixture.record(*event, event.number)).collect()).await
    }

    /// The orderly end: flush, close, stop.
    pub async fn stop(mut self, partitions: &[u32]) {
        self.task.flush().await.expect("flush");
        let partitions: Vec<_> = partitions.iter().copied().map(partition).collect();
        self.task.close(&partitions).await.expect("close");
        self.task.stop().await;
        self.connector.stop().await;
    }

    /// The end of a process that is killed, as near as it can be had within this one: not even destructors run, so
    /// nothing that the task still holds in memory gets out.
    pub fn kill(self) {
        std::mem::forget(self);
    }
}
