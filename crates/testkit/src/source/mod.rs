//! The source suite: one function for each clause of `docs/specs/source.md`, run by every source connector against
//! its real system through a [`SourceFixture`].
//!
//! In a connector's tests:
//!
//! ```text
//! testkit::source_suite!(MyFixture::new().await);
//! ```
//!
//! makes one test of each clause, each with a fixture (a table, a file) of its own.

mod durability;
mod errors;
mod polling;
mod positions;
mod records;
mod run;

use async_trait::async_trait;
use openmessaging_connector::{Config, PluginInfo};

use crate::collect::Record;
use crate::ledger::Event;

pub use durability::{s07_committed_lets_go, s11_nothing_is_lost_by_a_kill, s14_memory_is_bounded};
pub use errors::s13_errors_are_clear;
pub(crate) use errors::{assert_clear, known};
pub use polling::{
    s03_poll_returns_in_time, s04_poll_does_not_block_its_thread, s05_stop_leaves_nothing_open,
    s06_retriable_errors_lose_nothing,
};
pub use positions::{
    s01_starts_where_configured, s02_resumes_behind_its_position, s10_every_position_is_valid,
};
pub use records::{s09_order_by_key, s12_values_fit_their_schemas};
pub use run::Run;

/// A way to start without a stored position.
#[derive(Debug, Clone)]
pub struct Start {
    /// Names the way in a failure: `snapshot.mode=initial`.
    pub name: String,
    pub config: Config,
    /// Whether what is in the system before the start comes too.
    pub sees_existing: bool,
}

/// A wrong configuration, an unreachable system or a missing privilege (S13, K9).
#[derive(Debug, Clone)]
pub struct Wrong {
    /// Names the case in a failure.
    pub name: String,
    pub config: Config,
    /// The error's stable code.
    pub code: &'static str,
    /// What the error must name: the key, the server, the file.
    pub names: Vec<String>,
    /// What no error may hold.
    pub secrets: Vec<String>,
}

impl Wrong {
    pub fn new(name: &str, config: Config, code: &'static str, names: &[&str]) -> Self {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Self { name: name.to_owned(), config, code, names, secrets: Vec::new() }
    }

    pub fn with_secret(mut self, secret: &str) -> Self {
        self.secrets.push(secret.to_owned());
        self
    }
}

/// One small part of the real system which is this test's alone: a table, a file. Dropping it cleans up.
#[async_trait]
pub trait SourceFixture: Send {
    fn plugin(&self) -> PluginInfo;

    /// A task with this configuration sees every event written after its start, and is the system's only reader.
    fn config(&self) -> Config;

    /// The events as one transaction where the system has them, in order; committed when it returns. A row of the
    /// event's key is inserted, or updated to the event's number; a file gets a line.
    async fn write(&mut self, events: &[Event]);

    /// The event that the record tells of; `None` for what the suite did not write.
    fn event(&self, record: &Record) -> Option<Event>;

    /// The ways to start without a position, each with the part of the system still empty or nearly so.
    fn starts(&self) -> Vec<Start>;

    /// Whether positions are exact: a resumed task repeats nothing (S2).
    fn exact(&self) -> bool {
        true
    }

    /// Makes the system fail the task's next reads for a while, as its world really does (a cut connection, a held
    /// lock), until [`restore`](Self::restore).
    async fn interrupt(&mut self);

    async fn restore(&mut self);

    /// How many changes the system keeps for this source until they are committed; `None` where it keeps none.
    async fn held(&mut self) -> Option<usize> {
        None
    }

    /// What a stopped task has left open, in this process or at the system: connections, descriptors, threads.
    async fn left_open(&mut self) -> Vec<String>;

    /// Writes values of every kind that the system knows, extremes and nulls too; answers how many records that is.
    async fn write_every_kind(&mut self) -> usize;

    /// Writes about that many bytes in one transaction (or one backlog); answers how many records that is.
    async fn write_bulk(&mut self, bytes: usize) -> usize;

    /// A configuration with which `start` of the task fails.
    fn unstartable(&self) -> Config;

    /// At least one of each: a wrong key, an absent or unreachable system, and what else this system can refuse.
    async fn wrong(&mut self) -> Vec<Wrong>;
}

/// One test of each clause of the source suite, with the fixture that the expression (which may await) makes.
#[macro_export]
macro_rules! source_suite {
    ($fixture:expr) => {
        $crate::source_suite!(@each $fixture;
            s01_starts_where_configured s02_resumes_behind_its_position s03_poll_returns_in_time
            s04_poll_does_not_block_its_thread s05_stop_leaves_nothing_open s06_retriable_errors_lose_nothing
            s07_committed_lets_go s09_order_by_key s10_every_position_is_valid
            s11_nothing_is_lost_by_a_kill s12_values_fit_their_schemas s13_errors_are_clear);

        #[test]
        fn s14_memory_is_bounded() {
            if $crate::child::alone() {
                $crate::block_on(async { $crate::source::s14_memory_is_bounded(&mut $fixture).await });
            }
        }
    };
    (@each $fixture:expr; $($clause:ident)*) => {
        $(
            #[test]
            fn $clause() {
                $crate::block_on(async { $crate::source::$clause(&mut $fixture).await });
            }
        )*
    };
}
