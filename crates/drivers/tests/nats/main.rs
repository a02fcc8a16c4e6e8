//! The nats driver: the conformance suites, and what is its own.
