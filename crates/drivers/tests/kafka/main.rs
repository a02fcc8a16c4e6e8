//! The kafka driver: the conformance suites, and what is its own.
