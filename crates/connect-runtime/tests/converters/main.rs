//! Every converter through its public door: found in the registry by name, configured by options, driven as a task does.

mod any_value;
mod hostile;
mod kafka_json;
mod original_json;
mod plain_json;
mod registry;
mod support;
mod text_and_bytes;
