//! The REST API as clients meet it: a real worker on the embedded driver, over real connections.

mod openapi;
