//! The driver suite: one function for each clause of `docs/specs/driver.md`, run by every driver against its real broker
//! through a [`DriverFixture`]. Capabilities choose what is asked of a driver.
//!
//! In a driver's tests:
//!
//! ```text
//! testkit::driver_suite!(MyFixture::new().await);
//! ```
//!
//! makes one test of each clause, each with a fixture of its own. Names of queues, groups and stores are unique, so
//! that the tests of one broker may run in parallel.

mod access;
mod consuming;
mod faults;
mod key_values;
pub(crate) mod kit;
mod lasting;
mod positions;
mod producing;
mod pushing;
mod watching;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use openmessaging::{
    AccessPointUrl, Driver, MessagingAccessPoint, Properties, QueueSpec, Result, StatusCode,
};

pub use access::{
    d01_connecting_fails_clearly, d02_creating_twice_changes_nothing, d03_describing_gives_every_partition,
    d04_listing_is_complete_and_in_order, d05_deleting_leaves_nothing, d06_closed_is_closed,
};
pub use consuming::{
    d14_starts_where_it_is_told, d15_a_seek_takes_effect_with_the_next_poll, d16_offsets_grow,
    d17_paused_partitions_keep_their_place, d18_partitions_take_turns, d19_a_dropped_poll_loses_nothing,
    d20_batches_are_bounded,
};
pub use faults::{
    d09_nothing_overtakes_a_failure, d10_acknowledged_is_durable, d11_what_can_never_be_stored_is_refused,
};
pub use key_values::{
    d23_puts_are_durable, d24_reads_see_earlier_writes, d25_one_writer_wins, d26_deletes_and_versions,
    d27_lists_in_pages, d29_stores_do_not_meet,
};
pub use kit::{create, new_queue, unique};
pub use lasting::d42_nothing_is_left_behind;
pub use positions::{d21_committed_positions_stay, d22_retention_removes_from_the_front};
pub use producing::{
    d07_messages_arrive_as_they_were, d08_order_per_sharding_key, d12_a_dropped_send_is_still_sent,
    d13_queues_are_made_on_purpose,
};
pub use pushing::d30_listeners_get_batches_in_order;
pub use watching::d28_watches_see_every_change;

/// A place where `connect` must fail (D1).
#[derive(Debug, Clone)]
pub struct Wrong {
    /// Names the case in a failure.
    pub name: String,
    pub url: AccessPointUrl,
    pub properties: Properties,
    pub status: StatusCode,
    /// What the error must name: the server, the folder, the property.
    pub names: Vec<String>,
    /// What no error may hold.
    pub secrets: Vec<String>,
}

/// A real broker for one test. Dropping it cleans up.
#[async_trait]
pub trait DriverFixture: Send + Sync {
    fn driver(&self) -> Arc<dyn Driver>;

    /// Where the broker is now; it may be elsewhere after a [`crash`](Self::crash).
    fn url(&self) -> AccessPointUrl;

    fn properties(&self) -> Properties {
        Properties::new()
    }

    async fn open(&self) -> Result<Arc<dyn MessagingAccessPoint>> {
        self.driver().connect(&self.url(), &self.properties()).await
    }

    /// At least: nobody there, and a wrong property; wrong credentials where there are any.
    async fn wrong(&mut self) -> Vec<Wrong>;

    /// Kills the broker (SIGKILL) and starts it again, on the same data; returns when it takes connections. Access
    /// points that were open need not work afterwards. For a broker in this process: its data as they would be after
    /// a kill at this moment, for `open` to find.
    async fn crash(&mut self);

    /// Asks for a retention that removes something soon once so many bytes were written; answers the bytes.
    /// Only called where the capability says yes.
    fn retain_little(&self, spec: &mut QueueSpec) -> usize;

    /// How long something that must come may take.
    fn patience(&self) -> Duration {
        Duration::from_secs(30)
    }
}

/// One test of each clause of the driver suite, with the fixture that the expression (which may await) makes. The second
/// expression makes the fixture of the clauses that crash the broker, where the first one's is shared.
#[macro_export]
macro_rules! driver_suite {
    ($fixture:expr) => {
        $crate::driver_suite!($fixture, $fixture);
    };
    ($fixture:expr, $private:expr) => {
        $crate::driver_suite!(@each $fixture;
            d01_connecting_fails_clearly
            d02_creating_twice_changes_nothing
            d03_describing_gives_every_partition
            d04_listing_is_complete_and_in_order
            d05_deleting_leaves_nothing
            d06_closed_is_closed
            d07_messages_arrive_as_they_were
            d08_order_per_sharding_key
            d09_nothing_overtakes_a_failure
            d11_what_can_never_be_stored_is_refused
            d12_a_dropped_send_is_still_sent
            d13_queues_are_made_on_purpose
            d14_starts_where_it_is_told
            d15_a_seek_takes_effect_with_the_next_poll
            d16_offsets_grow
            d17_paused_partitions_keep_their_place
            d18_partitions_take_turns
            d19_a_dropped_poll_loses_nothing
            d20_batches_are_bounded
            d22_retention_removes_from_the_front
            d24_reads_see_earlier_writes
            d25_one_writer_wins
            d27_lists_in_pages
            d28_watches_see_every_change
            d29_stores_do_not_meet
            d30_listeners_get_batches_in_order);

        #[test]
        fn d42_nothing_is_left_behind() {
            if $crate::child::alone() {
                $crate::block_on(async {
                    $crate::driver::d42_nothing_is_left_behind(&mut $fixture).await;
                });
            }
        }

        $crate::driver_suite!(@each $private;
            d10_acknowledged_is_durable
            d21_committed_positions_stay
            d23_puts_are_durable
            d26_deletes_and_versions);
    };
    (@each $fixture:expr; $($clause:ident)*) => {
        $(
            #[test]
            fn $clause() {
                $crate::block_on(async { $crate::driver::$clause(&mut $fixture).await });
            }
        )*
    };
}
