//! `oms:nats://host:port/region:namespace`: NATS JetStream.
