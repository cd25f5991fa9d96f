//! Informers, work queue, back-off, leader lease and the executor of actions.
//!
//! Knows: the client, revisions, keys, retries. Refuses to know: any kind by name (leases for leadership and Events are
//! its own tools), what a plan is for.
//!
//! Invariants: a key is worked on by one task at a time; a key is not planned again before the cache has seen every write
//! of its last plan; nothing is asked again on a timer unless a plan or a back-off says so.

pub mod brake;
pub mod controller;
pub mod executor;
pub mod informer;
pub mod leader;
mod outcome;
pub mod queue;

pub use brake::Brake;
pub use controller::Controller;
pub use executor::Executor;
pub use informer::Informer;
pub use leme_client::{Client, Error, Recorder, Resource};
pub use leme_lister::Key;
pub use outcome::Outcome;
pub use queue::Queue;
