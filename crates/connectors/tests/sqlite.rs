//! The SQLite connector against real database files: the conformance suite, and what only SQLite does.
#![cfg(feature = "sqlite")]

#[path = "sqlite/fixture.rs"]
mod fixture;
#[path = "sqlite/source.rs"]
mod source;

mod suite {
    testkit::source_suite!(super::fixture::Database::new());
}

mod suite_wal {
    testkit::source_suite!(super::fixture::Database::wal());
}
