//! Roles and their bindings.
//!
//! Knows: what a rule and a subject must look like. Refuses to know: who may do what.

mod binding;
mod role;

pub(crate) use binding::{CLUSTER_ROLE_BINDING, ROLE_BINDING};
use leme_registry::{Strategy, meta};
pub(crate) use role::{CLUSTER_ROLE, ROLE};

/// The group of all four kinds, and of the users and groups that they name.
pub(crate) const GROUP: &str = "rbac.authorization.k8s.io";

/// What the four kinds have in common: a name that is a segment of a path, no status.
const PLAIN: Strategy =
    Strategy { name: meta::segment_name, create_on_update: true, ..Strategy::PLAIN };
