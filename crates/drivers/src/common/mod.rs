//! What the drivers of brokers that are servers share. Each piece decides something once, for all of them:
//!
//! | module | what it decides |
//! |---|---|
//! | `runtime` | where a driver's own tasks run: not on the caller's runtime, which may end before them |
//! | `settings` | which properties there are, and what is wrong with one |
//! | `credentials` | whose user and password count: properties before the URL's account |
//! | `tls` | whom a TLS connection trusts, and as whom it comes |
//! | `names` | which queue names there are, and what a region and a namespace make of them |
//! | `gate` | what may be sent after a failure (D9), and when everything sent has ended |
//! | `inbox` | whose turn it is among what a consumer fetched ahead (D15 to D20) |
//! | `outage` | what is logged when a broker goes away and comes back |
//! | `deadline` | that every call ends (D38) |

pub(crate) mod credentials;
pub(crate) mod deadline;
pub(crate) mod gate;
pub(crate) mod inbox;
pub(crate) mod names;
pub(crate) mod outage;
pub(crate) mod runtime;
pub(crate) mod settings;
pub(crate) mod tls;

pub(crate) use crate::lock;
