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
