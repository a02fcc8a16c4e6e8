//! The REST API of a worker.
//!
//! - `resources`: Kafka Connect's, queues, health; one file for each resource.
//! - `original`: the endpoints of the original OpenMessaging Connect runtime.
//! - [`tap`]: the messages of a queue as lines of JSON; the command line uses it too.
//! - `guard`: keeps web pages of other sites out. `body`: reads what is sent, and never repeats it.
//!
//! Where this API answers otherwise than Kafka Connect does, `docs/reference/rest-compatibility.md` says so.

mod app;
mod body;
mod connection;
mod deadline;
mod error;
mod extract;
mod guard;
mod middleware;
mod options;
mod original;
mod resources;
mod router;
mod server;
pub mod tap;

pub use error::ErrorBody;
pub use options::{RestOptions, check_public};
pub use router::{openapi_json, router};
pub use server::serve;
