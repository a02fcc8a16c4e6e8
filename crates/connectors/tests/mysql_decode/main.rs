//! The decoding of binary logs against the real servers: what the log of a change decodes to is what a `SELECT` of the
//! same row gives, for every type, row image, metadata and compression.

mod charsets;
mod harness;
mod hostile;
mod images;
mod json;
mod reading;
mod types;
