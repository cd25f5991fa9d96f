//! The nouns of the API with no kinds: objects, names, selectors, quantities, statuses, field errors, patches and
//! the schema walk.
//!
//! Knows: what every Kubernetes object has in common. Refuses to know: any kind by name, async, clocks, randomness,
//! files and sockets; time and identifiers always come in as arguments.
#![forbid(unsafe_code)]

pub mod field;
pub mod gvk;
pub mod object;
pub mod status;
pub mod time;

pub use field::{FieldError, Path};
pub use gvk::{Gvk, Gvr};
pub use object::Object;
pub use status::{Cause, Status};
