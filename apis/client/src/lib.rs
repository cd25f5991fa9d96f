//! The client's half of the API: where things are found, how a request is made, what an error means, how a kind is
//! followed, how Events are written. For controllers, node agent, network and command line alike.
//!
//! Knows: paths, revisions, Status, back-off. Refuses to know: any kind by name (Events are its own tool), and whether
//! the server is in the same process.

mod agent;
mod caller;
mod error;
mod known;
mod mirror;
pub mod query;
pub mod recorder;
mod resource;

pub use agent::{named, user_agent};
pub use caller::{Caller, JSON, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH};
pub use error::{Cause, Error, Meaning};
pub use known::{Known, Step};
pub use mirror::{Event, Events, Head, Key, Scope, follow, follow_as};
pub use recorder::{About, Note, Recorder};
pub use resource::Resource;
