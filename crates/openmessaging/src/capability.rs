//! What a driver can do, as data: it chooses which conformance tests run and what the runtime does without.

use serde::Serialize;

/// What may happen to a message that was sent once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// A send that is repeated because its answer was lost may be stored twice.
    AtLeastOnce,
    /// The broker recognises the repetition while the producer lives.
    Idempotent,
}

/// The capabilities of a driver. Everything else in `docs/specs/driver.md` is required of all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    pub delivery: Delivery,
    /// Queues may have more than one partition.
    pub partitions: bool,
    /// Messages have offsets that can be sought. Without it only `Committed` and `End` work.
    pub offsets: bool,
    /// `StartAt::Timestamp` works.
    pub seek_by_timestamp: bool,
    /// The broker keeps positions of consumer groups.
    pub broker_positions: bool,
    /// After a failed send nothing behind it in its partition is stored (D9 holds inside a batch and in flight).
    pub ordered_failures: bool,
    /// `None` and an empty body stay different.
    pub null_bodies: bool,
    /// Headers may hold any bytes; without it they must be UTF-8.
    pub binary_headers: bool,
    /// Retention by time and by size can be set for a queue.
    pub retention: bool,
    /// Messages of several batches can be written all or none.
    pub transactions: bool,
    /// Several processes may use the same access point at once.
    pub shared: bool,
    /// The largest message in bytes, key and headers included; `None`: the broker's own limit, not known here.
    pub max_message_bytes: Option<usize>,
}
