//! networking.k8s.io.
//!
//! Knows: which kinds have a strategy of their own. Refuses to know: anything of them.

pub(crate) mod addresses;
pub(crate) mod class;
pub(crate) mod ingress;
pub(crate) mod policy;
