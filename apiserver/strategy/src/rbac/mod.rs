//! Roles and their bindings.
//!
//! Knows: what a rule and a subject must look like. Refuses to know: who may do what.

mod binding;
mod role;

pub(crate) use binding::{CLUSTER_ROLE_BINDING, ROLE_BINDING};
use leme_registry::{Context, Strategy, meta};
pub(crate) use role::{CLUSTER_ROLE, ROLE};
use serde_json::Value;

/// The group of all four kinds, and of the users and groups that they name.
pub(crate) const GROUP: &str = "rbac.authorization.k8s.io";

/// What the four kinds have in common: a name that is a segment of a path, no status.
const PLAIN: Strategy = Strategy {
    name: meta::segment_name,
    prepare_create: no_status,
    prepare_update: |_, _, _| {},
    create_on_update: true,
    ..Strategy::PLAIN
};

fn no_status(_: &mut Value, _: &Context) {}
