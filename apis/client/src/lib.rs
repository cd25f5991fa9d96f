//! The client's half of the API: what is served, where it is found, how a request is made, what an error means, how a kind
//! is followed, how Events are written. For controllers, node agent, network and command line alike.
//!
//! Knows: paths, revisions, Status, back-off. Refuses to know: any kind by name (Events are its own tool), and whether
//! the server is in the same process.

mod account;
mod client;
pub mod discovery;
mod error;
mod known;
pub mod kubeconfig;
mod lean;
mod mirror;
pub mod query;
pub mod recorder;
mod served;
mod watch;

pub use client::{Ask, Client, JSON, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH};
pub use discovery::Discovery;
pub use error::{Cause, Error, Meaning};
pub use known::{Known, Step};
pub use kube::client::{Body, Connection};
pub use leme_meta::lean::metadata;
pub use leme_meta::resource::Resource;
pub use mirror::{Event, Events, Head, Key, Scope, follow, follow_as};
pub use recorder::{About, Note, Recorder};
pub use served::ApiResource;
pub use watch::{Change, Changes, How};
