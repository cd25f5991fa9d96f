//! Each filter and score one way and the other, as upstream decides.

mod company;
mod filters;
mod ledger;
mod preemption;
mod profiles;
mod scores;
mod spreading;
mod stock;
mod volumes;
