//! Who may do what: identity claims and authorisation verdicts. What no rule allows is denied.
//!
//! Knows: how roles and bindings are read, which of them every cluster has, what the agent of a node may do. Refuses to
//! know: sockets, certificates, where objects are stored; the request and the policy come in as arguments.
#![forbid(unsafe_code)]

mod authorize;
/// The roles and bindings that every cluster has.
pub mod bootstrap;
/// What leads to which node.
pub mod graph;
mod identity;
mod node;
mod policy;
mod refer;
mod role;
/// Scopes of OAuth.
pub mod scope;
#[cfg(test)]
mod tests;

pub use authorize::{Attributes, Verdict, authorize, forbidden, sees};
pub use identity::{Identity, MASTERS, NODE_USER, node_of};
pub use policy::{Allowed, GROUP, Grant, Policy};
pub use role::{PolicyRule, missing};
pub use scope::Scope;
