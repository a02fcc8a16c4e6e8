//! The suite of brokers that are servers: D31 to D41 of `docs/specs/driver.md`, each against a real broker of the test's own
//! that is stopped, killed, frozen, filled and cut off. In a driver's tests:
//!
//! ```text
//! testkit::server_suite!(MyFixture::private().await);
//! ```

mod access;
mod load;
mod outages;
mod returning;

use async_trait::async_trait;
use openmessaging::{AccessPointUrl, Properties, StatusCode};

use crate::broker::PrivateBroker;
use crate::driver::DriverFixture;
use crate::proxy::Proxy;

pub use access::{
    d31_others_read_and_write, d37_accesses_work_or_say_why_not, d39_namespaces_do_not_meet,
    d40_diagnosis_names_what_to_change,
};
pub use outages::{
    d32_work_goes_on_after_a_restart, d33_cut_connections_lose_nothing, d34_large_after_small_cost_no_memory,
    d34_slow_brokers_cost_no_memory, d35_a_full_broker_is_waited_for, d36_a_deleted_queue_is_told,
    d38_every_call_ends,
};

pub use returning::d41_nothing_is_said_to_be_missing;

/// A way to connect that must work (D37), or must fail with a status.
#[derive(Debug, Clone)]
pub struct Access {
    /// Names the case in a failure.
    pub name: String,
    pub url: AccessPointUrl,
    pub properties: Properties,
    /// `None`: everything works. Otherwise what `connect`, or else the first call that needs a right (creating a queue,
    /// sending, reading), fails with.
    pub fails: Option<StatusCode>,
}

/// A message as the broker's own client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    pub key: Option<Vec<u8>>,
    pub body: Vec<u8>,
}

/// A real broker of the test's own: `url` and `properties` are of it, and `crash` is `end` and `start`.
#[async_trait]
pub trait ServerFixture: DriverFixture {
    fn broker(&mut self) -> &mut PrivateBroker;

    /// A proxy in front of it, and the URL that goes through it, also for addresses that the broker tells its clients.
    /// Called at most once, before the first connection.
    async fn proxied(&mut self) -> (AccessPointUrl, Proxy);

    /// The URL of the broker in this region and namespace.
    fn url_in(&self, region: &str, namespace: &str) -> AccessPointUrl;

    /// Makes the broker refuse writes for want of room, or takes away the queue's, by what an operator would do or has
    /// set (a limit of memory, of disk, of a queue): from when this returns, a send of 1 MiB is refused within 30 s.
    async fn fill(&mut self, queue: &str);

    async fn make_room(&mut self, queue: &str);

    /// Writes with the broker's own client or tool, not with anything of this project, to a queue that it makes where it is
    /// not there.
    async fn write_foreign(&self, queue: &str, messages: &[Foreign]);

    /// Whether messages have keys at this broker, for its own clients too.
    fn foreign_keys(&self) -> bool {
        true
    }

    /// Reads so many messages from the oldest on, with the broker's own client or tool.
    async fn read_foreign(&self, queue: &str, count: usize) -> Vec<Foreign>;

    /// TLS, and each way to authenticate; wrong ones too.
    async fn accesses(&mut self) -> Vec<Access>;
}

/// One test of each clause of brokers that are servers, with the fixture that the expression (which may await) makes.
#[macro_export]
macro_rules! server_suite {
    ($fixture:expr) => {
        $crate::server_suite!(@each $fixture;
            d31_others_read_and_write
            d32_work_goes_on_after_a_restart
            d33_cut_connections_lose_nothing
            d34_slow_brokers_cost_no_memory
            d34_large_after_small_cost_no_memory
            d35_a_full_broker_is_waited_for
            d36_a_deleted_queue_is_told
            d37_accesses_work_or_say_why_not
            d38_every_call_ends
            d39_namespaces_do_not_meet
            d40_diagnosis_names_what_to_change
            d41_nothing_is_said_to_be_missing);
    };
    (@each $fixture:expr; $($clause:ident)*) => {
        $(
            #[test]
            fn $clause() {
                $crate::block_on(async { $crate::server::$clause(&mut $fixture).await });
            }
        )*
    };
}
