//! The requests that this driver sends, and their answers.
//!
//! Source: the message definitions of Apache Kafka (`clients/src/main/resources/common/message`). Each request is sent in
//! one version, which every broker from 2.1 (2018) to 4.x speaks; a broker says at first which ones it has
//! ([`versions`]). These versions are all of the older, "inflexible" kind, so one small reader and writer do for all.

pub(super) mod fetch;
pub(super) mod groups;
pub(super) mod metadata;
pub(super) mod offsets;
pub(super) mod produce;
pub(super) mod sasl;
pub(super) mod topics;
pub(super) mod versions;

#[cfg(test)]
mod tests;

use openmessaging::Result;

use super::wire::{Reader, Write};

/// One kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Api {
    pub key: i16,
    /// The version that is sent.
    pub version: i16,
    pub name: &'static str,
    /// Without it a broker cannot be used at all.
    pub needed: bool,
}

const fn api(key: i16, version: i16, name: &'static str) -> Api {
    Api { key, version, name, needed: true }
}

const fn optional(key: i16, version: i16, name: &'static str) -> Api {
    Api { key, version, name, needed: false }
}

pub(super) const PRODUCE: Api = api(0, 7, "Produce");
pub(super) const FETCH: Api = api(1, 10, "Fetch");
pub(super) const LIST_OFFSETS: Api = api(2, 2, "ListOffsets");
pub(super) const METADATA: Api = api(3, 7, "Metadata");
pub(super) const OFFSET_COMMIT: Api = api(8, 5, "OffsetCommit");
pub(super) const OFFSET_FETCH: Api = api(9, 5, "OffsetFetch");
pub(super) const FIND_COORDINATOR: Api = api(10, 1, "FindCoordinator");
pub(super) const SASL_HANDSHAKE: Api = optional(17, 1, "SaslHandshake");
pub(super) const API_VERSIONS: Api = api(18, 0, "ApiVersions");
/// Of brokers from 2.4 on: it also says which release they are.
pub(super) const API_VERSIONS_FLEXIBLE: Api = optional(18, 3, "ApiVersions");
pub(super) const CREATE_TOPICS: Api = api(19, 3, "CreateTopics");
/// The same bytes; from 2.4 on the broker's own number of replicas may be asked for.
pub(super) const CREATE_TOPICS_DEFAULTS: Api = optional(19, 4, "CreateTopics");
pub(super) const DELETE_TOPICS: Api = api(20, 3, "DeleteTopics");
pub(super) const DELETE_RECORDS: Api = api(21, 1, "DeleteRecords");
pub(super) const INIT_PRODUCER_ID: Api = api(22, 1, "InitProducerId");
pub(super) const DESCRIBE_CONFIGS: Api = api(32, 2, "DescribeConfigs");
pub(super) const SASL_AUTHENTICATE: Api = optional(36, 0, "SaslAuthenticate");

/// All that a broker must have.
pub(super) const ALL: [Api; 16] = [
    PRODUCE,
    FETCH,
    LIST_OFFSETS,
    METADATA,
    OFFSET_COMMIT,
    OFFSET_FETCH,
    FIND_COORDINATOR,
    SASL_HANDSHAKE,
    API_VERSIONS,
    CREATE_TOPICS,
    CREATE_TOPICS_DEFAULTS,
    DELETE_TOPICS,
    DELETE_RECORDS,
    INIT_PRODUCER_ID,
    DESCRIBE_CONFIGS,
    SASL_AUTHENTICATE,
];

/// Where the number of a request stands, which the connection writes.
pub(super) const CORRELATION: std::ops::Range<usize> = 8..12;

/// Begins a request: room for its length and number, its kind, the client's name.
pub(super) fn begin(api: Api, client_id: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    begin_in(&mut out, api, client_id);
    out
}

/// The same in memory that is used again.
pub(super) fn begin_in(out: &mut Vec<u8>, api: Api, client_id: &str) {
    out.clear();
    out.i32(0);
    out.i16(api.key);
    out.i16(api.version);
    out.i32(0);
    out.string(client_id);
}

/// Ends a request: its length comes to its front.
pub(super) fn end(out: &mut [u8]) {
    let length = (out.len() - 4) as i32;
    out[..4].copy_from_slice(&length.to_be_bytes());
}

/// Topics with their partitions, as most requests and answers have them.
pub(super) fn topics_of<'a, T>(
    reader: &mut Reader<'a>,
    mut partition: impl FnMut(&'a str, &mut Reader<'a>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut all = Vec::new();
    for _ in 0..reader.count()? {
        let topic = reader.string()?;
        for _ in 0..reader.count()? {
            all.push(partition(topic, reader)?);
        }
    }
    Ok(all)
}

/// Writes partitions, sorted by topic, as topics with their partitions.
pub(super) fn write_topics<T>(
    out: &mut Vec<u8>,
    partitions: &[T],
    topic: impl Fn(&T) -> &str,
    mut write: impl FnMut(&mut Vec<u8>, &T),
) {
    let groups = || partitions.chunk_by(|a, b| topic(a) == topic(b));
    out.i32(groups().count() as i32);
    for group in groups() {
        out.string(topic(&group[0]));
        out.i32(group.len() as i32);
        group.iter().for_each(|partition| write(out, partition));
    }
}
