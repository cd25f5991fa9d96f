//! The Gateway API, beside Routes and Ingresses: Gateways whose class is this controller's, and the routes attached to them.
//!
//! Knows: gateway.networking.k8s.io, read in `kinds`, `listeners` and `rules`, judged in `judge`, served by `table` and `serve`.
//! What an object asks for and the router does not do is a condition that says so.

mod claims;
mod copies;
mod cors;
pub(super) mod feed;
mod filters;
mod follow;
mod hosts;
mod judge;
mod kinds;
mod listeners;
mod matches;
mod parents;
mod ports;
mod resolve;
mod rule;
mod rules;
mod serve;
mod status;
mod table;
mod written;

pub(super) use copies::{Copies, Followers};
pub(super) use hosts::{Closeness, Host};
pub(super) use judge::Judged;
pub(super) use kinds::Kind;
pub(super) use ports::{Common, Ports};
pub(super) use resolve::ServiceKey;
pub(super) use rules::{RouteInfo as AttachedRoute, RuleSpec};
pub(super) use serve::Came;
pub(super) use table::{Gateways, Make};
