//! `oms:kafka://host:port/region:namespace`: Apache Kafka.
