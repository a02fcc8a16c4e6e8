//! One life of a source task, driven as the runtime drives it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openmessaging_connector::registry::Factory;
use openmessaging_connector::{
    Config, Error, PluginInfo, Polled, Position, Result, SourceConnector, SourcePartition, SourceTask,
    SourceTaskContext,
};

use super::SourceFixture;
use crate::collect::{Collected, Record};
use crate::ledger::Event;
use crate::memory::{MemoryState, Recorder};

/// How long the suite waits for something that must come.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub type Positions = HashMap<SourcePartition, Position>;

/// A started connector with its one task, and what the task drove out so far.
pub struct Run {
    connector: Box<dyn SourceConnector>,
    pub task: Box<dyn SourceTask>,
    pub out: Collected,
    pub reporter: Arc<Recorder>,
}

impl Run {
    /// Starts connector and task; the name of the connector is that of the plugin's class.
    pub async fn start(
        plugin: &PluginInfo,
        config: &Config,
        from: Positions,
        state: &Arc<MemoryState>,
    ) -> Result<Self> {
        let Factory::Source(make) = plugin.factory else { panic!("{} is no source", plugin.class) };
        let mut connector = make();
        if let Err(error) = connector.start(config).await {
            connector.stop().await;
            return Err(error);
        }
        let config = connector.task_configs(1)?.swap_remove(0);
        let mut task = connector.task();
        let reporter = Arc::new(Recorder::default());
        let context = SourceTaskContext {
            connector: "conformance".into(),
            task: 0,
            config,
            positions: from,
            state: state.clone(),
            reporter: reporter.clone(),
        };
        if let Err(error) = task.start(context).await {
            task.stop().await;
            connector.stop().await;
            return Err(error);
        }
        Ok(Self { connector, task, out: Collected::default(), reporter })
    }

    /// As the fixture's configuration says, without a position.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn first<F: SourceFixture>(fixture: &F, state: &Arc<MemoryState>) -> Self {
        Self::from(fixture, Positions::new(), state).await
    }

    /// From these positions.
    pub async fn from<F: SourceFixture>(fixture: &F, from: Positions, state: &Arc<MemoryState>) -> Self {
        match Self::start(&fixture.plugin(), &fixture.config(), from, state).await {
            Ok(run) => run,
            Err(error) => panic!("the task does not start: {error}"),
        }
    }

    /// One poll of at most `limit` records.
    pub async fn poll(&mut self, limit: usize, wait: Duration) -> Result<Polled> {
        self.out.begin_batch();
        self.out.set_limit(limit);
        self.task.poll(&mut self.out, wait).await
    }

    /// Polls until nothing comes any more, some times in a row; retriable errors are tried again.
    pub async fn settle(&mut self) {
        let mut quiet = 0;
        let deadline = Instant::now() + PATIENCE;
        while quiet < 3 {
            assert!(Instant::now() < deadline, "the source does not come to rest");
            match self.poll(100, Duration::from_millis(100)).await {
                Ok(Polled::Finished) => return,
                Ok(_) if self.out.in_batch() == 0 => quiet += 1,
                Ok(_) => quiet = 0,
                Err(error) => retry(error).await,
            }
        }
    }

    /// Polls until the collected records tell of `count` events in all.
    ///
    /// # Panics
    /// When they do not within [`PATIENCE`], or on an error that is not retriable.
    pub async fn until<F: SourceFixture>(&mut self, fixture: &F, count: usize, limit: usize) {
        let mut deadline = Instant::now() + PATIENCE;
        let mut seen = 0;
        while self.events(fixture).len() < count {
            let have = self.out.records.len();
            if have > seen {
                (seen, deadline) = (have, Instant::now() + PATIENCE);
            }
            let missing = format!("{} of {count} events came", self.events(fixture).len());
            assert!(Instant::now() < deadline, "{missing} within {PATIENCE:?}");
            match self.poll(limit, Duration::from_millis(200)).await {
                Ok(_) => {}
                Err(error) => retry(error).await,
            }
        }
    }

    /// The events that the records collected so far tell of.
    pub fn events<F: SourceFixture>(&self, fixture: &F) -> Vec<Event> {
        self.out.records.iter().filter_map(|record| fixture.event(record)).collect()
    }

    /// The records that tell of events.
    pub fn told<F: SourceFixture>(&self, fixture: &F) -> Vec<Record> {
        self.out.records.iter().filter(|record| fixture.event(record).is_some()).cloned().collect()
    }

    /// Tells the task that everything so far is committed; answers the positions.
    pub async fn commit(&mut self) -> Positions {
        let positions = self.out.positions();
        for (partition, position) in &positions {
            self.task.committed(partition, position).await.expect("committed");
        }
        positions
    }

    /// The orderly end.
    pub async fn stop(mut self) -> Collected {
        self.task.stop().await;
        self.connector.stop().await;
        self.out.assert_clean();
        self.out
    }

    /// The end of a process that is killed, as near as it can be had within this one: nothing is told to the task.
    pub fn kill(self) -> Collected {
        self.out.assert_clean();
        self.out
    }
}

async fn retry(error: Error) {
    assert!(error.is_retriable(), "poll failed for good: {error}");
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// A task that has shown one event, so that it surely stands behind what was there before.
pub(super) async fn warmed<F: SourceFixture>(fixture: &mut F, state: &Arc<MemoryState>, first: Event) -> Run {
    let mut run = Run::first(fixture, state).await;
    fixture.write(&[first]).await;
    run.until(fixture, 1, 100).await;
    run
}
