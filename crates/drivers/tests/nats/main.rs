//! The nats driver: the conformance suites, and what is its own.

mod accounts;
mod fixture;
mod own;
mod private;

mod conformance {
    use crate::fixture::Shared;
    use crate::private::Private;

    testkit::driver_suite!(Shared::new(), Private::start());
}

mod server {
    use crate::private::Private;

    testkit::server_suite!(Private::start());
}
