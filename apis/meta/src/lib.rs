//! The nouns of the API with no kinds: objects, names, selectors, quantities, statuses, field errors, patches and
//! the schema walk.
//!
//! Knows: what every Kubernetes object has in common. Refuses to know: any kind by name, async, clocks, randomness,
//! files and sockets; time and identifiers always come in as arguments.
#![forbid(unsafe_code)]

pub mod cron;
pub mod decode;
pub mod diff;
pub mod field;
pub mod gateway;
mod go;
pub mod gvk;
pub mod jsonpath;
pub mod lean;
pub mod local_path;
pub mod managed;
pub mod names;
pub mod object;
pub mod patch;
pub mod ports;
pub mod quantity;
pub mod query;
pub mod resource;
pub mod schema;
pub mod selector;
pub mod status;
pub mod structural;
pub mod time;
pub mod url;
pub mod version;

pub use field::{FieldError, Path};
pub use go::{json as go_json, json_string, quote, whole_numbers};
pub use gvk::{Gvk, Gvr};
pub use object::Object;
pub use quantity::Quantity;
pub use selector::{FieldSelector, LabelSelector};
pub use status::{Cause, Status};
