//! Two API servers on one store: what each of them hands out, charges and lets pass is right with the other one at work.

#![allow(clippy::disallowed_macros, reason = "what is printed is the point")]

mod leases;
mod numbers;
mod quotas;
mod world;
