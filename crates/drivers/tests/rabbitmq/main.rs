//! The rabbitmq driver: the conformance suites with streams and with quorum queues, and what is its own.

mod fixture;
mod foreign;
mod http;
mod own;

mod conformance {
    use crate::fixture::{Private, Queues, SharedBroker};

    testkit::driver_suite!(SharedBroker::new(Queues::Streams), Private::start(Queues::Streams));
}

mod quorum {
    use crate::fixture::{Private, Queues, SharedBroker};

    testkit::driver_suite!(SharedBroker::new(Queues::Quorum), Private::start(Queues::Quorum));
}

mod server {
    use crate::fixture::{Private, Queues};

    testkit::server_suite!(Private::start(Queues::Streams));
}

mod server_quorum {
    use crate::fixture::{Private, Queues};

    testkit::server_suite!(Private::start(Queues::Quorum));
}
