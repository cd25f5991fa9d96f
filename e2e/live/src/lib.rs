//! Black-box tests: the real binary, real kubectl, real etcd, each test in a network namespace and a data directory of
//! its own.
//!
//! Knows: programs and their output. Refuses to know: any crate of Leme; the driver of volumes beside it speaks through the
//! client and has the messages of drivers from where nodes have them.

mod host;
mod programs;

pub use host::{Host, until};
pub use programs::{Finished, Program, kubectl, leme, root, sample_image, tool};
