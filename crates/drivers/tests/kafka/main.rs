//! The Kafka driver: the conformance suites, and what is its own.

mod cluster;
mod fixture;
mod foreign;
mod own;

mod conformance {
    use crate::fixture::{Private, Shared};

    testkit::driver_suite!(Shared::new(), Private::new());
}

mod server {
    use crate::fixture::Private;

    testkit::server_suite!(Private::new());
}
