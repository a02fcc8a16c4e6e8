//! The file connectors against real files: both conformance suites, and what only files do.

#[path = "file/fixture.rs"]
mod fixture;
#[path = "file/sink.rs"]
mod sink;
#[path = "file/source.rs"]
mod source;

mod source_suite {
    testkit::source_suite!(super::fixture::SourceFile::new());
}

mod sink_suite {
    testkit::sink_suite!(super::fixture::SinkFile::new());
}

#[test]
fn names_and_aliases() {
    let mut registry = openmessaging_connector::Registry::new();
    connectors::file::register(&mut registry);
    let (source, sink) = (connectors::file::source().class, connectors::file::sink().class);
    for (name, class) in [
        (source, source),
        ("FileSourceConnector", source),
        ("file-source", source),
        ("FileStreamSource", source),
        ("FileStreamSourceConnector", source),
        ("org.apache.kafka.connect.file.FileStreamSourceConnector", source),
        (sink, sink),
        ("file-sink", sink),
        ("FileStreamSink", sink),
        ("FileStreamSinkConnector", sink),
        ("org.apache.kafka.connect.file.FileStreamSinkConnector", sink),
    ] {
        assert_eq!(registry.connector(name).map(|plugin| plugin.class).ok(), Some(class), "{name}");
    }
}
