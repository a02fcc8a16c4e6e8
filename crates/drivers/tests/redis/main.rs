//! The Redis driver: the conformance suites, and what is its own.

mod doctor;
mod fixture;
mod foreign;
mod keeping;
mod reading;
mod server;
mod writing;

mod conformance {
    use crate::fixture::{Private, Shared};

    testkit::driver_suite!(Shared::new(), Private::new());
}

mod outages {
    use crate::fixture::Private;

    testkit::server_suite!(Private::new());
}
