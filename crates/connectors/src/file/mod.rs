//! Text files: a source that tails one, a sink that appends to one.
//!
//! Both answer to the names and keys of Kafka's `FileStreamSource` and `FileStreamSink`.

mod append;
mod config;
mod error;
mod follow;
mod identity;
mod lines;
mod rotation;
mod sink;
mod source;
mod text;

use openmessaging_connector::registry::Factory;
use openmessaging_connector::{PluginInfo, Registry};

/// The source: each line of a file is a record.
pub fn source() -> PluginInfo {
    PluginInfo {
        class: "io.openmessaging.file.connector.FileSourceConnector",
        aliases: &[
            "file-source",
            "FileStreamSource",
            "org.apache.kafka.connect.file.FileStreamSourceConnector",
        ],
        version: env!("CARGO_PKG_VERSION"),
        doc: "Tails a text file: each line is a record. Follows rotation and truncation, resumes where it stopped.",
        config_def: config::source,
        factory: Factory::Source(|| Box::new(source::FileSource::default())),
    }
}

/// The sink: each record is a line of a file.
pub fn sink() -> PluginInfo {
    PluginInfo {
        class: "io.openmessaging.file.connector.FileSinkConnector",
        aliases: &["file-sink", "FileStreamSink", "org.apache.kafka.connect.file.FileStreamSinkConnector"],
        version: env!("CARGO_PKG_VERSION"),
        doc: "Appends each record to a text file as a line, durable before its position is committed.",
        config_def: config::sink,
        factory: Factory::Sink(|| Box::new(sink::FileSink::default())),
    }
}

pub fn register(registry: &mut Registry) {
    registry.register(source());
    registry.register(sink());
}
