//! Drivers of volumes: how they are found and called, over their own sockets.
//!
//! Knows: the calls of the Container Storage Interface that a node makes, how plugins register with a node, how gRPC frames
//! both. Refuses to know: the API, which pods there are, what is mounted where.

mod driver;
pub mod grpc;
pub mod serve;
mod sockets;
pub mod wire;

pub use driver::{Driver, Registration};
pub use grpc::Fault;
pub use sockets::{Seen, Sockets};
