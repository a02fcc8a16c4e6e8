//! The REST API as clients meet it: a real worker on the embedded driver, over real connections.

mod bad_input;
mod harness;
mod http;
mod kafka_connect;
mod log;
mod openapi;
mod original;
mod plugins;
mod queues;
mod secrets;
mod sites;
