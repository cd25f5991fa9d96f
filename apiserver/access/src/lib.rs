//! Who may do what: identity claims and authorisation verdicts. What no rule allows is denied.
//!
//! Knows: the identities that the system itself uses and what each needs. Refuses to know: sockets, certificates, what
//! is stored; the request and the few facts a verdict needs come in as arguments.
#![forbid(unsafe_code)]

mod authorize;
mod identity;
mod node;
mod rules;
mod tables;
#[cfg(test)]
mod tests;

pub use authorize::{Attributes, Verdict, authorize, forbidden};
pub use identity::{Identity, NODE_USER};
pub use rules::{Allowed, Rules, rules, who_may};
