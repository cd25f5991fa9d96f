//! The one create, update and delete path, as pure functions: (row, strategy, request, stored, now) gives a write or a
//! Status.
//!
//! Knows: uid, generation, resourceVersion, finalizers, deletion, metadata. Refuses to know: any kind by name, where
//! bytes are kept, what time it is. Bodies come in parsed and checked against the kind's schema, and with the name of
//! whoever owns what the write changes.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use leme_kinds::Kind;
use leme_meta::{FieldError, Status};
use serde_json::Value;

mod admission;
pub mod amounts;
mod create;
mod custom;
mod delete;
pub mod json;
pub mod meta;

mod opaque;
mod options;
mod owners;
mod scale;
mod strategy;
#[cfg(test)]
mod tests;
mod update;

pub use admission::{Admission, AdmitAll, Asked, Operation, shown_name};
pub use create::{check_type, create};
pub use custom::check_type as check_custom_type;
pub use delete::{Deletion, delete};
pub use leme_meta::names;
pub use options::{DeleteOptions, Propagation};
pub use owners::{Writer, apply, check_configuration};
pub use scale::{Scale, scale_of, scale_shown};
pub use strategy::{Allocate, Approval, Bind, Part, Strategy};
pub use update::{Target, Write, bind, patched, update};

/// Who asks, as far as objects tell of it.
#[derive(Clone, Copy, Debug)]
pub struct User<'a> {
    /// Name.
    pub name: &'a str,
    /// Stable identifier, often empty.
    pub uid: &'a str,
    /// Groups.
    pub groups: &'a [String],
    /// What else is known.
    pub extra: &'a BTreeMap<String, Vec<String>>,
}

/// What a request is about, and all that the outside world adds to it.
pub struct Context<'a> {
    /// The row of the kind.
    pub kind: &'a Kind,
    /// What the kind adds to the path.
    pub strategy: &'a Strategy,
    /// Namespace of the request, empty for cluster-scoped kinds.
    pub namespace: &'a str,
    /// Name in the URL, empty for a create of a collection.
    pub name: &'a str,
    /// Who asks; nobody, if the server itself does.
    pub user: Option<User<'a>>,
    /// The time now.
    pub now: jiff::Timestamp,
    /// A fresh uid, used by a create.
    pub uid: String,
    /// Five random characters that `metadata.generateName` is completed with.
    pub suffix: String,
    /// Whether nothing will be stored.
    pub dry_run: bool,
    /// Domain under which generated host names stand.
    pub route_domain: &'a str,
    /// Host of the cluster's own registry of images; none, if it has none.
    pub registry_host: Option<&'a str>,
    /// Network that cluster addresses come from: an address of it and the length of the prefix.
    pub service_network: (Ipv4Addr, u8),
    /// Who may change or refuse the write besides the kind.
    pub admission: &'a dyn Admission,
}

impl Context<'_> {
    /// The 422 for what is wrong with an object of this kind.
    pub fn invalid(&self, name: &str, errors: &[FieldError]) -> Status {
        Status::invalid(&self.kind.gvk(), name, errors)
    }

    /// The time now as `metav1.Time` is written.
    pub fn timestamp(&self) -> Value {
        Value::String(leme_meta::time::seconds(self.now))
    }
}

/// The stateful part of a write: numbers that are handed out once, and other objects. The server keeps what is taken.
pub trait Allocator {
    /// Takes a cluster address: the requested one, or any free one. The error is the detail of a field error.
    fn cluster_ip(&mut self, requested: Option<&str>) -> Result<String, String>;
    /// Takes a node port: the requested one, or any free one.
    fn node_port(&mut self, requested: Option<i64>) -> Result<i64, String>;
    /// An object of a kind, of which group and plural resource are given, as the server knows it now.
    fn object(&self, _: (&str, &str), _namespace: &str, _name: &str) -> Option<Value> {
        None
    }
}
