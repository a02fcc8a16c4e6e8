//! `oms:redis://host:port/region:namespace`: Redis Streams.
