//! The sink suite: one function for each clause of `docs/specs/sink.md`, run by every sink connector against its real
//! system through a [`SinkFixture`].
//!
//! In a connector's tests:
//!
//! ```text
//! testkit::sink_suite!(MyFixture::new().await);
//! ```
//!
//! makes one test of each clause, each with a fixture (a table, a file) of its own.

mod durability;
mod errors;
mod order;
mod run;

use async_trait::async_trait;
use openmessaging_connector::{Config, PluginInfo, SinkRecord};

use crate::ledger::Event;
pub use crate::source::Wrong;

pub use durability::{k03_put_again_is_harmless, k04_flush_is_durable, k05_a_kill_loses_and_tears_nothing};
pub use errors::{k07_bad_records_are_named, k08_stop_leaves_nothing_open, k09_errors_are_clear};
pub use order::{k01_open_flush_close, k02_offsets_in_order, k06_tombstones_are_no_error};
pub use run::Run;

/// What writing a record a second time comes to (K3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeats {
    /// It is there twice.
    Show,
    /// It is there once.
    Vanish,
}

/// One small part of the real system which is this test's alone. Dropping it cleans up.
#[async_trait]
pub trait SinkFixture: Send {
    fn plugin(&self) -> PluginInfo;

    fn config(&self) -> Config;

    /// The event as a record of this offset that the sink can write.
    fn record(&self, event: Event, offset: u64) -> SinkRecord<'static>;

    /// A record with a null value, of that key.
    fn tombstone(&self, key: u32, offset: u64) -> SinkRecord<'static>;

    /// A record that can never be written; `None` where every record can.
    fn unwritable(&self, offset: u64) -> Option<SinkRecord<'static>>;

    fn repeats(&self) -> Repeats;

    /// All that is in the destination, in its order; a text where something in it is torn or foreign. What a
    /// tombstone left there is not told.
    async fn contents(&mut self) -> Result<Vec<Event>, String>;

    /// Makes the destination fail the next writes for a while, as its world really does, until
    /// [`restore`](Self::restore).
    async fn interrupt(&mut self);

    async fn restore(&mut self);

    /// What a stopped task has left open, in this process or at the system.
    async fn left_open(&mut self) -> Vec<String>;

    /// A configuration with which `start` of the task fails.
    fn unstartable(&self) -> Config;

    /// At least one of each: a wrong key, an absent or unreachable system, and what else this system can refuse.
    async fn wrong(&mut self) -> Vec<Wrong>;
}

/// One test of each clause of the sink suite, with the fixture that the expression (which may await) makes.
#[macro_export]
macro_rules! sink_suite {
    ($fixture:expr) => {
        $crate::sink_suite!(@each $fixture;
            k01_open_flush_close k02_offsets_in_order k03_put_again_is_harmless k04_flush_is_durable
            k05_a_kill_loses_and_tears_nothing k06_tombstones_are_no_error k07_bad_records_are_named
            k08_stop_leaves_nothing_open k09_errors_are_clear);
    };
    (@each $fixture:expr; $($clause:ident)*) => {
        $(
            #[test]
            fn $clause() {
                $crate::block_on(async { $crate::sink::$clause(&mut $fixture).await });
            }
        )*
    };
}
