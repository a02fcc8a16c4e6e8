//! Key/value stores that keep their values in a table of a `redb` file: the embedded driver's, and the one over an
//! ordered queue, which any driver can use.

#[cfg(feature = "queue-store")]
pub(crate) mod queue;
#[cfg(any(feature = "queue-store", feature = "nats"))]
pub(crate) mod scratch;
pub(crate) mod table;
pub(crate) mod watch;
