//! The OpenMessaging API: what a message queue is to a connect runtime, whichever broker it is.
//!
//! A *driver* makes one kind of broker speak this API. The runtime picks it by the access point URL
//! (`oms:<driver>://...`) and uses nothing but the traits here. What every implementation promises is written as
//! numbered clauses in `docs/specs/driver.md`; the documentation of the traits cites them, and `testkit` tests each
//! one against each driver. There is no I/O in this crate.

pub mod access_point;
pub mod capability;
pub mod consumer;
pub mod diagnosis;
pub mod error;
pub mod key_value;
pub mod message;
pub mod partitioner;
pub mod producer;
pub mod push;
pub mod registry;
pub mod resource;
pub mod setting;
pub mod url;

pub use access_point::{Driver, MessagingAccessPoint, Properties};
pub use capability::{Capabilities, Delivery};
pub use consumer::{ConsumedBatch, ConsumerOptions, PullConsumer, QueuePartition, StartAt};
pub use diagnosis::{Diagnosis, Finding, Severity};
pub use error::{Error, Result, StatusCode};
pub use key_value::{Change, Changes, KeyValue, KeyValueStore, Page};
pub use message::{Header, Headers, Message, MessageBatch};
pub use producer::{Acknowledged, Producer, ProducerOptions, SendFuture, SendReport};
pub use push::{BatchListener, PushConsumer};
pub use registry::DriverRegistry;
pub use resource::{PartitionDescription, QueueDescription, QueueSpec, ResourceManager};
pub use setting::{Setting, Terms};
pub use url::AccessPointUrl;
