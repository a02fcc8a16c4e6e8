//! Conformance suites, ledgers and launchers: what the tests of every crate share.

pub mod broker;
pub mod child;
pub mod collect;
pub mod driver;
pub mod faults;
pub mod ledger;
pub mod log_lines;
pub mod memory;
pub mod proxy;
pub mod server;
pub mod sink;
pub mod source;

/// Runs a test on one thread, so that anything that blocks it shows.
pub fn block_on<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime for the test").block_on(test)
}

pub mod services;
